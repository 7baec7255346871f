"""A full disk, at every stage of whatever changes the store: one clear line,
nothing of the attempt is left, and it works once there is space again.

The store lies on a small tmpfs in a mount namespace of the test's own."""
import os
import subprocess

import pytest

import hostile_images
from builds import Context
from conftest import Moss, wait_for
from hostile_tar import entry, layer

SIZE = 48 << 20


@pytest.fixture(scope="module")
def small(build, tmp_path_factory, busybox_tar):
    """moss in a namespace where the store's file system is small."""
    base = tmp_path_factory.mktemp("small")
    run = tmp_path_factory.mktemp("small-run")
    run.chmod(0o700)
    mount = base / "mount"
    mount.mkdir()
    # What comes later is still another program there.
    holder = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c",
         f"mount -t tmpfs -o size={SIZE},mode=0700 small {mount} && "
         f"touch {mount}/ready && exec cat"],
        stdin=subprocess.PIPE)
    seen = f"/proc/{holder.pid}/root{mount}"
    wait_for(lambda: os.path.exists(f"{seen}/ready"), "the mount")
    program = base / "moss"
    program.write_text(
        f"#!/bin/sh\nexec nsenter --preserve-credentials -U -m "
        f"-t {holder.pid} {build}/moss \"$@\"\n")
    program.chmod(0o755)
    moss = Moss(program, mount / "store", run)
    moss.seen = seen
    moss.ok("import", busybox_tar, "kept")
    yield moss
    moss.remove_all()
    subprocess.run([program, "__unpin"], env=moss.env,
                   stderr=subprocess.DEVNULL)
    holder.stdin.close()
    holder.wait(timeout=10)


def free(small):
    status = os.statvfs(small.seen)
    return status.f_bavail * status.f_frsize


def fill(small, left):
    """Leaves that many bytes."""
    ballast = f"{small.seen}/ballast"
    with open(ballast, "wb") as file:
        size = free(small) - left
        if size > 0:
            os.posix_fallocate(file.fileno(), 0, size)
    return ballast


def files(small):
    found = set()
    for part in ("image", "layers", "tmp", "containers", "build/cache"):
        for directory, names, plain in os.walk(f"{small.seen}/store/{part}"):
            found |= {os.path.join(directory, name) for name in names + plain}
    return found


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    path = tmp_path_factory.mktemp("archives")
    layers = [layer(*(entry(b"d%d/f%d" % (i % 9, i), os.urandom(9000))
                      for i in range(n, 300, 3))) for n in range(3)]
    hostile_images.Archive(layers, ["big:latest"]).write(path / "image.tar")
    (path / "root.tar").write_bytes(b"".join(
        entry(b"f%d" % i, os.urandom(9000)) for i in range(300)) + bytes(1024))
    return path


OPERATIONS = {
    "load": ["load", "-q", "-i", "{archives}/image.tar"],
    "import": ["import", "{archives}/root.tar", "big"],
    "commit": ["commit", "changed", "big"],
    "tag": ["tag", "kept", "big"],
    "create": ["create", "--name", "new", "kept", "true"],
}


@pytest.fixture(scope="module")
def changed(small):
    small.ok("run", "--name", "changed", "kept", "sh", "-c",
             "for i in $(seq 100); do "
             "head -c 9000 /dev/urandom > /f$i; done")


def undo(small):
    small("rm", "-f", "new")
    small("rmi", "big")
    small.ok("system", "check", "--repair", "-q")


@pytest.mark.parametrize("name", OPERATIONS)
def test_full_at_every_stage(small, changed, archives, name):
    args = [word.format(archives=archives) for word in OPERATIONS[name]]
    before = files(small)
    room = free(small)
    small.ok(*args)
    need = room - free(small)
    undo(small)
    assert files(small) == before
    failures = 0
    for tenth in range(10):
        ballast = fill(small, need * tenth // 10)
        result = small(*args)
        # Work directories take a little, too: the last may just fit.
        if result.code == 0:
            os.unlink(ballast)
            undo(small)
            continue
        failures += 1
        lines = result.err.splitlines()
        notes = [line for line in lines if "subordinate" in line]
        lines = [line for line in lines if line not in notes]
        assert 1 <= len(lines) <= 2 and "No space left" in lines[0], result
        # Full as it is, the store is right and nothing is left in it.
        assert files(small) == before, (tenth, files(small) ^ before)
        check = small("system", "check", "-q")
        assert check.code == 0, check
        os.unlink(ballast)
        assert small.ok("run", "--rm", "kept", "echo", "x") == "x"
    assert failures > 0
    small.ok(*args)
    undo(small)
    assert files(small) == before


def test_build(small, tmp_path):
    """What a build did before the disk was full stays and is right; nothing is
    remembered of what did not get there."""
    context = Context(small, tmp_path / "context").dockerfile("""
        FROM kept
        RUN head -c 3000000 /dev/urandom > /random
        RUN date +%s%N > /second
        """)

    def undo_build():
        small("rmi", "big")
        small.ok("builder", "prune", "-af")

    before = files(small)
    room = free(small)
    context.ok("-t", "big")
    need = room - free(small)
    undo_build()
    assert files(small) == before
    failures = 0
    for fifth in range(5):
        ballast = fill(small, need * fifth // 5)
        result = context.build("-t", "big")
        failures += result.code != 0
        # The step that was to write, or whoever was to keep it.
        assert result.code == 0 or "No space left" in result.err or \
            "did not complete successfully" in result.err, result
        check = small("system", "check")
        assert check.code == 0 and "nothing is wrong" in check.out, check
        os.unlink(ballast)
        assert len(context.ok("-t", "big").splitlines()) > 3
        assert small.ok("run", "--rm", "big", "sh", "-c",
                        "cat /random | wc -c") == "3000000"
        undo_build()
        assert files(small) == before, fifth
    assert failures > 0
