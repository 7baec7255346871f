"""What a build takes of its context: .dockerignore, what changes and what does
not, and contexts that somebody hostile wrote."""
import os
import pathlib
import shutil
import socket
import threading

import pytest

from builds import Context


@pytest.fixture
def context(moss, tmp_path):
    yield Context(moss, tmp_path / "context")
    moss("rmi", "-f", "steps", "hole")
    moss("image", "prune", "-f")


@pytest.fixture
def copied(context, tmp_path):
    """Builds FROM scratch; everything in the result, as {path: content}."""
    def build(*instructions, args=()):
        context.dockerfile("FROM scratch\n" + "\n".join(instructions))
        output = tmp_path / "output"
        shutil.rmtree(output, ignore_errors=True)
        context.ok("-o", f"type=local,dest={output}", *args)
        return {path.relative_to(output).as_posix(): content(path)
                for path in sorted(output.rglob("*"))}
    return build


def content(path):
    if path.is_symlink():
        return "-> " + os.readlink(path)
    if path.is_dir():
        return "/"
    return path.read_text() if path.is_file() else "special"


# ---- .dockerignore ----

def test_dockerignore(context, copied):
    for name in ("a.txt", "b.log", "deep/er/c.log", "deep/d", "keep/keep.log",
                 "keep/other.log", "node_modules/x/y", "src/node_modules/z"):
        context.write(name, name)
    context.write(".dockerignore", "# logs\n**/*.log\n!keep/keep.log\n"
                                   "node_modules\nDockerfile\n.dockerignore\n")
    assert copied("COPY . /") == {
        "a.txt": "a.txt", "deep": "/", "deep/d": "deep/d", "deep/er": "/",
        "keep": "/", "keep/keep.log": "keep/keep.log", "src": "/",
        "src/node_modules": "/", "src/node_modules/z": "src/node_modules/z"}
    assert copied("COPY *.log keep /") == {"keep.log": "keep/keep.log"}


def test_all_but(context, copied):
    for name in ("src/a", "src/b.o", "other/c", "d"):
        context.write(name, name)
    context.write(".dockerignore", "*\n!src\n**/*.o\n")
    assert copied("COPY . /") == {"src": "/", "src/a": "src/a"}


def test_a_dockerfile_has_its_own_dockerignore(context, copied):
    context.write("a", "a").parent.joinpath("b").write_text("b")
    context.write(".dockerignore", "*\n")
    context.write("Dockerfile.dockerignore", "a\n*ocker*\n")
    assert copied("COPY . /") == {"b": "b"}


def test_what_is_ignored_is_not_found(context):
    context.write("secret", "do not tell")
    context.write(".dockerignore", "secret\n")
    context.dockerfile("""
        FROM scratch
        COPY secret /
    """)
    told = context.fails()
    assert '"/secret": not found' in told
    assert ".dockerignore" in told
    assert "do not tell" not in told


def test_bad_dockerignore(context):
    context.write(".dockerignore", "fine\n[bad\n")
    context.dockerfile("""
        FROM scratch
        COPY . /
    """)
    assert ".dockerignore: line 2" in context.fails()


# ---- what changes ----

STEPS = """
    FROM busybox
    COPY first /
    RUN cat /proc/sys/kernel/random/uuid > /one
    COPY second /
    RUN cat /proc/sys/kernel/random/uuid > /two
"""


def marks(context):
    context.ok("-t", "steps")
    return context.run("steps", "cat", "/one", "/two").split()


def test_only_what_follows_a_change_is_built(context):
    context.write("first", "1")
    context.write("second", "1")
    context.write("third", "1")
    context.dockerfile(STEPS)
    one, two = marks(context)
    # Nothing has changed but times, and what no step takes.
    os.utime(context.path / "first", (1, 1))
    context.write("third", "2")
    assert marks(context) == [one, two]
    context.write("second", "2")
    again, other = marks(context)
    assert again == one and other != two
    context.write("first", "2")
    assert one not in marks(context)
    # And back to what was there before.
    context.write("first", "1")
    context.write("second", "1")
    assert marks(context) == [one, two]


def test_a_mode_is_a_change_and_a_place_is_none(context, moss, tmp_path):
    context.write("first", "1", 0o644)
    context.write("second", "1", 0o644)
    context.dockerfile(STEPS)
    one, two = marks(context)
    context.write("second", "1", 0o755)
    again, other = marks(context)
    assert again == one and other != two
    elsewhere = Context(moss, tmp_path / "elsewhere")
    shutil.copytree(context.path, elsewhere.path, dirs_exist_ok=True)
    assert marks(elsewhere) == [one, other]


def test_a_quick_change_of_the_same_size_is_seen(context, copied):
    for number in range(4):
        context.write("f", str(number))
        os.utime(context.path / "f", (1, 1))
        assert copied("COPY f /") == {"f": str(number)}


# ---- hostile contexts ----

def test_links_do_not_lead_out(context, copied):
    context.write("inside/file", "inside")
    for name, target in (("out", "/etc/passwd"), ("host", "/etc"),
                         ("up", "../../../../../../../../etc/passwd"),
                         ("in", "/inside/file")):
        (context.path / name).symlink_to(target)
    assert copied("COPY in /", "COPY inside /d/") == {
        "in": "inside", "d": "/", "d/file": "inside"}
    for source in ("out", "up", "host/passwd", "host"):
        context.dockerfile(f"FROM scratch\nCOPY {source} /x\n")
        assert f'"/{source}": not found' in context.fails()
    # In a directory they are links.
    found = copied("COPY --exclude=Dockerfile . /c/")
    assert found["c/out"] == "-> /etc/passwd"
    assert found["c/host"] == "-> /etc"


def test_special_files_keep_nobody_waiting(context, copied):
    os.mkfifo(context.path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(context.path)
        listener.bind("socket")
        os.chdir("/")
        found = copied("COPY --exclude=Dockerfile . /")
    # As with docker: FIFOs are FIFOs, of a socket an empty file is left.
    assert found == {"fifo": "special", "socket": ""}


def test_dockerfile_must_be_a_file(context):
    os.mkfifo(context.path / "Dockerfile")
    assert "it is no regular file" in context.fails(timeout=20)
    (context.path / "Dockerfile").unlink()
    (context.path / "Dockerfile").mkdir()
    assert "it is a directory" in context.fails(timeout=20)
    (context.path / "Dockerfile").rmdir()
    assert "no such file" in context.fails(timeout=20)


def test_unreadable_file(context, moss):
    """Whoever builds may read his own files; /etc/shadow is not his."""
    file = context.write("Dockerfile", "FROM scratch\nCOPY shadow /\n")
    before = moss.images()
    told = moss("build", "--progress", "plain", "-f", file, "-t", "unreadable",
                "/etc", check=1).err
    assert 'cannot read "/shadow": Permission denied' in told
    assert ".dockerignore" in told
    assert "root:" not in told
    assert moss.images() == before


def test_a_gigabyte_of_nothing(context, moss):
    context.dockerfile("""
        FROM scratch
        COPY hole /
    """)
    with open(context.path / "hole", "wb") as file:
        file.truncate(1 << 30)
        file.seek(700 << 20)
        file.write(b"something")
    before = used(moss)
    context.ok("-t", "hole", timeout=30)
    assert used(moss) - before < 4 << 20


def used(moss):
    """Bytes on disk below the store."""
    total = 0
    for directory, _, files in os.walk(moss.root):
        for name in files:
            try:
                total += os.lstat(f"{directory}/{name}").st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def test_a_file_that_is_written_meanwhile(context, copied):
    """What was half of one and half of the other is nobody's cache hit."""
    file = context.path / "f"
    ended = threading.Event()

    def write():
        number = 0
        while not ended.is_set():
            number += 1
            file.write_text(f"{number % 10}" * 300000)

    file.write_text("0" * 300000)
    writer = threading.Thread(target=write)
    writer.start()
    context.dockerfile("FROM scratch\nCOPY f /")
    try:
        for _ in range(5):
            result = context.build()
            assert result.code == 0, result
    finally:
        ended.set()
        writer.join()
    for text in ("a", "b"):
        file.write_text(text * 300000)
        assert copied("COPY f /") == {"f": text * 300000}


def test_a_file_that_is_replaced_by_a_link(context):
    """Whatever the moment: nothing from outside comes in."""
    target = pathlib.Path("/etc/passwd")
    file = context.path / "f"
    ended = threading.Event()

    def replace():
        while not ended.is_set():
            for make in (lambda: spare.symlink_to(target),
                         lambda: spare.write_text("mine")):
                spare.unlink(missing_ok=True)
                make()
                spare.rename(file)

    spare = context.path / "spare"
    file.write_text("mine")
    writer = threading.Thread(target=replace)
    writer.start()
    context.dockerfile("FROM busybox\nCOPY f /x\nRUN cat /x\n")
    try:
        for _ in range(5):
            result = context.build("--no-cache")
            assert target.read_text().splitlines()[0] not in result.err
            assert result.code == 0 or "\"/f\"" in result.err, result
    finally:
        ended.set()
        writer.join()
