"""A debugger outside, stopped itself, does not keep a container from ending."""
import ctypes
import os
import signal
import time

import pytest

PTRACE_SEIZE = 0x4206


def trace(pid):
    """Seizes pid with a process that is then stopped; its PID."""
    ready, tell = os.pipe()
    tracer = os.fork()
    if tracer == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0:
            os.write(tell, b"x")
        os.close(tell)
        while True:
            signal.pause()
    os.close(tell)
    with open(ready, "rb") as file:
        assert file.read(1) == b"x"
    os.kill(tracer, signal.SIGSTOP)
    return tracer


@pytest.fixture(params=["init", "child"])
def held(request, moss):
    """A container of which a stopped debugger has a process."""
    script = "trap 'exit 7' TERM; sleep 100 & wait"
    moss.ok("run", "-d", "--name", "held", "busybox", "sh", "-c", script)
    init = moss.inspect("held")["State"]["Pid"]
    children = moss.wait_for(
        lambda: open(f"/proc/{init}/task/{init}/children").read().split())
    tracer = trace(init if request.param == "init" else int(children[0]))
    yield request.param
    os.kill(tracer, signal.SIGKILL)
    os.waitpid(tracer, 0)


@pytest.mark.parametrize("command, killed", [
    ("stop", False), ("kill", True), ("restart", False), ("rm", True),
])
def test_it_ends(moss, held, command, killed):
    """A traced init does not see SIGTERM, as that is shown to the tracer."""
    options = {"rm": ["-f"], "kill": []}.get(command, ["-t", "1"])
    begin = time.monotonic()
    moss.ok(command, *options, "held")
    # The end itself, where it is not waited for.
    if command == "kill":
        moss.ok("wait", "held")
    assert time.monotonic() - begin < 8
    if command in ("stop", "kill"):
        state = moss.inspect("held")["State"]
        assert not state["Running"] and state["Pid"] == 0
        assert state["ExitCode"] == (137 if killed or held == "init" else 7)
    if command == "restart":
        assert moss.ok("exec", "held", "echo", "again") == "again"


def test_it_ends_by_itself(moss):
    """What ends without being told is noticed as well."""
    moss.ok("run", "-d", "-i", "--name", "held", "busybox", "sh", "-c",
            "read -t 1 line; exit 3")
    tracer = trace(moss.inspect("held")["State"]["Pid"])
    try:
        assert moss.ok("wait", "held", timeout=10) == "3"
    finally:
        os.kill(tracer, signal.SIGKILL)
        os.waitpid(tracer, 0)
