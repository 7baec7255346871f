"""--host-port: single ports of the host's loopback, and nothing else of it."""
import contextlib
import json
import os
import signal
import socket
import threading

import pytest

from conftest import wait_for

HOST = "host.docker.internal"


@contextlib.contextmanager
def loopback_server(answer, address="127.0.0.1"):
    """Says `answer` to whoever connects; its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, 0), family=family)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(answer)
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def servers():
    """Two on the host's loopback: the one that is opened, and another."""
    with loopback_server(b"opened") as opened, \
            loopback_server(b"secret") as other:
        yield opened, other


def net_pid(moss, name):
    path = moss.root / "containers" / moss.inspect(name)["Id"] / "state.json"
    return json.loads(path.read_text()).get("NetPid", 0)


def ask(moss, name, port, host=HOST):
    return moss("exec", name, "sh", "-c",
                f"timeout 5 nc {host} {port} </dev/null")


def check_only(moss, name, opened, other):
    assert ask(moss, name, opened).out == "opened"
    closed = ask(moss, name, other)
    assert closed.out == "" and "Connection refused" in closed.err


def test_only_this_port(moss, servers):
    opened, other = servers
    moss.ok("run", "-d", "--name", "hp", "--host-port", f"{opened}",
            "--host-port", f"{opened}:80", "busybox", "sleep", "100")
    check_only(moss, "hp", opened, other)
    assert ask(moss, "hp", 80, "host.containers.internal").out == "opened"
    # The rest of the gateway is the uplink's, as before.
    moss.ok("exec", "hp", "ping", "-c", "1", "-W", "5", HOST)
    assert moss.inspect("hp")["HostConfig"]["Moss"]["HostPorts"] == [
        f"{opened}", f"{opened}:80"]


def test_ipv6(moss):
    """A server on [::1] only; the gateway's IPv6 address."""
    with loopback_server(b"six", "::1") as port:
        moss.ok("run", "-d", "--name", "hp", "--host-port", f"{port}",
                "busybox", "sleep", "100")
        assert ask(moss, "hp", port).out == "six"
        assert ask(moss, "hp", port, "fd00::2").out == "six"


def test_nobody_listens(moss, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "hp", "--host-port", f"{port}", "busybox",
            "sleep", "100")
    gone = moss("exec", "hp", "timeout", "5", "wget", "-qO-",
                f"http://{HOST}:{port}/")
    assert gone.code == 1 and "reset" in gone.err


def test_named_network(moss, servers):
    opened, other = servers
    moss.ok("network", "create", "hp-net")
    moss.ok("network", "create", "--internal", "hp-inner")
    try:
        for network in ("hp-net", "hp-inner"):
            moss.ok("run", "-d", "--name", network, "--network", network,
                    "--host-port", f"{opened}", "busybox", "sleep", "100")
            assert ask(moss, network, opened).out == "opened"
            assert ask(moss, network, other).out == ""
        moss.ok("run", "-d", "--name", "neighbour", "--network", "hp-net",
                "busybox", "sleep", "100")
        assert ask(moss, "neighbour", opened).out == ""
    finally:
        moss("rm", "-f", "hp-net", "hp-inner", "neighbour")
        moss("network", "rm", "-f", "hp-net", "hp-inner")


def test_root_inside_cannot_widen_it(moss, debian, servers):
    """Routes and rules of the container's root lead to no other port."""
    opened, other = servers
    moss.ok("run", "-d", "--name", "hp", "--cap-add", "NET_ADMIN",
            "--host-port", f"{opened}", debian, "sleep", "100")
    moss.ok("exec", "hp", "sh", "-c",
            "ip rule add pref 50 to 10.0.2.2 lookup 99; "
            "ip route add local 127.9.0.0/16 dev lo table 99; "
            "ip addr add 10.0.2.2/32 dev lo; "
            "ip route flush cache")
    script = f"""
import socket
for port in ({other}, {opened}):
    for host in ("10.0.2.2", "127.9.0.1", "10.0.2.3"):
        s = socket.socket()
        s.settimeout(3)
        try:
            s.connect((host, port))
            print(s.recv(100))
        except OSError as e:
            print(type(e).__name__)
"""
    out = moss.ok("exec", "hp", "python3", "-c", script)
    assert "secret" not in out and out.count("opened") == 1, out


def test_sockets_ended_inside(moss, debian, servers):
    """ss -K takes the port away from the container, and no more than that."""
    opened, other = servers
    moss.ok("run", "-d", "--name", "hp", "--cap-add", "NET_ADMIN",
            "--host-port", f"{opened}", debian, "sleep", "100")
    moss("exec", "hp", "ss", "-K", "-l", "sport", "=", f"{opened}")
    net = net_pid(moss, "hp")

    def ticks():
        with open(f"/proc/{net}/stat") as file:
            return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
    before = ticks()
    moss.ok("exec", "hp", "sleep", "0.5")
    assert ticks() - before < 20


def test_after_the_helper_died(moss, servers):
    opened, other = servers
    moss.ok("run", "-d", "--name", "hp", "--host-port", f"{opened}", "-p",
            "80", "busybox", "sleep", "100")
    check_only(moss, "hp", opened, other)
    old = net_pid(moss, "hp")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: net_pid(moss, "hp") not in (0, old), "another moss-net")
    wait_for(lambda: ask(moss, "hp", opened).out == "opened", "the host port")
    check_only(moss, "hp", opened, other)


def test_refused(moss):
    for network in ("none", "host"):
        result = moss("run", "--rm", "--network", network, "--host-port",
                      "5432", "busybox", "true", check=125)
        assert "host-port and the network mode" in result.err
    for port, words in {"x": 'invalid host port: "x"',
                        "53/udp": "only TCP"}.items():
        result = moss("run", "--rm", "--host-port", port, "busybox", "true",
                      check=125)
        assert words in result.err
