#!/usr/bin/env bash
# Runs fuzz targets side by side: tests/fuzz/run.sh BUILD_DIR OUT_DIR [TARGET...], all that are built
# by default. What reads bytes that a peer chose gets 60 seconds, the rest 20; FUZZ_SECONDS=N is for
# each of them. Crashing inputs stay in OUT_DIR/TARGET/. No target can hold up the others: what does
# not end by itself is ended and counts as a failure.
set -uo pipefail

build=$1 out=$2
shift 2
corpus=$(dirname "$(readlink -f "$0")")/corpus
read_from_peers=' request_head response_head chunked_body exchange client_hello dns_message socks5 settings profile '

seconds_of() {
  case "$read_from_peers" in
    *" $1 "*) echo "${FUZZ_SECONDS:-60}" ;;
    *) echo "${FUZZ_SECONDS:-20}" ;;
  esac
}

# The whole of a target's time beyond its seconds: to read its seeds, and for the input at which it is.
grace=60

run_one() {
  local name=$1 dir=$out/$1 log=$out/$1.log seeds=() result=0 seconds
  seconds=$(seconds_of "$1")
  mkdir -p "$dir" "$out/found/$name"
  [ -d "$corpus/$name" ] && seeds=("$corpus/$name")
  # New finds go to the first directory, so that the corpus of the tree stays as it is.
  # libFuzzer's own time limits are not enough: its handler of the one for an input can deadlock.
  timeout --kill-after=10 "$((seconds + grace))" \
    "$build/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$dir/" "$out/found/$name" "${seeds[@]}" > "$log" 2>&1 || result=$?
  if [ "$result" = 124 ] || [ "$result" = 137 ]; then
    printf 'fuzz %-16s FAILED: it did not end within %s s and was killed, log %s\n' "$name" "$((seconds + grace))" "$log"
    tail -n 5 "$log"
    return 1
  fi
  if [ "$result" != 0 ]; then
    printf 'fuzz %-16s FAILED: %s, log %s\n' "$name" "$(find "$dir" -type f | tail -n 1)" "$log"
    grep -E 'does not hold|SUMMARY|runtime error|libFuzzer: ' "$log" | head -n 5
    return 1
  fi
  printf 'fuzz %-16s %9s runs, %5s features\n' "$name" \
    "$(awk '/number_of_executed_units/ { print $2 }' "$log")" "$(grep -oE 'ft: [0-9]+' "$log" | tail -n 1 | cut -c5-)"
}

if [ $# = 0 ]; then
  for file in "$build"/fuzz_*; do
    [ -f "$file" ] && [ -x "$file" ] && set -- "$@" "$(basename "${file#"$build"/fuzz_}")"
  done
fi
[ $# -gt 0 ] || { echo "fuzz: no targets in $build" >&2; exit 1; }
rm -rf "$out" && mkdir -p "$out"
failed=0 running=0
for name in "$@"; do
  run_one "$name" &
  running=$((running + 1))
  if [ "$running" -ge "${FUZZ_JOBS:-$(nproc)}" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
done
while [ "$running" -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done
exit "$failed"
