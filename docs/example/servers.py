"""The internet of the example, on loopback: a vendor's API over TLS and the DNS server that leads there."""

import http.server
import json
import socket
import ssl
import struct
import threading


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    real_key = ""

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = self.headers.get("Authorization", "")
        right = sent == "Bearer " + self.real_key
        print("origin: got", self.command, self.path, "with", sent[:22] + "...",
              "(the real key)" if right else "(NOT the real key)", flush=True)
        message = {"choices": [{"message": {"role": "assistant", "content": "hello, agent"}}]}
        body = json.dumps(message if right else {"error": "incorrect API key"}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Origin(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, certificate, key, real_key):
        Api.real_key = real_key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        super().__init__((address, 443), Api)

    def server_bind(self):
        # HTTPServer's own would ask the system's DNS for this machine's name.
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address

    def finish_request(self, request, client_address):
        super().finish_request(self.context.wrap_socket(request, server_side=True), client_address)

    def handle_error(self, request, client_address):
        print("origin: a connection failed", flush=True)


class Names(threading.Thread):
    """Answers every A question with one address, and prints each name that is asked for."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            if len(query) >= 17:
                self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
            at += 1 + query[at]
        kind = struct.unpack_from("!H", query, at + 1)[0]
        name = ".".join(labels).lower()
        if name not in self.asked:
            self.asked.append(name)
            print("dns: asked for", name, flush=True)
        question = query[12:at + 5]
        records = b""
        if kind == 1:
            records = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(self.address)
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if records else 0, 0, 0)
        return head + question + records
