"""ENOSPC and EIO at each call in turn by which a command changes the store: it
fails in one line or does its work, and nothing is half done.

MOSS_CALLS=1 tries all commands and calls, by default some."""
import os
import subprocess

import pytest

from test_kill_commands import some

LONG = os.environ.get("MOSS_CALLS")
SLEEP = ["busybox", "sleep", "1000"]
CREATED = ["create", "--name", "victim", *SLEEP]
COMMANDS = {
    "create": ([], ["create", "--name", "victim", "-v", "/anonymous", *SLEEP]),
    "run": ([], ["run", "-d", "--name", "victim", *SLEEP]),
    "start": ([CREATED], ["start", "victim"]),
    "rename": ([CREATED], ["rename", "victim", "other"]),
    "update": ([CREATED], ["update", "--restart", "always", "victim"]),
    "rm": ([CREATED], ["rm", "-v", "victim"]),
    "volume create": ([], ["volume", "create", "named"]),
}
CALLS = {"rename": "renameat,renameat2", "make": "mkdirat,symlinkat",
         "sync": "fsync", "open": "openat", "remove": "unlinkat"}
ERRORS = {"rename": "ENOSPC", "make": "ENOSPC", "sync": "EIO",
          "open": "EMFILE", "remove": "EIO"}
# Of calls that fail at more places than it is worth while to try.
STEP = {"open": 7}
MOST = 200


@pytest.fixture(autouse=True)
def nothing_left(house):
    yield
    house.moss.remove_all()


def traced(house, calls, count, error, args):
    """The command whose Nth such call fails: its code, what it said, and
    whether there were so many."""
    log = house.moss.run_directory / "strace.log"
    process = subprocess.Popen(
        ["strace", "-qq", "-o", log, "-e", f"trace={calls}", "-e",
         f"inject={calls}:error={error}:when={count}", house.moss.program,
         *args], env=house.moss.env, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    house.commands.append(process)
    err = process.stderr.read()
    process.stderr.close()
    code = house.end(process)
    hit = "(INJECTED)" in log.read_text()
    log.unlink()
    return code, err, hit


CASES = [(call, name) for call in CALLS for name in COMMANDS]


@pytest.mark.parametrize("call, name", some(CASES, LONG, 2, 5))
def test_failing(house, call, name):
    before, args = COMMANDS[name]
    for count in range(1, MOST, STEP.get(call, 1)):
        for each in before:
            house.ok(*each)
        code, err, hit = traced(house, CALLS[call], count, ERRORS[call], args)
        print(call, name, count, code, err)
        lines = [line for line in err.splitlines()
                 if not line.startswith("WARNING")]
        assert code >= 0 and len(lines) <= 2 and (code == 0 or lines), \
            (count, code, err)
        house.assert_sound()
        house.run("rm", "-fv", "victim", "other")
        house.reset(house.baseline)
        if not hit:
            break
    assert not hit
