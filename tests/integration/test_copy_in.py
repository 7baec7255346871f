"""moss cp into containers: docker's rules for names, owners, hostile roots."""
import io
import os
import subprocess
import tarfile
import time

import pytest

DRIVERS = ["overlay", "fuse-overlayfs"]


@pytest.fixture(params=[(driver, state) for driver in DRIVERS
                        for state in ("running", "created", "exited")],
                ids=lambda param: "-".join(param))
def box(request, moss):
    """A container called box that was never started, runs or ran."""
    driver, state = request.param
    options = ["--name", "box", "--storage-driver", driver, "busybox"]
    prepare = "mkdir -p /dir; echo old >/file; ln -s /file /link; "
    if state == "running":
        moss.ok("run", "-d", *options, "sh", "-c",
                prepare + ">/ready; exec sleep 1000")
        moss.wait_for(lambda: moss("exec", "box", "test", "-e", "/ready").code == 0)
    elif state == "exited":
        moss.ok("run", *options, "sh", "-c", prepare)
    else:
        moss.ok("create", *options, "sh", "-c", "sleep 1000")
        seed = io.BytesIO()
        with tarfile.open(fileobj=seed, mode="w") as tar:
            add(tar, "dir/", type=tarfile.DIRTYPE, mode=0o755)
            add(tar, "file", b"old\n")
            add(tar, "link", type=tarfile.SYMTYPE, linkname="/file")
        moss("cp", "-", "box:/", stdin=seed.getvalue(), text=False, check=0)
    return "box"


def add(tar, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def archive(*entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data, fields in entries:
            add(tar, name, data, **fields)
    return buffer.getvalue()


def look(moss, path):
    """Of the container's path: its tar entries by name, and their contents."""
    data = moss("cp", f"box:{path}", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name.strip("/"):
                (member, tar.extractfile(member).read() if member.isfile() else None)
                for member in tar}


def content(moss, path):
    (entry,) = look(moss, path).values()
    return entry[1].decode()


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/a").write_text("a\n")
    (tmp_path / "src/sub/b").write_text("b\n")
    (tmp_path / "src/to-a").symlink_to("a")
    os.link(tmp_path / "src/a", tmp_path / "src/again")
    (tmp_path / "one").write_text("one\n")
    (tmp_path / "one").chmod(0o640)
    os.utime(tmp_path / "one", (1_000_000_000, 1_000_000_000))
    (tmp_path / "to-one").symlink_to("one")
    (tmp_path / "to-src").symlink_to("src")
    return tmp_path


def test_files(moss, box, tree):
    assert moss.ok("cp", tree / "one", "box:/dir") == ""
    member, data = look(moss, "/dir/one")["one"]
    assert data == b"one\n" and member.mode == 0o640
    assert member.mtime == 1_000_000_000
    # Whoever has made it, it is the container's root's.
    assert (member.uid, member.gid) == (0, 0)
    # Over a file, through a link, under a new name, with and without "/".
    moss.ok("cp", tree / "one", "box:/link")
    assert content(moss, "/file") == "one\n"
    assert look(moss, "/link")["link"][0].issym()
    moss.ok("cp", tree / "one", "box:newname")
    assert content(moss, "/newname") == "one\n"
    moss.ok("container", "cp", tree / "src/a", "box:/dir/one")
    assert content(moss, "/dir/one") == "a\n"


def test_directories(moss, box, tree):
    moss.ok("cp", tree / "src", "box:/dir")
    names = set(look(moss, "/dir/src"))
    assert names == {"src", "src/a", "src/again", "src/sub", "src/sub/b",
                     "src/to-a"}
    moss.ok("cp", str(tree / "src") + "/.", "box:/dir")
    assert {"dir/a", "dir/sub/b", "dir/src/a"} <= set(look(moss, "/dir"))
    # Under a name that is not there yet; then into it.
    moss.ok("cp", tree / "src", "box:/made")
    assert set(look(moss, "/made")) == {name.replace("src", "made", 1)
                                        for name in names}
    moss.ok("cp", tree / "src", "box:/made/")
    assert "made/src/sub/b" in look(moss, "/made")
    hard = look(moss, "/made")
    assert sum(member.islnk() for member, _ in hard.values()) == 2


def test_links_of_the_source(moss, box, tree):
    moss.ok("cp", tree / "to-one", "box:/dir/")
    assert look(moss, "/dir/to-one")["to-one"][0].linkname == "one"
    moss.ok("cp", "-L", tree / "to-one", "box:/dir/followed")
    assert content(moss, "/dir/followed") == "one\n"
    moss.ok("cp", "-L", tree / "to-src", "box:/dir")
    assert "to-src/sub/b" in look(moss, "/dir/to-src")


def test_relative_names(moss, box, tree):
    moss.ok("cp", "one", "box:/dir", cwd=tree)
    moss.ok("cp", ".", "box:/dir", cwd=tree / "src")
    moss.ok("cp", "..", "box:/made", cwd=tree / "src/sub")
    assert {"dir/one", "dir/a", "dir/sub/b"} <= set(look(moss, "/dir"))
    assert "made/sub/b" in look(moss, "/made")


@pytest.mark.parametrize("source, path, words", [
    ("one", "/nodir/x", "Could not find the file /nodir"),
    ("one", "/nodir/", "the destination directory /nodir/ must exist"),
    ("src", "/nodir/x", "Could not find the file /nodir"),
    ("src", "/file", "cannot copy directory src over file /file"),
    ("one", "/file/x", "Could not find the file /file/x"),
    ("nosuch", "/dir", "cannot open nosuch: No such file or directory"),
    ("/etc/shadow", "/dir", "/etc/shadow" if os.geteuid() == 0 else "Permission denied"),
])
def test_what_cannot_be(moss, box, tree, source, path, words):
    result = moss("cp", source, f"box:{path}", cwd=tree)
    assert result.code == 1 and words in result.err
    assert content(moss, "/file") == "old\n"


def test_kinds_do_not_replace_each_other(moss, box, tree):
    (tree / "up/dir").mkdir(parents=True)
    (tree / "down").mkdir()
    (tree / "down/dir").write_text("a file")
    moss.ok("cp", str(tree / "up") + "/.", "box:/")
    result = moss("cp", str(tree / "down") + "/.", "box:/")
    assert result.code == 1 and "cannot overwrite directory" in result.err
    (tree / "up/file").mkdir()
    result = moss("cp", str(tree / "up") + "/.", "box:/")
    assert result.code == 1 and "cannot overwrite non-directory" in result.err
    assert content(moss, "/file") == "old\n"


@pytest.mark.parametrize("packed", ["", "gz", "xz"])
def test_archives(moss, box, packed):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{packed}") as tar:
        add(tar, "./", type=tarfile.DIRTYPE, mode=0o700, uid=5, gid=5)
        add(tar, "./in/", type=tarfile.DIRTYPE, mode=0o750, uid=33, gid=44)
        add(tar, "./in/f", b"data", uid=33, gid=44, mode=0o4711)
        add(tar, "./in/node", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
        add(tar, "./in/hard", type=tarfile.LNKTYPE, linkname="./in/f")
    result = moss("cp", "-", "box:/dir", stdin=buffer.getvalue(), text=False)
    assert result.code == 0 and b"1 devices were left out" in result.err
    found = look(moss, "/dir")
    # The directory itself is as it was.
    assert found["dir"][0].mode == 0o755 and found["dir"][0].uid == 0
    member, data = found["dir/in/f"]
    assert (member.uid, member.gid, member.mode) == (33, 44, 0o4711)
    assert data == b"data" and found["dir/in/hard"][0].islnk()
    assert "dir/in/node" not in found


def test_archives_need_a_directory(moss, box):
    data = archive(("f", b"x", {}))
    for path, words in (("/file", b"must be a directory"),
                        ("/nosuch", b"Could not find the file /nosuch")):
        result = moss("cp", "-", f"box:{path}", stdin=data, text=False)
        assert result.code == 1 and words in result.err
    result = moss("cp", "-", "box:/dir", stdin=data[:700], text=False)
    assert result.code == 1 and result.err


@pytest.mark.parametrize("entries", [
    [("../escaped", b"x", {})],
    [("ln", b"", {"type": tarfile.SYMTYPE, "linkname": "HOST"}),
     ("ln/escaped", b"x", {})],
    [("ln", b"", {"type": tarfile.SYMTYPE, "linkname": "../../../../../../HOST"}),
     ("ln/escaped", b"x", {})],
    [("stolen", b"", {"type": tarfile.LNKTYPE, "linkname": "HOST/secret"})],
    [(".wh.file", b"", {})],
    [("dir/.wh..wh..opq", b"", {})],
])
def test_hostile_archives(moss, box, tmp_path, entries):
    host = tmp_path / "host"
    host.mkdir(mode=0o777)
    (host / "secret").write_text("secret")
    entries = [(name, data, {key: value.replace("HOST", str(host))
                             if key == "linkname" else value
                             for key, value in fields.items()})
               for name, data, fields in entries]
    moss("cp", "-", "box:/dir", stdin=archive(*entries), text=False)
    assert os.listdir(host) == ["secret"]
    assert not (tmp_path / "escaped").exists()
    assert content(moss, "/file") == "old\n"


@pytest.mark.parametrize("driver", DRIVERS)
def test_hostile_roots(moss, tmp_path, tree, driver):
    """Links of the container's lead where they would in it."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "victim").write_text("victim")
    for state in ("run", "create"):
        script = (f"mkdir -p {host}; ln -s {host} /abs; "
                  f"ln -s ../../../../../..{host} /rel; "
                  f"ln -s {host}/victim /vic; echo mine >{host}/victim; "
                  "ln -s /proc/self/root /magic; ln -s /loop /loop; ")
        if state == "run":
            moss.ok("run", "-d", "--name", "box", "--storage-driver", driver,
                    "busybox", "sh", "-c", script + "exec sleep 1000")
            moss.wait_for(
                lambda: moss("exec", "box", "test", "-L", "/loop").code == 0)
        else:
            moss.ok("run", "--name", "box", "--storage-driver", driver,
                    "busybox", "sh", "-c", script)
        for path in ("/abs", "/rel/", "/abs/new", "/vic"):
            moss.ok("cp", tree / "one", f"box:{path}")
        assert content(moss, f"{host}/victim") == "one\n"
        assert {"host/one", "host/new"} <= set(look(moss, str(host)))
        for path in ("/loop", "/loop/x"):
            assert moss("cp", tree / "one", f"box:{path}").code == 1
        moss("cp", tree / "one", "box:/magic/escaped")
        moss.ok("rm", "-f", "box")
    assert (host / "victim").read_text() == "victim"
    assert os.listdir(host) == ["victim"]
    assert not os.path.exists("/escaped")


def test_a_root_that_changes_meanwhile(moss, tmp_path, tree):
    """A program swaps a directory for a link to the host's all the time."""
    host = tmp_path / "host"
    host.mkdir()
    moss.ok("run", "-d", "--name", "box", "busybox", "sh", "-c",
            f"mkdir -p /a/real; ln -s {host} /a/evil; cd /a; >/ready; "
            "while :; do mv real swap; mv evil real; mv real evil; "
            "mv swap real; done")
    moss.wait_for(lambda: moss("exec", "box", "test", "-e", "/ready").code == 0)
    for _ in range(30):
        moss("cp", str(tree / "src") + "/.", "box:/a/real")
    assert os.listdir(host) == []


@pytest.mark.parametrize("state", ["run", "create"])
def test_volumes_and_mounts(moss, tree, tmp_path, state):
    bound = tmp_path / "bound"
    bound.mkdir()
    moss.ok("create", "--name", "box", "-v", "data:/data", "-v",
            f"{bound}:/bound", "-v", "data:/ro:ro", "busybox", "sleep", "1000")
    if state == "run":
        moss.ok("start", "box")
    moss.ok("cp", tree / "one", "box:/data")
    moss.ok("cp", tree / "one", "box:/bound/named")
    assert (bound / "named").read_text() == "one\n"
    assert (bound / "named").stat().st_uid == os.getuid()
    assert moss.ok("run", "--rm", "-v", "data:/d", "busybox", "cat",
                   "/d/one") == "one"
    result = moss("cp", tree / "src/a", "box:/ro")
    assert result.code == 1 and "Read-only file system" in result.err
    moss.ok("rm", "-f", "box")
    moss.ok("volume", "rm", "data")


@pytest.mark.parametrize("state", ["run", "create"])
def test_a_read_only_root(moss, tree, state):
    moss.ok("create", "--name", "box", "--read-only", "-v", "/vol", "busybox",
            "sleep", "1000")
    if state == "run":
        moss.ok("start", "box")
    result = moss("cp", tree / "one", "box:/root")
    assert result.code == 1 and "read-only" in result.err
    moss.ok("cp", tree / "one", "box:/vol")
    assert content(moss, "/vol/one") == "one\n"


def test_tmpfs_and_mounted_files_of_a_running_container(moss, tree):
    moss.ok("run", "-d", "--name", "box", "--tmpfs", "/fleeting", "busybox",
            "sleep", "1000")
    moss.ok("cp", tree / "one", "box:/fleeting")
    assert moss.ok("exec", "box", "cat", "/fleeting/one") == "one"
    before = moss.ok("exec", "box", "cat", "/etc/hosts")
    result = moss("cp", tree / "one", "box:/etc/hosts")
    assert result.code == 1 and "mounted" in result.err
    assert moss.ok("exec", "box", "cat", "/etc/hosts") == before


@pytest.mark.parametrize("userns", ["auto", "nomap"])
def test_shifted_ids(moss, tree, userns):
    moss.ok("run", "-d", "--name", "box", "--userns", userns, "busybox",
            "sleep", "1000")
    moss.ok("cp", tree / "src", "box:/made")
    assert moss.ok("exec", "box", "stat", "-c", "%u:%g",
                   "/made/sub/b") == "0:0"
    moss.ok("stop", "-t", "0", "box")
    moss.ok("cp", tree / "one", "box:/made")
    moss.ok("start", "box")
    assert moss.ok("exec", "box", "stat", "-c", "%u:%g %a",
                   "/made/one") == "0:0 640"


def test_a_paused_container(moss, tree):
    moss.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    moss.ok("pause", "box")
    moss.ok("cp", tree / "one", "box:/root")
    moss.ok("unpause", "box")
    assert moss.ok("exec", "box", "cat", "/root/one") == "one"


def test_archive_mode_keeps_owners(moss, box, tree, tmp_path):
    """What cp -a takes out it brings in again."""
    moss("cp", "-", "box:/dir", stdin=archive(
        ("f", b"x", {"uid": 33, "gid": 44, "mode": 0o600})), text=False, check=0)
    moss.ok("cp", "-a", "box:/dir/f", tmp_path / "out")
    assert os.lstat(tmp_path / "out").st_uid not in (0, 33, os.getuid())
    moss.ok("cp", "-a", tmp_path / "out", "box:/dir/back")
    member, _ = look(moss, "/dir/back")["back"]
    assert (member.uid, member.gid) == (33, 44)
    moss.ok("cp", tmp_path / "out", "box:/dir/plain")
    member, _ = look(moss, "/dir/plain")["plain"]
    assert (member.uid, member.gid) == (0, 0)


def test_the_end_of_the_client_ends_it(moss, tree):
    moss.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    client = moss.popen("cp", "-", "box:/root", stdin=subprocess.PIPE)
    client.stdin.write(archive(("f", b"x" * 4096, {}))[:2048])
    client.stdin.flush()
    time.sleep(0.5)
    client.kill()
    client.wait()
    # Nobody holds the container's lock any more.
    moss.ok("rename", "box", "chest", timeout=10)
    moss.ok("rm", "-f", "chest", timeout=20)


def test_a_stalled_archive_holds_nothing(moss, tmp_path):
    moss.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    data = archive(("f", b"x" * 4096, {}))
    client = moss.popen("cp", "-", "box:/root", stdin=subprocess.PIPE,
                        stderr=subprocess.PIPE)
    client.stdin.write(data[:2048])
    client.stdin.flush()
    moss.wait_for(lambda: list((moss.root / "tmp").glob("work-*/archive")))
    begin = time.monotonic()
    moss.ok("rename", "box", "chest")
    moss.ok("rename", "chest", "box")
    moss.ok("restart", "-t", "0", "box")
    assert time.monotonic() - begin < 10
    client.stdin.write(data[2048:])
    client.stdin.close()
    assert client.wait(10) == 0, client.stderr.read()
    assert moss.ok("exec", "box", "wc", "-c", "/root/f") == "4096 /root/f"
    assert not list((moss.root / "tmp").glob("work-*"))
    # One that is gone by then is said.
    client = moss.popen("cp", "-", "box:/root", stdin=subprocess.PIPE,
                        stderr=subprocess.PIPE)
    client.stdin.write(data[:2048])
    client.stdin.flush()
    moss.wait_for(lambda: list((moss.root / "tmp").glob("work-*/archive")))
    moss.ok("rm", "-f", "box")
    _, error = client.communicate(data[2048:], timeout=10)
    assert client.returncode == 1 and b"No such container: box" in error
    result = moss("cp", "-", "nosuch:/", stdin="", timeout=10)
    assert result.code == 1 and "No such container: nosuch" in result.err


@pytest.mark.parametrize("args, words", [
    (["a:/b", "c:/d"], "copying between containers is not supported"),
    (["a", "b"], "must specify at least one container source"),
    (["./x", "nosuch:/"], "No such container: nosuch"),
    (["./x", ":/path"], "no name before the colon"),
])
def test_operands(moss, args, words):
    result = moss("cp", *args)
    assert result.code == 1 and words in result.err


def test_big_files_and_holes(moss, tree):
    with open(tree / "big", "wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"middle")
    moss.ok("create", "--name", "box", "busybox", "sh", "-c",
            "stat -c %s /big; dd if=/big bs=1 skip=536870912 count=6 2>&-; "
            "[ $(du -k /big | cut -f1) -lt 10000 ] && echo sparse")
    moss.ok("cp", tree / "big", "box:/")
    assert moss.ok("start", "-a", "box") == "1073741824\nmiddlesparse"

