"""moss-net and moss-gateway as the kernel shows them while they serve: what a
container that takes one over would have."""
import json
import os
import pathlib
import re

import pytest

from conftest import wait_for

NET_ADMIN = 1 << 12
READ_ONLY = "ro,nosuid,nodev,noexec"


def read(path):
    return pathlib.Path(path).read_text()


def net_pid(moss, name):
    return json.loads(read(moss.root / "containers" / moss.inspect(name)["Id"] /
                           "state.json"))["NetPid"]


def descriptors(pid):
    """What they lead to, numbers left out, the standard ones apart."""
    found = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        found[int(fd.name)] = re.sub(r"[^a-zA-Z_/]", "", os.readlink(fd))
    assert [found.pop(i) for i in range(3)] == ["/dev/null"] * 3
    return sorted(found.values())


def check_threads(pid):
    """Of each thread that is in another network namespace than we are, its
    capabilities; all else is the same for all."""
    ours = os.readlink("/proc/self/ns/net")
    inside = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        status = dict(re.findall(r"^(\w+):\s*(.*?)\s*$",
                                 read(task / "status"), re.M))
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert status["Uid"].split() == [str(os.getuid())] * 4
        for name in ("CapInh", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["CapPrm"] == status["CapEff"]
        capabilities = int(status["CapEff"], 16)
        if os.readlink(task / "ns/net") == ours:
            assert capabilities == 0
        else:
            inside.append(capabilities)
        for name in ("mnt", "user"):
            assert os.readlink(task / f"ns/{name}") != \
                os.readlink(f"/proc/self/ns/{name}")
    return inside


def check_root(pid, others=()):
    """An empty root: resolv.conf, and nothing that can be written to."""
    mounts = [line.split() for line in
              read(f"/proc/{pid}/mountinfo").splitlines()]
    names = [mount[4] for mount in mounts]
    assert sorted(names) in (sorted(["/", "/host", *others]),
                             sorted(["/", "/etc/resolv.conf", *others]))
    for mount in mounts:
        assert mount[5].startswith(READ_ONLY), mount
    root = f"/proc/{pid}/root"
    assert set(os.listdir(root)) <= {"etc", "host", *(o[1:] for o in others)}
    assert os.listdir(f"{root}/etc") in ([], ["resolv.conf"])
    limits = read(f"/proc/{pid}/limits")
    for name in ("core file size", "file size"):
        assert re.search(rf"^Max {name}\s+0\s+0 ", limits, re.M)


def test_moss_net(moss, free_port):
    moss.ok("run", "-d", "--name", "plain", "busybox", "sleep", "100")
    pid = net_pid(moss, "plain")
    assert check_threads(pid) == []
    check_root(pid)
    # The tap, and the monitor's.
    assert [name for name in descriptors(pid) if "tun" not in name] == \
        ["socket"]


def test_moss_net_with_ports(moss, free_port):
    """The published port's thread is inside and has one capability there; the
    host port's has stayed outside and has none."""
    moss.ok("run", "-d", "--name", "ports", "-p",
            f"127.0.0.1:{free_port()}:80", "--host-port", f"{free_port()}",
            "busybox", "sleep", "100")
    pid = net_pid(moss, "ports")
    assert len(os.listdir(f"/proc/{pid}/task")) == 3
    assert check_threads(pid) == [NET_ADMIN]
    check_root(pid)
    kinds = {name for name in descriptors(pid) if "tun" not in name}
    assert kinds <= {"socket", "anon_inode/eventpoll", "anon_inodeeventpoll"}


def test_moss_gateway(moss):
    moss.ok("network", "create", "conf-net")
    try:
        moss.ok("run", "-d", "--name", "member", "--network", "conf-net",
                "busybox", "sleep", "100")
        pid = json.loads(read(moss.root / "networks/conf-net/gateway.json"))[
            "Pid"]
        assert check_threads(pid) == []
        check_root(pid, ["/networks"])
        kinds = {re.sub("^/dev", "", name) for name in descriptors(pid)}
        assert kinds <= {"socket", "/networks", "net", "/net/tun",
                         "anon_inodeinotify"}
    finally:
        moss("rm", "-f", "member")
        moss("network", "rm", "-f", "conf-net")


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/status", "/tmp"])
def test_nothing_of_the_host(moss, path):
    moss.ok("run", "-d", "--name", "plain", "busybox", "sleep", "100")
    assert not os.path.exists(f"/proc/{net_pid(moss, 'plain')}/root{path}")


# Says that it serves and then, until somebody stops it, that it could not do
# what it was never asked for.
TAKEN_OVER = """#!/usr/bin/python3
import socket, struct
monitor = socket.socket(fileno=3)
monitor.recv(65536)
monitor.recv(65536)
open({starts!r}, "a").write("started\\n")
monitor.send(b"ready\\0")
while True:
    monitor.send(struct.pack("=IIi", 3, {request}, -5))
"""


@pytest.mark.parametrize("request_", [0, 1])
def test_answers_that_nobody_asked_for(moss, build, free_port, tmp_path,
                                       request_):
    """A moss-net that was taken over cannot keep the monitor busy with them;
    it is let go when it starts with that again and again."""
    libexec = tmp_path / "libexec"
    libexec.mkdir()
    for program in build.glob("moss*"):
        if program.is_file() and program.name != "moss-net":
            (libexec / program.name).symlink_to(program)
    starts = tmp_path / "starts"
    helper = libexec / "moss-net"
    helper.write_text(TAKEN_OVER.format(starts=str(starts), request=request_))
    helper.chmod(0o755)
    moss.with_env(MOSS_LIBEXEC=str(libexec)).ok(
        "run", "-d", "--name", "taken", "-p", f"127.0.0.1:{free_port()}:80",
        "busybox", "sleep", "100")
    assert wait_for(lambda: not moss.ok("port", "taken"),
                    "the helper to be let go")
    assert len(starts.read_text().splitlines()) == 6
    assert moss.ok("exec", "taken", "echo", "runs") == "runs"
