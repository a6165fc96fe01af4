#!/usr/bin/env bash
# Installs what the tests need, builds, runs them. Idempotent: a second run rebuilds only what changed.
#   ./test.sh             everything but label campaign (sanitizer builds and fuzz smoke included)
#   ./test.sh unit        one ctest label: unit, integration, golden, slow, gpu, campaign
#   ./test.sh Tokenizer   the tests whose names match a regex
set -euo pipefail
cd "$(dirname "$0")"
. scripts/common.sh

usage() { sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; }
filter="${1:-}"
case "$filter" in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; echo "error: unknown option $filter" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { usage >&2; echo "error: one label or regex at most, got: $*" >&2; exit 2; }

mkdir -p "$BUILD"
# shellcheck disable=SC2086
ensure_packages $BUILD_PACKAGES $TEST_PACKAGES
fetch_onednn
fetch_model
ensure_venv

started=$(date +%s)
failed=()
# run NAME COMMAND...: goes on after a failure, so that one run shows all of them.
run() {
  local name="$1"
  shift
  "$@" || failed+=("$name")
  printf -- '-- %s finished after %s s\n' "$name" "$(($(date +%s) - started))"
}
ctest_in() {
  local preset="$1"
  shift
  ctest --test-dir "$BUILD/$preset" --output-on-failure --no-tests=error -j 1 "$@"
}

say "Building (release)"
build_preset release all -DBITRATE_TESTS=ON

labels="unit|integration|golden|slow|gpu|campaign"
if [[ "$filter" =~ ^($labels)$ ]]; then
  [ "$filter" = slow ] || { run "$filter" ctest_in release -L "^$filter\$"; }
elif [ -n "$filter" ]; then
  run "$filter" ctest_in release -R "$filter" -LE campaign
else
  run tests ctest_in release -j "$JOBS" -LE "campaign|slow"
fi

if [ -z "$filter" ] || [ "$filter" = slow ]; then
  say "Unit tests under AddressSanitizer and UBSan"
  run asan-build build_preset asan unit_tests
  run asan ctest_in asan -L '^unit$'
  say "Unit tests of the threaded modules under ThreadSanitizer (no gRPC linked)"
  run tsan-build build_preset tsan threaded_tests
  run tsan ctest_in tsan -L '^unit$' -E '_corpus$|^arch_'   # what is not built there has no label
  say "Fuzz smoke, 30 s a target"
  run fuzz-build build_preset fuzz fuzzers
  run fuzz ctest_in fuzz -L '^slow$' -R '_smoke$' -j "$JOBS"
fi

if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]}" >&2
  exit 1
fi
say "All passed after $(($(date +%s) - started)) s"
