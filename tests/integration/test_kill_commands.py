"""kill -9 of any process at any moment of any command on containers: what moss
tells stays true, nothing hangs and nothing is left.

MOSS_KILL_SECONDS and MOSS_KILL_SEED change how long and where it is tried: for
so many seconds in all at all commands, by default once or twice at some. The
seed stands in the report of a failure."""
import os
import random
import time

import pytest

SEED = int(os.environ.get("MOSS_KILL_SEED", "1"))
SECONDS = float(os.environ.get("MOSS_KILL_SECONDS", "0"))
SOME = 14

SLEEP = ["busybox", "sleep", "1000"]
CREATED = ["create", "--name", "victim", "-v", "/anonymous", *SLEEP]
RUNNING = ["run", "-d", "--name", "victim", "-v", "/anonymous", *SLEEP]
WRITER = ["run", "-d", "--name", "victim", "busybox", "sh", "-c",
          "i=0; while :; do echo $((i++)); done"]
ENDED = ["run", "--name", "victim", "busybox", "sh", "-c",
         "for i in $(seq 50); do head -c 20000 /dev/zero > /f$i; done"]
DRIVER = "fuse-overlayfs"

# A command, what comes before it, and how long it goes on at most (None: it
# ends by itself).
COMMANDS = {
    "create": ([], ["create", "--name", "victim", "-v", "/anonymous",
                    "-v", "named:/named", *SLEEP], None),
    "run": ([], ["run", "--name", "victim", "busybox", "sh", "-c",
                 "echo x; sleep 0.02"], None),
    "run --rm": ([], ["run", "--rm", "--name", "victim", "-v", "/anonymous",
                      "busybox", "sleep", "0.02"], None),
    "run -d": ([], ["run", "-d", "--name", "victim", "-p", "127.0.0.1::80",
                    *SLEEP], None),
    "run -d fuse": ([], ["run", "-d", "--name", "victim", "--storage-driver",
                         DRIVER, *SLEEP], None),
    "run -d --restart": ([], ["run", "-d", "--name", "victim", "--restart",
                              "always", "busybox", "true"], None),
    "start": ([CREATED], ["start", "victim"], None),
    "start -a": ([ENDED], ["start", "-a", "victim"], None),
    "stop": ([RUNNING], ["stop", "-t", "0", "victim"], None),
    "restart": ([RUNNING], ["restart", "-t", "0", "victim"], None),
    "kill": ([RUNNING], ["kill", "victim"], None),
    "rm": ([ENDED], ["rm", "-v", "victim"], None),
    "rm -f": ([RUNNING], ["rm", "-fv", "victim"], None),
    "pause": ([RUNNING], ["pause", "victim"], None),
    "unpause": ([RUNNING, ["pause", "victim"]], ["unpause", "victim"], None),
    "rename": ([RUNNING], ["rename", "victim", "other"], None),
    "update": ([RUNNING], ["update", "--restart", "always", "victim"], None),
    "attach": ([WRITER], ["attach", "victim"], 0.1),
    "exec": ([RUNNING], ["exec", "victim", "sh", "-c", "echo x; sleep 0.02"],
             None),
    "exec -d": ([RUNNING], ["exec", "-d", "victim", "sleep", "1000"], None),
    "logs -f": ([WRITER], ["logs", "-f", "victim"], 0.1),
    "cp to": ([RUNNING], ["cp", "{tree}", "victim:/there"], None),
    "cp to stopped": ([ENDED], ["cp", "{tree}", "victim:/there"], None),
    "cp from": ([RUNNING], ["cp", "victim:/bin", "{out}"], None),
    "commit": ([RUNNING], ["commit", "victim", "committed"], None),
    "export": ([RUNNING], ["export", "victim"], None),
    "volume create": ([], ["volume", "create", "named"], None),
    "volume rm": ([["volume", "create", "named"]], ["volume", "rm", "named"],
                  None),
    "container prune": ([ENDED], ["container", "prune", "-f"], None),
    "volume prune": ([["volume", "create", "named"]],
                     ["volume", "prune", "-af"], None),
    "system prune": ([ENDED], ["system", "prune", "-f"], None),
    "events": ([RUNNING], ["events", "--since", "1h"], 0.05),
    "stats": ([RUNNING], ["stats", "--no-stream"], None),
    "top": ([RUNNING], ["top", "victim"], None),
    "wait": ([RUNNING], ["wait", "victim"], 0.05),
}
KINDS = ["command", "monitor", "init", "net", "image", "pause", "fuse", "all"]


@pytest.fixture(scope="module", autouse=True)
def slowest(house):
    yield
    print(f"slowest answer: {house.slowest * 1000:.0f} ms")


@pytest.fixture
def words(house, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for i in range(100):
        (tree / f"f{i}").write_bytes(b"x" * 5000)
    count = iter(range(10**9))

    def fill(args):
        out = tmp_path / f"out{next(count)}"
        return [word.format(tree=tree, out=out) for word in args]
    yield fill
    house.moss.remove_all()


def begin(house, before, args, limit):
    """The command, after what has to be there; how long it takes if it is let
    be."""
    for each in before:
        house.ok(*each)
    start = time.monotonic()
    process = house.start(*args)
    if limit is None:
        assert house.end(process) == 0
        taken = time.monotonic() - start
    else:
        time.sleep(limit)
        process.kill()
        house.end(process)
        taken = limit
    clean(house)
    return taken


def clean(house):
    house.run("rmi", "-f", "committed")
    house.reset(house.baseline)


def assert_usable(house, rng):
    """Whatever is left of the victim: it starts or goes, and its names are
    free after that."""
    for id, state in house.states().items():
        if rng.random() < 0.5 and not state["Running"]:
            house.ok("start", id)
            house.assert_true()
        house.ok("rm", "-f", id)
    for name in ("victim", "other"):
        assert house.ok("run", "--rm", "--name", name, "busybox", "echo",
                             name) == name


def some(names, seconds, seed, count):
    """All of them for a long run, else always the same few."""
    return names if seconds else random.Random(seed).sample(names, count)


@pytest.mark.parametrize("name", some(list(COMMANDS), SECONDS, SEED, SOME))
def test_killed(house, words, name):
    before, args, limit = COMMANDS[name]
    rng = random.Random(f"{SEED} {name}")
    taken = begin(house, before, words(args), limit)
    deadline = time.monotonic() + SECONDS / len(COMMANDS)
    rounds = 0
    while rounds < 2 or time.monotonic() < deadline:
        rounds += 1
        for each in before:
            house.ok(*each)
        whom, moment = rng.choice(KINDS), rng.uniform(0, taken * 1.1)
        print(f"seed {SEED}, round {rounds}: {whom} after "
              f"{moment * 1000:.2f} ms")
        process = house.start(*words(args))
        time.sleep(moment)
        house.kill(whom)
        if limit is not None:
            time.sleep(0.01)
            process.kill()
        house.end(process)
        house.assert_sound()
        assert_usable(house, rng)
        clean(house)
