"""moss export and moss cp: files out of containers and images."""
import io
import os
import pty
import signal
import stat
import struct
import subprocess
import tarfile
import time

import pytest

from conftest import skip, wait_for

DRIVERS = ["overlay", "fuse-overlayfs"]
# cap_net_bind_service=ep, as capabilities(7) writes it (VFS_CAP_REVISION_2).
BIND_SERVICE = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0).decode()


@pytest.fixture(params=DRIVERS)
def driver(request):
    if request.param == "fuse-overlayfs" and not os.access("/dev/fuse", os.R_OK):
        skip("/dev/fuse")
    return request.param


@pytest.fixture
def images(moss):
    """Removes the images a test has made."""
    before = set(moss("images", "-aq", "--no-trunc").out.split())
    yield
    moss.remove_all()
    for image in set(moss("images", "-aq", "--no-trunc").out.split()) - before:
        moss("rmi", "-f", image)


@pytest.fixture
def work(moss, driver):
    """A stopped container with something to copy."""
    moss.ok("run", "--name", "work", "--storage-driver", driver, "busybox", "sh",
            "-c", "mkdir -p /data/sub; echo one > /data/one; cd /data/sub; "
            "echo two > two; ln two hard; ln -s ../one link; ln -s /data abs; "
            "ln -s /nowhere dangling; chown 33:4 two; chmod 4755 two; "
            "ln -s loop loop; mkfifo pipe; ln -s ../../../../etc/passwd up; "
            "rm /etc/group")
    return "work"


def exported(moss, name, *args):
    data = moss("export", *args, name, text=False, check=0).out
    return tarfile.open(fileobj=io.BytesIO(data))


def test_export(moss, work):
    with exported(moss, work) as tar:
        entries = {m.name: m for m in tar}
        content = tar.extractfile("data/sub/two" if not
                                  entries["data/sub/two"].islnk()
                                  else "data/sub/hard").read()
    assert content == b"two\n"
    assert {"bin/busybox", "etc/passwd", "data", "data/one"} <= set(entries)
    # What was removed is not there, nor how that is written down.
    assert not [name for name in entries if ".wh." in name or name == "etc/group"]
    assert list(entries) == sorted(entries, key=lambda n: os.fsencode(n).split(b"/"))
    first, second = entries["data/sub/hard"], entries["data/sub/two"]
    assert second.islnk() and second.linkname == "data/sub/hard"
    assert (first.mode, first.uid, first.gid) == (0o4755, 33, 4)
    assert entries["data/sub/pipe"].isfifo()
    assert entries["bin/sh"].issym()


def test_export_to_file(moss, work, tmp_path):
    moss.ok("export", "-o", tmp_path / "e.tar", work)
    assert os.listdir(tmp_path) == ["e.tar"]
    with open(tmp_path / "e.tar", "rb") as file:
        assert file.read() == moss("export", work, text=False).out
    listed = subprocess.run(["tar", "-tf", tmp_path / "e.tar"], check=True,
                            text=True, stdout=subprocess.PIPE)
    assert "data/sub/pipe" in listed.stdout
    result = moss("export", "-o", tmp_path, work, check=1)
    assert "is a directory" in result.err
    with open("/dev/full", "w") as full:
        process = subprocess.run([moss.program, "export", work], env=moss.env,
                                 stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1
    assert process.stderr.startswith(
        "moss: cannot write standard output: No space left on device\n")
    assert moss("export", "nosuch", check=1).err == "moss: No such container: nosuch\n"


@pytest.mark.parametrize("args", [["export", "work"], ["cp", "work:/bin", "-"],
                                  ["save", "busybox"]])
def test_reader_that_has_seen_enough(moss, args):
    """As any program in front of `| head`: no word, the signal's death."""
    moss.ok("create", "--name", "work", "busybox", "true")
    process = moss.popen(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait() == -signal.SIGPIPE
    assert process.stderr.read() == b""


def test_export_refuses_a_terminal(moss, work):
    ours, theirs = pty.openpty()
    process = subprocess.run([moss.program, "export", work], env=moss.env,
                             stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 1
    assert "cowardly refusing to save to a terminal" in process.stderr


def test_export_leaves_volumes_out(moss, tmp_path):
    moss.ok("run", "--name", "work", "-v", "data:/data", "-v", f"{tmp_path}:/host",
            "busybox", "sh", "-c", "echo > /data/v; echo > /host/h")
    with exported(moss, "work") as tar:
        names = tar.getnames()
    assert "data" in names and "host" in names
    assert "data/v" not in names and "host/h" not in names
    # But they can be copied.
    assert moss.ok("cp", "work:/data/v", tmp_path / "copy") == ""
    assert (tmp_path / "copy").read_text() == "\n"
    moss.remove_all()
    moss.ok("volume", "rm", "data")


def test_running_and_never_started(moss, driver):
    moss.ok("run", "-d", "--name", "work", "--storage-driver", driver, "busybox",
            "sh", "-c", "echo here > /file; exec sleep 1000")
    wait_for(lambda: moss("exec", "work", "test", "-s", "/file").code == 0)
    with exported(moss, "work") as tar:
        assert tar.extractfile("file").read() == b"here\n"
    # Nothing of it is left in the container's view or the host's.
    assert "merged" not in open("/proc/self/mountinfo").read()
    moss.ok("exec", "work", "sh", "-c", "echo more >> /file")
    with exported(moss, "work") as tar:
        assert tar.extractfile("file").read() == b"here\nmore\n"
    moss.ok("create", "--name", "fresh", "--storage-driver", driver, "busybox",
            "true")
    with exported(moss, "fresh") as tar:
        assert "etc/group" in tar.getnames()


def special_root(path):
    """Everything tar can say, as one archive; GNU tar adds the sparse file."""
    base = 1700000000
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0,
                link="", device=(0, 0), mtime=base, **headers):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = kind, mode, uid, gid
            info.linkname, info.size, info.mtime = link, len(data), mtime
            info.devmajor, info.devminor = device
            info.pax_headers = {k.replace("__", "."): v for k, v in headers.items()}
            tar.addfile(info, io.BytesIO(data))

        busybox = subprocess.check_output(["sh", "-c", "cat $(command -v busybox)"])
        for name in ("bin", "dev", "etc", "proc", "sys", "deep", "empty",
                     "names", "nodes"):
            add(name, tarfile.DIRTYPE, mode=0o755)
        add("bin/busybox", data=busybox, mode=0o755)
        add("bin/sh", tarfile.SYMTYPE, link="busybox", mode=0o777)
        add("bin/true", tarfile.SYMTYPE, link="busybox", mode=0o777)
        add("etc/setuid", data=b"x", mode=0o6755, uid=33, gid=50)
        add("etc/sticky", tarfile.DIRTYPE, mode=0o1777, uid=1000, gid=1000)
        add("etc/marked", data=b"y", SCHILY__xattr__user__one="1",
            SCHILY__xattr__user__two="a b")
        add("etc/capable", data=b"x", mode=0o755,
            SCHILY__xattr__security__capability=BIND_SERVICE)
        add("etc/first", data=b"linked")
        add("etc/second", tarfile.LNKTYPE, link="etc/first")
        add("etc/fraction", data=b"z", mtime=base + 0.123456789,
            mtime_="")
        add("etc/old", data=b"", mtime=-86400)
        add("dev/zero", tarfile.CHRTYPE, mode=0o666, device=(1, 5))
        add("dev/disk", tarfile.BLKTYPE, mode=0o660, gid=6, device=(8, 16))
        add("dev/pipe", tarfile.FIFOTYPE, mode=0o600, uid=7)
        for name in "nodes/kept", "nodes/gone", "nodes/file":
            add(name, tarfile.CHRTYPE, mode=0o600, device=(1, 7))
        long = "/".join(["d" * 90] * 4)
        add(f"deep/{long}/file", data=b"deep")
        add("deep/link", tarfile.SYMTYPE, link="t" * 300, mode=0o777)
        for name in "names/new\nline", "names/ütf", os.fsdecode(b"names/lat\xe9"):
            add(name, data=name.encode(errors="surrogateescape"))
    with open(path.with_name("hole"), "wb") as hole:
        for place in 0, 5 << 20, 40 << 20:
            hole.seek(place)
            hole.write(b"data")
        hole.truncate(50 << 20)
    subprocess.run(["tar", "-C", path.parent, "--owner=0", "--group=0", "-S",
                    "--mtime=@1700000000", "--format=posix",
                    "--pax-option=delete=atime,delete=ctime", "-rf", path,
                    "hole"], check=True)


def entries_of(data):
    """All that an archive says, by name."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for m in tar:
            content = tar.extractfile(m).read() if m.isfile() else b""
            xattrs = {k: v for k, v in m.pax_headers.items() if "xattr" in k}
            found[m.name] = (m.type if not m.issparse() else tarfile.REGTYPE,
                             m.mode, m.uid, m.gid, m.size if m.isfile() else 0,
                             m.linkname, (m.devmajor, m.devminor),
                             m.pax_headers.get("mtime", str(int(m.mtime))),
                             xattrs, content)
    return found


def test_everything_comes_back(moss, images, driver, tmp_path):
    """import, save, load, commit, commit again, export: nothing is lost."""
    special_root(tmp_path / "root.tar")
    moss.ok("import", tmp_path / "root.tar", "special:1")
    moss.ok("save", "-o", tmp_path / "saved.tar", "special:1")
    image = moss.ok("image", "inspect", "-f", "{{.Id}}", "special:1")
    moss.ok("rmi", "special:1")
    moss.ok("load", "-i", tmp_path / "saved.tar")
    assert moss.ok("image", "inspect", "-f", "{{.Id}}", "special:1") == image
    run = ["--storage-driver", driver]
    moss.ok("run", "--name", "first", *run, "special:1", "true")
    moss.ok("commit", "first", "special:2")
    # The same again, now all of it from the container's own layer.
    moss.ok("run", "--name", "second", *run, "special:2", "sh", "-c",
            "busybox cp -a /etc /etc2 && busybox touch -c -d @5 /etc2/setuid")
    moss.ok("commit", "second", "special:3")
    moss.ok("create", "--name", "third", *run, "special:3", "true")

    with open(tmp_path / "root.tar", "rb") as file:
        wanted = entries_of(file.read())
    data = moss("export", "third", text=False, check=0).out
    found = entries_of(data)
    # Directories that the archive did not tell of, and what was added.
    extra = {n for n in set(found) - set(wanted) if not n.startswith("etc2")}
    assert all(n.startswith("deep/") for n in extra), extra
    first, second = found.pop("etc/first"), found.pop("etc/second")
    assert first[-1] == b"linked" and second[5] == "etc/first"
    del wanted["etc/first"], wanted["etc/second"]
    for name, entry in wanted.items():
        if name in ("dev", "etc", "proc", "sys"):
            assert found[name][:4] == entry[:4], name
        else:
            assert found[name] == entry, name
    # A hole stays one.
    assert len(data) < 20 << 20
    assert found["etc2/setuid"][1:4] == (0o6755, 33, 50)
    assert found["etc2/setuid"][7] == "5"
    assert found["etc2/second"][5] == "etc2/first"
    listed = subprocess.run(["tar", "-tvf", "-"], input=data, check=True,
                            stdout=subprocess.PIPE).stdout.decode(errors="replace")
    assert "crw-rw-rw-" in listed and "brw-rw----" in listed
    # An import of it is the same tree once more.
    moss.ok("import", "-", "special:4", stdin=data, text=False)
    moss.ok("create", "--name", "fourth", *run, "special:4", "true")
    assert moss("export", "fourth", text=False, check=0).out == data


def test_replaced_device_is_a_file(moss, images, tmp_path):
    special_root(tmp_path / "root.tar")
    moss.ok("import", tmp_path / "root.tar", "special:1")
    # What is mounted there is no matter of the image's nodes.
    moss.ok("run", "--name", "work", "-v", f"{tmp_path}:/dev", "special:1", "sh",
            "-c", "cd nodes; busybox rm gone file; : > file")
    moss.ok("commit", "work", "special:2")
    moss.ok("create", "--name", "above", "special:2", "true")
    for name in "work", "above":
        with exported(moss, name) as tar:
            entries = {m.name: m for m in tar}
        assert entries["dev/zero"].ischr() and entries["dev/disk"].isblk()
        assert entries["nodes/kept"].ischr()
        assert entries["nodes/file"].isreg() and "nodes/gone" not in entries
    data = moss("cp", "work:/dev/.", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert "./root.tar" in tar.getnames()
    data = moss("cp", "special:1:/dev", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        entries = {m.name: m for m in tar}
    assert entries["dev/zero"].ischr() and entries["dev/zero"].devminor == 5
    assert entries["dev/pipe"].isfifo()
    data = moss("cp", "special:1:/dev/disk", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(m.name, m.isblk()) for m in tar] == [("disk", True)]


# ---- cp ----


def test_cp_names(moss, work, tmp_path, monkeypatch):
    """docker's rules, one after the other."""
    monkeypatch.chdir(tmp_path)
    copy = lambda source, to: moss.ok("cp", source, to)  # noqa: E731
    copy("work:/data/one", ".")
    assert open("one").read() == "one\n"
    copy("work:data/one", "renamed")
    assert open("renamed").read() == "one\n"
    os.mkdir("there")
    copy("work:/data/sub/two", "there/")
    assert open("there/two").read() == "two\n"
    # Over a file, also through a link of the user's.
    os.symlink("renamed", "alias")
    copy("work:/data/sub/two", "alias")
    assert open("renamed").read() == "two\n" and os.path.islink("alias")
    copy("work:/data", "new")
    assert sorted(os.listdir("new")) == ["one", "sub"]
    copy("work:/data", "there")
    assert sorted(os.listdir("there/data")) == ["one", "sub"]
    os.chmod("there", 0o750)
    copy("work:/data/.", "there")
    assert {"one", "sub", "two", "data"} == set(os.listdir("there"))
    assert stat.S_IMODE(os.stat("there").st_mode) == 0o750
    copy("work:/data/sub/link", "link")
    assert os.readlink("link") == "../one"
    copy("work:/data/sub/abs/", "through")
    assert os.path.exists("through/sub/two")
    # Everything is the user's, and gives nobody any rights.
    for top, directories, files in os.walk("."):
        for name in directories + files:
            st = os.lstat(os.path.join(top, name))
            assert st.st_uid == os.getuid() and st.st_gid == os.getgid()
            assert not st.st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_cp_follows_links_inside(moss, work, tmp_path):
    """A link leads where it would in the container, never to the host."""
    host = open("/etc/passwd").read()
    moss.ok("cp", "-L", "work:/data/sub/up", tmp_path / "up")
    assert (tmp_path / "up").read_text() != host
    assert "web:x:1000" in (tmp_path / "up").read_text()
    moss.ok("cp", "-L", "work:/data/sub/link", tmp_path)
    assert (tmp_path / "link").read_text() == "one\n"
    moss.ok("cp", "-L", "work:/data/sub/abs", tmp_path / "abs")
    assert (tmp_path / "abs/sub/two").read_text() == "two\n"
    moss.ok("cp", "work:/../../data/../data/one", tmp_path / "dots")
    assert (tmp_path / "dots").read_text() == "one\n"
    assert moss.ok("cp", "work:/data/sub/abs/one", tmp_path / "dir") == ""


@pytest.mark.parametrize("args, message", [
    (["work:/nope", "."], "Could not find the file /nope in container work"),
    (["work:/data/one/x", "."], "Could not find the file /data/one/x"),
    (["work:/data/one/", "."], "Could not find the file /data/one/"),
    (["-L", "work:/data/sub/dangling", "."], "Could not find the file"),
    (["-L", "work:/data/sub/loop", "."], "Too many levels of symbolic links"),
    (["work:/data/one", "no/x"], "invalid output path"),
    (["work:/data/one", "no/"], "must exist"),
    (["work:/data", "file"], "cannot copy directory /data over file file"),
    (["work:/data/one", "/dev/null"], "must be a directory or a regular file"),
    (["work:/data/one", "blocked"], "cannot overwrite directory"),
    (["work:/data/one", "lost"], "leads nowhere"),
    (["nosuch:/x", "."], "No such container or image: nosuch"),
    (["work:/x", "work:/y"], "copying between containers is not supported"),
    (["./file", "x"], "must specify at least one container source"),
    (["work:/data/sub/two", "file/"], "Not a directory"),
])
def test_cp_refused(moss, work, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    open("file", "w").close()
    os.makedirs("blocked/one")
    os.symlink("nowhere", "lost")
    result = moss("cp", *args, check=1)
    assert message in result.err, result
    assert sorted(os.listdir(".")) == ["blocked", "file", "lost"]


def test_cp_archive_keeps_owners(moss, work, tmp_path):
    moss.ok("cp", "-a", "work:/data/sub/two", tmp_path / "two")
    st = os.stat(tmp_path / "two")
    assert st.st_uid != os.getuid() and st.st_mode & stat.S_ISUID
    moss.ok("run", "--rm", "-v", f"{tmp_path}:/t", "busybox", "rm", "/t/two")


def test_cp_stream(moss, work):
    data = moss("cp", "work:/data", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        entries = {m.name: m for m in tar}
    assert entries["data/sub/hard"].uid == 33 and "data/one" in entries
    assert entries["data/sub/two"].linkname == "data/sub/hard"
    data = moss("cp", "work:/data/.", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {".", "./one", "./sub"} <= set(tar.getnames())
    data = moss("cp", "work:/", "-", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert "./bin/busybox" in tar.getnames()


def test_cp_from_image(moss, images, tmp_path):
    moss.ok("cp", "busybox:/etc/passwd", tmp_path)
    assert "web:x:1000" in (tmp_path / "passwd").read_text()
    moss.ok("tag", "busybox", "localhost:5000/some/box:1.0")
    moss.ok("cp", "localhost:5000/some/box:1.0:/etc/group", tmp_path)
    assert "staff:x:50" in (tmp_path / "group").read_text()
    image = moss.ok("images", "-q", "busybox").split()[0]
    moss.ok("cp", f"{image}:/etc/group", tmp_path / "again")
    # A container's name goes before an image's.
    moss.ok("run", "--name", "busybox", "busybox", "sh", "-c", "echo > /mine")
    moss.ok("cp", "busybox:/mine", tmp_path)
    moss.ok("rmi", "localhost:5000/some/box:1.0")


def test_cp_nested_mounts(moss, tmp_path):
    """In whatever order they were given."""
    for name in "outer", "inner":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "outer/in").mkdir()
    moss.ok("create", "--name", "work", "-v", f"{tmp_path}/inner:/m/in",
            "-v", f"{tmp_path}/outer:/m", "busybox", "true")
    moss.ok("start", "-a", "work")
    moss.ok("cp", "work:/m/in/file", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "inner"


def test_cp_network_files(moss, tmp_path):
    moss.ok("run", "-d", "--name", "work", "-h", "boxname", "busybox", "sleep",
            "1000")
    moss.ok("cp", "work:/etc/hostname", tmp_path)
    assert (tmp_path / "hostname").read_text() == "boxname\n"


def test_hostile_changes(moss, driver, tmp_path):
    """A tree that changes all the time gives whole archives, and no more."""
    moss.ok("run", "-d", "--name", "work", "--storage-driver", driver, "busybox",
            "sh", "-c", "mkdir /d; cd /d; while :; do mkdir x; echo a > x/f; "
            "mv x y 2>/dev/null; ln -s /etc x; rm -rf x y; mkfifo y; rm y; "
            "echo > y; echo aaaaaaaa > y; rm -rf y x; done")
    for _ in range(5):
        with exported(moss, "work") as tar:
            names = tar.getnames()
        assert "etc/passwd" in names and "d/x/passwd" not in names
        result = moss("commit", "-p=false", "work", "hostile")
        assert result.code == 0, result
    moss.ok("rm", "-f", "work")
    moss.ok("run", "--rm", "hostile", "true")
    moss.ok("rmi", "hostile")


def test_holes_are_not_written(moss, driver, tmp_path):
    """Whether the file system tells of them or not."""
    moss.ok("run", "--name", "work", "--storage-driver", driver, "busybox", "sh",
            "-c", "dd if=/dev/zero of=/hole bs=1 count=1 seek=1000000000 "
            "2>/dev/null; echo data | dd of=/hole bs=4096 seek=1000 "
            "conv=notrunc 2>/dev/null")
    data = moss("export", "work", text=False, check=0).out
    assert len(data) < 10 << 20
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        hole = tar.extractfile("hole")
        hole.seek(4096000)
        assert tar.getmember("hole").size == 1000000001
        assert hole.read(5) == b"data\n"
    moss.ok("cp", "work:/hole", tmp_path)
    assert os.stat(tmp_path / "hole").st_blocks < 1000


def test_killed_export_leaves_nothing(moss, tmp_path):
    moss.ok("run", "--name", "work", "busybox", "sh", "-c",
            "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null")
    for delay in 0.02, 0.05, 0.1, 0.2:
        process = moss.popen("export", "-o", tmp_path / "e.tar", "work",
                             stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        done = process.wait() == 0
        names = os.listdir(tmp_path)
        assert names == (["e.tar"] if done else []) or not done
        for name in names:
            assert name == "e.tar", names
            os.unlink(tmp_path / name)
    # The next command removes what is left, once the last helper has died.
    wait_for(lambda: moss("images").code == 0 and
             not list((moss.root / "tmp").iterdir()))


def test_removed_while_it_is_read(moss):
    moss.ok("run", "--name", "work", "busybox", "sh", "-c",
            "dd if=/dev/urandom of=/big bs=1M count=20 2>/dev/null")
    process = moss.popen("export", "work", stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    process.stdout.read(4096)
    moss.ok("rm", "work")
    process.stdout.read()
    assert process.wait() == 1
    assert b"was removed while it was read" in process.stderr.read()


def test_a_volume_is_removed_while_it_is_read(moss, tmp_path):
    """What the end of a --rm container does first."""
    moss.ok("run", "--name", "work", "-v", "data:/data", "busybox", "sh", "-c",
            "for i in 1 2 3; do head -c 9000000 /dev/zero > /data/$i; done")
    with moss.popen("cp", "work:/data", "-", stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        (moss.root / "volumes/data").rename(tmp_path / "data")
        process.stdout.read()
        assert process.wait(10) == 1
        assert b"was removed while it was read" in process.stderr.read()
    (tmp_path / "data").rename(moss.root / "volumes/data")
    moss.remove_all()
    moss.ok("volume", "rm", "data")


def test_volumes_of_one_never_started(moss, driver, tmp_path):
    """They are where they will be, with what the image has there."""
    moss.ok("run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", "echo > /v/v")
    moss.ok("create", "--name", "work", "--storage-driver", driver,
            "-v", "data:/no/such", "-v", f"{__file__}:/no/file:ro",
            "-v", "/etc", "busybox", "cat", "/etc/passwd", "/etc/new")
    for path, name in [("/no/such/v", "v"), ("/no/file", "file"),
                       ("/etc/passwd", "passwd")]:
        data = moss("cp", f"work:{path}", "-", text=False, check=0).out
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert tar.getnames() == [name]
    # What is copied in does not keep the volume from being filled.
    moss.ok("rm", "-v", "work")
    moss.ok("create", "--name", "work", "--storage-driver", driver,
            "-v", "/etc", "busybox", "cat", "/etc/passwd", "/etc/new")
    (tmp_path / "new").write_text("new\n")
    moss.ok("cp", tmp_path / "new", "work:/etc")
    assert moss.ok("start", "-a", "work").splitlines()[-1] == "new"
    assert moss.ok("logs", "work").startswith("root:")
    moss.remove_all()
    moss.ok("volume", "rm", "data")
