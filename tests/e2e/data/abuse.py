"""Clients that dribble, flood, babble and stay: see rig.py. A head may take two seconds, as may silence between
requests and the first bytes of a tunnel."""

import contextlib
import random
import selectors
import socket
import ssl
import threading
import time

from rig import HOST, Answer, Upstream, check, eventually, fail, main, read_all, read_head, reset


def many(rig, count):
    """Connections, as many as the machine's limit on descriptors leaves room for."""
    count = min(count, (rig.descriptors - 200) // 2)
    connections = []
    for _ in range(count):
        connection = rig.connect()
        connection.setblocking(False)
        connections.append(connection)
    return connections


def wait_for_ends(connections, seconds):
    """Reads them all until each has ended; returns what each said."""
    said = {connection: b"" for connection in connections}
    waiting = selectors.DefaultSelector()
    for connection in connections:
        waiting.register(connection, selectors.EVENT_READ)
    until = time.monotonic() + seconds
    while waiting.get_map():
        if time.monotonic() > until:
            fail("%d of %d connections are still open" % (len(waiting.get_map()), len(connections)))
        for key, _ in waiting.select(0.5):
            try:
                piece = key.fileobj.recv(65536)
            except ConnectionError:
                piece = b""
            said[key.fileobj] += piece
            if not piece:
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    return list(said.values())


def slow_heads(rig):
    before = rig.rss_kib()
    connections = many(rig, 1000)
    head = rig.head(80, path="/hello")
    latest, sent = 0.0, 0
    for round_number in range(5):
        for connection in connections:
            with contextlib.suppress(OSError):
                sent += connection.send(head[round_number * 3:round_number * 3 + 3])
        started = time.monotonic()
        check(rig.good(), "a good client was not served beside slow ones")
        latest = max(latest, time.monotonic() - started)
    grown = rig.rss_kib() - before
    check(grown < 40 * len(connections) + 32 * 1024, "%d KiB for %d slow clients" % (grown, len(connections)))
    check(latest < 5, "a good client waited %.1f s" % latest)
    said = wait_for_ends(connections, 20)
    check(all(text == b"" or text.startswith(b"HTTP/1.1 408 ") for text in said), set(text[:40] for text in said))
    check(any(said), "nobody was told")


def half_open(rig):
    before = rig.rss_kib()
    connections = many(rig, 1000)
    for connection in connections[::4]:
        reset(connection)
    for connection in connections[1::4]:
        connection.shutdown(socket.SHUT_WR)
    for connection in connections[2::4]:
        with contextlib.suppress(OSError):
            connection.send(b"CONNECT ")
    check(rig.good(), "a good client was not served beside silent ones")
    check(rig.rss_kib() - before < 64 * 1024, "memory grew by %d KiB" % (rig.rss_kib() - before))
    wait_for_ends([connection for connection in connections if connection.fileno() >= 0], 20)


def connection_limit(rig):
    """With room for 8 connections."""
    holding = [rig.connect() for _ in range(8)]
    for connection in holding:
        connection.sendall(b"GET ")
    refused = 0
    for _ in range(5):
        with rig.connect() as client:
            client.sendall(rig.head(80, path="/hello"))
            answer = Answer(client.makefile("rb"))
            refused += answer.status == 503
            check(answer.status in (200, 503), answer.status)
            check(answer.status == 200 or "retry-after" in answer.fields, answer.fields)
    check(refused == 5, "%d of 5 were refused over the limit" % refused)
    for connection in holding:
        connection.close()
    check(eventually(rig_is_good(rig)), "nobody is served once there is room again")


def rig_is_good(rig):
    def good():
        with contextlib.suppress(ConnectionError):
            return rig.ask(80, path="/hello").status == 200
        return False
    return good


def pipelined(rig):
    """All requests in one go: each answered, in order."""
    count = rig.count

    def serve(connection, _):
        data = b""
        while piece := connection.recv(262144):
            *whole, data = (data + piece).split(b"\r\n\r\n")
            answers = b""
            for head in whole:
                path = head.split(b" ", 2)[1]
                answers += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path)
            connection.sendall(answers)
    upstream = Upstream(rig, serve)
    client = rig.connect()
    client.settimeout(90)

    def send():
        with contextlib.suppress(OSError):
            for first in range(0, count, 500):
                client.sendall(b"".join(rig.head(upstream.port, path="/%d" % i) for i in range(first, first + 500)))
    threading.Thread(target=send, daemon=True).start()
    stream = client.makefile("rb")
    for i in range(count):
        answer = Answer(stream)
        check(answer.status == 200 and answer.body == b"/%d" % i, i, answer.status, answer.body)
    client.close()
    upstream.close()
    check(eventually(lambda: sum(line["kind"] == "end" for line in rig.audit()) >= count), "not all was recorded")
    told = sum(line.get("decision") == "allow" and line["port"] == upstream.port for line in rig.audit())
    check(told == count, "%d decisions for %d requests" % (told, count))


def garbage(rig):
    authorized = "Host: %s\r\n%s" % (HOST, rig.authorization)
    get = "GET http://%s/hello HTTP/1.1\r\n" % HOST

    def request(line, fields, body=""):
        return (line + authorized + fields + "\r\n" + body).encode("latin-1")
    post = get.replace("GET", "POST")
    wrong = {
        b"GET /hello HTTP/1.1\r\n\r\n": (400, 407), b"\r\n\r\n\r\n\r\n": (400, 0), b"\0" * 5000: (400, 0),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"R" * 600: (400, 0),
        b"\x04\x01\x00\x50\x7f\x00\x00\x01x\0": (400, 0), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": (400, 505),
        b"GET http://example.com/\r\n\r\n": (400,), b"GET  http://example.com/ HTTP/1.1\r\n\r\n": (400,),
        b"hello\n" * 100: (400,), b"A" * 200000: (400, 414, 431),
        request("GET http://%s/%s HTTP/1.1\r\n" % (HOST, "a" * 9000), ""): (414,),
        request(get, "X: " + "y" * 70000 + "\r\n"): (431,), request(get, "a: b\r\n" * 200): (431,),
        request(get, "Host: other.example\r\n"): (400,),
        request(get, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"): (400,),
        request(post, "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"): (400,),
        request(post, "Content-Length: -1\r\n"): (400,), request(post, "Content-Length: 0x5\r\n", "hello"): (400,),
        request(post, "Content-Length: 99999999999999999999\r\n"): (400,),
        request(post, "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"): (400, 501),
        request(post, "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"): (400,), request(get, "X: a\r\n b\r\n"): (400,),
        request(get, "X: a\nY: b\r\n"): (400,), request(get, "X: a\rY: b\r\n"): (400,),
        request(get, "X: a\0b\r\n"): (400,), request("CONNECT http://%s/ HTTP/1.1\r\n" % HOST, ""): (400,),
        request("CONNECT %s HTTP/1.1\r\n" % HOST, ""): (400,),
        request("CONNECT %s:99999 HTTP/1.1\r\n" % HOST, ""): (400,),
        request("CONNECT %s:443 HTTP/1.1\r\n" % ("a" * 300), ""): (400, 403),
        request("CONNECT %s:443 HTTP/1.1\r\n" % (HOST + "\xff"), ""): (400, 403),
        request("GET ftp://example.com/ HTTP/1.1\r\n", ""): (400,), request("GET http:///x HTTP/1.1\r\n", ""): (400,),
        request("GET http://user@%s/ HTTP/1.1\r\n" % HOST, ""): (400,),
        request("GET http://169.254.169.254/ HTTP/1.1\r\n", "").replace(HOST.encode(), b"169.254.169.254"): (403,),
        request("OPTIONS * HTTP/1.1\r\n", ""): (400, 404, 405, 421)}
    told = len(rig.audit())
    for text, statuses in wrong.items():
        with rig.connect() as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(text)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            said, _ = read_all(client)
        status = int(said[9:12]) if said.startswith(b"HTTP/1.1 ") else 0
        check(status in statuses, text[:90], said[:200])
    check(eventually(lambda: len(rig.audit()) - told >= len(wrong) - 4), "refusals that are not in the audit log")
    # A chunked body that goes wrong on its way: what follows it is never read as a request.
    for body in ("zz\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "5;" + "x" * 5000 + "\r\nhello\r\n0\r\n\r\n",
                 "5\nhello\n0\n\n", "-5\r\n\r\n", "5\r\nhello\r\n0\r\nGET /stolen HTTP/1.1\r\n\r\n"):
        with rig.connect() as client:
            stolen = request(get.replace("hello", "stolen"), "")
            client.sendall(request(post, "Transfer-Encoding: chunked\r\n", body) + stolen)
            said, _ = read_all(client)
            check(said.count(b"HTTP/1.1 ") <= 1 or b" 400 " in said, body, said[:300])
            check(b"HTTP/1.1 200" not in said or b"stolen" not in said, body, said)
    source = random.Random(1)
    for _ in range(200):
        with rig.connect() as client, contextlib.suppress(ConnectionError):
            client.sendall(source.randbytes(source.randrange(1, 3000)))
            client.shutdown(socket.SHUT_WR)
            said, _ = read_all(client)
            # What begins with 5 is SOCKS5, and offers no way to send a token.
            check(said in (b"", b"\x05\xff") or b" 4" in said[:12], said[:100])


def bad_tunnels(rig):
    """The first bytes of a tunnel to port 443, which must be a ClientHello that names the host."""
    upstream_said = rig.ask(80, path="/hello").status
    check(upstream_said == 200, upstream_said)
    for first in (b"SSH-2.0-x\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 2000, b"\x16\x03\x01\x00\x01\x01",
                  bytes(range(256)), b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"):
        client, status = rig.tunnel(443)
        check(status == 200, status)
        client.sendall(first)
        said, _ = read_all(client, 10)
        check(b"HTTP/1.1 200" not in said, first[:20], said[:100])
        client.close()
    # Another name than the tunnel's, and none at all.
    context = ssl._create_unverified_context()
    for name in ("other.example", None):
        client, status = rig.tunnel(443)
        try:
            context.wrap_socket(client, server_hostname=name)
            fail("a tunnel for", name)
        except (OSError, ssl.SSLError):
            client.close()
    # The right one, a byte at a time.
    client, status = rig.tunnel(443)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in outgoing.read():
        client.sendall(bytes([byte]))
    check(client.recv(1) == b"\x16", "no ServerHello for a hello that came slowly")
    client.close()
    # A hello that never ends.
    started = time.monotonic()
    client, status = rig.tunnel(443)
    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01")
    read_all(client, 10)
    check(time.monotonic() - started < 8, "half a ClientHello was waited for")
    client.close()


def slow_readers(rig):
    """Clients that ask for much and read nothing: the proxy holds no more than its buffers."""
    def serve(connection, _):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1500):
            connection.sendall(b"x" * 65536)
    upstream = Upstream(rig, serve)
    before = rig.rss_kib()
    clients = []
    for _ in range(40):
        client = rig.connect()
        client.sendall(rig.head(upstream.port))
        clients.append(client)
    check(eventually(lambda: upstream.count == 40), upstream.count)
    check(rig.good(), "a good client was not served beside slow readers")
    grown = rig.rss_kib() - before
    check(grown < 48 * 1024, "%d KiB for 40 slow readers" % grown)
    for client in clients:
        reset(client)
    upstream.close()


main({case.__name__: case for case in (
    slow_heads, half_open, connection_limit, pipelined, garbage, bad_tunnels, slow_readers)})
