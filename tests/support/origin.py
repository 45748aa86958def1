"""An origin server for tests: plain HTTP and TLS on one loopback address.

Acts as a language-model vendor's API does (models, chat completions plain and streamed), serves files, and
has endpoints that misbehave on purpose. Every request is recorded as one JSON line, headers and all: the
tests read there what arrived. Standard library only.
"""

import argparse
import base64
import gzip
import hashlib
import http.server
import json
import os
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import urllib.parse

COMPLETION = "the origin answers"
arguments = None
record_lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "origin"

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass

    def log_message(self, *_):
        pass

    # --- reading ---

    def read_chunked(self):
        body = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                return body
            body += self.rfile.read(size)
            self.rfile.readline()

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return self.read_chunked()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def record(self, body):
        tls = isinstance(self.connection, ssl.SSLSocket)
        line = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "fields": [[name, value] for name, value in self.headers.items()],
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "body_bytes": len(body),
            "tls": tls,
            "sni": getattr(self.connection, "seen_sni", None) if tls else None,
            "client": self.client_address[0],
        }
        with record_lock, open(arguments.record, "a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")

    # --- writing ---

    def answer(self, status, body=b"", kind="text/plain", **fields):
        if isinstance(body, (dict, list)):
            body, kind = json.dumps(body).encode(), "application/json"
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_chunked(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    # --- the vendor's API ---

    def key_is_right(self):
        if not arguments.expect_key:
            return True
        sent = self.headers.get("Authorization", "")
        if sent == "Bearer " + arguments.expect_key:
            return True
        # The wrong key is not repeated: what arrived is in the record.
        self.answer(401, {"error": {"message": "incorrect API key", "type": "invalid_request_error"}})
        return False

    def models(self, _):
        if self.key_is_right():
            self.answer(200, {"object": "list", "data": [{"id": "model-1", "object": "model",
                                                          "created": 1, "owned_by": "origin"}]})

    def completion(self, body):
        if not self.key_is_right():
            return
        if json.loads(body or b"{}").get("stream"):
            self.stream_completion()
            return
        message = {"role": "assistant", "content": COMPLETION}
        self.answer(200, {"id": "c1", "object": "chat.completion", "created": 1, "model": "model-1",
                          "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                          "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}})

    def stream_completion(self):
        self.begin_chunked("text/event-stream")
        for word in COMPLETION.split(" "):
            event = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "model-1",
                     "choices": [{"index": 0, "delta": {"role": "assistant", "content": word + " "},
                                  "finish_reason": None}]}
            self.chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    # --- endpoints that give the key back, in the forms in which servers do ---

    def echo(self, _):
        sent = self.headers.get("Authorization", "") or self.headers.get("X-Api-Key", "")
        self.answer(200, sent.encode(), X_Echo=sent)

    def echo_encoded(self, _):
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        forms = [key, urllib.parse.quote(key, safe=""), base64.b64encode(key.encode()).decode(),
                 base64.b64encode(("user:" + key).encode()).decode()]
        self.answer(200, json.dumps(forms).encode(), "application/json")

    def echo_gzip(self, _):
        data = gzip.compress(self.headers.get("Authorization", "").encode())
        self.answer(200, data, Content_Encoding="gzip")

    def echo_split(self, _):
        # The key cut in two chunks: whoever replaces it must look across reads.
        sent = ("key: " + self.headers.get("Authorization", "")).encode()
        self.begin_chunked("text/plain")
        self.chunk(sent[:len(sent) // 2])
        threading.Event().wait(0.1)
        self.chunk(sent[len(sent) // 2:])
        self.wfile.write(b"0\r\n\r\n")

    # --- plain endpoints ---

    def hello(self, _):
        self.answer(200, b"hello\n")

    def upload(self, body):
        self.answer(200, {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})

    def chunked(self, _):
        self.begin_chunked("text/plain")
        for part in (b"one ", b"two ", b"three"):
            self.chunk(part)
        self.wfile.write(b"0\r\n\r\n")

    def until_close(self, _):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"until the end")
        self.close_connection = True

    def no_content(self, _):
        self.answer(204)

    def not_modified(self, _):
        self.answer(304, ETag='"1"')

    def redirect(self, _):
        self.answer(302, b"", Location="http://evil.example/stolen")

    def big(self, _):
        self.answer(200, b"0123456789abcdef" * 65536)

    def never(self, _):
        arguments.stop.wait(30)

    def hang_up(self, _):
        self.close_connection = True
        self.connection.close()

    def garbage(self, _):
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def file(self, _):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path.removeprefix("/files/"))
        whole = os.path.realpath(os.path.join(arguments.root, path))
        if os.path.isdir(whole):
            whole = os.path.join(whole, "index.html")
        if not whole.startswith(os.path.realpath(arguments.root)) or not os.path.isfile(whole):
            self.answer(404, b"no such file\n")
            return
        kind = "text/html" if whole.endswith(".html") else "application/octet-stream"
        with open(whole, "rb") as content:
            data = content.read()
        asked = self.headers.get("Range", "").removeprefix("bytes=").split("-")
        if len(asked) == 2 and all(asked):
            first, last = int(asked[0]), min(int(asked[1]), len(data) - 1)
            span = "bytes %d-%d/%d" % (first, last, len(data))
            self.answer(206, data[first:last + 1], kind, Content_Range=span)
            return
        self.answer(200, data, kind, Accept_Ranges="bytes")

    # --- other protocols ---

    def git(self, body):
        # Smart HTTP below /git/, for the repositories in the root: git's own CGI program.
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ.get("PATH", ""), "GIT_PROJECT_ROOT": arguments.root, "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.receivepack", "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
            "REQUEST_METHOD": self.command, "PATH_INFO": path.removeprefix("/git"), "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": self.client_address[0]}
        ran = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, answer = ran.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(fields.pop("Status", "200").split(" ")[0])
        kind = fields.pop("Content-Type", "text/plain")
        self.answer(status, answer, kind, **fields)

    def websocket(self, _):
        # RFC 6455: echoes each frame, unmasked, and ends after a close.
        if self.headers.get("Upgrade", "").lower() != "websocket":
            self.answer(426, b"upgrade\n", Upgrade="websocket")
            return
        magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + magic).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accepted).decode())
        self.end_headers()
        self.close_connection = True
        opcode = 0
        while opcode != 8:
            start, length = self.rfile.read(2)
            opcode, length = start & 15, length & 127
            if length == 126:
                length, = struct.unpack(">H", self.rfile.read(2))
            elif length == 127:
                length, = struct.unpack(">Q", self.rfile.read(8))
            mask = self.rfile.read(4) * (length // 4 + 1)
            payload = bytes(a ^ b for a, b in zip(self.rfile.read(length), mask))
            if length < 126:
                size = bytes([length])
            elif length < 65536:
                size = struct.pack(">BH", 126, length)
            else:
                size = struct.pack(">BQ", 127, length)
            self.wfile.write(bytes([start]) + size + payload)
            self.wfile.flush()

    def trailers(self, _):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Checksum")
        self.end_headers()
        self.wfile.write(b"5;note=1\r\nhello\r\n0\r\nX-Checksum: 1234\r\n\r\n")

    ROUTES = {
        "/v1/models": models, "/v1/chat/completions": completion,
        "/v1/echo": echo, "/v1/echo-encoded": echo_encoded, "/v1/echo-gzip": echo_gzip,
        "/v1/echo-split": echo_split,
        "/": hello, "/hello": hello, "/upload": upload, "/chunked": chunked, "/until-close": until_close,
        "/204": no_content, "/304": not_modified, "/redirect": redirect, "/big": big, "/never": never,
        "/hang-up": hang_up, "/garbage": garbage, "/websocket": websocket, "/trailers": trailers,
    }

    def serve(self):
        body = self.read_body()
        self.record(body)
        path = urllib.parse.urlsplit(self.path).path
        route = Handler.ROUTES.get(path)
        if path.startswith("/files/"):
            route = Handler.file
        if path.startswith("/git/"):
            route = Handler.git
        if route is None:
            self.answer(404, b"not here\n")
        else:
            route(self, body)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = serve


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context = None

    def server_bind(self):
        # Not HTTPServer's: that one asks DNS for the machine's own name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        kind = sys.exc_info()[0]
        if kind is None or not issubclass(kind, (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)

    def finish_request(self, request, client_address):
        if self.context is not None:
            request.settimeout(20)
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.context is not None:
            try:
                request.unwrap()
            except OSError:
                pass


def remember_sni(connection, name, _):
    connection.seen_sni = name


def main():
    global arguments
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--tls-port", type=int, default=443)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--record", required=True)
    parser.add_argument("--root", default="/nonexistent")
    parser.add_argument("--expect-key", default="")
    arguments = parser.parse_args()
    arguments.stop = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert, arguments.key)
    context.sni_callback = remember_sni
    plain = Server((arguments.address, arguments.port), Handler)
    secure = Server((arguments.address, arguments.tls_port), Handler)
    secure.context = context
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print("origin ready", flush=True)
    secure.serve_forever()


if __name__ == "__main__":
    main()
