"""What moss build remembers: steps that ran once do not run again, whatever
else happens; nothing half done, lost or another's is taken for a result."""
import json
import os
import re
import signal
import subprocess
import time
import uuid

import pytest

from builds import Context
from conftest import Moss, wait_for

UNIQUE = "cat /proc/sys/kernel/random/uuid"


class Own:
    """A store of its own, whose cache nobody else fills."""

    def __init__(self, program, path, busybox_tar):
        run = path / "run"
        run.mkdir(mode=0o700)
        self.path = path
        self.root = path / "data"
        self.moss = Moss(program, self.root, run)
        self.ok = self.moss.ok
        self.ok("import", busybox_tar, "busybox")

    def context(self, text, name=None):
        name = name or f"context-{uuid.uuid4()}"
        return Context(self.moss, self.path / name).dockerfile(text)

    def records(self):
        directory = self.root / "build/cache"
        return sorted(directory.iterdir()) if directory.exists() else []

    def check(self):
        """Nothing is half, nothing is left over, all records can be read."""
        for path in self.records():
            assert re.fullmatch("[0-9a-f]{64}", path.name), path
            json.loads(path.read_text())
        result = self.moss("system", "check")
        assert result.code == 0 and "nothing is wrong" in result.out, result
        # A --rm container frees its directory when nobody waits for it.
        wait_for(lambda: not list((self.root / "tmp").iterdir()),
                 "an empty tmp/")

    def close(self):
        self.moss.remove_all()
        self.moss("__unpin")


@pytest.fixture(scope="module")
def own(build, tmp_path_factory, busybox_tar):
    """For tests that bring Dockerfiles nobody else has."""
    own = Own(build / "moss", tmp_path_factory.mktemp("own"), busybox_tar)
    yield own
    try:
        own.check()
    finally:
        own.close()


@pytest.fixture
def alone(build, tmp_path, busybox_tar):
    own = Own(build / "moss", tmp_path, busybox_tar)
    yield own
    own.close()


def cached(out):
    """How many steps did not run; FROM never does."""
    return len(re.findall(r"^#\d+ CACHED$", out, re.M)) - 1


def three(own):
    """Four steps that nobody else has."""
    context = own.context(f"""
        FROM busybox
        RUN {UNIQUE} > /first # {uuid.uuid4()}
        WORKDIR /w
        COPY file .
        RUN {UNIQUE} > /second
        """)
    context.write("file", "content")
    return context


def marks(context, image):
    return context.run(image, "cat", "/first", "/second").split()


def test_nothing_runs_twice(own):
    context = three(own)
    assert cached(context.ok("-t", "a")) == 0
    before = marks(context, "a")
    assert cached(context.ok("-t", "b")) == 4
    assert marks(context, "b") == before
    assert own.ok("inspect", "-f", "{{.Id}}", "a") == \
        own.ok("inspect", "-f", "{{.Id}}", "b")
    # One file is another: what is above it stays.
    context.write("file", "changed")
    assert cached(context.ok("-t", "b")) == 2
    after = marks(context, "b")
    assert after[0] == before[0] and after[1] != before[1]
    # And as it was.
    context.write("file", "content")
    assert cached(context.ok("-t", "b")) == 4
    assert marks(context, "b") == before
    rows = [json.loads(line) for line in
            own.ok("builder", "du", "--format", "json").splitlines()]
    assert {"3", "0"} <= {row["UsageCount"] for row in rows}
    assert any(row["Description"].startswith(f"RUN {UNIQUE}") for row in rows)
    own.check()


def test_no_cache(own):
    context = three(own)
    context.ok("-t", "a")
    before = marks(context, "a")
    assert cached(context.ok("-t", "a", "--no-cache")) == 0
    after = marks(context, "a")
    assert not set(before) & set(after)
    # What ran last is what is remembered.
    assert cached(context.ok("-t", "a")) == 4
    assert marks(context, "a") == after


def start(context, *args):
    return context.moss.popen(
        "build", "--progress", "plain", *args, context.path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)


def end(process):
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0, out
    return out


def test_builds_side_by_side_run_a_step_once(own):
    context = own.context(f"""
        FROM busybox
        RUN sleep 0.4; {UNIQUE} > /first
        RUN sleep 0.2; {UNIQUE} > /second
        """)
    builds = [start(context, "-t", f"side{i}") for i in range(3)]
    outs = [end(process) for process in builds]
    found = {tuple(marks(context, f"side{i}")) for i in range(3)}
    assert len(found) == 1
    assert sum(cached(out) for out in outs) == 4


def test_builds_side_by_side_do_not_mix(own):
    """The same words with other files and other arguments."""
    contexts = []
    for i in range(4):
        context = own.context("""
            FROM busybox
            ARG WHO
            COPY file /file
            RUN echo $WHO > /who; cat /file > /seen; sleep 0.1
            """)
        context.write("file", f"file {i % 2}\n")
        contexts.append(context)
    for _ in range(2):
        builds = [start(context, "-t", f"mix{i}", "--build-arg",
                        f"WHO=who{i // 2}")
                  for i, context in enumerate(contexts)]
        for process in builds:
            end(process)
        for i, context in enumerate(contexts):
            assert context.run(f"mix{i}", "cat", "/who", "/seen", "/file") == \
                f"who{i // 2}\nfile {i % 2}\nfile {i % 2}"


def read_until(process, text):
    """Until a step prints that text; its own line has no time."""
    told = []
    for line in process.stdout:
        told.append(line)
        if re.match(rf"#\d+ \d+\.\d+ {text}", line):
            return
    raise AssertionError("".join(told))


def children(pid):
    task = f"/proc/{pid}/task/{pid}/children"
    with open(task, encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def below(pid, title):
    """The child that goes by that title, when it is there."""
    def find():
        for child in children(pid):
            with open(f"/proc/{child}/cmdline", encoding="ascii") as file:
                if file.read().startswith(title):
                    return child
        return None
    return wait_for(find, f"{title} below {pid}")


def builder(pid):
    return below(pid, "moss: build")


VICTIMS = {"moss": lambda pid: pid, "moss-build": builder,
           "a stage's worker": lambda pid: below(builder(pid), "moss: build")}


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_build_keeps_what_was_done(own, victim):
    first = f"FROM busybox\nRUN {UNIQUE} > /first # {uuid.uuid4()}\n"
    context = own.context(first + "RUN echo runs; sleep 1234")
    before = len(own.records())
    process = start(context)
    try:
        read_until(process, "runs")
        os.kill(VICTIMS[victim](process.pid), signal.SIGKILL)
        assert process.wait(timeout=20) != 0
    finally:
        process.kill()
        process.wait()
    process.stdout.close()
    again = own.context(first + f"RUN {UNIQUE} > /second")
    assert cached(again.ok("-t", "a")) == 1
    assert len(own.records()) == before + 2

    def is_over():
        found = subprocess.run(["pgrep", "-f", "sleep 1234", "-u",
                                str(os.getuid())], stdout=subprocess.PIPE)
        return found.returncode == 1
    wait_for(is_over, "the end of the killed step")
    own.check()


def test_interrupted_build_keeps_what_was_done(own):
    first = f"FROM busybox\nRUN {UNIQUE} > /first # {uuid.uuid4()}\n"
    context = own.context(first + "RUN echo runs; sleep 1000")
    process = start(context)
    read_until(process, "runs")
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    assert time.monotonic() - before < 5
    process.stdout.close()
    assert cached(own.context(first + "RUN true").ok()) == 1
    own.check()


def test_failed_step_is_not_remembered(own):
    context = own.context(f"""
        FROM busybox
        RUN {UNIQUE} > /first # {uuid.uuid4()}
        RUN touch /half; false
        """)
    before = len(own.records())
    context.fails()
    assert len(own.records()) == before + 1
    assert cached(context.fails()) == 1
    assert len(own.records()) == before + 1
    own.check()


def test_removed_image_is_built_from_the_cache(own):
    context = three(own)
    context.ok("-t", "a")
    before = marks(context, "a")
    own.ok("rmi", "a")
    assert "a" not in own.ok("images", "--format", "{{.Repository}}").split()
    own.ok("image", "prune", "-f")
    assert cached(context.ok("-t", "a")) == 4
    assert marks(context, "a") == before
    own.check()


def test_pruned_cache(own):
    context = three(own)
    context.ok("-t", "a")
    before = marks(context, "a")
    # An image has all of it.
    own.ok("builder", "prune", "-f")
    assert cached(context.ok("-t", "a")) == 4
    own.ok("rmi", "a")
    own.ok("builder", "prune", "-f")
    assert cached(context.ok("-t", "a")) == 0
    own.ok("builder", "prune", "-af")
    assert own.records() == []
    assert cached(context.ok("-t", "a")) == 0
    assert not set(before) & set(marks(context, "a"))
    own.check()


def record_of(own, text):
    """Path and content of the newest record of such an instruction."""
    found = []
    for path in own.records():
        record = json.loads(path.read_text())
        if text in record["description"]:
            found.append((record["created"], path, record))
    return max(found)[1:]


@pytest.mark.parametrize("damage", ["record", "blob", "short blob", "layer"])
def test_damage_leads_to_another_run(own, damage):
    context = three(own)
    context.ok("-t", "a")
    before = marks(context, "a")
    own.ok("rmi", "a")
    path, record = record_of(own, "/second")
    blob = own.root / "image/blobs/sha256" / record["blob"]["digest"][7:]
    if damage == "record":
        path.write_text(path.read_text()[:40])
    elif damage == "blob":
        blob.unlink()
    elif damage == "short blob":
        blob.write_bytes(blob.read_bytes()[:-1])
    else:
        (own.root / "layers" / record["diffId"][7:] / "layer.json").unlink()
    assert cached(context.ok("-t", "a")) == 3
    after = marks(context, "a")
    assert after[0] == before[0] and after[1] != before[1]
    assert cached(context.ok("-t", "a")) == 4
    own.ok("builder", "prune", "-f")
    own.check()


def test_limit(alone):
    """The cache is cut down by a build that made something new."""
    conf = alone.path / "moss.conf"
    conf.write_text("[build]\n\tcache-size = 3m\n")
    moss = alone.moss.with_env(MOSS_CONFIG=str(conf))
    for i in range(4):
        context = Context(moss, alone.path / f"c{i}").dockerfile(f"""
            FROM busybox
            RUN head -c 2000000 /dev/urandom > /random{i}
            """)
        context.ok("-t", "a")
        moss.ok("rmi", "a")
    # The last one is more than half of the limit, unpacked and packed.
    assert len(alone.records()) <= 1
    alone.check()


def test_cache_mount_is_shown_and_pruned(alone):
    context = alone.context("""
        FROM busybox
        RUN --mount=type=cache,target=/c ls /c > /seen; \\
            head -c 100000 /dev/zero > /c/kept
        """)
    context.ok("-t", "a", "--no-cache")
    context.ok("-t", "a", "--no-cache")
    assert context.run("a", "cat", "/seen") == "kept"
    (row,) = [json.loads(line) for line in alone.ok(
        "builder", "du", "--format", "json", "--filter",
        "type=exec.cachemount").splitlines()]
    assert row["UsageCount"] == "2" and row["Shared"] == "false"
    assert row["Size"].endswith("kB") and row["Reclaimable"] == "true"
    usage = alone.ok("system", "df", "--format",
                     "{{.Type}} {{.TotalCount}} {{.Size}}").splitlines()
    assert usage[-1] == f"Build Cache 2 {row['Size']}"
    # The step's own result is in the image, the directory is nowhere else.
    assert row["ID"] in alone.ok("builder", "prune", "-f").splitlines()
    assert not list((alone.root / "build/mounts").iterdir())
    context.ok("-t", "a", "--no-cache")
    assert context.run("a", "cat", "/seen") == ""
    alone.check()


def test_mounted_files_that_change_poison_nothing(own):
    """A step that saw the new file must not be found by who has the old one."""
    context = own.context(f"""
        FROM busybox
        RUN --mount=type=bind,target=/c echo runs {uuid.uuid4()}; \\
            until grep new /c/file; do sleep 0.05; done; cp /c/file /seen
        """)
    for _ in range(2):
        context.write("file", "old")
        process = start(context, "-t", "a")
        read_until(process, "runs")
        context.write("file", "new")
        assert "files of a mount changed" in end(process)
    assert context.run("a", "cat", "/seen") == "new"
    # Nothing changes now.
    assert cached(context.ok("-t", "a")) == 0
    assert cached(context.ok("-t", "a")) == 1
