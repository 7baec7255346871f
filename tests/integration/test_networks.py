"""Named networks: their records, their containers, their names."""
import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

from conftest import wait_for


@pytest.fixture
def nets(moss):
    """Makes networks that go with the test."""
    made = []

    def create(name, *options):
        made.append(name)
        return moss.ok("network", "create", *options, name)

    yield create
    for name in made:
        moss("network", "rm", "-f", name)


def inspect(moss, name):
    return json.loads(moss.ok("network", "inspect", name))[0]


# ---- records ----

def test_create_inspect_rm(moss, nets):
    identity = nets("nr-a", "--label", "kind=x", "-o",
                    "com.docker.network.driver.mtu=1400")
    assert len(identity) == 64
    shown = inspect(moss, "nr-a")
    assert shown["Id"] == identity
    assert list(shown) == [
        "Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6",
        "IPAM", "Internal", "Attachable", "Ingress", "ConfigFrom", "ConfigOnly",
        "Containers", "Options", "Labels"]
    assert shown["Labels"] == {"kind": "x"}
    assert shown["Options"] == {"com.docker.network.driver.mtu": "1400"}
    assert inspect(moss, identity[:12])["Name"] == "nr-a"
    again = moss("network", "create", "nr-a")
    assert again.code == 1
    assert "network with name nr-a already exists" in again.err
    assert moss.ok("network", "rm", identity[:10]) == identity[:10]
    gone = moss("network", "inspect", "nr-a")
    assert gone.code == 1 and "network nr-a not found" in gone.err
    assert moss("network", "rm", "nr-a").code == 1
    assert moss("network", "rm", "-f", "nr-a").code == 0


def test_subnets(moss, nets):
    nets("nr-sub", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.254",
         "--ip-range", "10.77.0.128/25", "--aux-address", "box=10.77.0.129",
         "--subnet", "fd77::/64")
    shown = inspect(moss, "nr-sub")
    assert shown["EnableIPv6"]
    assert shown["IPAM"]["Config"] == [
        {"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.128/25",
         "Gateway": "10.77.0.254",
         "AuxiliaryAddresses": {"box": "10.77.0.129"}},
        {"Subnet": "fd77::/64", "Gateway": "fd77::1"}]
    # What is chosen is nobody else's, neither a network's nor a route's.
    nets("nr-one")
    nets("nr-two", "--ipv6")
    subnets = [config["Subnet"] for name in ("nr-one", "nr-two")
               for config in inspect(moss, name)["IPAM"]["Config"]]
    assert len(subnets) == len(set(subnets)) == 3
    assert subnets[2].startswith("fd") and subnets[2].endswith("/64")


@pytest.mark.parametrize("options, words", [
    (["--subnet", "10.78.0.0/33"], "invalid"),
    (["--subnet", "10.78.0.1/24"], "it should be 10.78.0.0/24"),
    (["--gateway", "10.78.0.1"], "no matching subnet"),
    (["--subnet", "10.78.0.0/24", "--gateway", "10.79.0.1"],
     "no matching subnet for gateway"),
    (["--subnet", "10.78.0.0/24", "--gateway", "10.78.0.255"],
     "Address already in use"),
    (["--subnet", "10.78.0.0/24", "--subnet", "10.79.0.0/24"],
     "doesn't support multiple subnets"),
    (["--subnet", "10.0.2.0/25"], "Pool overlaps"),
    (["--driver", "macvlan"], "there is only bridge"),
    (["--ipv4=false"], "without IPv4"),
    (["-o", "nosuch=1"], "network option nosuch is not supported"),
    (["-o", "com.docker.network.driver.mtu=7"], "expected a number from 68"),
])
def test_create_refused(moss, options, words):
    result = moss("network", "create", *options, "nr-bad")
    assert result.code == 1 and words in result.err
    assert moss("network", "inspect", "nr-bad").code == 1


def test_names(moss):
    for name in ("-x", "a/b", "..", "a b", ""):
        assert moss("network", "create", "--", name).code != 0
    result = moss("network", "create", "bridge")
    assert "predefined bridge network" in result.err
    result = moss("network", "rm", "host")
    assert "host is a pre-defined network and cannot be removed" in result.err


def test_ls(moss, nets):
    nets("nr-list", "--internal", "--label", "kind=y")
    lines = moss.ok("network", "ls").splitlines()
    assert lines[0].split("   ")[0] == "NETWORK ID"
    rows = {line.split()[1]: line.split()[2:] for line in lines[1:]}
    assert rows["bridge"] == ["bridge", "local"]
    assert rows["host"] == ["host", "local"]
    assert rows["none"] == ["null", "local"]
    assert rows["nr-list"] == ["bridge", "local"]
    assert moss.ok("network", "ls", "-f", "label=kind=y", "--format",
                   '{{.Name}} {{.Internal}} {{.Label "kind"}}') \
        == "nr-list true y"
    assert "nr-list" not in moss.ok("network", "ls", "-f", "type=builtin",
                                    "--format", "{{.Name}}").split()
    assert "nr-list" in moss.ok("network", "ls", "-f", "dangling=true",
                                "--format", "{{.Name}}").split()


def test_prune_and_events(moss, nets):
    identity = nets("nr-prune", "--label", "go=1")
    nets("nr-stay")
    out = moss.ok("network", "prune", "-f", "--filter", "label=go")
    assert out.split() == ["Deleted", "Networks:", "nr-prune"]
    inspect(moss, "nr-stay")
    events = [json.loads(line) for line in moss.ok(
        "events", "--since", "1h", "--until", "0s", "--filter",
        "network=nr-prune", "--format", "json").splitlines()]
    assert [event["Action"] for event in events] == ["create", "destroy"]
    assert events[0]["Actor"] == {
        "ID": identity, "Attributes": {"name": "nr-prune", "type": "bridge"}}


# ---- containers on them ----

def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.read()
    except OSError:
        return None


SERVE = 'echo {} > /tmp/index.html; httpd -f -p {} -h /tmp'


@pytest.fixture
def boxes(moss):
    """Runs containers in the background that go with the test."""
    made = []

    def run(name, *options, command=("sleep", "600")):
        made.append(name)
        return moss.ok("run", "-d", "--name", name, *options, "busybox",
                       *command)

    yield run
    if made:
        moss("rm", "-f", *made)


def address(moss, name, network, member="IPAddress"):
    shown = json.loads(moss.ok("inspect", name))[0]
    return shown["NetworkSettings"]["Networks"][network][member]


def lookup(moss, asker, name, *options):
    """Addresses that a container sees behind a name, in their order."""
    result = moss("exec", asker, "nslookup", *options, name)
    lines = result.out.splitlines()
    return [line.split()[-1] for line in lines[2:]
            if line.startswith("Address")]


def test_two_containers(moss, nets, boxes):
    nets("nc-two")
    boxes("nc-web", "--network", "nc-two", "--network-alias", "www", "-h",
          "host-name", command=("sh", "-c", SERVE.format("hello", 80)))
    identity = moss.ok("inspect", "-f", "{{.Id}}", "nc-web")
    names = ["nc-web", "www", identity[:12], "host-name", "nc-web.nc-two",
             "NC-Web"]
    out = moss.ok("run", "--rm", "--network", "nc-two", "busybox", "sh", "-c",
                  "ping -c 1 nc-web >/dev/null && " + " && ".join(
                      f"wget -qO- http://{name}/" for name in names))
    assert out.split() == ["hello"] * len(names)
    own = address(moss, "nc-web", "nc-two")
    assert lookup(moss, "nc-web", own) == []
    reverse = moss.ok("exec", "nc-web", "nslookup", own)
    assert "nc-web.nc-two" in reverse
    members = inspect(moss, "nc-two")["Containers"]
    assert list(members) == [identity]
    assert members[identity]["Name"] == "nc-web"
    assert members[identity]["IPv4Address"] == own + "/16"
    refused = moss("network", "rm", "nc-two")
    assert refused.code == 1
    assert 'network nc-two has active endpoints (name:"nc-web" id:"' \
        in refused.err


def test_round_robin(moss, nets, boxes):
    nets("nc-rr")
    for i in range(3):
        boxes(f"nc-rr{i}", "--network", "name=nc-rr,alias=pool")
    wanted = {address(moss, f"nc-rr{i}", "nc-rr") for i in range(3)}
    answers = [lookup(moss, "nc-rr0", "pool", "-type=a") for _ in range(3)]
    assert all(set(answer) == wanted for answer in answers)
    assert {answer[0] for answer in answers} == wanted
    moss.ok("rm", "-f", "nc-rr2")
    assert len(lookup(moss, "nc-rr0", "pool", "-type=a")) == 2


def test_isolation(moss, nets, boxes):
    nets("nc-left")
    nets("nc-right")
    boxes("nc-l", "--network", "nc-left",
          command=("sh", "-c", SERVE.format("left", 80)))
    boxes("nc-r", "--network", "nc-right")
    left = address(moss, "nc-l", "nc-left")
    assert moss("exec", "nc-r", "ping", "-c", "1", "-W", "1", left).code != 0
    assert moss("exec", "nc-r", "timeout", "2", "wget", "-qO-",
                f"http://{left}/").code != 0
    assert lookup(moss, "nc-r", "nc-l") == []
    # Nothing but DNS listens at the gateway.
    gateway = address(moss, "nc-r", "nc-right", "Gateway")
    for port in (1, 22, 80, 111, 2375, 8080):
        assert moss("exec", "nc-r", "nc", "-w", "1", gateway, str(port),
                    stdin="").code != 0
    assert moss("exec", "nc-r", "nc", "-w", "1", gateway, "53",
                stdin="").code == 0


def test_internal_has_no_way_out(moss, nets, boxes):
    nets("nc-int", "--internal")
    boxes("nc-i1", "--network", "nc-int")
    boxes("nc-i2", "--network", "nc-int")
    assert "default" not in moss.ok("exec", "nc-i1", "ip", "route")
    assert lookup(moss, "nc-i1", "nc-i2") == [
        address(moss, "nc-i2", "nc-int")]
    out = moss("exec", "nc-i1", "nslookup", "example.org")
    assert "NXDOMAIN" in out.out + out.err


def test_way_out(moss, nets, boxes, host_server):
    """A host's own address is reached, its loopback is not."""
    nets("nc-out")
    boxes("nc-o", "--network", "nc-out")
    closed = moss("exec", "nc-o", "timeout", "5", "wget", "-qO-",
                  f"http://host.docker.internal:{host_server}/")
    assert closed.code != 0 and "Connection refused" in closed.err
    nets("nc-open", "-o", "moss.host_loopback=true")
    boxes("nc-p", "--network", "nc-open")
    assert moss.ok("exec", "nc-p", "wget", "-qO-",
                   f"http://host.docker.internal:{host_server}/") \
        == "from the host"


def test_addresses(moss, nets, boxes):
    nets("nc-addr", "--subnet", "10.66.0.0/29", "--subnet", "fd66::/64")
    boxes("nc-a1", "--network", "nc-addr")
    boxes("nc-a2", "--network", "nc-addr", "--ip", "10.66.0.5", "--ip6",
          "fd66::77", "--mac-address", "02:11:22:33:44:55")
    assert address(moss, "nc-a1", "nc-addr") == "10.66.0.2"
    assert address(moss, "nc-a2", "nc-addr") == "10.66.0.5"
    assert address(moss, "nc-a2", "nc-addr", "GlobalIPv6Address") == "fd66::77"
    link = moss.ok("exec", "nc-a2", "ip", "addr", "show", "eth0")
    assert "02:11:22:33:44:55" in link and "fd66::77/64" in link
    assert moss("exec", "nc-a1", "ping", "-6", "-c", "1", "nc-a2").code == 0
    taken = moss("run", "--rm", "--network", "nc-addr", "--ip", "10.66.0.5",
                 "busybox", "true")
    assert taken.code == 125 and "Address already in use" in taken.err
    # It keeps its address though others come meanwhile.
    moss.ok("stop", "-t", "0", "nc-a1")
    boxes("nc-a3", "--network", "nc-addr")
    assert address(moss, "nc-a1", "nc-addr") == ""
    moss.ok("start", "nc-a1")
    assert address(moss, "nc-a1", "nc-addr") == "10.66.0.2"
    assert address(moss, "nc-a3", "nc-addr") == "10.66.0.3"
    boxes("nc-a4", "--network", "nc-addr")
    boxes("nc-a5", "--network", "nc-addr")
    full = moss("run", "--rm", "--network", "nc-addr", "busybox", "true")
    assert full.code == 125
    assert "no available IPv4 addresses on this network's address pools: " \
        "nc-addr" in full.err
    moss.ok("rm", "-f", "nc-a1")
    moss.ok("run", "--rm", "--network", "nc-addr", "busybox", "true")


def test_published_port(moss, nets, boxes, free_port):
    nets("nc-pub")
    port = free_port()
    boxes("nc-p", "--network", "nc-pub", "-p", f"127.0.0.1:{port}:80",
          command=("sh", "-c", SERVE.format("published", 80)))
    assert wait_for(lambda: fetch(f"http://127.0.0.1:{port}/"),
                    "the server") == b"published\n"


def test_several_networks_and_connect(moss, nets, boxes):
    nets("nc-front")
    nets("nc-back")
    boxes("nc-f", "--network", "nc-front")
    boxes("nc-b", "--network", "nc-back")
    boxes("nc-both", "--network", "nc-front", "--network",
          "name=nc-back,alias=middle")
    assert lookup(moss, "nc-f", "nc-both") == [
        address(moss, "nc-both", "nc-front")]
    assert lookup(moss, "nc-b", "middle") == [
        address(moss, "nc-both", "nc-back")]
    for name in ("nc-f", "nc-b"):
        assert moss("exec", "nc-both", "ping", "-c", "1", name).code == 0
    assert lookup(moss, "nc-f", "nc-b") == []

    moss.ok("network", "connect", "--alias", "late", "nc-back", "nc-f")
    again = moss("network", "connect", "nc-back", "nc-f")
    assert "endpoint with name nc-f already exists in network nc-back" \
        in again.err
    assert moss("exec", "nc-f", "ping", "-c", "1", "nc-b").code == 0
    assert lookup(moss, "nc-b", "late") == [address(moss, "nc-f", "nc-back")]
    assert set(moss.ok("ps", "--filter", "network=nc-back", "--format",
                       "{{.Names}}").split()) == {"nc-f", "nc-b", "nc-both"}
    moss.ok("network", "disconnect", "nc-front", "nc-f")
    assert moss("exec", "nc-f", "ping", "-c", "1", "nc-b").code == 0
    assert "nc-f" not in json.dumps(inspect(moss, "nc-front")["Containers"])
    not_there = moss("network", "disconnect", "nc-front", "nc-f")
    assert "is not connected to network nc-front" in not_there.err
    # All of it holds after a restart, too.
    moss.ok("restart", "-t", "0", "nc-f")
    assert list(json.loads(moss.ok("inspect", "nc-f"))[0]["NetworkSettings"]
                ["Networks"]) == ["nc-back"]
    assert moss("exec", "nc-f", "ping", "-c", "1", "nc-b").code == 0


def test_connect_to_the_default_network(moss, nets, boxes):
    """A container with a way out of its own is found on a network."""
    nets("nc-side", "--internal")
    boxes("nc-d")
    boxes("nc-s", "--network", "nc-side")
    moss.ok("network", "connect", "nc-side", "nc-d")
    assert moss("exec", "nc-s", "ping", "-c", "1", "nc-d").code == 0
    assert moss("exec", "nc-d", "ping", "-c", "1", "nc-s").code == 0
    assert "default via 10.0.2.2" in moss.ok("exec", "nc-d", "ip", "route")
    moss.ok("network", "disconnect", "nc-side", "nc-d")
    assert "eth1" not in moss.ok("exec", "nc-d", "ip", "addr")


@pytest.mark.parametrize("mode, words", [
    ("host", "sharing network namespace with another container or host"),
    ("none", "networks in private (none) mode"),
])
def test_connect_refused(moss, nets, boxes, mode, words):
    nets("nc-no")
    boxes(f"nc-{mode}", "--network", mode)
    result = moss("network", "connect", "nc-no", f"nc-{mode}")
    assert result.code == 1 and words in result.err


@pytest.mark.parametrize("options, words", [
    (["--network", "nosuch"], "network nosuch not found"),
    (["--network", "nosuch", "--network", "bridge"],
     "cannot attach both user-defined and non-user-defined network-modes"),
    (["--network-alias", "x"], "only supported for user-defined networks"),
    (["--network", "name=x,nosuch=1"], "invalid field key nosuch"),
    (["--network", "alias=x"], "network name/id is not specified"),
    (["--link", "a:b"], "--link is not supported"),
])
def test_run_refused(moss, options, words):
    result = moss("run", "--rm", *options, "busybox", "true")
    assert result.code == 125 and words in result.err


def test_rename_is_seen(moss, nets, boxes):
    nets("nc-name")
    boxes("nc-old", "--network", "nc-name")
    boxes("nc-ask", "--network", "nc-name")
    moss.ok("rename", "nc-old", "nc-new")
    try:
        assert lookup(moss, "nc-ask", "nc-old") == []
        assert len(lookup(moss, "nc-ask", "nc-new")) == 1
    finally:
        moss("rm", "-f", "nc-new")


def test_events_of_containers(moss, nets, boxes):
    identity = nets("nc-ev")
    boxes("nc-e", "--network", "nc-ev")
    moss.ok("rm", "-f", "nc-e")
    assert wait_for(lambda: moss.ok(
        "events", "--since", "1h", "--until", "0s", "--filter",
        "network=nc-ev", "--format", "{{.Action}} {{.Actor.ID}}").split()
        == ["create", identity, "connect", identity, "disconnect", identity])


# ---- when something dies ----

def gateway(moss, network):
    path = moss.root / "networks" / network / "gateway.json"
    return json.loads(path.read_text())["Pid"]


def test_gateway_is_killed(moss, nets, boxes):
    """What flows between containers goes on; names come back."""
    nets("nf-gw")
    boxes("nf-a", "--network", "nf-gw")
    boxes("nf-b", "--network", "nf-gw")
    other = address(moss, "nf-b", "nf-gw")
    ping = moss.popen("exec", "nf-a", "ping", "-c", "15", "-i", "0.1", other,
                      stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    first = gateway(moss, "nf-gw")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: gateway(moss, "nf-gw") != first, "a new gateway")
    assert wait_for(lambda: lookup(moss, "nf-a", "nf-b"), "the name") \
        == [other]
    assert "15 packets transmitted, 15 packets received" in ping.communicate()[0]
    assert moss.ok("inspect", "-f", "{{.State.Error}}", "nf-a") == ""


def test_monitor_is_killed(moss, nets, boxes):
    """The others' network is untouched; its name goes, its place is free."""
    nets("nf-mon")
    boxes("nf-first", "--network", "nf-mon")
    boxes("nf-c", "--network", "nf-mon")
    boxes("nf-d", "--network", "nf-mon")
    state = json.loads((moss.root / "containers" / moss.ok(
        "inspect", "-f", "{{.Id}}", "nf-first") / "state.json").read_text())
    monitor = next(value for key, value in state.items()
                   if key.lower().replace("_", "") == "monitorpid")
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not lookup(moss, "nf-c", "nf-first"), "the name's end")
    assert moss("exec", "nf-c", "ping", "-c", "1", "nf-d").code == 0
    assert "nf-first" not in json.dumps(inspect(moss, "nf-mon")["Containers"])
    moss.ok("start", "nf-first")
    assert moss("exec", "nf-c", "ping", "-c", "1", "nf-first").code == 0


def test_everything_is_killed(moss, nets, boxes):
    """Traces of the dead are in nobody's way."""
    nets("nf-all")
    boxes("nf-e", "--network", "nf-all")
    state = json.loads((moss.root / "containers" / moss.ok(
        "inspect", "-f", "{{.Id}}", "nf-e") / "state.json").read_text())
    monitor = next(value for key, value in state.items()
                   if key.lower().replace("_", "") == "monitorpid")
    os.kill(gateway(moss, "nf-all"), signal.SIGSTOP)
    os.kill(monitor, signal.SIGKILL)
    os.kill(gateway(moss, "nf-all"), signal.SIGKILL)
    boxes("nf-f", "--network", "nf-all")
    assert lookup(moss, "nf-f", "nf-f") == [address(moss, "nf-f", "nf-all")]
    assert list(inspect(moss, "nf-all")["Containers"]) \
        == [moss.ok("inspect", "-f", "{{.Id}}", "nf-f")]


def test_twenty_at_once(moss, nets):
    nets("nf-many")
    names = [f"nf-m{i}" for i in range(20)]
    try:
        starts = [moss.popen("run", "-d", "--name", name, "--network",
                             "name=nf-many,alias=all", "busybox", "sleep",
                             "600", stdout=subprocess.DEVNULL)
                  for name in names]
        assert [start.wait(120) for start in starts] == [0] * 20
        addresses = [member["IPv4Address"] for member in
                     inspect(moss, "nf-many")["Containers"].values()]
        assert len(set(addresses)) == 20
        assert len(lookup(moss, names[7], "all", "-type=a")) == 20
    finally:
        ends = [moss.popen("rm", "-f", name, stdout=subprocess.DEVNULL)
                for name in names]
        assert [end.wait(120) for end in ends] == [0] * 20
    assert inspect(moss, "nf-many")["Containers"] == {}
    assert moss.ok("network", "rm", "nf-many") == "nf-many"


def test_commands_are_killed(moss, nets):
    """A command that dies while it joins keeps nothing for itself."""
    nets("nf-kill", "--subnet", "10.67.0.0/29")
    names = [f"nf-k{i}" for i in range(5)]
    for delay in (0.005, 0.02, 0.04, 0.06, 0.08, 0.1):
        for name in names[:2]:
            command = moss.popen("run", "-d", "--name", name, "--network",
                                 "nf-kill", "busybox", "sleep", "600",
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(delay)
            command.kill()
            command.wait()
        for name in names[:2]:
            moss("rm", "-f", name)
    # All of its five addresses are there for others.
    try:
        for name in names:
            moss.ok("run", "-d", "--name", name, "--network", "nf-kill",
                    "busybox", "sleep", "600")
        assert moss("exec", names[0], "ping", "-c", "1", names[4]).code == 0
    finally:
        moss("rm", "-f", *names)


def test_own_resolvers(moss, nets, boxes):
    """--dns is asked for what no container is called; names stay."""
    nets("nf-dns")
    # Nobody listens there: an answer could only come from elsewhere.
    boxes("nf-own", "--network", "nf-dns", "--dns", "127.0.0.1")
    gateway_address = address(moss, "nf-own", "nf-dns", "Gateway")
    assert f"nameserver {gateway_address}\n" \
        in moss.ok("exec", "nf-own", "cat", "/etc/resolv.conf") + "\n"
    assert lookup(moss, "nf-own", "nf-own") == [
        address(moss, "nf-own", "nf-dns")]
    result = moss("exec", "nf-own", "nslookup", "-type=a", "example.org")
    assert "SERVFAIL" in result.out + result.err


def test_kept_from_each_other(moss, nets, boxes):
    """Without icc there is no way between two, neither by the gateway."""
    nets("nc-icc", "-o", "com.docker.network.bridge.enable_icc=false")
    for name in ("nc-x", "nc-y"):
        boxes(name, "--network", "nc-icc", "--cap-add", "NET_ADMIN")
    x, y = (address(moss, name, "nc-icc") for name in ("nc-x", "nc-y"))
    gate = address(moss, "nc-x", "nc-icc", "Gateway")
    assert lookup(moss, "nc-x", "nc-y") == [y]
    assert moss("exec", "nc-x", "ping", "-c", "1", "-W", "1", y).code != 0
    moss.ok("exec", "nc-x", "ip", "route", "add", y, "via", gate)
    moss.ok("exec", "nc-y", "ip", "route", "add", x, "via", gate)
    assert moss("exec", "nc-x", "ping", "-c", "1", "-W", "1", y).code != 0
    assert moss("exec", "nc-x", "ping", "-c", "1", "-W", "1", gate).code == 0


def test_gateway_goes_with_its_network(moss, nets, boxes):
    nets("nf-gone")
    boxes("nf-z", "--network", "nf-gone")
    process = gateway(moss, "nf-gone")
    title = open(f"/proc/{process}/cmdline").read()
    assert title.startswith("moss: gateway nf-gone")
    moss.ok("rm", "-f", "nf-z")
    moss.ok("network", "rm", "nf-gone")

    def is_gone():
        try:
            return not open(f"/proc/{process}/cmdline").read()
        except OSError:
            return True

    wait_for(is_gone, "the gateway's end", seconds=1)
