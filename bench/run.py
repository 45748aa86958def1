#!/usr/bin/env python3
"""Measures nono proxy beside tinyproxy, squid, a bare copy relay and no proxy at all, in one run.

Each proxy is alone on one core; the load client and the origin share the other. Rounds are interleaved, so that
a slow moment of the machine hits all alike; the tables show medians. CPU is the proxy's own (user and system, all
its threads) per operation: trust that over rates. Everything stays on 127.0.0.0/8.

  bench/run.py --nono build/release/nono --tools build/release/bench [--quick] [--only nono,relay]
"""

import argparse
import base64
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ORIGIN = "127.77.0.1:9000"
ORIGINS = 16
TOKEN = secrets.token_hex(32)
TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


def descriptors():
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Peer:
    """A proxy under test: how to start it, where it listens, what a client must send."""

    def __init__(self, name, address, command, auth=None, env=None):
        self.name, self.address, self.command, self.auth = name, address, command, auth
        self.env = {**os.environ, **(env or {})}
        self.process = None

    def start(self, folder):
        if self.command is None:
            return
        log = open(folder / f"{self.name}.log", "wb")
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.env, cwd=folder,
                                        preexec_fn=pinned(PROXY_CORE))
        host, port = self.address.rsplit(":", 1)
        for _ in range(400):
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        sys.exit(f"bench: {self.name} did not start:\n" + (folder / f"{self.name}.log").read_text())

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def cpu_seconds(self):
        if self.process is None:
            return None
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def pss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return 0


def peers(options, folder):
    tinyproxy = folder / "tinyproxy.conf"
    tinyproxy.write_text("Port 8888\nListen 127.79.0.2\nMaxClients 4000\nTimeout 600\nLogLevel Critical\n"
                         f"LogFile \"{folder}/tinyproxy-own.log\"\nDisableViaHeader Yes\n")
    squid = folder / "squid.conf"
    squid.write_text("http_port 127.79.0.3:8888\nhttp_access allow all\ncache deny all\naccess_log none\n"
                     f"cache_log {folder}/squid-own.log\npid_filename none\npinger_enable off\nvia off\n"
                     "forwarded_for delete\nvisible_hostname bench\nshutdown_lifetime 0 seconds\n"
                     f"max_filedescriptors 32768\ncoredump_dir {folder}\n")
    basic = "Basic " + base64.b64encode(f"nono:{TOKEN}".encode()).decode()
    listed = [
        Peer("direct", "direct", None),
        Peer("relay", "127.79.0.1:8888", [str(options.tools / "bench_relay_copy"), "127.79.0.1:8888"]),
        Peer("nono", "127.79.0.4:8888",
             [str(options.nono), "proxy", "--listen", "127.79.0.4:8888", "--max-connections", "20000",
              "--allow-domain", "127.77.0.0/24:9000", "--audit-log", str(folder / "audit.jsonl")],
             auth=basic, env={"NONO_PROXY_TOKEN": TOKEN, "HOME": str(folder)}),
    ]
    if shutil.which("tinyproxy"):
        listed.append(Peer("tinyproxy", "127.79.0.2:8888", ["tinyproxy", "-d", "-c", str(tinyproxy)]))
    if shutil.which("squid", path=os.environ["PATH"] + ":/usr/sbin"):
        os.chmod(folder, 0o777)  # squid gives up root
        listed.append(Peer("squid", "127.79.0.3:8888", [shutil.which("squid", path="/usr/sbin:/usr/bin"), "-N", "-f",
                                                        str(squid)]))
    wanted = options.only.split(",") if options.only else None
    return [peer for peer in listed if wanted is None or peer.name in wanted]


def load_command(options, peer, mode, connections, seconds):
    command = [str(options.tools / "bench_load"), mode, "--proxy", peer.address, "--origin", ORIGIN,
               "--origins", str(ORIGINS), "--connections", str(connections), "--seconds", str(seconds)]
    return command + (["--auth", peer.auth] if peer.auth else [])


def measure(options, peer, mode, seconds):
    before = peer.cpu_seconds()
    done = subprocess.run(load_command(options, peer, mode, 32, seconds), capture_output=True, text=True,
                          preexec_fn=pinned(LOAD_CORE), timeout=seconds + 30)
    if not done.stdout.strip():
        sys.exit(f"bench: {mode} through {peer.name} failed: {done.stderr}")
    row = json.loads(done.stdout)
    if row["errors"]:
        print(f"bench: {row['errors']} errors, {mode} through {peer.name}: {done.stderr.strip()}")
    row["rate"] = row["operations"] / row["seconds"]
    if before is not None and row["operations"]:
        row["cpu_us"] = (peer.cpu_seconds() - before) / row["operations"] * 1e6
    return row


def idle_bytes(options, peer, tunnels):
    """PSS that one open, idle tunnel adds to the proxy."""
    before = peer.pss_bytes()
    load = subprocess.Popen(load_command(options, peer, "idle", tunnels, 0), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pinned(LOAD_CORE))
    try:
        if load.stdout.readline().strip() != "held":
            print(f"bench: {peer.name} does not hold {tunnels} tunnels: {load.stderr.read().strip()}")
            return None
        # Buffers of the handshakes may be given back a moment later: take the least of one second.
        least = min(sample for sample in (wait_pss(peer) for _ in range(5)))
        return max(0, least - before) / tunnels
    finally:
        load.stdin.close()
        load.wait(30)


def wait_pss(peer):
    time.sleep(0.2)
    return peer.pss_bytes()


def launch(options, folder, rounds):
    """Milliseconds of `true` bare and under nono run, with the network open and with the proxy in it."""
    project = folder / "project"
    project.mkdir()
    out = {}
    for name, flags in (("open network", []), ("with the proxy", ["--allow-domain", "example.com"])):
        done = subprocess.run([str(options.tools / "bench_spawn_time"), str(rounds), "true", "---", str(options.nono), "run",
                               "--silent", "--allow-cwd", *flags, "--", "true"],
                              capture_output=True, text=True, cwd=project, timeout=120,
                              env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"})
        if done.returncode:
            print("bench: launch failed:", done.stderr.strip())
            continue
        row = json.loads(done.stdout)
        out[name] = {"bare_ms": row["bare_us"] / 1000, "nono_ms": row["other_us"] / 1000,
                     "cost_ms": (row["other_us"] - row["bare_us"]) / 1000}
    return out


def middle(rows, key):
    values = [row[key] for row in rows if key in row]
    return statistics.median(values) if values else None


def shown(value, form="{:,.0f}"):
    return "-" if value is None else form.format(value)


def ratio(a, b):
    return "-" if not a or not b else f"{a / b:.2f}"


def table(title, heads, lines):
    print(f"\n{title}")
    rows = [heads, *lines]
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width)
                               for at, (cell, width) in enumerate(zip(row, widths))))


def report(results, names):
    titles = {"connect": "CONNECT tunnels", "http": "forward HTTP, kept connections, 1 KiB",
              "rtt": "64-byte round trips over 32 tunnels"}
    summary = {}
    for mode, title in titles.items():
        lines = []
        summary[mode] = {name: {key: middle(results[mode][name], key) for key in ("rate", "cpu_us", "p50_us", "p99_us")}
                         for name in names if results[mode].get(name)}
        nono, relay = summary[mode].get("nono", {}), summary[mode].get("relay", {})
        for name, row in summary[mode].items():
            lines.append([name, shown(row["rate"]), shown(row["cpu_us"], "{:.1f}"), shown(row["p50_us"]), shown(row["p99_us"]),
                          ratio(nono.get("rate"), row["rate"]), ratio(row["cpu_us"], relay.get("cpu_us"))])
        table(title, ["", "per second", "CPU us each", "p50 us", "p99 us", "nono's rate / this", "CPU / relay's"], lines)
    return summary


def bars(summary, idle, launched):
    """What this stage of the product must keep; false where it does not."""
    connect, http, rtt = (summary[mode] for mode in ("connect", "http", "rtt"))
    checks = []
    if "nono" in connect and "tinyproxy" in connect:
        for mode, rows in (("CONNECT", connect), ("forward HTTP", http), ("round trips", rtt)):
            checks.append((f"ahead of tinyproxy in {mode}", rows["nono"]["rate"] > rows["tinyproxy"]["rate"]))
        if idle.get("nono") is not None and idle.get("tinyproxy") is not None:
            checks.append(("ahead of tinyproxy in idle memory", idle["nono"] < idle["tinyproxy"]))
    if "nono" in connect and "squid" in connect:
        checks.append(("ahead of squid in CONNECT rate", connect["nono"]["rate"] > connect["squid"]["rate"]))
    if "nono" in connect and "relay" in connect:
        share = connect["nono"]["cpu_us"] / connect["relay"]["cpu_us"]
        checks.append((f"CPU per tunnel within 1.4 of the bare relay ({share:.2f})", share <= 1.4))
    if "open network" in launched:
        cost = launched["open network"]["cost_ms"]
        checks.append((f"nono run costs at most 10 ms over bare ({cost:.1f})", cost <= 10))
    print()
    for what, holds in checks:
        print(("  yes  " if holds else "  NO   ") + what)
    return all(holds for _, holds in checks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nono", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("--tools", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works, not to compare")
    parser.add_argument("--only", help="peers, comma separated: direct,relay,nono,tinyproxy,squid")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench/results.json"))
    options = parser.parse_args()
    rounds, seconds, tunnels = (1, 1, 200) if options.quick else (3, 3, 1000)
    if descriptors() < 4 * tunnels + 200:
        tunnels = 100
    if PROXY_CORE == LOAD_CORE:
        print("bench: one core only: proxy, load and origin share it, and rates mean little")

    with tempfile.TemporaryDirectory(prefix="nono-bench-") as name:
        folder = pathlib.Path(name)
        origin = subprocess.Popen([str(options.tools / "bench_origin"), ORIGIN, str(ORIGINS)], stdout=subprocess.PIPE,
                                  preexec_fn=pinned(LOAD_CORE))
        origin.stdout.readline()
        running = peers(options, folder)
        try:
            results, idle, launched = compare(options, running, folder, rounds, seconds, tunnels)
        finally:
            for peer in running:
                peer.stop()
            origin.kill()
            origin.wait()

    names = [peer.name for peer in running]
    summary = report(results, names)
    table(f"idle tunnels ({tunnels})", ["", "PSS bytes each"], [[name, shown(value)] for name, value in idle.items()])
    table("launch of true, ms", ["", "bare", "nono run", "cost"],
          [[name, *(f"{row[key]:.2f}" for key in ("bare_ms", "nono_ms", "cost_ms"))] for name, row in launched.items()])
    holds = bars(summary, idle, launched)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine(), "quick": options.quick, "rounds": results, "medians": summary,
                                       "idle_pss_bytes": idle, "launch": launched}, indent=1))
    print(f"\nwritten to {options.out}")
    return 0 if holds or options.quick else 1


def compare(options, running, folder, rounds, seconds, tunnels):
    for peer in running:
        peer.start(folder)
    results = {mode: {peer.name: [] for peer in running} for mode in ("connect", "http", "rtt")}
    for round_number in range(rounds):
        for mode in results:
            for peer in running:
                if mode == "http" and peer.name == "relay":
                    continue  # it speaks CONNECT only
                results[mode][peer.name].append(measure(options, peer, mode, seconds))
        print(f"round {round_number + 1} of {rounds} done", flush=True)
    idle = {peer.name: idle_bytes(options, peer, tunnels) for peer in running if peer.process is not None}
    launched = launch(options, folder, 20) if any(peer.name == "nono" for peer in running) else {}
    return results, idle, launched


def machine():
    cpu = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    return {"cpu": cpu[0] if cpu else "unknown", "cores": len(CORES), "kernel": os.uname().release,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


if __name__ == "__main__":
    sys.exit(main())
