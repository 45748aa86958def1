"""A WebSocket client (RFC 6455) through a proxy: websocket.py PROXY TOKEN HOST forward|tunnel CA.

`forward` asks in absolute form and upgrades through the proxy, `tunnel` goes through CONNECT and TLS. Sends
frames of many sizes, expects each back, and says what it saw.
"""

import base64
import hashlib
import os
import socket
import ssl
import struct
import sys

proxy, token, host, way, ca = sys.argv[1:]
address, port = proxy.rsplit(":", 1)
authorization = "Proxy-Authorization: Basic %s\r\n" % base64.b64encode(("nono:" + token).encode()).decode()


def read_head(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            sys.exit("closed within a head: %r" % head)
        head += byte
    return head.decode()


def frame(opcode, payload):
    mask = os.urandom(4)
    masked = bytes(a ^ b for a, b in zip(payload, mask * (len(payload) // 4 + 1)))
    if len(payload) < 126:
        size = struct.pack(">B", 128 | len(payload))
    elif len(payload) < 65536:
        size = struct.pack(">BH", 128 | 126, len(payload))
    else:
        size = struct.pack(">BQ", 128 | 127, len(payload))
    return bytes([128 | opcode]) + size + mask + masked


def read_frame(stream):
    start, length = stream.read(2)
    if length == 126:
        length, = struct.unpack(">H", stream.read(2))
    elif length == 127:
        length, = struct.unpack(">Q", stream.read(8))
    return start & 15, stream.read(length)


connection = socket.create_connection((address, int(port)), timeout=30)
target = "http://%s/websocket" % host
if way == "tunnel":
    connection.sendall(("CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n%s\r\n" % (host, host, authorization)).encode())
    print(read_head(connection).split("\r\n")[0])
    connection = ssl.create_default_context(cafile=ca).wrap_socket(connection, server_hostname=host)
    target, authorization = "/websocket", ""
key = base64.b64encode(os.urandom(16)).decode()
# The first frame leaves with the head, as hasty clients do.
connection.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n"
                    % (target, host, key, authorization)).encode() + frame(1, b"early"))
head = read_head(connection)
print(head.split("\r\n")[0])
accepted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
print("accept", base64.b64encode(accepted).decode() in head)
stream = connection.makefile("rb")
print(read_frame(stream))
for size in (0, 1, 125, 126, 65535, 65536, 1000000):
    payload = os.urandom(size)
    connection.sendall(frame(2, payload))
    if read_frame(stream) != (2, payload):
        sys.exit("a frame of %d bytes came back changed" % size)
connection.sendall(frame(8, struct.pack(">H", 1000)))
print(read_frame(stream))
print("end", stream.read())
