"""Resource limits where no cgroup is delegated: refused, never dropped.

Where one is, tests/vm/guest/test_cgroup.py tries them.
"""
import json
import os

import pytest

LIMITS = [
    (["--memory", "64m"], "memory"),
    (["--memory-reservation", "64m"], "memory"),
    (["--cpus", "0.5"], "cpu"),
    (["-c", "512"], "cpu"),
    (["--cpu-quota", "50000"], "cpu"),
    (["--cpuset-cpus", "0"], "cpuset"),
    (["--pids-limit", "10"], "pids"),
    (["--blkio-weight", "100"], "io"),
    (["--device-read-bps", "/dev/vda:1mb"], "io"),
]


@pytest.fixture
def undelegated(moss):
    """Where users are given cgroups nothing is refused; those of CI are not."""
    if moss.ok("info", "-f", "{{.CgroupDriver}}") != "none":
        assert not os.environ.get("CI")
        pytest.skip("cgroups are delegated here")


@pytest.mark.parametrize("option, controller", LIMITS)
def test_what_is_missing_is_named(moss, undelegated, option, controller):
    result = moss("run", "--rm", *option, "busybox", "true")
    assert result.code == 125 and result.out == ""
    name = {"-c": "--cpu-shares"}.get(option[0], option[0])
    assert f"cannot set {name}: no cgroup with the controller {controller} " \
        "is delegated to you" in result.err
    assert len(result.err.splitlines()) == 2  # what is wrong, and what to do
    assert moss.ok("ps", "-aq") == ""


def test_there_is_a_limit_for_each_user(moss, undelegated):
    result = moss("run", "--rm", "--pids-limit", "10", "busybox", "true")
    assert "--ulimit nproc=10 works without, but counts each user of the " \
        "container apart" in result.err


def test_a_fork_bomb_of_one_user_is_bounded(moss):
    moss.ok("run", "-d", "--name", "bomb", "--network", "none", "--ulimit",
            "nproc=40", "busybox", "sh", "-c",
            "bomb() { bomb | bomb & }; bomb; sleep 1000")
    moss.wait_for(lambda: "can't fork" in moss("logs", "bomb").err,
                  "a refused fork")
    pid = moss.inspect("bomb")["State"]["Pid"]
    for _ in range(10):
        assert len(moss.ok("top", "bomb", "-o", "pid").split()) <= 41
    moss.ok("rm", "-f", "bomb")
    assert not os.path.exists(f"/proc/{pid}")


def test_a_parent_needs_a_cgroup(moss, undelegated):
    result = moss("run", "--rm", "--cgroup-parent", "jobs.slice", "busybox",
                  "true")
    assert result.code == 125 and "cannot set --cgroup-parent" in result.err


@pytest.mark.parametrize("options, words", [
    (["--memory", "1m"], "Minimum memory limit allowed is 6MB"),
    (["--memory", "64m", "--memory-swap", "32m"],
     "Minimum memoryswap limit should be larger than memory limit, see usage"),
    (["--memory-swap", "64m"], "You should always set the Memory limit when "
     "using Memoryswap limit, see usage"),
    (["--memory", "64m", "--memory-reservation", "65m"],
     "Minimum memory limit can not be less than memory reservation limit"),
    (["--memory-swappiness", "101"], "valid memory swappiness range is 0-100"),
    (["--cpus", "1000"], "Range of CPUs is from 0.01 to"),
    (["--cpus", "1", "--cpu-quota", "5000"],
     "Nano CPUs and CPU Quota cannot both be set"),
    (["--cpu-period", "1"], "CPU cfs period can not be less than 1ms"),
    (["--cpu-rt-runtime", "1000"], "CPU real-time scheduler"),
    (["--cpuset-cpus", "999"], "Requested CPUs are not available"),
    (["--cpuset-mems", "x"], "Invalid value x for cpuset mems"),
    (["--blkio-weight", "5"], "Range of blkio weight is from 10 to 1000"),
    (["--cgroupns", "odd"], "invalid cgroup namespace mode: odd"),
])
def test_values_are_checked_first(moss, options, words):
    result = moss("run", "--rm", *options, "busybox", "true")
    assert result.code == 125 and words in result.err


def test_what_no_machine_has_is_discarded_as_by_docker(moss):
    result = moss("run", "--rm", "--memory-swappiness", "10",
                  "--oom-kill-disable", "--kernel-memory", "50m", "busybox",
                  "echo", "on", check=0)
    assert result.out == "on\n"
    for words in ("Memory swappiness discarded", "OomKillDisable discarded",
                  "kernel memory limit capabilities"):
        assert words in result.err


def test_no_limit_is_no_limit(moss):
    moss.ok("run", "--name", "free", "--pids-limit", "-1", "--memory-swap",
            "-1", "--cpus", "0", "busybox", "true")
    host = moss.inspect("free")["HostConfig"]
    assert (host["PidsLimit"], host["MemorySwap"], host["Memory"],
            host["OomKillDisable"]) == (-1, -1, 0, None)


def test_info_tells_what_is_missing(moss, undelegated):
    info = json.loads(moss.ok("info", "-f", "json"))
    assert not (info["MemoryLimit"] or info["CPUSet"] or info["PidsLimit"])
    for words in ("memory limit", "swap limit", "cpu cfs quota", "cpu shares",
                  "cpuset", "pids limit", "io.weight"):
        assert f"WARNING: No {words} support" in info["Warnings"]
