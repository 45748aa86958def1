"""Does without any proxy what each argument says, and prints how it ended: name:HOST, read:HOST:PORT
(waits for the server to speak), say:HOST:PORT:TEXT, datagram:HOST:PORT, get:URL (requests' kind of
client, by urllib without proxies)."""
import socket
import ssl
import sys
import time
import urllib.request


def split(place):
    host, port = place.rsplit(":", 1)
    return host.strip("[]"), int(port)


def name(host):
    found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return " ".join(sorted({entry[4][0] for entry in found}))


def read(place):
    with socket.create_connection(split(place), timeout=20) as stream:
        got = stream.recv(100)
        return got.decode().strip() if got else "closed"


def say(place_and_text):
    place, text = place_and_text.split("=", 1)
    with socket.create_connection(split(place), timeout=20) as stream:
        stream.sendall(text.encode().decode("unicode_escape").encode())
        got = stream.recv(4096)
        return got.decode().splitlines()[0] if got else "closed"


def datagram(place):
    host, port = split(place)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        out.settimeout(20)
        out.connect((host, port))
        out.send(b"x")
        return repr(out.recv(100))


def get(url):
    context = ssl.create_default_context(cafile="ca.pem")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=20) as answer:
            return f"{answer.status} {answer.read().decode().strip()}"
    except urllib.error.HTTPError as refused:
        return f"{refused.code}"


for argument in sys.argv[1:]:
    verb, rest = argument.split(":", 1)
    start = time.monotonic()
    try:
        ended = globals()[verb](rest)
    except OSError as reason:
        cause = getattr(reason, "reason", reason)
        ended = getattr(cause, "strerror", None) or str(cause)
    slow = "" if time.monotonic() - start < 5 else " SLOW"
    print(f"{argument} -> {ended}{slow}", flush=True)
