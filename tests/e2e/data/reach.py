"""Does what each argument says and prints how it ended: urllib:URL, requests:URL, asyncio:HOST:PORT and
socket:HOST:PORT (which read a greeting and answer it with their own name)."""
import asyncio
import errno
import socket
import sys
import time
import urllib.request

import requests


def urllib_(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return f"{answer.status} {answer.read().decode().strip()}"


def requests_(url):
    answer = requests.get(url, timeout=20)
    return f"{answer.status_code} {answer.text.strip()}"


def socket_(place):
    host, port = place.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as stream:
        greeting = stream.recv(100).decode().strip()
        stream.sendall(b"python socket\n")
        return f"{greeting}; {stream.recv(100).decode().strip()}"


def asyncio_(place):
    async def talk(host, port):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 20)
        greeting = (await reader.readline()).decode().strip()
        writer.write(b"python asyncio\n")
        answer = (await reader.readline()).decode().strip()
        writer.close()
        return f"{greeting}; {answer}"
    return asyncio.run(talk(*place.rsplit(":", 1)))


def causes(error):
    """An exception with all that it wraps: libraries hide the system's error in different places."""
    seen = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return seen


def word_for(error):
    for one in causes(error):
        if isinstance(one, socket.gaierror) and one.errno == socket.EAI_NONAME:
            return "no such name"
        if isinstance(one, OSError) and one.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
            return "refused" if one.errno == errno.ECONNREFUSED else "reset"
    return repr(error)


for argument in sys.argv[1:]:
    verb, rest = argument.split(":", 1)
    start = time.monotonic()
    try:
        ended = globals()[verb + "_"](rest)
    except (OSError, EOFError) as error:
        ended = word_for(error)
    print(argument, "->", ended, "" if time.monotonic() - start < 5 else "SLOW", flush=True)
