#!/usr/bin/env python3
"""Runs agent.py under nono against servers of its own: python3 docs/example/run.py build/release/nono

Everything stays on this machine: a TLS origin that answers as api.openai.com does, a DNS server that maps
the name to it, and a certificate authority made for this run. Standard library and openssl only.
"""

import errno
import fcntl
import os
import pathlib
import secrets
import socket
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import servers  # noqa: E402

ADDRESS = "127.86.0.1"
HERE = pathlib.Path(__file__).resolve().parent


def may_bind_443():
    with socket.socket() as probe:
        try:
            probe.bind((ADDRESS, 443))
        except OSError as reason:
            if reason.errno == errno.EACCES:
                return False
            raise
    return True


def in_own_network():
    """Port 443 belongs to root: an ordinary user gets a network namespace in which it may be bound."""
    print("example: port 443 needs a network namespace of our own here", flush=True)
    again = [sys.executable, str(HERE / "run.py"), *sys.argv[1:]]
    os.execvp("unshare", ["unshare", "--user", "--map-current-user", "--keep-caps", "--net", "env", "NONO_EXAMPLE_INSIDE=1", *again])


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(control, 0x8914, request.ljust(40, b"\0"))  # SIOCSIFFLAGS


def make_certificates(folder):
    common = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
              "-days", "2"]
    subprocess.run([*common, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=example authority",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
                   cwd=folder, check=True, capture_output=True)
    subprocess.run([*common, "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "origin.key", "-out", "origin.pem",
                    "-subj", "/CN=origin", "-addext", "subjectAltName=DNS:api.openai.com",
                    "-addext", "basicConstraints=critical,CA:FALSE"],
                   cwd=folder, check=True, capture_output=True)


def main():
    nono = pathlib.Path(sys.argv[1]).resolve()
    if "NONO_EXAMPLE_INSIDE" in os.environ:
        loopback_up()
    elif not may_bind_443():
        in_own_network()

    with tempfile.TemporaryDirectory(prefix="nono-example-") as folder:
        home = pathlib.Path(folder, "home")
        project = home / "project"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "id_ed25519").write_text("the user's private key\n")
        project.mkdir()
        (project / "agent.py").write_text((HERE / "agent.py").read_text())
        make_certificates(folder)

        real_key = "sk-real-" + secrets.token_hex(24)
        print("example: the real key is", real_key[:15] + "...", flush=True)
        origin = servers.Origin(ADDRESS, f"{folder}/origin.pem", f"{folder}/origin.key", real_key)
        servers.threading.Thread(target=origin.serve_forever, daemon=True).start()
        names = servers.Names(ADDRESS)
        names.start()

        command = [str(nono), "run", "--allow-cwd", "--proxy-credential", "openai",
                   "--dns-server", f"{ADDRESS}:{names.port}", "--allow-private", "127.0.0.0/8",
                   "--upstream-ca", f"{folder}/ca.pem", "--audit-log", f"{folder}/audit.jsonl",
                   "--", "python3", "agent.py"]
        print("example: $ OPENAI_API_KEY=sk-real-... nono", " ".join(command[1:]), flush=True)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8",
                       "OPENAI_API_KEY": real_key}
        run = subprocess.run(command, cwd=project, env=environment, text=True, capture_output=True, timeout=120)
        sys.stdout.write(run.stdout)
        sys.stderr.write(run.stderr)

        audit = pathlib.Path(folder, "audit.jsonl").read_text()
        everything = run.stdout + run.stderr + audit
        checks = {
            "the agent got its answers": run.returncode == 0 and run.stdout.count("hello, agent") == 2,
            "the agent never saw the real key": real_key not in everything,
            "the stranger was refused": "evil.example refused" in run.stdout,
            "the stranger's name was never looked up": "evil.example" not in names.asked,
            "the SSH key was refused": "id_ed25519 refused" in run.stdout,
            "every decision is in the audit log": "evil.example" in audit and "api.openai.com" in audit,
        }
        for what, holds in checks.items():
            print("example:", "yes" if holds else "NO ", what)
        return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
