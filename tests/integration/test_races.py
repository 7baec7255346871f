"""Several commands on the same containers at once: each succeeds or says in one
line why not, and the containers are whole whatever the order was.

MOSS_RACE_SECONDS (2 in all by default) and MOSS_RACE_SEED change how long and
in which order it is tried."""
import json
import os
import random
import subprocess
import time

import pytest

from conftest import wait_for

SEED = int(os.environ.get("MOSS_RACE_SEED", "1"))
SECONDS = float(os.environ.get("MOSS_RACE_SECONDS", "2"))

SLEEP = ["busybox", "sleep", "1000"]
CREATED = ["create", "--name", "racer", *SLEEP]
RUNNING = ["run", "-d", "--name", "racer", "-p", "127.0.0.1::80", *SLEEP]
TEMPORARY = ["run", "-d", "--rm", "--name", "racer", "-v", "/anonymous", *SLEEP]
PAIRS = {
    "start rm": (CREATED, ["start", "racer"], ["rm", "racer"]),
    "start start": (CREATED, ["start", "racer"], ["start", "racer"]),
    "start rm -f": (CREATED, ["start", "racer"], ["rm", "-f", "racer"]),
    "start rename": (CREATED, ["start", "racer"], ["rename", "racer", "other"]),
    "stop restart": (RUNNING, ["stop", "-t0", "racer"],
                     ["restart", "-t0", "racer"]),
    "restart restart": (RUNNING, ["restart", "-t0", "racer"],
                        ["restart", "-t0", "racer"]),
    "restart rm -f": (RUNNING, ["restart", "-t0", "racer"],
                      ["rm", "-f", "racer"]),
    "kill start": (RUNNING, ["kill", "racer"], ["start", "racer"]),
    "rm exec": (RUNNING, ["rm", "-f", "racer"], ["exec", "racer", "true"]),
    "rm rm": (RUNNING, ["rm", "-f", "racer"], ["rm", "-f", "racer"]),
    "rename rename": (CREATED, ["rename", "racer", "other"],
                      ["rename", "racer", "third"]),
    "pause kill": (RUNNING, ["pause", "racer"], ["kill", "racer"]),
    "pause unpause": (RUNNING, ["pause", "racer"], ["unpause", "racer"]),
    "pause stop": (RUNNING, ["pause", "racer"], ["stop", "-t0", "racer"]),
    "update stop": (RUNNING, ["update", "--restart", "always", "racer"],
                    ["stop", "-t0", "racer"]),
    "update rename": (CREATED, ["update", "--restart", "always", "racer"],
                      ["rename", "racer", "other"]),
    "cp rm": (RUNNING, ["cp", "racer:/bin", "-"], ["rm", "-f", "racer"]),
    "commit rm": (RUNNING, ["commit", "racer", "raced"],
                  ["rm", "-f", "racer"]),
    "--rm stop rm": (TEMPORARY, ["stop", "-t0", "racer"],
                     ["rm", "-f", "racer"]),
    "--rm restart kill": (TEMPORARY, ["restart", "-t0", "racer"],
                          ["kill", "racer"]),
    "prune start": (CREATED, ["container", "prune", "-f"],
                    ["start", "racer"]),
    "system prune create": (["create", "--name", "old", *SLEEP],
                            ["system", "prune", "-f", "--volumes"],
                            [*CREATED[:3], "-v", "/anonymous", *SLEEP]),
}


@pytest.fixture(autouse=True)
def nothing_left(house):
    yield
    house.run("rmi", "-f", "raced")
    house.reset(house.baseline)


def start_all(house, commands):
    return [house.start(*args, stderr=subprocess.PIPE, text=True)
            for args in commands]


def finish_all(house, processes):
    """Exit codes; who fails does so in one line."""
    codes = []
    for process in processes:
        err = process.stderr.read()
        process.stderr.close()
        codes.append(house.end(process))
        lines = [line for line in err.splitlines()
                 if not line.startswith("WARNING")]
        assert codes[-1] >= 0 and len(lines) <= 2, (process.args, codes, err)
        # A program that was killed with its container says nothing.
        assert codes[-1] in (0, 137) or len(lines) >= 1, (process.args, codes)
        for internal in (".json", "errno", "lock "):
            assert internal not in err, (process.args, err)
    return codes


@pytest.mark.parametrize("pair", PAIRS)
def test_pair(house, pair):
    before, first, second = PAIRS[pair]
    rng = random.Random(f"{SEED} {pair}")
    deadline = time.monotonic() + SECONDS / (len(PAIRS) + 3)
    rounds = 0
    while rounds < 1 or time.monotonic() < deadline:
        rounds += 1
        house.ok(*before)
        order = [first, second]
        rng.shuffle(order)
        pause = rng.uniform(0, 0.02)
        print(f"seed {SEED}, round {rounds}: {order[0]}, {pause * 1000:.2f} ms,"
              f" {order[1]}")
        one = start_all(house, order[:1])
        time.sleep(pause)
        codes = finish_all(house, one + start_all(house, order[1:]))
        assert 0 in codes, codes
        house.assert_sound()
        house.run("rmi", "-f", "raced")
        ids = house.ok("ps", "-aq").split()
        if ids:
            house.ok("rm", "-fv", *ids)


def test_one_of_many_gets_the_name(house):
    codes = finish_all(house, start_all(house, [CREATED] * 50))
    assert sorted(codes) == [0] + [1] * 49
    assert list(house.names()) == ["racer"]
    house.assert_sound()


def test_ports_are_bound_once(house, free_port):
    port = free_port()
    runs = [["run", "-d", "-p", f"127.0.0.1:{port}:80", *SLEEP]] * 6
    codes = finish_all(house, start_all(house, runs))
    assert sorted(codes) == [0] + [125] * 5, codes
    house.assert_sound()


COMMANDS = [["start"], ["stop", "-t0"], ["restart", "-t0"], ["kill"], ["rm"],
            ["rm", "-f"], ["pause"], ["unpause"], ["exec"], ["rename"],
            ["update", "--restart", "always"], ["inspect"], ["logs"], ["top"],
            ["create"], ["run"], ["run", "--rm"], ["ps", "-a"],
            ["container", "prune", "-f"], ["system", "check", "-q"]]


def storm(rng):
    """A command on one of three names."""
    args = list(rng.choice(COMMANDS))
    name = rng.choice(["aa", "bb", "cc"])
    if args[0] in ("create", "run"):
        if args[0] == "run":
            args.append("-d")
        return [*args, "--name", name, *SLEEP]
    if args[0] == "exec":
        return [*args, name, "true"]
    if args[0] == "rename":
        return [*args, name, rng.choice(["aa", "bb", "cc"])]
    return args if args[0] in ("ps", "container", "system") else [*args, name]


def test_storm(house):
    """Eight at a time, on three names."""
    rng = random.Random(SEED)
    deadline = time.monotonic() + SECONDS / 4
    running = []
    count = 0
    print(f"seed {SEED}")
    while running or time.monotonic() < deadline:
        if len(running) < 8 and time.monotonic() < deadline:
            running += start_all(house, [storm(rng)])
        for process in [p for p in running if p.poll() is not None]:
            running.remove(process)
            finish_all(house, [process])
            count += 1
        if len(running) == 8:
            time.sleep(0.002)
            house.reap()
        hung = [p.args for p in running
                if time.monotonic() > deadline + 30]
        assert not hung, hung
    print(f"{count} commands")
    house.assert_sound()
    ids = [json.loads(line)["ID"] for line in house.ok(
        "ps", "-a", "--format", "{{json .}}").splitlines()]
    if ids:
        house.ok("rm", "-f", *ids)
    wait_for(lambda: not house.leftovers(), "the end of processes")
