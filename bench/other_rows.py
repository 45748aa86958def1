"""The rows that are no load of requests: idle memory, memory over time, rules, workers."""

import json
import subprocess
import time

import peers
from process import CORES, LOAD_CORE, Failed, Process, pinned
from rows import TUNNELS, forward_way, there_and_back, through, tunnel_way


def idle(bench, tunnels):
    """{entrant: PSS bytes that one open, idle tunnel adds to the proxy}"""
    results = {}
    for name in TUNNELS[1:]:
        if not bench.wanted(name) or not bench.available(name):
            continue
        try:
            results[name] = idle_bytes(bench, name, tunnels)
        except (Failed, OSError) as error:
            bench.problem(f"idle through {name}: {error}")
    return results


def idle_bytes(bench, name, tunnels):
    process, own = bench.start(name)
    load = None
    try:
        before = process.pss_bytes()
        command = [bench.tool("load"), "idle", *tunnel_way(name, own), "--connections", str(tunnels)]
        load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=pinned(LOAD_CORE))
        if load.stdout.readline().strip() != "held":  # it gives up by itself after 30 s
            raise Failed(f"{tunnels} tunnels are not held: {load.stderr.read().strip()}")
        # Buffers of the handshakes may be given back later: the least of four seconds counts.
        samples = []
        for _ in range(20):
            time.sleep(0.2)
            samples.append(process.pss_bytes())
        return max(0, min(samples) - before) / tunnels
    finally:
        if load:
            load.stdin.close()
            try:
                load.wait(20)
            except subprocess.TimeoutExpired:
                load.kill()
                load.wait()
        process.stop()


def compared(bench, row, variants, seconds, others=None, more_rounds=2):
    """Interleaved CONNECT rounds against several set-ups of nono, and what `others` start: {name: [a result for each round]}."""
    others = others or {}
    running, results = {}, {name: [] for name in [*variants, *others]}
    try:
        for name, settings in variants.items():
            process, own = bench.start_nono(name, patience=90, **settings)
            running[name] = process, tunnel_way("nono", own)
        for name, start in others.items():
            running[name] = start()
        for number in range(-1, bench.rounds + more_rounds):
            for name in there_and_back(list(running), number):
                process, way = running[name]
                result = bench.measure(process, "connect", way, 0.5 if number < 0 else seconds * bench.factor, 32)
                if number >= 0:
                    results[name].append(result)
    except (Failed, OSError) as error:
        bench.problem(f"{row}: {error}")
        return {}
    finally:
        for process, _ in running.values():
            process.stop()
    return results


def rules(bench):
    """CONNECT with few and many host rules, and what deciding alone costs where the tool for that was built."""
    many = [f"h{at}.rules.example:9000" if at % 2 else f"'*.w{at}.rules.example:9000'" for at in range(100_000)]
    results = compared(bench, "rules", {"10 rules": {"rules": many[:8]}, "100,000 rules": {"rules": many[2:], "host": "127.79.0.14"}}, 2)
    decide = bench.tools / "bench_policy_decide"
    if not decide.exists():
        return results, None
    done = subprocess.run([str(decide)], capture_output=True, text=True, timeout=120, preexec_fn=pinned(CORES[0]))
    if done.returncode:
        bench.problem("policy_decide: " + done.stderr.strip())
        return results, None
    return results, json.loads(done.stdout)["nanoseconds_per_decision"]


def workers(bench):
    """CONNECT with one worker and with two, each free to use both cores beside the load; haproxy likewise, since part of
    what the second one costs is the machine's: fuller cores, and fewer events at once for each."""
    def haproxy(threads, host):
        command, listens = peers.haproxy_by_threads(bench.folder, threads, host)
        return Process(f"haproxy with {threads}", command, bench.folder, listens, cores=CORES), through("relay", listens)

    others = {}
    if bench.wanted("haproxy") and bench.available("haproxy"):
        others = {"haproxy, 1 thread": lambda: haproxy(1, "127.79.0.15"), "haproxy, 2 threads": lambda: haproxy(2, "127.79.0.16")}
    return compared(bench, "workers", {"1 worker": {"threads": 1, "cores": CORES},
                                       "2 workers": {"threads": 2, "cores": CORES, "host": "127.79.0.14"}},
                    1.5, others, more_rounds=2 if bench.options.quick else 10)  # on shared cores each round is worth less


def sessions(bench):
    """CONNECT beside ten thousand other sessions and beside none."""
    return compared(bench, "sessions", {"1 session": {}, "10,001 sessions": {"sessions": 10_000, "host": "127.79.0.14"}}, 2)


def memory(bench):
    """[(requests so far, RSS bytes)] over a million forward requests."""
    steps = [1_000, 10_000, 50_000, 100_000] if bench.options.quick else [10_000, 100_000, 500_000, 1_000_000]
    samples = []
    try:
        process, own = bench.start("nono")
    except (Failed, OSError) as error:
        bench.problem(f"memory: {error}")
        return []
    try:
        had = 0
        for step in steps:
            done = bench.load("http", [*forward_way("nono", own), "--operations", str(step - had)], 120, 32)
            had += done["operations"]
            samples.append((had, process.rss_bytes()))
    except Failed as error:
        bench.problem(f"memory: {error}")
    finally:
        process.stop()
    return samples
