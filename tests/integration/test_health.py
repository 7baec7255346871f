"""Health checks: the monitor's probes, inspect, ps."""
import json
import os
import time

import pytest

FAST = ("--health-interval", "50ms", "--health-start-interval", "50ms")


def health(moss, name):
    return moss.inspect(name)["State"].get("Health")


def status(moss, name):
    return health(moss, name)["Status"]


def run(moss, name, command, *options, program=("sleep", "1000")):
    moss.ok("run", "-d", "--name", name, "--health-cmd", command, *FAST,
            *options, "busybox", *program)


def wait_status(moss, name, wanted):
    moss.wait_for(lambda: status(moss, name) == wanted, f"{name} {wanted}")


def test_healthy(moss):
    run(moss, "fine", "echo all is well")
    wait_status(moss, "fine", "healthy")
    state = health(moss, "fine")
    assert state["FailingStreak"] == 0
    entry = state["Log"][0]
    assert entry["ExitCode"] == 0 and entry["Output"] == "all is well\n"
    assert entry["Start"] < entry["End"]
    (row,) = moss.ps()
    assert row["Status"].endswith("(healthy)")
    assert moss.ok("inspect", "-f", "{{.State.Health.Status}}", "fine") == \
        "healthy"


def test_starting_and_filters(moss):
    moss.ok("run", "-d", "--name", "slow", "--health-cmd", "true", "busybox",
            "sleep", "1000")
    run(moss, "bad", "false", "--health-retries", "1")
    moss.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
    wait_status(moss, "bad", "unhealthy")

    def names(value):
        return [row["Names"] for row in moss.ps("--filter", f"health={value}")]

    assert names("starting") == ["slow"]
    assert names("unhealthy") == ["bad"]
    assert names("healthy") == []
    assert names("none") == ["plain"]
    (row,) = moss.ps("--filter", "name=slow")
    assert row["Status"].endswith("(health: starting)")
    assert health(moss, "slow") == {"Status": "starting", "FailingStreak": 0,
                                    "Log": []}
    assert health(moss, "plain") is None


def test_retries_recovery_and_log_of_five(moss):
    run(moss, "flaky", "echo look; test -e /ok", "--health-retries", "3")
    wait_status(moss, "flaky", "unhealthy")
    state = health(moss, "flaky")
    assert state["FailingStreak"] >= 3
    moss.wait_for(lambda: health(moss, "flaky")["FailingStreak"] > 6)
    log = health(moss, "flaky")["Log"]
    assert len(log) == 5
    assert {entry["ExitCode"] for entry in log} == {1}
    assert [e["Start"] for e in log] == sorted(e["Start"] for e in log)
    moss.ok("exec", "flaky", "touch", "/ok")
    wait_status(moss, "flaky", "healthy")
    assert health(moss, "flaky")["FailingStreak"] == 0
    moss.ok("exec", "flaky", "rm", "/ok")
    wait_status(moss, "flaky", "unhealthy")


def test_start_period_forgives(moss):
    run(moss, "late", "test -e /ok", "--health-start-period", "1h",
        "--health-retries", "1")
    moss.wait_for(lambda: len(health(moss, "late")["Log"]) == 5)
    assert health(moss, "late")["FailingStreak"] == 0
    assert status(moss, "late") == "starting"
    moss.ok("exec", "late", "touch", "/ok")
    wait_status(moss, "late", "healthy")
    # Once it was healthy, the start is over.
    moss.ok("exec", "late", "rm", "/ok")
    wait_status(moss, "late", "unhealthy")


def test_start_interval(moss):
    moss.ok("run", "-d", "--name", "eager", "--health-cmd", "test -e /ok",
            "--health-interval", "1h", "--health-start-period", "1h",
            "--health-start-interval", "50ms", "busybox", "sleep", "1000")
    moss.wait_for(lambda: len(health(moss, "eager")["Log"]) >= 3)
    moss.ok("exec", "eager", "touch", "/ok")
    wait_status(moss, "eager", "healthy")
    before = health(moss, "eager")["Log"]
    time.sleep(0.3)
    assert health(moss, "eager")["Log"] == before


@pytest.mark.parametrize("command", [
    "echo begun; sleep 1000",
    "echo begun; (sleep 1000 &) ; sleep 1000",
    "echo begun; trap '' TERM HUP INT; sleep 1000 | sleep 1000",
])
def test_timeout_kills_all_of_the_probe(moss, command):
    run(moss, "stuck", command, "--health-timeout", "200ms",
        "--health-retries", "1", program=("sleep", "777"))
    wait_status(moss, "stuck", "unhealthy")
    entry = health(moss, "stuck")["Log"][0]
    assert entry["ExitCode"] == -1
    assert entry["Output"] == \
        "Health check exceeded timeout (200ms): begun\n"
    moss.wait_for(lambda: len(health(moss, "stuck")["Log"]) == 5)
    # At most the probe of just now.
    listed = moss.ok("exec", "stuck", "ps", "-o", "args").splitlines()
    assert sum(line == "sleep 1000" for line in listed) <= 2


def test_output_is_bounded(moss):
    run(moss, "noisy", "yes 0123456789 | head -c 1000000; "
        "printf '\\377' >&2; exit 3", "--health-retries", "1")
    wait_status(moss, "noisy", "unhealthy")
    entry = health(moss, "noisy")["Log"][0]
    assert entry["ExitCode"] == 3
    assert len(entry["Output"]) == 4096 + len("...")
    assert entry["Output"].endswith("...")


def test_output_need_not_be_text(moss):
    run(moss, "binary", "printf 'a\\377\\000b'")
    wait_status(moss, "binary", "healthy")
    assert health(moss, "binary")["Log"][0]["Output"] == "a\ufffd\ufffdb"


def test_probe_runs_as_the_container_does(moss):
    run(moss, "who", "id -u; pwd; echo $GREETING", "-u", "web", "-w", "/srv",
        "-e", "GREETING=hello")
    wait_status(moss, "who", "healthy")
    assert health(moss, "who")["Log"][0]["Output"] == "1000\n/srv\nhello\n"


CHECKED = {
    "shell": "HEALTHCHECK --interval=50ms CMD echo by $0",
    "exec": 'HEALTHCHECK --interval=50ms CMD ["echo", "$0"]',
    "missing": 'HEALTHCHECK --interval=50ms --retries=1 CMD ["nosuch"]',
    "none": "HEALTHCHECK NONE",
}


@pytest.fixture(scope="module")
def checked(session_moss, busybox_tar):
    """Images with a HEALTHCHECK of either form."""
    for name, check in CHECKED.items():
        session_moss.ok("import", "-c", check, busybox_tar, f"checked:{name}")
    yield
    session_moss.remove_all()


def test_checks_of_images(moss, checked):
    for tag in CHECKED:
        moss.ok("run", "-d", "--name", tag, f"checked:{tag}", "sleep", "1000")
    wait_status(moss, "shell", "healthy")
    wait_status(moss, "exec", "healthy")
    wait_status(moss, "missing", "unhealthy")
    assert health(moss, "shell")["Log"][0]["Output"].startswith("by ")
    assert health(moss, "exec")["Log"][0]["Output"] == "$0\n"
    entry = health(moss, "missing")["Log"][0]
    assert entry["ExitCode"] == -1 and "nosuch" in entry["Output"]
    assert health(moss, "none") is None


def test_flags_over_the_image(moss, checked):
    moss.ok("run", "-d", "--name", "off", "--no-healthcheck",
            "checked:shell", "sleep", "1000")
    assert health(moss, "off") is None
    moss.ok("run", "-d", "--name", "other", "--health-cmd", "false",
            "--health-retries", "1", "checked:shell", "sleep", "1000")
    wait_status(moss, "other", "unhealthy")
    check = moss.inspect("other")["Config"]["Healthcheck"]
    assert check == {"Test": ["CMD-SHELL", "false"], "Retries": 1,
                     "Interval": 50_000_000}


def test_stop_and_start(moss):
    run(moss, "again", "true")
    wait_status(moss, "again", "healthy")
    moss.ok("stop", "-t", "0", "again")
    state = health(moss, "again")
    assert state["Status"] == "unhealthy" and state["Log"]
    (row,) = moss.ps("-a")
    assert row["Status"].startswith("Exited (137)")
    moss.ok("start", "again")
    wait_status(moss, "again", "healthy")


def test_no_probe_during_a_commit(moss):
    """Held still, it is not probed; then it goes on."""
    run(moss, "still", "date +%s%N >> /probes")
    wait_status(moss, "still", "healthy")
    moss.ok("commit", "still", "committed")
    count = len(moss.ok("exec", "still", "cat", "/probes").splitlines())
    moss.wait_for(lambda: len(moss.ok("exec", "still", "cat", "/probes")
                              .splitlines()) > count + 1)
    moss.ok("rmi", "committed")


@pytest.mark.parametrize("probing", [False, True])
def test_paused(moss, probing):
    """It counts as unhealthy and is not probed, until it goes on."""
    run(moss, "quiet", "test ! -e /slow || sleep 1000; date >> /probes")
    wait_status(moss, "quiet", "healthy")
    if probing:
        moss.ok("exec", "quiet", "touch", "/slow")
        time.sleep(0.2)
    moss.ok("pause", "quiet")
    assert status(moss, "quiet") == "unhealthy"
    (row,) = moss.ps()
    assert row["Status"].endswith("(Paused)")
    log = health(moss, "quiet")["Log"]
    time.sleep(0.3)
    assert health(moss, "quiet")["Log"] == log
    moss.ok("unpause", "quiet")
    moss.ok("exec", "quiet", "rm", "-f", "/slow")
    wait_status(moss, "quiet", "healthy")


def test_monitor_answers_while_a_probe_hangs(moss):
    run(moss, "busy", "sleep 1000")
    time.sleep(0.2)
    begin = time.monotonic()
    assert moss.ok("exec", "busy", "echo", "here") == "here"
    moss.ok("stop", "-t", "0", "busy")
    assert time.monotonic() - begin < 5


def test_lost_monitor(moss):
    run(moss, "lost", "true")
    wait_status(moss, "lost", "healthy")
    directory = moss.root / "containers" / moss.inspect("lost")["Id"]
    pid = json.loads((directory / "state.json").read_text())["MonitorPid"]
    os.kill(pid, 9)
    moss.wait_for(lambda: moss.inspect("lost")["State"]["Status"] == "exited")
    assert status(moss, "lost") == "unhealthy"


@pytest.mark.parametrize("options, words", [
    (["--no-healthcheck", "--health-cmd", "x"], "conflicts with"),
    (["--health-interval", "10us"], "cannot be less than 1ms"),
    (["--health-timeout=-1s"], "cannot be negative"),
    (["--health-retries", "many"], "whole number"),
])
def test_refused(moss, options, words):
    result = moss("run", *options, "busybox", "true")
    assert result.code == 125 and words in result.err
    assert moss.ps("-a") == []
