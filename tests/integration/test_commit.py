"""moss commit: what a container changed, as an image."""
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time

import pexpect
import pytest

from conftest import skip, wait_for

DRIVERS = ["overlay", "fuse-overlayfs"]


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


def config_of(moss, image):
    return json.loads(moss.ok("image", "inspect", image))[0]


def saved(moss, image, path):
    """The manifest and blobs of an image, as they are saved."""
    moss.ok("save", "-o", path, image)
    with tarfile.open(path) as tar:
        read = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    blobs = {name.split("/")[-1]: data for name, data in read.items()
             if name.startswith("blobs/")}
    index = json.loads(read["index.json"])
    manifest = json.loads(blobs[index["manifests"][0]["digest"].split(":")[1]])
    return manifest, blobs


def top_layer(moss, image, path):
    manifest, blobs = saved(moss, image, path)
    data = blobs[manifest["layers"][-1]["digest"].split(":")[1]]
    return tarfile.open(fileobj=io.BytesIO(data))


def test_changes(moss, images, driver, tmp_path):
    """Every kind of change is in the layer, and the image shows it."""
    moss.ok("run", "--name", "work", "--storage-driver", driver, "busybox", "sh",
            "-c", "echo new > /new; rm /etc/group; echo x >> /etc/passwd; "
            "rm -r /home; mkdir /home; echo > /home/in; mkdir /empty; "
            "ln /new /hard; ln -s new /soft; mkfifo /pipe; chmod 4711 /new; "
            "chown -h 33:4 /soft /empty; mkdir -m 1777 /var/deep; rm -r /srv; "
            "dd if=/dev/zero of=/hole bs=1 count=1 seek=20000000 2>/dev/null")
    image = moss.ok("commit", "work", "changed")
    assert image.startswith("sha256:")
    with top_layer(moss, "changed", tmp_path / "c.tar") as tar:
        names = {m.name: m for m in tar}
        plain = [n.replace(".wh.", "") for n in names if "opq" not in n]
        assert plain == sorted(plain)
    assert set(names) == {
        ".wh.srv", "empty", "etc", "etc/.wh.group", "etc/passwd", "hard",
        "hole", "home", "home/.wh..wh..opq", "home/in", "new", "pipe", "soft",
        "var", "var/deep"}
    assert names["hard"].mode == 0o4711
    assert names["new"].islnk() and names["new"].linkname == "hard"
    assert names["soft"].issym() and (names["soft"].uid, names["soft"].gid) == (33, 4)
    assert names["pipe"].isfifo()
    assert names["hole"].issparse() and names["hole"].size == 20000001
    assert names["var/deep"].mode == 0o1777
    for other in DRIVERS:
        out = moss.ok("run", "--rm", "--storage-driver", other, "changed", "sh",
                      "-c", "cat /new; ls /home; ls -d /etc/group /srv 2>&1 | "
                      "wc -l; stat -c '%a %h %u' /hard; stat -c %u /empty; "
                      "ls /etc/passwd; tail -n1 /etc/passwd; "
                      "stat -c '%s %F' /hole /pipe")
        assert out.split("\n") == ["new", "in", "2", "4711 2 0", "33",
                                   "/etc/passwd", "x", "20000001 regular file",
                                   "0 fifo"]


def test_nothing_changed(moss, images, driver, tmp_path):
    moss.ok("run", "--name", "work", "--storage-driver", driver, "busybox", "true")
    moss.ok("commit", "work", "same")
    base, same = config_of(moss, "busybox"), config_of(moss, "same")
    assert same["RootFS"] == base["RootFS"]
    assert same["Id"] != base["Id"]
    manifest, blobs = saved(moss, "same", tmp_path / "s.tar")
    config = json.loads(blobs[manifest["config"]["digest"].split(":")[1]])
    assert config["history"][-1]["empty_layer"] is True
    assert config["history"][-1]["created_by"] == "true"
    moss.ok("create", "--name", "never", "--storage-driver", driver, "busybox",
            "true")
    moss.ok("commit", "never", "same")
    assert config_of(moss, "same")["RootFS"] == base["RootFS"]


def test_config(moss, images, tmp_path):
    moss.ok("run", "--name", "work", "-e", "A=1", "-e", "B=2", "-l", "who=me",
            "-w", "/srv", "-u", "web", "--expose", "80", "-h", "box",
            "--stop-signal", "INT", "--entrypoint", "echo", "busybox", "hello")
    image = moss.ok("commit", "-a", "An Author", "-m", "A message",
                    "-c", "ENV B=3 C=$A", "-c", "LABEL what=that",
                    "-c", "EXPOSE 90/udp", "work", "conf:1")
    found = config_of(moss, "conf:1")
    assert found["Id"] == image
    assert found["Author"] == "An Author" and found["Comment"] == "A message"
    config = found["Config"]
    assert config["Env"] == ["A=1", "B=3", "C=1"]
    assert config["Labels"] == {"who": "me", "what": "that"}
    assert config["WorkingDir"] == "/srv" and config["User"] == "web"
    assert set(config["ExposedPorts"]) == {"80/tcp", "90/udp"}
    assert config["Entrypoint"] == ["echo"] and config["Cmd"] == ["hello"]
    assert config["StopSignal"] in ("INT", "SIGINT", "2")
    assert config["Hostname"] == ""
    assert moss.ok("run", "--rm", "conf:1") == "hello"
    assert moss.ok("run", "--rm", "conf:1", "other") == "other"
    # An entrypoint of its own has no use for the other's command.
    moss.ok("commit", "-c", 'ENTRYPOINT ["id","-un"]', "work", "conf:2")
    assert config_of(moss, "conf:2")["Config"]["Cmd"] is None
    assert moss.ok("run", "--rm", "conf:2") == "web"
    moss.ok("commit", "-c", 'CMD ["bye"]', "work", "conf:3")
    assert moss.ok("run", "--rm", "conf:3") == "bye"


def test_layers_add_up(moss, images, tmp_path):
    """A commit of a commit keeps all that is below."""
    moss.ok("tag", "busybox", "step:0")
    for i in range(3):
        moss.ok("run", "--name", f"work{i}", f"step:{i}", "sh", "-c",
                f"echo {i} > /file{i}; rm -f /file{i - 1}")
        moss.ok("commit", "-m", str(i), f"work{i}", f"step:{i + 1}")
    manifest, blobs = saved(moss, "step:3", tmp_path / "s.tar")
    assert len(manifest["layers"]) == 4
    config = json.loads(blobs[manifest["config"]["digest"].split(":")[1]])
    assert [h.get("comment") for h in config["history"]][-3:] == ["0", "1", "2"]
    assert moss.ok("run", "--rm", "step:3", "sh", "-c", "ls /file*") == "/file2"
    # What is saved is read back with the same ID.
    image = config_of(moss, "step:3")["Id"]
    moss.remove_all()
    for i in range(4):
        moss.ok("rmi", f"step:{i}")
    moss.ok("load", "-i", tmp_path / "s.tar")
    assert config_of(moss, "step:3")["Id"] == image


def test_equal_changes_are_an_equal_layer(moss, images, driver, tmp_path):
    """Packed and unpacked: it is there once, and is pushed once."""
    moss.ok("run", "--name", "work", "--storage-driver", driver, "busybox", "sh",
            "-c", "dd if=/dev/urandom of=/big bs=1M count=3 2>/dev/null; "
            "cp -a /bin /copy; mkdir /d; touch /d/a /d/b")
    layers = []
    for tag in "1", "2":
        moss.ok("commit", "work", f"equal:{tag}")
        manifest, _ = saved(moss, f"equal:{tag}", tmp_path / f"{tag}.tar")
        layers.append(manifest["layers"])
    assert layers[0] == layers[1] and len(layers[0]) == 2


def counter(moss, name, *options):
    """A container that counts as fast as it can, in two processes."""
    moss.ok("run", "-d", "--name", name, *options, "busybox", "sh", "-c",
            "n() { i=0; while :; do i=$((i+1)); echo $i > $1.new; mv $1.new $1; done; }; "
            "n /a & n /b")
    wait_for(lambda: moss("exec", name, "cat", "/a", "/b").code == 0)


def test_pause_and_go_on(moss, images, driver):
    """While it is read nothing moves, and afterwards everything does."""
    counter(moss, "work", "--storage-driver", driver)
    moss.ok("exec", "-d", "work", "sh", "-c",
            "i=0; while :; do i=$((i+1)); echo $i > /c; done")
    wait_for(lambda: moss("exec", "work", "cat", "/c").code == 0)
    moss.ok("commit", "work", "paused")
    moss.ok("commit", "-p=false", "work", "unpaused")
    for path in "/a", "/b", "/c":
        before = moss.ok("exec", "work", "cat", path)
        wait_for(lambda: moss.ok("exec", "work", "cat", path) != before)
    assert moss.ok("run", "--rm", "paused", "cat", "/a").isdigit()
    assert moss.inspect("work")["State"]["Status"] == "running"


def test_shell_sees_nothing_of_it(moss, images, debian):
    """No job shows as stopped, in front of a terminal either."""
    shell = pexpect.spawn(moss.program, ["run", "-it", "--name", "work", debian,
                                         "bash"],
                          env=moss.env, encoding="utf-8", timeout=20)
    shell.expect("# ")
    shell.sendline("sleep 1; echo front$((40+2)); sleep 1000 & sleep 0.1; "
                   "read line; jobs; echo end$((40+2))")
    time.sleep(0.5)
    moss.ok("commit", "work", "shell")
    shell.expect("front42")
    moss.ok("commit", "work", "shell")
    shell.sendline("")
    shell.expect("end42")
    assert "Running" in shell.before and "Stopped" not in shell.before
    shell.close(force=True)


def states(moss, name):
    return moss.ok("exec", name, "sh", "-c",
                   "for p in /proc/[0-9]*; do cut -d' ' -f3 $p/stat; done").split()


def test_stopped_stays_stopped(moss, images):
    moss.ok("run", "-d", "--name", "work", "busybox", "sh", "-c",
            "sleep 1000 & kill -STOP $!; wait")
    wait_for(lambda: "T" in states(moss, "work"))
    moss.ok("commit", "work", "x")
    assert "T" in states(moss, "work")


def test_killed_while_it_works(moss, images):
    """Whoever kills a commit has a container that runs, and no image, or a whole
    one when it was about to be told of it."""
    counter(moss, "work")
    moss.ok("exec", "work", "sh", "-c",
            "for i in 1 2 3 4; do dd if=/dev/urandom of=/big$i bs=1M count=20 "
            "2>/dev/null; done", timeout=120)
    before = moss.ok("images", "-aq")
    for delay in 0.02, 0.1, 0.3, 0.6:
        process = moss.popen("commit", "work", "killed", start_new_session=True,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        finished = process.wait() == 0
        if finished or moss("image", "inspect", "killed").code == 0:
            moss.ok("run", "--rm", "killed", "test", "-s", "/big4")
            moss.ok("rmi", "killed")
        value = moss.ok("exec", "work", "cat", "/a")
        wait_for(lambda: moss.ok("exec", "work", "cat", "/a") != value)
    assert moss.ok("images", "-aq") == before
    # No half layer either: what is left goes with the next command.
    wait_for(lambda: moss.ok("images", "-aq") == before and
             not list((moss.root / "tmp").iterdir()))


def test_container_ends_meanwhile(moss, images):
    """A stop during a commit waits for it, whatever it does."""
    counter(moss, "work")
    done = []
    thread = threading.Thread(
        target=lambda: done.append(moss("commit", "work", "late").code))
    thread.start()
    moss.ok("rm", "-f", "work")
    thread.join()
    assert done[0] in (0, 1)
    if done[0] == 0:
        moss.ok("run", "--rm", "late", "true")


def test_fork_bomb(moss, images):
    """It is held still, or the commit fails; it is over in any case."""
    moss.ok("run", "-d", "--name", "bomb", "--pids-limit", "-1", "busybox", "sh",
            "-c", "f() { for i in 1 2 3 4 5 6 7 8; do (sleep 0.05; f) & done; "
            "wait; }; ulimit -u 300; f")
    time.sleep(0.3)
    start = time.monotonic()
    result = moss("commit", "bomb", "bomb")
    assert time.monotonic() - start < 20
    assert result.code == 0 or "cannot pause container" in result.err
    moss.ok("rm", "-f", "bomb")


def test_untagged_image(moss, images, busybox_tar):
    """The container keeps its image, whatever becomes of the name."""
    moss.ok("import", "-m", "another", busybox_tar, "gone")
    moss.ok("run", "--name", "work", "gone", "sh", "-c", "echo > /kept")
    moss.ok("rmi", "-f", "gone")
    moss.ok("commit", "work", "back")
    assert moss.ok("run", "--rm", "back", "ls", "/kept") == "/kept"


def test_shifted_ids(moss, images, tmp_path):
    """Owners are the container's own numbers, whatever its map."""
    if not os.access("/dev/fuse", os.R_OK):
        skip("/dev/fuse")
    for mode in "auto", "keep-id":
        moss.ok("run", "--name", mode, "--userns", mode, "-u", "0", "busybox",
                "sh", "-c", "echo > /f; chown 33:50 /f; mkdir /d; rm /etc/group")
        moss.ok("commit", mode, f"shift:{mode}")
        with top_layer(moss, f"shift:{mode}", tmp_path / f"{mode}.tar") as tar:
            names = {m.name: (m.uid, m.gid) for m in tar}
        assert names["f"] == (33, 50) and names["d"] == (0, 0)
        assert "etc/.wh.group" in names
        assert moss.ok("run", "--rm", f"shift:{mode}", "stat", "-c", "%u:%g",
                       "/f") == "33:50"


@pytest.mark.parametrize("mode", ["auto", "keep-id", "nomap"])
def test_shifted_ids_while_it_runs(moss, images, tmp_path, mode):
    """What the kernel holds back for the root's server is there, too."""
    if not os.access("/dev/fuse", os.R_OK):
        skip("/dev/fuse")
    moss.ok("run", "-d", "--name", "work", "--userns", mode, "busybox", "sh",
            "-c", "echo one > /tmp/a; echo two >> /tmp/a; exec sleep 1000")
    wait_for(lambda: "two" in moss("exec", "work", "cat", "/tmp/a").out)
    moss.ok("commit", "work", "shift:live")
    assert moss.ok("run", "--rm", "shift:live", "cat", "/tmp/a") == "one\ntwo"
    data = moss("export", "work", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.extractfile("tmp/a").read() == b"one\ntwo\n"
    moss.ok("cp", "work:/tmp/a", tmp_path)
    assert (tmp_path / "a").read_text() == "one\ntwo\n"


def test_names_of_any_bytes(moss, images, tmp_path):
    moss.ok("run", "--name", "work", "busybox", "sh", "-c",
            r"cd /srv; > $(printf 'lat\351'); > $(printf 'utf\303\251'); "
            r"> $(printf 'n\001l'); "
            "a=$(printf '%0200d' 0); mkdir -p $a/$a/$a; > $a/$a/$a/$a; "
            "ln -s $a/$a/$a $a/link")
    moss.ok("commit", "work", "names")
    with top_layer(moss, "names", tmp_path / "n.tar") as tar:
        names = [os.fsencode(m.name) for m in tar]
    assert b"srv/lat\xe9" in names and "srv/utfé".encode() in names
    assert moss.ok("run", "--rm", "names", "sh", "-c",
                   "cd /srv; ls | wc -l; cat 0*/link; echo $?") == "4\n0"


def test_names_of_marks_are_left_out(moss, images):
    moss.ok("run", "--name", "work", "--storage-driver", "overlay", "busybox", "sh",
            "-c", "echo > /.wh.etc; echo > /etc/.wh..wh..opq; echo > /kept")
    result = moss("commit", "work", "marks", check=0)
    assert 'names begin with ".wh."' in result.err
    assert moss.ok("run", "--rm", "marks", "cat", "/etc/passwd")


def test_volumes_stay_outside(moss, images, tmp_path):
    moss.ok("run", "--name", "work", "-v", "data:/data", "-v", f"{tmp_path}:/host",
            "busybox", "sh", "-c", "echo > /data/v; echo > /host/h; echo > /f")
    moss.ok("commit", "work", "vol")
    assert moss.ok("run", "--rm", "vol", "sh", "-c",
                   "ls /f; ls /data /host") == "/f\n/data:\n\n/host:"
    moss.remove_all()
    moss.ok("volume", "rm", "data")


@pytest.mark.parametrize("args, message", [
    (["nosuch", "x"], "No such container: nosuch"),
    (["work", "UPPER"], "repository name"),
    (["-c", "FROM x", "work"], "FROM"),
    (["-c", "ENV", "work"], "ENV"),
])
def test_refused(moss, images, args, message):
    moss.ok("create", "--name", "work", "busybox", "true")
    before = moss.ok("images", "-aq")
    result = moss("commit", *args, check=1)
    assert message in result.err
    assert moss.ok("images", "-aq") == before


def test_other_tools_read_it(moss, images, tmp_path):
    moss.ok("run", "--name", "work", "busybox", "sh", "-c",
            "echo > /new; rm /etc/group")
    moss.ok("commit", "work", "tools:1")
    moss.ok("save", "-o", tmp_path / "t.tar", "tools:1")
    subprocess.run(["skopeo", "copy", "--insecure-policy",
                    f"docker-archive:{tmp_path}/t.tar", f"oci:{tmp_path}/oci:1"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["umoci", "unpack", "--rootless", "--image",
                    f"{tmp_path}/oci:1", tmp_path / "bundle"], check=True)
    root = tmp_path / "bundle/rootfs"
    assert (root / "new").read_text() == "\n"
    assert not (root / "etc/group").exists() and (root / "etc/passwd").exists()


def test_push_and_pull(moss, images, registry):
    """The layers below are the ones that were pulled, bit by bit."""
    base = registry.name("base:1")
    moss.ok("tag", "busybox", base)
    moss.ok("push", "-q", base)
    moss.ok("rmi", base)
    moss.ok("pull", "-q", base)
    moss.ok("run", "--name", "work", base, "sh", "-c",
            "echo new > /new; rm /etc/group")
    name = registry.name("derived:1")
    image = moss.ok("commit", "work", name)
    moss.ok("push", "-q", name)
    moss.remove_all()
    moss.ok("rmi", name)
    moss.ok("pull", "-q", name)
    assert config_of(moss, name)["Id"] == image
    assert moss.ok("run", "--rm", name, "sh", "-c",
                   "cat /new; test ! -e /etc/group && echo gone") == "new\ngone"
    below = json.loads(subprocess.check_output(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{base}"]))
    both = json.loads(subprocess.check_output(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"]))
    assert both["Layers"][:-1] == below["Layers"] and len(both["Layers"]) == 2


def test_extended_attributes(moss, images, debian, driver, tmp_path):
    """File capabilities and user.* that a program has set."""
    capability = "0100000200040000000000000000000000000000"
    moss.ok("run", "--name", "work", "--storage-driver", driver, debian,
            "python3", "-c", "import os; open('/x', 'w'); os.mkdir('/d'); "
            "os.setxattr('/d', 'user.note', b'a=b'); "
            f"os.setxattr('/x', 'security.capability', bytes.fromhex('{capability}'))")
    moss.ok("commit", "work", "attributes")
    with top_layer(moss, "attributes", tmp_path / "a.tar") as tar:
        found = {m.name: {k: v for k, v in m.pax_headers.items() if "xattr" in k}
                 for m in tar}
    assert found["d"] == {"SCHILY.xattr.user.note": "a=b"}
    assert found["x"] == {"SCHILY.xattr.security.capability":
                          bytes.fromhex(capability).decode()}
    assert moss.ok("run", "--rm", "attributes", "python3", "-c",
                   "import os; print(os.getxattr('/d', 'user.note').decode(), "
                   "os.getxattr('/x', 'security.capability').hex())") == \
        f"a=b {capability}"
