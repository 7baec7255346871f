"""Containers that do not want to end, or can hardly: stop, kill and rm -f end
them all in bounded time, and nothing of them is left. MOSS_STUBBORN=1 tries the
slow cases, too."""
import os
import signal
import subprocess
import time

import pytest

from conftest import wait_for
from household import send, status_of

LONG = os.environ.get("MOSS_STUBBORN")


@pytest.fixture(autouse=True)
def nothing_left(house):
    yield
    house.reset(house.baseline)


def begin(house, *args, ready=True):
    """A container; its first process once it has said that it is ready."""
    house.ok("run", "-d", "--name", "stubborn", *args)
    if ready:
        wait_for(lambda: "ready" in house.ok("logs", "stubborn"), "the program")
    return int(house.ok("inspect", "-f", "{{.State.Pid}}", "stubborn"))


def end(house, *args, least=0.0, most=8.0):
    """Ends it by a command, which takes so many seconds."""
    start = time.monotonic()
    house.ok(*args, "stubborn")
    taken = time.monotonic() - start
    assert least <= taken < most, taken
    house.assert_sound()
    if args[0] != "rm":
        assert house.ok("inspect", "-f", "{{.State.ExitCode}}",
                        "stubborn") == "137"
        # It starts again, whatever it was.
        house.ok("start", "stubborn")
        house.ok("rm", "-f", "stubborn")


ENDS = [["stop", "-t", "0"], ["kill"], ["rm", "-f"]]


def test_ignores_sigterm(house):
    begin(house, "busybox", "sh", "-c",
          "trap '' TERM INT HUP; echo ready; while :; do sleep 0.1; done")
    end(house, "stop", "-t", "1", least=1)


@pytest.mark.parametrize("args", ENDS)
def test_stopped_init(house, args):
    pid = begin(house, "busybox", "sleep", "1000", ready=False)
    send(pid, signal.SIGSTOP)
    wait_for(lambda: status_of(pid)[1] == "T", "the stop")
    end(house, *args)


@pytest.mark.parametrize("args", ENDS)
def test_paused(house, args):
    begin(house, "busybox", "sleep", "1000", ready=False)
    house.ok("pause", "stubborn")
    end(house, *args)


def trace(house, pid):
    """Somebody has a debugger on it."""
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-e",
                               "trace=none", "-p", str(pid)],
                              stderr=subprocess.DEVNULL)
    house.commands.append(tracer)
    wait_for(lambda: any(
        line.split() == ["TracerPid:", str(tracer.pid)]
        for line in open(f"/proc/{pid}/status")), "the tracer")
    return tracer


@pytest.mark.parametrize("args", ENDS)
def test_traced_init(house, args):
    pid = begin(house, "busybox", "sleep", "1000", ready=False)
    tracer = trace(house, pid)
    end(house, *args)
    house.end(tracer)


FORKS = ("f() { while :; do f & done; }; f 2>/dev/null & echo ready; "
         "exec sleep 1000")


@pytest.mark.parametrize("args", ENDS)
def test_forks_without_end(house, args):
    begin(house, "--ulimit", "nproc=200:200", "busybox", "sh", "-c", FORKS)
    # None to spare, for exec or whatever.
    wait_for(lambda: len(house.ok("top", "stubborn").splitlines()) > 190,
             "the processes")
    end(house, *args)


@pytest.mark.parametrize("init", [[], ["--init"]])
def test_zombies(house, init):
    """Orphans by the hundred, which init reaps or does not."""
    script = ("echo ready; i=0; while [ $i -lt 300 ]; do "
              "sh -c 'true & exec true' & i=$((i+1)); done; exec sleep 1000")
    begin(house, *init, "busybox", "sh", "-c", script)
    time.sleep(0.3)
    assert house.ask("top", "stubborn").code == 0
    assert house.ask("exec", "stubborn", "true").code == 0
    end(house, "rm", "-f")


def test_many_do_not_listen(house):
    """Their time to end runs at once, not one after the other."""
    names = [f"deaf{i}" for i in range(8)]
    for name in names:
        house.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    start = time.monotonic()
    house.ok("stop", "-t", "1", *names)
    assert time.monotonic() - start < 6
    house.assert_sound()


if LONG:
    def test_init_of_a_stopped_tracer(house):
        """Until that goes on, the kernel tells nobody that init has ended."""
        pid = begin(house, "busybox", "sleep", "1000", ready=False)
        tracer = trace(house, pid)
        send(tracer.pid, signal.SIGSTOP)
        start = time.monotonic()
        house.ok("rm", "-f", "stubborn")
        assert time.monotonic() - start < 30
        assert house.ok("ps", "-aq") == ""
        send(tracer.pid, signal.SIGKILL)
        house.end(tracer)

    @pytest.mark.parametrize("args", ENDS)
    def test_stopped_root_server(house, args):
        """The server of a FUSE root does not answer: it has its time to, 10 s."""
        begin(house, "--storage-driver", "fuse-overlayfs", "busybox", "sh", "-c",
              "echo ready; while :; do ls -R / >/dev/null; done")
        servers = [pid for pid, kind in house.processes().items()
                   if kind == "fuse"]
        assert servers
        for pid in servers:
            send(pid, signal.SIGSTOP)
        time.sleep(0.1)
        end(house, *args, most=25)
