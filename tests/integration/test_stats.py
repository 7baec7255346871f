"""moss stats: what containers use."""
import json
import re
import signal
import subprocess


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
    assert rows["hosted"]["NetIO"] == "-- / --"
    assert re.fullmatch(r"[\d.]+k?M?B / [\d.]+k?M?B", rows["idle"]["NetIO"])
    rows = stats(moss, "-a")
    assert rows["still"]["CPUPerc"] == rows["still"]["PIDs"] == "--"
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
