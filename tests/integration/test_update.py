"""moss update: restart policies of containers that are there, limits refused."""
import pytest


@pytest.fixture
def sleeper(moss):
    moss.ok("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
    return "sleeper"


def policy(moss, name):
    value = moss.inspect(name)["HostConfig"]["RestartPolicy"]
    return value["Name"], value["MaximumRetryCount"]


def test_restart_policy_is_recorded(moss, sleeper):
    assert policy(moss, sleeper) == ("no", 0)
    moss.ok("create", "--name", "other", "busybox", "true")
    assert moss.ok("update", "--restart", "on-failure:3", sleeper,
                   "other") == "sleeper\nother"
    assert policy(moss, sleeper) == policy(moss, "other") == ("on-failure", 3)
    assert moss.ok("container", "update", "--restart", "no", sleeper) == sleeper
    assert policy(moss, sleeper) == ("no", 0)


def test_restart_policy_of_a_running_container_holds(moss):
    moss.ok("run", "-d", "--name", "ender", "busybox", "sh", "-c",
            "echo run; while [ ! -e /end ]; do sleep 0.05; done; rm /end; exit 1")
    moss.ok("update", "--restart", "always", "ender")
    moss.ok("exec", "ender", "touch", "/end")
    moss.wait_for(lambda: moss.ok("logs", "ender") == "run\nrun")
    moss.ok("update", "--restart", "no", "ender")
    moss.wait_for(lambda: moss("exec", "ender", "touch", "/end").code == 0)
    moss.wait_for(
        lambda: moss.inspect("ender")["State"]["Status"] == "exited")
    assert moss.ok("logs", "ender") == "run\nrun"


@pytest.mark.parametrize("option", [
    ["-m", "64m"], ["--memory-swap", "1g"], ["--cpus", "1.5"], ["-c", "5"],
    ["--cpuset-cpus", "0"], ["--pids-limit", "10"], ["--blkio-weight", "50"],
    ["--cpu-quota", "1000"]])
def test_limits_are_refused(moss, sleeper, option):
    result = moss("update", *option, "--restart", "always", sleeper)
    assert result.code == 1 and result.out == ""
    assert "cgroup" in result.err
    assert policy(moss, sleeper) == ("no", 0)


@pytest.mark.parametrize("args, words", [
    (["sleeper"], "You must provide one or more flags"),
    (["--restart", "sometimes", "sleeper"], "invalid restart policy"),
    (["--restart", "always:3", "sleeper"], "a retry count goes with on-failure"),
    (["--restart", "always", "nosuch"], "No such container: nosuch"),
])
def test_wrong_use(moss, sleeper, args, words):
    result = moss("update", *args)
    assert result.code == 1 and words in result.err


def test_no_limit_is_no_limit(moss, sleeper):
    assert moss.ok("update", "--pids-limit", "-1", sleeper) == sleeper


def test_a_rm_container_is_not_restarted(moss):
    moss.ok("run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "1000")
    result = moss("update", "--restart", "always", "brief")
    assert result.code == 1 and "AutoRemove is enabled" in result.err
    moss.ok("update", "--restart", "no", "brief")
