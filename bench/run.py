#!/usr/bin/env python3
"""Measures nono beside Debian's proxies, resolvers and a bare relay, in one run of about ten minutes.

The proxy under test is alone on one core; the load and the origin share the other. Rounds are interleaved, so that a
slow moment of the machine hits all alike; what is shown are medians. CPU is the proxy's own (all threads, all child
processes) per operation: trust that over rates. Every answer is checked; an error makes the figure invalid. Speed is
never asserted: the exit code is 0. Everything stays on 127.0.0.0/8.

  bench/run.py --nono build/release/nono --tools build/release/bench [--quick] [--rows connect,dns] [--only nono,squid]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # the source tree stays as it is

import certificates
import enforcement_rows
import other_rows
import peers
import plot
import report
import resolvers
from process import CORES, LOAD_CORE, PROXY_CORE, pinned, raise_descriptor_limit
from rows import LOAD_ROWS, Bench, run_load_row

OTHER_ROWS = ("idle", "dns", "rules", "workers", "sessions", "memory", "launch", "filter", "captured")
ALL_ROWS = [*(row.name for row in LOAD_ROWS), *OTHER_ROWS]


def listed(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def absolute(text):
    return pathlib.Path(text).resolve()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nono", type=absolute, default="build/release/nono")
    parser.add_argument("--tools", type=absolute, default="build/release/bench")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works, not to compare")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=listed, default=ALL_ROWS, help="any of " + ",".join(ALL_ROWS))
    parser.add_argument("--only", type=listed, help="who takes part, such as nono,haproxy,copy relay")
    parser.add_argument("--out", type=absolute, default="build/bench", help="folder of results.json and speed.svg")
    parser.add_argument("--markdown", action="store_true", help="write speed.md there, too")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md and the plot into docs/speed.svg")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ALL_ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ALL_ROWS)}")
    return options


def machine():
    cpu = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    return {"cpu": cpu[0] if cpu else "unknown", "cores": len(CORES), "kernel": os.uname().release.split("-")[0], "load": os.getloadavg()[0],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def background(command):
    """A tool of the load's side; it has said "ready" when this returns."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=pinned(LOAD_CORE))
    process.stdout.readline()
    return process


def sandbox_rows(bench, data, begin):
    """First of all: the other rows leave a hundred thousand connections in TIME_WAIT for a minute, and taking a network namespace
    down costs more the more of them the machine has."""
    if begin("launch"):
        data["launch"] = enforcement_rows.launch(bench)
    if begin("filter"):
        data["filter"] = enforcement_rows.call_filter(bench)
    if begin("captured"):
        data["raw"]["captured"] = enforcement_rows.captured(bench)
        data["captured"] = {mode: report.medians(found) for mode, found in data["raw"]["captured"].items()}


def measure(bench, options, tunnels):
    data = {"machine": machine(), "quick": options.quick, "rounds": bench.rounds, "load": {}, "raw": {}, "problems": bench.problems}

    def begin(name):
        if name in options.rows:
            print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        return name in options.rows

    if bench.wanted("nono"):
        sandbox_rows(bench, data, begin)
    for row in LOAD_ROWS:
        if begin(row.name):
            data["raw"][row.name] = run_load_row(bench, row)
            data["load"][row.name] = report.medians(data["raw"][row.name])
    if begin("idle"):
        data["idle_tunnels"] = tunnels
        data["idle"] = other_rows.idle(bench, tunnels)
    if begin("dns"):
        data["raw"]["dns"] = resolvers.measure(bench)
        data["dns"] = {kind: report.medians(found) for kind, found in data["raw"]["dns"].items()}
    if not bench.wanted("nono"):
        return data
    if begin("rules"):
        data["raw"]["rules"], data["policy_decide"] = other_rows.rules(bench)
        data["rules"] = report.medians(data["raw"]["rules"])
    for name, run in (("workers", other_rows.workers), ("sessions", other_rows.sessions)):
        if begin(name):
            data["raw"][name] = run(bench)
            data[name] = report.medians(data["raw"][name])
    if begin("memory"):
        data["memory"] = other_rows.memory(bench)
    return data


def write_readme(data):
    """Replaces what stands between the two marks of README.md's section Speed."""
    root = pathlib.Path(__file__).resolve().parent.parent
    readme = root / "README.md"
    before, begin, rest = readme.read_text().partition("<!-- speed: written by bench/run.py --readme -->\n")
    _, end, after = rest.partition("<!-- end of speed -->\n")
    if not begin or not end:
        sys.exit("bench: README.md has no marks for the speed tables")
    readme.write_text(before + begin + report.markdown(data, LOAD_ROWS) + end + after)
    (root / "docs/speed.svg").write_text(plot.svg(data, LOAD_ROWS))


def main():
    options = arguments()
    tunnels = 200 if options.quick else 5000
    if raise_descriptor_limit() < 2 * peers.CONNECTIONS + 200:
        tunnels = 200
        print("bench: few file descriptors (ulimit -Hn): 200 idle tunnels only")
    if PROXY_CORE == LOAD_CORE:
        print("bench: one core only: proxy, load and origin share it, and rates mean little")
    if not (options.tools / "bench_load").exists():
        sys.exit(f"bench: no tools in {options.tools}: ninja nono_bench_tools")
    if os.getloadavg()[0] > 1:
        print(f"bench: other work runs on this machine (load average {os.getloadavg()[0]:.0f}): compare nothing but CPU, and that roughly")
    with tempfile.TemporaryDirectory(prefix="nono-bench-", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)  # squid gives up root
        certificates.make(folder, peers.HOST)
        bench = Bench(options, folder)
        helpers = []
        try:
            address = f"{peers.ORIGIN[0]}:{peers.ORIGIN[1]}"
            helpers.append(background([bench.tool("origin"), address, str(peers.ORIGINS), bench.key,
                                       str(folder / "origin.pem"), str(folder / "origin.key")]))
            helpers.append(background([bench.tool("names"), peers.NAMES]))
            data = measure(bench, options, tunnels)
        finally:
            for helper in helpers:
                helper.kill()
                helper.wait()
    data["budget"] = report.Budgets(data).lines
    report.print_all(data, LOAD_ROWS)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(data, indent=1))
    (options.out / "speed.svg").write_text(plot.svg(data, LOAD_ROWS))
    if options.markdown:
        (options.out / "speed.md").write_text(report.markdown(data, LOAD_ROWS))
    if options.readme:
        write_readme(data)
    print(f"written to {options.out}: results.json, speed.svg" + (", speed.md" if options.markdown else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
