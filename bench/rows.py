"""What is measured: for each row, who takes part and what the load asks of each."""

import dataclasses
import json
import secrets
import subprocess

import peers
from nono import Nono
from process import LOAD_CORE, PROXY_CORE, Failed, Process, pinned

NAMED = ["--names", "o%.bench.example"]
# What a client that has no key sends, for the peers to replace.
PLACEHOLDER = ["--field", "Authorization: Bearer nono-placeholder-0123456789abcdef0123456789abcdef"]


@dataclasses.dataclass
class Row:
    name: str
    title: str
    unit: str  # of one operation
    mode: str  # of the load
    entrants: list
    seconds: float = 2
    connections: int = 32
    notes: tuple = ()


INTERCEPTED = ("tls", "handshakes", "tlsdown")
ADDRESSED_NONO, P256_SQUID = "nono by address", "squid by P-256"
TUNNELS = ["direct", "copy relay", "splice relay", "nono", "haproxy", "nginx", "trafficserver", "tinyproxy", "squid"]
RELAYS = "haproxy and nginx are plain relays in the rows of tunnels: they parse no CONNECT."
NAMED_NOTE = "nono is asked for tunnels by name (judged, looked up in its cache, SNI compared), the others by address."
KEY_NOTE = "Where a key is put in, all do; nono also takes it out of every answer."
FIXED_NOTE = "haproxy and nginx go from TLS to TLS with one fixed certificate: a reference, they intercept nothing."
SQUID_NOTE = "squid signs with RSA-2048, as its documentation sets it up; by P-256, with an authority such as nono makes."
TLS_NOTES = (KEY_NOTE, FIXED_NOTE, SQUID_NOTE)

LOAD_ROWS = [
    Row("connect", "CONNECT tunnels, 16 origins in turn, a ClientHello there and back", "tunnel", "connect",
        [*TUNNELS[:4], ADDRESSED_NONO, *TUNNELS[4:]],
        notes=(RELAYS, NAMED_NOTE)),
    Row("down", "bulk through tunnels, down", "MiB", "down", TUNNELS, connections=4, notes=(RELAYS, NAMED_NOTE)),
    Row("up", "bulk through tunnels, up", "MiB", "up", TUNNELS, connections=4, notes=(RELAYS, NAMED_NOTE)),
    Row("rtt", "64-byte round trips through kept tunnels", "round trip", "rtt", TUNNELS, seconds=1.5, notes=(RELAYS, NAMED_NOTE)),
    Row("http", "forward HTTP, kept connections, 1 KiB", "request", "http",
        ["direct", "nono", "trafficserver", "tinyproxy", "squid"]),
    Row("reverse", "reverse HTTP with the key put in, kept connections, 1 KiB", "request", "http",
        ["direct", "nono", "haproxy", "nginx", "trafficserver", "squid"],
        notes=(KEY_NOTE, "All rewrite the path of reverse requests but squid.")),
    Row("tls", "intercepted TLS, kept connections, the key put in, 1 KiB", "request", "http",
        ["direct", "nono", "haproxy", "nginx", "squid"], notes=TLS_NOTES),
    Row("handshakes", "intercepted TLS, a handshake for each request", "handshake", "http",
        ["direct", "nono", "haproxy", "nginx", "squid", P256_SQUID], seconds=3,
        notes=TLS_NOTES),
    Row("tlsdown", "bulk through interception, down", "MiB", "bulk",
        ["direct", "nono", "haproxy", "nginx", "squid"], connections=4, notes=TLS_NOTES),
]


class Bench:
    """What all rows share: the tools, the folder, the origin's key, the interleaving."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.tools, self.nono = options.tools, options.nono
        self.key = "sk-bench-" + secrets.token_hex(24)
        self.rounds = 1 if options.quick else options.rounds
        self.factor = 0.4 if options.quick else 1
        self.problems = []

    def tool(self, name):
        return str(self.tools / f"bench_{name}")

    def problem(self, text):
        self.problems.append(text)
        print(f"bench: INVALID: {text}", flush=True)

    def wanted(self, name):
        only = self.options.only
        return only is None or name.split(" by ")[0] in only

    def available(self, name, row=""):
        if name.startswith("squid") and row in INTERCEPTED and not peers.squid_intercepts():
            return False
        if name in ("copy relay", "splice relay"):
            return (self.tools / f"bench_relay_{name.split()[0]}").exists()
        return name in peers.installed() or name in ("nono", ADDRESSED_NONO, "direct")

    def start_nono(self, name, cores=(PROXY_CORE,), patience=30, **settings):
        own = Nono(self.nono, self.folder / name.replace(" ", "-"), self.key, **settings)
        return Process(name, own.command(), own.folder, own.address, own.env(), cores, patience), own

    def start(self, name):
        """(process, Nono or None) of an entrant."""
        if name in ("copy relay", "splice relay"):
            at = "127.79.0.1:8888" if name == "copy relay" else "127.79.0.1:8889"
            return Process(name, [self.tool("relay_" + name.split()[0]), at], self.folder, at), None
        if name in ("nono", ADDRESSED_NONO):
            return self.start_nono(name)
        command, listens = peers.PROGRAMS[name][1](self.folder, self.key)
        return Process(name, command, self.folder, listens), None

    def load(self, mode, arguments, seconds, connections, on_begin=None):
        """One run of the load: its JSON. `on_begin` is called once its connections all work: what opening them cost
        is no part of the figure then."""
        command = [self.tool("load"), mode, *arguments, "--seconds", str(seconds), "--connections", str(connections)]
        running = subprocess.Popen(command + (["--settle"] if on_begin else []), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pinned(LOAD_CORE))
        try:
            if on_begin and running.stdout.readline():  # it gives up by itself after 60 s
                on_begin()
            out, err = running.communicate("." if on_begin else None, timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            raise Failed("the load did not end") from None
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
        if not out.strip():
            raise Failed(err.strip() or "the load ended without a word")
        result = json.loads(out)
        if result["errors"]:
            raise Failed(f"{result['errors']} errors; {err.strip()}")
        return result

    def measure(self, process, mode, arguments, seconds, connections):
        kept = mode != "connect" and "--once" not in arguments
        clock = {"before": process.cpu_seconds() if process else 0}

        def begin():
            clock["before"] = process.cpu_seconds() if process else 0

        result = self.load(mode, arguments, seconds, connections, begin if kept else None)
        if not result["operations"]:
            raise Failed("nothing was done")
        result["rate"] = result["operations"] / result["seconds"]
        if process:
            used = process.cpu_seconds() - clock["before"]
            result["cpu_us"] = used / result["operations"] * 1e6
            if result["bytes"]:
                result["cpu_s_gib"] = used / result["bytes"] * 2**30
        return result


def to_origins():
    return ["--origin", f"{peers.ORIGIN[0]}:{peers.ORIGIN[1]}", "--origins", str(peers.ORIGINS)]


def through(way, address):
    """Tunnels to all origins by what listens at `address`."""
    return ["--way", way, "--proxy", address, *to_origins()]


def tunnel_way(name, own):
    origin = to_origins()
    if name == "direct":
        return ["--way", "direct", *origin]
    if own:
        names = [] if name == ADDRESSED_NONO else NAMED
        return ["--way", "connect", "--proxy", own.address, "--auth", own.auth(), *names, *origin]
    address, way = {"copy relay": ("127.79.0.1:8888", "connect"), "splice relay": ("127.79.0.1:8889", "connect"),
                    "haproxy": ("127.79.0.5:8887", "relay"), "nginx": ("127.79.0.6:8887", "relay"),
                    "trafficserver": ("127.79.0.7:8888", "connect"), "tinyproxy": ("127.79.0.2:8888", "connect"),
                    "squid": ("127.79.0.3:8888", "connect")}[name]
    return through(way, address)


def forward_way(name, own):
    way = tunnel_way(ADDRESSED_NONO if own else name, own)
    return [word if word != "connect" else "absolute" for word in way]


def reverse_way(name, own, key):
    origin = ["--origin", f"{peers.ORIGIN[0]}:{peers.ORIGIN[1]}", "--origins", "1"]
    if name == "direct":
        return ["--way", "direct", *origin, "--path", "/key/item", "--field", f"Authorization: Bearer {key}"]
    if own:
        return ["--way", "relay", "--proxy", own.address, *origin, "--path", "/plain/item", "--field",
                f"Authorization: Bearer {own.phantom('plain')}"]
    address = {"haproxy": "127.79.0.5:8886", "nginx": "127.79.0.6:8886", "trafficserver": "127.79.0.7:8888",
               "squid": "127.79.0.3:8886"}[name]
    path = "/key/item" if name == "squid" else "/api/item"
    origin += PLACEHOLDER
    if name == "trafficserver":  # it picks its rule by Host
        return ["--way", "relay", "--proxy", address, "--origin", address, "--origins", "1", *PLACEHOLDER,
                "--path", path]
    return ["--way", "relay", "--proxy", address, *origin, "--path", path]


def tls_way(name, own, key, folder, path):
    way = ["--origin", f"{peers.ORIGIN[0]}:{peers.ORIGIN[1] + 1}", "--origins", "1", "--names", peers.HOST,
           "--tls", f"{folder}/trusted.pem"] + (["--path", path] if path else [])
    if name == "direct":
        return ["--way", "direct", *way, "--field", f"Authorization: Bearer {key}"]
    if own:
        return ["--way", "connect", "--proxy", own.address, "--auth", own.auth(), *way, "--field",
                f"Authorization: Bearer {own.phantom('secure')}"]
    way += PLACEHOLDER
    if name.startswith("squid"):
        host = "127.79.0.13" if name == P256_SQUID else "127.79.0.3"
        return ["--way", "connect", "--proxy", f"{host}:8885", *way]
    return ["--way", "relay", "--proxy", {"haproxy": "127.79.0.5:8885", "nginx": "127.79.0.6:8885"}[name], *way]


def way(bench, row, name, own):
    if row.name == "http":
        return forward_way(name, own)
    if row.name == "reverse":
        return reverse_way(name, own, bench.key)
    if row.name in INTERCEPTED:
        path = None if row.name == "tlsdown" else "/key/item"
        once = ["--once"] if row.name == "handshakes" else []
        return tls_way(name, own, bench.key, bench.folder, path) + once
    return tunnel_way(name, own)


def there_and_back(names, number):
    """The order of a round: every other one is the other way round, so that nobody always comes behind the same one."""
    return names[::-1] if number % 2 else names


def run_load_row(bench, row):
    """{entrant: [a result for each round]}; an entrant with an error has none, loudly."""
    names = [name for name in row.entrants if bench.wanted(name) and bench.available(name, row.name)]
    running, results = {}, {}
    try:
        for name in names:
            try:
                if name == ADDRESSED_NONO and "nono" in running:
                    running[name] = running["nono"]
                else:
                    running[name] = (None, None) if name == "direct" else bench.start(name)
                results[name] = []
            except (Failed, OSError) as error:
                bench.problem(f"{row.name}: {error}")
        for number in range(-1, bench.rounds):  # the first, short, fills caches and pools
            for name in there_and_back(list(results), number):
                seconds = 0.5 if number < 0 else row.seconds * bench.factor
                process, own = running[name]
                try:
                    if number < 0:
                        bench.load(row.mode, way(bench, row, name, own), seconds, row.connections)
                        continue
                    result = bench.measure(process, row.mode, way(bench, row, name, own), seconds, row.connections)
                    results[name].append(result)
                except Failed as error:
                    bench.problem(f"{row.name} through {name}: {error}")
                    del results[name]
    finally:
        for process, _ in running.values():
            if process:
                process.stop()
    return results
