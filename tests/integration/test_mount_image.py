"""--mount type=image: what is seen of another image, and how long it stays."""
import pytest

import oci

LOW = oci.layer(
    oci.directory("a"), oci.directory("a/b"), oci.file("a/b/file", "deep\n"),
    oci.file("top", "low\n"), oci.file("gone"), oci.symlink("in", "a"),
    oci.symlink("absolute", "/a/b/file"), oci.symlink("etc", "/etc"),
    oci.symlink("out", "../../../../etc/passwd"),
    oci.symlink("magic", "/proc/self/root"), oci.file("owned", uid=33, gid=33))
HIGH = oci.layer(oci.file("top", "high\n"), oci.whiteout("gone"))


@pytest.fixture
def data(moss, tmp_path):
    """moss with an image of two layers, "data", and one without any."""
    archive = tmp_path / "data.tar"
    oci.docker_archive(archive, {"data:latest": oci.Image([LOW, HIGH]),
                                 "empty:latest": oci.Image([])})
    moss.ok("load", "-i", archive)
    yield moss
    moss.remove_all()
    moss("rmi", "-f", "data", "empty")


def mounted(moss, script, *more, check=0, source="data", options=""):
    return moss("run", "--rm", *more, "--mount",
                f"type=image,source={source},target=/m{options}", "busybox",
                "sh", "-c", script, check=check)


def test_all_layers(data):
    result = mounted(data, "cat /m/top /m/a/b/file; ls /m; stat -c %u /m/owned")
    assert result.out == ("high\ndeep\na\nabsolute\netc\nin\nmagic\nout\nowned\n"
                          "top\n33\n")
    assert mounted(data, "ls -A /m", source="empty").out == ""


@pytest.mark.parametrize("options", ["", ",readonly", ",readonly=false"])
def test_read_only_in_any_case(data, options):
    result = mounted(data, "touch /m/new", check=1, options=options)
    assert "Read-only file system" in result.err
    assert mounted(data, "mount -o remount,rw /m || echo no",
                   "--cap-add", "SYS_ADMIN").out == "no\n"


@pytest.mark.parametrize("path, out", [
    ("a/b", "file\n"), ("in/b", "file\n"), ("./a//b/", "file\n"),
    ("a/b/file", "/m\n"), ("absolute", "/m\n"), ("etc", None), ("out", None),
    ("magic", None), ("nosuch", None), ("gone", None), ("../a", None),
    ("/a", None)])
def test_subpath(data, path, out):
    result = mounted(data, "ls /m", options=f",image-subpath={path}",
                     check=None)
    if out is None:
        assert result.code == 125 and "cat" not in result.out
        assert "cannot mount" in result.err or "subpath must be" in result.err
    else:
        assert result.out == out


def test_hostile_target(data, busybox_layer, tmp_path):
    """A target that leads out of the root is made within it."""
    archive = tmp_path / "hostile.tar"
    link = oci.layer(oci.symlink("m", f"../../../..{tmp_path}"))
    oci.docker_archive(archive, {"hostile:latest": oci.Image(
        [busybox_layer, link])})
    data.ok("load", "-i", archive)
    result = data("run", "--rm", "--mount", "type=image,source=data,target=/m/x",
                  "hostile", "cat", "/m/x/top", check=0)
    assert result.out == "high\n"
    assert not (tmp_path / "x").exists()
    data.ok("rmi", "-f", "hostile")


def test_inspect(data):
    data.ok("create", "--name", "both", "--mount",
            "type=image,src=data,dst=/m,image-subpath=a", "busybox", "true")
    image = data.ok("image", "inspect", "-f", "{{.Id}}", "data")
    shown = data.inspect("both")
    assert shown["Mounts"] == [{
        "Type": "image", "Name": "data", "Source": image, "Destination": "/m",
        "Mode": "", "RW": False, "Propagation": ""}]
    assert shown["HostConfig"]["Mounts"] == [{
        "Type": "image", "Source": "data", "Target": "/m",
        "ImageOptions": {"Subpath": "a"}}]


def test_image_stays(data):
    """It is in use by who has it mounted, and by nobody else."""
    data.ok("run", "-d", "--name", "user", "--mount",
            "type=image,source=data,target=/m", "busybox", "sleep", "1000")
    result = data("rmi", "data", check=1)
    assert "conflict" in result.err and "container" in result.err
    data.ok("image", "prune", "-af")
    assert "data:latest" in data.images()
    data.ok("kill", "user")
    assert "must force" in data("rmi", "data", check=1).err
    data.ok("rmi", "-f", "data")
    assert "data:latest" not in data.images()
    data.ok("start", "user")
    assert data.ok("exec", "user", "cat", "/m/top") == "high"
    layers = data.root / "layers"
    assert (layers / HIGH.diff_id[7:]).exists()
    data.ok("rm", "-f", "user")
    assert not (layers / HIGH.diff_id[7:]).exists()


def test_volumes_from(data):
    data.ok("create", "--name", "first", "--mount",
            "type=image,source=data,target=/m", "busybox", "true")
    assert data.ok("run", "--rm", "--volumes-from", "first", "busybox", "cat",
                   "/m/top") == "high"


def test_mounts_in_mounts(data):
    assert data.ok("run", "--rm", "--tmpfs", "/m/a", "--mount",
                   "type=image,source=data,target=/m", "busybox", "sh", "-c",
                   "ls -A /m/a; ls /m/top; touch /m/a/x && echo written"
                   ) == "/m/top\nwritten"


def test_restart(data):
    data.ok("run", "-d", "--name", "again", "--mount",
            "type=image,source=data,target=/m", "busybox", "sleep", "1000")
    for _ in range(2):
        data.ok("restart", "-t", "0", "again")
        assert data.ok("exec", "again", "cat", "/m/top") == "high"


@pytest.mark.parametrize("text, message", [
    ("type=image,target=/m", "source is required for an image mount"),
    ("type=image,source=data", "target is required"),
    ("type=image,source=nosuch,target=/m", "No such image: nosuch"),
    ("type=image,source=data,target=/", "destination can't be '/'"),
    ("type=image,source=data,target=/m,volume-nocopy",
     "cannot mix volume-* options with mount type 'image'"),
    ("type=bind,source=/etc,target=/m,image-subpath=x",
     "cannot mix image-* options with mount type 'bind'"),
])
def test_refused(data, text, message):
    result = data("run", "--rm", "--mount", text, "busybox", "true")
    assert result.code == 125 and message in result.err, result


def test_other_ids_are_refused(data):
    result = mounted(data, "true", "--userns", "auto", check=None)
    assert result.code == 125
    assert "has IDs of its own" in result.err or "sub-IDs" in result.err


def test_fuse_root(data):
    """The root's driver has no say."""
    result = mounted(data, "cat /m/top", "--storage-driver", "fuse-overlayfs",
                     check=None)
    if "/dev/fuse" in result.err or "fuse-overlayfs is not" in result.err:
        pytest.skip("missing here: /dev/fuse")
    assert result.out == "high\n"


def test_copying_sees_the_root(data, tmp_path):
    """`cp` knows nothing of a mounted image: there is but its mount point."""
    data.ok("create", "--name", "one", "--mount",
            "type=image,source=data,target=/m", "busybox", "true")
    result = data("cp", "one:/m/top", tmp_path / "x", check=1)
    assert "/m/top" in result.err


def test_single_id(single, tmp_path):
    archive = tmp_path / "data.tar"
    oci.docker_archive(archive, {"data:latest": oci.Image([LOW, HIGH])})
    single.ok("load", "-i", archive)
    assert mounted(single, "cat /m/top").out == "high\n"


def test_layer_is_missing(data):
    """Of a damaged store the user learns which layer it is."""
    data.ok("create", "--name", "damaged", "--mount",
            "type=image,source=data,target=/m", "busybox", "true")
    layers = data.root / "layers"
    (layers / LOW.diff_id[7:]).rename(layers / "away")
    try:
        result = data("start", "-a", "damaged")
    finally:
        (layers / "away").rename(layers / LOW.diff_id[7:])
    assert result.code != 0 and LOW.diff_id[7:] in result.err, result
    assert "load it again" in result.err
