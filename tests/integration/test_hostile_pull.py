"""The hostile images of hostile_images.py, sent by a registry."""
import hashlib

import pytest

import hostile_images
import hostile_tar
from hostile_images import Image
from test_hostile_images import layers, one_line, store_state, tree, victim

# What an index.json says, and a registry does not.
LAYOUT_ONLY = ("index: the name", "index: empty", "index: very many",
               "index: over 4 MiB", "manifest: wrong size", "manifest: size",
               "manifest: missing", "manifest: no digest",
               "manifest: empty digest", "manifest: digest",
               "manifest: unknown algorithm", "manifest: a number",
               "manifest: wrong digest", "index: in a circle")
DOCUMENTS = {name: rest for name, *rest in hostile_images.document_rows()
             if not name.startswith(LAYOUT_ONLY)}


def serve(tiny, image, repository="hostile"):
    content = image.registry()
    for digest, data in content["blobs"].items():
        tiny.blobs[repository, digest] = data
    for name, manifest in content["manifests"].items():
        tiny.manifests[repository, name] = manifest
    # What is no manifest is sent as one all the same.
    if (repository, "latest") not in tiny.manifests:
        top = image.top
        tiny.manifests[repository, "latest"] = (
            top["mediaType"], image.blobs.get(top["digest"], b""))
    return tiny.name(f"{repository}:latest")


def refused(moss, name, before):
    result = moss("pull", "-q", name, timeout=120)
    if result.code == 0:
        moss("rmi", "-f", name)
    assert result.code == 1 and result.out == "", result
    assert store_state(moss) == before
    return one_line(result)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document(moss, tiny, name):
    image, _ = DOCUMENTS[name]
    reference = serve(tiny, image)
    message = refused(moss, reference, store_state(moss))
    assert "hostile" in message, message
    if name.startswith("layer: ") and "application" not in name:
        assert "layer 1" in message or "layers[0]" in message, message


# One of a kind: the parser is the same for all ways an image comes.
LAYERS = ["dotdot", "absolute and dotdot", "NUL in pax", "hard link outwards",
          "whiteout .wh..", "below a whiteout", "too deep", "size: negative",
          "checksum: wrong", "cut: in a file", "very many devices",
          "sparse: pieces overlap"]


@pytest.mark.parametrize("name", LAYERS)
def test_layer(moss, tiny, layers, name):
    data, expected = layers[name]
    reference = serve(tiny, Image([data]))
    message = refused(moss, reference, store_state(moss))
    assert "layer 1" in message and expected.text in message
    if expected.entry is not None:
        assert f'"{expected.entry}' in message


@pytest.mark.parametrize("name", ["through an absolute link",
                                  "a directory becomes a link",
                                  "a forged whiteout", "forged marks"])
def test_harmless_layer(moss, tiny, layers, name):
    data, expected = layers[name]
    reference = serve(tiny, Image([data]))
    moss.ok("pull", "-q", reference)
    hex = hashlib.sha256(data).hexdigest()
    assert tree(moss.root / "layers" / hex / "diff") == expected.tree
    moss.ok("system", "check", "-q")
    moss.ok("rmi", reference)


@pytest.mark.parametrize("compression", hostile_images.COMPRESSORS)
def test_bomb(moss, tiny, tmp_path, compression):
    conf = tmp_path / "moss.conf"
    conf.write_text("[limits]\nunpack-floor = 64m\nunpack-ratio = 100\n")
    packed = hostile_images.bomb(compression, 1 << 29)
    reference = serve(tiny, Image([hostile_images.HONEST], [packed]))
    small = moss.with_env(MOSS_CONFIG=str(conf))
    message = refused(small, reference, store_state(moss))
    assert "100 times" in message


def test_blob_that_does_not_end(moss, tiny):
    """The size is the descriptor's: more is not even read."""
    image = Image().seal()
    digest = image.manifest["layers"][0]["digest"]
    reference = serve(tiny, image)
    tiny.blobs["hostile", digest] = hostile_images.HONEST + bytes(50 << 20)
    message = refused(moss, reference, store_state(moss))
    assert "layer 1" in message
