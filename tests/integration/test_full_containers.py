"""Commands on containers when the store has no room, no inodes or may not be
written, and when the runtime directory may not: one clear line each, what is
told is true meanwhile, and nothing is half done when there is room again.
MOSS_FULL=1 tries all commands."""
import os
import shutil
import subprocess

import pytest

from conftest import Moss, wait_for
from household import Household
from test_kill_commands import some

LONG = os.environ.get("MOSS_FULL")
SIZE = 24 << 20
INODES = 3000


class Small:
    """A store and a runtime directory on small file systems of their own."""

    def __init__(self, build, base):
        self.build = build
        self.store, self.runtime = base / "store", base / "run"
        self.store.mkdir()
        self.runtime.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c",
             f"mount -t tmpfs -o size={SIZE},nr_inodes={INODES},mode=0700 "
             f"small {self.store} && "
             f"mount -t tmpfs -o mode=0700 small {self.runtime} && "
             f"touch {self.runtime}/ready && exec cat"], stdin=subprocess.PIPE)
        self.enter = ["nsenter", "--preserve-credentials", "-U", "-m", "-t",
                      str(self.holder.pid)]
        seen = f"/proc/{self.holder.pid}/root"
        self.seen = f"{seen}{self.store}"
        wait_for(lambda: os.path.exists(f"{seen}{self.runtime}/ready"),
                 "the mounts")
        program = base / "moss"
        program.write_text(f"#!/bin/sh\nexec {' '.join(self.enter)} "
                           f"{build}/moss \"$@\"\n")
        program.chmod(0o755)
        self.moss = Moss(program, self.store / "data", self.runtime)
        self.moss.root = type(base)(f"{self.seen}/data")
        self.moss.run_directory = type(base)(f"{seen}{self.runtime}")

    def remount(self, path, options):
        subprocess.run([*self.enter, "mount", "-o", f"remount,bind,{options}", path],
                       check=True)

    def use_up(self, what):
        if what == "bytes":
            status = os.statvfs(self.seen)
            with open(f"{self.seen}/ballast", "wb") as file:
                os.posix_fallocate(file.fileno(), 0,
                                   status.f_bavail * status.f_frsize)
        elif what == "inodes":
            os.mkdir(f"{self.seen}/ballast")
            for i in range(os.statvfs(self.seen).f_ffree):
                open(f"{self.seen}/ballast/{i}", "w").close()
        else:
            self.remount(self.store if what == "store" else self.runtime, "ro")

    def give_back(self, what):
        if what == "bytes":
            os.unlink(f"{self.seen}/ballast")
        elif what == "inodes":
            shutil.rmtree(f"{self.seen}/ballast")
        else:
            self.remount(self.store if what == "store" else self.runtime, "rw")

    def close(self):
        subprocess.run([self.moss.program, "__unpin"], env=self.moss.env,
                       stderr=subprocess.DEVNULL)
        self.holder.stdin.close()
        self.holder.wait(timeout=10)


@pytest.fixture(scope="module")
def small(build, tmp_path_factory, busybox_tar):
    small = Small(build, tmp_path_factory.mktemp("full"))
    small.moss.ok("import", busybox_tar, "busybox")
    yield small
    small.close()


@pytest.fixture(scope="module")
def entered(small):
    with Household(small.moss) as house:
        house.ok("run", "--rm", "busybox", "true")
        house.ok("system", "prune", "-f")
        house.baseline = house.files()
        yield house


@pytest.fixture
def house(entered):
    yield entered
    entered.moss.remove_all()


SLEEP = ["busybox", "sleep", "1000"]
RUNNING = ["run", "-d", "--name", "victim", *SLEEP]
CREATED = ["create", "--name", "victim", *SLEEP]
# What it says is no more than one line, and a hint; None: it has to succeed,
# for it gives room back or only looks.
COMMANDS = {
    "ps": (RUNNING, ["ps", "-a"], None),
    "inspect": (RUNNING, ["inspect", "victim"], None),
    "logs": (RUNNING, ["logs", "victim"], None),
    "top": (RUNNING, ["top", "victim"], None),
    "stats": (RUNNING, ["stats", "--no-stream", "victim"], None),
    "info": (RUNNING, ["info"], None),
    "create": ([], CREATED, "may fail"),
    "run": ([], ["run", "--name", "victim", "busybox", "true"], "may fail"),
    "run --rm": ([], ["run", "--rm", "busybox", "true"], "may fail"),
    "run -d": ([], RUNNING, "may fail"),
    "start": (CREATED, ["start", "victim"], "may fail"),
    "restart": (RUNNING, ["restart", "-t0", "victim"], "may fail"),
    "rename": (RUNNING, ["rename", "victim", "other"], "may fail"),
    "update": (RUNNING, ["update", "--restart", "always", "victim"],
               "may fail"),
    "exec": (RUNNING, ["exec", "victim", "true"], None),
    "pause": (RUNNING, ["pause", "victim"], None),
    "cp to": (RUNNING, ["cp", "{build}/moss", "victim:/there"], "may fail"),
    "cp from": (RUNNING, ["cp", "victim:/etc/hostname", "-"], None),
    "export": (RUNNING, ["export", "-o", "/dev/null", "victim"], None),
    "commit": (RUNNING, ["commit", "victim", "committed"], "may fail"),
    "volume create": ([], ["volume", "create", "named"], "may fail"),
    "stop": (RUNNING, ["stop", "-t0", "victim"], None),
    "kill": (RUNNING, ["kill", "victim"], None),
    "rm -f": (RUNNING, ["rm", "-f", "victim"], None),
    "container prune": (CREATED, ["container", "prune", "-f"], None),
}
CONDITIONS = ["bytes", "inodes", "runtime"]
# A work directory of theirs.
NEEDS_INODES = {"cp from", "export"}
FULL, READ_ONLY = "No space left", "Read-only file system"


def run(house, small, args):
    return house.run(*[word.format(build=small.build) for word in args])


def assert_clear(result, reason):
    """One line, and a hint at most."""
    lines = [line for line in result.err.splitlines()
             if "subordinate" not in line and "WARNING" not in line]
    assert 1 <= len(lines) <= 2 and reason in lines[0], result


CASES = [(what, name) for what in CONDITIONS for name in COMMANDS]


@pytest.mark.parametrize("what, name", some(CASES, LONG, 1, 16))
def test_used_up(house, small, what, name):
    before, args, may_fail = COMMANDS[name]
    if before:
        house.ok(*before)
    small.use_up(what)
    try:
        result = run(house, small, args)
        if what == "inodes" and name in NEEDS_INODES:
            may_fail = "may fail"
        # The pinned namespace is joined all the same.
        if what == "runtime":
            may_fail = None
        assert result.code == 0 or may_fail, result
        if result.code != 0:
            assert_clear(result, FULL)
        house.assert_true()
    finally:
        small.give_back(what)
    house.assert_sound()
    if name in ("stop", "kill"):
        assert house.ok("inspect", "-f", "{{.State.ExitCode}},{{.State.Error}}",
                        "victim") == "137,"
    house.run("rmi", "-f", "committed")
    house.reset(house.baseline)


def test_read_only_store(house, small):
    """What only looks goes on, everything else says why not."""
    house.ok(*CREATED)
    small.use_up("store")
    try:
        for args in (["ps", "-a"], ["inspect", "victim"], ["images"],
                     ["logs", "victim"], ["volume", "ls"], ["system", "df"],
                     ["info"]):
            result = house.run(*args)
            assert result.code == 0, (args, result)
        for args in (["create", *SLEEP], ["start", "victim"], ["rm", "victim"],
                     ["rename", "victim", "other"], ["volume", "create", "vv"],
                     ["tag", "busybox", "other"], ["rmi", "busybox"],
                     ["update", "--restart", "always", "victim"]):
            result = house.run(*args)
            assert result.code != 0, (args, result)
            assert_clear(result, READ_ONLY)
    finally:
        small.give_back("store")
    house.assert_sound()
    house.ok("rm", "victim")
    house.reset(house.baseline)


def test_end_on_a_full_disk(house, small):
    """Its exit code is kept, whatever the container filled the disk with."""
    house.ok("run", "-d", "--name", "victim", "busybox", "sh", "-c",
             "head -c 100M /dev/zero >/big; echo $?; exit 3")
    wait_for(lambda: house.ask("inspect", "-f", "{{.State.Status}}",
                               "victim").out == "exited\n", "the end")
    house.assert_true()
    assert house.ok("inspect", "-f", "{{.State.ExitCode}}", "victim") == "3"
    house.ok("rm", "-f", "victim")
    house.reset(house.baseline)


def test_log_on_a_full_disk(house, small):
    """The container goes on; the lines that found no room are lost, and it is
    told."""
    house.ok("run", "-d", "--name", "victim", "busybox", "sh", "-c",
             "while :; do echo line; sleep 0.01; done")
    wait_for(lambda: house.ok("logs", "victim"), "a line")
    small.use_up("bytes")
    wait_for(lambda: "lines are lost" in house.ok(
        "inspect", "-f", "{{.State.Error}}", "victim"), "the note")
    assert house.ok("inspect", "-f", "{{.State.Running}}", "victim") == "true"
    small.give_back("bytes")
    count = len(house.ok("logs", "victim").splitlines())
    wait_for(lambda: len(house.ok("logs", "victim").splitlines()) > count,
             "more lines")
    assert set(house.ok("logs", "victim").splitlines()) == {"line"}
    house.ok("rm", "-f", "victim")
    house.reset(house.baseline)
