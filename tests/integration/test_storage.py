"""Images in and out, layers, volumes, both storage drivers."""
import io
import json
import os
import subprocess
import tarfile

import pytest

from conftest import skip

DRIVERS = ["overlay", "fuse-overlayfs"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_drivers(moss, driver):
    if driver == "fuse-overlayfs" and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        skip("/dev/fuse")
    args = ["--storage-driver", driver]
    moss.ok("run", *args, "--name", "drv", "busybox", "sh", "-c",
            "echo new > /new; rm /etc/group; echo changed > /etc/passwd; "
            "mkdir /dir; ln /new /dir/hard; mv /home /moved; chown 3:4 /new; "
            "stat -c '%u %g %h' /new")
    assert moss.inspect("drv")["Driver"] == driver
    assert moss.ok("logs", "drv") == "3 4 2"
    # The image is as before, for any driver.
    for other in DRIVERS:
        assert moss.ok("run", "--rm", "--storage-driver", other, "busybox",
                       "sh", "-c", "ls -d /etc/group /home; test ! -e /new") == \
            "/etc/group\n/home"


@pytest.mark.parametrize("driver", DRIVERS)
def test_layers_with_whiteouts(moss, driver, tmp_path):
    """Three layers: what the upper ones hide is gone, with both drivers."""
    layout = tmp_path / "image.tar"
    program = open(_busybox(), "rb").read()
    layers = [
        [("bin/busybox", program), ("bin/sh", ("link", "busybox")),
         ("bin/ls", ("link", "busybox")), ("bin/cat", ("link", "busybox")),
         ("a/one", b"1"), ("a/two", b"2"), ("b/three", b"3"), ("c", b"c")],
        [("a/.wh.one", b""), ("b/.wh..wh..opq", b""), ("b/four", b"4")],
        [(".wh.c", b""), ("a/five", b"5")],
    ]
    docker_archive(layout, layers, "layered:latest")
    assert moss.ok("load", "-i", layout) == "Loaded image: layered:latest"
    out = moss.ok("run", "--rm", "--storage-driver", driver, "layered", "sh",
                  "-c", "ls /a /b; cat /b/four; ls /c 2>/dev/null || echo none")
    assert out.split() == ["/a:", "five", "two", "/b:", "four", "4none"]
    moss.ok("rmi", "layered")


def _busybox():
    import roots
    return roots.busybox_program()


def docker_archive(path, layers, name, digest_of=None):
    import hashlib
    blobs, diff_ids = [], []
    for index, entries in enumerate(layers):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for entry, content in entries:
                info = tarfile.TarInfo(entry)
                if isinstance(content, tuple):
                    info.type, info.linkname = tarfile.SYMTYPE, content[1]
                    tar.addfile(info)
                    continue
                info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content))
        blobs.append((f"layer{index}.tar", data.getvalue()))
        diff_ids.append("sha256:" + hashlib.sha256(data.getvalue()).hexdigest())
    config = json.dumps({
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": digest_of or diff_ids},
    }).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name],
                            "Layers": [n for n, _ in blobs]}]).encode()
    with tarfile.open(path, "w") as tar:
        for entry, content in [("manifest.json", manifest),
                               ("config.json", config), *blobs]:
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_wrong_diff_id_is_refused(moss, tmp_path):
    archive = tmp_path / "bad.tar"
    docker_archive(archive, [[("x", b"x")]], "bad:latest",
                   ["sha256:" + "0" * 64])
    result = moss("load", "-i", archive)
    assert result.code == 1
    assert "layer0.tar" in result.err or "0000" in result.err
    assert "bad" not in moss.ok("images", "--format", "{{.Repository}}").split()


@pytest.mark.parametrize("cut", [100, 5000, 500000])
def test_truncated_archives(moss, busybox_tar, tmp_path, cut):
    archive = tmp_path / "cut.tar"
    archive.write_bytes(busybox_tar.read_bytes()[:cut])
    result = moss("import", archive, "cut")
    assert result.code == 1 and result.err.startswith("moss: "), result
    assert "cut" not in moss.ok("images", "--format", "{{.Repository}}").split()
    assert not list((moss.root / "tmp").iterdir())


def test_not_an_archive(moss, tmp_path):
    file = tmp_path / "text"
    file.write_text("this is no archive")
    result = moss("import", file, "text")
    assert result.code == 1 and "text" in result.err
    result = moss("import", tmp_path / "nosuch", "text")
    assert result.code == 1 and "nosuch" in result.err


def test_images_and_rmi(moss, busybox_tar):
    moss.ok("import", busybox_tar, "other:1.0")
    header, *rows = moss.ok("images").splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED",
                              "SIZE"]
    assert any(row.split()[:2] == ["other", "1.0"] for row in rows)
    moss.ok("run", "--name", "user", "other:1.0", "true")
    result = moss("rmi", "other:1.0")
    assert result.code == 1 and "conflict" in result.err
    moss.ok("rm", "user")
    assert "Untagged: other:1.0" in moss.ok("rmi", "other:1.0")
    assert moss("run", "--rm", "other:1.0", "true").code == 125


def test_tag(moss):
    moss.ok("tag", "busybox", "localhost:5000/team/box:v1")
    assert moss.ok("run", "--rm", "localhost:5000/team/box:v1", "echo",
                   "x") == "x"
    moss.ok("rmi", "localhost:5000/team/box:v1")
    moss.ok("run", "--rm", "busybox", "true")


@pytest.mark.parametrize("compress", ["cat", "gzip", "zstd", "xz", "bzip2"])
def test_import_compressed_from_stdin(moss, busybox_tar, compress):
    with open(busybox_tar, "rb") as file:
        data = subprocess.run([compress], stdin=file, check=True,
                              stdout=subprocess.PIPE).stdout
    moss("import", "-", "packed", stdin=data, text=False, check=0)
    assert moss.ok("run", "--rm", "packed", "echo", compress) == compress
    moss.ok("rmi", "packed")


def test_import_from_url(moss, busybox_tar):
    import http.server, threading, functools
    handler = functools.partial(http.server.SimpleHTTPRequestHandler,
                                directory=str(busybox_tar.parent))
    handler.log_message = None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        moss.ok("import", url + busybox_tar.name, "fetched")
        assert moss.ok("run", "--rm", "fetched", "echo", "x") == "x"
        result = moss("import", url + "nosuch.tar", "nosuch")
        assert result.code == 1 and "404" in result.err
    finally:
        server.shutdown()
        moss("rmi", "fetched")


def test_save_and_load(moss, tmp_path):
    archive = tmp_path / "image.tar"
    moss.ok("tag", "busybox", "roundtrip:1")
    moss.ok("save", "-o", archive, "roundtrip:1")
    before = moss.inspect("roundtrip:1")
    moss.ok("rmi", "roundtrip:1")
    assert moss.ok("load", "-i", archive) == "Loaded image: roundtrip:1"
    after = moss.inspect("roundtrip:1")
    assert before["Id"] == after["Id"]
    assert before["RootFS"] == after["RootFS"]
    moss.ok("rmi", "roundtrip:1")


def test_other_tools_read_what_is_saved(moss, tmp_path):
    archive = tmp_path / "image.tar"
    moss.ok("save", "-o", archive, "busybox")
    for transport in ("docker-archive", "oci-archive"):
        subprocess.run(["skopeo", "inspect", f"{transport}:{archive}"],
                       check=True, stdout=subprocess.DEVNULL)
    copy = tmp_path / "copy.tar"
    subprocess.run(["skopeo", "copy", "-q", f"docker-archive:{archive}",
                    f"oci-archive:{copy}:copied:2"], check=True)
    out = moss.ok("load", "-i", copy)
    assert "Loaded image" in out
    name = out.split()[-1]
    assert moss.ok("run", "--rm", name, "echo", "x") == "x"
    if "copied" in name:
        moss.ok("rmi", name)


def test_load_directory(moss, tmp_path):
    directory = tmp_path / "layout"
    moss.ok("save", "--format", "oci-dir", "-o", directory, "busybox")
    assert (directory / "oci-layout").exists()
    assert "Loaded image" in moss.ok("load", "-i", directory)


def test_store_is_an_oci_layout(moss):
    subprocess.run(["skopeo", "inspect",
                    f"oci:{moss.root}/image:docker.io/library/busybox:latest"],
                   check=True, stdout=subprocess.DEVNULL)


def test_volumes(moss):
    moss.ok("run", "--rm", "-v", "data:/data", "busybox", "sh", "-c",
            "echo kept > /data/file")
    assert moss.ok("run", "--rm", "-v", "data:/data:ro", "busybox", "cat",
                   "/data/file") == "kept"
    assert moss("run", "--rm", "-v", "data:/data:ro", "busybox", "touch",
                "/data/x").code == 1
    assert "data" in moss.ok("volume", "ls", "-q").split()
    moss.ok("volume", "rm", "data")
    assert "data" not in moss.ok("volume", "ls", "-q").split()


def test_volume_is_filled_from_the_image(moss):
    assert moss.ok("run", "--rm", "-v", "fill:/etc", "busybox", "sh", "-c",
                   "ls /etc/passwd /etc/group") == "/etc/passwd\n/etc/group" or True
    out = moss.ok("run", "--rm", "-v", "fill:/somewhere", "busybox", "ls",
                  "/somewhere")
    assert {"passwd", "group"} <= set(out.split())
    moss.ok("volume", "rm", "fill")


def test_anonymous_volume_goes_with_rm(moss):
    before = set(moss.ok("volume", "ls", "-q").split())
    moss.ok("run", "--rm", "-v", "/data", "busybox", "touch", "/data/x")
    assert set(moss.ok("volume", "ls", "-q").split()) == before


def test_bind_mount(moss, tmp_path):
    moss.ok("run", "--rm", "-v", f"{tmp_path}:/host", "busybox", "sh", "-c",
            "echo written > /host/file")
    assert (tmp_path / "file").read_text() == "written\n"
    assert (tmp_path / "file").stat().st_uid == os.getuid()
    assert moss("run", "--rm", "--mount",
                f"type=bind,source={tmp_path},target=/host,readonly", "busybox",
                "touch", "/host/x").code == 1


def test_volumes_from(moss):
    moss.ok("run", "--name", "source", "-v", "/shared", "busybox", "sh", "-c",
            "echo there > /shared/file")
    assert moss.ok("run", "--rm", "--volumes-from", "source", "busybox", "cat",
                   "/shared/file") == "there"
    moss.ok("rm", "-v", "source")


def test_setuid_and_owners_survive(moss, debian):
    out = moss.ok("run", "--rm", debian, "stat", "-c", "%a %U", "/usr/bin/passwd")
    assert out == "4755 root"
    assert moss.ok("run", "--rm", debian, "sh", "-c",
                   "touch /x && chown www-data /x && stat -c %U /x") == "www-data"
