"""Detached containers: ps, logs, exec, stop, start, kill, wait, rm, names."""
import json
import re
import time

import pytest


@pytest.fixture
def sleeper(moss):
    return moss.ok("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")


def test_run_detached_prints_the_id(moss, sleeper):
    assert re.fullmatch("[0-9a-f]{64}", sleeper)
    (row,) = moss.ps()
    assert sleeper.startswith(row["ID"]) and row["Names"] == "sleeper"
    assert row["Image"] == "busybox" and row["State"] == "running"
    assert row["Status"].startswith("Up ")


def test_ps_table(moss, sleeper):
    header, row = moss.ok("ps").splitlines()
    assert header.split("   ")[0] == "CONTAINER ID"
    assert re.split(r"\s{2,}", header) == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS",
        "NAMES"]
    assert row.startswith(sleeper[:12]) and '"sleep 1000"' in row


def test_stop_start_kill_rm(moss, sleeper):
    begin = time.monotonic()
    assert moss.ok("stop", "-t", "0", "sleeper") == "sleeper"
    assert time.monotonic() - begin < 5
    assert moss.ok("ps", "-q") == ""
    state = moss.inspect("sleeper")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    assert moss.ok("start", "sleeper") == "sleeper"
    assert moss.inspect("sleeper")["State"]["Running"] is True
    assert moss.ok("kill", "sleeper") == "sleeper"
    assert moss.ok("wait", "sleeper") == "137"
    assert moss.ok("rm", "sleeper") == "sleeper"
    result = moss("inspect", "sleeper")
    assert result.code == 1 and "No such object: sleeper" in result.err


def test_stop_sends_the_stop_signal(moss):
    moss.ok("run", "-d", "--name", "term", "--stop-signal", "USR1", "busybox",
            "sh", "-c", "trap 'echo got it; exit 3' USR1; echo ready; "
            "while :; do sleep 0.05; done")
    moss.wait_for(lambda: "ready" in moss.ok("logs", "term"))
    moss.ok("stop", "term")
    assert moss.inspect("term")["State"]["ExitCode"] == 3
    assert moss.ok("logs", "term") == "ready\ngot it"


def test_restart(moss, sleeper):
    first = moss.inspect("sleeper")["State"]
    begin = time.monotonic()
    assert moss.ok("restart", "-t", "0", "sleeper") == "sleeper"
    assert time.monotonic() - begin < 5
    second = moss.inspect("sleeper")["State"]
    assert second["Running"] and second["Pid"] != first["Pid"]
    assert second["StartedAt"] > first["StartedAt"]
    moss.ok("stop", "-t", "0", "sleeper")
    assert moss.ok("container", "restart", "sleeper") == "sleeper"
    assert moss.inspect("sleeper")["State"]["Running"]


def test_restart_sends_the_signal(moss):
    moss.ok("run", "-d", "--name", "trap", "busybox", "sh", "-c",
            "trap 'echo usr2; exit' USR2; trap 'echo term; exit' TERM; "
            "echo ready; while :; do sleep 0.05; done")
    moss.wait_for(lambda: "ready" in moss.ok("logs", "trap"))
    moss.ok("restart", "-s", "USR2", "trap")
    moss.wait_for(lambda: moss.ok("logs", "trap") == "ready\nusr2\nready")
    moss.ok("restart", "trap")
    moss.wait_for(
        lambda: moss.ok("logs", "trap") == "ready\nusr2\nready\nterm\nready")


def test_restart_keeps_files_and_a_rm_container(moss):
    moss.ok("run", "-d", "--rm", "--name", "brief", "busybox", "sh", "-c",
            "echo run >>/runs; exec sleep 1000")
    moss.wait_for(lambda: moss("exec", "brief", "cat", "/runs").out == "run\n")
    moss.ok("restart", "-t", "0", "brief")
    moss.wait_for(
        lambda: moss("exec", "brief", "cat", "/runs").out == "run\nrun\n")
    # This end is its end.
    moss.ok("stop", "-t", "0", "brief")
    assert moss.ps("-a") == []


def test_restart_of_several(moss):
    names = [f"many{i}" for i in range(3)]
    for name in names:
        moss.ok("run", "-d", "--name", name, "busybox", "sh", "-c",
                "trap : TERM; while :; do sleep 1; done")
    begin = time.monotonic()
    result = moss("restart", "-t", "2", *names, "nosuch")
    assert time.monotonic() - begin < 6
    assert result.code == 1 and sorted(result.out.split()) == names
    assert "No such container: nosuch" in result.err
    assert all(row["State"] == "running" for row in moss.ps())


def test_rm_running_needs_force(moss, sleeper):
    result = moss("rm", "sleeper")
    assert result.code == 1 and "container is running" in result.err
    assert moss.ok("rm", "-f", "sleeper") == "sleeper"


def test_names_are_unique(moss, sleeper):
    result = moss("run", "--name", "sleeper", "busybox", "true")
    assert result.code == 125
    assert "is already in use" in result.err and sleeper[:12] in result.err


def test_rename(moss, sleeper):
    moss.ok("rename", "sleeper", "dreamer")
    assert moss.inspect("dreamer")["Name"] == "/dreamer"
    assert moss("inspect", "sleeper").code == 1


def test_short_ids(moss, sleeper):
    assert moss.inspect(sleeper[:6])["Id"] == sleeper


def test_logs(moss):
    moss.ok("run", "--name", "talker", "busybox", "sh", "-c",
            "for i in 1 2 3; do echo out $i; done; echo err >&2; printf partial")
    result = moss("logs", "talker", check=0)
    assert result.out == "out 1\nout 2\nout 3\npartial"
    assert result.err == "err\n"
    assert moss("logs", "-n", "1", "talker").out.strip() == "partial"
    line = moss.ok("logs", "-t", "talker").splitlines()[0]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out 1", line)


def test_log_file_is_json_file(moss):
    moss.ok("run", "--name", "talker", "busybox", "echo", 'a "quoted" <line>')
    path = moss.inspect("talker")["LogPath"]
    (line,) = open(path).read().splitlines()
    entry = json.loads(line)
    assert entry["log"] == 'a "quoted" <line>\n' and entry["stream"] == "stdout"


def test_logs_follow(moss):
    moss.ok("run", "-d", "--name", "ticker", "busybox", "sh", "-c",
            "for i in 1 2 3 4 5; do echo tick $i; sleep 0.1; done")
    assert moss.ok("logs", "-f", "ticker") == \
        "\n".join(f"tick {i}" for i in range(1, 6))


def test_log_rotation(moss):
    moss.ok("run", "--name", "chatty", "--log-opt", "max-size=10k", "--log-opt",
            "max-file=2", "busybox", "seq", "1", "2000")
    out = moss.ok("logs", "chatty").splitlines()
    assert out[-1] == "2000" and len(out) < 2000


def test_exec(moss, sleeper):
    assert moss.ok("exec", "sleeper", "echo", "inside") == "inside"
    assert moss("exec", "sleeper", "sh", "-c", "exit 7").code == 7
    assert moss("exec", "sleeper", "nosuch").code == 127
    assert moss("exec", "sleeper", "/etc/passwd").code == 126
    assert moss("exec", "-i", "sleeper", "cat", stdin="fed\n").out == "fed\n"
    assert moss.ok("exec", "-u", "web", "-w", "/srv", "-e", "X=1", "sleeper",
                   "sh", "-c", "id -u; pwd; echo $X") == "1000\n/srv\n1"
    assert "sleep 1000" in moss.ok("exec", "sleeper", "ps")
    moss.ok("exec", "-d", "sleeper", "touch", "/made")
    moss.wait_for(lambda: moss("exec", "sleeper", "test", "-e", "/made").code == 0)


def test_exec_big_output(moss, sleeper):
    out = moss.ok("exec", "sleeper", "seq", "1", "200000")
    assert len(out.splitlines()) == 200000


def test_exec_needs_a_running_container(moss):
    moss.ok("create", "--name", "idle", "busybox", "true")
    result = moss("exec", "idle", "true")
    assert result.code == 1 and "is not running" in result.err


def test_rm_flag_removes(moss):
    moss.ok("run", "-d", "--rm", "--name", "brief", "busybox", "true")
    moss.wait_for(lambda: moss.ok("ps", "-aq") == "")


def test_create_then_start(moss):
    moss.ok("create", "--name", "later", "busybox", "echo", "started")
    assert moss.ps("-a")[0]["State"] == "created"
    assert moss.ok("start", "-a", "later") == "started"


def test_writable_layer_survives_restart(moss):
    moss.ok("run", "--name", "keeper", "busybox", "sh", "-c",
            "test -e /kept && echo again || echo first; touch /kept")
    assert moss.ok("start", "-a", "keeper") == "again"


def test_filters(moss, sleeper):
    moss("run", "--name", "gone", "-l", "kind=brief", "busybox", "false", check=1)
    names = lambda *args: {row["Names"] for row in moss.ps("-a", *args)}
    assert names("-f", "status=exited") == {"gone"}
    assert names("-f", "label=kind=brief") == {"gone"}
    assert names("-f", "name=sleep") == {"sleeper"}
    assert names("-f", "exited=1") == {"gone"}


def test_inspect_shape(moss, sleeper):
    data = moss.inspect("sleeper")
    assert data["Path"] == "sleep" and data["Args"] == ["1000"]
    assert data["Config"]["Image"] == "busybox"
    assert data["State"]["Pid"] > 0 and data["State"]["StartedAt"][:2] == "20"
    assert data["NetworkSettings"]["Ports"] == {}
    assert moss.ok("inspect", "-f", "{{.State.Status}} {{.Name}}",
                   "sleeper") == "running /sleeper"


def test_many_at_once(moss):
    names = [f"many{i}" for i in range(10)]
    for name in names:
        moss.ok("run", "-d", "--name", name, "--network", "none", "busybox",
                "sleep", "1000")
    assert len(moss.ps()) == 10
    moss.ok("stop", "-t", "0", *names)
    assert moss.ok("ps", "-q") == ""
    moss.ok("rm", *names)
