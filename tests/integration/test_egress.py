"""Egress policies: what a container may reach, and what it tries instead.

The world outside is a network namespace of the test's own (egress_world.py),
in which moss runs, too; egress_client.py is the program in the container.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from conftest import Moss, wait_for

HERE = pathlib.Path(__file__).parent
SERVER, SERVER6, OTHER, OTHER6 = ("203.0.113.5", "2001:db9::5", "203.0.113.6",
                                  "2001:db9::6")


class World:
    def __init__(self, build, base, run):
        self.log = base / "log"
        self.log.touch()
        resolv = base / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.53\n")
        certificate = base / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test",
             "-keyout", certificate, "-out", base / "public.pem"], check=True,
            stderr=subprocess.DEVNULL)
        with open(certificate, "a") as file:
            file.write((base / "public.pem").read_text())
        self.holder = subprocess.Popen(
            ["unshare", "-Urmn", "sh", "-c",
             f"mount --bind {resolv} /etc/resolv.conf && exec python3 "
             f"{HERE}/egress_world.py {self.log} {certificate}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        self.run_directory = run
        program = base / "moss"
        program.write_text(
            f"#!/bin/sh\nexec nsenter --preserve-credentials -U -m -n -t "
            f"{self.holder.pid} {build}/moss \"$@\"\n")
        program.chmod(0o755)
        self.moss = Moss(program, base / "data", run)

    def seen(self):
        """What came in since the last time, but for questions."""
        lines = [json.loads(line) for line in
                 self.log.read_text().splitlines()]
        self.log.write_text("")
        return [line for line in lines if line[1] != "127.0.0.53"]

    def close(self):
        self.moss.remove_all()
        self.holder.stdin.close()
        self.holder.wait()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    if file.read().startswith(
                            f"moss: pause {self.run_directory}"):
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                continue


@pytest.fixture(scope="module")
def world(build, tmp_path_factory, busybox_tar, debian_tar):
    run = tmp_path_factory.mktemp("egress-run")
    run.chmod(0o700)
    world = World(build, tmp_path_factory.mktemp("egress"), run)
    shutil.copy(HERE / "egress_client.py", world.log.parent)
    world.moss.ok("import", busybox_tar, "busybox")
    world.moss.ok("import", debian_tar, "debian")
    yield world
    world.close()


@pytest.fixture
def tries(world):
    """Runs expressions of egress_client.py in a container; their results.
    None of them may have taken long."""
    def run(options, *expressions, slow=False):
        world.seen()
        out = world.moss.ok("run", "--rm", "-v",
                            f"{world.log.parent}/egress_client.py:/client.py",
                            *options, "debian", "python3", "/client.py",
                            *expressions)
        results = [json.loads(line) for line in out.splitlines()]
        assert len(results) == len(expressions)
        if not slow:
            assert max(seconds for _, seconds in results) < 3, results
        return [result for result, _ in results]
    return run


def test_addresses(world, tries):
    assert tries(
        ["--egress-allow", f"{SERVER}:80,[{SERVER6}]:80,{SERVER}:99/udp"],
        f"get('{SERVER}')", f"get('{SERVER6}')", f"get('{SERVER}', 81)",
        f"get('{OTHER}')", f"get('{OTHER6}')", f"udp('{SERVER}', 99)",
        f"udp('{OTHER}', 99)",
        f"udp('{OTHER6}', 99, family=socket.AF_INET6)") == [
            SERVER, SERVER6, "ConnectionRefusedError",
            "ConnectionRefusedError", "ConnectionRefusedError", "PING",
            "OSError", "PermissionError"]
    assert {(line[0], line[1], line[2]) for line in world.seen()} == {
        ("tcp", SERVER, 80), ("http", SERVER, 80), ("tcp", SERVER6, 80),
        ("http", SERVER6, 80), ("udp", SERVER, 99)}


def test_nothing_at_all(world, tries):
    assert tries(["--egress", "deny"], f"get('{SERVER}')",
                 "resolve('allowed.test')", "get('10.0.2.2')") == [
                     "ConnectionRefusedError", "gaierror",
                     "ConnectionRefusedError"]
    assert world.seen() == []


def test_exceptions(world, tries):
    assert tries(["--egress-deny", f"{OTHER}"], f"get('{SERVER}')",
                 f"get('{OTHER}')", "get('other.test')",
                 "resolve('other.test')") == [
                     SERVER, "ConnectionRefusedError",
                     "ConnectionRefusedError", [OTHER]]


def test_names(world, tries):
    assert tries(
        ["--egress-allow", "allowed.test:80,*.wild.test:80,six.test:80"],
        # An address before it was learnt, and afterwards.
        f"get('{SERVER}', name='allowed.test')", "get('allowed.test')",
        f"get('{SERVER}', name='allowed.test')", "get('six.test')",
        "get('www.wild.test')", "get('wild.test')", "get('other.test')",
        f"get('{OTHER}', name='allowed.test')",
        "get('allowed.test', name='other.test')", "get('allowed.test', 81)",
        f"get('{SERVER}')") == [
            "ConnectionRefusedError", "allowed.test", "allowed.test",
            "six.test", "www.wild.test", "gaierror", "gaierror",
            "ConnectionRefusedError", "ConnectionResetError",
            "ConnectionRefusedError", "ConnectionResetError"]
    assert not [line for line in world.seen() if line[1] == OTHER]


def test_aliases_and_many_addresses(world, tries):
    """A CNAME leads to addresses without being allowed itself."""
    results = tries(["--egress-allow", "alias.test:80,many.test"],
                    "get('alias.test')", "resolve('allowed.test')",
                    "len(resolve('many.test'))")
    assert results[:2] == ["alias.test", "gaierror"]
    assert results[2] > 20


def test_rebound_name(world, tries):
    """An allowed name does not open what is not public."""
    assert tries(["--egress-allow", "rebound.test"], "resolve('rebound.test')",
                 "get('10.0.2.2', name='rebound.test')") == [
                     "gaierror", "ConnectionRefusedError"]
    assert tries(["--egress-allow", "rebound.test@192.168.0.0/16"],
                 "resolve('rebound.test')") == [["192.168.1.1"]]
    assert world.seen() == []


def test_tls(world, tries):
    assert tries(["--egress-allow", "allowed.test:443"],
                 "tls('allowed.test', 'allowed.test')",
                 "tls('allowed.test', 'ALLOWED.test', size=1)",
                 "tls('allowed.test', 'other.test')",
                 "tls('allowed.test', 'other.test', size=1)",
                 "tls('allowed.test', None)") == [
                     "over TLS", "over TLS", "ConnectionResetError",
                     "ConnectionResetError", "ConnectionResetError"]
    assert len([line for line in world.seen() if line[0] == "tls"]) == 2


def test_one_byte_at_a_time(world, tries):
    assert tries(["--egress-allow", "allowed.test:80"], "drip('allowed.test')",
                 "drip('allowed.test', name='other.test')") == [
                     "allowed.test", "ConnectionResetError"]
    heads = [line[3] for line in world.seen() if line[0] == "http"]
    assert heads == ["GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n"]


def test_each_request(world, tries):
    """Of a connection that stays, also behind bodies of any size."""
    allowed, other = "'allowed.test'", "'other.test'"
    assert tries(["--egress-allow", "allowed.test:80"],
                 f"several({allowed}, {allowed}, {allowed}, {other})",
                 f"several({allowed}, *[{allowed}] * 3, {other}, size=3000000)",
                 f"several({allowed}, *[{allowed}] * 50, size=7)",
                 "get('allowed.test', more=b'GET / HTTP/1.1\\r\\n"
                 "Host: other.test\\r\\n\\r\\n')") == [
                     ["allowed.test"] * 2 + ["ConnectionResetError"],
                     ["allowed.test"] * 3 + ["ConnectionResetError"],
                     ["allowed.test"] * 50, "ConnectionResetError"]
    heads = [line[3] for line in world.seen() if line[0] == "http"]
    assert len(heads) == 55 and not any("other" in head for head in heads)


def test_server_speaks_first(world, tries):
    """Neither TLS nor HTTP: by the address, as far as it was learnt."""
    assert tries(["--egress-allow", "allowed.test:25"], "mail('allowed.test')",
                 f"mail('{OTHER}')") == ["220 hello\r\nEHLO me\r\n",
                                         "ConnectionRefusedError"]


def test_name_servers(world, tries):
    """Others than the resolver are servers like any other."""
    assert tries(["--egress-allow", "allowed.test"],
                 f"ask('allowed.test', '{OTHER}')", f"connect('{OTHER}', 53)",
                 "connect('10.0.2.3', 53)", "ask_raw('allowed.test', 1)",
                 "ask_raw('allowed.test', 65)", "ask_raw('allowed.test', 16)",
                 "ask_raw('tunnel.evil.test', 1)") == [
                     "OSError", "ConnectionRefusedError",
                     "ConnectionRefusedError", [0, 1], [0, 0], [0, 0], [3, 0]]
    assert world.seen() == []
    assert tries(["--egress-allow", f"{OTHER}:53/udp"],
                 f"ask('allowed.test', '{OTHER}')") == [1]


def test_own_name_server(world, tries):
    """--dns: what it answers counts as what the resolver does."""
    assert tries(["--dns", OTHER, "--egress-allow", "allowed.test:80"],
                 "get('allowed.test')", "resolve('other.test')") == [
                     "allowed.test", "gaierror"]


def test_raw_frames(world, tries):
    """A container that writes its frames itself reaches no more."""
    assert tries(["--cap-add", "NET_RAW", "--cap-add", "NET_ADMIN",
                  "--egress-allow", f"{SERVER}:99/udp"],
                 f"frames('{OTHER}')", f"udp('{SERVER}', 99)") == [12, "PING"]
    assert [line[:2] for line in world.seen()] == [["udp", SERVER]]


def test_urgent_byte(world, tries):
    """The server reads just the bytes that were looked at."""
    assert tries(["--cap-add", "NET_RAW", "--egress-allow",
                  "allowed.test:80"],
                 "urgent('allowed.test', 'other.test')") == ["allowed.test"]
    assert [line[3].splitlines()[0] for line in world.seen()
            if line[0] == "http"] == ["GET /http://other.test/ HTTP/1.1"]


def test_flood(world, tries):
    """Ten thousand refusals, and what is allowed still works."""
    assert tries(["--egress-allow", f"{SERVER}:80"], "flood(10000)",
                 f"get('{SERVER}')", slow=True) == [10000, SERVER]


def test_helper_is_killed(world):
    """A new moss-net has the policy as well."""
    moss = world.moss
    moss.ok("run", "-d", "--name", "box", "--egress-allow", f"{SERVER}:80",
            "busybox", "sleep", "100")
    state = json.loads((moss.root / "containers" / moss.inspect("box")["Id"] /
                        "state.json").read_text())
    world.seen()
    os.kill(state["NetPid"], signal.SIGKILL)

    def fetch(address):
        return moss("exec", "box", "wget", "-q", "-O-",
                    f"http://{address}/").out
    wait_for(lambda: fetch(SERVER) == SERVER, "the new helper")
    assert fetch(OTHER) == ""
    assert OTHER not in [line[1] for line in world.seen()]
    moss.ok("rm", "-f", "box")


def test_what_was_refused(world):
    """In its log, as events, and in one line at the end."""
    moss = world.moss
    result = moss("run", "--name", "told", "--egress-allow", "allowed.test:80",
                  "busybox", "sh", "-c",
                  f"wget -q -O- http://{OTHER}/; wget -q -O- http://{OTHER}/; "
                  "wget -q -O- http://other.test/; wget -q -O- --header "
                  "'Host: other.test' http://allowed.test/; wget -q -O- "
                  "http://allowed.test/")
    assert result.out == "allowed.test"
    line = result.err.splitlines()[-1]
    assert re.fullmatch(
        rf"moss: egress: \d+ attempts refused: {OTHER}:80/tcp, other.test, "
        "other.test:80/tcp; see moss logs --egress told", line), result.err
    lines = moss.ok("logs", "--egress", "told").splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:2]] == [
        f"refused {OTHER}:80/tcp: no rule allows it"] * 2
    assert lines[-1].endswith(
        f"refused other.test:80/tcp ({SERVER}): it asks the address for "
        "another name")
    events = [json.loads(line) for line in moss.ok(
        "events", "--since", "1m", "--until", "0s", "--filter",
        "container=told", "--filter", "event=egress-deny", "--format",
        "json").splitlines()]
    assert len(events) == len(lines)
    attributes = events[0]["Actor"]["Attributes"]
    assert attributes["address"] == OTHER and attributes["name"] == "told"
    assert moss("logs", "--egress", "-f", "told").code == 1
    # A second run that is refused nothing says nothing, and adds to the log.
    moss.ok("rm", "told")
    result = moss("run", "--rm", "--egress-allow", "allowed.test:80",
                  "busybox", "wget", "-q", "-O-", "http://allowed.test/")
    assert result.err.count("egress") == 0 and result.out == "allowed.test"


def test_record(world, tmp_path):
    """What was recorded is a policy, and the one that was needed."""
    moss = world.moss
    script = (f"wget -q -O- http://{OTHER}:81/; wget -q -O- "
              "http://allowed.test/; wget -q -O- http://allowed.test/; "
              "ping -c 1 10.0.2.2 >/dev/null && echo pinged")
    before = moss.ok("run", "--name", "box", "--egress", "record", "busybox",
                     "sh", "-c", script)
    policy = moss.ok("logs", "--egress-policy", "box")
    assert json.loads(policy) == {
        "default": "deny", "deny": [],
        "allow": [f"{OTHER}:81", "allowed.test:80",
                  "host.docker.internal/icmp"]}
    assert moss.ok("logs", "--egress", "box") == ""
    moss.ok("rm", "box")
    (tmp_path / "policy.json").write_text(policy)
    result = moss("run", "--rm", "--egress-policy", tmp_path / "policy.json",
                  "busybox", "sh", "-c", script)
    assert result.out.strip() == before and "refused" not in result.err


def test_log_is_bounded(world):
    """However much is refused: a few lines a second, and all are counted."""
    moss = world.moss
    moss.ok("run", "--name", "box", "-v",
            f"{world.log.parent}/egress_client.py:/client.py", "--egress",
            "deny", "debian", "python3", "/client.py", "flood(2000)")
    lines = moss.ok("logs", "--egress", "box").splitlines()
    assert 100 <= len(lines) < 300
    directory = moss.root / "containers" / moss.inspect("box")["Id"]
    assert (directory / "egress.log").stat().st_size < 100000
    moss.ok("rm", "box")


def test_no_policy_no_log(moss):
    moss.ok("create", "--name", "box", "busybox", "true")
    for option in ("--egress", "--egress-policy"):
        result = moss("logs", option, "box")
        assert result.code == 1 and "no egress policy" in result.err
    moss.ok("rm", "box")


def test_nothing_is_recorded_unasked(moss):
    moss.ok("create", "--name", "box", "--egress", "deny", "busybox", "true")
    result = moss("logs", "--egress-policy", "box")
    assert result.code == 1 and "--egress record" in result.err
    assert result.out == ""
    moss.ok("rm", "box")


def test_inspect_and_restart(world, tmp_path):
    moss = world.moss
    policy = tmp_path / "policy.json"
    policy.write_text('{"allow": ["Allowed.TEST:443", "10.1.2.3/8"]}')
    moss.ok("create", "--name", "box", "--egress-policy", policy,
            "--egress-deny", "10.1.0.0/16", "busybox", "wget", "-q", "-O-",
            f"http://{OTHER}/")
    assert moss.inspect("box")["HostConfig"]["Moss"]["Egress"] == {
        "default": "deny", "allow": ["allowed.test:443", "10.0.0.0/8"],
        "deny": ["10.1.0.0/16"]}
    for _ in range(2):
        assert "refused" in moss("start", "-a", "box").err
    moss.ok("rm", "box")


@pytest.mark.parametrize("options,words", [
    (["--egress", "maybe"], "maybe"),
    (["--egress-allow", "10.0.0"], "10.0.0"),
    (["--egress-allow", "a.test,,b.test"], "expected a name"),
    (["--egress-allow", "a.test/sctp"], "tcp, udp, icmp or any"),
    (["--egress", "allow", "--egress-allow", "a.test"], "a.test"),
    (["--egress-deny", "a.test"], "--egress-allow"),
    (["--egress", "record", "--egress-allow", "a.test"], "records"),
    (["--egress-policy", "/does/not/exist"], "/does/not/exist"),
    (["--network", "none", "--egress", "deny"], "none"),
    (["--network", "host", "--egress-allow", "a.test"], "host"),
    (["--network", "container:x", "--egress", "deny"], "another container"),
])
def test_refused_options(moss, options, words):
    result = moss("run", "--rm", *options, "busybox", "true")
    assert result.code == 125 and words in result.err


@pytest.mark.parametrize("text, words", [
    ('{"alow": ["a.test"]}', 'policy.json: unknown member "alow"'),
    ('{"default": "perhaps"}', "policy.json.default: "),
])
def test_wrong_file(moss, tmp_path, text, words):
    policy = tmp_path / "policy.json"
    policy.write_text(text)
    result = moss("create", "--egress-policy", policy, "busybox", "true")
    assert result.code == 1 and words in result.err


def test_opened_ports_are_allowed(moss, free_port, host_server):
    """What was opened by hand needs no rule: a host port, published ports."""
    port = free_port()
    moss.ok("run", "-d", "--name", "box", "--egress", "deny", "-p",
            f"127.0.0.1:{port}:80", "--host-port", f"{host_server}:81",
            "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")

    def fetch():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname",
                                          timeout=5).read()
        except OSError:
            return None
    assert wait_for(fetch, "the published port")
    assert moss.ok("exec", "box", "wget", "-q", "-O-",
                   "http://host.docker.internal:81/") == "from the host"
    result = moss("exec", "box", "wget", "-q", "-O-",
                  "http://host.docker.internal:82/")
    assert result.code == 1 and "refused" in result.err
    moss.ok("rm", "-f", "box")


def test_allow_alone_is_no_policy(moss):
    moss.ok("create", "--name", "box", "--egress", "allow", "busybox", "true")
    assert "Egress" not in moss.inspect("box")["HostConfig"]["Moss"]
    moss.ok("rm", "box")
