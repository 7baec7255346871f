"""Published ports as one interface: its engines, and changes while it runs."""
import contextlib
import json
import os
import signal
import socket

import pytest

from conftest import wait_for

WEB = ["busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]

def mode_of(moss, name):
    return moss.inspect(name)["HostConfig"]["Moss"]["PublishMode"]


def test_publish_mode_is_stored(moss):
    moss.ok("create", "--name", "plain", "busybox", "true")
    moss.ok("create", "--name", "chosen", "--publish-mode", "splice", "busybox",
            "true")
    assert mode_of(moss, "plain") == "auto"
    assert mode_of(moss, "chosen") == "splice"


def test_publish_mode_of_moss_conf(moss, tmp_path):
    conf = tmp_path / "moss.conf"
    conf.write_text("[network]\n\tpublish-mode = splice\n")
    moss = moss.with_env(MOSS_CONFIG=str(conf))
    moss.ok("create", "--name", "default", "busybox", "true")
    moss.ok("create", "--name", "chosen", "--publish-mode", "auto", "busybox",
            "true")
    assert mode_of(moss, "default") == "splice"
    assert mode_of(moss, "chosen") == "auto"
    conf.write_text("[network]\n\tpublish-mode = fast\n")
    result = moss("create", "busybox", "true", check=1)
    assert f"{conf}:2" in result.err and '"fast"' in result.err


def test_publish_mode_must_be_known(moss):
    result = moss("run", "--rm", "--publish-mode", "fast", "busybox", "true",
                  check=125)
    assert 'invalid publish mode: "fast"' in result.err
    assert "auto, splice, slirp or native" in result.err


def fetch(port, address="127.0.0.1", path="/group"):
    """The first line of an answer of WEB, None when nobody answers."""
    try:
        with socket.create_connection((address, port), timeout=5) as s:
            s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return s.recv(1000).split(b"\r")[0].decode() or None
    except OSError:
        return None


SERVED = "HTTP/1.1 200 OK"


def state_of(moss, name):
    id = moss.inspect(name)["Id"]
    return json.loads((moss.root / "containers" / id / "state.json")
                      .read_text())


@pytest.mark.parametrize("at_start", [True, False])
def test_port_add_and_rm(moss, free_port, at_start):
    """With the forwarder that is there, and with one that has to be made."""
    first, second = free_port(), free_port()
    options = ["-p", f"127.0.0.1:{first}:80"] if at_start else []
    moss.ok("run", "-d", "--name", "web", *options, *WEB)
    out = moss.ok("port", "add", "web", f"127.0.0.1:{second}:80")
    assert out == f"80/tcp -> 127.0.0.1:{second}"
    # Listening is ready; the server may need a moment more.
    wait_for(lambda: fetch(second), "the added port")
    assert fetch(first) == (SERVED if at_start else None)
    assert f"127.0.0.1:{second}->80/tcp" in moss.ps()[0]["Ports"]
    assert f"127.0.0.1:{second}" in moss.ok("port", "web", "80")
    inspected = moss.inspect("web")
    assert {"HostIp": "127.0.0.1", "HostPort": str(second)} in \
        inspected["HostConfig"]["PortBindings"]["80/tcp"]

    with socket.create_connection(("127.0.0.1", second)) as open_before:
        open_before.sendall(b"GET /group HTTP/1.0\r\n")
        moss.ok("port", "rm", "web", f"{second}:80")
        assert fetch(second) is None
        assert fetch(first) == (SERVED if at_start else None)
        open_before.sendall(b"\r\n")
        assert open_before.recv(1000).startswith(b"HTTP/1.1 200")
    bindings = moss.inspect("web")["HostConfig"]["PortBindings"]
    assert [b["HostPort"] for b in bindings.get("80/tcp", [])] == \
        ([str(first)] if at_start else [])
    # The number is free again.
    moss.ok("port", "add", "web", "-p", f"127.0.0.1:{second}:80")
    assert wait_for(lambda: fetch(second), "the port again") == SERVED


def test_added_ports_survive(moss, free_port):
    """A helper's death, its stop, a restart, a stop and a start."""
    port = free_port()
    moss.ok("run", "-d", "--name", "web", *WEB)
    moss.ok("port", "add", "web", f"127.0.0.1:{port}:80")
    wait_for(lambda: fetch(port), "the added port")
    helper = state_of(moss, "web")["PortPid"]
    os.kill(helper, signal.SIGSTOP)
    assert fetch(port) == SERVED
    os.kill(helper, signal.SIGKILL)
    assert wait_for(lambda: fetch(port), "the port again") == SERVED
    assert state_of(moss, "web")["PortPid"] != helper
    moss.ok("restart", "-t", "0", "web")
    assert wait_for(lambda: fetch(port), "the restarted server") == SERVED
    assert "PortPid" not in state_of(moss, "web")
    moss.ok("kill", "web")
    moss.ok("port", "add", "web", "80")
    assert moss.ok("port", "web") == ""
    moss.ok("start", "web")
    assert wait_for(lambda: fetch(port), "the started server") == SERVED
    lines = moss.ok("port", "web", "80").splitlines()
    assert len(lines) == 3 and f"127.0.0.1:{port}" in lines


def test_random_port_is_removed_by_its_number(moss):
    moss.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", *WEB)
    moss.ok("port", "add", "web", "127.0.0.1::80", "127.0.0.1::80")
    lines = moss.ok("port", "web", "80").splitlines()
    assert len(set(lines)) == 3
    gone = lines.pop(1).rsplit(":", 1)[1]
    moss.ok("port", "rm", "web", f"{gone}:80")
    assert moss.ok("port", "web", "80").splitlines() == lines
    assert fetch(int(gone)) is None
    ports = [int(line.rsplit(":", 1)[1]) for line in lines]
    wait_for(lambda: fetch(ports[0]), "the server")
    assert [fetch(port) for port in ports] == [SERVED] * 2
    moss.ok("port", "rm", "web", "80")
    assert moss.ok("port", "web") == ""
    assert moss.inspect("web")["HostConfig"]["PortBindings"] == {}


def test_port_add_fails_as_run_does(moss, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80", *WEB)
    before = moss.inspect("web")["HostConfig"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        result = moss("port", "add", "web", f"127.0.0.1:{free_port()}:80",
                      f"127.0.0.1:{number}:80", check=1)
    assert f"127.0.0.1:{number}" in result.err and "in use" in result.err
    assert "already" in moss("port", "add", "web", f"127.0.0.1:{port}:81",
                             check=1).err
    assert "no public port '81/tcp' published for web" in \
        moss("port", "rm", "web", "81", check=1).err
    assert "sctp" in moss("port", "add", "web", "1:1/sctp", check=1).err
    assert "moss port add CONTAINER SPEC" in \
        moss("port", "add", "web", check=1).err
    assert moss.inspect("web")["HostConfig"] == before
    assert len(moss.ok("port", "web").splitlines()) == 1
    moss.ok("run", "-d", "--name", "alone", "--network", "none", "busybox",
            "sleep", "60")
    assert "no network of its own" in moss("port", "add", "alone", "80",
                                           check=1).err


def test_containers_called_add_and_rm(moss, free_port):
    port = free_port()
    for name in ("add", "rm"):
        moss.ok("run", "-d", "--name", name, *WEB)
        moss.ok("port", "add", name, f"127.0.0.1:{port}:80")
        assert moss.ok("port", name) == f"80/tcp -> 127.0.0.1:{port}"
        assert moss.ok("port", name, "80/tcp") == f"127.0.0.1:{port}"
        moss.ok("port", "rm", name, "80")
        assert moss.ok("port", name) == ""


def test_port_add_on_a_named_network(moss, free_port):
    port = free_port()
    moss.ok("network", "create", "lan")
    try:
        moss.ok("run", "-d", "--name", "web", "--network", "lan", *WEB)
        moss.ok("port", "add", "web", f"127.0.0.1:{port}:80")
        assert wait_for(lambda: fetch(port), "the added port") == SERVED
        os.kill(state_of(moss, "web")["NetPid"], signal.SIGKILL)
        assert wait_for(lambda: fetch(port), "the port again") == SERVED
        moss.ok("port", "rm", "web", "80")
        assert fetch(port) is None
    finally:
        moss.remove_all()
        moss.ok("network", "rm", "lan")


def test_port_of_another_container_is_named(moss, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "first", "-p", f"{port}:80", *WEB)
    result = moss("run", "-d", "--name", "second", "-p",
                  f"127.0.0.1:{port}:80", *WEB, check=125)
    assert "container first has it" in result.err
    moss.ok("run", "-d", "--name", "third", *WEB)
    assert "container first has it" in \
        moss("port", "add", "third", f"{port}:80", check=1).err
    # The protocol makes another port of it.
    moss.ok("port", "add", "third", f"127.0.0.1:{port}:80/udp")


@pytest.mark.parametrize("spec, addresses", [
    ("{}:80", ["127.0.0.1", "::1"]),
    ("127.0.0.1:{}:80", ["127.0.0.1"]),
    ("[::1]:{}:80", ["::1"]),
])
def test_dual_stack(moss, free_port, spec, addresses):
    port = free_port()
    moss.ok("run", "-d", "--name", "web", "-p", spec.format(port), *WEB)
    wait_for(lambda: fetch(port, addresses[0]), "the server")
    for address in ("127.0.0.1", "::1"):
        assert fetch(port, address) == \
            (SERVED if address in addresses else None)


def free_range(count):
    """The first of as many ports that are free one behind the other."""
    for first in range(20000, 30000, count):
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            pass
        finally:
            for s in held:
                s.close()


def test_ranges(moss):
    first = free_range(11)
    moss.ok("run", "-d", "--name", "web", "-p",
            f"127.0.0.1:{first}-{first + 10}:80-90", *WEB)
    lines = moss.ok("port", "web").splitlines()
    assert lines == [f"{80 + i}/tcp -> 127.0.0.1:{first + i}"
                     for i in range(11)]
    # Any of a range, several of one port, both protocols of one number.
    second = free_range(3)
    chosen = f"127.0.0.1:{second}-{second + 2}:80"
    moss.ok("run", "-d", "--name", "any", "-p", chosen, "-p", chosen, "-p",
            chosen, "-p", f"127.0.0.1:{second}:80/udp", *WEB)
    lines = moss.ok("port", "any", "80").splitlines()
    assert lines == [f"127.0.0.1:{second + i}" for i in range(3)]
    assert moss.ok("port", "any", "80/udp") == f"127.0.0.1:{second}"
    wait_for(lambda: fetch(second), "the server")
    assert [fetch(second + i) for i in range(3)] == [SERVED] * 3
    result = moss("run", "--rm", "-p", chosen, *WEB, check=125)
    assert "no port of the range is free" in result.err


def test_listening_before_run_returns(moss, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "quiet", "-p", f"127.0.0.1:{port}:80",
            "busybox", "sleep", "60")
    # Reset as soon as it is known that nobody listens inside; not refused.
    with contextlib.suppress(ConnectionResetError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_sctp_is_refused(moss):
    for spec in ("80:80/sctp", "80/sctp"):
        result = moss("run", "--rm", "-p", spec, "busybox", "true", check=125)
        assert "sctp" in result.err and "tcp and udp" in result.err


def test_helper_dies_alone(moss, free_port):
    """Killed or stopped, with ports from the start; others do not notice."""
    ports = [free_port(), free_port()]
    for name, port in zip(("one", "two"), ports):
        moss.ok("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:80",
                *WEB)
        wait_for(lambda: fetch(port), name)
    with socket.create_connection(("127.0.0.1", ports[1])) as other:
        other.sendall(b"GET /group HTTP/1.0\r\n")
        before = state_of(moss, "one")["NetPid"]
        os.kill(before, signal.SIGSTOP)
        assert fetch(ports[0]) == SERVED
        os.kill(before, signal.SIGKILL)
        assert wait_for(lambda: fetch(ports[0]), "one again") == SERVED
        assert state_of(moss, "one")["NetPid"] != before
        other.sendall(b"\r\n")
        assert other.recv(1000).decode().startswith(SERVED)


def test_publish_all_of_both_protocols(moss, busybox_tar):
    moss.ok("import", "-c", "EXPOSE 8080 5353/udp", "-c",
            'CMD ["sleep", "60"]', busybox_tar, "exposed")
    moss.ok("run", "-d", "--name", "web", "-P", "-p", "127.0.0.1::8080",
            "exposed")
    # What -p names is published once, as it says.
    assert moss.ok("port", "web", "8080").startswith("127.0.0.1:")
    udp = moss.ok("port", "web", "5353/udp").splitlines()
    assert [line.rsplit(":", 1)[0] for line in udp] == ["0.0.0.0", "[::]"]
    assert f"0.0.0.0:{udp[0].rsplit(':', 1)[1]}->5353/udp" in \
        moss.ps()[0]["Ports"]
    moss.ok("rm", "-f", "web")
    moss.ok("rmi", "exposed")


UDP_ECHO = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 5000))
while True:
    data, peer = s.recvfrom(1000)
    s.sendto(data, peer)
"""


def ask_datagram(port, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        s.connect((address, port))
        try:
            s.send(b"ping")
            return s.recv(10)
        except OSError:
            return None


@pytest.mark.parametrize("mode", ["splice", "slirp"])
def test_modes_serve_alike(moss, debian, free_port, mode):
    """TCP and UDP, both families, to a server of either; a helper's death."""
    port, udp = free_port(), free_port(socket.SOCK_DGRAM)
    # libslirp answers no datagrams of the host's loopback otherwise.
    network = "slirp:allow_host_loopback=true" if mode == "slirp" else "slirp"
    moss.ok("run", "-d", "--name", "web", "--publish-mode", mode, "--network",
            network, "-p", f"{port}:80", "-p", f"{udp}:5000/udp", "-w", "/etc", debian, "sh",
            "-c", 'python3 -m http.server --bind :: 80 & exec python3 -c "$0"',
            UDP_ECHO)
    for _ in range(2):
        for address in ("127.0.0.1", "::1"):
            wait_for(lambda: "200" in (fetch(port, address) or ""),
                     f"TCP over {address}", 30)
            assert wait_for(lambda: ask_datagram(udp, address),
                            f"UDP over {address}", 30) == b"ping"
        os.kill(state_of(moss, "web")["NetPid"], signal.SIGKILL)
    assert f":{port}->80/tcp" in moss.ps()[0]["Ports"]


def test_slirp_mode_has_limits(moss, free_port):
    port, second = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        result = moss("run", "--rm", "--publish-mode", "slirp", "-p",
                      f"127.0.0.1:{number}:80", *WEB, check=125)
    assert f"127.0.0.1:{number}" in result.err and "in use" in result.err
    moss.ok("run", "-d", "--name", "web", "--publish-mode", "slirp", "-p",
            "127.0.0.1::80", *WEB)
    chosen = int(moss.ok("port", "web", "80").rsplit(":", 1)[1])
    assert wait_for(lambda: fetch(chosen), "the server") == SERVED
    result = moss("port", "add", "web", f"127.0.0.1:{second}:80", check=1)
    assert "publish mode slirp" in result.err
    moss.ok("stop", "-t", "0", "web")
    moss.ok("port", "add", "web", f"127.0.0.1:{port}:80")
    moss.ok("start", "web")
    assert wait_for(lambda: fetch(port), "the added port") == SERVED
    for options in (["--network", "none"], ["--egress", "deny"]):
        result = moss("create", "--publish-mode", "slirp", *options, "busybox",
                      "true", check=1)
        assert "slirp mode" in result.err
