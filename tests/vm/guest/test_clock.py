"""The wall clock is set a day forth and back while containers run: nothing
waits for it or hurries after it, and what has happened is told in its order."""
import subprocess
import threading
import time

import pytest

from integration import wait_for

DAY = 24 * 3600
JUMPS = pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forth", "back"])
# How late emulation may make what is due at a time.
LATE = 15


def set_clock(seconds):
    subprocess.run(["sudo", "date", "-s", f"@{seconds:.6f}"], check=True,
                   stdout=subprocess.DEVNULL)


class Clock:
    def __init__(self):
        self.offset = time.time() - time.monotonic()

    @staticmethod
    def jump(seconds):
        set_clock(time.time() + seconds)

    def restore(self):
        set_clock(time.monotonic() + self.offset)


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.restore()


class Took:
    """How long a block took, of seconds that nobody sets."""

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began


def run(moss, name, script, *options):
    moss.ok("run", "-d", "--name", name, "--network", "none", *options,
            "busybox", "sh", "-c", script)


def lines(moss, name, *options):
    return moss.ok("logs", *options, name).split()


@JUMPS
def test_health_checks_keep_their_interval(moss, clock, jump, tmp_path):
    run(moss, "looked-after", "sleep 1000", "-v", f"{tmp_path}:/notes",
        "--health-cmd", "echo >>/notes/probes", "--health-interval", "2s",
        "--health-start-interval", "2s")
    probes = tmp_path / "probes"

    def count():
        return len(probes.read_text()) if probes.exists() else 0

    wait_for(lambda: count() >= 1, "the first probe", 30)
    before = count()
    with Took() as took:
        clock.jump(jump)
        wait_for(lambda: count() >= before + 3, "three probes more", 60)
    assert took.seconds > 2
    assert count() - before <= took.seconds / 2 + 2
    health = moss.inspect("looked-after")["State"]["Health"]
    assert health["Status"] == "healthy" and health["FailingStreak"] == 0


@JUMPS
def test_a_late_probe_is_ended(moss, clock, jump):
    """Its time-out is its own, too."""
    run(moss, "slow", "sleep 1000", "--health-cmd", "touch /began; sleep 1000",
        "--health-interval", "100ms", "--health-start-interval", "100ms",
        "--health-timeout", "4s", "--health-retries", "1")
    wait_for(lambda: moss("exec", "slow", "test", "-e", "/began").code == 0,
             "the probe", 30)
    with Took() as took:
        clock.jump(jump)
        wait_for(lambda: moss.ok("inspect", "-f", "{{.State.Health.Status}}",
                                 "slow") == "unhealthy", "its end", 30)
    assert took.seconds < 4 + LATE


@JUMPS
def test_restarts_keep_their_delays(moss, clock, jump, tmp_path):
    run(moss, "failing", "echo >>/notes/runs; exit 1", "-v",
        f"{tmp_path}:/notes", "--restart", "always")
    runs = tmp_path / "runs"

    def count():
        return len(runs.read_text()) if runs.exists() else 0

    wait_for(lambda: count() >= 3, "two restarts", 60)
    before = count()
    with Took() as took:
        clock.jump(jump)
        wait_for(lambda: count() >= before + 2, "two restarts more", 60)
    # 0.8 s at least before the fifth run, and a run of a day is not believed.
    assert took.seconds > 0.4
    moss.ok("stop", "failing")


@JUMPS
def test_stop_waits_as_long_as_it_was_told(moss, clock, jump):
    run(moss, "stubborn", "trap '' TERM; echo ready; "
        "while :; do sleep 1; done")
    wait_for(lambda: lines(moss, "stubborn") == ["ready"], "it to be ready", 30)
    jumps = threading.Timer(2, clock.jump, [jump])
    jumps.start()
    with Took() as took:
        moss.ok("stop", "-t", "5", "stubborn")
    jumps.join()
    assert 5 <= took.seconds < 5 + LATE
    assert moss.inspect("stubborn")["State"]["ExitCode"] == 137


def test_logs(moss, clock):
    """Forth and back: the order is that of writing, and times choose each line
    by itself."""
    run(moss, "writer", "sleep 1000")
    follower = moss.popen("logs", "-f", "writer", stdout=subprocess.PIPE,
                          text=True)

    def write(word):
        moss.ok("exec", "writer", "sh", "-c", f"echo {word} >/proc/1/fd/1")
        assert follower.stdout.readline() == f"{word}\n"

    write("before")
    clock.jump(DAY)
    write("ahead")
    assert lines(moss, "writer", "--since", "1h") == ["ahead"]
    clock.jump(-DAY)
    write("after")
    assert lines(moss, "writer") == ["before", "ahead", "after"]
    assert lines(moss, "writer", "--since", "1h") == \
        ["before", "ahead", "after"]
    assert lines(moss, "writer", "--until", "0s") == ["before", "after"]
    assert lines(moss, "writer", "-n", "1") == ["after"]
    jumps = threading.Timer(1, clock.jump, [-DAY])
    jumps.start()
    with Took() as took:
        assert lines(moss, "writer", "-f", "--until",
                     f"{time.time() + 4:.3f}") == ["before", "after"]
    jumps.join()
    assert 2 <= took.seconds < 4 + LATE
    moss.ok("rm", "-f", "writer")
    assert follower.wait(30) == 0


@JUMPS
def test_events(moss, clock, jump):
    began = time.time()
    jumps = threading.Timer(1, clock.jump, [jump])
    jumps.start()
    with Took() as took:
        moss.ok("events", "--until", f"{began + 4:.3f}")
    jumps.join()
    assert 2 <= took.seconds < 4 + LATE
    moss.ok("run", "--rm", "--name", "short", "--network", "none", "busybox",
            "true")
    actions = moss.ok("events", "--since", "10m", "--until", "0s", "--filter",
                      "container=short", "--format", "{{.Action}}").split()
    assert [action for action in actions if action != "attach"] == \
        ["create", "start", "die", "destroy"]


def test_up(moss, clock):
    run(moss, "steady", "sleep 1000", "--memory", "64m")

    def status():
        (row,) = moss.ps()
        return row["Status"], row["RunningFor"]

    clock.jump(DAY)
    assert status() == ("Up 24 hours", "24 hours ago")
    clock.jump(-2 * DAY)
    assert status() == ("Up Less than a second", "Less than a second ago")
    moss.ok("update", "--memory", "96m", "--memory-swap", "96m", "steady")
    moss.ok("pause", "steady")
    assert status()[0] == "Up Less than a second (Paused)"
    moss.ok("unpause", "steady")
    assert moss.ok("exec", "steady", "echo", "here") == "here"
    moss.ok("restart", "-t", "0", "steady")
    state = moss.inspect("steady")["State"]
    assert state["StartedAt"] > state["FinishedAt"]
    moss.ok("stop", "-t", "0", "steady")
    clock.jump(-DAY)
    (row,) = moss.ps("-a")
    assert row["Status"] == "Exited (137) Less than a second ago"
    assert moss.ok("container", "prune", "-f", "--filter", "until=1h")\
        .startswith("Total reclaimed space")
    clock.jump(3 * DAY)
    assert moss.inspect("steady")["Id"] in \
        moss.ok("container", "prune", "-f", "--filter", "until=1h")
