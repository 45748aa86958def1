#!/usr/bin/env bash
# Runs tests/tidy/coroutine.query over every source file with a co_await. Usage:
#   tests/tidy/coroutine_lint.sh BUILD_DIR [FILE...]     BUILD_DIR holds compile_commands.json
set -euo pipefail
build=$(readlink -f "$1")
shift
cd "$(dirname "$(readlink -f "$0")")/../.."

files=("$@")
if [ "${#files[@]}" = 0 ]; then
  mapfile -t files < <(grep -rlw --include='*.cpp' 'co_await' config dns keystore proxy sandbox tests bench)
fi
[ "${#files[@]}" -gt 0 ] || { echo "coroutine lint: no file with co_await"; exit 0; }

out=$(mktemp)
trap 'rm -f "$out"' EXIT
# clang-query exits 0 on parse errors of the file: look for them too, or the lint would pass by not reading.
printf '%s\0' "${files[@]}" |
  xargs -0 -n 4 -P "$(nproc)" clang-query-19 -p "$build" -f tests/tidy/coroutine.query > "$out" 2>&1 ||
  { cat "$out"; echo "coroutine lint: clang-query-19 failed"; exit 1; }
if grep -E 'binds here|error:' "$out"; then
  grep -vE '^(Match #|[0-9]+ match)' "$out" || true
  echo "coroutine lint: name closures, braces and ?: before the co_await"
  exit 1
fi
matched=$(grep -cE '^0 matches\.' "$out" || true)
# Five matchers ran over each batch; fewer means that a batch was not read.
batches=$(((${#files[@]} + 3) / 4))
[ "$matched" = $((batches * 5)) ] || { cat "$out"; echo "coroutine lint: $matched of $((batches * 5)) matchers answered"; exit 1; }
echo "coroutine lint: ${#files[@]} files, nothing found"
