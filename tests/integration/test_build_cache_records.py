"""The build cache as others see it: du, prune, df, rmi, check. Its records are
written by hand, as storage/store/build_cache.h has them; what builds do with
them is in test_build_cache.py."""
import json
import os
import re
import time

import pytest

import oci
from conftest import Moss

BASE = oci.layer(oci.file("base", b"b" * 3000))
TOP = oci.layer(oci.file("top", b"t" * 5000))
OTHER = oci.layer(oci.file("other", b"o" * 7000))


class Cache:
    """A store with images "one" (BASE, TOP) and "two" (BASE, OTHER)."""

    def __init__(self, moss, tmp_path):
        run = tmp_path / "run"
        run.mkdir(mode=0o700)
        self.root = tmp_path / "data"
        self.conf = tmp_path / "moss.conf"
        self.conf.touch()
        self.moss = Moss(moss.program, self.root, run).with_env(
            MOSS_CONFIG=str(self.conf))
        self.ok = self.moss.ok
        oci.docker_archive(tmp_path / "images.tar",
                           {"one:1": oci.Image([BASE, TOP]),
                            "two:1": oci.Image([BASE, OTHER])})
        self.ok("load", "-i", tmp_path / "images.tar")
        self.records = self.root / "build/cache"
        self.records.mkdir(parents=True)

    def blob(self, layer):
        """What the store made of it: loaded layers are packed by moss."""
        marker = self.tree(layer).parent / "layer.json"
        digest = json.loads(marker.read_text())["blob"]
        return self.root / "image/blobs/sha256" / digest.split(":")[1]

    def tree(self, layer):
        return self.root / "layers" / layer.diff_id.split(":")[1] / "diff"

    def put(self, key, layer=None, age=0, description="RUN make", **more):
        """A record of the key 1111…, last used so many seconds ago."""
        record = {"description": description, "size": 0,
                  "created": "2026-01-01T00:00:00.000000000Z"}
        if layer:
            blob = self.blob(layer)
            record.update({
                "diffId": layer.diff_id, "size": layer.size + 10000,
                "blob": {"digest": "sha256:" + blob.name,
                         "mediaType": oci.LAYER["gzip"],
                         "size": blob.stat().st_size}})
        else:
            record["empty"] = True
        path = self.records / (key * 64)
        path.write_text(json.dumps(dict(record, **more)))
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    def keys(self):
        return "".join(sorted(path.name[0] for path in self.records.iterdir()))

    def prune(self, *args):
        """Digits of the keys that went."""
        out = self.ok("builder", "prune", "-f", *args)
        assert "Total reclaimed space: " in out
        return "".join(re.findall(r"^(.)\1{24}$", out, re.M))

    def usage(self):
        rows = {}
        for line in self.ok("system", "df", "--format", "json").splitlines():
            row = json.loads(line)
            rows[row["Type"]] = row
        return rows


@pytest.fixture
def stored(moss, tmp_path):
    stored = Cache(moss, tmp_path)
    yield stored
    stored.moss.remove_all()
    stored.moss("__unpin")


def test_rmi_leaves_what_is_cached(stored):
    stored.put("1", TOP)
    stored.ok("rmi", "one:1", "two:1")
    assert stored.tree(TOP).exists() and stored.blob(TOP).exists()
    assert not stored.tree(BASE).exists() and not stored.tree(OTHER).exists()
    assert stored.ok("image", "prune", "-af") == "Total reclaimed space: 0B"
    assert stored.tree(TOP).exists()
    assert stored.prune() == "1"
    assert not list((stored.root / "layers").iterdir())
    assert not list((stored.root / "image/blobs/sha256").iterdir())


def test_du(stored):
    stored.put("1", TOP, age=7200)
    stored.put("2", age=30, description="ENV a=b\x1b[31m")
    stored.ok("rmi", "two:1")
    out = stored.ok("builder", "du").splitlines()
    assert re.split(r"\s{2,}", out[0].strip()) == [
        "ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"]
    assert re.fullmatch(r"1{25}\s+true\s+[0-9.]+kB\*\s+2 hours ago", out[1])
    assert re.fullmatch(r"2{25}\s+true\s+0B\s+\d+ seconds ago", out[2])
    assert [line.split(":")[0] for line in out[3:]] == [
        "Shared", "Private", "Reclaimable", "Total"]
    out = stored.ok("builder", "du", "--verbose", "--filter", "shared=false")
    assert "Description:    ENV a=b" in out and "\x1b" not in out
    assert "1" * 25 not in out and "Total" not in out
    assert stored.ok("builder", "du", "--format",
                    "{{.ID}} {{.Shared}} {{.UsageCount}}",
                    "--filter", "id=111") == "1" * 25 + " true 0"
    assert "invalid filter 'x'" in stored.moss("builder", "du", "--filter",
                                              "x=y", check=1).err


def test_df(stored):
    before = stored.usage()
    assert before["Build Cache"]["TotalCount"] == "0"
    stored.put("1", TOP)
    stored.put("2", OTHER)
    stored.put("3", OTHER)
    both = stored.usage()
    assert both["Images"]["Size"] == before["Images"]["Size"]
    assert both["Build Cache"]["TotalCount"] == "3"
    # All of it is the images', too.
    assert both["Build Cache"]["Size"] == "0B"
    stored.ok("rmi", "two:1")
    alone = stored.usage()["Build Cache"]
    size = json.loads((stored.records / ("2" * 64)).read_text())["size"]
    assert alone["Size"] == alone["Reclaimable"] == f"{size / 1000:.4g}kB"
    assert f"Build cache usage: {alone['Size']}\n" in stored.ok("system", "df",
                                                               "-v")
    rows = json.loads(stored.ok("system", "df", "-v", "--format", "json"))
    assert [row["Shared"] for row in rows["BuildCache"]
            if row["ID"][0] == "1"] == ["true"]
    assert {row["CacheType"] for row in rows["BuildCache"]} == {"regular"}


def test_prune(stored):
    stored.put("1", TOP, age=100)
    stored.put("2", OTHER, age=9000)
    stored.put("3", description="LABEL a", age=9000)
    stored.ok("rmi", "two:1")
    assert stored.prune("--filter", "until=10h") == ""
    assert stored.prune("--filter", "description=LABEL a") == "3"
    assert stored.prune("--filter", "until=1h") == "2"
    assert not stored.tree(OTHER).exists()
    # An image has it: nothing would be gained.
    assert stored.prune() == "" and stored.keys() == "1"
    assert stored.prune("-a", "--filter", "type=other") == ""
    assert stored.prune("-a") == "1" and stored.keys() == ""
    assert stored.tree(TOP).exists()


def test_prune_keeps_some(stored):
    """The least recently used go first; of a build the last steps."""
    for key, created in ("1", "01"), ("2", "02"), ("3", "03"):
        stored.put(key, {"1": BASE, "2": TOP, "3": OTHER}[key], age=500,
                  created=f"2026-01-01T00:00:{created}.000000000Z")
    stored.put("0", BASE, age=8000, description="older")
    stored.ok("rmi", "one:1", "two:1")
    size = json.loads((stored.records / ("1" * 64)).read_text())["size"]
    assert stored.prune("--keep-storage", str(size + 20000)) == "03"
    assert stored.prune("--reserved-space", "1g") == ""
    assert stored.prune("--reserved-space", str(size)) == "2"
    assert stored.keys() == "1"
    assert "are the same" in stored.moss(
        "builder", "prune", "-f", "--keep-storage", "1g", "--reserved-space",
        "1g", check=1).err


def test_system_prune(stored):
    stored.put("1", TOP)
    stored.put("2", OTHER)
    stored.ok("rmi", "two:1")
    assert "Deleted build cache objects:" not in stored.ok(
        "system", "prune", "-f", "--filter", "label=x")
    out = stored.ok("system", "prune", "-f")
    assert f"Deleted build cache objects:\n{'2' * 25}\n" in out
    assert stored.keys() == "1"
    stored.ok("system", "prune", "-af")
    assert stored.keys() == ""
    assert not list((stored.root / "layers").iterdir())


def test_prune_is_an_event(stored):
    stored.put("1")
    stored.prune()
    event = json.loads(stored.ok("events", "--since", "1h", "--until", "0s",
                                "--filter", "type=builder", "--format",
                                "json"))
    assert event["Action"] == "prune"
    assert event["Actor"]["Attributes"] == {"reclaimed": "0"}


def check(stored, *args):
    return stored.moss("system", "check", *args)


def test_check_knows_the_cache(stored):
    stored.put("1", OTHER)
    stored.ok("rmi", "two:1")
    result = check(stored)
    assert result.code == 0 and "nothing is wrong" in result.out
    assert "leftover" not in result.out
    # The tree is unpacked again from the blob.
    (stored.tree(OTHER) / "other").write_bytes(b"x")
    found = check(stored, "-q")
    assert found.code == 1
    assert found.out.startswith("build cache 111111111111: layer (")
    assert check(stored, "-q", "--repair").out.strip().endswith("unpacked again")
    assert check(stored).code == 0 and stored.keys() == "1"


@pytest.mark.parametrize("damage", ["blob", "no blob", "record"])
def test_check_forgets_what_is_lost(stored, damage):
    path = stored.put("1", OTHER)
    stored.put("2", TOP)
    stored.ok("rmi", "two:1")
    if damage == "record":
        path.write_text('{"diffId":')
    elif damage == "blob":
        stored.blob(OTHER).write_bytes(b"x" * stored.blob(OTHER).stat().st_size)
    else:
        stored.blob(OTHER).unlink()
    found = check(stored, "-q")
    assert found.code == 1
    (line,) = found.out.splitlines()
    assert line.startswith("build cache 111111111111:")
    assert line.endswith("--repair forgets it, the step runs again")
    mended = check(stored, "-q", "--repair")
    assert mended.code == 0 and mended.out.strip().endswith("forgotten")
    assert stored.keys() == "2" and not stored.tree(OTHER).exists()
    assert "nothing is wrong" in check(stored).out


def test_reset_removes_it(stored):
    stored.put("1", TOP)
    stored.ok("system", "reset", "-f")
    assert not stored.root.exists()
