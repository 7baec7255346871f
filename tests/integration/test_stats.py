"""moss stats: what containers use."""
import json
import re
import signal
import subprocess

import pexpect


def stats(moss, *args):
    out = moss.ok("stats", "--no-stream", "--format", "json", *args)
    return {row["Name"]: row for row in map(json.loads, out.splitlines())}


def test_stats(moss):
    moss.ok("run", "-d", "--name", "busy", "busybox", "sh", "-c",
            "while :; do :; done")
    moss.ok("run", "-d", "--name", "idle", "busybox", "sleep", "100")
    moss.ok("run", "-d", "--name", "hosted", "--network", "host", "busybox",
            "sleep", "100")
    moss.ok("create", "--name", "still", "busybox", "true")
    rows = stats(moss)
    assert set(rows) == {"busy", "idle", "hosted"}
    assert float(rows["busy"]["CPUPerc"].rstrip("%")) > 5
    assert float(rows["idle"]["CPUPerc"].rstrip("%")) < 5
    assert rows["idle"]["PIDs"] == "1"
    assert re.fullmatch(r"[\d.]+[KM]iB / [\d.]+[GT]iB", rows["idle"]["MemUsage"])
    assert rows["hosted"]["NetIO"] == "0B / 0B"
    assert re.fullmatch(r"[\d.]+k?M?B / [\d.]+k?M?B", rows["idle"]["NetIO"])
    rows = stats(moss, "-a")
    full = moss.inspect("still")["Id"]
    assert rows["still"] == {
        "BlockIO": "0B / 0B", "CPUPerc": "0.00%", "Container": full,
        "ID": full[:12], "MemPerc": "0.00%", "MemUsage": "0B / 0B",
        "Name": "still", "NetIO": "0B / 0B", "PIDs": "0"}
    assert stats(moss, "--no-trunc", "still")["still"]["ID"] == full
    moss.ok("exec", "-d", "idle", "sleep", "50")
    moss.wait_for(lambda: stats(moss, "idle")["idle"]["PIDs"] == "2")
    head, line = moss.ok("stats", "--no-stream", "idle").splitlines()
    assert re.split(r"\s{2,}", head) == [
        "CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %",
        "NET I/O", "BLOCK I/O", "PIDS"]
    assert line.split()[1] == "idle"
    moss("stats", "--no-stream", "nosuch", check=1)


def test_stream(moss):
    """A round a second, until nobody reads any more."""
    moss.ok("run", "-d", "--name", "stream", "busybox", "sleep", "100")
    process = moss.popen("stats", "--format", "{{.Name}} {{.PIDs}}", "stream",
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    try:
        assert [process.stdout.readline() for _ in range(2)] == [
            "stream 1\n"] * 2
        process.stdout.close()
        assert process.wait(timeout=10) == -signal.SIGPIPE
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()


def test_network(moss):
    """What goes through the container's own interface."""
    moss.ok("run", "-d", "--name", "moving", "busybox", "sleep", "100")
    for _ in range(30):
        moss("exec", "moving", "nc", "-w", "1", "10.0.2.2", "1")
    inside = moss.ok("exec", "moving", "cat", "/proc/net/dev")
    numbers = re.search(r"eth0:(.*)", inside)[1].split()
    received, sent = stats(moss, "moving")["moving"]["NetIO"].split(" / ")
    assert as_bytes(received) >= int(numbers[0]) * 0.99 > 0
    assert as_bytes(sent) >= int(numbers[8]) * 0.99 > 1000


def as_bytes(text):
    number, unit = re.fullmatch(r"([\d.]+)([kMG]?)B", text).groups()
    return float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]


def test_come_and_go(moss):
    """Without names, those that run in each round; a name that has gone stays,
    but its numbers are no more known."""
    moss.ok("run", "-d", "--name", "stays", "busybox", "sleep", "100")
    moss.ok("run", "-d", "--name", "goes", "busybox", "sleep", "100")
    every = moss.popen("stats", "--format", "{{.Name}}", stdout=subprocess.PIPE,
                       text=True)
    named = moss.popen("stats", "--format", "{{.Container}} {{.PIDs}}", "goes",
                       stdout=subprocess.PIPE, text=True)
    try:
        assert {every.stdout.readline() for _ in range(2)} == {
            "stays\n", "goes\n"}
        assert named.stdout.readline() == "goes 1\n"
        moss.ok("rm", "-f", "goes")
        moss.wait_for(lambda: named.stdout.readline() == "goes --\n")
        while every.stdout.readline() != "stays\n":
            pass
        assert every.stdout.readline() == "stays\n"
        moss.ok("run", "-d", "--name", "comes", "busybox", "sleep", "100")
        moss.wait_for(lambda: every.stdout.readline() == "comes\n")
        moss.ok("rm", "-f", "comes", "stays")
        # Nobody left is no reason to end: others may come.
        moss.ok("run", "-d", "--name", "late", "busybox", "sleep", "100")
        moss.wait_for(lambda: every.stdout.readline() == "late\n")
    finally:
        for process in every, named:
            process.kill()
            process.wait()


def test_terminal(moss):
    """The screen is drawn anew each time."""
    moss.ok("run", "-d", "--name", "drawn", "busybox", "sleep", "100")
    child = pexpect.spawn(moss.program, ["stats"], timeout=15, encoding="utf-8",
                          env={k: str(v) for k, v in moss.env.items()},
                          dimensions=(24, 120))
    for _ in range(2):
        child.expect_exact("\033[H\033[J")
        child.expect("CONTAINER ID +NAME +CPU % +MEM USAGE / LIMIT")
        child.expect("drawn")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus == signal.SIGINT or child.exitstatus == 130
