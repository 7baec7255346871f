"""Much output and slow readers: every byte is there in the end, whoever reads
it at whatever speed, and the monitor does not grow.

MOSS_FLOOD_MB (24 by default) changes how much is written; 1000 is what to try
by hand."""
import hashlib
import json
import os
import subprocess
import time

import pytest

from conftest import wait_for

MB = int(os.environ.get("MOSS_FLOOD_MB", "24"))
LINE = 1000  # bytes, the newline included
COUNT = MB * (1000000 // LINE)
SECONDS = 60 + MB
GROWTH_KB = 2048  # of the monitor: buffers of one read and of the log
WRITER = (f"awk 'BEGIN {{ for (i = 0; i < {COUNT}; i++) "
          f"printf \"%0{LINE - 1}d\\n\", i }}'")


def digest():
    """Of all the lines."""
    sha = hashlib.sha256()
    for i in range(COUNT):
        sha.update(b"%0*d\n" % (LINE - 1, i))
    return sha.hexdigest()


@pytest.fixture(scope="module")
def expected():
    return digest()


@pytest.fixture(autouse=True)
def nothing_left(house):
    yield
    house.reset(house.baseline)


def pss_kb(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file
                        if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def monitor_of(house):
    (monitor,) = [pid for pid, kind in house.processes().items()
                  if kind == "monitor"]
    return monitor


class Reader:
    """Takes what comes from a pipe, as slowly as it is told."""

    def __init__(self, stream, step=1 << 16, pause=0):
        self.stream, self.step, self.pause = stream, step, pause
        self.sha = hashlib.sha256()
        self.length = 0

    def read(self, limit=None):
        while limit is None or self.length < limit:
            data = os.read(self.stream.fileno(), self.step)
            if not data:
                break
            self.sha.update(data)
            self.length += len(data)
            time.sleep(self.pause)
        return self.sha.hexdigest()


def test_detached(house, expected):
    """At full speed into the log; the monitor stays small."""
    house.ok("run", "-d", "--name", "flood", "busybox", "sh", "-c",
             f"sleep 0.2; {WRITER}; sleep 0.2")
    monitor = monitor_of(house)
    at_first = pss_kb(monitor)
    most = 0
    begin = time.monotonic()
    while house.processes().get(monitor):
        most = max(most, pss_kb(monitor))
        time.sleep(0.01)
        assert time.monotonic() - begin < SECONDS
    print(f"{COUNT * LINE / 1e6:.0f} MB in {time.monotonic() - begin:.1f} s, "
          f"monitor {at_first} kB, at most {most} kB")
    assert most < at_first + GROWTH_KB
    begin = time.monotonic()
    logs = house.start("logs", "flood", stdout=subprocess.PIPE)
    reader = Reader(logs.stdout)
    assert reader.read() == expected and reader.length == COUNT * LINE
    logs.stdout.close()
    assert house.end(logs) == 0
    print(f"read in {time.monotonic() - begin:.1f} s")
    assert house.ok("inspect", "-f", "{{.State.ExitCode}}", "flood") == "0"


def test_slow_follower(house, expected):
    """It does not hold the container back, and misses nothing."""
    house.ok("run", "-d", "--name", "flood", "busybox", "sh", "-c",
             f"sleep 0.2; {WRITER}")
    logs = house.start("logs", "-f", "flood", stdout=subprocess.PIPE)
    reader = Reader(logs.stdout, 4096, 0.005)
    reader.read(100000)
    assert house.run("wait", "flood", seconds=SECONDS).out == "0\n"
    reader.step, reader.pause = 1 << 16, 0
    assert reader.read() == expected
    logs.stdout.close()
    assert house.end(logs) == 0


@pytest.mark.parametrize("driver", ["json-file", "none"])
def test_slow_attached(house, expected, driver):
    """It does hold the container back, at the cost of no memory."""
    run = house.start("run", "--name", "flood", "--log-driver", driver,
                      "busybox", "sh", "-c", WRITER, stdout=subprocess.PIPE)
    reader = Reader(run.stdout, 4096, 0.002)
    reader.read(LINE)
    monitor = monitor_of(house)
    at_first = pss_kb(monitor)
    reader.read(300000)
    assert pss_kb(monitor) < at_first + GROWTH_KB
    assert house.ok("inspect", "-f", "{{.State.Running}}", "flood") == "true"
    reader.step, reader.pause = 1 << 16, 0
    assert reader.read() == expected
    run.stdout.close()
    assert house.end(run) == 0
    if driver == "json-file":
        logs = house.start("logs", "flood", stdout=subprocess.PIPE)
        assert Reader(logs.stdout).read() == expected
        logs.stdout.close()
        assert house.end(logs) == 0


def test_killed_readers(house, expected):
    """Whoever goes, the rest is written and read."""
    run = house.start("run", "--name", "flood", "busybox", "sh", "-c", WRITER,
                      stdout=subprocess.PIPE)
    Reader(run.stdout, 4096, 0.002).read(50000)
    attached = house.start("attach", "flood", stdout=subprocess.PIPE)
    logs = house.start("logs", "-f", "flood", stdout=subprocess.PIPE)
    Reader(logs.stdout, 4096, 0.002).read(50000)
    for process in (run, attached, logs):
        process.kill()
        process.stdout.close()
        house.end(process)
    assert house.run("wait", "flood", seconds=SECONDS).out == "0\n"
    logs = house.start("logs", "flood", stdout=subprocess.PIPE)
    assert Reader(logs.stdout).read() == expected
    logs.stdout.close()
    assert house.end(logs) == 0
    house.assert_sound()


def sizes(directory):
    """Of the log's files, which are turned meanwhile."""
    found = []
    for path in directory.glob("container.log*"):
        try:
            found.append(path.stat().st_size)
        except FileNotFoundError:
            pass
    return found


def test_rotated(house):
    """max-size and max-file are kept to; what is left is the whole end."""
    size, files = 1 << 20, 3
    id = house.ok("run", "-d", "--name", "flood", "--log-opt",
                  f"max-size={size}", "--log-opt", f"max-file={files}",
                  "busybox", "sh", "-c", WRITER)
    directory = house.moss.root / "containers" / id
    entry = 2 * LINE
    deadline = time.monotonic() + SECONDS
    while house.ok("inspect", "-f", "{{.State.Running}}", id) == "true":
        assert time.monotonic() < deadline
        found = sizes(directory)
        # A file is turned once it is full: it has one entry more, then.
        assert len(found) <= files and all(
            each < size + (64 << 10) + entry for each in found), found
        time.sleep(0.01)
    lines = house.ok("logs", id).splitlines()
    last = int(lines[-1])
    assert last == COUNT - 1
    assert [int(line) for line in lines] == \
        list(range(last - len(lines) + 1, last + 1))
    assert len(lines) * LINE > (files - 1) * size * 0.8


def test_follower_of_rotated(house):
    """Of lines that come too fast for it, it misses whole ones only."""
    house.ok("run", "-d", "--name", "flood", "--log-opt", "max-size=256k",
             "--log-opt", "max-file=2", "busybox", "sh", "-c",
             f"sleep 0.2; {WRITER}")
    logs = house.start("logs", "-f", "flood", stdout=subprocess.PIPE)
    seen = []
    for line in logs.stdout:
        assert len(line) == LINE, line
        seen.append(int(line))
        if len(seen) % 50 == 0:
            time.sleep(0.001)
    logs.stdout.close()
    assert house.end(logs) == 0
    assert seen == sorted(set(seen)) and seen[-1] == COUNT - 1


def test_entries_are_whole(house):
    """The log is JSON, line by line, when writers compete."""
    count = 500
    id = house.ok("run", "-d", "--name", "flood", "busybox", "sh", "-c",
                  f"for n in 1 2 3 4; do (i=0; while [ $i -lt {count} ]; do "
                  "echo out $n $i; echo err $n $i >&2; i=$((i+1)); done) & "
                  "done; wait")
    assert house.run("wait", "flood", seconds=SECONDS).out == "0\n"
    path = house.moss.root / "containers" / id / "container.log"
    wait_for(path.exists, "the log")
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for stream in ("stdout", "stderr"):
        text = [e["log"] for e in entries if e["stream"] == stream]
        assert sorted(text) == sorted(
            f"{stream[3:]} {n} {i}\n" for n in range(1, 5)
            for i in range(count))
