"""Tries to leave without the proxy: plain connections, datagrams, raw sockets, other families."""
import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])


def attempt(name, action):
    try:
        action()
        print(name, "WENT OUT")
    except OSError as reason:
        print(name, "stopped:", reason.strerror or reason)


def connect(family, where):
    with socket.socket(family, socket.SOCK_STREAM) as out:
        out.settimeout(5)
        out.connect(where)
        # A connection may be taken and broken off: what counts is whether anything answers.
        out.send(b"x")
        if not out.recv(1):
            raise OSError("closed without a byte")


def datagram(where):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(2)
        out.connect(where)
        out.send(b"x")
        out.recv(10)


def other(family, kind):
    socket.socket(family, kind).close()


attempt("tcp", lambda: connect(socket.AF_INET, (address, port)))
attempt("tcp6", lambda: connect(socket.AF_INET6, ("::ffff:" + address, port)))
attempt("far", lambda: connect(socket.AF_INET, ("192.0.2.1", 443)))
attempt("udp", lambda: datagram((address, 5300)))
attempt("raw", lambda: other(socket.AF_INET, socket.SOCK_RAW))
attempt("packet", lambda: other(socket.AF_PACKET, socket.SOCK_RAW))
attempt("vsock", lambda: other(socket.AF_VSOCK, socket.SOCK_STREAM))
attempt("name", lambda: socket.getaddrinfo("example.net", 443))
