"""Runs bench_load in nono's sandbox, where it is the command: captured, or by CONNECT to the proxy inside. Prints the load's
JSON, then stays until standard input ends, so that the proxy's clock can be read.

  inside.py captured|connect CORE NAME PORT bench_load MODE arguments..."""

import base64
import os
import socket
import subprocess
import sys
import urllib.parse

way, core, name, port, *load = sys.argv[1:]
os.sched_setaffinity(0, {int(core)})
if way == "captured":
    # As any program would: the stub answers with an address that stands for the name.
    load += ["--way", "direct", "--origin", f"{socket.gethostbyname(name)}:{port}"]
else:
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    load += ["--way", "connect", "--proxy", f"{proxy.hostname}:{proxy.port}", "--auth", "Basic " + token, "--origin", f"127.0.0.1:{port}"]
done = subprocess.run([*load, "--origins", "1", "--names", name], stdout=subprocess.PIPE, text=True)
print(done.stdout.strip(), flush=True)
sys.stdin.read()
sys.exit(done.returncode)
