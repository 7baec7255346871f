"""moss pull, and what run and create do about an image that is not here.

The registry's content is made by hand (oci.py); the words are docker's.
"""
import gzip
import json
import signal
import subprocess
import threading
import time
import urllib.request

import pexpect
import pytest

import faulty
import oci
import registry as registries
from conftest import wait_for


@pytest.fixture
def put(registry, busybox_layer, request):
    """Puts an image of busybox and the given layers into the plain registry,
    under a repository of the test's own; its full name."""
    repository = "pull/" + request.node.name.partition("[")[0].lower()

    def put(*layers, tag="1", image=None, **config):
        image = image or oci.Image([busybox_layer, *layers],
                                   dict({"Cmd": ["sh"]}, **config))
        registry.client.put(f"{repository}:{tag}", image)
        put.image = image
        return registry.name(f"{repository}:{tag}")
    put.repository = repository
    return put


def marker(text, **kwargs):
    """A layer with a file that says which image it is."""
    return oci.layer(oci.file("marker", text), **kwargs)


def run_marker(moss, name, *args):
    return moss.ok("run", "--rm", *args, name, "cat", "/marker")


# Names and words

def test_words(fresh, put):
    name = put(marker("one"))
    base, upper = (each.short for each in put.image.layers)
    result = fresh("pull", name, check=0)
    lines = result.out.splitlines()
    assert lines[0] == f"1: Pulling from {put.repository}"
    assert lines[-3:] == [f"Digest: {put.image.digest}",
                          f"Status: Downloaded newer image for {name}", name]
    for layer in (base, upper):
        assert lines.count(f"{layer}: Pulling fs layer") == 1
        assert lines.count(f"{layer}: Pull complete") == 1
    assert not any("\x1b" in line or "\r" in line for line in lines)
    assert result.err == ""
    assert run_marker(fresh, name) == "one"


def test_default_tag(fresh, put):
    name = put(marker("latest"), tag="latest").removesuffix(":latest")
    out = fresh.ok("pull", name).splitlines()
    assert out[0] == "Using default tag: latest"
    assert out[1] == f"latest: Pulling from {put.repository}"
    assert out[-1] == f"{name}:latest"
    assert fresh.images() == [f"{name}:latest"]


def test_quiet(fresh, put):
    name = put(marker("quiet"))
    result = fresh("pull", "-q", name, check=0)
    assert (result.out, result.err) == (name + "\n", "")


def test_by_digest(fresh, put):
    name = put(marker("digest")).rpartition(":")[0]
    pinned = f"{name}@{put.image.digest}"
    out = fresh.ok("pull", pinned).splitlines()
    assert out[0] == f"{pinned}: Pulling from {put.repository}"
    assert out[-2:] == [f"Status: Downloaded newer image for {pinned}", pinned]
    assert run_marker(fresh, pinned) == "digest"
    image = fresh.inspect(pinned)
    assert image["RepoDigests"] == [pinned] and image["RepoTags"] == []
    assert fresh.ok("images", "--digests", "--format",
                    "{{.Repository}} {{.Tag}} {{.Digest}}") == \
        f"{name} <none> {put.image.digest}"


def test_tag_and_digest(fresh, put):
    name = put(marker("both"))
    fresh.ok("pull", f"{name}@{put.image.digest}")
    assert fresh.inspect(f"{name}@{put.image.digest}")["Id"] == put.image.id


def test_digest_is_kept_with_the_tag(fresh, put):
    name = put(marker("tagged"))
    fresh.ok("pull", "-q", name)
    image = fresh.inspect(name)
    assert image["Id"] == put.image.id
    assert image["RepoTags"] == [name]
    assert image["RepoDigests"] == \
        [f"{name.rpartition(':')[0]}@{put.image.digest}"]
    assert run_marker(fresh, image["RepoDigests"][0]) == "tagged"


def test_all_tags(fresh, put):
    for tag in ("a", "b", "c"):
        name = put(marker(tag), tag=tag).rpartition(":")[0]
    out = fresh.ok("pull", "-a", name)
    for tag in ("a", "b", "c"):
        assert f"{tag}: Pulling from {put.repository}" in out
        assert run_marker(fresh, f"{name}:{tag}") == tag
    assert out.splitlines()[-1] == name
    assert sorted(fresh.images()) == [f"{name}:{tag}" for tag in "abc"]
    result = fresh("pull", "-a", f"{name}:a", check=1)
    assert "tag can't be used with --all-tags/-a" in result.err


def test_all_tags_over_many_pages(fresh, tiny, busybox_layer):
    client = oci.Client(tiny.port)
    tiny.page = 2
    image = oci.Image([busybox_layer])
    for tag in "abcde":
        client.put(f"paged:{tag}", image)
    fresh.ok("pull", "-q", "-a", tiny.name("paged"))
    assert sorted(fresh.images()) == \
        [tiny.name(f"paged:{tag}") for tag in "abcde"]


@pytest.mark.parametrize("name, words", [
    ("UPPER", "lowercase"), ("a//b", "invalid reference format"),
    ("a:", "invalid reference format"), ("-x:1", "invalid reference format"),
    ("a@sha256:12", "invalid"), ("a b", "invalid reference format"),
])
def test_bad_names(fresh, name, words):
    result = fresh("pull", "--", name, check=1)
    assert words in result.err and len(result.err.splitlines()) <= 2


def test_missing(fresh, registry):
    name = registry.name("nosuch:1")
    result = fresh("pull", name, check=1)
    assert f"{name} not found: manifest unknown" in result.err
    assert fresh.images() == []


# What is there already

def test_up_to_date(fresh, put, proxy):
    name = put(marker("same"))
    name = proxy.name(f"{put.repository}:1")
    fresh.ok("pull", name)
    proxy.requests.clear()
    out = fresh.ok("pull", name).splitlines()
    assert out[-3:] == [f"Digest: {put.image.digest}",
                        f"Status: Image is up to date for {name}", name]
    assert proxy.seen("GET", "/blobs/") == []


def test_newer_image_takes_the_name(fresh, put):
    name = put(marker("old"))
    fresh.ok("pull", name)
    old = put.image
    assert put(marker("new")) == name
    out = fresh.ok("pull", name)
    assert f"Status: Downloaded newer image for {name}" in out
    assert run_marker(fresh, name) == "new"
    assert fresh.inspect(name)["Id"] == put.image.id
    assert fresh.inspect(old.id)["RepoTags"] == []
    assert sorted(fresh.ok("images", "--format", "{{.Tag}}").split()) == \
        ["1", "<none>"]
    assert run_marker(fresh, old.id) == "old"


def test_shared_layers(fresh, put, proxy):
    put(marker("one"), tag="one")
    put(marker("two"), tag="two")
    fresh.ok("pull", proxy.name(f"{put.repository}:one"))
    proxy.requests.clear()
    out = fresh.ok("pull", proxy.name(f"{put.repository}:two"))
    base, upper = put.image.layers
    assert f"{base.short}: Already exists" in out.splitlines()
    assert f"{upper.short}: Pull complete" in out.splitlines()
    assert proxy.seen("GET", base.digest) == []
    assert len(proxy.seen("GET", upper.digest)) == 1


def test_the_same_layer_twice(fresh, put, busybox_layer, proxy):
    """What one image has twice is fetched once."""
    once = marker("twice")
    put(once, marker("hidden"), once)
    fresh.ok("pull", proxy.name(f"{put.repository}:1"))
    assert len(proxy.seen("GET", once.digest)) == 1
    assert run_marker(fresh, proxy.name(f"{put.repository}:1")) == "twice"


# Forms of images

def platforms(busybox_layer, docker=False):
    kind = oci.DOCKER_LAYER if docker else None
    base = oci.Layer(busybox_layer.tar, media_type=kind)
    return oci.Index([
        oci.Image([base, marker(arch, media_type=kind)], architecture=arch,
                  variant=variant, docker=docker)
        for arch, variant in [("arm", "v7"), ("arm64", "v8"), ("amd64", None),
                              ("s390x", None)]], docker=docker)


@pytest.mark.parametrize("docker", [False, True])
def test_platforms(fresh, put, busybox_layer, docker):
    index = platforms(busybox_layer, docker)
    name = put(image=index, tag="docker" if docker else "oci")
    fresh.ok("pull", name)
    image = fresh.inspect(name)
    assert image["Architecture"] == "amd64"
    assert image["RepoDigests"] == [f"{name.rpartition(':')[0]}@{index.digest}"]
    assert run_marker(fresh, name) == "amd64"
    fresh.ok("pull", "--platform", "linux/arm64", name)
    assert fresh.inspect(name)["Architecture"] == "arm64"
    fresh.ok("pull", "--platform", "linux/arm/v7", name)
    assert fresh.inspect(name)["Architecture"] == "arm"
    result = fresh("pull", "--platform", "linux/riscv64", name, check=1)
    assert "no matching manifest for linux/riscv64" in result.err
    result = fresh("pull", "--platform", "windows/amd64", name, check=1)
    assert '"windows" is not supported' in result.err


def test_index_by_digest_and_its_image_by_digest(fresh, put, busybox_layer):
    index = platforms(busybox_layer)
    name = put(image=index).rpartition(":")[0]
    fresh.ok("pull", f"{name}@{index.digest}")
    assert run_marker(fresh, f"{name}@{index.digest}") == "amd64"
    arm = index.images[1]
    fresh.ok("pull", f"{name}@{arm.digest}")
    assert fresh.inspect(f"{name}@{arm.digest}")["Architecture"] == "arm64"


def test_attestations_are_no_platform(fresh, put, busybox_layer):
    """What buildx adds to an index: unknown/unknown, never chosen."""
    image = oci.Image([busybox_layer, marker("real")])
    statement = oci.Image([marker("attestation")], os="unknown",
                          architecture="unknown")
    name = put(image=oci.Index([statement, image]))
    fresh.ok("pull", name)
    assert run_marker(fresh, name) == "real"


def test_docker_schema_2(fresh, put, busybox_layer):
    layers = [oci.Layer(each.tar, media_type=oci.DOCKER_LAYER)
              for each in (busybox_layer, marker("schema 2"))]
    name = put(image=oci.Image(layers, docker=True))
    fresh.ok("pull", name)
    assert fresh.inspect(name)["Id"] == put.image.id
    assert run_marker(fresh, name) == "schema 2"


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_compressions(fresh, put, compression):
    name = put(marker(compression, compression=compression), tag=compression)
    fresh.ok("pull", name)
    assert run_marker(fresh, name) == compression


def test_gzip_of_several_members(fresh, put):
    """As pigz and stargz write it."""
    layer = marker("members")
    pieces = [layer.tar[at:at + 1000] for at in range(0, len(layer.tar), 1000)]
    layer.__dict__.update(oci.Blob(b"".join(map(gzip.compress, pieces)),
                                   oci.LAYER["gzip"]).__dict__)
    name = put(layer)
    fresh.ok("pull", name)
    assert run_marker(fresh, name) == "members"


def test_empty_layers(fresh, put):
    """docker's own empty layer: 1024 zero bytes; an archive without an end."""
    name = put(oci.Layer(bytes(1024)), marker("empty"), oci.layer())
    fresh.ok("pull", name)
    assert run_marker(fresh, name) == "empty"


def test_very_many_layers(fresh, put):
    name = put(*(oci.layer(oci.file("marker", str(number)),
                           oci.file(f"files/{number}", "x"))
                 for number in range(40)))
    fresh.ok("pull", name)
    assert fresh.ok("run", "--rm", name, "sh", "-c",
                    "cat /marker; ls /files | wc -l") == "3940"


@pytest.mark.parametrize("form, words", [
    ("foreign", "foreign"), ("artifact", "not an image"), ("schema1", "schema"),
    ("media type", "media type"), ("subject", None),
])
def test_other_things_than_images(fresh, tiny, busybox_layer, form, words):
    client, name = oci.Client(tiny.port), tiny.name("odd:1")
    if form == "foreign":
        layer = oci.Layer(busybox_layer.tar, media_type=oci.DOCKER +
                          "image.rootfs.foreign.diff.tar.gzip")
        layer.descriptor = lambda: dict(
            oci.Blob.descriptor(layer), urls=["http://localhost:1/layer"])
        image = oci.Image([layer])
    elif form == "artifact":
        image = oci.Image([])
        image.config = oci.Blob(b"{}", oci.EMPTY)
        image.layers = [oci.Blob(b"data", "text/plain")]
        image.manifest = oci.json_blob({
            "schemaVersion": 2, "mediaType": oci.MANIFEST,
            "artifactType": "application/vnd.test",
            "config": image.config.descriptor(),
            "layers": [each.descriptor() for each in image.layers]},
            oci.MANIFEST)
    elif form == "schema1":
        image = oci.Image([busybox_layer])
        image.manifest = oci.json_blob(
            {"schemaVersion": 1, "name": "odd", "tag": "1", "fsLayers": []},
            "application/vnd.docker.distribution.manifest.v1+prettyjws")
    elif form == "media type":
        image = oci.Image([oci.Layer(busybox_layer.tar,
                                     media_type="application/x-unknown")])
    else:  # an image that refers to another is an image
        image = oci.Image([busybox_layer], subject={
            "mediaType": oci.MANIFEST, "digest": "sha256:" + "0" * 64,
            "size": 2})
    for blob in image.blobs():
        client.put_blob("odd", blob)
    tiny.manifests["odd", "1"] = tiny.manifests["odd", image.digest] = \
        (image.manifest.media_type, image.manifest.data)
    tiny.any_manifest = True
    result = fresh("pull", name)
    if not words:
        assert result.code == 0, result
        return
    assert result.code == 1 and words in result.err, result
    assert "odd" in result.err and fresh.images() == []
    assert len(result.err.splitlines()) <= 2


def test_referrers(fresh, tiny, busybox_layer):
    client = oci.Client(tiny.port)
    image = client.put("signed:1", oci.Image([busybox_layer]))
    signature = oci.Image([oci.Blob(b"signature", "text/plain")][:0],
                          subject=image.manifest.descriptor(),
                          artifactType="application/vnd.test.signature")
    client.put("signed", signature)
    fresh.ok("pull", tiny.name("signed:1"))
    found = fresh.inspect(tiny.name("signed:1"))["Referrers"]
    assert [(each["digest"], each["artifactType"]) for each in found] == \
        [(signature.digest, "application/vnd.test.signature")]


def test_registry_without_referrers(fresh, tiny, busybox_layer):
    """The fallback of the specification: a tag named after the digest."""
    tiny.has_referrers = False
    client = oci.Client(tiny.port)
    image = client.put("tagged:1", oci.Image([busybox_layer]))
    signature = client.put("tagged", oci.Image(
        [], subject=image.manifest.descriptor()))
    client.put_manifest("tagged", image.digest.replace(":", "-"),
                        oci.json_blob({
                            "schemaVersion": 2, "mediaType": oci.INDEX,
                            "manifests": [signature.manifest.descriptor(
                                artifactType="application/vnd.test")]},
                            oci.INDEX))
    fresh.ok("pull", tiny.name("tagged:1"))
    found = fresh.inspect(tiny.name("tagged:1"))["Referrers"]
    assert [each["digest"] for each in found] == [signature.digest]


# run and create

def test_run_pulls_a_missing_image(fresh, put):
    name = put(marker("run"))
    result = fresh("run", "--rm", name, "cat", "/marker", check=0)
    assert result.out == "run"
    lines = result.err.splitlines()
    assert lines[:2] == [f"Unable to find image '{name}' locally",
                         f"1: Pulling from {put.repository}"]
    assert lines[-2:] == [f"Digest: {put.image.digest}",
                          f"Status: Downloaded newer image for {name}"]
    assert fresh("run", "--rm", name, "cat", "/marker", check=0).err == ""


def test_create_pulls_a_missing_image(fresh, put):
    name = put(marker("create"))
    result = fresh("create", "--name", "made", name, "cat", "/marker", check=0)
    assert f"Unable to find image '{name}' locally" in result.err
    assert len(result.out.strip()) == 64
    assert fresh.ok("start", "-a", "made") == "create"


def test_run_quiet(fresh, put):
    name = put(marker("quiet"))
    result = fresh("run", "-q", "--rm", name, "cat", "/marker", check=0)
    assert result.out == "quiet" and "Pulling" not in result.err


def test_run_of_what_is_nowhere(fresh, registry):
    name = registry.name("nosuch:1")
    for command in ("run", "create"):
        result = fresh(command, name, "true")
        assert result.code == (125 if command == "run" else 1), result
        assert result.err.startswith(f"Unable to find image '{name}' locally")
        assert "not found" in result.err and result.out == ""
    assert fresh.ok("ps", "-aq") == ""


def test_pull_policies(fresh, put):
    name = put(marker("old"))
    result = fresh("run", "--rm", "--pull", "never", name, "true", check=125)
    assert f"No such image: {name}" in result.err
    assert run_marker(fresh, name, "--pull", "missing") == "old"
    put(marker("new"))
    assert run_marker(fresh, name) == "old"
    assert run_marker(fresh, name, "--pull", "never") == "old"
    result = fresh("run", "--rm", "--pull=always", name, "cat", "/marker",
                   check=0)
    assert result.out == "new"
    assert "Unable to find" not in result.err
    result = fresh("run", "--pull", "sometimes", name, check=125)
    assert "sometimes" in result.err


def test_run_of_another_platform(fresh, put, busybox_layer):
    """The asked platform is pulled although another is here."""
    name = put(image=platforms(busybox_layer))
    fresh.ok("pull", name)
    fresh("create", "--name", "arm", "--platform", "linux/arm64", name,
          "true", check=0)
    assert fresh.inspect(fresh.inspect("arm")["Image"])["Architecture"] == \
        "arm64"


# At the same time, and interrupted

def test_pulls_of_one_image_at_once(fresh, put):
    name = put(*(marker(str(number)) for number in range(6)))
    pulls = [fresh.popen("pull", "-q", name, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
             for _ in range(4)]
    for pull in pulls:
        assert pull.communicate(timeout=60)[0] == name + "\n"
        assert pull.returncode == 0
    assert fresh.images() == [name]
    assert run_marker(fresh, name) == "5"


def test_pulls_of_images_with_a_common_layer_at_once(fresh, put):
    names = [put(marker(tag), tag=tag) for tag in "abcd"]
    pulls = [fresh.popen("pull", "-q", name, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
             for name in names]
    for name, pull in zip(names, pulls):
        assert pull.communicate(timeout=60)[0] == name + "\n"
    for name in names:
        assert run_marker(fresh, name) == name[-1]


def helpers(moss):
    """Helper programs that work on this store."""
    found = subprocess.run(["pgrep", "-f", "^moss: pull"],
                           stdout=subprocess.PIPE, text=True).stdout.split()
    mine = []
    for pid in found:
        try:
            environment = open(f"/proc/{pid}/environ").read()
            targets = subprocess.run(
                ["ls", "-l", f"/proc/{pid}/fd"], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True).stdout
        except OSError:
            continue
        if str(moss.root) in environment + targets:
            mine.append(pid)
    return mine


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGKILL])
def test_interrupted_and_again(fresh, put, proxy, number):
    """Half a layer is nothing visible; a finished layer is not fetched again."""
    put(marker(f"again {number}"))
    name = proxy.name(f"{put.repository}:1")
    base, upper = put.image.layers
    gate = threading.Event()
    proxy.fault("GET", base.digest, faulty.stall(gate, 1000), times=1)
    pull = fresh.popen("pull", name, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    wait_for(lambda: proxy.seen("GET", base.digest) and
             proxy.seen("GET", upper.digest), "both downloads")
    time.sleep(0.3)  # for the small layer to be finished
    pull.send_signal(number)
    pull.communicate(timeout=10)
    gate.set()
    assert pull.returncode != 0
    if number == signal.SIGINT:
        assert pull.returncode in (1, 130, -signal.SIGINT)
    wait_for(lambda: not helpers(fresh), "the end of the helper")
    assert fresh.images() == [] and fresh.ok("images", "-a", "-q") == ""
    proxy.requests.clear()
    out = fresh.ok("pull", name)
    assert f"{upper.short}: Already exists" in out
    assert proxy.seen("GET", upper.digest) == []
    assert run_marker(fresh, name) == f"again {number}"
    wait_for(lambda: not list((fresh.root / "tmp").iterdir()),
             "nothing left")


# On a terminal

def test_progress_bars(fresh, put, proxy):
    put(oci.layer(oci.file("big", bytes(range(256)) * 8000),
                  compression="none"), marker("bars"))
    big = put.image.layers[1]
    proxy.fault("GET", big.digest, faulty.trickle(50000, 0.1))
    name = proxy.name(f"{put.repository}:1")
    child = pexpect.spawn(fresh.program, ["pull", name],
                          env=dict(fresh.env, TERM="xterm"),
                          dimensions=(24, 100), timeout=20, encoding="utf-8")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    text = child.before
    assert "\x1b[" in text and "Downloading" in text
    assert f"{big.short}: Pull complete" in text
    assert "kB/2.0" in text or "MB/2.0" in text, text
    assert "[=" in text and ">" in text
    assert text.rstrip().endswith(name)
    shown = screen(text)
    assert f"{big.short}: Pull complete" in shown
    assert shown[-3:] == [f"Digest: {put.image.digest}",
                          f"Status: Downloaded newer image for {name}", name]
    assert not any("Downloading" in line for line in shown)


def screen(text):
    """The lines that stay on a terminal: cursor up, down, erase, return."""
    import re
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            row += 1
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b["):
            count = int(part[2:-1] or 1) if part[2:-1].isdigit() or \
                not part[2:-1] else 0
            if part[-1] == "A":
                row = max(0, row - count)
            elif part[-1] == "B":
                row += count
            elif part[-1] == "K":
                lines[row] = "" if part[2:-1] == "2" else lines[row][:column]
            elif part[-1] == "J":
                lines[row] = lines[row][:column]
                del lines[row + 1:]
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part):]
            column += len(part)
        while row >= len(lines):
            lines.append("")
    return [line.rstrip() for line in lines if line.strip()]


# Where images are asked for

def conf(moss, text):
    moss.conf.write_text(text)


def test_docker_hub_through_a_mirror(fresh, registry, busybox_layer):
    """What tutorials begin with, word by word."""
    registry.client.put("library/busybox:latest", oci.Image(
        [busybox_layer, marker("from the mirror")], {"Cmd": ["sh"]}))
    conf(fresh, f'[registry "docker.io"]\nmirror = http://{registry.host}\n')
    out = fresh.ok("pull", "busybox").splitlines()
    assert out[0] == "Using default tag: latest"
    assert out[1] == "latest: Pulling from library/busybox"
    assert out[-2:] == ["Status: Downloaded newer image for busybox:latest",
                        "docker.io/library/busybox:latest"]
    assert fresh.images() == ["busybox:latest"]
    assert run_marker(fresh, "busybox") == "from the mirror"
    assert run_marker(fresh, "docker.io/library/busybox:latest") == \
        "from the mirror"


def test_getting_started(fresh, registry, busybox_layer, free_port):
    page = "<h1>Getting started</h1>"
    registry.client.put("docker/getting-started:latest", oci.Image(
        [busybox_layer, oci.layer(oci.file("www/index.html", page))],
        {"Cmd": ["httpd", "-f", "-p", "80", "-h", "/www"],
         "ExposedPorts": {"80/tcp": {}}}))
    conf(fresh, f'[registry "docker.io"]\n\tmirror = "http://{registry.host}"\n')
    port = free_port()
    result = fresh("run", "-d", "-p", f"{port}:80", "docker/getting-started",
                   check=0)
    assert result.err.startswith(
        "Unable to find image 'docker/getting-started:latest' locally\n"
        "latest: Pulling from docker/getting-started\n")
    assert len(result.out.strip()) == 64

    def fetch():
        try:
            return urllib.request.urlopen(
                f"http://127.0.0.1:{port}/", timeout=5).read().decode()
        except OSError:
            return None
    assert wait_for(fetch, "the web page") == page


def test_mirrors_are_asked_in_order(fresh, registry, busybox_layer, free_port):
    """A mirror that is down, one that has not the image, one that has it."""
    image = oci.Image([busybox_layer, marker("third")])
    registry.client.put("mirrored/team/box:1", image)
    with faulty.FaultyProxy(registry.port) as empty, \
            faulty.FaultyProxy(registry.port) as full:
        conf(fresh, f"""
[registry "registry.test:5000"]
mirror = http://localhost:{free_port()}
mirror = http://{empty.host}/nothing/here
mirror = {full.host}/mirrored
""")
        out = fresh.ok("pull", "registry.test:5000/team/box:1")
        assert out.splitlines()[-1] == "registry.test:5000/team/box:1"
        assert empty.seen("GET", "/v2/nothing/here/team/box/manifests/1") or \
            empty.seen("HEAD", "/v2/nothing/here/team/box/manifests/1")
        assert full.seen("GET", "/v2/mirrored/team/box/manifests/")
        assert len(empty.seen("GET", "/blobs/")) == 0
    assert run_marker(fresh, "registry.test:5000/team/box:1") == "third"


def test_the_registry_itself_comes_last(fresh, registry, put, busybox_layer):
    put(marker("origin"))
    with faulty.FaultyProxy(registry.port) as broken:
        broken.fault("*", "", faulty.status(500))
        conf(fresh, f'[registry "{registry.host}"]\n'
                    f"mirror = http://{broken.host}\n")
        name = registry.name(f"{put.repository}:1")
        fresh.ok("pull", name)
        assert broken.requests
    assert run_marker(fresh, name) == "origin"


def test_a_lying_mirror_is_passed_over(fresh, registry, put):
    """A mirror with wrong bytes is as good as one that is down."""
    put(marker("true"))
    with faulty.FaultyProxy(registry.port) as liar:
        liar.fault("GET", "/blobs/", faulty.change_body(faulty.flip))
        conf(fresh, f'[registry "{registry.host}"]\n'
                    f"mirror = http://{liar.host}\n")
        name = registry.name(f"{put.repository}:1")
        result = fresh("pull", name)
    if result.code == 0:
        assert run_marker(fresh, name) == "true"
    else:  # refused is allowed, shown is not
        assert fresh.images() == [] and "sha256" in result.err


def test_blocked(fresh, registry, put):
    name = put(marker("blocked"))
    conf(fresh, f'[registry "{registry.host}"]\nblocked = true\n')
    result = fresh("pull", name, check=1)
    assert "blocked" in result.err and str(fresh.conf) in result.err
    result = fresh("run", name, check=125)
    assert "blocked" in result.err
    conf(fresh, '[registry "*"]\nblocked = true\n'
                f'[registry "{registry.host}"]\nblocked = false\n')
    fresh.ok("pull", name)
    result = fresh("pull", "docker.io/library/busybox", check=1)
    assert "blocked" in result.err


def test_plain_http_only_where_it_is_allowed(fresh, registry, put, monkeypatch):
    """Loopback needs no setting; a name that is not loopback does."""
    put(marker("insecure"))
    with ForwardProxy(registry.port) as forward:
        moss = fresh
        moss.env.update(http_proxy=forward.url, https_proxy=forward.url,
                        HTTPS_PROXY=forward.url)
        name = f"registry.test:5000/{put.repository}:1"
        result = moss("pull", name, check=1)
        assert "registry.test:5000" in result.err
        assert not [each for each in forward.requests
                    if each.path.startswith("http://")]
        conf(moss, '[registry "registry.test:5000"]\ninsecure = true\n')
        moss.ok("pull", name)
        assert run_marker(moss, name) == "insecure"
        assert [each for each in forward.requests
                if each.path.startswith("http://registry.test:5000/v2/")]
        moss.ok("rmi", name)
        forward.requests.clear()
        moss.env["no_proxy"] = moss.env["NO_PROXY"] = "registry.test"
        assert moss("pull", name).code == 1
        assert not forward.requests


class ForwardProxy(faulty.Server):
    """What http_proxy names: GET http://HOST/…, all hosts are one registry."""

    def __init__(self, port):
        self.upstream_port = port
        super().__init__(ForwardHandler)


class ForwardHandler(faulty.ProxyHandler):
    def any_method(self):
        self.request_body = None
        if not self.path.startswith("http://"):
            return self.answer(502)
        self.path = "/" + self.path.split("/", 3)[3]
        self.reply(*self.upstream())

    do_GET = do_HEAD = any_method

    def do_CONNECT(self):
        self.answer(502)


# TLS

def test_unknown_authority(fresh, tls_registry, busybox_layer, ca):
    name = tls_registry.name("tls/box:1")
    tls_registry.client.put("tls/box:1", oci.Image([busybox_layer]))
    result = fresh("pull", name, check=1)
    assert "certificate" in result.err and tls_registry.host in result.err
    conf(fresh, f'[registry "{tls_registry.host}"]\nca = {ca.file}\n')
    result = fresh("pull", name, check=1)
    assert "certificate" not in result.err
    assert "no basic auth credentials" in result.err or \
        "moss login" in result.err


def test_ca_of_certs_d(fresh, tls_registry, ca):
    directory = fresh.home / ".config/moss/certs.d" / tls_registry.host
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(ca.file.read_bytes())
    result = fresh("pull", tls_registry.name("tls/box:1"), check=1)
    assert "certificate" not in result.err


def test_certificate_of_another_host(fresh, tls_registry, ca):
    host = f"127.0.0.1:{tls_registry.port}"
    conf(fresh, f'[registry "{host}"]\nca = {ca.file}\n')
    result = fresh("pull", f"{host}/tls/box:1", check=1)
    assert "certificate" in result.err


def test_insecure_does_not_ask_for_certificates(fresh, registry, put, ca):
    """TLS by nobody known is TLS still, and not plain HTTP."""
    put(marker("unchecked"))
    with faulty.FaultyProxy(registry.port, context=ca.server_context()) as tls:
        conf(fresh, f'[registry "{tls.host}"]\ninsecure = true\n')
        name = tls.name(f"{put.repository}:1")
        fresh.ok("pull", name)
        assert tls.seen("GET", put.image.layers[1].digest)
    assert run_marker(fresh, name) == "unchecked"


def test_client_certificates(fresh, busybox_layer, ca, tmp_path):
    """By moss.conf, and by certs.d as docker has it."""
    with registries.Registry(tmp_path / "mutual", tls=ca, clients=ca) as mutual:
        mutual.client.put("box:1", oci.Image([busybox_layer]))
        name = mutual.name("box:1")
        trust = f'[registry "{mutual.host}"]\nca = {ca.file}\n'
        conf(fresh, trust)
        result = fresh("pull", name, check=1)
        assert "certificate" in result.err
        certificate, key = ca.certificate("someone")
        conf(fresh, f"{trust}cert = {certificate}\nkey = {key}\n")
        fresh.ok("pull", "-q", name)
        fresh.ok("rmi", name)
        conf(fresh, "")
        directory = fresh.home / ".config/moss/certs.d" / mutual.host
        directory.mkdir(parents=True)
        for source, target in [(ca.file, "ca.crt"), (certificate, "client.cert"),
                               (key, "client.key")]:
            (directory / target).write_bytes(source.read_bytes())
        fresh.ok("pull", "-q", name)


def test_history_and_listing_of_a_pulled_image(fresh, put):
    name = put(marker("listed"))
    fresh.ok("pull", name)
    rows = [json.loads(line) for line in
            fresh.ok("history", "--format", "{{json .}}", name).splitlines()]
    assert [row["CreatedBy"] for row in rows] == ["layer 1", "layer 0"]
    assert rows[0]["ID"] == put.image.id[7:19]
