"""Restart policies: the monitor starts a container again."""
import json
import os
import re
import signal
import socket
import time
import urllib.request

import pytest


def state(moss, name):
    return moss.inspect(name)["State"]


def count(moss, name):
    return moss.inspect(name)["RestartCount"]


def run(moss, name, policy, *command, options=()):
    moss.ok("run", "-d", "--name", name, "--restart", policy, *options,
            "busybox", *command)


def wait_backoff(moss, name, restarts=4):
    """Until it waits for a start that is the best part of a second away."""
    moss.wait_for(lambda: count(moss, name) >= restarts and
                  state(moss, name)["Status"] == "restarting")


def test_always(moss):
    run(moss, "again", "always", "sh", "-c", "echo run; exit 0")
    moss.wait_for(lambda: count(moss, "again") >= 3)
    runs = moss.ok("logs", "again").splitlines()
    assert len(runs) >= 3 and set(runs) == {"run"}
    result = moss("run", "--restart", "always", "-d", "busybox", "sleep", "99")
    assert result.code == 0 and result.err == ""


def test_backoff_doubles(moss):
    run(moss, "slower", "always", "sh", "-c", "date +%s.%N; exit 1")
    moss.wait_for(lambda: len(moss.ok("logs", "slower").splitlines()) >= 5)
    lines = moss.ok("logs", "-t", "slower").splitlines()[:5]
    times = [float(line.split("T")[1].split("Z")[0].split(":")[2])
             + 60 * float(line.split(":")[1]) for line in lines]
    gaps = [(b - a) % 3600 for a, b in zip(times, times[1:])]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8)):
        assert gap >= least


def test_on_failure_with_a_limit(moss):
    run(moss, "limited", "on-failure:2", "sh", "-c", "echo run; exit 5")
    moss.wait_for(lambda: state(moss, "limited")["Status"] == "exited")
    assert count(moss, "limited") == 2
    assert state(moss, "limited")["ExitCode"] == 5
    assert moss.ok("logs", "limited") == "run\nrun\nrun"
    # A start by hand counts anew.
    moss.ok("start", "limited")
    moss.wait_for(lambda: state(moss, "limited")["Status"] == "exited")
    assert count(moss, "limited") == 2
    assert len(moss.ok("logs", "limited").splitlines()) == 6


def test_on_failure_until_success(moss):
    run(moss, "third", "on-failure", "sh", "-c",
        "echo x >> /runs; test $(wc -l < /runs) = 3")
    moss.wait_for(lambda: state(moss, "third")["Status"] == "exited")
    assert state(moss, "third")["ExitCode"] == 0
    assert count(moss, "third") == 2


@pytest.mark.parametrize("policy, code", [("no", 1), ("on-failure", 0)])
def test_not_again(moss, policy, code):
    run(moss, "once", policy, "sh", "-c", f"exit {code}")
    moss.ok("wait", "once")
    time.sleep(0.3)
    assert state(moss, "once")["Status"] == "exited"
    assert count(moss, "once") == 0


def test_state_while_restarting(moss):
    run(moss, "flapping", "always", "sh", "-c", "exit 3", options=("-p", "80"))
    wait_backoff(moss, "flapping")
    now = state(moss, "flapping")
    assert (now["Running"], now["Restarting"], now["Pid"]) == (True, True, 0)
    assert now["ExitCode"] == 3 and now["FinishedAt"] > now["StartedAt"]
    (row,) = moss.ps()
    assert re.fullmatch(r"Restarting \(3\) .* ago", row["Status"])
    assert row["State"] == "restarting" and row["Ports"] == ""
    for command in (("exec", "flapping", "true"), ("attach", "flapping")):
        result = moss(*command)
        if count(moss, "flapping") == 4:
            assert result.code == 1 and "is restarting, wait until" in \
                result.err
    result = moss("rm", "flapping")
    assert result.code == 1 and "stop the container before removing" in \
        result.err


@pytest.mark.parametrize("command", [("stop",), ("kill",),
                                     ("kill", "-s", "TERM")])
def test_stopped_in_the_backoff(moss, command):
    run(moss, "halt", "always", "false")
    wait_backoff(moss, "halt")
    begin = time.monotonic()
    moss.ok(*command, "halt")
    moss.wait_for(lambda: state(moss, "halt")["Status"] == "exited", seconds=1)
    assert time.monotonic() - begin < 2
    restarts = count(moss, "halt")
    assert state(moss, "halt")["ExitCode"] == 1
    time.sleep(1)
    assert state(moss, "halt")["Status"] == "exited"
    assert count(moss, "halt") == restarts
    moss.ok("start", "halt")
    moss.wait_for(lambda: count(moss, "halt") >= 1)


def test_removed_in_the_backoff(moss):
    run(moss, "gone", "always", "false")
    wait_backoff(moss, "gone")
    moss.ok("rm", "-f", "gone")
    assert moss.ps("-a") == []


@pytest.mark.parametrize("command", [("stop", "-t", "0"), ("kill",),
                                     ("rm", "-f")])
def test_stopped_while_it_runs(moss, command):
    run(moss, "held", "unless-stopped", "sleep", "1000")
    moss.ok(*command, "held")
    time.sleep(0.3)
    assert [row["State"] for row in moss.ps("-a")] == \
        ([] if command[0] == "rm" else ["exited"])


def test_other_signals_leave_the_policy(moss):
    run(moss, "nudged", "always", "sh", "-c",
        "trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done")
    moss.wait_for(lambda: "ready" in moss.ok("logs", "nudged"))
    moss.ok("kill", "-s", "USR1", "nudged")
    moss.wait_for(lambda: count(moss, "nudged") == 1 and
                  state(moss, "nudged")["Status"] == "running")


def test_what_waits_ends_with_the_first_run(moss):
    result = moss("run", "--name", "shown", "--restart", "always", "busybox",
                  "sh", "-c", "echo shown; sleep 0.2; exit 6")
    assert (result.code, result.out) == (6, "shown\n")
    moss.wait_for(lambda: count(moss, "shown") >= 2)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hi",
                                    timeout=5) as answer:
            return answer.read()
    except OSError:
        return None


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_network_and_files_of_the_next_run(moss, driver):
    port = free_port()
    run(moss, "server", "always", "sh", "-c",
        "mkdir -p /www; echo run >> /www/hi; "
        "httpd -p 80 -h /www; while ! test -e /quit; do sleep 0.05; done; "
        "rm /quit", options=("-p", f"127.0.0.1:{port}:80",
                             "--storage-driver", driver))
    directory = moss.root / "containers" / moss.inspect("server")["Id"]
    descriptors = []
    for expected in (b"run\n" * n for n in (1, 2, 3)):
        moss.wait_for(lambda: fetch(port) == expected, f"{expected}")
        pid = json.loads((directory / "state.json").read_text())["MonitorPid"]
        descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))
        moss.ok("exec", "server", "touch", "/quit")
    assert len(set(descriptors)) == 1, descriptors
    moss.ok("rm", "-f", "server")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))


def test_health_begins_anew(moss):
    run(moss, "checked", "always", "sh", "-c",
        "while ! test -e /quit; do sleep 0.05; done; rm /quit",
        options=("--health-cmd", "true", "--health-interval", "50ms"))
    for restarts in (0, 1):
        moss.wait_for(lambda: count(moss, "checked") == restarts and
                      state(moss, "checked")["Health"]["Status"] == "healthy")
        moss.ok("exec", "checked", "touch", "/quit")


def test_terminal_and_logs(moss):
    run(moss, "tty", "on-failure:2", "sh", "-c", "echo $(tty); exit 1",
        options=("-t",))
    moss.wait_for(lambda: state(moss, "tty")["Status"] == "exited")
    assert moss.ok("logs", "tty").split() == ["/dev/console"] * 3 or \
        moss.ok("logs", "tty").split() == ["/dev/pts/0"] * 3


def test_emptied_volume_stays_empty(moss):
    """Only the first run fills it from the image."""
    moss.ok("run", "--name", "filler", "busybox", "sh", "-c",
            "mkdir /data && touch /data/one /data/two")
    moss.ok("commit", "filler", "filled")
    moss.ok("run", "-d", "--name", "volume", "--restart", "on-failure:1",
            "-v", "restart-data:/data", "filled", "sh", "-c",
            "ls /data | wc -l; rm -f /data/*; exit 1")
    moss.wait_for(lambda: state(moss, "volume")["Status"] == "exited")
    assert moss.ok("logs", "volume") == "2\n0"
    moss.ok("rm", "volume", "filler")
    moss.ok("volume", "rm", "restart-data")
    moss.ok("rmi", "filled")


def test_joined_network_that_has_gone(moss):
    moss.ok("run", "-d", "--name", "owner", "busybox", "sleep", "1000")
    run(moss, "guest", "always", "sh", "-c",
        "while ! test -e /quit; do sleep 0.05; done; rm /quit; exit 1",
        options=("--network", "container:owner"))
    moss.ok("exec", "guest", "touch", "/quit")
    moss.wait_for(lambda: count(moss, "guest") == 1 and
                  state(moss, "guest")["Status"] == "running")
    moss.ok("rm", "-f", "owner")
    moss.ok("exec", "guest", "touch", "/quit")
    moss.wait_for(lambda: state(moss, "guest")["Status"] == "exited")
    assert "cannot restart: the namespace" in state(moss, "guest")["Error"]


def test_port_that_was_taken(moss):
    port = free_port()
    run(moss, "robbed", "always", "false",
        options=("-p", f"127.0.0.1:{port}:80"))
    wait_backoff(moss, "robbed")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        moss.wait_for(lambda: state(moss, "robbed")["Status"] == "exited")
    assert str(port) in state(moss, "robbed")["Error"]


@pytest.mark.parametrize("waiting", [True, False])
def test_killed_monitor(moss, waiting):
    run(moss, "orphan", "always", *(["false"] if waiting else
                                    ["sleep", "1000"]))
    if waiting:
        wait_backoff(moss, "orphan")
    directory = moss.root / "containers" / moss.inspect("orphan")["Id"]
    pid = json.loads((directory / "state.json").read_text())["MonitorPid"]
    os.kill(pid, signal.SIGKILL)
    moss.wait_for(lambda: state(moss, "orphan")["Status"] == "exited")
    assert state(moss, "orphan")["ExitCode"] == 137
    moss.ok("start", "orphan")
    moss.ok("rm", "-f", "orphan")


def test_renamed_while_it_runs(moss):
    run(moss, "before", "always", "sh", "-c",
        "while ! test -e /quit; do sleep 0.05; done; rm /quit")
    moss.ok("rename", "before", "after")
    moss.ok("exec", "after", "touch", "/quit")
    moss.wait_for(lambda: count(moss, "after") == 1 and
                  state(moss, "after")["Status"] == "running")
    moss.ok("restart", "-t", "0", "after")
    assert count(moss, "after") == 0


def test_rm_conflicts(moss):
    result = moss("run", "--rm", "--restart", "always", "busybox", "true")
    assert result.code == 125
    assert "Conflicting options: --restart and --rm" in result.err


def test_what_a_restarting_container_refuses(moss, tmp_path):
    (tmp_path / "f").write_text("f")
    moss.ok("run", "-d", "--name", "again", "--restart", "always", "busybox",
            "false")
    def is_refused(command):
        result = moss(*command)
        # It ran for a moment: it has to go on to wait again.
        if command[0] == "pause" and result.code == 0:
            moss("unpause", "again")
        return "is restarting, wait until the container is running" in \
            result.err

    # Its waits get longer: long enough for one to be met.
    for command in (["pause", "again"], ["top", "again"],
                    ["cp", tmp_path / "f", "again:/"]):
        moss.wait_for(lambda: is_refused(command), command)
    assert moss.ok("restart", "-t", "0", "again") == "again"
    moss.ok("rm", "-f", "again")
