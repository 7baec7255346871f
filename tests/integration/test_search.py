"""moss search and moss manifest inspect."""
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
