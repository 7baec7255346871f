"""Hostile images are refused with one line that names image, layer and entry;
nothing is written outside of the layer and nothing of them is left."""
import os
import re
import stat

import pytest

import hostile_images
import hostile_tar
from hostile_images import Archive, Image

SECRET = "of the host"


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """What the layers aim at; on the way to it there are directories only."""
    path = tmp_path_factory.mktemp("victim")
    (path / "secret").write_text(SECRET)
    yield path
    assert os.listdir(path) == ["secret"]
    assert (path / "secret").read_text() == SECRET


def store_state(moss):
    """Every file of the store with what can be told of it cheaply, but for the
    journal of events, which only grows. Work in progress has to be gone; its
    directory is part of it."""
    state = {}
    for directory, names, files in os.walk(moss.root):
        if directory == str(moss.root) and "events" in names:
            names.remove("events")
        for name in names + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            state[path] = (status.st_mode, status.st_ino, status.st_size,
                           status.st_mtime_ns if name in files else 0)
    return state


def one_line(result):
    """The message; a hint may follow it."""
    lines = result.err.splitlines()
    assert 1 <= len(lines) <= 2 and lines[0].startswith("moss: "), result
    assert "\x1b" not in result.err and len(result.err) < 1600, result
    return lines[0]


def refused(moss, source, before, timeout=60):
    result = moss("load", "-i", source, timeout=timeout)
    if result.code == 0:
        moss("rmi", "-f", "hostile")  # the other tests start without it
    assert result.code == 1 and result.out == "", result
    message = one_line(result)
    assert store_state(moss) == before
    return message


def tree(root):
    """{path: what it is} below root, as hostile_tar.Safe has it."""
    found = {}

    def describe(path, status):
        extra = ""
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o7000:
            extra = f" mode {stat.S_IMODE(status.st_mode):o}"
        names = os.listxattr(path, follow_symlinks=False) \
            if not stat.S_ISLNK(status.st_mode) else []
        if "user.overlay.opaque" in names:
            extra += " opaque"
        left = set(names) - {"user.overlay.opaque", "security.capability"}
        assert not left, (path, left)
        if stat.S_ISDIR(status.st_mode):
            return "d" + extra
        if stat.S_ISLNK(status.st_mode):
            return "l:" + os.readlink(path)
        if stat.S_ISFIFO(status.st_mode):
            return "p"
        if stat.S_ISCHR(status.st_mode):
            assert status.st_rdev == 0, path
            return "whiteout"
        with open(path, errors="replace") as file:
            return "f:" + file.read() + extra

    if describe(root, os.lstat(root)) != "d":
        found[""] = describe(root, os.lstat(root))
    directories = [str(root)]
    while directories:
        for item in os.scandir(directories.pop()):
            status = item.stat(follow_symlinks=False)
            found[os.path.relpath(item.path, root)] = \
                describe(item.path, status)
            if stat.S_ISDIR(status.st_mode):
                directories.append(item.path)
    return found


VICTIM = b"/VICTIM"  # what the rows' names do not depend on
LAYER_NAMES = [name for name, _, _ in hostile_tar.rows(VICTIM)]


@pytest.fixture(scope="module")
def layers(victim):
    return {name: rest for name, *rest in
            hostile_tar.rows(os.fsencode(victim))}


@pytest.mark.parametrize("name", LAYER_NAMES)
def test_layer(moss, layers, tmp_path, name):
    data, expected = layers[name]
    archive = Archive([data]).write(tmp_path / "image.tar")
    before = store_state(moss)
    if isinstance(expected, hostile_tar.Refused):
        message = refused(moss, archive, before)
        assert "image hostile:latest: layer 1 (layer0.tar): " in message
        assert expected.text in message
        if expected.entry is not None:
            assert f'"{expected.entry}' in message
        return
    moss.ok("load", "-i", archive)
    try:
        hex = hostile_images.digest(data).split(":")[1]
        assert tree(moss.root / "layers" / hex / "diff") == expected.tree
        moss.ok("system", "check", "-q")
    finally:
        moss.ok("rmi", "hostile")
    assert without_times(store_state(moss)) == without_times(before)


@pytest.mark.parametrize("name", ["dotdot", "absolute and dotdot",
                                  "hard link outwards", "NUL in pax",
                                  "cut: in a file"])
def test_import(moss, layers, tmp_path, name):
    """The files of an image without an image around them."""
    data, expected = layers[name]
    archive = tmp_path / "root.tar"
    archive.write_bytes(data)
    before = store_state(moss)
    result = moss("import", archive, "hostile")
    assert result.code == 1 and expected.text in one_line(result)
    assert store_state(moss) == before


def without_times(state):
    """Whoever loads and removes an image has written index.json anew."""
    return {path: value for path, value in state.items()
            if not path.endswith("index.json")}


DOCUMENTS = {name: rest for name, *rest in hostile_images.document_rows()}


@pytest.mark.parametrize("form", ["tar", "directory"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_document(moss, tmp_path, name, form):
    image, text = DOCUMENTS[name]
    source = image.write_tar(tmp_path / "image.tar") if form == "tar" else \
        image.write_directory(tmp_path)
    message = refused(moss, source, store_state(moss))
    assert text in message
    if name.split(":")[0] in ("layer", "config", "manifest"):
        assert re.search(r"image |manifests\[0\]", message), message
    if name.startswith("layer: ") and "type" not in text:
        assert "layer 1" in message or "layers[0]" in message


ARCHIVES = {name: rest for name, *rest in hostile_images.archive_rows()}


@pytest.mark.parametrize("name", ARCHIVES)
def test_docker_archive(moss, tmp_path, name):
    archive, text = ARCHIVES[name]
    path = archive.write(tmp_path / "image.tar")
    assert text in refused(moss, path, store_state(moss), timeout=20)


@pytest.mark.parametrize("what", ["pipe", "link to the host",
                                  "link to a device", "directory"])
def test_directory_with_something_else_in_it(moss, tmp_path, what):
    """A layout is read where it lies: no way leads out and none blocks."""
    image = Image()
    image.write_directory(tmp_path)
    blob = tmp_path / "blobs/sha256" / \
        hostile_images.digest(hostile_images.HONEST).split(":")[1]
    blob.unlink()
    if what == "pipe":
        os.mkfifo(blob)
    elif what == "directory":
        blob.mkdir()
    else:
        blob.symlink_to("/etc/passwd" if "host" in what else "/dev/zero")
    message = refused(moss, tmp_path, store_state(moss), timeout=20)
    assert "layer 1" in message


@pytest.mark.parametrize("compression", hostile_images.COMPRESSORS)
def test_honest_zeros_are_no_bomb(moss, tmp_path, compression):
    """Small files may be packed as well as they can be."""
    size = 64 << 20
    packed = hostile_images.bomb(compression, size)
    plain = hostile_tar.header(b"bomb", size=size) + bytes(size + 1024)
    image = Image([plain], [packed]).write_tar(tmp_path / "image.tar")
    moss.ok("load", "-i", image)
    moss.ok("rmi", "hostile")


def limited(moss, tmp_path, **limits):
    conf = tmp_path / "moss.conf"
    conf.write_text("[limits]\n" + "".join(
        f"\t{key.replace('_', '-')} = {value}\n"
        for key, value in limits.items()))
    return moss.with_env(MOSS_CONFIG=str(conf))


@pytest.mark.parametrize("compression", hostile_images.COMPRESSORS)
def test_bomb(moss, tmp_path, compression):
    """A few kilobytes that would become much."""
    packed = hostile_images.bomb(compression, 1 << 30)
    image = Image([hostile_images.HONEST], [packed])
    path = image.write_tar(tmp_path / "image.tar")
    small = limited(moss, tmp_path, unpack_floor="64m", unpack_ratio=100)
    message = refused(small, path, store_state(moss), timeout=30)
    assert "layer 1" in message
    assert "unpacks to more than 100 times its size" in message


def test_bomb_around_the_archive(moss, tmp_path):
    """The archive itself may be packed, too, and its layers again."""
    packed = hostile_images.bomb("gzip", 1 << 28)
    small = limited(moss, tmp_path, unpack_floor="64m", unpack_ratio=100)
    path = tmp_path / "image.tar.gz"
    path.write_bytes(packed)
    assert "100 times" in refused(small, path, store_state(moss))
    result = small("import", path, "hostile")
    assert result.code == 1 and "100 times" in one_line(result)


def test_default_limits_stop_a_bomb(moss, tmp_path):
    path = tmp_path / "bomb.tar.zst"
    path.write_bytes(hostile_images.bomb("zstd", 1 << 40, chunk=1 << 30))
    before = store_state(moss)
    assert "500 times" in refused(moss, path, before, timeout=60)


# What is set, what is tried, and what is said.
TOO_MUCH = {
    "layer-size": ("1m", [hostile_tar.entry(b"big", bytes(1100000))],
                   'entry "big": the files of the layer are larger than '
                   '1048576 bytes'),
    "layer-size of several": (
        "1m", [hostile_tar.entry(b"f%d" % i, bytes(300000))
               for i in range(4)], 'entry "f3": the files of the layer'),
    "layer-size of holes": (
        "1g", [hostile_tar.old_sparse(b"s", 1 << 31, [(0, 1)], b"x")],
        'entry "s": the files of the layer'),
    "layer-entries": ("100", [hostile_tar.entry(b"f%d" % i)
                              for i in range(101)],
                      "more than 100 entries"),
    "archive-size": ("1m", [hostile_tar.entry(b"big", bytes(1100000))],
                     'entry "layer0.tar": the files of the archive are'),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_limit(moss, tmp_path, name):
    key = name.split()[0]
    value, entries, text = TOO_MUCH[name]
    data = hostile_tar.layer(*entries)
    path = Archive([data]).write(tmp_path / "image.tar")
    small = limited(moss, tmp_path, **{key: value})
    result = small("load", "-i", path)
    assert result.code == 1 and text in one_line(result)
    assert f"raise {key} in the section [limits] of moss.conf" in result.err
    # Nothing is wrong with it otherwise.
    moss.ok("load", "-i", path)
    moss.ok("rmi", "hostile")


def test_very_many_entries(moss, tmp_path):
    """Headers without an entry count as well: none is free."""
    data = hostile_tar.pax({b"path": b"f"}) * 200000 + bytes(1024)
    path = Archive([data]).write(tmp_path / "image.tar")
    small = limited(moss, tmp_path, layer_entries=150000)
    refused(small, path, store_state(moss), timeout=60)


def test_sparse_files_take_no_room(moss, tmp_path):
    """A file that claims a terabyte is made, of holes."""
    data = hostile_images.sparse_bomb(1 << 40)
    archive = Archive([data]).write(tmp_path / "image.tar")
    moss.ok("load", "-i", archive, timeout=20)
    taken, claimed = hostile_images.sizes(moss.root)
    assert claimed > 1 << 40 and taken < 1 << 30
    moss.ok("rmi", "hostile")


def test_two_images_claim_one_name(moss, tmp_path):
    """As docker has it: the last one gets it, the other keeps its ID."""
    other = hostile_tar.layer(hostile_tar.entry(b"file", b"other"))
    first, second = Image(), Image([other])
    first.seal()
    second.seal()
    first.blobs.update(second.blobs)
    first.index["manifests"] += second.index["manifests"]
    moss.ok("load", "-i", first.write_tar(tmp_path / "image.tar"))
    ids = [image.manifest["config"]["digest"] for image in (first, second)]
    assert moss.inspect("hostile")["Id"] == ids[1]
    assert moss.inspect(ids[0])["RepoTags"] == []
    moss.ok("rmi", *ids)


CONFIGS = dict(hostile_images.absurd_configs())


@pytest.mark.parametrize("name", CONFIGS)
def test_absurd_config(moss, tmp_path, name):
    """Whatever it holds, the image can be looked at and removed, and running it
    says in one line what is wrong, or works."""
    before = store_state(moss)
    image = Image()
    image.config["config"] = CONFIGS[name]
    result = moss("load", "-i", image.write_tar(tmp_path / "image.tar"))
    if result.code != 0:
        one_line(result)
        assert store_state(moss) == before
        return
    for args in (["image", "inspect", "hostile"], ["images"],
                 ["run", "--rm", "hostile"],
                 ["create", "--name", "absurd", "hostile", "/file"]):
        result = moss(*args)
        if result.code != 0:
            one_line(result)
        assert "\x1b" not in result.out + result.err
    moss("rm", "-fv", "absurd")
    moss.ok("rmi", "hostile")
    assert not os.path.exists("/etc/hostile")
