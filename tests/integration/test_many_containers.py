"""Many containers: commands over all of them hold with few descriptors, and
nothing of what the kernel counts for a user runs out.

MOSS_MANY (24 by default) is how many are made, a tenth of them is started, at
least 8; 1000 is what to try by hand. It prints how long all took."""
import json
import os
import resource
import subprocess
import time

import pytest

MANY = int(os.environ.get("MOSS_MANY", "24"))
STARTED = max(8, MANY // 10)
DESCRIPTORS = 256
SECONDS = 60 + MANY


@pytest.fixture(scope="module", autouse=True)
def nothing_left(house):
    yield
    house.reset(house.baseline)


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def timed(house, *args):
    """The lines of a command that has few descriptors."""
    begin = time.monotonic()
    process = house.start(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, preexec_fn=few_descriptors)
    out, err = process.communicate(timeout=SECONDS)
    assert house.end(process) == 0 and err == "", (args, err)
    print(f"{' '.join(args)[:50]}: {time.monotonic() - begin:.3f} s")
    return out.splitlines()


def test_many(house):
    begin = time.monotonic()
    ids = [house.ok("create", "--name", f"many{i}", "busybox", "sleep", "1000")
           for i in range(MANY)]
    print(f"{MANY} created: {time.monotonic() - begin:.3f} s")
    short = [id[:12] for id in ids]
    assert sorted(timed(house, "ps", "-aq")) == sorted(short)
    assert [c["Id"] for c in json.loads("\n".join(
        timed(house, "inspect", *short)))] == ids
    assert len(timed(house, "ps", "-a", "-s")) == MANY + 1
    assert timed(house, "ps", "-aq", "--filter", "status=running") == []
    timed(house, "system", "df", "-v")
    timed(house, "system", "check", "-q")

    some = short[:STARTED]
    for command in (["start"], ["restart", "-t0"], ["stop", "-t0"], ["start"]):
        assert sorted(timed(house, *command, *some)) == sorted(some)
        running = [] if command[0] == "stop" else some
        assert sorted(timed(house, "ps", "-q")) == sorted(running)
    assert len(timed(house, "stats", "--no-stream")) == STARTED + 1
    house.assert_true()
    assert timed(house, "kill", *some) == some
    house.assert_true()
    assert sorted(timed(house, "rm", *short)) == sorted(short)
    assert timed(house, "ps", "-aq") == []
    assert not house.names() and not house.leftovers()
