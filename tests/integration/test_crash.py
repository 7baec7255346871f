"""kill -9 of any part at any moment leaves no stuck state."""
import json
import os
import random
import signal
import socket
import time

import pytest

from conftest import wait_for


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def state_file(moss, id):
    return json.load(open(moss.root / "containers" / id / "state.json"))


@pytest.fixture
def web(moss, free_port):
    port = free_port()
    id = moss.ok("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80",
                 "busybox", "httpd", "-f", "-p", "80")
    return id, port


def descendants(moss, id):
    """PIDs of the monitor and of its children, by parent."""
    pid = moss.inspect(id)["State"]["Pid"]
    def parent(p):
        return int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[1])
    monitor = parent(pid)
    children = [int(p) for p in os.listdir("/proc") if p.isdigit() and
                alive(int(p)) and parent(int(p)) == monitor]
    return monitor, pid, [c for c in children if c != pid]


def assert_usable_again(moss, port):
    moss.ok("rm", "-f", "web")
    moss.ok("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80",
            "busybox", "httpd", "-f", "-p", "80")


def test_killed_monitor(moss, web):
    id, port = web
    monitor, init, helpers = descendants(moss, id)
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not alive(init), "the container's end")
    for helper in helpers:
        wait_for(lambda: not alive(helper), "the helper's end")
    (row,) = moss.ps("-a")
    assert row["State"] == "exited" and "(137)" in row["Status"]
    assert moss.ok("start", "web") == "web"
    assert_usable_again(moss, port)


def test_killed_monitor_of_rm_container(moss):
    id = moss.ok("run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "99")
    monitor, init, _ = descendants(moss, id)
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not alive(init), "the container's end")
    assert moss.ok("ps", "-aq") == ""
    assert not (moss.root / "containers" / id).exists()
    moss.ok("run", "--rm", "--name", "brief", "busybox", "true")


def test_killed_init(moss, web):
    id, port = web
    _, init, helpers = descendants(moss, id)
    os.kill(init, signal.SIGKILL)
    wait_for(lambda: moss.ps("-a")[0]["State"] == "exited", "the exit")
    assert moss.inspect("web")["State"]["ExitCode"] == 137
    for helper in helpers:
        wait_for(lambda: not alive(helper), "the helper's end")
    assert_usable_again(moss, port)


def test_killed_net_helper(moss, web):
    id, port = web
    _, init, helpers = descendants(moss, id)
    for helper in helpers:
        os.kill(helper, signal.SIGKILL)
    time.sleep(0.3)
    (row,) = moss.ps("-a")
    assert row["State"] in ("running", "exited")
    assert_usable_again(moss, port)


def test_killed_client(moss):
    process = moss.popen("run", "--name", "orphan", "busybox", "sleep", "1000",
                         stdout=-1)
    wait_for(lambda: any(r["State"] == "running" for r in moss.ps("-a")), "start")
    process.kill()
    process.wait()
    assert moss.inspect("orphan")["State"]["Running"] is True
    assert moss.ok("exec", "orphan", "echo", "x") == "x"


def test_kill_at_random_moments(moss):
    """The client and everything it started, killed in the middle of a start."""
    rng = random.Random(7)
    for round in range(25):
        process = moss.popen("run", "-d", "--name", "victim", "busybox", "sleep",
                             "1000", stdout=-1, stderr=-1, start_new_session=True)
        time.sleep(rng.uniform(0, 0.03))
        target = rng.choice(["client", "all"])
        if target == "all":
            for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
                try:
                    name = open(f"/proc/{pid}/comm").read()
                    env = open(f"/proc/{pid}/environ", "rb").read()
                except OSError:
                    continue
                if name.startswith("moss") and \
                        str(moss.run_directory).encode() in env and \
                        "pause" not in name:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
        process.kill()
        process.communicate()
        removed = moss("rm", "-f", "victim", timeout=30)
        assert removed.code == 0 or "No such container" in removed.err, removed
        assert moss.ok("run", "--rm", "--name", "victim", "busybox", "echo",
                       str(round)) == str(round)
        assert moss.ok("ps", "-aq") == ""


def test_damaged_state_is_survived(moss):
    id = moss.ok("create", "--name", "hurt", "busybox", "true")
    path = moss.root / "containers" / id / "state.json"
    path.write_text("{")
    result = moss("start", "hurt")
    assert result.code == 0 or "state.json" in result.err
    assert moss("ps", "-a").code == 0
    moss.ok("rm", "-f", "hurt")


def test_pinned_namespace_killed(moss):
    """The pause process dies: running containers go on, new ones start."""
    moss.ok("run", "-d", "--name", "old", "busybox", "sleep", "1000")
    (pin,) = moss.run_directory.glob("moss/userns/pin.json")
    os.kill(json.loads(pin.read_text())["pid"], signal.SIGKILL)
    assert moss.ok("run", "--rm", "busybox", "echo", "new") == "new"
    assert moss.ok("exec", "old", "echo", "old") == "old"
    moss.ok("rm", "-f", "old")
