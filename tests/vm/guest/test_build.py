"""moss build in a login session: limits that hold for each step, with cgroup v2
and an old kernel below."""
import os
import pathlib
import re

import pytest

MANAGER = pathlib.Path("/sys/fs/cgroup") / \
    f"user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"


def leaves():
    """Of all containers, a build's included."""
    return [path for path in MANAGER.rglob("*")
            if re.fullmatch("[0-9a-f]{64}", path.name) and path.is_dir()]


@pytest.fixture
def builds(moss, tmp_path):
    """Builds a Dockerfile of these lines, plainly told."""
    def run(lines, *args):
        (tmp_path / "Dockerfile").write_text("FROM busybox\n" + lines)
        return moss("build", "--progress", "plain", "--no-cache", *args,
                    tmp_path)
    yield run
    assert leaves() == []
    moss("builder", "prune", "-af")


def test_a_step_has_the_limits(builds):
    result = builds(
        "RUN cd /sys/fs/cgroup && echo $(cat memory.max cpu.max pids.max)\n"
        "RUN test $(cat /sys/fs/cgroup/memory.max) = 67108864\n",
        "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50")
    assert result.code == 0, result
    assert "67108864 50000 100000 50\n" in result.err


def test_a_step_that_takes_too_much_memory(builds):
    """The message names the limit, not the exit code alone."""
    result = builds("RUN echo before\nRUN tail /dev/zero\nRUN echo after\n",
                   "--memory", "16m")
    assert result.code != 0
    assert re.search(r"^#\d+ [\d.]+ before$", result.err, re.M)
    assert not re.search(r"^#\d+ [\d.]+ after$", result.err, re.M)
    assert "exit code: 137" in result.err
    assert "more memory than the step may have, 16 MiB" in result.err


def test_processes_are_counted(builds):
    result = builds("RUN for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait\n",
                   "--pids-limit", "5")
    assert result.code != 0 and "fork" in result.err


def test_copies_and_stages(builds, moss, tmp_path):
    """What this kernel's overlay makes of layers of several stages."""
    (tmp_path / "file").write_text("of the context")
    result = builds(
        "RUN mkdir -p /d/in && touch /d/in/old && chown -R 7:8 /d\n"
        "FROM busybox\nCOPY --from=0 --chown=5:6 /d /d\nCOPY file /d/in/\n"
        "RUN rm /d/in/old && rm -r /home && mkdir /home\n", "-t", "staged")
    assert result.code == 0, result
    assert moss.ok("run", "--rm", "--network", "none", "staged", "sh", "-c",
                   "ls /d/in; stat -c %u:%g /d/in; cat /d/in/file") == \
        "file\n5:6\nof the context"


def test_a_step_reaches_the_network_of_its_own(builds):
    result = builds("RUN ls /sys/class/net && ip route\n")
    assert result.code == 0 and "default via" in result.err
    result = builds("RUN ls /sys/class/net\n", "--network", "none")
    assert result.code == 0 and re.search(r"^#\d+ [\d.]+ lo$", result.err, re.M)
    assert "eth0" not in result.err and "tap" not in result.err
