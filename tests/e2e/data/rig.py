"""What the scripts that mistreat a proxy share: clients and upstreams down to the byte, and the state of the proxy.

A script is started as SCRIPT CASE --proxy ADDRESS:PORT --token T --pid N --address A --audit FILE. The proxy allows
example.com on every port, which resolves to A: upstreams of the script's own listen there. After each case the
proxy must live, serve, hold no more descriptors than before and have told each decision's end.
"""

import argparse
import base64
import contextlib
import json
import os
import resource
import socket
import struct
import sys
import threading
import time

HOST = "example.com"


def fail(*what):
    print("FAILED:", *what, flush=True)
    os._exit(1)  # whatever threads still wait for


def check(holds, *what):
    if not holds:
        fail(*what)


def eventually(condition, seconds=15.0):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def reset(connection):
    """Closes with a RST instead of a FIN."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_all(connection, seconds=20.0):
    """Everything until the end, and whether it was an orderly one."""
    data = b""
    connection.settimeout(seconds)
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionError:
        return data, False
    except TimeoutError:
        fail("no end within %d s behind %r" % (seconds, data[-200:]))
    return data, True


class Answer:
    """One response, read as a client does: interim ones are counted and passed over."""

    def __init__(self, stream, method="GET"):
        self.interim = 0
        self.read_head(stream)
        while self.status < 200 and self.status != 101:
            self.interim += 1
            self.read_head(stream)
        self.read_body(stream, method)

    def read_head(self, stream):
        line = stream.readline().decode("latin-1")
        check(line.startswith("HTTP/1.1 "), "not a response: %r" % line)
        self.status, self.reason = int(line[9:12]), line[13:].strip()
        self.fields = {}
        while (field := stream.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode("latin-1").partition(":")
            self.fields[name.lower()] = value.strip()

    def read_body(self, stream, method):
        self.complete, self.body = True, b""
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return
        if "chunked" in self.fields.get("transfer-encoding", ""):
            self.read_chunks(stream)
        elif "content-length" in self.fields:
            length = int(self.fields["content-length"])
            self.body = self.read(stream, length)
            self.complete = len(self.body) == length
        else:
            self.body = self.read(stream, -1)

    @staticmethod
    def read(stream, count):
        data = b""
        try:
            while count < 0 or len(data) < count:
                piece = stream.read1(65536 if count < 0 else min(65536, count - len(data)))
                if not piece:
                    break
                data += piece
        except ConnectionError:
            pass
        return data

    def read_chunks(self, stream):
        while True:
            try:
                line = stream.readline()
            except ConnectionError:
                line = b""
            size = int(line.split(b";")[0], 16) if line.endswith(b"\n") else -1
            if size < 0:
                self.complete = False
                return
            piece = self.read(stream, size + 2)
            self.body += piece[:size]
            if size == 0 or len(piece) != size + 2:
                self.complete = size == 0
                return


class Upstream:
    """Listens on the rig's address and runs `serve(connection, number)` on a thread for each connection."""

    def __init__(self, rig, serve):
        self.listener = socket.create_server((rig.address, 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        self.served = 0
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self.run, args=(connection, self.count), daemon=True).start()

    def run(self, connection, number):
        with connection, contextlib.suppress(ConnectionError, TimeoutError):
            connection.settimeout(60)
            self.serve(connection, number)
        self.served += 1

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # a thread that waits in accept() would keep it open
        self.listener.close()


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        head += piece
    return head


class Rig:
    def __init__(self, cases):
        parser = argparse.ArgumentParser()
        parser.add_argument("case", choices=sorted(cases))
        for name in ("proxy", "token", "address", "audit"):
            parser.add_argument("--" + name, required=True)
        parser.add_argument("--pid", type=int, required=True)
        parser.add_argument("--count", type=int, default=20000, help="of requests, where a case sends many")
        given = parser.parse_args()
        self.count = given.count
        host, port = given.proxy.rsplit(":", 1)
        self.proxy = (host, int(port))
        self.address, self.pid, self.audit_file = given.address, given.pid, given.audit
        self.authorization = "Proxy-Authorization: Basic %s\r\n" % base64.b64encode(
            ("nono:" + given.token).encode()).decode()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.descriptors = hard if hard != resource.RLIM_INFINITY else 65536
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, self.descriptors), hard))
        self.case = given.case
        self.run = cases[given.case]

    # --- clients ---

    def connect(self):
        return socket.create_connection(self.proxy, timeout=20)

    def head(self, port, method="GET", path="/", fields=""):
        return ("%s http://%s:%d%s HTTP/1.1\r\nHost: %s:%d\r\n%s%s\r\n"
                % (method, HOST, port, path, HOST, port, self.authorization, fields)).encode()

    def ask(self, port, method="GET", path="/", fields="", body=b""):
        """One request on a connection of its own."""
        with self.connect() as client:
            client.sendall(self.head(port, method, path, fields) + body)
            return Answer(client.makefile("rb"), method)

    def tunnel(self, port):
        client = self.connect()
        client.sendall(("CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n"
                        % (HOST, port, HOST, port, self.authorization)).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            check(byte, "closed while a tunnel was asked for: %r" % head)
            head += byte
        return client, int(head[9:12])

    # --- the proxy ---

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def rss_kib(self):
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def audit(self):
        with open(self.audit_file, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines.read().split("\n")[:-1]]

    def open_decisions(self):
        """What was allowed and has not ended, by connection."""
        count = {}
        for line in self.audit():
            if line["kind"] == "end" or line.get("decision") == "allow":
                by = 1 if line["kind"] == "decision" else -1
                count[line["connection"]] = count.get(line["connection"], 0) + by
        return {connection: left for connection, left in count.items() if left != 0}

    def good(self):
        return self.ask(80, path="/hello").body == b"hello\n"

    def main(self):
        check(self.good(), "the proxy does not serve to begin with")
        check(eventually(lambda: not self.open_decisions()), "open decisions to begin with")
        before = self.fds()
        self.run(self)
        check(os.path.exists("/proc/%d" % self.pid), "the proxy is gone")
        check(self.good(), "the proxy does not serve any more")
        check(eventually(lambda: self.fds() <= before), "descriptors: %d, before %d" % (self.fds(), before),
              os.listdir("/proc/%d/fd" % self.pid))
        check(eventually(lambda: not self.open_decisions()), "decisions without an end:", self.open_decisions())
        print("held", self.case, flush=True)


def main(cases):
    Rig(cases).main()
    sys.stdout.flush()
    os._exit(0)  # threads of upstreams may still wait
