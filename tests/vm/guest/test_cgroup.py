"""Limits in a login session: each one holds, and nothing is left behind.

The guest's systemd delegates cpu, memory and pids to users' service managers,
as Debian has it; the tests at the end have it delegate everything.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from integration import Moss, wait_for

MOUNT = pathlib.Path("/sys/fs/cgroup")
UID = os.getuid()
MANAGER = MOUNT / f"user.slice/user-{UID}.slice/user@{UID}.service"
UNIT = MANAGER / "app.slice/moss-containers.service"
DROP_IN = "/etc/systemd/system/user@.service.d/delegate.conf"
HOG = ["tail", "/dev/zero"]


def sudo(script):
    subprocess.run(["sudo", "sh", "-ec", script], check=True)


def state(moss, name):
    container = moss.ok("inspect", "-f", "{{.Id}}", name)
    path = moss.root / "containers" / container / "state.json"
    return json.loads(path.read_text())


def leaf(moss, name):
    """The directory of a running container's cgroup."""
    path = pathlib.Path(state(moss, name)["Cgroup"])
    assert path.name == moss.ok("inspect", "-f", "{{.Id}}", name)
    return path


def leaves():
    """Of all containers, wherever they are."""
    return [path for path in MANAGER.rglob("*")
            if re.fullmatch("[0-9a-f]{64}", path.name) and path.is_dir()]


def lines(path):
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


def run(moss, *args, check=0):
    return moss("run", "--rm", "--network", "none", *args, check=check).out


def start(moss, *args):
    """A detached container with the options and the command in args."""
    moss.ok("run", "-d", "--network", "none", *args)


@pytest.fixture(autouse=True)
def nothing_is_left(moss):
    yield
    moss.remove_all()
    assert leaves() == []


@pytest.fixture
def no_helper(moss, build, tmp_path):
    """A moss that cannot ask systemd."""
    for program in build.glob("moss*"):
        if program.name != "moss-systemd":
            (tmp_path / program.name).symlink_to(program)
    return moss.with_env(MOSS_LIBEXEC=str(tmp_path))


# ---- what a container sees ----

def test_the_container_sees_its_own_limits(moss):
    out = run(moss, "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5",
              "busybox", "sh", "-c",
              "cat /proc/self/cgroup; cd /sys/fs/cgroup; "
              "cat memory.max memory.swap.max pids.max cpu.max; "
              "echo max >memory.max || echo refused")
    assert out.split("\n") == ["0::/", "67108864", "67108864", "50",
                               "50000 100000", "refused", ""]


def test_the_hosts_cgroup_namespace(moss):
    out = run(moss, "--memory", "64m", "--cgroupns", "host", "busybox", "cat",
              "/proc/self/cgroup")
    assert re.fullmatch(r"0::/user\.slice/.*/moss-containers\.service/"
                        r"[0-9a-f]{64}\n", out)


def test_no_limit_is_raised_from_inside(moss):
    """With all capabilities in it, and the cgroup mounted for writing."""
    result = moss("run", "--rm", "--network", "none", "--privileged",
                  "--memory", "64m", "busybox", "sh", "-c",
                  "echo max >/sys/fs/cgroup/memory.max; "
                  "cat /sys/fs/cgroup/memory.max")
    assert result.out == "67108864\n"
    assert "Operation not permitted" in result.err


def test_without_a_limit_there_is_no_cgroup(moss):
    start(moss, "--name", "plain", "busybox", "sleep", "1000")
    assert not state(moss, "plain").get("Cgroup")
    pid = moss.inspect("plain")["State"]["Pid"]
    assert pathlib.Path(f"/proc/{pid}/cgroup").read_text() == \
        pathlib.Path("/proc/self/cgroup").read_text()


def test_the_monitor_is_not_limited(moss):
    start(moss, "--name", "limited", "--memory", "64m", "busybox", "sleep",
          "1000")
    cgroup = leaf(moss, "limited")
    current = state(moss, "limited")
    assert cgroup.parent == UNIT
    assert (cgroup / "cgroup.procs").read_text().split() == [str(current["Pid"])]
    monitors = (UNIT / "monitors/cgroup.procs").read_text().split()
    assert str(current["MonitorPid"]) in monitors


# ---- each limit holds ----

def test_a_memory_hog_is_killed(moss):
    assert moss("run", "--network", "none", "--name", "hog", "--memory", "32m",
                "busybox", *HOG).code == 137
    ended = moss.inspect("hog")["State"]
    assert (ended["OOMKilled"], ended["ExitCode"]) == (True, 137)
    events = moss.ok("events", "--since", "10m", "--until", "0s", "--filter",
                     "container=hog", "--format", "{{.Action}}").split("\n")
    assert events.index("oom") < events.index("die")
    # Every run is a new one.
    moss("start", "-a", "hog")
    assert moss.inspect("hog")["State"]["OOMKilled"] is True


def test_one_of_its_processes_is_killed(moss):
    out = moss.ok("run", "--network", "none", "--name", "some", "--memory",
                  "32m", "busybox", "sh", "-c", "tail /dev/zero; echo $?")
    assert out == "137"
    assert moss.inspect("some")["State"]["OOMKilled"] is True
    # The service manager did not take it for the end of all.
    assert subprocess.run(["systemctl", "--user", "is-active", "-q",
                           UNIT.name]).returncode == 0


def test_it_is_not_oom_without_one(moss):
    moss("run", "--network", "none", "--name", "killed", "--memory", "64m",
         "busybox", "sh", "-c", "kill -9 $$; sleep 1", check=None)
    assert moss.inspect("killed")["State"]["OOMKilled"] is False


def test_cpu_time_is_as_given(moss):
    start(moss, "--name", "busy", "--cpus", "0.2", "busybox", "sh", "-c",
          "while :; do :; done")
    stat = leaf(moss, "busy") / "cpu.stat"
    time.sleep(0.5)
    before, began = lines(stat), time.monotonic()
    time.sleep(3)
    after, ended = lines(stat), time.monotonic()
    used = int(after["usage_usec"]) - int(before["usage_usec"])
    share = used / 1e6 / (ended - began)
    assert 0.1 < share < 0.3
    assert int(after["nr_throttled"]) > int(before["nr_throttled"])


def test_processes_are_counted(moss):
    start(moss, "--name", "ten", "--pids-limit", "10", "busybox", "sleep",
          "1000")
    current = leaf(moss, "ten") / "pids.current"
    # What starts a program is one of them for a moment.
    while moss("exec", "-d", "ten", "sleep", "1000").code == 0:
        assert int(current.read_text()) <= 10
    assert 8 <= int(current.read_text()) <= 10


def test_a_fork_bomb_is_bounded_and_ended(moss):
    start(moss, "--name", "bomb", "--pids-limit", "40", "busybox", "sh", "-c",
          "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000")
    cgroup = leaf(moss, "bomb")
    wait_for(lambda: int(lines(cgroup / "pids.events")["max"]) > 0,
             "a refused fork", 60)
    for _ in range(20):
        assert int((cgroup / "pids.current").read_text()) <= 40
    moss.ok("pause", "bomb")
    moss.ok("unpause", "bomb")
    moss.ok("rm", "-f", "bomb")
    assert not cgroup.exists()


def test_weights_and_soft_limits_are_written(moss):
    start(moss, "--name", "soft", "-c", "512", "--memory", "64m",
          "--memory-swap", "96m", "--memory-reservation", "32m",
          "--cpu-period", "50000", "--cpu-quota", "25000", "busybox", "sleep",
          "1000")
    cgroup = leaf(moss, "soft")
    assert (cgroup / "cpu.weight").read_text() == "59\n"
    assert (cgroup / "cpu.max").read_text() == "25000 50000\n"
    assert (cgroup / "memory.swap.max").read_text() == "33554432\n"
    assert (cgroup / "memory.low").read_text() == "33554432\n"
    host = moss.inspect("soft")["HostConfig"]
    assert [host[name] for name in (
        "CpuShares", "Memory", "MemorySwap", "MemoryReservation", "CpuPeriod",
        "CpuQuota")] == [512, 64 << 20, 96 << 20, 32 << 20, 50000, 25000]


def test_swap_is_twice_the_memory_by_default(moss):
    moss.ok("create", "--name", "twice", "--memory", "64m", "busybox", "true")
    assert moss.inspect("twice")["HostConfig"]["MemorySwap"] == 128 << 20


def test_what_is_not_delegated_is_named(moss):
    for option, value, controller in (("--cpuset-cpus", "0", "cpuset"),
                                      ("--blkio-weight", "100", "io")):
        result = moss("run", "--rm", option, value, "--memory", "64m",
                      "busybox", "true")
        assert result.code == 125
        assert f"cannot set {option}: no cgroup with the controller " \
            f"{controller} is delegated to you" in result.err
        assert DROP_IN in result.err
    info = json.loads(moss.ok("info", "-f", "json"))
    assert (info["CgroupDriver"], info["CgroupVersion"]) == ("systemd", "2")
    assert (info["MemoryLimit"], info["CPUSet"]) == (True, False)
    assert "WARNING: No cpuset support" in info["Warnings"]


def test_docker_discards_these(moss):
    result = moss("run", "--rm", "--network", "none", "--memory", "64m",
                  "--memory-swappiness", "10", "--oom-kill-disable",
                  "--kernel-memory", "50m", "busybox", "true", check=0)
    for words in ("swappiness discarded", "OomKillDisable discarded",
                  "kernel memory limit"):
        assert words in result.err


# ---- its life ----

def test_programs_of_exec_are_in_it(moss):
    start(moss, "--name", "host", "--memory", "64m", "busybox", "sleep", "1000")
    moss.ok("exec", "-d", "host", "sleep", "2000")
    cgroup = leaf(moss, "host")
    wait_for(lambda: len((cgroup / "cgroup.procs").read_text().split()) == 2)
    assert moss.ok("exec", "host", "cat", "/proc/self/cgroup") == "0::/"


def test_pause_freezes_it(moss):
    start(moss, "--name", "still", "--memory", "64m", "busybox", "sh", "-c",
          "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    cgroup = leaf(moss, "still")
    moss.ok("pause", "still")
    assert (cgroup / "cgroup.freeze").read_text() == "1\n"
    assert lines(cgroup / "cgroup.events")["frozen"] == "1"
    count = moss.ok("logs", "still")
    time.sleep(0.5)
    assert moss.ok("logs", "still") == count
    assert moss.inspect("still")["State"]["Status"] == "paused"
    moss.ok("unpause", "still")
    assert (cgroup / "cgroup.freeze").read_text() == "0\n"
    wait_for(lambda: moss.ok("logs", "still") != count)
    moss.ok("pause", "still")
    moss.ok("rm", "-f", "still")
    assert not cgroup.exists()


def test_stats_are_the_cgroups(moss):
    start(moss, "--name", "used", "--memory", "64m", "--pids-limit", "20",
          "--tmpfs", "/t", "busybox", "sh", "-c",
          "dd if=/dev/zero of=/t/f bs=1M count=20; sleep 1000")
    stat = leaf(moss, "used") / "memory.stat"
    wait_for(lambda: lines(stat)["shmem"] == "20971520", "its file", 30)
    row = json.loads(moss.ok("stats", "--no-stream", "--format", "json",
                             "used"))
    usage, limit = row["MemUsage"].split(" / ")
    assert limit == "64MiB"
    assert 20 <= float(usage.removesuffix("MiB")) < 30
    assert row["PIDs"] == "1"


def test_it_is_new_for_every_run(moss):
    start(moss, "--name", "again", "--restart", "always", "--memory", "64m",
          "busybox", "sleep", "1000")
    cgroup = leaf(moss, "again")
    inode = cgroup.stat().st_ino
    os.kill(state(moss, "again")["Pid"], signal.SIGKILL)
    wait_for(lambda: state(moss, "again")["RestartCount"] == 1 and
             state(moss, "again")["Status"] == "running")
    assert leaf(moss, "again") == cgroup
    assert cgroup.stat().st_ino != inode
    assert (cgroup / "memory.max").read_text() == "67108864\n"
    moss.ok("stop", "-t", "0", "again")
    assert not cgroup.exists()


def test_a_killed_monitor_leaves_none(moss):
    for options in ([], ["--rm"], ["--pid", "host"]):
        start(moss, "--name", "lost", *options, "--memory", "64m", "busybox",
              "sh", "-c", "sleep 2000 & sleep 1000")
        cgroup = leaf(moss, "lost")
        pids = (cgroup / "cgroup.procs").read_text().split()
        os.kill(state(moss, "lost")["MonitorPid"], signal.SIGKILL)
        moss.ok("ps", "-a")
        assert not cgroup.exists()
        for pid in pids:
            wait_for(lambda: not pathlib.Path("/proc", pid).exists())
        moss("rm", "lost")


def test_update_holds_at_once(moss):
    start(moss, "--name", "more", "--restart", "always", "--memory", "64m",
          "busybox", "sleep", "1000")
    cgroup = leaf(moss, "more")
    moss.ok("update", "--memory", "96m", "--memory-swap", "-1", "--cpus", "0.5",
            "--pids-limit", "20", "more")
    files = ["memory.max", "memory.swap.max", "cpu.max", "pids.max"]
    wanted = ["100663296\n", "max\n", "50000 100000\n", "20\n"]
    assert [(cgroup / name).read_text() for name in files] == wanted
    host = moss.inspect("more")["HostConfig"]
    assert [host[name] for name in ("Memory", "MemorySwap", "NanoCpus",
                                    "PidsLimit")] == \
        [96 << 20, -1, 500000000, 20]
    # By its restart policy, and by hand.
    os.kill(state(moss, "more")["Pid"], signal.SIGKILL)
    wait_for(lambda: state(moss, "more")["RestartCount"] == 1 and
             state(moss, "more")["Status"] == "running")
    assert [(cgroup / name).read_text() for name in files] == wanted
    moss.ok("restart", "-t", "0", "more")
    assert [(cgroup / name).read_text() for name in files] == wanted
    moss.ok("update", "--pids-limit", "-1", "more")
    assert (cgroup / "pids.max").read_text() == "max\n"


@pytest.mark.parametrize("options, words", [
    (["--memory", "200m"], "update the memoryswap at the same time"),
    (["--cpu-quota", "5000"], "NanoCPUs has already been set"),
    (["--memory", "1m"], "Minimum memory limit allowed is 6MB"),
])
def test_updates_that_docker_refuses(moss, options, words):
    moss.ok("create", "--name", "given", "--memory", "64m", "--cpus", "0.5",
            "busybox", "true")
    result = moss("update", *options, "given")
    assert result.code == 1 and words in result.err


def test_update_of_one_without_a_cgroup(moss):
    start(moss, "--name", "free", "busybox", "sleep", "1000")
    result = moss("update", "--pids-limit", "10", "free")
    assert result.code == 1
    assert "started without limits" in result.err
    moss.ok("stop", "-t", "0", "free")
    moss.ok("update", "--pids-limit", "10", "free")
    moss.ok("start", "free")
    assert (leaf(moss, "free") / "pids.max").read_text() == "10\n"


# ---- where ----

def test_from_a_service_nobody_is_asked(moss, no_helper):
    run(moss, "--memory", "64m", "busybox", "true")  # makes the unit
    command = [moss.program, "run", "--rm", "--network", "none", "--memory",
               "64m", "busybox", "cat", "/sys/fs/cgroup/memory.max"]
    env = [f"--setenv={name}={no_helper.env[name]}" for name in
           ("MOSS_ROOT", "MOSS_RUN", "MOSS_LIBEXEC")]
    result = subprocess.run(["systemd-run", "--user", "-q", "--wait", "--pipe",
                             *env, *command], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (result.returncode, result.stdout) == (0, "67108864\n"), result
    # From the login it does not go without.
    result = no_helper("run", "--rm", "--memory", "64m", "busybox", "true")
    assert result.code == 125 and "moss-systemd" in result.err
    assert "build moss with libsystemd" in result.err


def test_a_cgroup_given_by_hand(moss, no_helper):
    top = MOUNT / "moss-by-hand"
    sudo(f"""mkdir -p {top}/shell
        echo '+memory +pids +cpu +cpuset' >{MOUNT}/cgroup.subtree_control
        chown -R {UID} {top}""")
    script = ("sudo sh -c \"echo $$ >%s/shell/cgroup.procs\" && "
              "exec \"$@\"" % top)
    env = dict(no_helper.env)
    try:
        out = subprocess.run(
            ["sh", "-ec", script, "sh", moss.program, "run", "-d", "--network",
             "none", "--name", "hand", "--memory", "64m", "--cpuset-cpus", "1",
             "busybox", "sleep", "1000"], env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert out.returncode == 0, out
        cgroup = leaf(moss, "hand")
        assert cgroup.parent == top
        assert moss.ok("exec", "hand", "cat", "/sys/fs/cgroup/memory.max",
                       "/sys/fs/cgroup/cpuset.cpus") == "67108864\n1"
        info = subprocess.run(
            ["sh", "-ec", script, "sh", moss.program, "info", "-f",
             "{{.CgroupDriver}}"], env=env, text=True, stdout=subprocess.PIPE)
        assert info.stdout == "cgroupfs\n"
        moss.ok("rm", "-f", "hand")
        assert not cgroup.exists()
    finally:
        moss.remove_all()
        wait_for(lambda: not (top / "shell/cgroup.procs").read_text())
        sudo(f"rmdir {top}/shell {top}")


def test_a_parent_slice(moss):
    start(moss, "--name", "job", "--cgroup-parent", "jobs.slice", "--memory",
          "64m", "busybox", "sleep", "1000")
    assert leaf(moss, "job").parent == \
        MANAGER / "jobs.slice/moss-containers-jobs.service"
    start(moss, "--name", "other", "--cgroup-parent", "jobs.slice", "busybox",
          "sleep", "1000")
    assert leaf(moss, "other").parent == leaf(moss, "job").parent
    result = moss("run", "--rm", "--cgroup-parent", "/jobs", "busybox", "true")
    assert result.code == 125
    assert 'should be a valid slice named as "xxx.slice"' in result.err


def test_the_unit_can_be_stopped(moss):
    start(moss, "--name", "ended", "--memory", "64m", "busybox", "sh", "-c",
          "trap 'exit 5' TERM; sleep 1000 & wait")
    subprocess.run(["systemctl", "--user", "stop", UNIT.name], check=True)
    wait_for(lambda: moss.inspect("ended")["State"]["Status"] == "exited")
    assert moss.inspect("ended")["State"]["ExitCode"] == 5
    assert run(moss, "--memory", "64m", "busybox", "echo", "on") == "on\n"


def test_a_reset_ends_the_idle_unit(moss, busybox_tar, tmp_path):
    """And not one in which there are containers of another store."""
    (tmp_path / "run").mkdir(0o700)
    other = Moss(moss.program, tmp_path / "data", tmp_path / "run")
    start(moss, "--name", "kept", "--memory", "64m", "busybox", "sleep", "1000")
    for _ in range(2):
        other.ok("import", busybox_tar, "busybox")
        run(other, "--memory", "64m", "busybox", "true")
        assert UNIT.exists()
        other.ok("system", "reset", "-f")
        if moss("ps", "-q").out:
            assert moss.ok("exec", "kept", "echo", "here") == "here"
            moss.ok("rm", "-f", "kept")
    wait_for(lambda: not UNIT.exists(), "the end of the unit")
    assert run(moss, "--memory", "64m", "busybox", "echo", "on") == "on\n"


# ---- everything delegated ----

@pytest.fixture(scope="module")
def everything(session_moss):
    """As after a new login, which would end this one."""
    session_moss.remove_all()
    sudo(f"""mkdir -p {os.path.dirname(DROP_IN)}
        printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' >{DROP_IN}
        systemctl daemon-reload
        systemctl set-property --runtime user@{UID}.service TasksMax=infinity
        """)
    for arguments in (["stop", UNIT.name], ["daemon-reexec"]):
        subprocess.run(["systemctl", "--user", *arguments], check=True)
    assert "io" in (MANAGER / "cgroup.controllers").read_text().split()


def test_cpus_are_as_given(moss, everything):
    out = run(moss, "--cpuset-cpus", "1", "--cpuset-mems", "0", "busybox",
              "grep", "_allowed_list", "/proc/self/status")
    assert re.findall(r"\d+$", out, re.M) == ["1", "0"]


def test_io_is_as_given(moss, everything):
    device = subprocess.run(["findmnt", "-no", "SOURCE", "/"], check=True,
                            text=True, stdout=subprocess.PIPE).stdout.strip()
    start(moss, "--name", "disk", "--device-write-bps", f"{device}:1mb",
          "--device-read-iops", f"{device}:100", "busybox", "sleep", "1000")
    cgroup = leaf(moss, "disk")
    limits = (cgroup / "io.max").read_text()
    assert "rbps=max wbps=1048576 riops=100 wiops=max" in limits
    began = time.monotonic()
    moss.ok("exec", "disk", "dd", "if=/dev/zero", "of=/f", "bs=1M", "count=4",
            "conv=fsync")
    assert time.monotonic() - began > 2
    assert moss.inspect("disk")["HostConfig"]["BlkioDeviceWriteBps"] == \
        [{"Path": device, "Rate": 1048576}]
    result = moss("run", "--rm", "--device-read-bps", "/dev/null:1mb",
                  "busybox", "true")
    assert result.code == 125 and "no block device" in result.err


def test_io_weight(moss, everything):
    """Where the kernel has weights, as with BFQ; otherwise it is told."""
    result = moss("run", "--rm", "--network", "none", "--blkio-weight", "500",
                  "busybox", "sh", "-c",
                  "cat /sys/fs/cgroup/io.weight /sys/fs/cgroup/io.bfq.weight")
    if result.code == 125:
        assert "no block IO weights" in result.err
    else:
        assert "default 4950" in result.out or "default 500" in result.out
