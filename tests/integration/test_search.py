"""moss search and moss manifest inspect."""
import base64
import json

import pytest

import faulty
import oci
from registry import HubSearch

RESULTS = [
    {"name": "nginx", "description": "Official build of Nginx.",
     "star_count": 20000, "is_official": True, "is_automated": False},
    {"name": "bitnami/nginx", "description": "A container\nimage for NGINX "
     "that has a very long description, longer than a line", "star_count": 190,
     "is_official": False, "is_automated": True},
    {"name": "evil/nginx", "description": "\x1b[2Jgone\ttab", "star_count": 1,
     "is_official": False, "is_automated": False},
]


@pytest.fixture
def hub():
    with HubSearch(RESULTS) as hub:
        yield hub


def test_table(fresh, hub):
    lines = fresh.ok("search", f"{hub.host}/nginx").splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert len(lines) == 4
    first = lines[1].split()
    assert first[0].endswith("nginx") and first[-2:] == ["20000", "[OK]"]
    assert "A container image for NGINX" in lines[2]
    assert "…" in lines[2] and "longer than a line" not in lines[2]
    assert "\x1b" not in "\n".join(lines) and "\t" not in "\n".join(lines)
    assert hub.seen("GET", "/v1/search?")[0].path.count("q=nginx") == 1


def test_options(fresh, hub):
    term = f"{hub.host}/nginx"
    out = fresh.ok("search", "--no-trunc", term)
    assert "longer than a line" in out
    assert len(fresh.ok("search", "--limit", "1", term).splitlines()) == 2
    names = fresh.ok("search", "--format", "{{.Name}}|{{.StarCount}}|"
                     "{{.IsOfficial}}", term).splitlines()
    assert names[0].endswith("nginx|20000|[OK]")
    row = json.loads(fresh.ok("search", "--format", "json",
                              term).splitlines()[0])
    assert row["StarCount"] == "20000"

    def filtered(*filters):
        args = [arg for each in filters for arg in ("-f", each)]
        return [line.rpartition("/")[2] for line in fresh.ok(
            "search", *args, "--format", "{{.StarCount}}", term).splitlines()]
    assert filtered("stars=100") == ["20000", "190"]
    assert filtered("is-official=true") == ["20000"]
    assert filtered("is-official=false", "stars=50") == ["190"]
    result = fresh("search", "-f", "colour=red", term, check=1)
    assert "colour" in result.err
    assert fresh("search", "--limit", "1000", term).code == 1


def test_nothing_found(fresh, hub):
    assert len(fresh.ok("search", f"{hub.host}/nosuch").splitlines()) == 1


def test_registry_without_search(fresh, registry, tiny, busybox_layer):
    """Its list of repositories is searched instead, if it has one."""
    for name in ("team/searched", "searched", "other/thing"):
        registry.client.put(f"{name}:1", oci.Image([busybox_layer]))
    names = fresh.ok("search", "--format", "{{.Name}}",
                     f"{registry.host}/searched").splitlines()
    assert sorted(name.removeprefix(f"{registry.host}/") for name in names) \
        == ["searched", "team/searched"]
    result = fresh("search", f"{tiny.host}/nginx", check=1)
    assert tiny.host in result.err and len(result.err.splitlines()) <= 2


def test_garbage(fresh, proxy):
    for body in (b"garbage", b"[]", b"{}", b'{"results":5}',
                 b'{"results":[5]}', b'{"results":[{"name":5}]}'):
        proxy.reset()
        proxy.fault("GET", "/v1/search",
                    lambda handler: handler.answer(200, body))
        result = fresh("search", f"{proxy.host}/nginx")
        assert result.code in (0, 1) and "\x1b" not in result.out
    proxy.reset()
    proxy.fault("GET", "/v1/search", faulty.endless_body("application/json"))
    assert fresh("search", f"{proxy.host}/nginx").code == 1


def test_manifest_inspect(fresh, registry, busybox_layer):
    image = oci.Image([busybox_layer])
    index = registry.client.put("search/index:1", oci.Index([image]))
    name = registry.name("search/index:1")
    assert json.loads(fresh.ok("manifest", "inspect", name)) == \
        json.loads(index.manifest.data)
    by_digest = f"{registry.name('search/index')}@{image.digest}"
    assert json.loads(fresh.ok("manifest", "inspect", by_digest)) == \
        json.loads(image.manifest.data)
    verbose = json.loads(fresh.ok("manifest", "inspect", "-v", by_digest))
    assert verbose["Descriptor"]["digest"] == image.digest
    result = fresh("manifest", "inspect", registry.name("search/nosuch:1"),
                   check=1)
    assert "no such manifest" in result.err
    assert fresh.images() == []


def test_manifest_inspect_as_docker_writes_it(fresh, registry, busybox_layer):
    """Members in docker's order, by tabs; of an index by three blanks."""
    plain = oci.Image([busybox_layer], docker=True)
    arm = oci.Image([busybox_layer], architecture="arm", variant="v7")
    index = oci.Index([plain, arm])
    registry.client.put("search/shape:1", plain)
    registry.client.put("search/shape:2", index)
    name = registry.name("search/shape:1")
    lines = fresh.ok("manifest", "inspect", name).splitlines()
    assert lines[:2] == ["{", '\t"schemaVersion": 2,']
    lines = fresh.ok("manifest", "inspect",
                     registry.name("search/shape:2")).splitlines()
    assert lines[:2] == ["{", '   "schemaVersion": 2,']
    one = json.loads(fresh.ok("manifest", "inspect", "-v", name))
    assert list(one) == ["Ref", "Descriptor", "Raw", "SchemaV2Manifest"]
    assert one["Ref"] == name
    assert one["Descriptor"]["platform"] == {"architecture": "amd64",
                                             "os": "linux"}
    assert base64.b64decode(one["Raw"]) == plain.manifest.data
    assert one["SchemaV2Manifest"] == json.loads(plain.manifest.data)
    all_ = json.loads(fresh.ok("manifest", "inspect", "-v",
                               registry.name("search/shape:2")))
    assert [each["Descriptor"]["platform"].get("variant") for each in all_] == \
        [None, "v7"]
    assert all_[1]["OCIManifest"] == json.loads(arm.manifest.data)
    assert all_[1]["Ref"].endswith(f"search/shape:2@{arm.digest}")


def test_manifest_inspect_of_too_much(fresh, registry, busybox_layer):
    images = [oci.Image([busybox_layer],
                        annotations={"number": f"{i}", "text": "x" * 1500000})
              for i in range(2)]
    registry.client.put("search/large:1", oci.Index(images))
    name = registry.name("search/large:1")
    fresh.ok("manifest", "inspect", name)
    result = fresh("manifest", "inspect", "-v", name, check=1)
    assert name in result.err and "larger than" in result.err


def test_manifest_inspect_of_an_insecure_registry(fresh, tls_registry,
                                                  busybox_layer):
    """A certificate that nobody vouches for, when the user says so."""
    tls_registry.client.put("search/private:1", oci.Image([busybox_layer]))
    name = tls_registry.name("search/private:1")
    result = fresh("manifest", "inspect", name, check=1)
    assert "certificate" in result.err
    result = fresh("manifest", "inspect", "--insecure", name, check=1)
    assert "certificate" not in result.err and "unauthorized" in result.err
    (fresh.home / ".docker").mkdir()
    auth = base64.b64encode(b"alice:s3cret:word").decode()
    (fresh.home / ".docker/config.json").write_text(json.dumps(
        {"auths": {tls_registry.host: {"auth": auth}}}))
    fresh.ok("manifest", "inspect", "--insecure", name)
