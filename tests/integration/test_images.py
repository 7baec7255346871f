"""Listing images, their history and inspection, their removal, and pruning."""
import json
import re

import pexpect
import pytest

import oci
from conftest import Moss

BASE = oci.layer(oci.directory("bin"), oci.file("bin/base", "b" * 1000))
TOP = oci.layer(oci.file("top", "t" * 500))
OTHER = oci.layer(oci.file("other", "o" * 70))


@pytest.fixture
def own(moss, busybox_tar, tmp_path):
    """A store of its own: prune would take others' things."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    own = Moss(moss.program, tmp_path / "data", run)
    yield own
    own.remove_all()
    own("__unpin")


def load(moss, tmp_path, images):
    oci.docker_archive(tmp_path / "images.tar", images)
    moss.ok("load", "-i", tmp_path / "images.tar")


def set_annotation(moss, name, key, value):
    """What pulling notes in the index about a name."""
    path = moss.root / "image" / "index.json"
    index = json.loads(path.read_text())
    for entry in index["manifests"]:
        if entry["annotations"].get("org.opencontainers.image.ref.name") == name:
            entry["annotations"][key] = value
    path.write_text(json.dumps(index))


def put_blob(moss, blob):
    (moss.root / "image/blobs/sha256" / blob.digest[7:]).write_bytes(blob.data)


def disk_usage(moss):
    rows = [json.loads(line) for line in
            moss.ok("system", "df", "--format", "json").splitlines()]
    return {row["Type"]: row for row in rows}


def names(moss, *args):
    return moss.ok("images", "--format", "{{.Repository}}:{{.Tag}}",
                   *args).split()


# ---- images ----

def test_filters_of_images(own, tmp_path):
    def image(created, **labels):
        image = oci.Image([BASE], {"Labels": labels})
        config = dict(json.loads(image.config.data), created=created)
        image.config = oci.json_blob(config, oci.CONFIG)
        return image

    load(own, tmp_path, {
        "one:1": image("2024-01-01T00:00:00Z", a="1", b="2"),
        "two:1": image("2024-02-01T00:00:00Z", a="1"),
        "later:1": image("2024-02-01T00:00:00.000000001Z", x="y"),
        "repo/three:1": image("2024-03-01T00:00:00Z", c="3")})
    assert names(own) == ["repo/three:1", "later:1", "two:1", "one:1"]
    assert names(own, "-f", "before=two:1") == ["one:1"]
    assert names(own, "-f", "since=two:1") == ["repo/three:1", "later:1"]
    assert names(own, "-f", "since=two:1", "-f", "since=one:1", "-f",
                 "before=repo/three:1", "-f", "until=2025-01-01") == ["later:1"]
    assert names(own, "-f", "until=2024-01-15") == ["one:1"]
    own.ok("rmi", "later:1")
    assert names(own, "-f", "label=a") == ["two:1", "one:1"]
    # All of them, not any.
    assert names(own, "-f", "label=a", "-f", "label=b=2") == ["one:1"]
    assert names(own, "-f", "label!=a") == ["repo/three:1"]
    assert names(own, "-f", "reference=t*") == ["two:1"]
    assert names(own, "-f", "reference=*/*:1") == ["repo/three:1"]
    assert names(own, "-f", "reference=o*", "-f", "reference=two") == \
        ["two:1", "one:1"]
    assert names(own, "repo/*") == ["repo/three:1"]
    own.ok("tag", "one:1", "two:1")
    assert names(own, "-f", "dangling=true") == ["<none>:<none>"]
    assert own("images", "-f", "dangling=maybe").code == 1


def test_digests_of_a_pulled_name(own, tmp_path):
    image = oci.Image([BASE, TOP])
    others = oci.Index([image, oci.Image([BASE], architecture="arm64",
                                         variant="v8")])
    load(own, tmp_path, {"web:1": image})
    manifest = own.inspect("web:1")["RepoDigests"][0].split("@")[1]
    put_blob(own, others.manifest)
    set_annotation(own, "docker.io/library/web:1", "moss.digest", others.digest)
    own.ok("tag", "web:1", "web:2")
    assert own.inspect("web:1")["RepoDigests"] == [f"web@{others.digest}"]
    for digest in manifest, others.digest:
        assert own.inspect(f"web@{digest}")["Id"] == image.id
    rows = own.ok("images", "--digests", "--no-trunc", "--format",
                  "{{.Tag}} {{.Digest}}").splitlines()
    assert sorted(rows) == [f"1 {others.digest}", f"2 {others.digest}"]
    # A name with a digest stands for all of its repository.
    lines = own.ok("rmi", f"web@{others.digest}").splitlines()
    assert lines[:3] == ["Untagged: web:1", "Untagged: web:2",
                         f"Untagged: web@{others.digest}"]
    assert lines[3] == f"Deleted: {image.id}"
    assert names(own) == []


def test_name_with_a_digest_only(own, tmp_path):
    image = oci.Image([BASE])
    load(own, tmp_path, {"web:1": image})
    manifest = own.inspect("web:1")["RepoDigests"][0].split("@")[1]
    set_annotation(own, "docker.io/library/web:1",
                   "org.opencontainers.image.ref.name",
                   f"docker.io/library/web@{manifest}")
    assert names(own) == ["web:<none>"]
    assert own.inspect(image.id)["RepoTags"] == []
    assert own.inspect(f"web@{manifest}")["RepoDigests"] == [f"web@{manifest}"]
    row = own.ok("images", "--digests", "--format",
                 "{{.Repository}} {{.Tag}} {{.Digest}}")
    assert row == f"web <none> {manifest}"
    assert f"web@{manifest}" in own.ok("images", "--tree")
    for value in "true", "false":
        assert names(own, "-f", f"dangling={value}") == ["web:<none>"]
    # docker's prune takes what has no tag.
    assert f"untagged: web@{manifest}" in own.ok("image", "prune", "-f")


def test_tree(own, tmp_path):
    image = oci.Image([BASE, TOP])
    load(own, tmp_path, {"web:1": image, "alone:1": oci.Image([OTHER])})
    manifest = own.inspect("web:1")["Descriptor"]
    foreign = oci.Image([BASE], architecture="arm", variant="v7")
    attestation = oci.Image([], architecture="unknown", os="unknown")
    index = oci.json_blob({"schemaVersion": 2, "manifests": [
        foreign.descriptor(), dict(manifest, platform=image.platform),
        attestation.descriptor()]}, oci.INDEX)
    put_blob(own, index)
    set_annotation(own, "docker.io/library/web:1", "moss.digest", index.digest)
    own.ok("tag", "web:1", "long/name/of/web:latest")
    own.ok("rmi", "alone:1", "-f")
    own.ok("create", "web:1", "true")
    content = re.search(r"([0-9.]+kB)   U$", own.ok("images", "--tree"),
                        re.M)[1]
    disk = re.search(rf"([0-9.]+kB) +{content}   U$",
                     own.ok("images", "--tree"), re.M)[1]
    line = f"{disk:>10}   {content:>12}"
    assert own.ok("images", "--tree") == f"""\
IMAGE                     ID             DISK USAGE   CONTENT SIZE   EXTRA
web:1
long/name/of/web:latest   {image.id[7:19]}   {line}   U
├─ linux/amd64            {manifest["digest"][7:19]}   {line}
└─ linux/arm/v7           {foreign.digest[7:19]}           0B             0B"""
    assert float(disk[:-2]) == pytest.approx(float(content[:-2]) + 1.5, 0.1)
    assert "--quiet and --tree" in own("images", "--tree", "-q", check=1).err
    assert own.ok("images", "--tree", "nosuch").count("\n") == 0


def test_tree_on_a_narrow_terminal(own, tmp_path):
    load(own, tmp_path, {f"{'n' * 40}:1": oci.Image([BASE])})

    def run(columns, **env):
        child = pexpect.spawn(own.program, ["images", "--tree"], timeout=20,
                              encoding="utf-8", dimensions=(20, columns),
                              env=dict(own.env, TERM="xterm", **env))
        child.expect(pexpect.EOF)
        return child.before.replace("\r", "")

    wide = run(120)
    assert "\x1b[1mIMAGE" in wide and "U  In Use" in wide
    plain = run(120, NO_COLOR="1")
    assert "\x1b" not in plain and "n" * 40 + ":1" in plain
    for columns in 79, 50, 30, 10, 2:
        out = run(columns, NO_COLOR="1")
        assert all(len(line) <= columns for line in out.splitlines()), out
    assert "CONTENT SIZE" in run(79, NO_COLOR="1")
    assert "CONTENT SIZE" not in run(50, NO_COLOR="1")


# ---- history ----

def test_history(own, tmp_path):
    image = oci.Image([BASE, TOP])
    config = json.loads(image.config.data)
    config["history"] = [
        {"created": "2024-01-01T00:00:00Z", "created_by": "ADD base"},
        {"created": "2024-01-01T00:00:00Z", "created_by": "ENV A=b",
         "empty_layer": True},
        {"created": "2024-01-02T00:00:00Z", "comment": "top one",
         "created_by": "RUN \t" + "x" * 60}]
    image.config = oci.json_blob(config, oci.CONFIG)
    load(own, tmp_path, {"web:1": image})
    header, *rows = own.ok("history", "web:1").splitlines()
    assert re.split(r"\s{2,}", header) == ["IMAGE", "CREATED", "CREATED BY",
                                           "SIZE", "COMMENT"]
    assert rows[0].startswith(image.id[7:19])
    assert f"RUN  {'x' * 39}…   500B      top one" in rows[0]
    assert re.search(r"^<missing> .* ENV A=b +0B *$", rows[1])
    assert re.search(r"^<missing> .* ADD base +1kB *$", rows[2])
    fields = "{{.ID}} {{.CreatedSince}} {{.Size}}"
    assert own.ok("history", "-H=false", "--no-trunc", "--format", fields,
                  "web:1").splitlines() == [
        f"{image.id} 2024-01-02T00:00:00Z 500",
        "<missing> 2024-01-01T00:00:00Z 0",
        "<missing> 2024-01-01T00:00:00Z 1000"]
    assert own.ok("image", "history", "-q", "web:1").split() == [
        image.id[7:19], "<missing>", "<missing>"]
    row = json.loads(own.ok("history", "--format", "json", "web:1")
                     .splitlines()[0])
    assert row["Comment"] == "top one"
    assert "x" * 60 in own.ok("history", "--no-trunc", "web:1")
    assert own("history", "nosuch").code == 1
    assert "does not match" in own("history", "--platform", "linux/s390x",
                                   "web:1", check=1).err
    own.ok("history", "--platform", "linux/amd64", "web:1")


@pytest.mark.parametrize("history", [
    [], None, "none", [{"created_by": 7, "comment": {}}, 5, None],
    [{"created_by": "one"}] * 9])
def test_history_that_does_not_fit(own, tmp_path, history):
    """As many steps as it has, and every layer is told of."""
    image = oci.Image([BASE, TOP], history=False)
    config = dict(json.loads(image.config.data), history=history)
    image.config = oci.json_blob(config, oci.CONFIG)
    load(own, tmp_path, {"odd:1": image})
    sizes = own.ok("history", "--format", "{{.Size}}", "odd:1").split()
    assert sorted(sizes)[-2:] == ["1kB", "500B"]
    assert len(sizes) >= 2


def test_endless_history(own, tmp_path):
    image = oci.Image([BASE], history=False)
    config = dict(json.loads(image.config.data), history=[{}] * 200000)
    image.config = oci.json_blob(config, oci.CONFIG)
    load(own, tmp_path, {"odd:1": image})
    assert own("history", "odd:1", timeout=20, check=1).err == \
        "moss: image odd:1: the image's history has more than 16384 steps\n"
    own.ok("image", "inspect", "odd:1", timeout=20)


# ---- inspect ----

def test_inspect_of_an_image(own, tmp_path):
    image = oci.Image([BASE], {"Env": ["A=b"]}, variant="v2")
    load(own, tmp_path, {"web:1": image})
    manifest = own.inspect("web:1")["RepoDigests"][0].split("@")[1]
    referrers = oci.json_blob({"schemaVersion": 2, "manifests": [
        {"mediaType": oci.MANIFEST, "digest": image.digest, "size": 7,
         "artifactType": "application/x-signature"}]}, oci.INDEX)
    put_blob(own, referrers)
    set_annotation(own, "docker.io/library/web:1", "moss.referrers",
                   referrers.digest)
    (one,) = json.loads(own.ok("image", "inspect", "web:1"))
    assert one["Id"] == image.id
    assert one["RepoTags"] == ["web:1"]
    assert (one["Os"], one["Architecture"], one["Variant"]) == \
        ("linux", "amd64", "v2")
    assert one["Created"] == "2024-01-02T03:04:05Z"
    assert one["Config"]["Env"] == ["A=b"]
    assert one["RootFS"] == {"Type": "layers", "Layers": [BASE.diff_id]}
    assert one["Size"] == 1000
    assert one["Descriptor"]["digest"] == manifest
    assert one["Descriptor"]["mediaType"] == oci.MANIFEST
    assert [each["artifactType"] for each in one["Referrers"]] == \
        ["application/x-signature"]
    assert one["Metadata"]["LastTagTime"] > "2025"
    assert json.loads(own.ok("inspect", "--type", "image", "web:1")) == [one]
    assert own("image", "inspect", "--platform", "linux/arm64", "web:1").code == 1
    own.ok("image", "inspect", "--platform", "linux/amd64", "web:1")
    own.ok("rmi", "web:1")
    assert not (own.root / "image/blobs/sha256" / referrers.digest[7:]).exists()


# ---- rmi ----

def test_rmi_rules(own, busybox_tar):
    image = own.ok("import", busybox_tar, "web:1")
    short = image[7:19]
    own.ok("tag", "web:1", "repo.x/y:2")
    container = own.ok("create", "web:1", "true")
    assert own("rmi", short, check=1).err.startswith(
        f"moss: conflict: unable to delete {short} (must be forced) - image is "
        "referenced in multiple repositories\n")
    result = own("rmi", "nosuch", "repo.x/y:2", "web:1", check=1)
    assert result.out == "Untagged: repo.x/y:2\n"
    assert "No such image: nosuch:latest" in result.err
    assert ('conflict: unable to remove repository reference "web:1" (must '
            f"force) - container {container[:12]} is using its referenced "
            f"image {short}") in result.err
    assert (f"conflict: unable to delete {short} (must be forced) - image is "
            f"being used by stopped container {container[:12]}") in \
        own("rmi", short, check=1).err
    assert own("rmi", "--platform", "linux/s390x", "web:1").code == 1
    lines = own.ok("rmi", "-f", "--no-prune", "web:1").splitlines()
    assert lines == ["Untagged: web:1", f"Deleted: {image}"]
    # The container keeps its files until it goes.
    kept = disk_usage(own)["Images"]
    assert kept["TotalCount"] == "0" and kept["Size"] not in ("0B", "")
    own.ok("rm", container)
    assert disk_usage(own)["Images"]["Size"] == "0B"


def test_rmi_of_a_running_image(own, busybox_tar):
    image = own.ok("import", busybox_tar, "web:1")
    container = own.ok("run", "-d", "web:1", "sleep", "100")
    err = own("rmi", "-f", image, check=1).err
    assert (f"conflict: unable to delete {image[7:19]} (cannot be forced) - "
            f"image is being used by running container {container[:12]}") in err
    assert own.ok("rmi", "-f", "web:1") == "Untagged: web:1"
    assert names(own) == ["<none>:<none>"]


# ---- prune ----

def test_image_prune(own, tmp_path):
    load(own, tmp_path, {"old:1": oci.Image([BASE, TOP]),
                         "new:1": oci.Image([BASE, OTHER], {"Labels": {"k": ""}})})
    before = own.inspect("old:1")["Id"]
    own.ok("tag", "new:1", "old:1")
    own.ok("rmi", "old:1")
    total = lambda out: out.splitlines()[-1]
    assert total(own.ok("image", "prune", "-f", "--filter", "label=k")) == \
        "Total reclaimed space: 0B"
    assert total(own.ok("image", "prune", "-f", "--filter",
                        "until=2020-01-01")) == "Total reclaimed space: 0B"
    out = own.ok("image", "prune", "-f")
    assert out.startswith(f"Deleted Images:\ndeleted: {before}\n"
                          f"deleted: {TOP.diff_id}\n\nTotal reclaimed space: ")
    assert not (own.root / "layers" / TOP.diff_id[7:]).exists()
    assert (own.root / "layers" / BASE.diff_id[7:]).exists()
    assert own.ok("image", "prune", "-f") == "Total reclaimed space: 0B"
    assert own.ok("image", "prune", "-af", "--filter", "label!=k") == \
        "Total reclaimed space: 0B"
    assert "untagged: new:1\n" in own.ok("image", "prune", "-af")
    assert disk_usage(own)["Images"]["Size"] == "0B"


def test_prune_keeps_what_containers_need(own, tmp_path, busybox_tar):
    own.ok("import", busybox_tar, "used:1")
    own.ok("create", "--name", "user", "used:1", "true")
    assert own.ok("image", "prune", "-af") == "Total reclaimed space: 0B"
    assert names(own) == ["used:1"]
    # system prune takes the container first.
    out = own.ok("system", "prune", "-af")
    assert "Deleted Containers:\n" in out and "untagged: used:1\n" in out
    assert names(own) == []


def test_prune_reclaims_rests_of_interrupted_work(own, tmp_path):
    load(own, tmp_path, {"kept:1": oci.Image([BASE])})
    rest = oci.Blob(b"r" * 5000, "")
    put_blob(own, rest)
    layer = own.root / "layers" / ("ab" * 32)
    (layer / "diff").mkdir(parents=True)
    (layer / "diff" / "file").write_bytes(b"x" * 8192)
    reclaimable = lambda: float(re.match(
        "([0-9.]+)kB", disk_usage(own)["Images"]["Reclaimable"])[1])
    before = reclaimable()
    out = own.ok("image", "prune", "-f")
    size = float(re.fullmatch(r"Total reclaimed space: ([0-9.]+)kB", out)[1])
    assert 13 < size < 30
    assert not layer.exists()
    assert before - reclaimable() == pytest.approx(size, abs=0.1)
    assert names(own) == ["kept:1"]


def test_prune_beside_a_damaged_image(own, tmp_path):
    damaged = oci.Image([TOP])
    load(own, tmp_path, {"whole:1": oci.Image([BASE]), "damaged:1": damaged})
    (own.root / "image/blobs/sha256" / damaged.id[7:]).unlink()
    own.ok("rmi", "whole:1")
    result = own("image", "prune", "-f", check=1)
    assert result.out == "Total reclaimed space: 0B\n"
    assert "an image of the store cannot be read" in result.err
    assert (own.root / "layers" / BASE.diff_id[7:]).exists()
    own.ok("rmi", "damaged:1")
    assert not (own.root / "layers" / BASE.diff_id[7:]).exists()


def test_container_prune(own, busybox_tar):
    own.ok("import", busybox_tar, "busybox")
    gone = own.ok("create", "--label", "k=v", "busybox", "true")
    own.ok("run", "--name", "ended", "busybox", "sh", "-c",
           "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null")
    running = own.ok("run", "-d", "busybox", "sleep", "100")
    out = own.ok("container", "prune", "-f", "--filter", "label=k=v")
    assert out.splitlines()[:2] == ["Deleted Containers:", gone]
    assert own.ok("container", "prune", "-f", "--filter", "until=1h") == \
        "Total reclaimed space: 0B"
    out = own.ok("container", "prune", "-f")
    assert re.search(r"Total reclaimed space: 3\.[0-9]+MB$", out)
    assert own.ok("ps", "-aq", "--no-trunc") == running


def test_volume_prune(own, busybox_tar):
    own.ok("import", busybox_tar, "busybox")
    own.ok("create", "-v", "used:/u", "-v", "/anonymous", "busybox", "true")
    kept = set(own.ok("volume", "ls", "-q").split())
    anonymous = own.ok("volume", "create")
    own.ok("volume", "create", "--label", "k", "labelled")
    own.ok("volume", "create", "named")
    out = own.ok("volume", "prune", "-f")
    assert out.startswith(f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed")
    assert "labelled" not in own.ok("volume", "prune", "-af", "--filter",
                                    "label!=k")
    assert "named" not in own.ok("volume", "ls", "-q").split()
    assert own("volume", "prune", "-a", "--filter", "all=1", check=1).err \
        .startswith("moss: conflicting options")
    assert "labelled" in own.ok("volume", "prune", "-f", "--filter", "all=true")
    assert set(own.ok("volume", "ls", "-q").split()) == kept


WARNINGS = {
    ("container", "prune"): "WARNING! This will remove all stopped containers.",
    ("image", "prune"): "WARNING! This will remove all dangling images.",
    ("image", "prune", "-a"): "WARNING! This will remove all images without at "
                              "least one container associated to them.",
    ("volume", "prune"): "WARNING! This will remove anonymous local volumes not "
                         "used by at least one container.",
    ("volume", "prune", "-a"): "WARNING! This will remove all local volumes not "
                               "used by at least one container.",
    ("builder", "prune"): "WARNING! This will remove all dangling build cache.",
    ("builder", "prune", "-a"): "WARNING! This will remove all build cache.",
    ("system", "prune", "-a", "--volumes", "--filter", "label=x"): """\
WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all anonymous volumes not used by at least one container
  - all images without at least one container associated to them
  - all build cache

  Items to be pruned will be filtered with:
  - label=x
""",
    ("system", "prune"): """\
WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all dangling images
  - unused build cache
""",
}


@pytest.mark.parametrize("command", WARNINGS)
def test_prune_asks(own, command):
    anonymous = own.ok("volume", "create")
    question = (WARNINGS[command] +
                "\nAre you sure you want to continue? [y/N] ")
    for answer in "n\n", "", "yes\n":
        assert own.ok(*command, stdin=answer) == question
    assert own.ok("volume", "ls", "-q") == anonymous
    assert own.ok(*command, stdin="Y\n").startswith(question)


def test_prune_filters_are_checked(own):
    assert "invalid filter 'nosuch'" in own(
        "image", "prune", "-f", "--filter", "nosuch=1", check=1).err
    assert own("image", "prune", "-f", "--filter", "until=never").code == 1
    assert own("container", "prune", "-f", "--filter", "until=1h", "--filter",
               "until=2h").code == 1
    assert "is not supported" in own("system", "prune", "-f", "--volumes",
                                     "--filter", "until=1h", check=1).err


# ---- df ----

def test_system_df(own, tmp_path, busybox_tar):
    shared = oci.busybox_layer(busybox_tar)
    load(own, tmp_path, {"one:1": oci.Image([shared, TOP]),
                         "two:1": oci.Image([shared, OTHER])})
    own.ok("create", "-v", "data:/data", "one:1", "true")
    out = own.ok("system", "df").splitlines()
    assert re.split(r"\s{2,}", out[0]) == ["TYPE", "TOTAL", "ACTIVE", "SIZE",
                                           "RECLAIMABLE"]
    rows = disk_usage(own)
    assert list(rows) == ["Images", "Containers", "Local Volumes",
                          "Build Cache"]
    assert (rows["Images"]["TotalCount"], rows["Images"]["Active"]) == ("2", "1")
    assert (rows["Containers"]["TotalCount"], rows["Containers"]["Active"]) == \
        ("1", "0")
    assert (rows["Local Volumes"]["TotalCount"],
            rows["Local Volumes"]["Active"]) == ("1", "1")
    assert rows["Build Cache"]["Size"] == "0B"
    # What is shared with an image in use would not be freed.
    assert re.fullmatch(r"[0-9.]+k?B \(0%\)", rows["Images"]["Reclaimable"])

    whole = json.loads(own.ok("system", "df", "-v", "--format", "json"))
    images = {row["Repository"]: row for row in whole["Images"]}
    assert images["one"]["Containers"] == "1"
    assert images["one"]["SharedSize"] == images["two"]["SharedSize"]
    assert re.fullmatch(r"[0-9.]+MB", images["one"]["SharedSize"])
    assert re.fullmatch(r"[0-9.]+k?B", images["one"]["UniqueSize"])
    assert whole["Volumes"][0]["Links"] == "1"
    assert own.ok("system", "df", "-v", "--format",
                  "{{range .Volumes}}{{.Name}}{{end}}") == "data"
    text = own.ok("system", "df", "-v")
    for heading in ("Images space usage:", "Containers space usage:",
                    "Local Volumes space usage:", "Build cache usage: 0B"):
        assert f"{heading}\n\n" in text
    own.ok("image", "prune", "-af")
    assert disk_usage(own)["Images"]["Reclaimable"] == "0B (0%)"
