"""A server that greets, echoes lines and prints them: speaks_first.py ADDRESS PORT."""
import socketserver
import sys


class Greeter(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready when you are\n")
        for line in self.rfile:
            self.wfile.write(line)
            print("heard", line.decode().strip(), flush=True)


socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Greeter) as server:
    print("greeter ready on", server.server_address[1], flush=True)
    server.serve_forever()
