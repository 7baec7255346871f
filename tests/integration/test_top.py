"""moss top: a container's processes, and no others, as the host's ps has them."""
import os

import pytest


@pytest.fixture
def family(moss):
    moss.ok("run", "-d", "--name", "family", "busybox", "sh", "-c",
            "sleep 1001 & sleep 1002")
    moss.ok("run", "-d", "--name", "other", "busybox", "sleep", "1003")
    moss.ok("exec", "-d", "-u", "33", "family", "sleep", "1004")
    moss.wait_for(lambda: "sleep 1001" in moss.ok("top", "family") and
                  "sleep 1004" in moss.ok("top", "family"))
    return "family"


def rows(text):
    titles, *lines = [line.split() for line in text.splitlines()]
    return [dict(zip(titles, line[:len(titles) - 1] +
                     [" ".join(line[len(titles) - 1:])])) for line in lines]


def test_top(moss, family):
    out = moss.ok("top", family)
    # Columns of twenty and more, as docker's.
    assert out.splitlines()[0].startswith(
        f"{'UID':20}{'PID':20}{'PPID':20}{'C':20}{'STIME':20}{'TTY':20}")
    table = {row["CMD"]: row for row in rows(out)}
    assert set(table) >= {"sleep 1001", "sleep 1004"}
    assert not any("1003" in command or "moss" in command for command in table)
    # The PIDs are the host's.
    pid = moss.inspect(family)["State"]["Pid"]
    assert str(pid) in [row["PID"] for row in table.values()]
    for command, row in table.items():
        with open(f"/proc/{row['PID']}/cmdline") as file:
            assert file.read().replace("\0", " ").strip() == command
    assert table["sleep 1001"]["UID"] == "root"
    assert table["sleep 1004"]["UID"] != "root"


def test_options_of_ps(moss, family):
    for options in (["-o", "pid,args"], ["-o pid,args"]):
        out = moss.ok("container", "top", family, *options)
        assert out.split("\n")[0].split() == ["PID", "COMMAND"]
        assert {row["COMMAND"] for row in rows(out)} >= {"sleep 1001",
                                                         "sleep 1004"}
    # "f" does not go together with a list of PIDs.
    out = moss.ok("top", family, "-ef", "f")
    assert "sleep 1001" in out and "sleep 1003" not in out
    assert "moss" not in out.split("\n", 1)[1]
    threads = moss.ok("top", family, "-m", "-o", "pid,comm").splitlines()[1:]
    assert sum(line.startswith("-") for line in threads) == len(threads) / 2


@pytest.mark.parametrize("options, words", [
    (["-o", "comm"], "Couldn't find PID field in ps output"),
    (["-o", "ppid=PID,pid"], "is not allowed"),
    (["--nosuch"], "ps: error:"),
])
def test_wrong_options(moss, family, options, words):
    result = moss("top", family, *options)
    assert result.code == 1 and words in result.err and result.out == ""


def test_needs_a_running_container(moss, family):
    moss.ok("stop", "-t", "0", family)
    result = moss("top", family)
    assert result.code == 1 and "is not running" in result.err
    assert "No such container: nosuch" in moss("top", "nosuch").err


def test_a_paused_container_can_be_looked_at(moss, family):
    moss.ok("pause", family)
    out = moss.ok("top", family, "-o", "pid,stat")
    assert [row for row in rows(out)]
    assert all(row["STAT"].startswith("T") for row in rows(out))


def test_processes_of_a_host_pid_container(moss):
    moss.ok("run", "-d", "--name", "hostly", "--pid", "host", "busybox",
            "sleep", "1005")
    assert {row["CMD"] for row in rows(moss.ok("top", "hostly"))} == {
        "sleep 1005"}


def test_without_ps(moss, family, tmp_path):
    for name in ("newuidmap", "newgidmap"):
        for directory in os.environ["PATH"].split(":"):
            path = os.path.join(directory, name)
            if os.path.exists(path):
                (tmp_path / name).symlink_to(path)
                break
    result = moss.with_env(PATH=str(tmp_path))("top", family)
    assert result.code == 1 and "procps" in result.err
