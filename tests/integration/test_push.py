"""moss push: what arrives in a registry, and how it is told."""
import base64
import json
import os
import signal
import subprocess
import tarfile
import threading

import pexpect
import pytest

import faulty
import oci
from conftest import wait_for


@pytest.fixture
def image(busybox_layer):
    return oci.Image([busybox_layer, oci.layer(oci.file("marker", "pushed"))],
                     {"Cmd": ["sh"]})


@pytest.fixture
def made(fresh, image, tmp_path):
    """fresh with the image loaded from an archive: it came from no registry."""
    archive = tmp_path / "made.tar"
    oci.docker_archive(archive, {"made:1": image})
    fresh.ok("load", "-i", archive)
    return fresh


def check_content(client, name, image):
    """Every blob is there under its digest, with the diff IDs of the image."""
    repository = name.partition(":")[0]
    media_type, digest, manifest = client.manifest(name)
    assert manifest["schemaVersion"] == 2
    config = client.blob(repository, manifest["config"]["digest"])
    assert oci.digest(config) == manifest["config"]["digest"] == image.id
    assert len(manifest["layers"]) == len(image.layers)
    for each in manifest["layers"]:
        data = client.blob(repository, each["digest"])
        assert oci.digest(data) == each["digest"] and len(data) == each["size"]
    return digest


def test_words(made, registry, image):
    name = registry.name("push/words:1")
    made.ok("tag", "made:1", name)
    result = made("push", name, check=0)
    lines = result.out.splitlines()
    assert lines[0] == "The push refers to repository " \
        f"[{registry.name('push/words')}]"
    digest = check_content(registry.client, "push/words:1", image)
    size = len(registry.client.request(
        "GET", "/v2/push/words/manifests/1",
        headers={"Accept": oci.MANIFESTS}).body)
    assert lines[-1] == f"1: digest: {digest} size: {size}"
    assert sum(line.endswith(": Pushed") for line in lines) == 2
    assert sum(line.endswith(": Preparing") for line in lines) == 2
    assert result.err == "" and "\x1b" not in result.out
    assert f"{registry.name('push/words')}@{digest}" in \
        made.inspect(name)["RepoDigests"]


def test_digest_after_a_push(fresh, registry, image, busybox_layer):
    """One platform of an index goes under another name: its digest there is
    the manifest's, while the first name keeps the index's."""
    index = registry.client.put("push/index:1", oci.Index(
        [image, oci.Image([busybox_layer], architecture="arm64")]))
    source, target = registry.name("push/index"), registry.name("push/one")
    fresh.ok("pull", "-q", f"{source}:1")
    fresh.ok("tag", f"{source}:1", f"{target}:1")
    fresh.ok("push", "-q", f"{target}:1")
    assert registry.client.manifest("push/one:1")[1] == image.digest
    assert sorted(fresh.inspect(image.id)["RepoDigests"]) == [
        f"{source}@{index.digest}", f"{target}@{image.digest}"]
    out = fresh.ok("pull", f"{target}:1")
    assert "Image is up to date" in out
    fresh.ok("pull", "-q", f"{target}@{image.digest}")


def test_default_tag_and_quiet(made, registry, image):
    name = registry.name("push/latest")
    made.ok("tag", "made:1", name)
    out = made.ok("push", name).splitlines()
    assert out[0] == "Using default tag: latest"
    check_content(registry.client, "push/latest:latest", image)
    result = made("push", "-q", f"{name}:latest", check=0)
    assert (result.out, result.err) == (f"{name}:latest\n", "")


def test_again(made, registry):
    name = registry.name("push/again:1")
    made.ok("tag", "made:1", name)
    first = made.ok("push", name).splitlines()
    second = made.ok("push", name).splitlines()
    assert sum(line.endswith(": Layer already exists")
               for line in second) == 2
    assert not any(line.endswith(": Pushed") for line in second)
    assert first[-1] == second[-1]


def test_all_tags(made, registry, image):
    name = registry.name("push/all")
    for tag in ("a", "b"):
        made.ok("tag", "made:1", f"{name}:{tag}")
    made.ok("tag", "made:1", registry.name("push/other:c"))
    out = made.ok("push", "-a", name)
    assert "a: digest: " in out and "b: digest: " in out
    assert registry.client.tags("push/all") == ["a", "b"]
    assert registry.client.tags("push/other") == []
    result = made("push", "-a", f"{name}:a", check=1)
    assert "tag can't be used with --all-tags/-a" in result.err


def test_missing(fresh, registry):
    name = registry.name("push/nosuch")
    result = fresh("push", f"{name}:1", check=1)
    assert f"An image does not exist locally with the tag: {name}" in result.err
    assert registry.client.tags("push/nosuch") == []
    result = fresh("push", f"{name}@sha256:" + "0" * 64, check=1)
    assert "digest" in result.err


@pytest.mark.parametrize("form", ["gzip", "zstd", "none", "docker"])
def test_pulled_and_pushed_is_the_same(fresh, registry, busybox_layer, form):
    """To another repository: not one byte differs."""
    docker = form == "docker"
    kind = oci.DOCKER_LAYER if docker else None
    layers = [oci.Layer(busybox_layer.tar, media_type=kind),
              oci.layer(oci.file("x", form), media_type=kind,
                        compression="gzip" if docker else form)]
    image = oci.Image(layers, docker=docker, annotations={"kept": "yes"})
    registry.client.put(f"push/source-{form}:1", image)
    name = registry.name(f"push/target-{form}:2")
    fresh.ok("pull", "-q", registry.name(f"push/source-{form}:1"))
    fresh.ok("tag", registry.name(f"push/source-{form}:1"), name)
    fresh.ok("push", name)
    media_type, digest, manifest = registry.client.manifest(f"push/target-{form}:2")
    assert (media_type, digest) == (image.manifest.media_type, image.digest)


def test_pushed_elsewhere_is_the_same(fresh, registry, tiny, busybox_layer):
    """To another registry, from the store alone."""
    layers = [busybox_layer, oci.layer(
        oci.file("one", "x"), oci.hard_link("two", "one"),
        oci.file("caps", "x", pax={"SCHILY.xattr.user.a": "b"}),
        oci.whiteout("etc/group"), oci.directory("srv"), oci.opaque("srv"),
        oci.file("d" * 90 + "/" + "n" * 200, "long"), compression="zstd")]
    image = registry.client.put("push/elsewhere:1", oci.Image(layers))
    source, target = registry.name("push/elsewhere:1"), tiny.name("copy:1")
    fresh.ok("pull", "-q", source)
    fresh.ok("tag", source, target)
    fresh.ok("push", target)
    client = oci.Client(tiny.port)
    assert client.manifest("copy:1")[1] == image.digest
    for layer in layers:
        assert client.blob("copy", layer.digest) == layer.data
    fresh.ok("rmi", source, target)
    fresh.ok("pull", "-q", target)
    assert fresh.inspect(target)["Id"] == image.id


def test_device_nodes_survive(fresh, registry, busybox_layer):
    """mknod is impossible here; the layer goes out as it came in."""
    node = oci.entry("dev/odd", tarfile.CHRTYPE, mode=0o600)
    node[0].devmajor, node[0].devminor = 10, 200
    image = registry.client.put("push/nodes:1", oci.Image(
        [busybox_layer, oci.layer(node, oci.entry("fifo", tarfile.FIFOTYPE))]))
    source = registry.name("push/nodes:1")
    target = registry.name("push/nodes-again:1")
    fresh.ok("pull", "-q", source)
    fresh.ok("run", "--rm", source, "test", "-p", "/fifo")
    fresh.ok("tag", source, target)
    fresh.ok("push", target)
    assert registry.client.manifest("push/nodes-again:1")[1] == image.digest


def test_mount_from_another_repository(fresh, registry, proxy, image):
    registry.client.put("push/origin:1", image)
    fresh.ok("pull", "-q", proxy.name("push/origin:1"))
    fresh.ok("tag", proxy.name("push/origin:1"), proxy.name("push/mounted:1"))
    proxy.requests.clear()
    out = fresh.ok("push", proxy.name("push/mounted:1"))
    assert out.count("Mounted from push/origin") == 2
    assert [each.path for each in proxy.seen("POST", "mount=")]
    # Of blobs, nothing but the config went over the wire.
    assert [int(each.headers["content-length"]) for each in proxy.requests
            if each.method in ("PATCH", "PUT") and "/blobs/" in each.path] \
        in ([], [image.config.size])
    check_content(registry.client, "push/mounted:1", image)


def test_refused_mount(fresh, tiny, image):
    """The registry opens an upload instead: it is used."""
    client = oci.Client(tiny.port)
    client.put("origin:1", image)
    fresh.ok("pull", "-q", tiny.name("origin:1"))
    fresh.ok("tag", tiny.name("origin:1"), tiny.name("unmounted:1"))
    tiny.mounts = False
    out = fresh.ok("push", tiny.name("unmounted:1"))
    assert out.count(": Pushed") == 2
    check_content(client, "unmounted:1", image)
    assert tiny.sessions == {}


@pytest.mark.parametrize("least, most", [
    (None, 5 << 20), (65536, 5 << 20), (6 << 20, 7 << 20)])
def test_parts(fresh, registry, tiny, least, most):
    """A server that takes no large requests (413), or no small parts
    (OCI-Chunk-Min-Length)."""
    layer = oci.layer(oci.file("large", os.urandom(13 << 20)),
                      compression="none")
    image = registry.client.put("push/parts:1", oci.Image([layer]))
    fresh.ok("pull", "-q", registry.name("push/parts:1"))
    fresh.ok("tag", registry.name("push/parts:1"), tiny.name("parts:1"))
    tiny.chunk_minimum, tiny.body_maximum = least, most
    fresh.ok("push", tiny.name("parts:1"))
    assert tiny.refused >= 1
    assert len(tiny.seen("PATCH", "/uploads/")) >= 2
    check_content(oci.Client(tiny.port), "parts:1", image)


def test_single_post_is_not_needed(made, tiny, image):
    tiny.single_post = False
    made.ok("tag", "made:1", tiny.name("single:1"))
    made.ok("push", tiny.name("single:1"))
    check_content(oci.Client(tiny.port), "single:1", image)


def test_what_a_container_changed(fresh, registry, image, tmp_path):
    """commit, push, pull: another tool reads the new layer."""
    registry.client.put("push/changed:1", image)
    name = registry.name("push/changed:2")
    fresh.ok("run", "--name", "changer", registry.name("push/changed:1"), "sh", "-c",
             "echo new > /new; rm /etc/group; mkdir /d; ln /new /d/hard")
    fresh.ok("commit", "-m", "changed", "changer", name)
    fresh.ok("push", name)
    fresh.ok("rm", "changer")
    fresh.ok("rmi", name)
    fresh.ok("pull", "-q", name)
    assert fresh.ok("run", "--rm", name, "sh", "-c",
                    "cat /new; stat -c %h /d/hard; ls /etc/group || true"
                    ).split() == ["new", "2"]
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                    f"docker://{name}", f"dir:{tmp_path}/dir"], check=True,
                   stdout=subprocess.DEVNULL)


def test_several_at_once(made, registry, image):
    """Each to a repository of its own: this registry reads the links of one
    while it writes them."""
    names = [f"push/at-once-{letter}:1" for letter in "abcd"]
    for name in names:
        made.ok("tag", "made:1", registry.name(name))
    pushes = [made.popen("push", "-q", registry.name(name),
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True) for name in names]
    for name, push in zip(names, pushes):
        assert push.communicate(timeout=60)[0] == registry.name(name) + "\n"
    for name in names:
        check_content(registry.client, name, image)


def test_terminal(made, registry):
    name = registry.name("push/terminal:1")
    made.ok("tag", "made:1", name)
    child = pexpect.spawn(made.program, ["push", name],
                          env=dict(made.env, TERM="xterm"),
                          dimensions=(24, 100), timeout=20, encoding="utf-8")
    child.expect("The push refers to repository")
    child.expect("1: digest: sha256:[0-9a-f]{64} size: [0-9]+")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


# A registry or a line that fails

def test_dropped_in_the_middle_of_an_upload(made, proxy, image):
    """Each of the two ways to send bytes is broken twice."""
    for method in ("PATCH", "PUT"):
        proxy.fault(method, "/blobs/uploads/", faulty.drop_request(100),
                    times=2)
    made.ok("tag", "made:1", proxy.name("push/dropped:1"))
    made.ok("push", proxy.name("push/dropped:1"))
    assert any(fault.used for fault in proxy.faults)
    check_content(oci.Client(proxy.port), "push/dropped:1", image)


def test_lost_answers(made, proxy, image):
    """The registry did it, and the client does not know."""
    for method in ("POST", "PATCH", "PUT"):
        proxy.fault(method, "/v2/", faulty.lost_answer, times=1)
    made.ok("tag", "made:1", proxy.name("push/lost:1"))
    made.ok("push", proxy.name("push/lost:1"))
    check_content(oci.Client(proxy.port), "push/lost:1", image)


@pytest.mark.parametrize("code", [429, 503, 500, 502])
def test_busy_registry(made, proxy, image, code):
    proxy.fault("POST", "/blobs/uploads/", faulty.status(code, Retry_After="0"),
                times=1)
    proxy.fault("PUT", "/manifests/", faulty.status(code, Retry_After="0"),
                times=1)
    name = f"push/busy-{code}:1"
    made.ok("tag", "made:1", proxy.name(name))
    made.ok("push", proxy.name(name))
    check_content(oci.Client(proxy.port), name, image)


def test_refused_with_the_registry_s_words(made, proxy):
    proxy.fault("PUT", "/manifests/", faulty.error(
        403, "DENIED", "the quota of this project is used up"))
    made.ok("tag", "made:1", proxy.name("push/denied:1"))
    result = made("push", proxy.name("push/denied:1"), check=1)
    assert "the quota of this project is used up" in result.err
    assert oci.Client(proxy.port).tags("push/denied") == []


def test_control_characters_of_a_registry_are_not_printed(made, proxy):
    proxy.fault("PUT", "/manifests/", faulty.error(
        403, "DENIED", "no\x1b[2Jmore\r\nmoss: all is well"))
    made.ok("tag", "made:1", proxy.name("push/controls:1"))
    result = made("push", proxy.name("push/controls:1"), check=1)
    assert "\x1b" not in result.err and "\r" not in result.err
    assert not any(line.startswith("moss: all is well")
                   for line in result.err.splitlines())


def test_location_on_another_host(made, proxy, image):
    """Uploads may go elsewhere; the registry's credentials may not."""
    with faulty.FaultyProxy(proxy.upstream_port) as other:
        def elsewhere(handler):
            code, headers, body = handler.upstream()
            headers = [(key, value.replace(handler.server_object.host,
                                           other.host))
                       for key, value in headers]
            handler.reply(code, headers, body)
        proxy.fault("POST", "/blobs/uploads/", elsewhere)
        login(made, proxy)
        made.ok("tag", "made:1", proxy.name("push/elsewhere-host:1"))
        made.ok("push", proxy.name("push/elsewhere-host:1"))
        assert [each for each in other.requests
                if each.method in ("PUT", "PATCH")]
        assert not [each for each in other.requests
                    if "authorization" in each.headers]
    check_content(oci.Client(proxy.port), "push/elsewhere-host:1", image)


def login(moss, registry):
    """Credentials for a registry that does not ask for them."""
    directory = moss.home / ".docker"
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"auths": {
        registry.host: {"auth": base64.b64encode(b"carol:pass").decode()}}}))


def test_interrupted_push_and_again(made, proxy, image):
    gate = threading.Event()

    def stall(handler):
        gate.wait(30)
        handler.hang_up()
    for method in ("PATCH", "PUT"):
        proxy.fault(method, "/blobs/uploads/", stall)
    name = proxy.name("push/interrupted:1")
    made.ok("tag", "made:1", name)
    push = made.popen("push", name, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE)
    wait_for(lambda: [each for each in proxy.requests
                      if each.method in ("PATCH", "PUT")], "an upload")
    push.send_signal(signal.SIGINT)
    push.communicate(timeout=10)
    assert push.returncode in (1, 130, -signal.SIGINT)
    gate.set()
    proxy.reset()
    made.ok("push", name)
    check_content(oci.Client(proxy.port), "push/interrupted:1", image)


def test_output_that_is_lost(fresh, registry, busybox_layer):
    registry.client.put("lost/box:1", oci.Image([busybox_layer]))
    name = registry.name("lost/box:1")
    fresh.ok("pull", name)
    with open("/dev/full", "w") as full:
        result = subprocess.run([fresh.program, "push", name], env=fresh.env,
                                stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert "cannot write to standard output" in result.stderr


def test_content_trust(fresh, registry, busybox_layer):
    """docker's flag says what moss does; its contrary cannot be done."""
    registry.client.put("trust/box:1", oci.Image([busybox_layer]))
    name = registry.name("trust/box:1")
    fresh.ok("pull", "--disable-content-trust", name)
    for command in ("pull", "push", "run", "create"):
        result = fresh(command, "--disable-content-trust=false", name)
        assert result.code in (1, 125)
        assert "no signatures" in result.err and "@sha256:" in result.err
    assert fresh.ok("run", "--rm", "--disable-content-trust", name, "echo", "x") \
        == "x"
