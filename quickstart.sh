#!/usr/bin/env bash
# From a fresh Debian 12 to one model at six bit-rates behind gRPC, with one command.
#   ./quickstart.sh            install, build, fetch the model, serve, send requests, print the comparison, stop
#   ./quickstart.sh --serve    the same, but keep the server in the foreground (Ctrl-C drains and stops it)
#   ./quickstart.sh --build    only install and build: build/release/bin/bitrate and build/models/*.gguf
set -euo pipefail
cd "$(dirname "$0")"
. scripts/common.sh

usage() { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; }
mode="${1:-demo}"
case "$mode" in
  demo | --serve | --build) ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; echo "error: unknown option $mode" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { usage >&2; echo "error: one option at most, got: $*" >&2; exit 2; }

BIN="$BUILD/release/bin/bitrate"
CONFIG="config/quickstart.yaml"
LOG="$BUILD/quickstart-server.log"
server=""

prepare() {
  mkdir -p "$BUILD"
  # shellcheck disable=SC2086
  ensure_packages $BUILD_PACKAGES
  fetch_onednn
  fetch_model
  say "Building (release; a first build takes minutes, later ones seconds)"
  if [ -e "$BUILD/release/build.ninja" ]; then build_preset release bitrate; else build_preset release bitrate -DBITRATE_TESTS=OFF; fi
}

stop_server() {
  [ -n "$server" ] || return 0
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" || echo "the server ended with an error; its log is $LOG" >&2
  server=""
}
trap stop_server EXIT

start_server() {
  say "Starting the server: $BIN serve --config $CONFIG"
  "$BIN" serve --config "$CONFIG" >"$LOG" 2>&1 &
  server=$!
  local waited
  for ((waited = 0; waited < 600; waited++)); do
    if ! kill -0 "$server" 2>/dev/null; then
      server=""
      tail -n 20 "$LOG" >&2
      die "the server stopped while it was starting"
    fi
    # Every variant is loaded when none is loading any more.
    if "$BIN" models >"$BUILD/quickstart-models.txt" 2>/dev/null &&
      ! grep -q ' loading ' "$BUILD/quickstart-models.txt"; then return; fi
    sleep 0.2
  done
  die "the server was not ready within two minutes; its log is $LOG"
}

show() { printf '\033[2m$ bitrate %s\033[0m\n' "$*"; "$BIN" "$@"; echo; }

demo() {
  start_server
  cat "$BUILD/quickstart-models.txt"
  echo
  say "A pinned request: the int8 variant answers"
  show generate "What is the capital of France?" --chat --variant int8 --max-tokens 24 --no-stream
  say "Routed requests: the experiment's weights choose; a unit (a user, a conversation) keeps its variant"
  show generate "The three primary colours are" --unit alice --max-tokens 12 --no-stream
  show generate "The three primary colours are" --unit bob --max-tokens 12 --no-stream
  say "A streamed request from the 4-bit variant"
  show generate "Write one sentence about the sea." --chat --variant int4 --max-tokens 40
  say "One prompt at every bit-rate, side by side"
  show compare "The history of bread begins" --max-tokens 48 --ignore-eos
  echo "The packaged model file is itself 4-bit (Q4_1): fp32 here is its dequantization, so int4, which keeps the file's own"
  echo "grid, loses next to nothing. int4-g64-asym is rounded anew on a coarser grid and shows a real loss."
  echo
  say "Stopping the server (SIGTERM drains it)"
  stop_server
  cat <<TEXT

By hand, from $(pwd):
  $BIN serve --config $CONFIG
  $BIN generate "Hello" --chat --variant int4
  $BIN compare "The history of bread begins"
  $BIN bench --variant int8 --concurrency 8
  $BIN models
  curl -s http://127.0.0.1:9090/metrics | grep bitrate_
  ./quickstart.sh --serve        keeps the server in the foreground
  ./test.sh                      runs the tests
TEXT
}

prepare
case "$mode" in
  --build) say "Built $BIN; the model is $MODEL_FILE" ;;
  --serve) trap - EXIT; exec "$BIN" serve --config "$CONFIG" ;;
  demo) demo ;;
esac
