"""Rotated logs are packed, and logs reads them as if they were not."""
import gzip
import json
import os
import select
import re
import signal
import subprocess
import time

import pytest

OPTIONS = ["--log-opt", "max-size=20k", "--log-opt", "max-file=100",
           "--log-opt", "compress=true"]
COUNT = 3000
LINES = [str(i) for i in range(1, COUNT + 1)]
# In steps, so that some files are packed while others are written.
SCRIPT = ("for i in 0 1 2 3 4 5; do seq $((i * 500 + 1)) $((i * 500 + 500)); "
          "sleep 0.1; done; ")


def files(moss, id):
    """The log's files by number: plain ones as "", packed ones as ".gz"."""
    found = {}
    for name in os.listdir(moss.root / "containers" / id):
        if match := re.fullmatch(r"container\.log(?:\.(\d+)(\.gz)?)?", name):
            found[int(match[1] or 0)] = match[2] or ""
    return found


def is_packed(moss, id):
    found = files(moss, id)
    return len(found) > 3 and all(found[n] for n in found if n > 0)


@pytest.fixture
def packed(moss):
    id = moss.ok("run", "-d", "--name", "box", *OPTIONS, "busybox", "sh", "-c",
                 SCRIPT + "sleep 1000")
    moss.wait_for(lambda: moss.ok("logs", "-n1", "box") == str(COUNT))
    moss.wait_for(lambda: is_packed(moss, id), "packed files")
    return id


def test_logs_of_packed_files(moss, packed):
    assert moss.ok("logs", "box").splitlines() == LINES
    for count in (1, 700, COUNT - 1, COUNT + 5):
        assert moss.ok("logs", "-n", count, "box").splitlines() == \
            LINES[-count:]
    # Any gunzip reads them.
    directory = moss.root / "containers" / packed
    with gzip.open(directory / "container.log.1.gz", "rt") as file:
        assert all(json.loads(line)["stream"] == "stdout" for line in file)
    moss.ok("stop", "-t", "0", "box")
    assert moss.ok("logs", "box").splitlines() == LINES


def test_follower_of_packed_files(moss):
    """One that is slow finds its place again in a file that was packed."""
    moss.ok("create", "--name", "box", *OPTIONS, "busybox", "sh", "-c", SCRIPT)
    moss.ok("start", "box")
    with moss.popen("logs", "-f", "box", stdout=subprocess.PIPE,
                    text=True) as logs:
        seen = [logs.stdout.readline() for _ in range(10)]
        moss.ok("wait", "box")
        seen += list(logs.stdout)
    assert [line.strip() for line in seen] == LINES


def test_killed_while_it_packs(moss):
    """At whatever moment, no line is lost; the next start packs the rest."""
    id = moss.ok("create", "--name", "box", *OPTIONS, "busybox", "sh", "-c",
                 SCRIPT + "sleep 1000")
    directory = moss.root / "containers" / id
    before = []
    for i in range(5):
        moss.ok("start", "box")
        with open(directory / "state.json") as file:
            monitor = json.load(file)["MonitorPid"]
        time.sleep(0.13 * i)
        fd = os.pidfd_open(monitor)
        os.kill(monitor, signal.SIGKILL)
        # It may still be in the middle of a write.
        assert select.select([fd], [], [], 10)[0]
        os.close(fd)
        lines = moss.ok("logs", "box").splitlines()
        assert lines[:len(before)] == before
        assert lines[len(before):] == LINES[:len(lines) - len(before)]
        before = lines
    moss.ok("start", "box")
    moss.wait_for(lambda: is_packed(moss, id), "packed files")
    assert moss.ok("logs", "box").splitlines()[:len(before)] == before


def test_a_damaged_file_is_told(moss, packed):
    path = moss.root / "containers" / packed / "container.log.2.gz"
    path.write_bytes(path.read_bytes()[:-20])
    result = moss("logs", "box")
    assert result.code == 1 and "cannot be unpacked" in result.err


def test_options_that_go_together(moss):
    for options in (["compress=true"], ["compress=true", "max-file=3"],
                    ["compress=true", "max-size=1m"]):
        result = moss("create", *(a for o in options for a in ("--log-opt", o)),
                      "busybox")
        assert result.code == 1 and "compress cannot be true" in result.err
