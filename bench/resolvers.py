"""The DNS row: queries per CPU-second of nono's stub, unbound and dnsmasq, asked by dnsperf; and the bare stub that
bench_names is, as the limit."""

import re
import secrets
import subprocess

import peers
from process import LOAD_CORE, PROXY_CORE, Failed, Process, pinned

BLOCKED = [f"b{at}.blocked.example" for at in range(10_000)]
CACHED = [f"c{at}.bench.example" for at in range(1_000)]
RCODES = {"cached": {"NOERROR"}, "missed": {"NOERROR"}, "blocked": {"NXDOMAIN", "REFUSED"}}
ENTRANTS = ["bare stub", "nono", "unbound", "dnsmasq"]


def unbound(folder):
    zones = "\n".join(f'  local-zone: "{name}." always_nxdomain' for name in BLOCKED)
    (folder / "unbound.conf").write_text(f"""server:
  interface: 127.79.0.8
  port: 5300
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  num-threads: 1
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  msg-cache-size: 64m
  rrset-cache-size: 128m
  outgoing-range: 4096
  num-queries-per-thread: 2048
  so-rcvbuf: 4m
{zones}
forward-zone:
  name: "."
  forward-addr: {peers.NAMES.replace(":", "@")}
""")
    return [peers.found("unbound"), "-d", "-c", str(folder / "unbound.conf")], "127.79.0.8:5300"


def dnsmasq(folder):
    (folder / "dnsmasq.conf").write_text("".join(f"address=/{name}/\n" for name in BLOCKED))
    return [peers.found("dnsmasq"), "--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root",
            "--listen-address=127.79.0.9", "--port=5300", "--cache-size=10000", "--dns-forward-max=4096", "--no-negcache",
            "--server=" + peers.NAMES.replace(":", "#"), f"--conf-file={folder}/dnsmasq.conf", "--pid-file="], "127.79.0.9:5300"


def start(bench, name):
    """(process, address) of an entrant; all but the bare stub listen on TCP as well."""
    if name == "nono":
        process, own = bench.start_nono("nono dns", dns=True, denied=BLOCKED)
        return process, own.dns_address
    if name == "bare stub":
        at = "127.79.0.10:5300"
        return Process(name, [bench.tool("names"), at], bench.folder, None), at
    command, at = {"unbound": unbound, "dnsmasq": dnsmasq}[name](bench.folder)
    return Process(name, command, bench.folder, at), at


def queries(folder, kind):
    """The file of questions for dnsperf; misses are new names each time."""
    names = {"blocked": BLOCKED, "cached": CACHED}.get(kind) or [f"m{secrets.token_hex(6)}.bench.example" for _ in range(400_000)]
    path = folder / f"queries-{kind}"
    path.write_text("".join(f"{name} A\n" for name in names))
    return path


def ask(process, at, path, kind, seconds):
    host, port = at.split(":")
    before = process.cpu_seconds()
    done = subprocess.run([peers.found("dnsperf"), "-s", host, "-p", port, "-d", str(path), "-l", str(seconds), "-q", "64", "-t", "5"],
                          capture_output=True, text=True, timeout=seconds + 30, preexec_fn=pinned(LOAD_CORE))
    used = process.cpu_seconds() - before
    completed = re.search(r"Queries completed:\s+(\d+)", done.stdout)
    lost = re.search(r"Queries lost:\s+(\d+)", done.stdout)
    codes = set(re.findall(r"([A-Z]+) \d+ \(", (re.search(r"Response codes:(.*)", done.stdout) or [None, ""])[1]))
    if not completed or not lost:
        raise Failed("dnsperf: " + (done.stderr or done.stdout).strip()[-300:])
    if int(lost[1]) or not int(completed[1]):
        raise Failed(f"{completed[1]} queries answered, {lost[1]} lost")
    if not codes <= RCODES[kind]:
        raise Failed(f"answered with {', '.join(sorted(codes))}")
    return {"per_cpu_second": int(completed[1]) / used, "rate": int(completed[1]) / seconds}


def measure(bench):
    """{kind: {entrant: [a result for each round]}}"""
    results = {kind: {} for kind in ("cached", "blocked", "missed")}
    if not peers.found("dnsperf"):
        bench.problem("dns: there is no dnsperf")
        return results
    running = {}
    try:
        for name in ENTRANTS:
            if bench.wanted(name) and (name in ("nono", "bare stub") or peers.found(name)):
                try:
                    running[name] = start(bench, name)
                except (Failed, OSError) as error:
                    bench.problem(f"dns: {error}")
        for kind, found in results.items():
            bad = set()
            for number in range(-1, bench.rounds):
                for name, (process, at) in running.items():
                    if name in bad or (name == "bare stub" and kind != "cached"):
                        continue
                    try:
                        path = queries(bench.folder, kind)
                        result = ask(process, at, path, kind, 1 if number < 0 or bench.options.quick else 2)
                        if number >= 0:
                            found.setdefault(name, []).append(result)
                    except (Failed, subprocess.TimeoutExpired) as error:
                        bench.problem(f"dns, {kind}, {name}: {error}")
                        bad.add(name)
                        found.pop(name, None)
    finally:
        for process, _ in running.values():
            process.stop()
    return results
