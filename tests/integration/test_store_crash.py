"""kill -9 at any moment of whatever changes the store leaves it right: images
that were there are there, whole, and what is not of an image is gone after a
prune. MOSS_CRASH_SECONDS (10 in all by default) and MOSS_CRASH_SEED change how
long and where it is tried."""
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

import builds
import hostile_images
from conftest import wait_for
from hostile_tar import entry, layer

SEED = int(os.environ.get("MOSS_CRASH_SEED", "1"))
SECONDS = float(os.environ.get("MOSS_CRASH_SECONDS", "10"))


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def descendants(pid):
    found = [pid]
    for child in children(pid):
        found += descendants(child)
    return found


def kill(process, whom):
    """`moss`, its helper, or all that it started."""
    pids = descendants(process.pid)
    if whom == "moss":
        pids = pids[:1]
    elif whom == "helper":
        pids = pids[1:] or pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def files(moss):
    """What the store holds, and how large it is; index.json is written anew
    each time."""
    found = {}
    for part in ("image", "layers", "tmp"):
        for directory, names, plain in os.walk(moss.root / part):
            for name in names:
                found[os.path.join(directory, name)] = None
            for name in plain:
                path = os.path.join(directory, name)
                found[path] = os.lstat(path).st_size
    found.pop(str(moss.root / "image/index.json"))
    return found


class Arena:
    """A store with one image that everything else must leave alone."""

    def __init__(self, moss, busybox_tar, path, registry):
        self.moss = moss
        self.path = path
        moss.ok("import", busybox_tar, "kept")
        self.archive = path / "image.tar"
        self.tar = path / "root.tar"
        many = [entry(b"d%d/f%d" % (i % 40, i), b"x" * (i % 7000))
                for i in range(1500)]
        layers = [layer(*many[i::3]) for i in range(3)]
        hostile_images.Archive(layers, ["victim:latest"]).write(self.archive)
        self.tar.write_bytes(layer(*many))
        self.small = path / "small.tar"
        hostile_images.Archive(
            [layer(entry(b"small", b"x")), layer(entry(b"small", b"y"))],
            ["victim:latest"]).write(self.small)
        self.remote = registry.name("crash/victim:latest")
        moss.ok("load", "-q", "-i", self.archive)
        moss.ok("tag", "victim", self.remote)
        moss.ok("push", "-q", self.remote)
        moss.ok("load", "-q", "-i", self.small)
        self.remote_small = registry.name("crash/small:latest")
        moss.ok("tag", "victim", self.remote_small)
        moss.ok("push", "-q", self.remote_small)
        moss.ok("rmi", "victim", self.remote, self.remote_small)
        moss.ok("image", "prune", "-f")
        self.baseline = files(moss)

    def words(self, args):
        return [word.format(archive=self.archive, tar=self.tar,
                            small=self.small, remote=self.remote,
                            remote_small=self.remote_small)
                for word in args]

    def start(self, args):
        return self.moss.popen(*args, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL)

    def duration(self, operation):
        """How long it takes when nobody disturbs it."""
        operation.prepare(self)
        begin = time.monotonic()
        assert self.start(operation.args(self)).wait(timeout=60) == 0
        taken = time.monotonic() - begin
        self.reset()
        return taken

    def check(self):
        result = self.moss("system", "check", "-q")
        assert result.code == 0 and result.out == "", result

    def reset(self):
        """Back to what it was, by moss's own means; nothing may be left."""
        self.moss("rm", "-f", "changed", "runs")
        for name in ("victim", "other", self.remote, self.remote_small):
            self.moss("rmi", "-f", name)
        self.moss.ok("image", "prune", "-f")
        # Whoever removes a container moves it to tmp/ first.
        wait_for(lambda: not list(self.moss.root.glob("tmp/removed-*")),
                 "the removal of containers")
        assert files(self.moss) == self.baseline
        assert not [path for path in self.moss.root.glob("containers/*")
                    if len(path.name) == 64]


class Operation:
    def __init__(self, *args, prepare=()):
        self.words = args
        self.before = prepare

    def args(self, arena):
        return arena.words(self.words)

    def prepare(self, arena):
        for words in self.before:
            arena.moss.ok(*arena.words(words))


LOAD = ["load", "-q", "-i", "{archive}"]
OPERATIONS = {
    "load": Operation(*LOAD),
    "load again": Operation(*LOAD, prepare=[LOAD]),
    "import": Operation("import", "{tar}", "victim"),
    "pull": Operation("pull", "-q", "{remote}"),
    "push": Operation("push", "-q", "{remote}", prepare=[
        LOAD, ["tag", "victim", "{remote}"]]),
    "rmi": Operation("rmi", "victim", prepare=[LOAD]),
    "tag": Operation("tag", "kept", "other"),
    "prune": Operation("image", "prune", "-af", prepare=[
        LOAD, ["import", "{tar}", "other"],
        ["run", "--name", "runs", "kept", "true"]]),
    "commit": Operation("commit", "changed", "victim", prepare=[
        ["run", "--name", "changed", "kept", "sh", "-c",
         "for i in $(seq 200); do head -c 20000 /dev/zero > /f$i; done; "
         "rm -r /bin/sh /srv /etc/passwd"]]),
    "check": Operation("system", "check", "--repair", prepare=[LOAD]),
}


@pytest.fixture(scope="module")
def arena(session_moss, busybox_tar, registry, tmp_path_factory):
    path = tmp_path_factory.mktemp("crash")
    moss = session_moss.with_env(MOSS_ROOT=str(path / "store"))
    moss.root = path / "store"
    yield Arena(moss, busybox_tar, path, registry)
    moss.remove_all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed(arena, name):
    operation = OPERATIONS[name]
    rng = random.Random(f"{SEED} {name}")
    taken = arena.duration(operation)
    deadline = time.monotonic() + SECONDS / (len(OPERATIONS) + 3)
    while True:
        operation.prepare(arena)
        process = arena.start(operation.args(arena))
        time.sleep(rng.uniform(0, taken * 1.1))
        kill(process, rng.choice(["moss", "helper", "all"]))
        process.wait(timeout=30)
        arena.check()
        assert arena.moss.ok("run", "--rm", "kept", "echo", "x") == "x"
        names = arena.moss.ok("images", "--format",
                              "{{.Repository}}").split()
        assert "kept" in names
        if name in ("load again", "check"):
            assert "victim" in names
        arena.reset()
        if time.monotonic() > deadline:
            break


SMALL = ["load", "-q", "-i", "{small}"]
# What changes the store, in which the process is killed the Nth time.
CHANGES = {"renames": "renameat,renameat2", "removals": "unlinkat",
           "syncs": "fsync,syncfs"}


@pytest.mark.parametrize("calls", CHANGES)
@pytest.mark.parametrize("name", ["load", "pull", "rmi", "check"])
def test_killed_at_every_change(arena, name, calls):
    """Not left to chance: strace kills whoever makes the Nth such call."""
    load = arena.words(SMALL)
    args = {"load": load, "rmi": ["rmi", "victim"],
            "pull": arena.words(["pull", "-q", "{remote_small}"]),
            "check": ["system", "check", "--repair"]}[name]
    killed = 0
    for n in range(1, 60):
        if name in ("rmi", "check"):
            arena.moss.ok(*load)
        if name == "check":
            for path in (arena.moss.root / "layers").glob("*/diff/small"):
                path.write_text("damaged")
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CHANGES[calls]}",
             "-e", f"inject={CHANGES[calls]}:signal=KILL:when={n}",
             arena.moss.program, *args], env=arena.moss.env, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        result = arena.moss("system", "check", "-q")
        if name == "check":
            assert arena.moss("system", "check", "--repair", "-q").code == 0
        else:
            assert result.code == 0 and result.out == "", result
        arena.check()
        assert arena.moss.ok("run", "--rm", "kept", "echo", "x") == "x"
        arena.reset()
        if done.returncode == 0:
            break
        killed += 1
    assert killed > 0 and done.returncode == 0


def calls_in_order(log):
    """Name, paths of descriptors and quoted names of what strace -y saw, each
    when it returned."""
    waiting = {}
    for line in log.read_text().splitlines():
        pid, call = line.split(maxsplit=1)
        if call.endswith("<unfinished ...>"):
            waiting[pid] = call
            continue
        if "resumed>" in call:
            call = waiting.pop(pid)
        yield (call.split("(")[0], re.findall(r"(?:\d|AT_FDCWD)<([^>]*)>", call),
               re.findall(r'"([^"]*)"', call))


def fs_type(path):
    return subprocess.run(["findmnt", "-no", "FSTYPE", "-T", path],
                          capture_output=True, text=True).stdout.strip()


def all_below(place):
    """The names of all directories and plain files, as of the place."""
    found = [""]
    for directory, names, plain in os.walk(place):
        found += [os.path.join(directory, name).removeprefix(str(place))
                  for name in names + plain
                  if not os.path.islink(os.path.join(directory, name))]
    return found


@pytest.mark.parametrize("command", ["build", "load", "import", "commit"])
def test_on_disk_before_named(arena, command):
    """A layer and its blob get their names in the store when all that is in
    them is on disk: each file and directory of it, if there are not many, so
    that nobody waits for what others write."""
    context = builds.Context(arena.moss, arena.path / "context")
    context.write("file", "of the context")
    context.dockerfile("""
        FROM kept
        COPY file /copied/file
        RUN mkdir /made; echo x >/made/file; ln -s file /made/link
        """)
    plain = arena.path / "plain.tar"
    plain.write_bytes(layer(entry(b"plain/file", b"x")))
    if command == "commit":
        arena.moss.ok("run", "--name", "changed", "kept", "sh", "-c",
                      "mkdir /made; echo x >/made/file")
    log = arena.path / "calls.log"
    args = {"build": ["build", "-q", "-t", "victim", context.path],
            "load": arena.words(SMALL), "import": ["import", plain, "victim"],
            "commit": ["commit", "changed", "victim"]}[command]
    subprocess.run(
        ["strace", "-f", "-qq", "-y", "-s", "4096", "-o", log, "-e",
         "trace=fsync,syncfs,renameat,renameat2", arena.moss.program, *args],
        env=arena.moss.env, timeout=60, check=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL)
    synced, everything, seen = set(), False, []
    for name, paths, names in calls_in_order(log):
        if name == "fsync":
            synced.add(paths[0])
        elif name == "syncfs":
            everything = True
        elif name.startswith("rename") and "/tmp/work-" not in paths[1] and \
                paths[1].endswith(("/layers", "/image/blobs/sha256")):
            place = pathlib.Path(paths[1], names[1])
            seen.append(place.parent.name)
            missing = [below for below in all_below(place)
                       if f"{paths[0]}/{names[0]}{below}" not in synced]
            assert everything or not missing, (place, missing)
    assert "layers" in seen and "sha256" in seen
    if fs_type(arena.path) in ("ext4", "xfs"):
        assert not everything
    arena.moss.ok("builder", "prune", "-af")
    arena.reset()


def test_killed_again_and_again(arena):
    """No prune in between: nothing piles up."""
    rng = random.Random(SEED)
    taken = arena.duration(OPERATIONS["load"])
    for _ in range(10):
        process = arena.start(OPERATIONS["load"].args(arena))
        time.sleep(rng.uniform(0, taken))
        kill(process, "all")
        process.wait(timeout=30)
    arena.check()
    arena.reset()


def test_damage_is_mended_though_killed(arena):
    """A repair that is killed can be done again."""
    arena.moss.ok("load", "-q", "-i", arena.archive)
    rng = random.Random(SEED)
    deadline = time.monotonic() + SECONDS / (len(OPERATIONS) + 3)
    repair = ["system", "check", "--repair"]
    while time.monotonic() < deadline:
        for path in sorted((arena.moss.root / "layers").iterdir()):
            (path / "diff/more").write_text("x")
        process = arena.start(repair)
        time.sleep(rng.uniform(0, 0.4))
        kill(process, rng.choice(["moss", "helper", "all"]))
        process.wait(timeout=30)
        arena.moss.ok(*repair)
        arena.check()
    arena.reset()


def test_many_at_once(arena):
    """The same image comes, runs and goes in several processes."""
    commands = [OPERATIONS["load"].args(arena),
                OPERATIONS["pull"].args(arena), ["rmi", "-f", arena.remote],
                ["rmi", "-f", "victim"],
                ["image", "prune", "-af"], ["run", "--rm", "kept", "true"],
                ["create", "--name", "changed", "kept", "true"],
                ["rm", "-f", "changed"], ["system", "check", "--repair", "-q"],
                ["tag", "kept", "other"], ["images"]]
    rng = random.Random(SEED)
    running = []
    arena.moss.ok("create", "--name", "runs", "kept", "true")
    deadline = time.monotonic() + SECONDS / (len(OPERATIONS) + 3)
    while time.monotonic() < deadline or running:
        if time.monotonic() < deadline and len(running) < 4:
            args = rng.choice(commands)
            running.append((args, arena.moss.popen(
                *args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)))
        for item in list(running):
            args, process = item
            if process.poll() is None:
                continue
            running.remove(item)
            err = process.stderr.read()
            process.stderr.close()
            # Others may have been faster, which is said in one line.
            assert process.returncode == 0 or args[0] in (
                "rmi", "create", "rm"), (args, err)
            assert len(err.splitlines()) <= 2, (args, err)
        time.sleep(0.005)
    arena.check()
    arena.reset()
