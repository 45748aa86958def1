# Sourced by bootstrap.sh: the whole of `./bootstrap.sh test`, in the order in which failures are cheapest.

closing_lines=()

# run_ctest [--own-network] NAME DIR ARGUMENT...: runs ctest, keeps its closing line, fails loudly.
run_ctest() {
  local network=()
  if [ "$1" = --own-network ]; then
    network=(in_network)
    shift
  fi
  local name=$1 dir=$2
  shift 2
  say "testing $name"
  local log="build/ctest-$name.log" result=0
  "${network[@]}" ctest --test-dir "$dir" --output-on-failure --no-tests=error -j "$(nproc)" "$@" 2>&1 |
    tee "$log" || result=$?
  [ "$result" = 0 ] || die "tests of $name failed; all output is in $log"
  closing_lines+=("$name: $(grep -E '^[0-9]+% tests passed' "$log")")
}

# The SDK that the end-to-end tests drive, and Prometheus's own parser. Without a package index the tests that need
# them say so and skip.
make_test_venv() {
  local venv=build/venv packages='openai prometheus_client'
  [ "$(cat "$venv/.ready" 2> /dev/null)" = "$packages" ] && return 0
  say "a virtual environment with $packages"
  /usr/bin/python3 -m venv "$venv"
  # shellcheck disable=SC2086  # a list of names
  if "$venv/bin/pip" install -q --disable-pip-version-check $packages; then
    echo "$packages" > "$venv/.ready"
  else
    echo "bootstrap: pip could not install $packages; the tests that need them will be skipped by name"
  fi
}

# Ports below 1024 belong to root. An ordinary user gets a network namespace of its own, in which
# they are free, with loopback up; the tests that drop from root to a user skip there by name.
in_network() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    unshare --user --map-current-user --keep-caps --net -- /bin/sh -c 'ip link set lo up && exec "$@"' sh "$@"
  fi
}

run_all_tests() {
  mkdir -p build
  make_test_venv
  export NONO_TEST_VENV="$PWD/build/venv"
  # Reports of the sanitizers name functions and lines.
  export ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-19
  export TSAN_OPTIONS=external_symbolizer_path=/usr/bin/llvm-symbolizer-19

  build debug all
  run_ctest tidy build/debug -R '^tidy:'
  say "coroutine lint"
  tests/tidy/coroutine_lint.sh build/debug
  run_ctest --own-network debug build/debug

  build tsan dns_tests net_tests proxy_tests
  # What crosses threads: the audit writer, a server of several workers, resolvers side by side. (The keyring's
  # threads are GLib's, which TSan cannot see into.)
  run_ctest tsan build/tsan -R '^(dns|net|proxy):'

  local area areas=(base config policy dns keystore seatbelt http intercept net metrics admin proxy cli)
  local targets=()
  for area in "${areas[@]}"; do targets+=("${area}_tests"); done
  build gcc "${targets[@]}"
  run_ctest gcc build/gcc -R "^($(IFS='|'; echo "${areas[*]}")):"

  say "the sandbox for macOS"
  tests/seatbelt/link_check.sh build/zig 2>&1 | tee build/macos.log ||
    die "the macOS sandbox does not compile or link; all output is in build/macos.log"
  closing_lines+=("macOS: $(tail -n 1 build/macos.log)")

  build fuzz fuzz_targets
  say "fuzzing"
  tests/fuzz/run.sh build/fuzz/tests build/fuzz-out 2>&1 | tee build/fuzz.log ||
    die "a fuzz target failed; its input is named above"
  closing_lines+=("fuzz: $(grep -c ' runs, ' build/fuzz.log) targets found nothing")

  build release nono
  NONO_TEST_BINARY="$PWD/build/release/nono" run_ctest --own-network release build/debug -R '^(e2e|escape):'

  say "a soak of one minute"
  /usr/bin/python3 tests/e2e/soak.py --nono build/release/nono --minutes 1 2>&1 | tee build/soak.log ||
    die "the soak failed; all output is in build/soak.log"
  closing_lines+=("$(tail -n 1 build/soak.log | cut -d: -f1,2)")

  say "all passed"
  printf '%s\n' "${closing_lines[@]}"
  # The closing line of the widest run, as ctest wrote it.
  grep -E '^[0-9]+% tests passed' build/ctest-debug.log
}
