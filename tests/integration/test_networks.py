"""Named networks: their records, their containers, their names."""
import json

import pytest


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
