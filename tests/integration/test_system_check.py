"""moss system check: every kind of damage is found, named and mended."""
import gzip
import json
import os
import shutil
import subprocess
import time

import pytest

import hostile_images
import hostile_tar
from hostile_images import Image
from hostile_tar import directory, entry, hardlink, layer, pax, symlink

LOWER = layer(directory(b"d"), entry(b"d/file", b"content"),
              entry(b"d/gone", b"x"), entry(b"tool", b"x" * 5000, mode=0o755))
UPPER = layer(
    directory(b"d", mode=0o750), entry(b"d/.wh.gone"),
    directory(b"o"), entry(b"o/.wh..wh..opq"),
    entry(b"a", b"linked"), hardlink(b"b", b"a"), symlink(b"l", b"d/file"),
    entry(b"null", kind=b"3", major=1, minor=3), entry(b"pipe", kind=b"6"),
    pax({b"SCHILY.xattr.user.mark": b"value"}), entry(b"x", b"attributes"),
    hostile_tar.old_sparse(b"sparse", 1 << 20, [(0, 512), (1 << 19, 512)],
                           b"1" * 512 + b"2" * 512))


class Store:
    """A store of one's own with an image of two layers."""

    def __init__(self, moss, tmp_path):
        self.moss = moss.with_env(MOSS_ROOT=str(tmp_path / "store"))
        self.root = tmp_path / "store"
        self.image = Image([LOWER, UPPER], [LOWER, gzip.compress(UPPER)])
        self.archive = self.image.write_tar(tmp_path / "image.tar")
        self.moss.ok("load", "-i", self.archive)

    def tree(self, data=UPPER):
        return self.root / "layers" / self.hex(data) / "diff"

    @staticmethod
    def hex(data):
        return hostile_images.digest(data).split(":")[1]

    def blob(self, digest):
        return self.root / "image/blobs/sha256" / digest.split(":")[1]

    def check(self, *args):
        return self.moss("system", "check", *args)

    def clean(self):
        result = self.check()
        assert result.code == 0 and "nothing is wrong" in result.out, result
        return result

    def images(self):
        return self.moss.ok("images", "-aq", "--no-trunc").split()


@pytest.fixture
def store(moss, tmp_path):
    return Store(moss, tmp_path)


def test_nothing_is_wrong(store):
    result = store.clean()
    assert "1 images, 2 layers and 4 blobs checked" in result.out
    assert store.check("-q").out == ""
    assert store.check("--quick").code == 0
    assert store.check("--force").code == 1


def replace(path, data):
    path.unlink()
    path.write_bytes(data)


def in_hole(path):
    with open(path, "r+b") as file:
        file.seek(3 << 17)
        file.write(b"x")


def swap(path):
    os.unlink(path)
    os.symlink("elsewhere", path)


def unlink_and_copy(path):
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


# What is done to the tree of the upper layer, and what is said about it.
DAMAGES = {
    "content": (lambda t: (t / "x").write_bytes(b"Attributes"),
                '"x" has other content'),
    "size": (lambda t: (t / "x").write_bytes(b"attribute"),
             '"x" has 9 bytes instead of 10'),
    "in a hole": (lambda t: in_hole(t / "sparse"),
                  '"sparse" has other content'),
    "mode": (lambda t: (t / "x").chmod(0o4755),
             '"x" has mode 4755 instead of 0644'),
    "mode of a directory": (lambda t: (t / "d").chmod(0o755),
                            '"d" has mode 0755 instead of 0750'),
    "missing": (lambda t: (t / "x").unlink(), '"x" is missing'),
    "more": (lambda t: (t / "o" / "more").touch(),
             '"o/more" is not in the layer'),
    "type": (lambda t: swap(t / "x"), '"x" is of another type'),
    "link": (lambda t: swap(t / "l"), '"l" leads elsewhere'),
    "hard link": (lambda t: unlink_and_copy(t / "b"),
                  "is no hard link of its other names"),
    "whiteout": (lambda t: (t / "d/gone").unlink(), '"d/gone" is missing'),
    "whiteout is a file": (lambda t: replace(t / "d/gone", b""),
                           '"d/gone" is of another type'),
    "opaque": (lambda t: os.removexattr(t / "o", "user.overlay.opaque"),
               '"o" is not opaque and should be'),
    "not opaque": (lambda t: os.setxattr(t / "d", "user.overlay.opaque", b"y"),
                   '"d" is opaque and should not be'),
    "xattr lost": (lambda t: os.removexattr(t / "x", "user.mark"),
                   "has lost its extended attribute user.mark"),
    "xattr": (lambda t: os.setxattr(t / "x", "user.mark", b"other"),
              "has another extended attribute user.mark"),
    "more xattrs": (lambda t: os.setxattr(t / "a", "user.more", b"x"),
                    "has an extended attribute user.more of its own"),
    "device is a file": (lambda t: replace(t / "null", b"x"),
                         '"null" is of another type'),
    "whole directory": (lambda t: shutil.rmtree(t / "o"), '"o" is missing'),
    "all of it": (lambda t: shutil.rmtree(t), '"diff" cannot be opened'),
    "marker": (lambda t: (t.parent / "layer.json").unlink(),
               '"/" is not unpacked'),
    "broken marker": (lambda t: replace(t.parent / "layer.json", b"{"),
                      '"layer.json" cannot be read'),
    "devices": (lambda t: replace(t.parent / "layer.json",
                                  b'{"devices": []}'),
                "other device nodes"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_tree(store, name):
    damage, message = DAMAGES[name]
    damage(store.tree())
    found = store.check("-q")
    assert found.code == 1, found
    (line,) = [line for line in found.out.splitlines() if message in line]
    assert line.startswith("image hostile:latest: layer 2 (")
    assert line.endswith("; --repair unpacks the layer again")
    # Looking changes nothing.
    assert store.check("-q").out == found.out
    mended = store.check("--repair", "-q")
    assert mended.code == 0, mended
    assert all(line.endswith("; unpacked again")
               for line in mended.out.splitlines())
    store.clean()
    assert store.tree().joinpath("x").read_bytes() == b"attributes"
    assert not list((store.root / "tmp").iterdir())


def test_owner(store, moss):
    """Of a file that is somebody else's in the pinned namespace."""
    changed = moss("run", "--rm", "-v", f"{store.tree()}:/tree", "busybox",
                   "chown", "5:6", "/tree/a")
    assert changed.code == 0, changed
    assert '"a" belongs to 5:6 instead of 0:0' in store.check("-q").out or \
        '"b" belongs to 5:6 instead of 0:0' in store.check("-q").out
    assert store.check("--repair").code == 0
    store.clean()


def test_many_differences_are_counted(store):
    for i in range(30):
        (store.tree() / f"more{i}").touch()
    lines = store.check("-q").out.splitlines()
    assert len(lines) == 9 and "22 more differences" in lines[-1]


def blobs(image):
    return {"manifest": image.top["digest"],
            "config": image.manifest["config"]["digest"],
            "layer": image.manifest["layers"][1]["digest"]}


@pytest.mark.parametrize("how", ["missing", "content", "size", "not a file"])
@pytest.mark.parametrize("what", ["manifest", "config", "layer"])
def test_damaged_blob(store, what, how):
    """Nothing that a repair could go by: the image is dropped."""
    path = store.blob(blobs(store.image)[what])
    data = bytearray(path.read_bytes())
    path.unlink()
    if how == "content":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "size":
        path.write_bytes(data + b"x")
    elif how == "not a file":
        os.mkfifo(path)
    found = store.check("-q")
    assert found.code == 1, found
    (line,) = found.out.splitlines()
    assert line.startswith("image hostile:latest: ")
    assert "pull or load the image again" in line
    if what == "layer":
        assert "layer 2" in line
    mended = store.check("--repair")
    assert mended.code == 0 and "image hostile:latest dropped" in mended.out
    assert store.images() == []
    store.clean()
    assert not list((store.root / "layers").iterdir())
    assert not list((store.root / "image/blobs/sha256").iterdir())
    store.moss.ok("load", "-i", store.archive)
    store.clean()


def test_quick_leaves_the_trees_out(store):
    (store.tree() / "more").touch()
    assert store.check("--quick").code == 0
    store.blob(blobs(store.image)["layer"]).write_bytes(b"x")
    assert store.check("--quick").code == 1


def test_diff_id_is_another(store):
    """A layer that was exchanged for another, with a manifest to match."""
    image = Image([LOWER, UPPER], [LOWER, gzip.compress(LOWER)])
    image.seal()
    for name, data in image.blobs.items():
        store.blob(name).write_bytes(data)
    index = json.loads((store.root / "image/index.json").read_text())
    index["manifests"][0].update(image.top)
    (store.root / "image/index.json").write_text(json.dumps(index))
    found = store.check("-q")
    assert found.code == 1 and "not its diff ID" in found.out


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"manifests": 5}'])
def test_index(store, text):
    path = store.root / "image/index.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    result = store.moss("images")
    assert result.code == 1 and "moss system check --repair" in result.err
    # Nothing that runs before somebody looks may take it for an empty store.
    store.moss("rmi", "hostile")
    store.moss("load", "-i", store.archive)
    assert store.blob(blobs(store.image)["layer"]).exists()
    found = store.check("-q")
    assert found.code == 1 and "image/index.json" in found.out
    mended = store.check("--repair")
    assert mended.code == 0 and "1 images without a name" in mended.out
    assert store.images() == [blobs(store.image)["config"]]
    store.clean()


def test_few_descriptors_need_no_repair(store):
    """An index that cannot be opened now is as whole as before."""
    failed = 0
    for limit in range(5, 25):
        result = subprocess.run(
            ["sh", "-c", f"ulimit -n {limit}; exec {store.moss.program} "
             "inspect hostile"], env=store.moss.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        failed += "Too many open files" in result.stderr
        assert "repair" not in result.stderr, (limit, result.stderr)
    assert failed


def test_entry_without_a_digest(store):
    path = store.root / "image/index.json"
    index = json.loads(path.read_text())
    index["manifests"].append({"mediaType": "x", "digest": "sha256:x"})
    path.write_text(json.dumps(index))
    assert "an entry has no valid digest" in store.check("-q").out
    assert store.check("--repair").code == 0
    store.clean()
    assert len(store.images()) == 1


@pytest.mark.parametrize("text", [None, "{", '{"imageLayoutVersion": "9"}'])
def test_layout(store, text):
    path = store.root / "image/oci-layout"
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert "image/oci-layout" in store.check("-q").out
    assert store.check("--repair").code == 0
    store.clean()
    assert json.loads(path.read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_leftovers(store):
    """Counted, not held against the store, and removed by a repair."""
    data = b"x" * 10000
    store.blob(hostile_images.digest(data)).write_bytes(data)
    old = store.root / "layers" / ("0" * 64)
    (old / "diff").mkdir(parents=True)
    (old / "diff/file").write_bytes(data)
    (store.root / "image/.tmp-1234").write_bytes(data)
    result = store.check()
    assert result.code == 0 and "3 leftovers of " in result.out, result
    assert "nothing is wrong" in result.out
    result = store.check("--repair")
    assert "3 leftovers of " in result.out and "removed" in result.out
    assert not old.exists()
    assert "leftover" not in store.clean().out


@pytest.fixture
def user(busybox_tar, tmp_path, moss):
    """A store with an image that runs."""
    other = moss.with_env(MOSS_ROOT=str(tmp_path / "store"))
    other.root = tmp_path / "store"
    other.ok("import", busybox_tar, "busybox")
    yield other
    other.remove_all()


def only_layer(moss):
    (path,) = (moss.root / "layers").iterdir()
    return path


def test_layer_of_a_running_container(user):
    """It is replaced, not changed in place, and the container is named."""
    user.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000")
    path = only_layer(user)
    before = (path / "diff").stat().st_ino
    (path / "diff/etc/passwd").write_text("changed")
    found = user("system", "check", "-q")
    assert found.code == 1 and '"etc/passwd" has ' in found.out
    mended = user("system", "check", "--repair", "-q")
    assert mended.code == 0
    assert "unpacked again; restart runs, which still has the old one" in \
        mended.out
    assert (path / "diff").stat().st_ino != before
    user.ok("stop", "-t", "0", "runs")
    user.ok("start", "runs")
    assert "root:x:0" in user.ok("exec", "runs", "cat", "/etc/passwd")


def test_container_without_its_layers(user):
    user.ok("create", "--name", "waits", "busybox", "true")
    shutil.rmtree(only_layer(user))
    for blob in (user.root / "image/blobs/sha256").iterdir():
        blob.unlink()
    found = user("system", "check", "-q")
    assert found.code == 1
    assert "container waits: layer sha256:" in found.out
    assert "moss rm waits" in found.out
    mended = user("system", "check", "--repair", "-q")
    assert mended.code == 1
    user.ok("rm", "waits")


def test_lost_image_that_a_container_uses(user):
    user.ok("create", "--name", "waits", "busybox", "true")
    blob = max((user.root / "image/blobs/sha256").iterdir(),
               key=lambda path: path.stat().st_size)
    blob.write_bytes(b"x")
    mended = user("system", "check", "--repair", "-q")
    assert mended.code == 1
    assert "container waits uses it: --force drops it" in mended.out
    # The layer is good, so the container still runs.
    user.ok("start", "waits")
    forced = user("system", "check", "--repair", "--force", "-q")
    assert forced.code == 0 and "image busybox:latest dropped" in forced.out
    assert user.ok("images", "-aq") == ""


def test_while_others_work(user, busybox_tar, tmp_path):
    """Images come and go and containers run while the store is mended."""
    user.ok("save", "-o", tmp_path / "image.tar", "busybox")
    layer = only_layer(user)
    deadline = time.monotonic() + 4
    processes = []
    while time.monotonic() < deadline:
        for args in (["system", "check", "--repair", "-q"],
                     ["load", "-q", "-i", str(tmp_path / "image.tar")],
                     ["run", "--rm", "busybox", "true"],
                     ["tag", "busybox", "other"], ["rmi", "other"]):
            processes.append((args, user.popen(*args, stdout=-1, stderr=-1)))
        (layer / "diff/more").touch()
        for args, process in processes:
            out, err = process.communicate(timeout=60)
            if args[0] not in ("rmi", "tag"):
                assert process.returncode == 0, (args, out, err)
        processes = []
    assert user("system", "check", "--repair").code == 0
    assert user("system", "check").code == 0
    assert user.ok("run", "--rm", "busybox", "echo", "x") == "x"
