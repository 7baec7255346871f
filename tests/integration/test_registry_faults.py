"""Pulling through a line that drops and from a registry that lies.

Whatever happens: the image is whole or not there at all, the message says
which image, and credentials stay with the host they are for.
"""
import base64
import itertools
import json
import os
import time

import pytest

import faulty
import oci
import registry as registries

SECRET = "c4rol:s3cret"


@pytest.fixture
def put(registry, request):
    """An image of two layers without programs: quick to fetch again. The
    registry is asked through a proxy."""
    repository = "faults/" + request.node.name.partition("[")[0].lower()
    image = oci.Image([oci.layer(oci.file("one", os.urandom(200000))),
                       oci.layer(oci.file("two", os.urandom(50000)))])
    registry.client.put(f"{repository}:1", image)
    put.repository, put.image = repository, image

    put.path = lambda kind: f"/v2/{repository}/{kind}/"
    return put


@pytest.fixture
def name(put, proxy):
    return proxy.name(f"{put.repository}:1")


def whole(moss, name, image, tmp_path):
    """The image is there, with every byte: saved, every blob is checked."""
    assert moss.images() == [name]
    directory = tmp_path / "saved"
    moss.ok("save", "--format", "oci-dir", "-o", directory, name)
    for layer in image.layers:
        blob = directory / "blobs/sha256" / layer.digest[7:]
        assert oci.digest(blob.read_bytes()) == layer.digest
    assert moss.inspect(name)["Id"] == image.id


def nothing(moss):
    """Neither an image nor what was begun of one."""
    assert moss.ok("images", "-aq") == ""
    if (moss.root / "tmp").exists():
        assert list((moss.root / "tmp").iterdir()) == []


def refused(moss, name, *words):
    result = complained(moss, name, *words)
    nothing(moss)
    return result


def complained(moss, name, *words, case=None):
    """In one line that names the image; case is for the test's own message."""
    start = time.monotonic()
    result = moss("pull", name)
    assert result.code == 1, (case, result)
    assert time.monotonic() - start < 20, (case, result)
    assert len(result.err.splitlines()) <= 2, (case, result)
    repository = name.split("/", 1)[1].rpartition(":")[0]
    for word in ("moss: ", repository, *words):
        assert word in result.err, (case, word, result)
    return result


# A bad line: tried again

@pytest.mark.parametrize("count, reset", [(0, False), (1, True),
                                          (70000, False), (70000, True)])
def test_dropped_blob_goes_on_where_it_was(fresh, put, name, proxy, tmp_path,
                                           count, reset):
    big = put.image.layers[0]
    times = 2 if count == 70000 and not reset else 1
    proxy.fault("GET", big.digest, faulty.drop_after(count, reset), times)
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)
    asked = proxy.seen("GET", big.digest)
    assert len(asked) == times + 1
    if times == 2:  # what had arrived is not asked for again
        starts = [int(each.headers.get("range", "bytes=0-")
                      .removeprefix("bytes=").partition("-")[0])
                  for each in asked]
        assert starts == [0, 70000, 140000]


@pytest.mark.parametrize("again", [faulty.ignore_range, faulty.wrong_range])
def test_registry_without_ranges(fresh, put, name, proxy, tmp_path, again):
    """The whole blob again, or another part than the one asked for."""
    big = put.image.layers[0]
    proxy.fault("GET", big.digest, faulty.drop_after(70000), times=1)
    proxy.fault("GET", big.digest, again, times=1)
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_busy(fresh, put, name, proxy, tmp_path, kind):
    """Whatever says "not now": one after the other, and once at no given
    time."""
    path = put.path("manifests") if kind == "manifests" else \
        put.image.layers[0].digest
    proxy.fault("GET", path, faulty.status(502), times=1)
    for code in (500, 503, 429):
        proxy.fault("GET", path, faulty.status(code, Retry_After="0"), times=1)
    fresh.ok("pull", name)
    assert [fault.left for fault in proxy.faults] == [0] * 4
    whole(fresh, name, put.image, tmp_path)


def test_retry_after(fresh, put, name, proxy):
    proxy.fault("*", put.path("manifests"),
                faulty.status(429, Retry_After="2"), times=1)
    start = time.monotonic()
    fresh.ok("pull", name)
    assert 2 <= time.monotonic() - start < 10


def test_busy_for_ever(fresh, put, name, proxy):
    proxy.fault("*", "", faulty.status(503, Retry_After="0"))
    refused(fresh, name, "503")
    assert 3 <= len(proxy.requests) <= 30


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_hang_up_before_the_answer(fresh, put, name, proxy, tmp_path, kind):
    proxy.fault("*", put.path(kind), faulty.hang_up, times=1)
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


def test_dropped_manifest(fresh, put, name, proxy, tmp_path):
    proxy.fault("GET", put.path("manifests"), faulty.drop_after(10), times=1)
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


def test_slow_line(fresh, put, name, proxy, tmp_path):
    for kind in ("manifests", "blobs"):
        proxy.fault("GET", put.path(kind), faulty.trickle(7, 0.02))
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


@pytest.mark.parametrize("action", [faulty.chunked, faulty.without_length])
def test_body_without_length(fresh, put, name, proxy, tmp_path, action):
    proxy.fault("GET", put.path("manifests"), action)
    proxy.fault("GET", put.path("blobs"), action)
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


def test_nobody_there(fresh, free_port):
    host = f"localhost:{free_port()}"
    refused(fresh, f"{host}/team/box:1", host)


def test_no_such_host(fresh):
    refused(fresh, "registry.invalid/team/box:1", "registry.invalid")


# A liar: refused

def test_wrong_layer(fresh, put, name, proxy):
    small = put.image.layers[1]
    for case, change in [
            ("flipped", faulty.flip),
            # The time in gzip's header: the same content, another digest.
            ("same content", lambda body: body[:4] + b"\1" + body[5:]),
            ("short", lambda body: body[:-1]), ("long", lambda body: body + b"x"),
            ("other", lambda body: b"x" * len(body))]:
        for layer in [small] if case == "short" else put.image.layers:
            proxy.reset()
            proxy.fault("GET", layer.digest, faulty.change_body(change))
            complained(fresh, name, layer.digest[7:19], case=case)
    nothing(fresh)


@pytest.mark.parametrize("difference", [-1000, 1])
def test_wrong_content_length(fresh, put, name, proxy, difference):
    layer = put.image.layers[0]
    proxy.fault("GET", layer.digest, faulty.wrong_length(difference))
    refused(fresh, name, layer.digest[7:19])


def test_wrong_config(fresh, put, name, proxy):
    proxy.fault("GET", put.image.config.digest, faulty.change_body(faulty.flip))
    refused(fresh, name, put.image.config.digest[7:19])


def test_other_manifest_than_the_digest(fresh, put, proxy):
    proxy.fault("GET", put.path("manifests"),
                faulty.change_body(lambda body: body + b" "))
    refused(fresh, proxy.name(f"{put.repository}@{put.image.digest}"),
            put.image.digest[7:19])


def test_wrong_digest_header(fresh, put, name, proxy):
    proxy.fault("*", put.path("manifests"), faulty.change_header(
        "Docker-Content-Digest", "sha256:" + "1" * 64))
    refused(fresh, name, "wrong digest", "1" * 12)


@pytest.mark.parametrize("value", [None, "sha512:" + "1" * 128, "nonsense"])
def test_digest_header_that_says_nothing(fresh, put, name, proxy, tmp_path,
                                         value):
    """Absent: nothing to compare. Of another form: no reason to believe it."""
    proxy.fault("*", put.path("manifests"), faulty.change_header(
        "Docker-Content-Digest", value))
    if value is None:
        fresh.ok("pull", name)
        whole(fresh, name, put.image, tmp_path)
    elif fresh("pull", name).code == 0:
        whole(fresh, name, put.image, tmp_path)
    else:
        nothing(fresh)


def test_garbage_for_a_manifest(fresh, put, name, proxy):
    for body in (b"", b"garbage", b"{", b"[]", b"null", b"<html>404</html>",
                 b'{"schemaVersion":2}', b'{"schemaVersion":2,"layers":{}}',
                 b"\xff\xfe\x00", b"[" * 100000,
                 b'{"config":"x","layers":[]}'):
        send_manifest(proxy, put, body)
        complained(fresh, name, case=body[:40])
    nothing(fresh)


def send_manifest(proxy, put, body):
    proxy.reset()
    proxy.fault("*", put.path("manifests"), lambda handler: handler.answer(
        200, body, {"Content-Type": oci.MANIFEST}))


@pytest.mark.parametrize("kind, what", [
    ("manifests", oci.MANIFEST), ("manifests", "text/html"),
    ("config", "application/octet-stream"),
])
def test_endless_body(fresh, put, name, proxy, kind, what):
    """No more is taken than a manifest or the promised size may have."""
    part = put.path("manifests") if kind == "manifests" else \
        put.image.config.digest
    proxy.fault("GET", part, faulty.endless_body(what))
    refused(fresh, name)
    assert proxy.endless < 24 << 20


def test_endless_layer(fresh, put, name, proxy):
    proxy.fault("GET", put.image.layers[0].digest,
                faulty.endless_body("application/octet-stream"))
    refused(fresh, name)


def test_endless_header(fresh, put, name, proxy):
    proxy.fault("*", put.path("manifests"), faulty.endless_header)
    refused(fresh, name)
    assert proxy.endless < 24 << 20


def test_circular_index(fresh, tiny):
    """An index of itself cannot be; one that claims to be one can."""
    blob = oci.json_blob({
        "schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [
            {"mediaType": oci.INDEX, "digest": "sha256:" + "2" * 64,
             "size": 100, "platform": {"architecture": "amd64",
                                       "os": "linux"}}]}, oci.INDEX)
    tiny.manifests["circle", "1"] = (oci.INDEX, blob.data)
    tiny.manifests["circle", "sha256:" + "2" * 64] = (oci.INDEX, blob.data)
    refused(fresh, tiny.name("circle:1"), "2" * 12)


def test_deep_indexes(fresh, tiny):
    """Each in the next: not followed for ever."""
    client = oci.Client(tiny.port)
    image = client.put("deep", oci.Image([oci.layer(oci.file("x"))]))
    inner, kind = image.manifest, oci.MANIFEST
    for _ in range(50):
        inner = oci.json_blob({
            "schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [
                inner.descriptor(platform=image.platform)]}, oci.INDEX)
        client.put_manifest("deep", inner.digest, inner)
    client.put_manifest("deep", "1", inner)
    refused(fresh, tiny.name("deep:1"))


def test_sizes_that_cannot_be(fresh, put, name, proxy):
    manifest = json.loads(put.image.manifest.data)
    for size in (-1, 0, 1 << 62, 1e300, "12", None):
        manifest["layers"][0]["size"] = size
        send_manifest(proxy, put, json.dumps(manifest).encode())
        complained(fresh, name, case=size)
    nothing(fresh)


def test_digests_that_are_none(fresh, put, name, proxy):
    manifest = json.loads(put.image.manifest.data)
    for digest in ("sha256:../../../../etc/passwd", "sha256:" + "A" * 64,
                   "md5:1234", "", "sha256:" + "0" * 63,
                   "sha256:" + "0" * 64 + "/../x"):
        manifest["layers"][0]["digest"] = digest
        send_manifest(proxy, put, json.dumps(manifest).encode())
        complained(fresh, name, case=digest)
        assert not [each for each in proxy.requests if ".." in each.path]
    nothing(fresh)


# Redirections

@pytest.fixture
def signed_in(fresh, proxy):
    """Credentials for the proxy's host, which asks for them."""
    directory = fresh.home / ".docker"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"auths": {
        proxy.host: {"auth": base64.b64encode(SECRET.encode()).decode()}}}))

    def demand(handler):
        if handler.headers.get("Authorization") != \
                registries.basic(*SECRET.split(":")):
            return handler.answer(401, b"", {
                "WWW-Authenticate": 'Basic realm="here"'})
        handler.reply(*handler.upstream(drop={"authorization"}))
    proxy.demand = demand
    return fresh


def test_credentials_stay_with_their_host(signed_in, put, name, proxy,
                                          tmp_path):
    """A blob store elsewhere gets the request without them."""
    with faulty.FaultyProxy(proxy.upstream_port) as other:
        proxy.fault("GET", put.path("blobs"),
                    faulty.redirect(lambda path: other.url + path))
        proxy.fault("*", "", proxy.demand)
        signed_in.ok("pull", name)
        whole(signed_in, name, put.image, tmp_path)
        assert other.seen("GET", put.path("blobs"))
        text = repr(other.requests).lower()
        assert "authorization" not in text
        assert base64.b64encode(SECRET.encode()).decode().lower() not in text
    asked = [each for each in proxy.seen("GET", put.path("blobs"))]
    assert asked and all("authorization" in each.headers for each in asked)


def test_redirections_on_the_same_host(fresh, put, name, proxy, tmp_path):
    """Relative, absolute, several kinds, one after the other."""
    for code, where in [(302, lambda path: path), (303, lambda path: path),
                        (307, lambda path: proxy.url + path),
                        (308, lambda path: path), (301, lambda path: path)]:
        proxy.fault("GET", put.path("blobs"), faulty.redirect(where, code),
                    times=1)
    fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


def test_dropped_after_a_redirection(fresh, put, name, proxy, tmp_path):
    """The rest is asked for again, by a redirection of its own."""
    with faulty.FaultyProxy(proxy.upstream_port) as other:
        proxy.fault("GET", put.path("blobs"),
                    faulty.redirect(lambda path: other.url + path))
        other.fault("GET", put.path("blobs"), faulty.drop_after(1000), times=2)
        fresh.ok("pull", name)
    whole(fresh, name, put.image, tmp_path)


def test_addresses_that_serve_once(fresh, put, name, proxy, tmp_path):
    """A blob store's signed address is good for a moment: after a drop the
    registry is asked for a new one."""
    numbers, used = itertools.count(), set()

    def once(handler):
        if handler.path in used:
            return handler.answer(403)
        used.add(handler.path)
        if len(used) < 3:
            return faulty.drop_after(1000)(handler)
        handler.reply(*handler.upstream())
    with faulty.FaultyProxy(proxy.upstream_port) as other:
        proxy.fault("GET", put.image.layers[0].digest, faulty.redirect(
            lambda path: f"{other.url}{path}?signature={next(numbers)}"))
        other.fault("GET", "", once)
        fresh.ok("pull", name)
        assert len(used) == 3
    whole(fresh, name, put.image, tmp_path)


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_redirection_to_what_is_no_web_address(fresh, put, name, proxy, kind):
    for target in ("file:///etc/passwd", "FILE:/etc/passwd", "ftp://localhost/x",
                   "gopher://localhost:1/x", "scp://localhost/x", "unix:/run/x",
                   "dict://x/", "//", "http://", "http:///x", "javascript:1",
                   "http://user:pw@localhost:1/", "http://localhost:99999/x",
                   "http://local host/x", "\x01"):
        proxy.reset()
        proxy.fault("GET", put.path(kind), faulty.redirect(target))
        result = complained(fresh, name, case=target)
        assert "root:" not in result.err and "\x01" not in result.err
    nothing(fresh)


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_redirection_in_a_circle(fresh, put, name, proxy, kind):
    proxy.fault("GET", put.path(kind), faulty.redirect(lambda path: path))
    refused(fresh, name, "redirect")
    assert len(proxy.seen("GET", put.path(kind))) <= 30


def test_redirection_without_location(fresh, put, name, proxy):
    proxy.fault("GET", put.path("manifests"), faulty.status(307))
    refused(fresh, name)


def test_no_step_down_from_tls(fresh, registry, put, ca):
    """https → http is refused, for a manifest as for a layer."""
    with faulty.FaultyProxy(registry.port, context=ca.server_context()) as tls, \
            faulty.FaultyProxy(registry.port) as plain:
        fresh.conf.write_text(f'[registry "{tls.host}"]\nca = {ca.file}\n')
        for kind in ("manifests", "blobs"):
            tls.fault("GET", put.path(kind),
                      faulty.redirect(lambda path: plain.url + path))
            complained(fresh, tls.name(f"{put.repository}:1"), case=kind)
            tls.reset()
        nothing(fresh)
        assert plain.requests == []
        fresh.ok("pull", tls.name(f"{put.repository}:1"))


def test_tls_is_not_left_for_http(fresh, registry, put, ca):
    """A host that speaks TLS, badly: no second try in the clear."""
    with faulty.FaultyProxy(registry.port, context=ca.server_context()) as tls:
        refused(fresh, tls.name(f"{put.repository}:1"), "certificate")
        assert tls.requests == []


# Token servers

@pytest.fixture
def ask_token(proxy):
    """The proxy wants a token of the given realm for everything."""
    def ask(realm, **parameters):
        words = ", ".join(f'{key}="{value}"' for key, value in dict(
            {"realm": realm, "service": "test"}, **parameters).items())

        def demand(handler):
            if not handler.headers.get("Authorization"):
                return handler.answer(401, b"", {
                    "WWW-Authenticate": f"Bearer {words}"})
            handler.reply(*handler.upstream(drop={"authorization"}))
        proxy.fault("*", "/v2/", demand)
    return ask


def test_token_server_that_lies(fresh, put, name, proxy, ask_token):
    for answer in [
            (200, b""), (200, b"garbage"), (200, {}), (200, []),
            (200, {"token": 5}), (200, {"token": ""}),
            (200, {"token": "a\r\nX-Injected: yes"}), (200, {"token": "a b"}),
            (200, {"token": "x" * 100000}), (404, b""), (401, {"details": "no"}),
            (302, b"", {"Location": "file:///etc/passwd"})]:
        proxy.reset()
        proxy.fault("GET", "/token", lambda handler: handler.answer(*answer))
        ask_token(f"{proxy.url}/token")
        complained(fresh, name, case=str(answer)[:60])
        assert proxy.seen("GET", "/token")
        assert not [each for each in proxy.requests
                    if "x-injected" in each.headers]
    nothing(fresh)


def test_endless_token(fresh, put, name, proxy, ask_token):
    proxy.fault("GET", "/token", faulty.endless_body("application/json",
                                                     b'{"token":"'))
    ask_token(f"{proxy.url}/token")
    refused(fresh, name)
    assert proxy.endless < 24 << 20


def test_challenges_that_are_none(fresh, put, name, proxy):
    for challenge in (
            "", "Bearer", "Bearer realm", 'Bearer realm="',
            "Bearer realm=file:///x", 'Bearer realm="ftp://x"',
            "Digest realm=x", 'Bearer realm=""', "Basic",
            'Bearer service="x"', "Bearer realm=" + "x" * 5000, "," * 3000):
        proxy.reset()
        proxy.fault("*", "/v2/", faulty.status(401,
                                               WWW_Authenticate=challenge))
        complained(fresh, name, case=challenge[:40])
        assert len(proxy.requests) < 12
    nothing(fresh)


def test_challenge_again_and_again(fresh, put, name, proxy, ask_token):
    """A token that is never good enough: asked for a few times, no more."""
    proxy.fault("GET", "/token",
                lambda handler: handler.answer(200, {"token": "useless"}))
    proxy.fault("*", "/v2/", faulty.status(
        401, WWW_Authenticate=f'Bearer realm="{proxy.url}/token"'))
    refused(fresh, name)
    assert len(proxy.requests) < 20


def test_password_does_not_follow_a_redirection(signed_in, put, name, proxy,
                                                ask_token):
    """The token server that the registry names gets it, nobody after it."""
    with faulty.FaultyProxy(proxy.upstream_port) as other:
        other.fault("*", "", faulty.status(200, b'{"token":"abc"}'))
        proxy.fault("GET", "/token", faulty.redirect(f"{other.url}/steal"))
        ask_token(f"{proxy.url}/token")
        signed_in("pull", name)
        assert proxy.seen("GET", "/token")[0].headers["authorization"] == \
            registries.basic(*SECRET.split(":"))
        text = repr(other.requests)
        assert "authorization" not in text
        assert SECRET.split(":")[1] not in text


def test_token_goes_to_its_registry_only(fresh, put, name, proxy, ask_token):
    with faulty.FaultyProxy(proxy.upstream_port) as other:
        proxy.fault("GET", "/token",
                    lambda handler: handler.answer(200, {"token": "t0ken"}))
        proxy.fault("GET", put.path("blobs"),
                    faulty.redirect(lambda path: other.url + path))
        ask_token(f"{proxy.url}/token")
        fresh.ok("pull", name)
        assert other.requests
        assert "t0ken" not in repr(other.requests)


# What a registry says, printed

def test_words_of_a_registry(fresh, put, name, proxy):
    proxy.fault("*", "/v2/", faulty.error(
        403, "DENIED", "pay first\x1b[31m\r\nmoss: done" + "!" * 5000))
    result = fresh("pull", name, check=1)
    assert "pay first" in result.err and "\x1b" not in result.err
    assert len(result.err) < 3000 and "\r" not in result.err
    assert not any(line.startswith("moss: done")
                   for line in result.err.splitlines())


def test_credentials_are_not_in_errors(signed_in, put, name, proxy):
    """Whatever goes wrong, and whoever repeats them."""
    proxy.fault("*", "/v2/", lambda handler: handler.answer(
        401, {"errors": [{"code": "DENIED", "message": "not " + str(
            handler.headers.get("Authorization"))}]},
        {"WWW-Authenticate": 'Basic realm="x"'}))
    result = signed_in("pull", name, check=1)
    assert "s3cret" not in result.err + result.out
