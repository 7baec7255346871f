"""moss and the other tools on the same images: skopeo, umoci, podman, tar."""
import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tarfile
import tempfile

import pytest

import oci
import roots


def tool(*args, cwd=None, **kwargs):
    done = subprocess.run([*map(str, args)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, cwd=cwd, timeout=60, **kwargs)
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout


def skopeo_copy(source, target, *args):
    tool("skopeo", "copy", "-q", "--src-tls-verify=false",
         "--dest-tls-verify=false", *args, source, target)


# cap_net_bind_service=ep, as capabilities(7) writes it (VFS_CAP_REVISION_2).
BIND_SERVICE = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0).decode()

# What only a careful reader keeps: made here, looked at inside of a container.
ODD_ENTRIES = [
    oci.directory("odd"),
    oci.file("odd/one", "linked", mode=0o640),
    oci.hard_link("odd/two", "odd/one"),
    oci.file("odd/" + "long" * 40, "long name"),
    oci.file("odd/old", "old", mtime=86400),
    oci.file("odd/setuid", "x", mode=0o4755),
    oci.file("odd/owned", "x", uid=1000, gid=50),
    oci.symlink("odd/link", "/etc/passwd"),
    oci.file("hidden/gone", "x"), oci.file("hidden/stays", "x"),
    oci.file("emptied/gone", "x"),
]
UPPER = [oci.whiteout("hidden/gone"), oci.directory("emptied"),
         oci.opaque("emptied"), oci.file("emptied/new", "new")]
LOOK = """
cd /odd && stat -c '%h %a' one && cat two && stat -c %Y old &&
stat -c %a setuid && stat -c '%U %G' owned && readlink link && cat long*
cd / && ls hidden emptied
"""
SEEN = """2 640
linked86400
4755
web staff
/etc/passwd
long nameemptied:
new

hidden:
stays"""


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    """podman's image commands, with a store of its own and without roots in
    the host's cgroups."""
    base = tmp_path_factory.mktemp("podman")
    # podman takes 50 characters.
    run = pathlib.Path(tempfile.mkdtemp(prefix="podman-"))
    env = dict(os.environ, XDG_RUNTIME_DIR=str(run), HOME=str(base))

    def podman(*args):
        return tool("podman", "--root", base / "root", "--runroot",
                    run / "root", "--storage-driver", "vfs",
                    "--cgroup-manager", "cgroupfs", "--events-backend", "none",
                    *args, env=env)
    yield podman
    shutil.rmtree(run, ignore_errors=True)
    podman("rmi", "-af")
    pause = run / "libpod/tmp/pause.pid"
    if pause.exists():
        os.kill(int(pause.read_text()), signal.SIGKILL)


@pytest.fixture(scope="module")
def odd(busybox_layer):
    return oci.Image([busybox_layer, oci.layer(*ODD_ENTRIES),
                      oci.layer(*UPPER)], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})


def diff_ids(moss, name):
    return moss.inspect(name)["RootFS"]["Layers"]


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive", "oci"])
def test_load_what_skopeo_wrote(fresh, registry, odd, tmp_path, transport):
    registry.client.put("interop/odd:1", odd)
    target = tmp_path / "image"
    skopeo_copy(f"docker://{registry.host}/interop/odd:1",
                f"{transport}:{target}:made/odd:2")
    assert fresh.ok("load", "-i", target) == "Loaded image: made/odd:2"
    assert diff_ids(fresh, "made/odd:2") == [each.diff_id for each in odd.layers]
    assert fresh.ok("run", "--rm", "made/odd:2", "sh", "-c", LOOK) == SEEN


def test_load_docker_archive_of_several_images(fresh, odd, busybox_layer,
                                               tmp_path):
    plain = oci.Image([busybox_layer], {"Cmd": ["sh"]}, docker=True)
    archive = tmp_path / "images.tar"
    oci.docker_archive(archive, {"one/plain:1": plain, "two/odd:2": odd})
    assert fresh.ok("load", "-i", archive).splitlines() == [
        "Loaded image: one/plain:1", "Loaded image: two/odd:2"]
    assert fresh.inspect("one/plain:1")["Id"] == plain.id
    assert fresh.ok("run", "--rm", "two/odd:2", "sh", "-c", LOOK) == SEEN


def load_odd(moss, odd, tmp_path):
    archive = tmp_path / "odd.tar"
    oci.docker_archive(archive, {"made/odd:1": odd})
    moss.ok("load", "-i", archive)


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_moss_saved(fresh, odd, tmp_path, transport):
    load_odd(fresh, odd, tmp_path)
    saved = tmp_path / "saved.tar"
    fresh.ok("save", "-o", saved, "made/odd:1")
    skopeo_copy(f"{transport}:{saved}", f"dir:{tmp_path}/dir")
    manifest = json.loads((tmp_path / "dir/manifest.json").read_text())
    assert manifest["config"]["digest"] == odd.id
    config = json.loads((tmp_path / "dir" / odd.id[7:]).read_text())
    assert config["rootfs"]["diff_ids"] == [each.diff_id for each in odd.layers]


def test_skopeo_reads_the_store_itself(fresh, odd, registry, tmp_path):
    load_odd(fresh, odd, tmp_path)
    skopeo_copy(f"oci:{fresh.root}/image:docker.io/made/odd:1",
                f"docker://{registry.host}/interop/from-store:1")
    config = registry.client.manifest("interop/from-store:1")[2]["config"]
    assert config["digest"] == odd.id


def test_umoci_unpacks_the_store_itself(fresh, odd, tmp_path):
    load_odd(fresh, odd, tmp_path)
    bundle = tmp_path / "bundle"
    tool("umoci", "unpack", "--rootless", "--image",
         f"{fresh.root}/image:docker.io/made/odd:1", bundle)
    root = bundle / "rootfs"
    assert (root / "odd/one").stat().st_ino == (root / "odd/two").stat().st_ino
    assert os.listdir(root / "hidden") == ["stays"]
    assert os.listdir(root / "emptied") == ["new"]


def only(layout, name):
    """Leaves one image in the layout's index."""
    path = layout / "index.json"
    index = json.loads(path.read_text())
    index["manifests"] = [
        each for each in index["manifests"] if each["annotations"]
        ["org.opencontainers.image.ref.name"] == name]
    path.write_text(json.dumps(index))


def test_load_what_umoci_changed(fresh, busybox_layer, registry, tmp_path):
    """A layer by umoci over a layer of ours: its whiteouts are obeyed."""
    registry.client.put("interop/base:1", oci.Image([busybox_layer]))
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    skopeo_copy(f"docker://{registry.host}/interop/base:1", f"oci:{layout}:base")
    tool("umoci", "unpack", "--rootless", "--image", f"{layout}:base", bundle)
    root = bundle / "rootfs"
    (root / "etc/group").unlink()
    (root / "made").mkdir()
    (root / "made/by").write_text("umoci")
    os.link(root / "made/by", root / "made/linked")
    tool("umoci", "repack", "--image", f"{layout}:changed", bundle)
    only(layout, "changed")
    assert fresh.ok("load", "-i", layout) == "Loaded image: changed:latest"
    assert fresh.ok("run", "--rm", "changed", "sh", "-c",
                    "ls /etc/group 2>/dev/null; stat -c %h /made/by; "
                    "cat /made/linked") == "2\numoci"


def test_podman_loads_what_moss_saved(fresh, odd, podman, tmp_path):
    load_odd(fresh, odd, tmp_path)
    saved = tmp_path / "saved.tar"
    fresh.ok("save", "-o", saved, "made/odd:1")
    podman("load", "-q", "-i", saved)
    image = json.loads(podman("inspect", "made/odd:1"))[0]
    assert "sha256:" + image["Id"] == odd.id
    assert image["RootFS"]["Layers"] == [each.diff_id for each in odd.layers]


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_load_what_podman_saved(fresh, odd, podman, tmp_path, form):
    """It packs the layers anew: the same content under the same diff IDs."""
    source, saved = tmp_path / "odd.tar", tmp_path / "saved.tar"
    oci.docker_archive(source, {"localhost/podman/odd:1": odd})
    podman("load", "-q", "-i", source)
    podman("save", "-q", "--format", form, "-o", saved, "podman/odd:1")
    assert fresh.ok("load", "-i", saved) == \
        "Loaded image: localhost/podman/odd:1"
    assert diff_ids(fresh, "localhost/podman/odd:1") == \
        [each.diff_id for each in odd.layers]
    assert fresh.ok("run", "--rm", "localhost/podman/odd:1", "sh", "-c",
                    LOOK) == SEEN


def test_extended_attributes(fresh, busybox_layer, tmp_path):
    """user.* and a program's file capability, from a layer made by hand."""
    program = open(roots.busybox_program(), "rb").read()
    image = oci.Image([busybox_layer, oci.layer(
        oci.file("odd/user", "x", pax={"SCHILY.xattr.user.moss": "kept"}),
        oci.file("odd/cat", program, mode=0o755,
                 pax={"SCHILY.xattr.security.capability": BIND_SERVICE}))])
    load_odd(fresh, image, tmp_path)
    out = fresh.ok("run", "--rm", "-u", "1000", "--cap-drop", "all",
                   "--cap-add", "net_bind_service", "made/odd:1", "/odd/cat",
                   "/proc/self/status")
    assert "CapEff:\t0000000000000400" in out
    found = [path for path in fresh.root.rglob("odd/user")]
    assert [os.getxattr(path, "user.moss") for path in found] == [b"kept"]


def members_of_docker(odd, form):
    """What different versions of `docker save` wrote."""
    def manifest(config, layers):
        return json.dumps([{"Config": config, "RepoTags": ["made/odd:1"],
                            "Layers": layers}]).encode()
    blobs = [(f"blobs/sha256/{oci.digest(data)[7:]}", data)
             for data in [odd.config.data, *(each.tar for each in odd.layers)]]
    if form == "25":  # an OCI layout and the old manifest.json at once
        index = oci.json_blob({
            "schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [
                dict(odd.manifest.descriptor(), annotations={
                    "io.containerd.image.name": "docker.io/made/odd:1",
                    "org.opencontainers.image.ref.name": "1"})]}, oci.INDEX)
        return [("blobs", None), ("blobs/sha256", None),
                *((f"blobs/sha256/{each.digest[7:]}", each.data)
                  for each in [odd.manifest, *odd.blobs()]),
                ("index.json", index.data),
                ("manifest.json", manifest(
                    f"blobs/sha256/{odd.id[7:]}",
                    [f"blobs/sha256/{each.digest[7:]}"
                     for each in odd.layers])),
                ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]
    if form == "prefix":  # tar cf x.tar .
        return [("./" + name, data) for name, data in
                [(".", None), ("config.json", odd.config.data),
                 *((f"{n}.tar", each.tar) for n, each in enumerate(odd.layers)),
                 ("manifest.json", manifest("config.json", [
                     f"{n}.tar" for n, _ in enumerate(odd.layers)]))]]
    if form == "link":  # a layer once more is a symbolic link to the first
        twice = oci.Image([*odd.layers, odd.layers[0]])
        return [("config.json", twice.config.data),
                *((f"{n}/layer.tar", each.tar)
                  for n, each in enumerate(odd.layers)),
                ("again/layer.tar", "../0/layer.tar"),
                ("manifest.json", manifest("config.json", [
                    *(f"{n}/layer.tar" for n, _ in enumerate(odd.layers)),
                    "again/layer.tar"]))]
    packed = [(name + ".gz", gzip.compress(data)) for name, data in blobs[1:]]
    return [("config.json", odd.config.data), *packed,
            ("manifest.json", manifest("config.json",
                                       [name for name, _ in packed]))]


@pytest.mark.parametrize("form, compress", [
    ("25", "cat"), ("25", "gzip"), ("25", "xz"), ("25", "zstd"),
    ("prefix", "cat"), ("link", "cat"), ("packed", "cat")])
def test_docker_archives_of_all_times(fresh, odd, tmp_path, form, compress):
    archive = tmp_path / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in members_of_docker(odd, form):
            info = tarfile.TarInfo(name)
            if data is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if info.size else None)
    packed = subprocess.run([compress], stdin=open(archive), check=True,
                            stdout=subprocess.PIPE).stdout
    out = fresh("load", stdin=packed, text=False, check=0).out
    assert out == b"Loaded image: made/odd:1\n"
    assert fresh.ok("run", "--rm", "made/odd:1", "sh", "-c", LOOK) == SEEN


# Through a registry

def test_podman_pulls_what_moss_pushed(fresh, odd, podman, registry, tmp_path):
    load_odd(fresh, odd, tmp_path)
    name = registry.name("interop/by-moss:1")
    fresh.ok("tag", "made/odd:1", name)
    fresh.ok("push", name)
    podman("pull", "-q", "--tls-verify=false", name)
    image = json.loads(podman("inspect", name))[0]
    assert "sha256:" + image["Id"] == odd.id
    assert image["RootFS"]["Layers"] == [each.diff_id for each in odd.layers]
    assert image["Digest"] == registry.client.manifest("interop/by-moss:1")[1]


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_moss_pulls_what_podman_pushed(fresh, odd, podman, registry, tmp_path,
                                       form):
    archive = tmp_path / "odd.tar"
    oci.docker_archive(archive, {"localhost/podman/push:1": odd})
    podman("load", "-q", "-i", archive)
    name = registry.name(f"interop/by-podman:{form}")
    podman("push", "-q", "--tls-verify=false", "--compression-format", form,
           "localhost/podman/push:1", name)
    fresh.ok("pull", name)
    assert diff_ids(fresh, name) == [each.diff_id for each in odd.layers]
    assert fresh.ok("run", "--rm", name, "sh", "-c", LOOK) == SEEN


def test_podman_and_moss_push_the_same(fresh, odd, podman, registry, tmp_path):
    """What podman pushed, moss pulled and pushed again, podman knows."""
    archive = tmp_path / "odd.tar"
    oci.docker_archive(archive, {"localhost/podman/same:1": odd})
    podman("load", "-q", "-i", archive)
    first, second = (registry.name(f"interop/same-{n}:1") for n in (1, 2))
    podman("push", "-q", "--tls-verify=false", "localhost/podman/same:1", first)
    fresh.ok("pull", "-q", first)
    fresh.ok("tag", first, second)
    fresh.ok("push", "-q", second)
    assert registry.client.manifest("interop/same-1:1") == \
        registry.client.manifest("interop/same-2:1")


def test_skopeo_writes_and_reads_around_moss(fresh, odd, registry, tmp_path):
    """skopeo → registry → moss → registry → skopeo, in both formats."""
    archive = tmp_path / "odd.tar"
    oci.docker_archive(archive, {"made/odd:1": odd})
    for form in ("oci", "v2s2"):
        names = [registry.name(f"interop/around-{form}-{n}:1") for n in (1, 2)]
        skopeo_copy(f"docker-archive:{archive}", f"docker://{names[0]}",
                    "--format", form)
        fresh.ok("pull", "-q", names[0])
        assert fresh.ok("run", "--rm", names[0], "sh", "-c", LOOK) == SEEN
        fresh.ok("tag", *names)
        fresh.ok("push", "-q", names[1])
        raw = [tool("skopeo", "inspect", "--raw", "--tls-verify=false",
                    f"docker://{name}") for name in names]
        assert raw[0] == raw[1]
        skopeo_copy(f"docker://{names[1]}", f"dir:{tmp_path}/{form}")


def test_skopeo_reads_a_pulled_image_of_the_store(fresh, odd, registry,
                                                  tmp_path):
    registry.client.put("interop/pulled:1", odd)
    name = registry.name("interop/pulled:1")
    fresh.ok("pull", "-q", name)
    raw = tool("skopeo", "inspect", "--raw", f"oci:{fresh.root}/image:{name}")
    assert oci.digest(raw.encode()) == odd.digest
    bundle = tmp_path / "bundle"
    tool("umoci", "unpack", "--rootless", "--image",
         f"{fresh.root}/image:{name}", bundle)
    assert os.listdir(bundle / "rootfs/hidden") == ["stays"]
