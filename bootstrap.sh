#!/usr/bin/env bash
# Installs what is missing on a bare Debian 12, then does one thing:
#   ./bootstrap.sh          the same as build
#   ./bootstrap.sh build    release binary at build/release/nono
#   ./bootstrap.sh run      build, then the embedded example (docs/example)
#   ./bootstrap.sh test     everything: sanitizers, threads, g++, lint, end to end
#   ./bootstrap.sh profile  which paths the benchmarks take, for the compiler: bench/release.profdata anew
#   ./bootstrap.sh bench    build, then the benchmarks (arguments go to bench/run.py)
# Running it again costs one dpkg-query when nothing is missing.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"

build_packages=(
  cmake ninja-build clang-19 libstdc++-12-dev mold ccache pkg-config
  libboost1.81-dev libssl-dev libc-ares-dev libyaml-cpp-dev libsecret-1-dev
  libnghttp2-dev libpsl-dev libidn2-dev libunistring-dev zlib1g-dev
  libcli11-dev libfmt-dev libexpected-dev nlohmann-json3-dev)
run_packages=(python3 openssl util-linux iproute2)
test_packages=(
  "${run_packages[@]}" g++ catch2 libclang-rt-19-dev clang-tools-19 llvm-19 python3-venv ca-certificates
  gnome-keyring libsecret-tools dbus dnsmasq-base curl git bash gcc openssh-server openssh-client tmux
  python3-requests)
bench_packages=(
  "${run_packages[@]}" haproxy nginx libnginx-mod-stream trafficserver tinyproxy-bin
  unbound dnsmasq-base dnsperf bubblewrap)

die() {
  printf 'bootstrap: %s\n' "$*" >&2
  exit 1
}

say() { printf '\n== %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo --preserve-env=DEBIAN_FRONTEND "$@"
  else
    die "packages are missing and there is no sudo; as root: apt-get install $missing"
  fi
}

missing_of() {
  local known
  known=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "$@" 2> /dev/null |
    awk '$2 == "installed" { sub(/:.*/, "", $1); print $1 }' || true)
  local package
  for package in "$@"; do
    grep -qxF "$package" <<< "$known" || printf '%s ' "$package"
  done
}

# Keeps apt from starting daemons (squid) that only the benchmarks run, on ports of their own.
without_daemons() {
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" > /dev/null
    as_root chmod 755 "$policy"
    made=yes
  fi
  local result=0
  "$@" || result=$?
  [ -z "$made" ] || as_root rm -f "$policy"
  return "$result"
}

need() {
  command -v dpkg-query > /dev/null || die "this script installs packages on Debian 12; elsewhere see README.md, Build"
  missing=$(missing_of "$@")
  [ -n "$missing" ] || return 0
  case " $missing" in
    *" libboost1.81-dev "*)
      local old
      old=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' 'libboost1.*-dev' 2> /dev/null |
        awk '$2 == "installed" && $1 ~ /^libboost1\.[0-9]+-dev/ { print $1 }' || true)
      [ -z "$old" ] || die "$old is installed, and Debian's libboost1.81-dev, which nono needs, conflicts with it." \
        "Remove it first: apt-get remove $old"
      ;;
  esac
  say "installing: $missing"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -q
  # shellcheck disable=SC2086  # a list of names
  without_daemons as_root apt-get install -q -y --no-install-recommends $missing
}

# configure PRESET; build PRESET TARGET...
configure() {
  # A compiler cache serves every clone of the project, wherever it lies.
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  local launcher=()
  command -v ccache > /dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  cmake --preset "$1" --log-level=WARNING "${launcher[@]}" > "build/configure-$1.log" 2>&1 ||
    { cat "build/configure-$1.log" >&2; die "configuring $1 failed"; }
}

build() {
  local preset=$1
  shift
  mkdir -p build
  say "building $preset"
  configure "$preset"
  ninja -C "build/$preset" "$@"
}

build_release() {
  need "${build_packages[@]}"
  build release nono
}

case "${1:-build}" in
  build)
    build_release
    build/release/nono --version
    ;;
  run)
    need "${build_packages[@]}" "${run_packages[@]}"
    build release nono
    say "docs/example: an agent with a phantom key"
    exec /usr/bin/python3 docs/example/run.py build/release/nono
    ;;
  test)
    command -v node > /dev/null || test_packages+=(nodejs)
    command -v npm > /dev/null || test_packages+=(npm)
    # Real programs, where no other edition of them is there: 46, 47 and 81 MB to download.
    command -v java > /dev/null || test_packages+=(openjdk-17-jre-headless)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null && command -v psql > /dev/null ||
      test_packages+=(postgresql-15 postgresql-client-15)
    command -v go > /dev/null || [ -x /usr/local/go/bin/go ] || test_packages+=(golang-go)
    need "${build_packages[@]}" "${test_packages[@]}"
    # shellcheck source=tests/all.sh
    . tests/all.sh
    run_all_tests
    ;;
  profile)
    need "${build_packages[@]}" "${bench_packages[@]}" llvm-19
    build profile nono
    build release nono_bench_tools
    rm -rf build/profile/profile
    /usr/bin/python3 bench/run.py --nono build/profile/nono --tools build/release/bench --only nono --rounds 1 \
      --rows connect,down,up,rtt,http,reverse,tls,handshakes,tlsdown,dns,launch
    exec /usr/bin/python3 bench/hot_profile.py build/profile/profile bench/release.profdata
    ;;
  bench)
    shift
    # Only squid-openssl intercepts, and the two exclude each other: somebody's squid stays.
    if [ -n "$(missing_of squid)" ]; then
      bench_packages+=(squid-openssl)
    else
      say "squid is installed, squid-openssl is not: squid has no part in the rows of interception"
    fi
    need "${build_packages[@]}" "${bench_packages[@]}"
    build release nono nono_bench_tools
    exec /usr/bin/python3 bench/run.py --nono build/release/nono --tools build/release/bench --markdown "$@"
    ;;
  *)
    die "usage: ./bootstrap.sh [build|run|test|profile|bench]"
    ;;
esac
