#!/usr/bin/env python3
"""Mixed load with faults for some minutes, then the question whether anything grew.

tests/e2e/soak.py --nono BINARY --minutes N [--json FILE]. Makes its own origins, DNS server and proxy on a loopback
address. Load runs in rounds; between them everything rests, and what the proxy then holds is written down: memory,
descriptors, threads, open connections, sessions. After a warm-up none of it may grow. At the end every decision must
have its end, the audit log must verify, and the proxy must stop by itself. Standard library, dnsmasq, openssl.
"""

import argparse
import base64
import collections
import contextlib
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "data"))
from rig import Answer, read_head, reset  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
TOKEN = "".join(random.choices("0123456789abcdef", k=64))
REAL_KEY = "sk-real-" + "".join(random.choices("0123456789abcdef", k=48))


class Failure(Exception):
    """What should have happened did not."""


def check(holds, *what):
    if not holds:
        raise Failure(" ".join(map(str, what)))


class Stage:
    """Origins, a DNS server and the proxy, in a folder of their own."""

    def __init__(self, binary, threads):
        self.folder = tempfile.TemporaryDirectory(prefix="nono-soak-")
        self.dir = self.folder.name
        self.binary = os.path.abspath(binary)
        self.address = "127.%d.%d.%d" % (random.randrange(50, 250), random.randrange(256), random.randrange(2, 250))
        self.http, self.tls, self.dns, self.metrics = 18080, 18443, 15300, 19464
        self.children = []
        self.make_certificates()
        self.faulty = Faulty(self.address)
        self.start_servers()
        self.start_proxy(threads)

    def path(self, name):
        return os.path.join(self.dir, name)

    def make_certificates(self):
        names = "subjectAltName=DNS:example.com,DNS:paths.test"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-keyout", self.path("key.pem"), "-out", self.path("cert.pem"), "-subj",
                        "/CN=soak", "-addext", names], check=True, capture_output=True)

    def start(self, argv, ready, **more):
        log = open(self.path("%d.log" % len(self.children)), "w+", encoding="utf-8")
        child = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, cwd=self.dir, **more)
        self.children.append((child, log.name))
        for _ in range(600):
            text = open(log.name, encoding="utf-8").read()
            if ready in text:
                return child, text
            check(child.poll() is None, argv[0], "ended:", text)
            time.sleep(0.05)
        raise Failure(argv[0] + " did not start: " + text)

    def start_servers(self):
        os.mkdir(self.path("root"))
        with open(self.path("root/file"), "wb") as file:
            file.write(os.urandom(300000))
        origin = os.path.join(HERE, "../support/origin.py")
        self.start([sys.executable, origin, "--address", self.address, "--port", str(self.http), "--tls-port",
                    str(self.tls), "--cert", self.path("cert.pem"), "--key", self.path("key.pem"), "--record",
                    "/dev/null", "--root", self.path("root")], "origin ready")
        user = ["--user=root", "--group=root"] if os.getuid() == 0 else []
        names = ["--address=/%s/%s" % (name, self.address) for name in ("example.com", "paths.test", "evil.example")]
        self.start(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                    "--pid-file=", "--bind-interfaces", "--log-facility=-", "--port=%d" % self.dns,
                    "--listen-address=" + self.address] + user + names, "started")

    def start_proxy(self, threads):
        with open(self.path("key"), "w", encoding="ascii") as key:
            key.write(REAL_KEY)
        # JSON is YAML.
        config = {
            "listen": self.address + ":0", "threads": threads,
            "network": {"allow_domain": ["example.com:*", "https://paths.test:%d/files/**" % self.tls],
                        "allow_private": ["127.0.0.0/8"], "upstream_ca": [self.path("cert.pem")]},
            "dns": {"servers": ["%s:%d" % (self.address, self.dns)]},
            "credentials": ["vendor"],
            "custom_credentials": {"vendor": {
                "upstream": "http://%s:%d/v1" % (self.address, self.http), "env_var": "VENDOR_KEY",
                "credential_key": "file://" + self.path("key"), "inject_header": "Authorization",
                "credential_format": "Bearer {}"}},
            "audit": {"log": self.path("audit.jsonl"), "required": True},
            "env_file": {"path": self.path("env.json"), "format": "json"},
            "metrics": {"listen": "%s:%d" % (self.address, self.metrics)},
            "limits": {"head_time_max": "2s", "first_byte_time_max": "1s", "idle_time_max": "2s", "peek_time_max": "2s",
                       "keep_alive_time_max": "3s", "upstream_idle_time_max": "1s", "connections_max": 2000}}
        with open(self.path("nono.yaml"), "w", encoding="utf-8") as out:
            json.dump(config, out)
        environment = dict(os.environ, NONO_PROXY_TOKEN=TOKEN, ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=8")
        command = [self.binary, "proxy", "--config", self.path("nono.yaml")]
        self.proxy, said = self.start(command, "listening on", env=environment)
        place = said.split("listening on ", 1)[1].split()[0]
        host, port = place.rsplit(":", 1)
        self.at = (host, int(port))
        with open(self.path("env.json"), encoding="utf-8") as file:
            text = file.read()
        self.phantom = next((word for word in text.replace('"', " ").split() if "nono_" in word), "")
        check(self.phantom, "no phantom in", text)

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.proxy.pid))

    def status(self, field):
        with open("/proc/%d/status" % self.proxy.pid, encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(field))

    def metric(self, *names):
        """The sum of the samples of the first of `names` that is there; None without metrics."""
        try:
            url = "http://%s:%d/metrics" % (self.address, self.metrics)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            text = opener.open(url, timeout=5).read().decode()
        except OSError:
            return None
        for name in names:
            values = [float(line.rsplit(" ", 1)[1]) for line in text.split("\n")
                      if line.startswith((name + " ", name + "{"))]
            if values:
                return sum(values)
        return None

    def audit_lines(self):
        for name in sorted(os.listdir(self.dir)):
            if name.startswith("audit.jsonl"):
                with open(self.path(name), encoding="utf-8") as lines:
                    yield from (json.loads(line) for line in lines)

    def stop(self):
        for child, _ in reversed(self.children):
            if child.poll() is None:
                child.kill()
                child.wait()
        self.folder.cleanup()


class Faulty:
    """An upstream whose path says how it misbehaves."""

    def __init__(self, address):
        self.listener = socket.create_server((address, 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection, contextlib.suppress(OSError, IndexError):
            connection.settimeout(10)
            way = read_head(connection).split(b" ")[1].strip(b"/").decode()
            ok = b"HTTP/1.1 200 OK\r\n"
            if way == "reset":
                connection.sendall(ok + b"Content-Length: 50000\r\n\r\n" + b"x" * 20000)
                reset(connection)
            elif way == "stall":
                connection.sendall(ok)
                connection.recv(1)
            elif way == "short":
                connection.sendall(ok + b"Content-Length: 50000\r\n\r\nhello")
            elif way == "long":
                connection.sendall(ok + b"Content-Length: 5\r\n\r\nhello" + ok + b"\r\n")
            elif way == "garbage":
                connection.sendall(random.randbytes(300) + b"\r\n\r\n")
            elif way == "trickle":
                connection.sendall(ok + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(20):
                    connection.sendall(b"1;a=b\r\nx\r\n")
                    time.sleep(0.01)
                connection.sendall(b"0\r\n\r\n")
            elif way == "interim":
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200)


class Client:
    """What clients do, good and bad. Each method is one kind of load and raises Failure where the answer is wrong."""

    def __init__(self, stage):
        self.stage = stage
        self.authorization = "Proxy-Authorization: Basic %s\r\n" % base64.b64encode(("nono:" + TOKEN).encode()).decode()
        self.context = ssl._create_unverified_context()

    def connect(self):
        return socket.create_connection(self.stage.at, timeout=20)

    def request(self, target, host, fields="", method="GET", authorized=True):
        return ("%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n"
                % (method, target, host, self.authorization if authorized else "", fields)).encode()

    def ask(self, path, port=None, fields="", method="GET", body=b"", host="example.com", authorized=True):
        host = "%s:%d" % (host, port or self.stage.http)
        with self.connect() as client:
            client.sendall(self.request("http://" + host + path, host, fields, method, authorized) + body)
            return Answer(client.makefile("rb"), method)

    def tunnel(self, host="example.com", port=None):
        client = self.connect()
        place = "%s:%d" % (host, port or self.stage.tls)
        client.sendall(self.request(place, place, method="CONNECT"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            check(byte, "closed within the answer to CONNECT")
            head += byte
        check(head.startswith(b"HTTP/1.1 200"), head[:100])
        return client

    def forward(self):
        with self.connect() as client:
            stream = client.makefile("rb")
            host = "example.com:%d" % self.stage.http
            for path, body in (("/hello", b"hello\n"), ("/chunked", b"one two three"), ("/204", b"")) * 2:
                client.sendall(self.request("http://" + host + path, host))
                answer = Answer(stream)
                check(answer.complete and answer.body == body, path, answer.status, answer.body[:100])

    def upload(self):
        size = random.choice((1, 1000, 70000, 300000))
        answer = self.ask("/upload", fields="Content-Length: %d\r\n" % size, method="POST", body=b"x" * size)
        check(answer.status == 200 and b'"bytes": %d' % size in answer.body, answer.status, answer.body[:100])
        chunks = b"".join(b"%x\r\n%s\r\n" % (n, b"y" * n) for n in (1, 500, 20000)) + b"0\r\n\r\n"
        answer = self.ask("/upload", fields="Transfer-Encoding: chunked\r\n", method="POST", body=chunks)
        check(b'"bytes": 20501' in answer.body, answer.status, answer.body[:100])

    def download(self):
        answer = self.ask("/files/file")
        check(answer.complete and len(answer.body) == 300000, answer.status, len(answer.body))

    def secure(self, host="example.com"):
        with self.context.wrap_socket(self.tunnel(host), server_hostname=host) as client:
            stream = client.makefile("rb")
            for _ in range(2):
                client.sendall(("GET /files/file HTTP/1.1\r\nHost: %s\r\n\r\n" % self.authority(host)).encode())
                answer = Answer(stream)
                check(answer.status == 200 and len(answer.body) == 300000, host, answer.status, len(answer.body))

    def authority(self, host):
        return "%s:%d" % (host, self.stage.tls)

    def intercepted(self):
        self.secure("paths.test")

    def intercepted_refused(self):
        with self.context.wrap_socket(self.tunnel("paths.test"), server_hostname="paths.test") as client:
            client.sendall(("GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n" % self.authority("paths.test")).encode())
            check(Answer(client.makefile("rb")).status == 403, "a path that no rule allows")

    def credential(self):
        with self.connect() as client:
            client.sendall(("GET /vendor/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
                random.choice(("echo", "echo-gzip", "echo-split")), self.stage.phantom)).encode())
            answer = Answer(client.makefile("rb"))
        check(answer.status == 200 and REAL_KEY.encode() not in answer.body, answer.status, answer.body[:100])
        check(self.stage.phantom.encode() in answer.body, answer.status, answer.body[:100])

    def refused(self):
        check(self.ask("/", host="evil.example").status == 403, "evil.example")
        check(self.ask("/hello", authorized=False).status == 407, "no token")
        check(self.ask("/hello", host="nowhere.invalid").status == 403, "nowhere.invalid")

    def garbage(self):
        with self.connect() as client, contextlib.suppress(OSError):
            client.sendall(random.randbytes(random.randrange(1, 2000)))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    def faults(self):
        way = random.choice(("reset", "stall", "short", "long", "garbage", "trickle", "interim"))
        answer = self.ask("/" + way, port=self.stage.faulty.port)
        good = answer.status == 200 and answer.complete and way in ("long", "trickle")
        cut = answer.status == 200 and not answer.complete and way in ("reset", "short")
        refused = answer.status in (502, 504) and way not in ("long", "trickle")
        check(good or cut or refused, way, answer.status, answer.complete)

    def leaving(self):
        client = self.connect()
        host = "example.com:%d" % self.stage.http
        way = random.randrange(4)
        if way == 0:
            head = self.request("http://%s/upload" % host, host, "Content-Length: 1000000\r\n", "POST")
            client.sendall(head + b"x" * 50000)
        elif way == 1:
            client.sendall(self.request("http://%s/files/file" % host, host))
            client.recv(1000)
        elif way == 2:
            client.sendall(b"GET http://exa")
        random.choice((reset, lambda connection: connection.close()))(client)

    def broken_tunnel(self):
        client = self.tunnel()
        if random.randrange(2):
            client.sendall(random.randbytes(200))
            with contextlib.suppress(OSError):
                client.recv(100)
        reset(client)

    KINDS = (forward, forward, upload, download, secure, intercepted, intercepted_refused, credential, refused, garbage,
             faults, leaving, broken_tunnel)


class Soak:
    def __init__(self, stage, workers):
        self.stage, self.workers = stage, workers
        self.counts, self.failures = collections.Counter(), []
        self.samples = []

    def work(self, until, seed):
        client, order = Client(self.stage), random.Random(seed)
        while time.monotonic() < until:
            kind = order.choice(Client.KINDS)
            try:
                kind(client)
                self.counts[kind.__name__] += 1
            except (Failure, OSError, ValueError) as problem:
                self.failures.append("%s: %r" % (kind.__name__, problem))
                if len(self.failures) > 100:
                    return

    def round(self, seconds):
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self.work, args=(until, random.random())) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60)
        check(not any(thread.is_alive() for thread in threads), "a client hangs")
        check(self.stage.proxy.poll() is None, "the proxy is gone")

    def rest(self):
        """What is held when nobody asks for anything."""
        fds = [self.stage.fds()]
        until = time.monotonic() + 12
        while time.monotonic() < until and (len(fds) < 10 or len(set(fds[-10:])) > 1):
            time.sleep(0.3)
            fds.append(self.stage.fds())
        sample = {"requests": sum(self.counts.values()), "rss_kib": self.stage.status("VmRSS"), "fds": fds[-1],
                  "threads": self.stage.status("Threads"),
                  "connections": self.stage.metric("nono_connections_open", "nono_connections"),
                  "sessions": self.stage.metric("nono_sessions")}
        self.samples.append(sample)
        print("soak:", json.dumps(sample), flush=True)

    def judge(self, slack_kib):
        """The first samples are the warm-up's; what comes behind them may not grow."""
        warm, last = self.samples[1], self.samples[-1]
        check(not self.failures, len(self.failures), "wrong answers:", "; ".join(self.failures[:5]))
        check(last["fds"] <= warm["fds"], "descriptors: %(fds)d" % last, "at first %(fds)d" % warm)
        check(last["threads"] <= warm["threads"], "threads: %(threads)d" % last)
        grown = last["rss_kib"] - warm["rss_kib"]
        check(grown <= slack_kib, "memory grew by %d KiB" % grown)
        for what in ("connections", "sessions"):
            if warm[what] is not None and last[what] is not None:
                check(last[what] <= warm[what], what, last[what], "at first", warm[what])
        count = collections.Counter()
        for line in self.stage.audit_lines():
            if line.get("decision") == "allow" or line["kind"] == "end":
                count[line["connection"]] += 1 if line["kind"] == "decision" else -1
        left = [connection for connection, number in count.items() if number != 0]
        check(not left, len(left), "decisions without an end")

    def end(self):
        """SIGTERM: out by itself, with everything on disk."""
        self.stage.proxy.send_signal(signal.SIGTERM)
        check(self.stage.proxy.wait(30) == 0, "exit code", self.stage.proxy.returncode)
        verified = subprocess.run([self.stage.binary, "audit", "verify", self.stage.path("audit.jsonl")],
                                  capture_output=True, text=True, check=False)
        check(verified.returncode == 0, "nono audit verify:", verified.stdout, verified.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nono", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2, help="of the proxy")
    parser.add_argument("--workers", type=int, default=16, help="clients at once")
    parser.add_argument("--slack", type=int, default=4096, help="KiB by which memory may differ")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    stage = Stage(given.nono, given.threads)
    soak = Soak(stage, given.workers)
    rounds = max(5, int(given.minutes))
    try:
        for _ in range(rounds):
            soak.round(given.minutes * 60 / rounds * 0.9)
            soak.rest()
        soak.judge(given.slack)
        soak.end()
    except Failure as failure:
        print("soak: FAILED:", failure, "\n", "\n ".join(soak.failures[:20]), flush=True)
        os._exit(1)
    finally:
        stage.stop()
        if given.json:
            with open(given.json, "w", encoding="utf-8") as out:
                json.dump({"samples": soak.samples, "counts": soak.counts}, out)
    total = sum(soak.counts.values())
    print("soak: held %g minutes, %d exchanges: %s" % (given.minutes, total, dict(soak.counts)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
