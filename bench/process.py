"""One process under measurement: started on its core, its CPU and memory read from /proc, ended by its id."""

import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]


class Failed(Exception):
    """A measurement that cannot be had; its text says why."""


def pinned(*cores):
    return lambda: os.sched_setaffinity(0, set(cores))


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def tree(pid):
    """This process and all below it."""
    found = [pid]
    for parent in found:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def sum_of(pid, file, field):
    """Bytes of a field such as "Pss:" in /proc/PID/file, over the tree."""
    total = 0
    for one in tree(pid):
        try:
            for line in pathlib.Path(f"/proc/{one}/{file}").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


class Process:
    def __init__(self, name, command, folder, listens, env=None, cores=(PROXY_CORE,), patience=30):
        self.name = name
        self.log = folder / f"{name.replace(' ', '-')}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                                            env={**os.environ, **(env or {})}, preexec_fn=pinned(*cores))
        try:
            self.await_listening(listens, patience)
        except Failed:
            self.stop()
            raise

    def await_listening(self, listens, patience):
        """Until a TCP connection to `listens` works; None: until it has said something."""
        if listens is None:
            until = time.monotonic() + 10
            while not self.log.stat().st_size and time.monotonic() < until:
                time.sleep(0.02)
            return
        host, port = listens.rsplit(":", 1)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"{self.name} did not start: " + self.log.read_text(errors="replace")[-2000:])

    def stop(self):
        below = tree(self.process.pid)[1:]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        for pid in below:  # helpers that outlive it
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass

    def cpu_seconds(self):
        """User and system time of the tree, ended threads included."""
        total = 0.0
        for pid in tree(self.process.pid):
            try:
                total += time.clock_gettime((~pid << 3) | 2)  # the process's clock, as clock_getcpuclockid(3) has it
            except OSError:
                pass
        return total

    def pss_bytes(self):
        return sum_of(self.process.pid, "smaps_rollup", "Pss:")

    def rss_bytes(self):
        return sum_of(self.process.pid, "status", "VmRSS:")
