"""Images made by hand, and a small client that puts them into registries.

Nothing here uses moss: what the tests compare moss with must not come from it.
A layer is a list of entries made by file(), directory(), ...; an image is
layers and a config; an index is images. Everything knows its bytes and digest.
"""
import gzip
import hashlib
import http.client
import io
import json
import pathlib
import re
import subprocess
import tarfile
import urllib.parse

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST = OCI + "manifest.v1+json"
INDEX = OCI + "index.v1+json"
CONFIG = OCI + "config.v1+json"
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"
DOCKER_CONFIG = DOCKER + "container.image.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
MANIFESTS = ", ".join([MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST])

LAYER = {"gzip": OCI + "layer.v1.tar+gzip", "zstd": OCI + "layer.v1.tar+zstd",
         "none": OCI + "layer.v1.tar"}
DOCKER_LAYER = DOCKER + "image.rootfs.diff.tar.gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Blob:
    def __init__(self, data, media_type):
        self.data, self.media_type = data, media_type
        self.digest, self.size = digest(data), len(data)

    @property
    def short(self):
        """The name that progress lines give it."""
        return self.digest[7:19]

    def descriptor(self, **more):
        return dict({"mediaType": self.media_type, "digest": self.digest,
                     "size": self.size}, **more)


def json_blob(value, media_type):
    return Blob(json.dumps(value).encode(), media_type)


# Entries of a layer

def entry(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, link="", uid=0,
          gid=0, pax=None, mtime=1700000000):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = kind, link, mode, mtime
    info.uid, info.gid, info.size = uid, gid, len(data)
    info.pax_headers = pax or {}
    return info, data


def file(name, data=b"", **more):
    return entry(name, data=data.encode() if isinstance(data, str) else data,
                 **more)


def directory(name, mode=0o755, **more):
    return entry(name, tarfile.DIRTYPE, mode=mode, **more)


def symlink(name, target, **more):
    return entry(name, tarfile.SYMTYPE, link=target, mode=0o777, **more)


def hard_link(name, target, **more):
    return entry(name, tarfile.LNKTYPE, link=target, **more)


def whiteout(name):
    head, _, tail = name.rpartition("/")
    return file(f"{head}/.wh.{tail}" if head else f".wh.{tail}")


def opaque(name):
    return file(f"{name}/.wh..wh..opq")


class Layer(Blob):
    def __init__(self, tar, compression="gzip", media_type=None):
        self.tar, self.diff_id = tar, digest(tar)
        packed = {"gzip": lambda: gzip.compress(tar, 1, mtime=0),
                  "zstd": lambda: zstd(tar), "none": lambda: tar}[compression]
        super().__init__(packed(), media_type or LAYER[compression])


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def layer(*entries, compression="gzip", media_type=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return Layer(out.getvalue(), compression, media_type)


class Image:
    """A manifest with its config and layers."""

    def __init__(self, layers, config=None, architecture="amd64", os="linux",
                 variant=None, docker=False, history=True, **manifest):
        self.layers = list(layers)
        self.platform = {"architecture": architecture, "os": os}
        if variant:
            self.platform["variant"] = variant
        text = dict(self.platform, config=config or {}, created="2024-01-02T03:04:05Z",
                    rootfs={"type": "layers",
                            "diff_ids": [each.diff_id for each in self.layers]})
        if history:
            text["history"] = [{"created": "2024-01-02T03:04:05Z",
                                "created_by": f"layer {number}"}
                               for number, _ in enumerate(self.layers)]
        self.config = json_blob(text, DOCKER_CONFIG if docker else CONFIG)
        self.manifest = json_blob(dict({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST if docker else MANIFEST,
            "config": self.config.descriptor(),
            "layers": [each.descriptor() for each in self.layers]}, **manifest),
            DOCKER_MANIFEST if docker else MANIFEST)

    @property
    def id(self):
        return self.config.digest

    @property
    def digest(self):
        return self.manifest.digest

    def blobs(self):
        return [self.config, *self.layers]

    def descriptor(self):
        return self.manifest.descriptor(platform=self.platform)


class Index:
    def __init__(self, images, docker=False, **more):
        self.images = list(images)
        kind = DOCKER_LIST if docker else INDEX
        self.manifest = json_blob(dict({
            "schemaVersion": 2, "mediaType": kind,
            "manifests": [image.descriptor() for image in self.images]},
            **more), kind)

    @property
    def digest(self):
        return self.manifest.digest


def busybox_layer(busybox_tar):
    return Layer(pathlib.Path(busybox_tar).read_bytes())


# Archives and layouts

def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def docker_archive(path, images):
    """images: {name: Image}, as `docker save` of old wrote it."""
    members, manifest = {}, []
    for name, image in images.items():
        manifest.append({
            "Config": image.config.digest[7:] + ".json", "RepoTags": [name],
            "Layers": [f"{each.diff_id[7:]}/layer.tar" for each in image.layers]})
        members[manifest[-1]["Config"]] = image.config.data
        members.update((f"{each.diff_id[7:]}/layer.tar", each.tar)
                       for each in image.layers)
    write_tar(path, [("manifest.json", json.dumps(manifest).encode()),
                     *members.items()])


# A client of registries

class Client:
    """Puts and gets, without a check of its own: the tests do that."""

    def __init__(self, port, host="127.0.0.1", context=None, headers=None):
        self.host, self.port, self.context = host, port, context
        self.headers = headers or {}

    def request(self, method, path, body=None, headers=None, timeout=20):
        if self.context:
            connection = http.client.HTTPSConnection(
                self.host, self.port, context=self.context, timeout=timeout)
        else:
            connection = http.client.HTTPConnection(self.host, self.port,
                                                    timeout=timeout)
        try:
            connection.request(method, path, body,
                               dict(self.headers, **(headers or {})))
            answer = connection.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            connection.close()

    def expect(self, status, *args, **kwargs):
        answer = self.request(*args, **kwargs)
        assert answer.status == status, (args[:2], answer.status, answer.body)
        return answer

    def has_blob(self, repository, blob):
        answer = self.request("HEAD", f"/v2/{repository}/blobs/{blob.digest}")
        return answer.status == 200

    def put_blob(self, repository, blob):
        if self.has_blob(repository, blob):
            return
        answer = self.expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        where = urllib.parse.urlsplit(answer.headers["Location"])
        query = where.query + ("&" if where.query else "") + \
            "digest=" + urllib.parse.quote(blob.digest)
        self.expect(201, "PUT", f"{where.path}?{query}", blob.data,
                    {"Content-Type": "application/octet-stream"})

    def put_manifest(self, repository, tag, blob):
        self.expect(201, "PUT", f"/v2/{repository}/manifests/{tag}", blob.data,
                    {"Content-Type": blob.media_type})

    def put(self, name, image):
        """name: REPOSITORY:TAG or REPOSITORY alone (by digest)."""
        repository, _, tag = name.partition(":")
        for each in getattr(image, "images", []):
            self.put(repository, each)
        for blob in image.blobs() if isinstance(image, Image) else []:
            self.put_blob(repository, blob)
        self.put_manifest(repository, tag or image.digest, image.manifest)
        return image

    def manifest(self, name):
        """(media type, digest, JSON)"""
        repository, tag = re.fullmatch(r"(.*?)[:@](.*)", name).groups()
        answer = self.expect(200, "GET", f"/v2/{repository}/manifests/{tag}",
                             headers={"Accept": MANIFESTS})
        return (answer.headers["Content-Type"], digest(answer.body),
                json.loads(answer.body))

    def blob(self, repository, name):
        return self.expect(200, "GET", f"/v2/{repository}/blobs/{name}").body

    def tags(self, repository):
        answer = self.request("GET", f"/v2/{repository}/tags/list")
        return sorted(json.loads(answer.body).get("tags") or []) \
            if answer.status == 200 else []
