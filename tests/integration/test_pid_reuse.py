"""A process number that a record holds may be another process's by now: a made-up
record names one of ours, which must be left alone."""
import json
import subprocess
import time

import pytest


@pytest.fixture
def victim():
    """A process of this user's that has nothing to do with moss."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    assert process.poll() is None, "the victim was ended"
    process.kill()
    process.wait()


def record(moss, name, victim, **members):
    """An ended container whose state claims that the victim is all of it."""
    id = moss.ok("create", "--name", name, *members.pop("options", []),
                 "busybox", "true")
    path = moss.root / "containers" / id / "state.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    state.update(Status="running", ExitCode=0)
    for what in ("Pid", "MonitorPid", "NetPid", "FusePid"):
        state[what] = victim.pid
        state[what.replace("Pid", "Start") if what != "Pid"
              else "PidStart"] = 1
    state.update(members)
    path.write_text(json.dumps(state))
    return id


def keys(moss):
    """The names that a state really has, so that none above is a wrong one."""
    moss.ok("run", "-d", "--name", "real", "busybox", "sleep", "100")
    id = moss.inspect("real")["Id"]
    return json.loads((moss.root / "containers" / id / "state.json").read_text())


def test_names(moss):
    real = keys(moss)
    for name in ("Pid", "PidStart", "MonitorPid", "MonitorStart", "NetPid",
                 "NetStart", "Status"):
        assert name in real, real


@pytest.mark.parametrize("command, code", [
    (["ps", "-a"], 0),
    (["inspect", "stranger"], 0),
    (["kill", "stranger"], 1),
    (["stop", "-t", "0", "stranger"], 0),
    (["rm", "-f", "stranger"], 0),
    (["top", "stranger"], 1),
    (["stats", "--no-stream", "stranger"], 0),
    (["pause", "stranger"], 1),
    (["exec", "stranger", "true"], 1),
    (["commit", "stranger", "reused"], 0),
    (["export", "-o", "/dev/null", "stranger"], 0),
    (["start", "stranger"], 0),
    (["restart", "-t", "0", "stranger"], 0),
    (["system", "prune", "-f"], 0),
])
def test_commands(moss, victim, command, code):
    record(moss, "stranger", victim)
    moss(*command, check=code)
    moss.wait_for(lambda: [row["State"] for row in moss.ps("-a")] in
                  ([], ["exited"]))
    moss("rmi", "reused")


def test_temporary(moss, victim):
    """One with --rm is removed as after its monitor's death."""
    record(moss, "stranger", victim, options=["--rm"])
    assert moss.ps("-a") == []


@pytest.mark.parametrize("kind", ["network", "pid", "ipc"])
def test_joined(moss, victim, kind):
    """The number of the process whose namespace is joined is another's when
    the container is started again."""
    owner = ["--ipc", "shareable"] if kind == "ipc" else []
    moss.ok("run", "-d", "--name", "owner", *owner, "busybox", "sleep", "1000")
    moss.ok("run", "-d", "--name", "guest", "--restart", "always",
            f"--{kind}", "container:owner", "busybox", "sleep", "1000")
    guest = moss.inspect("guest")
    path = moss.root / "containers" / guest["Id"] / "config.json"
    config = json.loads(path.read_text())
    pid, start = config["annotations"]["dev.moss.joined"].split(":")
    assert int(pid) == moss.inspect("owner")["State"]["Pid"]
    with open(f"/proc/{pid}/stat") as file:
        assert file.read().rsplit(")", 1)[1].split()[19] == start
    config["annotations"]["dev.moss.joined"] = f"{pid}:{int(start) + 1}"
    path.write_text(json.dumps(config))
    # The end of a run that is not one by hand.
    subprocess.run(["kill", "-9", str(guest["State"]["Pid"])], check=True)
    moss.wait_for(lambda: moss.inspect("guest")["State"]["Status"] == "exited")
    assert "namespace of process" in moss.inspect("guest")["State"]["Error"]
    # With what holds now it starts.
    moss.ok("start", "guest")
    time.sleep(0.2)
    assert moss.inspect("guest")["State"]["Running"]
