"""Restarts and health checks while their processes are killed at random."""
import json
import os
import random
import signal
import time

import pytest

from conftest import wait_for

SECONDS = 3
COMMANDS = (["restart", "-t", "0"], ["stop", "-t", "0"], ["start"], ["kill"],
            ["exec", "-d"], ["inspect"])


def parents():
    """{PID: its parent} of all there are."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found[int(pid)] = int(fields[1])
    return found


def below(root):
    tree, found = parents(), [root]
    for pid in found:
        found += [child for child, parent in tree.items() if parent == pid]
    return found[1:]


def state_file(moss, id):
    return json.loads((moss.root / "containers" / id / "state.json")
                      .read_text())


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@pytest.fixture
def shaken(moss):
    return moss.ok("run", "-d", "--name", "shaken", "--restart", "always",
                   "--health-cmd", "sleep 0.1", "--health-interval", "100ms",
                   "busybox", "sh", "-c", "trap 'exit 0' TERM; "
                   "while :; do sleep 0.1; done")


@pytest.mark.parametrize("monitor", [False, True])
def test_killed_at_random(moss, shaken, monitor):
    """Whatever is killed while commands run, state and processes are right."""
    dice = random.Random(11)
    seen = set()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        pid = state_file(moss, shaken).get("MonitorPid", 0)
        seen.add(pid)
        victims = below(pid) if pid else []
        if monitor and pid and dice.random() < 0.3:
            victims = [pid]
        if victims:
            kill(dice.choice(victims))
        command = dice.choice(COMMANDS)
        tail = ["true"] if command[0] == "exec" else []
        result = moss(*command, shaken, *tail, timeout=30)
        assert result.code in (0, 1, 137), result
        time.sleep(dice.random() * 0.1)
    moss("start", shaken)
    moss.wait_for(lambda: moss.inspect(shaken)["State"]["Status"] == "running",
                  seconds=20)
    moss.wait_for(lambda: moss.inspect(shaken)["State"]["Health"]["Status"] ==
                  "healthy", seconds=20)
    last = state_file(moss, shaken).get("MonitorPid", 0)
    moss.ok("stop", "-t", "1", shaken)
    state = moss.inspect(shaken)
    assert state["State"]["Status"] == "exited"
    assert state["State"]["Pid"] == 0 and state["ExecIDs"] is None
    assert state["State"]["Health"]["Status"] == "unhealthy"
    # It stays so, though its policy is always.
    wait_for(lambda: last not in parents(), "the monitor's end")
    time.sleep(0.3)
    assert moss.inspect(shaken)["State"]["Status"] == "exited"
    assert not seen & parents().keys()


def test_count_and_delay(moss):
    """Ends by SIGKILL count, and each is waited for longer."""
    id = moss.ok("run", "-d", "--restart", "on-failure:3", "busybox", "sleep",
                 "1000")
    for count in range(1, 4):
        kill(moss.inspect(id)["State"]["Pid"])
        moss.wait_for(lambda: moss.inspect(id)["RestartCount"] == count and
                      moss.inspect(id)["State"]["Status"] == "running")
    kill(moss.inspect(id)["State"]["Pid"])
    moss.wait_for(lambda: moss.inspect(id)["State"]["Status"] == "exited")
    assert moss.inspect(id)["RestartCount"] == 3
    assert moss.inspect(id)["State"]["ExitCode"] == 137
    events = moss.ok("events", "--since", "1h", "--until", "0s", "-f",
                     f"container={id}", "-f", "event=die", "--format",
                     "{{.TimeNano}}")
    assert len(events.splitlines()) == 4
