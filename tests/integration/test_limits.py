"""Resource limits where no cgroup is delegated: refused, never dropped, but
for the number of processes, which needs none.

Where one is, tests/vm/guest/test_cgroup.py tries them.
"""
import json
import os

import pytest

from conftest import skip

LIMITS = [
    (["--memory", "64m"], "memory"),
    (["--memory-reservation", "64m"], "memory"),
    (["--cpus", "0.5"], "cpu"),
    (["-c", "512"], "cpu"),
    (["--cpu-quota", "50000"], "cpu"),
    (["--cpuset-cpus", "0"], "cpuset"),
    (["--blkio-weight", "100"], "io"),
    (["--device-read-bps", "/dev/vda:1mb"], "io"),
]


@pytest.fixture
def undelegated(moss):
    """Where users are given cgroups nothing is refused; those of CI are not."""
    if moss.ok("info", "-f", "{{.CgroupDriver}}") != "none":
        skip("cgroups that are nobody's but root's")


@pytest.mark.parametrize("option, controller", LIMITS)
def test_what_is_missing_is_named(moss, undelegated, option, controller):
    result = moss("run", "--rm", *option, "busybox", "true")
    assert result.code == 125 and result.out == ""
    name = {"-c": "--cpu-shares"}.get(option[0], option[0])
    assert f"cannot set {name}: no cgroup with the controller {controller} " \
        "is delegated to you" in result.err
    assert len(result.err.splitlines()) == 2  # what is wrong, and what to do
    assert moss.ok("ps", "-aq") == ""


def test_a_pids_limit_that_needs_a_cgroup(moss, undelegated):
    result = moss("run", "--rm", "--pids-limit", "1", "busybox", "true")
    assert result.code == 125 and "the least without is 2" in result.err
    assert "--ulimit nproc=1 works without, but counts each user of the " \
        "container apart" in result.err
    moss.ok("run", "-d", "--name", "base", "busybox", "sleep", "1000")
    result = moss("run", "--rm", "--pids-limit", "9", "--network",
                  "container:base", "busybox", "true")
    assert result.code == 125 and "joins no other's namespaces" in result.err


# As many children as it may have, as a user in a user namespace of their own.
BOMB = "(n=0; while :; do sleep 1000 & n=$((n + 1)); echo $n; done)"


def most(moss, name):
    return max(map(int, moss("logs", name).out.split()), default=0)


@pytest.mark.parametrize("how", [
    f"{BOMB}; exec sleep 1000",
    f"{BOMB} & su web -c '{BOMB}'; exec sleep 1000",
    f"unshare -U sh -c '{BOMB}'; exec sleep 1000",
    f"ulimit -u 1000; {BOMB}; exec sleep 1000",
], ids=["root", "two-users", "user-namespace", "ulimit"])
def test_a_fork_bomb_is_bounded_without_a_cgroup(moss, undelegated, how):
    """All of the container together, exactly, and nobody else."""
    moss.ok("run", "-d", "--name", "neighbour", "--pids-limit", "40",
            "--network", "none", "busybox", "sleep", "1000")
    moss.ok("run", "-d", "--name", "bomb", "--pids-limit", "20", "--network",
            "none", "--security-opt", "seccomp=unconfined", "busybox", "sh",
            "-c", how)
    moss.wait_for(lambda: "can't fork" in moss("logs", "bomb").err,
                  "a refused fork")
    for _ in range(10):
        assert len(moss.ok("top", "bomb", "-o", "pid").split()) <= 1 + 20
    # Its shells are the rest.
    assert 20 - 6 <= most(moss, "bomb") <= 20 - 2 or "su web" in how
    moss.ok("exec", "neighbour", "sh", "-c",
            "for i in $(seq 30); do sleep 1000 & done")
    moss.ok("run", "--rm", "--network", "none", "busybox", "true")
    moss.ok("rm", "-f", "bomb")


def test_a_pids_limit_without_a_cgroup_to_the_last(moss, undelegated):
    script = "for i in $(seq {}); do sleep 1000 & done; echo all"
    for count, whole in ((9, True), (10, False)):
        result = moss("run", "--rm", "--pids-limit", "10", "--network", "none",
                      "busybox", "sh", "-c", script.format(count))
        assert (result.out == "all\n") == whole, result
    for userns in ("auto", "keep-id", "nomap"):
        assert moss.ok("run", "--rm", "--pids-limit", "10", "--userns", userns,
                       "--network", "none", "busybox", "echo", "on") == "on"
    moss.ok("run", "-d", "--name", "full", "--pids-limit", "10", "--network",
            "none", "busybox", "sh", "-c",
            "for i in $(seq 9); do sleep 1000 & done; exec sleep 1000")
    moss.wait_for(lambda: len(moss.ok("top", "full").splitlines()) == 1 + 10)
    result = moss("exec", "full", "true")
    assert result.code != 0 and "the limit of processes" in result.err
    result = moss("run", "--rm", "--pids-limit", "2", "busybox", "sh", "-c",
                  "cat /etc/hosts | cat")
    assert "can't fork" in result.err


def test_a_pids_limit_is_shown_and_kept(moss, undelegated):
    moss.ok("run", "-d", "--name", "ten", "--pids-limit", "10", "busybox",
            "sleep", "1000")
    result = moss("update", "--pids-limit", "20", "ten")
    assert result.code == 1
    assert "the limit cannot be changed while it runs" in result.err
    assert moss("update", "--pids-limit", "-1", "ten").code == 1
    moss.ok("update", "--pids-limit", "10", "ten")
    moss.ok("update", "--restart", "always", "ten")
    moss.ok("stop", "-t", "0", "ten")
    moss.ok("update", "--pids-limit", "3", "ten")
    moss.ok("start", "ten")
    result = moss("exec", "ten", "sh", "-c", "sleep 9 & sleep 9 & sleep 9")
    assert "can't fork" in result.err


def test_a_fork_bomb_of_one_user_is_bounded(moss):
    moss.ok("run", "-d", "--name", "bomb", "--network", "none", "--ulimit",
            "nproc=40", "busybox", "sh", "-c",
            "bomb() { bomb | bomb & }; bomb; exec sleep 1000")
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
    assert not (info["MemoryLimit"] or info["CPUSet"])
    assert info["PidsLimit"]
    for words in ("memory limit", "swap limit", "cpu cfs quota", "cpu shares",
                  "cpuset", "io.weight"):
        assert f"WARNING: No {words} support" in info["Warnings"]
