"""Upstreams that fail, stall, trickle and lie: see rig.py. Of the limits, first_byte and idle are a second."""

import socket
import threading
import time

from rig import Answer, Upstream, check, eventually, main, read_all, read_head, reset


def answering(answer, after=lambda connection: None):
    """Reads a request's head, sends `answer`, then does what `after` says."""
    def serve(connection, _):
        read_head(connection)
        connection.sendall(answer)
        after(connection)
    return serve


def ask(rig, serve, **request):
    upstream = Upstream(rig, serve)
    answer = rig.ask(upstream.port, **request)
    upstream.close()
    return answer


def check_cut(answer, body, status):
    """What came is passed on as cut off; or, where none of it had been passed on yet, refused."""
    cut = answer.status == 200 and answer.body == body and not answer.complete
    check(cut or answer.status == status, "a cut body: %d, %r" % (answer.status, answer.body[:100]))


def reset_mid_body(rig):
    for head in (b"Content-Length: 100000", b"Transfer-Encoding: chunked"):
        body = b"x" * 1000 if head.startswith(b"C") else b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        answer = ask(rig, answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body,
                                    lambda connection: (time.sleep(0.1), reset(connection))))
        check_cut(answer, b"x" * 1000, 502)


def no_answer(rig):
    for serve in (lambda connection, _: None, lambda connection, _: reset(connection),
                  answering(b""), answering(b"", reset), answering(b"HTTP/1.1 2"),
                  answering(b"HTTP/1.1 200 OK\r\nA: b")):
        answer = ask(rig, serve)
        check(answer.status == 502 and b"upstream_failed" in answer.body, answer.status, answer.body)
    # A request that must not be sent twice is not.
    upstream = Upstream(rig, answering(b"", reset))
    answer = rig.ask(upstream.port, "POST", fields="Content-Length: 5\r\n", body=b"hello")
    check(answer.status == 502 and upstream.count == 1, answer.status, upstream.count)
    upstream.close()


def stalls(rig):
    started = time.monotonic()
    answer = ask(rig, lambda connection, _: time.sleep(4))
    check(answer.status == 504, answer.status)
    check(time.monotonic() - started < 3.5, "late", time.monotonic() - started)
    # Within a body: what came is passed on, and the end is no orderly one.
    answer = ask(rig, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", lambda _: time.sleep(4)))
    check_cut(answer, b"hello", 504)
    # Within a head.
    answer = ask(rig, answering(b"HTTP/1.1 200 OK\r\nContent-", lambda _: time.sleep(4)))
    check(answer.status == 504, answer.status)


def trickles(rig):
    def drip(connection):
        for byte in b"0123456789" * 2:
            time.sleep(0.15)
            connection.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
    answer = ask(rig, answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", drip))
    check(answer.complete and answer.body == b"0123456789" * 2, answer.body)
    # One byte at a time, head and all, is only slow.
    def serve(connection, _):
        read_head(connection)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi":
            connection.sendall(bytes([byte]))
            time.sleep(0.002)
    answer = ask(rig, serve)
    check(answer.status == 200 and answer.body == b"hi", answer.status)


def lies_about_length(rig):
    short = ask(rig, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"))
    check_cut(short, b"hello", 502)
    long = ask(rig, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 300000))
    check(long.status == 200 and len(long.body) == 300000 and not long.complete, long.status, len(long.body))
    # Too much: the surplus reaches neither this client nor the next request's.
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    for head in (b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
        def serve(connection, _, head=head):
            while True:
                read_head(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
                connection.sendall(poison)
        upstream = Upstream(rig, serve)
        with rig.connect() as client:
            stream = client.makefile("rb")
            for _ in range(10):
                client.sendall(rig.head(upstream.port))
                answer = Answer(stream)
                check(answer.status == 200 and answer.body == b"hello", answer.status, answer.body)
                time.sleep(0.02)
        upstream.close()


def garbage_answers(rig):
    wrong = [b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n",
             b"\x16\x03\x01\x00\x05hello",
             b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
             b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
             b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
             b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
             b"HTTP/1.1 200 OK\r\nA\0B: c\r\n\r\n",
             b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
             b"HTTP/1.1 99 Low\r\n\r\n", b"HTTP/1.1 1000 High\r\n\r\n", b"\r\n\r\n\r\n", b"{}\r\n\r\n",
             bytes(range(256)) * 300,
             b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nsurprise"]
    for bad in wrong:
        answer = ask(rig, answering(bad, lambda _: time.sleep(0.05)))
        check(answer.status == 502, bad[:60], answer.status)
        check(b"surprise" not in answer.body, bad)


def heads_without_end(rig):
    before = rig.rss_kib()

    def flood(pieces):
        def serve(connection, _):
            read_head(connection)
            for piece in pieces():
                connection.sendall(piece)
        return serve

    def times(count, piece, first=b"HTTP/1.1 200 OK\r\n"):
        def pieces():
            yield first
            for _ in range(count):
                yield piece
        return pieces
    floods = [times(3000, b"X-Filler: " + b"y" * 1000 + b"\r\n"), times(3000, b"y" * 1000, b"HTTP/1.1 200 OK\r\nX: "),
              times(20000, b"a: b\r\n"), times(2000, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b""),
              times(2000, b"HTTP/1.1 100 Continue\r\n\r\n", b""), times(3000, b"y" * 1000, b"HTTP/1.1 200 ")]
    for pieces in floods:
        answer = ask(rig, flood(pieces))
        check(answer.status == 502, answer.status, answer.body[:200])
    # Chunks whose extensions, sizes or trailers never end: cut off, and never taken for whole.
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start, piece in ((b"5;", b"x" * 1000), (b"0", b"0" * 1000), (b"5\r\nhello\r\n0\r\n", b"Trailer: x\r\n" * 100)):
        answer = ask(rig, flood(times(3000, piece, chunked + start)))
        # Nothing of the body may have been sent yet: then it is still time to say 502.
        check(answer.status == 502 or not answer.complete, start, answer.status, answer.complete)
    check(rig.rss_kib() - before < 64 * 1024, "memory grew by %d KiB" % (rig.rss_kib() - before))


def client_leaves_mid_upload(rig):
    seen = []

    def serve(connection, _):
        read_head(connection)
        connection.settimeout(10)
        data, orderly = read_all(connection)
        seen.append((len(data), orderly))
    upstream = Upstream(rig, serve)
    for fields, piece in (("Content-Length: 10000000\r\n", b"x" * 65536),
                          ("Transfer-Encoding: chunked\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n")):
        for leave in (reset, lambda connection: connection.close()):
            client = rig.connect()
            client.sendall(rig.head(upstream.port, "POST", fields=fields))
            for _ in range(10):
                client.sendall(piece)
            count = len(seen)
            leave(client)
            check(eventually(lambda count=count: len(seen) > count, 10), "the upstream was not told")
            check(seen[-1][0] < 10000000, "the upstream got a whole body")
    upstream.close()


def client_leaves_mid_download(rig):
    ended = threading.Event()

    def serve(connection, _):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            for _ in range(15000):
                connection.sendall(b"x" * 65536)
        except (ConnectionError, TimeoutError):
            ended.set()
    upstream = Upstream(rig, serve)
    for leave in (reset, lambda connection: connection.close()):
        ended.clear()
        client = rig.connect()
        client.sendall(rig.head(upstream.port))
        client.recv(65536)
        leave(client)
        check(ended.wait(15), "the upstream went on sending")
    # While it waits for an answer.
    gone = threading.Event()

    def wait(connection, _):
        read_head(connection)
        if connection.recv(1) == b"":
            gone.set()
    waiting = Upstream(rig, wait)
    client = rig.connect()
    client.sendall(rig.head(waiting.port))
    check(eventually(lambda: waiting.count == 1), "no connection")
    client.close()
    check(gone.wait(5), "the upstream was left waiting")
    upstream.close()
    waiting.close()


def tunnels_that_break(rig):
    # The upstream resets; the client resets; each may end its own direction first.
    broken = Upstream(rig, lambda connection, _: (connection.recv(5), connection.sendall(b"abc"), time.sleep(0.1),
                                                  reset(connection)))
    client, status = rig.tunnel(broken.port)
    check(status == 200, status)
    client.sendall(b"hell\n")
    data, orderly = read_all(client)
    check(data in (b"abc", b""), data)
    check(not orderly, "a reset reached the client as a regular end")
    client.close()

    got = []
    def serve(connection, _):
        data, orderly = read_all(connection)
        got.append((data, orderly))
        connection.sendall(b"after your end")
    halves = Upstream(rig, serve)
    client, status = rig.tunnel(halves.port)
    client.sendall(b"\x01" * 100000)
    client.shutdown(socket.SHUT_WR)
    data, orderly = read_all(client)
    check(orderly and data == b"after your end", data, orderly)
    check(got == [(b"\x01" * 100000, True)], "the half-close did not arrive")
    client.close()

    client, status = rig.tunnel(halves.port)
    client.sendall(b"hell\n")
    reset(client)
    check(eventually(lambda: len(got) == 2), "the upstream was not told of a reset")
    check(not got[1][1], "a reset reached the upstream as a regular end")
    # Nothing moves: let go after the idle time.
    silent = Upstream(rig, lambda connection, _: read_all(connection))
    client, status = rig.tunnel(silent.port)
    started = time.monotonic()
    read_all(client)
    check(time.monotonic() - started < 4, "an idle tunnel stayed")
    client.close()
    # Nobody listens there.
    silent.close()
    _, status = rig.tunnel(silent.port)
    check(status == 502, status)


main({case.__name__: case for case in (
    reset_mid_body, no_answer, stalls, trickles, lies_about_length, garbage_answers, heads_without_end,
    client_leaves_mid_upload, client_leaves_mid_download, tunnels_that_break)})
