"""moss pause and unpause: what stands still, what works meanwhile, what ends it."""
import os
import re
import signal
import time

import pytest

COUNT = ("trap 'echo bye; exit 4' TERM; trap 'echo usr' USR1; i=0; "
         "while :; do i=$((i+1)); echo $i; sleep 0.02; done")


@pytest.fixture
def counter(moss):
    moss.ok("run", "-d", "--name", "counter", "busybox", "sh", "-c", COUNT)
    moss.wait_for(lambda: "2" in moss.ok("logs", "counter"))
    return "counter"


def stands_still(moss, name):
    before = moss.ok("logs", name)
    time.sleep(0.3)
    return moss.ok("logs", name) == before


def goes_on(moss, name):
    before = moss.ok("logs", name)
    moss.wait_for(lambda: moss.ok("logs", name) != before, "more output")


def test_pause_and_unpause(moss, counter):
    assert moss.ok("pause", counter) == counter
    # Whoever paused it has gone.
    assert stands_still(moss, counter)
    (row,) = moss.ps()
    assert re.fullmatch(r"Up .* \(Paused\)", row["Status"])
    assert row["State"] == "paused"
    assert [r["Names"] for r in moss.ps("--filter", "status=paused")] == [counter]
    state = moss.inspect(counter)["State"]
    assert (state["Status"], state["Paused"], state["Running"]) == (
        "paused", True, True)
    assert moss.ok("info", "--format", "{{.ContainersPaused}}") == "1"

    assert moss.ok("unpause", counter) == counter
    goes_on(moss, counter)
    state = moss.inspect(counter)["State"]
    assert (state["Status"], state["Paused"]) == ("running", False)


def test_management_form(moss, counter):
    assert moss.ok("container", "pause", counter) == counter
    assert moss.inspect(counter)["State"]["Paused"]
    assert moss.ok("container", "unpause", counter) == counter
    assert not moss.inspect(counter)["State"]["Paused"]


def test_programs_of_exec_stand_still_too(moss):
    moss.ok("run", "-d", "--name", "quiet", "busybox", "sleep", "1000")
    moss.ok("exec", "-d", "quiet", "sh", "-c",
            "while :; do echo x >>/ticks; sleep 0.02; done")
    moss.wait_for(lambda: moss("exec", "quiet", "test", "-s", "/ticks").code == 0)
    moss.ok("pause", "quiet")
    size = len(moss.ok("cp", "quiet:/ticks", "-"))
    time.sleep(0.3)
    assert len(moss.ok("cp", "quiet:/ticks", "-")) == size
    moss.ok("unpause", "quiet")


def test_what_a_paused_container_refuses(moss, counter):
    moss.ok("pause", counter)
    for command, words in (
            (["pause", counter], "is already paused"),
            (["exec", counter, "true"],
             "is paused, unpause the container before exec"),
            (["attach", counter],
             "You cannot attach to a paused container, unpause it first"),
            (["start", counter],
             "cannot start a paused container, try unpause instead"),
            (["rm", counter],
             "container is paused and must be unpaused first")):
        result = moss(*command)
        assert result.code == 1 and words in result.err, command
    assert stands_still(moss, counter)


def test_unpause_needs_a_pause(moss, counter):
    result = moss("unpause", counter)
    assert result.code == 1 and "is not paused" in result.err
    moss.ok("stop", "-t", "0", counter)
    result = moss("unpause", counter)
    assert result.code == 1 and "is not paused" in result.err
    result = moss("pause", counter)
    assert result.code == 1 and "is not running" in result.err


def test_others_are_still_paused_when_one_cannot_be(moss, counter):
    result = moss("pause", "nosuch", counter)
    assert result.code == 1 and result.out == f"{counter}\n"
    assert "No such container: nosuch" in result.err
    assert moss.inspect(counter)["State"]["Paused"]


def test_stop_of_a_paused_container(moss, counter):
    moss.ok("pause", counter)
    begin = time.monotonic()
    moss.ok("stop", counter)
    # It was heard, not killed after ten seconds.
    assert time.monotonic() - begin < 8
    assert moss.inspect(counter)["State"]["ExitCode"] == 4
    assert moss.ok("logs", counter).endswith("bye")
    # The next run knows nothing of the pause.
    moss.ok("start", counter)
    assert moss.inspect(counter)["State"]["Status"] == "running"
    goes_on(moss, counter)


@pytest.mark.parametrize("command", [["kill"], ["stop", "-t", "0"],
                                     ["rm", "-f"]])
def test_a_paused_container_can_be_killed(moss, counter, command):
    moss.ok("pause", counter)
    assert moss.ok(*command, counter) == counter
    if command[0] == "rm":
        assert moss.ps("-a") == []
    else:
        state = moss.inspect(counter)["State"]
        assert (state["Status"], state["Paused"]) == ("exited", False)
        assert state["ExitCode"] in (4, 137)


def test_other_signals_wait(moss, counter):
    moss.ok("pause", counter)
    moss.ok("kill", "-s", "USR1", counter)
    moss.ok("kill", "-s", "CONT", counter)
    assert stands_still(moss, counter)
    assert moss.inspect(counter)["State"]["Paused"]
    moss.ok("unpause", counter)
    moss.wait_for(lambda: "usr" in moss.ok("logs", counter))


def test_restart_of_a_paused_container(moss, counter):
    moss.ok("pause", counter)
    assert moss.ok("restart", counter) == counter
    assert moss.inspect(counter)["State"]["Status"] == "running"
    goes_on(moss, counter)


def test_a_commit_leaves_it_paused(moss, counter):
    moss.ok("pause", counter)
    moss.ok("commit", counter, "snapshot")
    assert moss.inspect(counter)["State"]["Paused"]
    assert stands_still(moss, counter)
    moss.ok("unpause", counter)
    goes_on(moss, counter)
    moss.ok("rmi", "snapshot")


def test_the_end_of_the_monitor_is_the_end_of_the_pause(moss, counter):
    pid = moss.inspect(counter)["State"]["Pid"]
    moss.ok("pause", counter)
    with open(f"/proc/{pid}/stat") as file:
        monitor = int(file.read().rsplit(")", 1)[1].split()[1])
    os.kill(monitor, signal.SIGKILL)
    moss.wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    state = moss.inspect(counter)["State"]
    assert (state["Status"], state["Paused"], state["ExitCode"]) == (
        "exited", False, 137)
    moss.ok("start", counter)
    goes_on(moss, counter)


def test_a_shell_on_a_terminal_sees_no_pause(moss):
    """The processes in the foreground of a terminal go on as they were."""
    moss.ok("run", "-dt", "--name", "term", "busybox", "sh", "-c", COUNT)
    moss.wait_for(lambda: "2" in moss.ok("logs", "term"))
    moss.ok("pause", "term")
    assert stands_still(moss, "term")
    moss.ok("unpause", "term")
    goes_on(moss, "term")
