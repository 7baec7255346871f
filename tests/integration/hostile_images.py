"""Hostile images: documents that lie, and bombs, one row a hostility.

An Image is what a registry or a layout holds: blobs by digest, and the
descriptor of its manifest. A row takes an honest one and spoils it; from it
come an OCI layout (directory or tar), and the answers of a registry. docker's
archives have files of their own and rows of their own.
"""
import gzip
import hashlib
import io
import json
import lzma
import os
import platform
import subprocess
import tarfile

import hostile_tar

OCI = "application/vnd.oci.image."
INDEX = OCI + "index.v1+json"
MANIFEST = OCI + "manifest.v1+json"
CONFIG = OCI + "config.v1+json"
LAYER = OCI + "layer.v1.tar"
NAME = "docker.io/library/hostile:latest"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(
    platform.machine(), platform.machine())

HONEST = hostile_tar.layer(hostile_tar.entry(b"file", b"honest"))


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dump(document):
    return document if isinstance(document, bytes) else \
        json.dumps(document).encode()


class Image:
    def __init__(self, layers=(HONEST,), packed=None, name=NAME):
        """packed: the layers as they are sent, when it is not as they are."""
        self.name = name
        self.layers = list(layers)
        self.packed = list(packed or layers)
        self.blobs = {}
        self.config = {
            "architecture": ARCHITECTURE, "os": "linux",
            "config": {"Cmd": ["/file"]},
            "rootfs": {"type": "layers",
                       "diff_ids": [digest(data) for data in self.layers]}}
        self.manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": None,
            "layers": [self.add(data, LAYER) for data in self.packed]}
        self.top = None
        self.index = None

    def add(self, data, media_type):
        data = dump(data)
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data),
                "size": len(data)}

    def seal(self, config_type=CONFIG, manifest_type=MANIFEST):
        """Writes config and manifest, unless that was done by hand."""
        if self.manifest is not None and not isinstance(self.manifest, bytes) \
                and self.manifest.get("config") is None:
            self.manifest["config"] = self.add(self.config, config_type)
        if self.top is None:
            self.top = self.add(self.manifest, manifest_type)
        if self.index is None:
            self.index = {"schemaVersion": 2, "mediaType": INDEX,
                          "manifests": [dict(self.top, annotations={
                              "org.opencontainers.image.ref.name": self.name})]}
        return self

    def files(self):
        """Of an OCI layout."""
        self.seal()
        yield "oci-layout", b'{"imageLayoutVersion": "1.0.0"}'
        yield "index.json", dump(self.index)
        for name, data in self.blobs.items():
            yield "blobs/sha256/" + name.split(":")[1], data

    def write_tar(self, path):
        with tarfile.open(path, "w") as tar:
            for name, data in self.files():
                add_file(tar, name, data)
        return path

    def write_directory(self, path):
        for name, data in self.files():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return path

    def registry(self):
        """What a registry answers: {"manifests": {tag or digest: (type,
        bytes)}, "blobs": {digest: bytes}}. What a blob is sent under is what
        the image calls it, whatever it holds."""
        self.seal()
        top = self.top["digest"]
        manifests = {name: (self.top["mediaType"], data)
                     for name, data in self.blobs.items() if name == top}
        for name, data in self.blobs.items():
            try:
                kind = json.loads(data).get("mediaType")
            except (ValueError, AttributeError, RecursionError):
                continue
            if kind in (INDEX, MANIFEST):
                manifests[name] = (kind, data)
        if top in manifests:
            manifests["latest"] = manifests[top]
        return {"manifests": manifests, "blobs": dict(self.blobs)}


def add_file(tar, name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    tar.addfile(info, io.BytesIO(data))


# ---- documents ----

def lie(image, descriptor, **changes):
    descriptor.update(changes)
    return image


def rename_blob(image, old, data):
    """The blob called `old` holds something else."""
    image.blobs[old] = data
    return image


def manifest_rows():
    image = Image().seal()
    yield "manifest: wrong size", \
        lie(image, image.index["manifests"][0], size=5), "wrong size"
    image = Image().seal()
    yield "manifest: wrong digest", \
        rename_blob(image, image.top["digest"], b"{}"), "wrong digest"
    image = Image().seal()
    del image.blobs[image.top["digest"]]
    yield "manifest: missing", image, "is missing"
    for what, text, message in (
            ("no digest", None, "digest"), ("empty digest", "", "digest"),
            ("digest of a path", "sha256:../../../../etc/passwd", "digest"),
            ("digest in capitals", "sha256:" + "A" * 64, "digest"),
            ("unknown algorithm", "md5:" + "0" * 32, "digest"),
            ("a number for a digest", 5, "expected a string")):
        image = Image().seal()
        yield f"manifest: {what}", \
            lie(image, image.index["manifests"][0], digest=text), message
    for size in (-1, 1e300, 2 ** 63, 1.5, "5", None):
        image = Image().seal()
        yield f"manifest: size {size!r}", \
            lie(image, image.index["manifests"][0], size=size), "size"
    image = Image()
    image.manifest["annotations"] = {"x": "x" * (5 << 20)}
    yield "manifest: over 4 MiB", image, "larger than"
    image = Image()
    image.manifest["layers"] *= 600
    yield "manifest: 600 layers", image, "600 layers, the limit is 500"
    image = Image()
    image.manifest["mediaType"] = "text/html"
    yield "manifest: of another type", image, "unknown media type"
    image = Image()
    image.manifest["manifests"] = []
    yield "manifest: an index too", image, "both"
    for what, data, message in json_rows():
        image = Image()
        image.manifest = data
        yield f"manifest: {what}", image, message


def json_rows():
    yield "no JSON", b"<html>", "malformed JSON"
    yield "empty", b"", "ends too early"
    yield "cut off", b'{"schemaVersion": 2, "config": {', "ends too early"
    yield "an array", b"[]", "unknown media type"
    yield "too deep", b"[" * 100000 + b"]" * 100000, "nested too deeply"
    yield "NUL in a key", b'{"a\\u0000b": 1}', "\\u0000 in a string"
    yield "NUL", b'{"a": 1}\0', "control character"
    yield "NaN", b'{"config": NaN}', "malformed JSON"
    yield "two values", b"{} {}", "text after the JSON value"
    yield "a key twice", \
        b'{"config": {"digest": "a"}, "config": {"digest": "b"}}', \
        "\"config\" is there twice"


def config_rows():
    image = Image().seal()
    yield "config: wrong digest", \
        rename_blob(image, image.manifest["config"]["digest"], b"{}"), \
        "wrong digest"
    image = Image()
    image.manifest["config"] = dict(image.add(image.config, CONFIG), size=7)
    yield "config: wrong size", image, "wrong size"
    image = Image().seal()
    del image.blobs[image.manifest["config"]["digest"]]
    yield "config: missing", image, "is missing"
    image = Image()
    image.config["x"] = "x" * (5 << 20)
    yield "config: over 4 MiB", image, "larger than"
    image = Image()
    image.manifest["config"] = image.add(
        image.config, "application/vnd.cncf.helm.config.v1+json")
    yield "config: a chart", image, "not an image but"
    image = Image()
    image.config["os"] = "windows"
    yield "config: another system", image, "operating system \"windows\""
    for what, ids, message in (
            ("no diff ID", [], "1 layers, but 0 diff IDs"),
            ("too many diff IDs", [digest(HONEST)] * 2,
             "1 layers, but 2 diff IDs"),
            ("wrong diff ID", ["sha256:" + "0" * 64], "wrong digest"),
            ("diff ID of a path", ["sha256:../../x"], "invalid digest"),
            ("numbers for diff IDs", [7], "expected a string"),
            ("a text for diff IDs", digest(HONEST), "expected an array")):
        image = Image()
        image.config["rootfs"]["diff_ids"] = ids
        yield f"config: {what}", image, message
    image = Image()
    image.config = b'{"rootfs": {"diff_ids": []}, "rootfs": {}}'
    yield "config: a key twice", image, "\"rootfs\" is there twice"
    image = Image()
    image.config = b"[" * 1000 + b"]" * 1000
    yield "config: too deep", image, "nested too deeply"


def layer_rows():
    image = Image().seal()
    yield "layer: wrong digest", \
        rename_blob(image, digest(HONEST), HONEST[:-1] + b"x"), "wrong digest"
    image = Image()
    image.manifest["layers"][0]["size"] += 512
    yield "layer: wrong size", image, "wrong size"
    image = Image().seal()
    del image.blobs[digest(HONEST)]
    yield "layer: missing", image, "is missing"
    for kind in ("application/vnd.in-toto+json", "text/plain",
                 "application/vnd.oci.image.layer.v1.tar+lzma"):
        image = Image()
        image.manifest["layers"][0]["mediaType"] = kind
        yield f"layer: {kind}", image, "unknown media type"
    for kind in (OCI + "layer.nondistributable.v1.tar",
                 "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"):
        image = Image()
        image.manifest["layers"][0].update(
            mediaType=kind, urls=["http://127.0.0.1:1/layer"])
        yield f"layer: foreign ({kind})", image, "foreign layer"
    zipped = gzip.compress(HONEST, mtime=0)
    for what, data, message in (
            ("cut gzip", zipped[:-4], "truncated gzip data"),
            ("gzip with a wrong checksum", zipped[:-8] + b"\0" * 8,
             "damaged gzip data"),
            ("gzip in gzip", gzip.compress(zipped, mtime=0),
             "not a tar archive"),
            ("cut xz", lzma.compress(HONEST)[:-20], "xz data"),
            ("cut zstd", zstd(HONEST)[:-3], "zstd data"),
            ("text", b"this is no layer" * 100, "not a tar archive")):
        yield f"layer: {what}", Image([HONEST], [data]), message


def nested(depth):
    image = Image().seal()
    for _ in range(depth):
        image.top = image.add({"schemaVersion": 2, "mediaType": INDEX,
                               "manifests": [image.top]}, INDEX)
    image.index = None
    return image


def index_rows():
    yield "index: nested too deeply", nested(20), "nested too deeply"
    image = Image().seal()
    circle = {"mediaType": INDEX, "digest": "sha256:" + "1" * 64, "size": 0}
    body = dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [circle]})
    image.blobs[circle["digest"]] = body
    image.top, image.index = dict(circle, size=len(body)), None
    yield "index: in a circle", image, "wrong digest"
    image = Image().seal()
    image.index["manifests"] = []
    yield "index: empty", image, "names no image"
    image = Image().seal()
    image.index["manifests"] *= 5000
    yield "index: very many images", image, "more than"
    image = Image().seal()
    image.index["x"] = "x" * (5 << 20)
    yield "index: over 4 MiB", image, "larger than"
    image = Image().seal()
    image.top = image.add({"schemaVersion": 2, "mediaType": INDEX, "manifests":
                           [image.top], "layers": []}, INDEX)
    image.index = None
    yield "index: a manifest too", image, "both"
    image = Image().seal()
    image.top = image.add({"schemaVersion": 2, "mediaType": INDEX,
                           "manifests": [dict(image.top, platform={
                               "os": "linux", "architecture": "s390x"})]},
                          INDEX)
    image.index = None
    yield "index: another platform", image, "no matching manifest"
    for name in ("../../etc/passwd", "a/UPPER", "a b", "-rf", "x" * 5000,
                 "\x1b[2Jname/x", "a\nb/c", "sha256:" + "0" * 64,
                 "name@sha256:" + "0" * 64):
        image = Image(name=name)
        yield f"index: the name {name[:20]!r}", image, ""


def document_rows():
    """(name, image, text of the message)."""
    for group in (manifest_rows, config_rows, layer_rows, index_rows):
        yield from group()


# ---- configs that are taken and must do no harm ----

def absurd_configs():
    """(name, "config" of an image): it loads, and running it is refused in
    one line or does what it says."""
    for what, config in {
            "no = in the environment": {"Env": ["NOEQUALS", "=x", ""]},
            "a number in the environment": {"Env": [5]},
            "NUL-like environment": {"Env": ["A=\x01\x02\n", "B=" + "x" * 200000]},
            "huge command": {"Cmd": ["x"] * 100000},
            "empty command": {"Cmd": [""]},
            "a text for a command": {"Cmd": "sh -c x"},
            "outward directory": {"WorkingDir": "../../../etc",
                                  "Cmd": ["/file"]},
            "relative directory": {"WorkingDir": "a/b", "Cmd": ["/file"]},
            "user of nonsense": {"User": "0:0:0:../../x\n"},
            "user beyond 32 bits": {"User": "99999999999"},
            "negative user": {"User": "-1"},
            "ports of nonsense": {"ExposedPorts": {"../x": {}, "99999/tcp": {},
                                                   "80/quic": {}}},
            "volumes outside": {"Volumes": {"/../../etc": {}, "relative": {},
                                            "": {}}},
            "labels of numbers": {"Labels": {"a": 1}},
            "a signal of nonsense": {"StopSignal": "SIGNOTHING"},
            "a health check of nonsense": {"Healthcheck": {"Test": 5}},
            "a list": []}.items():
        yield what, config


# ---- docker's archives ----

class Archive:
    """The files of a docker archive, in order; name → (data, type, link)."""

    def __init__(self, layers=(HONEST,), tags=("hostile:latest",)):
        self.config = {"architecture": ARCHITECTURE, "os": "linux",
                       "config": {},
                       "rootfs": {"type": "layers", "diff_ids":
                                  [digest(data) for data in layers]}}
        self.names = [f"layer{i}.tar" for i in range(len(layers))]
        self.manifest = [{"Config": "config.json", "RepoTags": list(tags),
                          "Layers": self.names}]
        self.files = [(name, data, tarfile.REGTYPE, "")
                      for name, data in zip(self.names, layers)]

    def write(self, path):
        with tarfile.open(path, "w") as tar:
            for name, data, kind, link in self.files:
                add_file(tar, name, data, kind, link)
            add_file(tar, "config.json", dump(self.config))
            add_file(tar, "manifest.json", dump(self.manifest))
        return path


def archive_rows():
    """(name, Archive, text of the message)."""
    def spoiled(**changes):
        archive = Archive()
        archive.manifest[0].update(changes)
        return archive

    yield "config is outside", spoiled(Config="../../../etc/passwd"), \
        "is missing"
    yield "config is absolute", spoiled(Config="/etc/passwd"), "is missing"
    yield "layer is outside", spoiled(Layers=["../../../etc/passwd"]), \
        "is missing"
    yield "config of a wrong digest", _renamed_config(), "wrong digest"
    yield "no config", spoiled(Config=""), "no \"Config\""
    yield "a number for a config", spoiled(Config=5), "expected a string"
    yield "more layers than diff IDs", spoiled(Layers=["layer0.tar"] * 2), \
        "2 layers, but 1 diff IDs"
    yield "600 layers", spoiled(Layers=["layer0.tar"] * 600), \
        "600 layers, the limit is 500"
    for name in ("../../x", "UPPER", "a b", "-rf", "\x1b[2J", "a\nb",
                 "sha256:" + "0" * 64, "x@sha256:" + "0" * 64):
        yield f"the name {name[:20]!r}", spoiled(RepoTags=[name]), ""
    for what, link in (("outwards", "../../../etc/passwd"),
                       ("to the host", "/etc/passwd"),
                       ("to itself", "layer0.tar")):
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            archive = Archive()
            archive.files = [("layer0.tar", b"", kind, link)]
            yield f"layer is a link {what} ({kind.decode()})", archive, ""
    archive = Archive()
    archive.files.append(("../escape", b"x", tarfile.REGTYPE, ""))
    yield "a file outside", archive, "leads out"
    archive = Archive()
    archive.files.append(("dev", b"", tarfile.CHRTYPE, ""))
    yield "a device", archive, "neither file nor link"
    for what, data, message in (
            ("no array", b"{}", "expected an array"),
            ("empty", b"[]", "names no image"),
            ("no object", b"[5]", ""),
            ("too deep", b"[" * 100000, "nested too deeply"),
            ("over 4 MiB", b"[" + b" " * (5 << 20) + b"]", "larger than")):
        archive = Archive()
        archive.manifest = data
        yield f"manifest.json is {what}", archive, message
    archive = Archive(tags=[f"many{i}:x" for i in range(20000)])
    yield "very many names", archive, "more than 2048 image names"
    yield "old form, in a circle", _legacy_circle(), "more than 500 layers"
    yield "old form, outside", _legacy_outside(), "invalid layer ID"


def _renamed_config():
    archive = Archive()
    name = "0" * 64 + ".json"
    archive.manifest[0]["Config"] = name
    archive.files.append((name, dump(archive.config), tarfile.REGTYPE, ""))
    return archive


class _Legacy:
    def __init__(self, files):
        self.files = files

    def write(self, path):
        with tarfile.open(path, "w") as tar:
            for name, data in self.files:
                add_file(tar, name, dump(data))
        return path


def _legacy_circle():
    a, b = "a" * 64, "b" * 64
    return _Legacy([("repositories", {"hostile": {"latest": a}}),
                    (f"{a}/json", {"id": a, "parent": b}),
                    (f"{b}/json", {"id": b, "parent": a}),
                    (f"{a}/layer.tar", HONEST), (f"{b}/layer.tar", HONEST)])


def _legacy_outside():
    return _Legacy([("repositories", {"hostile": {"latest": "../../etc"}}),
                    ("layer.tar", HONEST)])


# ---- bombs ----

def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


COMPRESSORS = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "xz": lambda data: lzma.compress(data, preset=6),
    "zstd": zstd,
}


def bomb(compression, size, chunk=16 << 20):
    """A file of `size` zeros, packed. Members follow each other, so that this
    needs neither the time nor the memory that unpacking would."""
    pack = COMPRESSORS[compression]
    head = hostile_tar.header(b"bomb", size=size)
    zeros = pack(bytes(chunk))
    return pack(head) + zeros * (size // chunk) + pack(bytes(1024))


def sparse_bomb(size):
    return hostile_tar.layer(hostile_tar.old_sparse(
        b"bomb", size, [(size - 1, 1)], b"x"))


def sizes(path):
    """Bytes that files below path take and claim."""
    taken = claimed = 0
    for directory, _, files in os.walk(path):
        for name in files:
            status = os.lstat(os.path.join(directory, name))
            taken += status.st_blocks * 512
            claimed += status.st_size
    return taken, claimed
