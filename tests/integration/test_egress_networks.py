"""Containers with an egress policy on named networks: they reach the others
there, and nothing else by that way, whatever they put on the wire."""
import json
import os
import signal

import pytest

from conftest import wait_for
from test_egress import OTHER, OTHER6, SERVER, tries, world  # noqa: F401

GATEWAY, WWW, WWW6 = "172.30.9.1", "172.30.9.2", "fd09::2"


LISTENS = "import socket; socket.create_connection(('127.0.0.1', 80))"


def serve(moss, name, *options):
    """A container that listens on port 80."""
    moss.ok("run", "-d", "--name", name, *options, "debian", "python3", "-m",
            "http.server", "80")
    wait_for(lambda: moss("exec", name, "python3", "-c", LISTENS).code == 0,
             name)


@pytest.fixture(scope="module")
def network(world):  # noqa: F811
    """A network, with an unpoliced server on it."""
    moss = world.moss
    moss.ok("network", "create", "--subnet", "172.30.9.0/24", "--ipv6",
            "--subnet", "fd09::/64", "backend")
    serve(moss, "www", "--network", "backend", "--ip", WWW, "--ip6", WWW6,
          "--network-alias", "db.internal")
    yield moss
    moss.ok("rm", "-f", "www")
    moss.ok("network", "rm", "backend")


POLICY = ["--network", "backend", "--egress-allow", "allowed.test:80"]


def test_reaches_the_network_and_what_is_allowed(network, tries):  # noqa: F811
    assert tries(POLICY, "reaches('www', 80)", "reaches('db.internal', 80)",
                 "reaches('www.backend', 80)", "get('allowed.test')",
                 f"get('{OTHER}')", "resolve('other.test')",
                 "resolve('nobody')", "resolve('www')",
                 f"connect('{WWW6}', 80)") == [
                     True, True, True, "allowed.test",
                     "ConnectionRefusedError", "gaierror", "gaierror", [WWW],
                     "ConnectionRefusedError"]


def test_is_reached(network):
    """By others of the network, under its name."""
    serve(network, "box", *POLICY)
    code = ("import socket; s = socket.create_connection(('box', 80), 3);"
            "print(s.getpeername()[0])")
    address = network.inspect("box")["NetworkSettings"]["Networks"]["backend"]
    assert network.ok("exec", "www", "python3", "-c",
                      code).strip() == address["IPAddress"]
    assert not address["GlobalIPv6Address"]
    network.ok("rm", "-f", "box")


@pytest.mark.parametrize("internal", [False, True])
def test_what_it_puts_on_the_wire(network, world, tries, internal):  # noqa: F811
    """Its frames lead to the network's containers, or nowhere."""
    name, gateway = "backend", GATEWAY
    if internal:
        name, gateway = "inside", "172.30.10.1"
        network.ok("network", "create", "--subnet", "172.30.10.0/24",
                   "--internal", name)
    other = gateway[:-1] + "2"
    assert tries(["--network", name, "--egress", "deny", "--cap-add",
                  "NET_ADMIN", "--cap-add", "NET_RAW"],
                 f"wires('{gateway}', '{other}', '{OTHER}', '{OTHER6}')",
                 f"get('{OTHER}')") == [14, "ConnectionRefusedError"]
    assert "evil" not in world.log.read_text()
    assert world.seen() == []
    if internal:
        network.ok("network", "rm", name)


def test_unpoliced_reaches_the_world(network, world, tries):  # noqa: F811
    """What the others' frames would show if they got anywhere."""
    assert tries(["--network", "backend"], f"udp('{OTHER}', 99)",
                 "ask_raw('tunnel.evil.test', 1, '172.30.9.1')[0]") == [
                     "PING", 3]
    assert "evil" in world.log.read_text()
    assert [line[:2] for line in world.seen()] == [["udp", OTHER]]


def test_addresses_change_hands(network):
    """Of one kind and the other in turn: the others find them at once."""
    code = ("import socket; s = socket.create_connection(('172.30.9.77', 80),"
            "2)")
    for options in [], ["--egress", "deny"], [], ["--egress", "deny"]:
        serve(network, "box", "--network", "backend", "--ip", "172.30.9.77",
              *options)
        network.ok("exec", "www", "python3", "-c", code)
        network.ok("rm", "-f", "box")


def test_kept_apart(network, tries):  # noqa: F811
    """On a network that isolates its containers it meets nobody."""
    network.ok("network", "create", "--subnet", "172.30.11.0/24", "-o",
               "com.docker.network.bridge.enable_icc=false", "apart")
    for name, more in ("one", []), ("two", ["--egress", "deny"]):
        serve(network, name, "--network", "apart", *more)
    result = tries(["--network", "apart", "--egress-allow", "allowed.test:80"],
                   "get('allowed.test')",
                   "resolve('one') and reaches('one', 80)", slow=True)
    assert result == ["allowed.test", "OSError"]
    result = network("exec", "one", "python3", "-c", "import socket;"
                     "socket.create_connection(('two', 80), 1)")
    assert result.code == 1
    network.ok("rm", "-f", "one", "two")
    network.ok("network", "rm", "apart")


def test_connected_later(network, world):  # noqa: F811
    """A second network while it runs; the first one only while it does not."""
    client = f"{world.log.parent}/egress_client.py:/client.py"
    network.ok("network", "create", "second")
    serve(network, "far", "--network", "second")
    network.ok("run", "-d", "--name", "box", "-v", client, "--egress-allow",
               "allowed.test:80", "debian", "sleep", "100")
    result = network("network", "connect", "backend", "box")
    assert result.code == 1 and "stop it first" in result.err
    network.ok("stop", "-t", "0", "box")
    network.ok("network", "connect", "backend", "box")
    network.ok("start", "box")
    network.ok("network", "connect", "second", "box")
    out = network.ok("exec", "box", "python3", "/client.py",
                     "reaches('www', 80)", "reaches('far', 80)",
                     "get('allowed.test')", f"get('{OTHER}')")
    assert [json.loads(line)[0] for line in out.splitlines()] == [
        True, True, "allowed.test", "ConnectionRefusedError"]
    network.ok("network", "disconnect", "second", "box")
    out = network.ok("exec", "box", "python3", "/client.py",
                     "reaches('www', 80)", "resolve('far')")
    assert [json.loads(line)[0] for line in out.splitlines()] == [
        True, "gaierror"]
    network.ok("rm", "-f", "box", "far")
    network.ok("network", "rm", "second")


def test_helpers_are_killed(network, world):  # noqa: F811
    """A new gateway and a new moss-net know what the old ones knew."""
    client = f"{world.log.parent}/egress_client.py:/client.py"
    network.ok("run", "-d", "--name", "box", "-v", client, *POLICY, "debian",
               "sleep", "100")
    state = json.loads((network.root / "containers" /
                        network.inspect("box")["Id"] / "state.json").read_text())
    gateway = json.loads((network.root / "networks" / "backend" /
                          "gateway.json").read_text())
    for pid in gateway["Pid"], state["NetPid"]:
        os.kill(pid, signal.SIGKILL)

    def works():
        out = network.ok("exec", "box", "python3", "/client.py",
                         "resolve('www')", "get('allowed.test')",
                         f"get('{OTHER}')", "resolve('other.test')")
        return [json.loads(line)[0] for line in out.splitlines()] == [
            [WWW], "allowed.test", "ConnectionRefusedError", "gaierror"]
    wait_for(works, "the new helpers")
    network.ok("rm", "-f", "box")


def test_no_ipv6(network):
    result = network("run", "--rm", *POLICY, "--ip6", "fd09::9", "busybox",
                     "true")
    assert result.code == 125 and "no IPv6 address" in result.err
