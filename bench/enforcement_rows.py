"""The rows about the sandbox: what starting it costs, what its filter costs a call, what capturing costs a connection."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

import peers
from process import CORES, LOAD_CORE, PROXY_CORE, Failed, pinned, tree

NAME = "o1.bench.example"
SECONDS = {"connect": 2, "rtt": 1.5}


def places(bench):
    """(project, environment) of a run: a home of its own."""
    project, home = bench.folder / "project", bench.folder / "home"
    project.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    return project, {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}


def launch(bench):
    """Milliseconds of `true`: bare, under nono run and under bubblewrap; and the memory that nono holds while it runs."""
    project, env = places(bench)
    nono = [str(bench.nono), "run", "--silent", "--allow-cwd"]
    commands = {"bare": ["true"], "nono run, network open": [*nono, "--", "true"],
                "nono run with proxy and audit": [*nono, "--allow-domain", "example.com", "--", "true"]}
    if peers.found("bwrap"):
        commands["bwrap --unshare-all"] = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    words = [word for command in commands.values() for word in ["---", *command]][1:]
    done = subprocess.run([bench.tool("spawn_time"), "10" if bench.options.quick else "200", *words], capture_output=True, text=True,
                          cwd=project, timeout=120, env=env)
    if done.returncode:
        bench.problem("launch: " + done.stderr.strip())
        return {}
    results = {name: {"ms": us / 1000} for name, us in zip(commands, json.loads(done.stdout))}
    results["nono run with proxy and audit"]["pss_bytes"] = launched_pss(bench, [*nono, "--allow-domain", "example.com"], project, env)
    return results


def launched_pss(bench, command, project, env):
    """PSS of everything but the command itself while it runs: proxy, launcher, the sandbox's first process."""
    running = subprocess.Popen([*command, "--", "sleep", "2"], cwd=project, env=env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.7)
        samples = [sum(pss(pid) for pid in tree(running.pid)) for _ in range(3)]
        return statistics.median(samples)
    finally:
        if running.wait(30):
            bench.problem("launch: the command for the memory figure failed")


def pss(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            if file.read().strip() == "sleep":
                return 0
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def call_filter(bench):
    """{call: [nanoseconds bare, in the sandbox]}: medians of interleaved rounds."""
    project, env = places(bench)
    tool = bench.tool("call_time")
    ways = ([tool], [str(bench.nono), "run", "--silent", "--allow-cwd", "--allow-domain", "example.com", "--", tool])
    found = {}
    for _ in range(2 if bench.options.quick else 9):
        for at, command in enumerate(ways):
            done = subprocess.run(command, capture_output=True, text=True, cwd=project, timeout=120, env=env,
                                  preexec_fn=pinned(LOAD_CORE))
            if done.returncode:
                bench.problem("filter: " + (done.stderr.strip() or "the tool failed"))
                return {}
            for call, cost in json.loads(done.stdout).items():
                found.setdefault(call, ([], []))[at].append(cost)
    return {call: [statistics.median(costs) for costs in both] for call, both in found.items()}


def captured(bench):
    """{mode: {way: [a result for each round]}}: connections inside the sandbox, captured and by CONNECT to the proxy there."""
    project, env = places(bench)
    env["PATH"] = "/usr/local/bin:/usr/bin:/bin"  # the system's python: one in the real home is out of reach
    shutil.copy(pathlib.Path(__file__).with_name("inside.py"), project / "inside.py")
    results = {mode: {"by CONNECT": [], "captured": []} for mode in SECONDS}
    try:
        for number in range(bench.rounds + 2):
            for mode, ways in results.items():
                for way, rounds in ways.items():
                    rounds.append(load_inside(bench, project, env, mode, way.split()[-1].lower()))
    except (Failed, OSError, ValueError) as error:
        bench.problem(f"captured: {error}")
        return {}
    return results


def load_inside(bench, project, env, mode, way):
    """One run of the load as the sandbox's command: its JSON, with the proxy's CPU."""
    port = str(peers.ORIGIN[1])
    command = [str(bench.nono), "run", "--silent", "--allow-cwd", "--read", str(bench.tools), "--allow-domain", f"{NAME}:{port}",
               "--allow-private", "127.77.0.0/24", "--dns-server", peers.NAMES, "--", "python3", "inside.py", way, str(LOAD_CORE),
               NAME, port, bench.tool("load"), mode, "--seconds", str(SECONDS[mode] * bench.factor), "--connections", "32"]
    running = subprocess.Popen(command, cwd=project, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=pinned(PROXY_CORE, *CORES))
    try:
        os.sched_setaffinity(running.pid, {PROXY_CORE})
        line = running.stdout.readline()
        used = time.clock_gettime((~running.pid << 3) | 2)  # the proxy alone, not what it runs
        _, problems = running.communicate("", timeout=30)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    if not line.strip():
        raise Failed(problems.strip() or "the load ended without a word")
    result = json.loads(line)
    if result["errors"] or not result["operations"]:
        raise Failed(f"{result['errors']} errors; {problems.strip()}")
    result["rate"] = result["operations"] / result["seconds"]
    result["cpu_us"] = used / result["operations"] * 1e6
    return result
