"""A registry of the distribution specification 1.1, small and in memory.

For what Debian's docker-registry cannot do: the referrers API, OCI-Subject,
OCI-Chunk-Min-Length, chunked uploads only, refused mounts, pages of tags.
Strict where the specification says MUST: a client that is wrong is told so
and the complaint is kept in `complaints`.
"""
import json
import re
import urllib.parse

from oci import INDEX, digest
from registry import Answering, Server

NAME = r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
ROUTES = [(re.compile(pattern), name) for pattern, name in [
    (r"/v2/", "base"),
    (rf"/v2/({NAME})/blobs/uploads/", "uploads"),
    (rf"/v2/({NAME})/blobs/uploads/([0-9]+)", "upload"),
    (rf"/v2/({NAME})/blobs/(sha256:[0-9a-f]{{64}})", "blob"),
    (rf"/v2/({NAME})/manifests/([A-Za-z0-9_.:-]+)", "manifest"),
    (rf"/v2/({NAME})/tags/list", "tags"),
    (rf"/v2/({NAME})/referrers/(sha256:[0-9a-f]{{64}})", "referrers"),
]]


class Session:
    def __init__(self, repository):
        self.repository, self.data, self.chunks = repository, b"", []

    def add(self, data):
        self.chunks.append(len(data))
        self.data += data


class TinyRegistry(Server):
    def __init__(self, **kwargs):
        self.blobs = {}  # (repository, digest) → bytes
        self.manifests = {}  # (repository, tag or digest) → (type, bytes)
        self.sessions, self.sessions_made = {}, 0
        self.complaints = []
        self.has_referrers = True
        self.mounts = True
        self.chunk_minimum = None  # bytes
        self.body_maximum = None  # bytes of one request, more is 413
        self.refused = 0  # for that
        self.single_post = True  # POST ?digest= with the bytes is enough
        self.any_manifest = False  # whatever Accept says
        self.page = 1000  # tags in an answer
        super().__init__(TinyHandler, **kwargs)

    def name(self, rest):
        return f"{self.host}/{rest}"


class TinyHandler(Answering):
    def any_method(self):
        split = urllib.parse.urlsplit(self.path)
        self.query = {key: values[0] for key, values in
                      urllib.parse.parse_qs(split.query).items()}
        self.store = self.server_object
        for pattern, name in ROUTES:
            match = pattern.fullmatch(split.path)
            if match:
                method = getattr(self, f"{name}_{self.command.lower()}", None)
                if method:
                    return method(*match.groups())
                return self.refuse(405, "UNSUPPORTED", "no such method")
        self.refuse(404, "NAME_UNKNOWN", split.path)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = any_method

    def refuse(self, code, name, message):
        if code in (400, 405, 411, 416):
            self.store.complaints.append(f"{self.command} {self.path}: "
                                         f"{message}")
        if not self.headers.get("Transfer-Encoding") and not \
                hasattr(self, "taken"):
            self.body()
        self.answer(code, {"errors": [{"code": name, "message": message}]})

    def base_get(self):
        self.answer(200, {})

    # Blobs

    def blob_get(self, repository, name):
        data = self.store.blobs.get((repository, name))
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN", name)
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part:
            first = int(part[1])
            last = int(part[2]) if part[2] else len(data) - 1
            if first >= len(data):
                return self.refuse(416, "RANGE", "past the end")
            return self.answer(206, data[first:last + 1], {
                "Content-Range": f"bytes {first}-{last}/{len(data)}",
                "Docker-Content-Digest": name})
        self.answer(200, data, {"Docker-Content-Digest": name})

    blob_head = blob_get

    def uploads_post(self, repository):
        mount, source = self.query.get("mount"), self.query.get("from")
        if mount and self.store.mounts and \
                (source, mount) in self.store.blobs:
            self.body()
            self.store.blobs[repository, mount] = \
                self.store.blobs[source, mount]
            return self.created(repository, mount)
        data = self.body()
        self.taken = True
        if "digest" in self.query and self.store.single_post:
            return self.store_blob(repository, data)
        self.store.sessions_made += 1
        session = str(self.store.sessions_made)
        self.store.sessions[session] = Session(repository)
        self.accepted(session)

    def accepted(self, session, status=202):
        found = self.store.sessions[session]
        size = len(found.data)
        headers = {"Location": f"/v2/{found.repository}/blobs/uploads/{session}"
                               f"?_state={size}",
                   "Docker-Upload-UUID": session}
        if self.store.chunk_minimum:
            headers["OCI-Chunk-Min-Length"] = str(self.store.chunk_minimum)
        # "0-0" for nothing is what registries in use say.
        headers["Range"] = f"0-{max(0, size - 1)}"
        self.answer(status, b"", headers)

    def session(self, repository, session, must_match=True):
        found = self.store.sessions.get(session)
        if not found or found.repository != repository:
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN", session)
            return None
        if must_match and self.query.get("_state") != str(len(found.data)):
            self.refuse(400, "BLOB_UPLOAD_INVALID",
                        "not the Location of the last answer")
            return None
        return found

    def upload_get(self, repository, session):
        if self.session(repository, session, must_match=False):
            self.accepted(session, 204)

    def is_too_large(self):
        size = int(self.headers.get("Content-Length") or 0)
        if not self.store.body_maximum or size <= self.store.body_maximum:
            return False
        self.store.refused += 1
        self.refuse(413, "SIZE_INVALID", "too much in one request")
        return True

    def upload_patch(self, repository, session):
        found = self.session(repository, session)
        if not found:
            return
        if self.is_too_large():
            return
        data = self.body()
        self.taken = True
        part = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range",
                                                             ""))
        if self.headers.get("Content-Range") and not part:
            return self.refuse(400, "BLOB_UPLOAD_INVALID", "Content-Range")
        if self.store.chunk_minimum and not part:
            return self.refuse(400, "BLOB_UPLOAD_INVALID",
                               "a chunk without Content-Range")
        if part and (int(part[1]) != len(found.data) or
                     int(part[2]) - int(part[1]) + 1 != len(data)):
            return self.refuse(416, "BLOB_UPLOAD_INVALID",
                               "chunk out of order or of another length")
        found.add(data)
        self.accepted(session)

    def upload_put(self, repository, session):
        found = self.session(repository, session)
        if not found or self.is_too_large():
            return
        data = self.body()
        self.taken = True
        if data:
            found.add(data)
        least = self.store.chunk_minimum or 0
        if any(size < least for size in found.chunks[:-1]):
            return self.refuse(400, "SIZE_INVALID", "a chunk is too small")
        if self.store_blob(repository, found.data):
            del self.store.sessions[session]

    def upload_delete(self, repository, session):
        if self.session(repository, session, must_match=False):
            del self.store.sessions[session]
            self.answer(204)

    def store_blob(self, repository, data):
        wanted = self.query.get("digest")
        self.taken = True
        if wanted != digest(data):
            self.refuse(400, "DIGEST_INVALID", f"{wanted} is {digest(data)}")
            return False
        self.store.blobs[repository, wanted] = data
        self.created(repository, wanted)
        return True

    def created(self, repository, name):
        self.answer(201, b"", {"Location": f"/v2/{repository}/blobs/{name}",
                               "Docker-Content-Digest": name})

    # Manifests

    def manifest_get(self, repository, reference):
        found = self.store.manifests.get((repository, reference))
        if not found:
            return self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, data = found
        if not self.store.any_manifest and not any(
                media_type in line for line in
                self.headers.get_all("Accept", [])):
            return self.refuse(400, "MANIFEST_INVALID",
                               f"{media_type} is not accepted")
        self.answer(200, data, {"Content-Type": media_type,
                                "Docker-Content-Digest": digest(data)})

    manifest_head = manifest_get

    def manifest_put(self, repository, reference):
        data = self.body()
        self.taken = True
        media_type = self.headers.get("Content-Type", "")
        manifest = json.loads(data)
        if manifest.get("mediaType", media_type) != media_type:
            return self.refuse(400, "MANIFEST_INVALID",
                               "Content-Type is not the mediaType")
        for each in [manifest.get("config"), *manifest.get("layers", [])]:
            if each and (repository, each["digest"]) not in self.store.blobs:
                return self.refuse(400, "MANIFEST_BLOB_UNKNOWN", each["digest"])
        for each in manifest.get("manifests", []):
            if (repository, each["digest"]) not in self.store.manifests:
                return self.refuse(400, "MANIFEST_UNKNOWN", each["digest"])
        if reference.startswith("sha256:") and reference != digest(data):
            return self.refuse(400, "DIGEST_INVALID", reference)
        for name in (reference, digest(data)):
            self.store.manifests[repository, name] = (media_type, data)
        headers = {"Location": f"/v2/{repository}/manifests/{reference}",
                   "Docker-Content-Digest": digest(data)}
        if manifest.get("subject") and self.store.has_referrers:
            headers["OCI-Subject"] = manifest["subject"]["digest"]
        self.answer(201, b"", headers)

    def manifest_delete(self, repository, reference):
        gone = self.store.manifests.pop((repository, reference), None)
        self.answer(202 if gone else 404)

    def tags_get(self, repository):
        tags = sorted(name for place, name in self.store.manifests
                      if place == repository and ":" not in name)
        if not tags:
            return self.refuse(404, "NAME_UNKNOWN", repository)
        after = self.query.get("last", "")
        count = min(self.store.page, int(self.query.get("n", 1000)))
        rest = [tag for tag in tags if tag > after]
        headers = {}
        if len(rest) > count:
            last = urllib.parse.quote(rest[count - 1])
            headers["Link"] = (f"</v2/{repository}/tags/list?n={count}"
                               f"&last={last}>; rel=\"next\"")
        self.answer(200, {"name": repository, "tags": rest[:count]}, headers)

    def referrers_get(self, repository, subject):
        if not self.store.has_referrers:
            return self.refuse(404, "UNSUPPORTED", "no referrers here")
        found = []
        for (place, name), (media_type, data) in self.store.manifests.items():
            manifest = json.loads(data)
            if place != repository or ":" not in name or \
                    manifest.get("subject", {}).get("digest") != subject:
                continue
            kind = manifest.get("artifactType") or \
                manifest.get("config", {}).get("mediaType")
            found.append({"mediaType": media_type, "digest": name,
                          "size": len(data), "artifactType": kind,
                          "annotations": manifest.get("annotations", {})})
        wanted = self.query.get("artifactType")
        headers = {"Content-Type": INDEX}
        if wanted:
            found = [each for each in found if each["artifactType"] == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        self.answer(200, json.dumps({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": found}).encode(), headers)
