#!/usr/bin/env python3
"""The way out of a container: bulk transfers, what they cost, who waits.

    MOSS_BUILD=build tests/bench/uplink.py [ROUNDS [SECONDS]]

Servers on the host's loopback, clients in a container (slirp, host loopback
open; and through --host-port, which passes the uplink by) and, where it is
installed, behind slirp4netns at the same MTU; rounds are interleaved.

First table: bytes out of and into the container, ratio to plain loopback, and
the processor seconds that the helper process took per gigabyte. Second: how
long one byte to a server and back takes alone and while a bulk transfer runs,
medians and 99th percentiles, and the ratio of the latter.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

from harness import build, load, roots, workplace

MTU = 65520
GATEWAY = "10.0.2.2"

# HOST PORT SECONDS: one byte there and back, at most 500 times a second.
PING = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
end = time.monotonic() + float(sys.argv[3])
while True:
    start = time.monotonic()
    if start > end:
        break
    s.sendall(b"x")
    s.recv(1)
    print(int((time.monotonic() - start) * 1e6))
    time.sleep(0.002)
"""

# HOST PORT SECONDS DIRECTION: bytes moved and seconds taken.
BULK = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
s.sendall(sys.argv[4].encode())
block = bytearray(1 << 20)
start, total = time.monotonic(), 0
if sys.argv[4] == "o":
    while time.monotonic() - start < float(sys.argv[3]):
        total += s.send(block)
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
else:
    while time.monotonic() - start < float(sys.argv[3]):
        n = s.recv_into(block)
        total += n
print(total, time.monotonic() - start)
"""

# Serves BULK; says its port.
SERVER = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
print(listener.getsockname()[1], flush=True)
block = bytearray(1 << 20)
while True:
    peer, _ = listener.accept()
    if os.fork():
        peer.close()
        continue
    try:
        if peer.recv(1) == b"i":
            while True:
                peer.sendall(block)
        while peer.recv_into(block):
            pass
        peer.sendall(b"e")
    except OSError:
        pass
    os._exit(0)
"""

# Answers PING; says its port.
ECHO = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    if os.fork():
        peer.close()
        continue
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := peer.recv(64):
        peer.sendall(data)
    os._exit(0)
"""


@contextlib.contextmanager
def server(code):
    """A process; its port."""
    process = subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE,
                               process_group=0)
    try:
        yield int(process.stdout.readline())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


class Way:
    """How a command gets to the host: a prefix, an address, a helper."""

    def __init__(self, prefix, address, helper=None):
        self.prefix, self.address, self.helper = prefix, address, helper

    def command(self, *argv):
        return [*self.prefix, *argv]

    def seconds(self):
        """Of processor time, of all threads of the helper."""
        if not self.helper:
            return 0.0
        text = pathlib.Path(f"/proc/{self.helper}/stat").read_text()
        user, system = text.rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def bulk_command(self, port, seconds, direction):
        return self.command("python3", "-c", BULK, self.address, str(port),
                            str(seconds), direction[0])

    def bulk(self, port, seconds, direction):
        """Gbit/s, and processor seconds a gigabyte."""
        before = self.seconds()
        out = subprocess.run(self.bulk_command(port, seconds, direction),
                             stdout=subprocess.PIPE, timeout=seconds + 60).stdout
        total, took = map(float, out.split())
        return total * 8e-9 / took, (self.seconds() - before) / (total / 1e9)

    def ping(self, port, seconds):
        out = subprocess.run(
            self.command("python3", "-c", PING, self.address, str(port),
                         str(seconds)),
            stdout=subprocess.PIPE, timeout=seconds + 60, text=True).stdout
        return [int(line) for line in out.split()]


def helper_of(moss, name):
    (state,) = json.loads(subprocess.run(
        [moss, "inspect", name], check=True, stdout=subprocess.PIPE).stdout)
    monitor = state["State"]["Pid"]
    parent = int(pathlib.Path(f"/proc/{monitor}/stat").read_text()
                 .rsplit(")", 1)[1].split()[1])
    for child in pathlib.Path(f"/proc/{parent}/task/{parent}/children") \
            .read_text().split():
        if "net" in pathlib.Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    sys.exit(f"{name} has no moss-net")


@contextlib.contextmanager
def slirp4netns():
    """A network namespace with slirp4netns behind it."""
    holder = subprocess.Popen(["unshare", "-Urn", "sleep", "100000"])
    process = None
    try:
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.pid}/ns/net") == ours:
            time.sleep(0.01)
        ready, theirs = os.pipe()
        process = subprocess.Popen(
            ["slirp4netns", "--configure", f"--mtu={MTU}", "-r", str(theirs),
             str(holder.pid), "tap0"], pass_fds=[theirs],
            # As moss-net: the kernel shares a busy machine among sessions.
            start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.read(ready, 1)
        os.close(ready)
        yield Way(["nsenter", "-t", str(holder.pid), "-U", "-n",
                   "--preserve-credentials"], GATEWAY, process.pid)
    finally:
        for child in (process, holder):
            if child:
                child.terminate()
                child.wait()


def throughput(ways, port, rounds, seconds):
    results = {}
    for _ in range(rounds):
        for direction in ("out", "in"):
            for name, way in ways.items():
                results.setdefault((direction, name), []).append(
                    way.bulk(port, seconds, direction))
    print(f"{'':4} {'':16} {'Gbit/s':>7} {'ratio':>6} {'CPU s/GB':>9}")
    for (direction, name), rows in results.items():
        rate, cost = (statistics.median(column) for column in zip(*rows))
        plain = statistics.median(
            row[0] for row in results[direction, "loopback"])
        print(f"{direction:4} {name:16} {rate:7.2f} {rate / plain:6.2f} "
              f"{cost:9.2f}")


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def fairness(ways, port, echo, rounds, seconds):
    alone = {name: [] for name in ways}
    beside = {(name, direction): [] for name in ways
              for direction in ("out", "in")}
    for _ in range(rounds):
        for name, way in ways.items():
            alone[name] += way.ping(echo, seconds)
        for (name, direction), values in beside.items():
            bulk = subprocess.Popen(
                ways[name].bulk_command(port, seconds + 2, direction),
                stdout=subprocess.DEVNULL)
            time.sleep(0.7)
            values += ways[name].ping(echo, seconds)
            bulk.wait()
    print(f"\n{'light request, µs':21} {'alone':>7} {'p99':>7} "
          f"{'beside':>7} {'p99':>7} {'ratio of p99':>13}")
    for (name, direction), values in beside.items():
        a, b = percentile(alone[name], .99), percentile(values, .99)
        print(f"{name + ' ' + direction:21} "
              f"{statistics.median(alone[name]):7.0f} {a:7.0f} "
              f"{statistics.median(values):7.0f} {b:7.0f} {b / a:13.1f}")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    cache = pathlib.Path(os.environ.get(
        "MOSS_TEST_CACHE", os.path.expanduser("~/.cache/moss/tests")))
    cache.mkdir(parents=True, exist_ok=True)
    with workplace(), contextlib.ExitStack() as stack:
        moss = str(build() / "moss")
        subprocess.run([moss, "import", roots.debian(cache), "debian"],
                       check=True, stdout=subprocess.DEVNULL)
        bulk = stack.enter_context(server(SERVER))
        echo = stack.enter_context(server(ECHO))
        for name, options in {
                "bench": ["--network", "slirp:allow-host-loopback=true"],
                "ports": [f"--host-port={bulk}", f"--host-port={echo}"]}.items():
            subprocess.run([moss, "run", "-d", "--name", name, *options,
                            "debian", "sleep", "100000"], check=True,
                           stdout=subprocess.DEVNULL)
        ways = {"loopback": Way([], "127.0.0.1"),
                "moss": Way([moss, "exec", "bench"], GATEWAY,
                            helper_of(moss, "bench")),
                "moss --host-port": Way([moss, "exec", "ports"], GATEWAY,
                                        helper_of(moss, "ports"))}
        if shutil.which("slirp4netns"):
            ways["slirp4netns"] = stack.enter_context(slirp4netns())
        time.sleep(0.5)
        throughput(ways, bulk, rounds, seconds)
        fairness(ways, bulk, echo, rounds, seconds)
        print(f"load {' '.join(load())}")


if __name__ == "__main__":
    main()
