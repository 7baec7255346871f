"""Ways into a network namespace, for ports.py: moss's and the peers'.

Each way runs `net_load serve` in a namespace or a container of its own and
leads a port of the host there. A peer that is not installed, or does not get
the port to answer, is left out.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from harness import build, podman, quiet, roots

INSIDE = 5201
PASTA = ("pasta", "pasta.avx2", "passt", "passt.avx2")


class Way:
    """host:port leads to the server; pids are those that carry the bytes."""

    def __init__(self, name, host, port, pids=()):
        self.name, self.host, self.port, self.pids = name, host, port, pids

    def cpu(self):
        """Seconds of CPU that the carrying processes have used."""
        ticks = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text()
                fields = fields.rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def host_address():
    """An address of the host's that is reached from elsewhere, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = s.getsockname()[0]
        return None if address.startswith("127.") else address


def answers(host, port, seconds=5):
    """Does the server echo through there?"""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            with socket.create_connection((host, port), timeout=1) as s:
                s.sendall(b"ex")
                if s.recv(1) == b"x":
                    return True
        time.sleep(0.05)
    return False


def children(pid):
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def carriers(pids, *names):
    """Those of pids whose command is one of names."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in names:
                found.append(pid)
    return found


def everybody():
    return [int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*")]


class Peers(contextlib.ExitStack):
    """Starts ways; ends their processes on exit."""

    def __init__(self, work, load):
        super().__init__()
        self.work, self.load = work, str(load)
        self.moss = str(build() / "moss")

    def spawn(self, *argv):
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)

        def end():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.callback(end)
        return process

    def add(self, name, start):
        """A list of the one way that start() makes, or empty."""
        way = start()
        if way is None:
            print(f"{name}: not installed")
        elif not answers(way.host, way.port):
            print(f"{name}: does not answer here")
        else:
            way.name = name
            return [way]
        return []

    def loopback(self):
        port = free_port()
        self.spawn(self.load, "serve", str(port))
        return Way("loopback", "127.0.0.1", port)

    def moss_container(self, name, *options):
        port = free_port()
        if quiet([self.moss, "run", "-d", "--name", name, "-v",
                  f"{self.load}:/net_load:ro", "-p",
                  f"127.0.0.1:{port}:{INSIDE}", *options, "bench", "/net_load",
                  "serve", str(INSIDE)]) != 0:
            return Way(name, "127.0.0.1", 1)
        title = f"moss: net {name}".encode()
        return Way(name, "127.0.0.1", port, [
            pid for pid in everybody()
            if self.title(pid).rstrip(b"\0") == title])

    @staticmethod
    def title(pid):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return b""

    def pasta(self, host):
        if not shutil.which("pasta"):
            return None
        port = free_port()
        pasta = self.spawn("pasta", "-f", "-q", "--config-net", "-t", str(port),
                           "-T", "none", "-u", "none", "-U", "none", "--",
                           self.load, "serve", str(port))
        time.sleep(0.5)
        return Way("pasta", host, port, carriers(
            children(pasta.pid), *PASTA))

    def slirp4netns(self):
        if not shutil.which("slirp4netns"):
            return None
        port, control = free_port(), self.work / "slirp.sock"
        holder = self.spawn("unshare", "-rn", self.load, "serve", str(INSIDE))
        time.sleep(0.3)
        slirp = self.spawn("slirp4netns", "-c", "-m", "65520", "-a",
                           str(control), str(holder.pid), "tap0")
        deadline = time.monotonic() + 5
        while not control.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(OSError), \
                socket.socket(socket.AF_UNIX) as s:
            s.connect(str(control))
            s.sendall(json.dumps({"execute": "add_hostfwd", "arguments": {
                "proto": "tcp", "host_addr": "127.0.0.1", "host_port": port,
                "guest_addr": "10.0.2.100", "guest_port": INSIDE}}).encode())
            s.shutdown(socket.SHUT_WR)
            s.recv(1000)
        return Way("slirp4netns", "127.0.0.1", port, [slirp.pid])

    def rootlesskit(self):
        if not shutil.which("rootlesskit"):
            return None
        port = free_port()
        kit = self.spawn("rootlesskit", "--state-dir", str(self.work / "kit"),
                         "--net=slirp4netns", "--mtu=65520",
                         "--slirp4netns-sandbox=false",
                         "--port-driver=builtin", "-p",
                         f"127.0.0.1:{port}:{INSIDE}/tcp", self.load, "serve",
                         str(INSIDE))
        time.sleep(1.5)
        return Way("rootlesskit", "127.0.0.1", port, carriers(
            children(kit.pid), "rootlesskit", "exe"))

    def podman(self):
        if not shutil.which("podman"):
            return None
        port, command = free_port(), podman(self.work)
        before = set(everybody())
        quiet([*command, "import", roots.busybox(self.work), "bench"])
        quiet([*command, "run", "-d", "--name", "bench", "-v",
               f"{self.load}:/net_load:ro", "-p", f"127.0.0.1:{port}:{INSIDE}",
               "bench", "/net_load", "serve", str(INSIDE)])
        return Way("podman", "127.0.0.1", port, carriers(
            set(everybody()) - before, "rootlessport", "rootlessport-ch",
            *PASTA, "exe"))
