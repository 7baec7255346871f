"""Hostile layers: tar archives that no honest tool writes, one row a hostility.

The blocks are made by hand, byte by byte; Python's tarfile would not write
most of them. A row is a name, the layer and what is to become of it:

    Refused(text, entry)  the layer is refused; the message says `text` and
                          names `entry` where one is to blame
    Safe(tree)            it is unpacked, and this is all that is there:
                          {path: "d" | "f:content" | "l:target" | …}

`victim` is a directory outside of the store that the layers aim at.
"""
import struct

BLOCK = 512
NAME_MAX = 100


class Refused:
    def __init__(self, text, entry=None):
        self.text = text
        self.entry = entry


class Safe:
    def __init__(self, tree):
        self.tree = tree


def octal(value, width):
    return b"%0*o\0" % (width - 1, value)


def base256(value, width):
    """GNU's binary numbers, of any sign."""
    raw = value.to_bytes(width, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def header(name, kind=b"0", size=0, link=b"", mode=0o644, uid=0, gid=0,
           mtime=0, major=0, minor=0, magic=b"ustar\00000", checksum=None,
           **raw):
    """One block. raw: field=bytes that stand as they are."""
    fields = {
        "name": (name[:NAME_MAX], 100), "mode": (octal(mode, 8), 8),
        "uid": (octal(uid, 8), 8), "gid": (octal(gid, 8), 8),
        "size": (octal(size, 12), 12), "mtime": (octal(mtime, 12), 12),
        "checksum": (b" " * 8, 8), "kind": (kind, 1),
        "link": (link[:NAME_MAX], 100), "magic": (magic, 8),
        "uname": (b"", 32), "gname": (b"", 32),
        "major": (octal(major, 8), 8), "minor": (octal(minor, 8), 8),
        "prefix": (b"", 155), "pad": (b"", 12),
    }
    block = b""
    for field, (value, width) in fields.items():
        block += raw.get(field, value)[:width].ljust(width, b"\0")
    if checksum is None:
        checksum = b"%06o\0 " % sum(block)
    return block[:148] + checksum.ljust(8, b"\0") + block[156:]


MODE, UID, SIZE = (100, 8), (108, 8), (124, 12)


def sealed(block):
    """The block with the checksum that it should have."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def field(name, where, value):
    """A header with one field as given."""
    at, width = where
    block = bytearray(header(name))
    block[at:at + width] = value.ljust(width, b"\0")
    return sealed(block)


def padded(data):
    return data + b"\0" * (-len(data) % BLOCK)


def entry(name, data=b"", kind=b"0", **fields):
    fields.setdefault("size", len(data))
    return header(name, kind, **fields) + padded(data)


def directory(name, **fields):
    fields.setdefault("mode", 0o755)
    return entry(name.rstrip(b"/") + b"/", kind=b"5", **fields)


def symlink(name, target):
    return entry(name, kind=b"2", link=target)


def hardlink(name, target):
    return entry(name, kind=b"1", link=target)


def record(key, value):
    text = b" " + key + b"=" + value + b"\n"
    length = len(text) + 1
    while len(b"%d" % length) + len(text) != length:
        length += 1
    return b"%d" % length + text


def pax(records, kind=b"x"):
    """records: a dict, or bytes that stand as they are."""
    if isinstance(records, dict):
        records = b"".join(record(k, v) for k, v in records.items())
    return entry(b"PaxHeaders/x", records, kind)


def gnu_long(name, kind=b"L"):
    return entry(b"././@LongLink", name + b"\0", kind)


def layer(*parts, end=b"\0" * (2 * BLOCK)):
    return b"".join(parts) + end


def old_sparse(name, real_size, pairs, data=b"", extended=0):
    """GNU's old form: the map lies in the header."""
    numbers = b"".join(base256(a, 12) + base256(b, 12) for a, b in pairs)
    block = bytearray(header(name, b"S", size=len(data), magic=b"ustar  \0"))
    block[386:386 + 96] = numbers.ljust(96, b"\0")
    block[482] = extended
    block[483:495] = base256(real_size, 12)
    return sealed(block) + padded(data)


def sparse_10(name, real_size, text, data=b""):
    """Format 1.0: the map is the first blocks of the data."""
    body = padded(text) + data
    return pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
                b"GNU.sparse.name": name,
                b"GNU.sparse.realsize": b"%d" % real_size}) + \
        entry(b"GNUSparseFile.0/x", body)


def paths(victim):
    yield "dotdot", layer(entry(b"../escape")), \
        Refused("leads out of the layer", "../escape")
    yield "dotdot in the middle", layer(entry(b"a/../../escape")), \
        Refused("leads out of the layer", "a/../../escape")
    yield "absolute and dotdot", layer(entry(b"/../escape")), \
        Refused("leads out of the layer", "/../escape")
    yield "dotdot in pax", layer(pax({b"path": b"../escape"}), entry(b"x")), \
        Refused("leads out of the layer", "../escape")
    yield "dotdot in GNU's long name", \
        layer(gnu_long(b"x/../../escape"), entry(b"x")), \
        Refused("leads out of the layer", "x/../../escape")
    yield "dotdot in a prefix", layer(entry(b"escape", prefix=b"..")), \
        Refused("leads out of the layer", "../escape")
    yield "absolute", layer(entry(b"/abs/file", b"x")), \
        Safe({"abs": "d", "abs/file": "f:x"})
    yield "untidy", layer(entry(b"./a/.//b/../c/", kind=b"5")), \
        Safe({"a": "d", "a/c": "d"})
    yield "no name", layer(entry(b"")), Refused("the name is empty", "")
    yield "root is a file", layer(entry(b".", b"x")), \
        Refused("the root is no directory", ".")
    yield "root is a link", layer(symlink(b".", victim)), \
        Refused("the root is no directory", ".")
    yield "NUL in pax", layer(pax({b"path": b"a\0b"}), entry(b"x")), \
        Refused("malformed extended header")
    yield "NUL in GNU's long name", layer(gnu_long(b"a\0b"), entry(b"x")), \
        Refused("NUL in a name")
    yield "name too long", layer(gnu_long(b"x/" * 2500), entry(b"x")), \
        Refused("name is too long")
    yield "component too long", \
        layer(pax({b"path": b"c" * 256}), entry(b"x")), \
        Refused("the name is too long", "c" * 100)
    yield "too deep", layer(pax({b"path": b"d/" * 1500 + b"f"}), entry(b"x")), \
        Refused("too many directories deep", "d/d/d")
    yield "deep", layer(pax({b"path": b"d/" * 1000 + b"f"}), entry(b"x")), \
        Safe({"/".join("d" * n): "d" for n in range(1, 1001)} |
             {"d/" * 1000 + "f": "f:"})
    yield "newline", layer(entry(b"a\nmoss: all is well", b"x")), \
        Safe({"a\nmoss: all is well": "f:x"})
    yield "newline in what is refused", layer(entry(b"../a\nmoss: fine")), \
        Refused("leads out of the layer", "../a moss: fine")
    yield "escape sequence in what is refused", \
        layer(entry(b"../\x1b[2J\x1b]0;x\x07")), \
        Refused("leads out of the layer", "../?[2J?]0;x?")
    yield "options", layer(entry(b"-rf"), entry(b"--help"), entry(b"-")), \
        Safe({"-rf": "f:", "--help": "f:", "-": "f:"})
    yield "no UTF-8", layer(entry(b"\xff\xfe")), \
        Safe({b"\xff\xfe".decode(errors="surrogateescape"): "f:"})
    yield "below a file", layer(entry(b"f", b"x"), entry(b"f/g")), \
        Refused("ot a directory", "f/g")


def links(victim):
    inside = victim.lstrip(b"/").decode()
    up = {inside.rsplit("/", n)[0]: "d" for n in range(inside.count("/") + 1)}
    yield "through an absolute link", \
        layer(symlink(b"l", victim), entry(b"l/escape", b"x")), \
        Safe({**up, inside + "/escape": "f:x", "l": "l:" + victim.decode()})
    yield "through a link upwards", \
        layer(symlink(b"l", b"../../../.."), entry(b"l/escape", b"x")), \
        Safe({"l": "l:../../../..", "escape": "f:x"})
    yield "through /proc", \
        layer(symlink(b"l", b"/proc/self/root"), entry(b"l/escape", b"x")), \
        Safe({"l": "l:/proc/self/root", "proc": "d", "proc/self": "d",
              "proc/self/root": "d", "proc/self/root/escape": "f:x"})
    deep = b"d/" * 1000
    chain = [pax({b"path": deep + b"f"}) + entry(b"x"),
             pax({b"linkpath": deep}) + symlink(b"l0", b"x")]
    for i in range(4):
        chain += [pax({b"path": b"l%d/%sf" % (i, deep)}) + entry(b"x"),
                  pax({b"linkpath": b"l%d/%s" % (i, deep)}) +
                  symlink(b"l%d" % (i + 1), b"x")]
    yield "deeper from link to link", layer(*chain), \
        Refused("leads too many directories deep", "l1/d/d/")
    yield "deeper by an opaque mark", \
        layer(*chain[:3], pax({b"linkpath": b"l0/" + deep + deep[:200]}) +
              symlink(b"m", b"x"), entry(b"m/.wh..wh..opq")), \
        Refused("leads too many directories deep", "m")
    yield "a directory becomes a link", \
        layer(directory(b"d"), entry(b"d/a", b"x"), symlink(b"d", victim),
              entry(b"d/b", b"y")), \
        Safe({**up, "d": "l:" + victim.decode(), inside + "/b": "f:y"})
    yield "a link becomes a directory", \
        layer(symlink(b"d", victim), directory(b"d"), entry(b"d/b", b"y")), \
        Safe({"d": "d", "d/b": "f:y"})
    yield "links in a circle", \
        layer(symlink(b"a", b"b"), symlink(b"b", b"a"), entry(b"a/x")), \
        Refused("", "a/x")
    yield "a file in place of a link", \
        layer(symlink(b"l", victim + b"/secret"), entry(b"l", b"x")), \
        Safe({"l": "f:x"})
    yield "hard link to the host", layer(hardlink(b"h", b"/etc/passwd")), \
        Refused("which is not in the layer", "h")
    yield "hard link outwards", layer(hardlink(b"h", b"../../etc/passwd")), \
        Refused("leads out of the layer", "h")
    yield "hard link through a link", \
        layer(symlink(b"l", victim), hardlink(b"h", b"l/secret")), \
        Refused("which is not in the layer", "h")
    yield "a file over a hard link to a link", \
        layer(symlink(b"l", victim + b"/secret"), hardlink(b"h", b"l"),
              entry(b"h", b"x")), \
        Safe({"l": "l:" + victim.decode() + "/secret", "h": "f:x"})
    yield "a file over a hard link", \
        layer(entry(b"a", b"1"), hardlink(b"b", b"a"), entry(b"b", b"2")), \
        Safe({"a": "f:1", "b": "f:2"})
    yield "hard link to itself", \
        layer(entry(b"a", b"1"), hardlink(b"a", b"./a")), Safe({"a": "f:1"})
    yield "hard link to itself that is not there", \
        layer(hardlink(b"a", b"a")), Refused("which is not in the layer", "a")
    yield "hard link to a directory", \
        layer(directory(b"d"), hardlink(b"h", b"d")), Refused("", "h")
    yield "hard link to the root", layer(hardlink(b"h", b"/")), \
        Refused("", "h")
    yield "link to nothing", layer(symlink(b"l", b"")), Refused("", "l")
    yield "NUL in a link", \
        layer(pax({b"linkpath": b"a\0b"}), symlink(b"l", b"x")), \
        Refused("malformed extended header")
    yield "link too long", \
        layer(pax({b"linkpath": b"x/" * 2500}), symlink(b"l", b"x")), \
        Refused("extended header beyond a limit")


def marks(victim):
    inside = victim.lstrip(b"/").decode()
    up = {inside.rsplit("/", n)[0]: "d" for n in range(inside.count("/") + 1)}
    for name in (b".wh.", b".wh..", b".wh...", b"a/.wh.", b"a/.wh..",
                 b"a/.wh...", b"/.wh.."):
        yield f"whiteout {name.decode()}", layer(entry(name)), \
            Refused("a whiteout of nothing", name.decode())
    yield "whiteout of its own parent", \
        layer(directory(b"d"), entry(b"d/f", b"x"), entry(b".wh.d")), \
        Safe({"d": "d opaque", "d/f": "f:x"})
    yield "whiteout, then what it names", \
        layer(entry(b".wh.d"), entry(b"d/f", b"x")), \
        Safe({"d": "d opaque", "d/f": "f:x"})
    yield "whiteout twice", layer(entry(b".wh.d"), entry(b".wh.d")), \
        Safe({"d": "whiteout"})
    yield "whiteout as a directory", layer(directory(b".wh.d")), \
        Safe({"d": "whiteout"})
    yield "below a whiteout", layer(entry(b".wh.d/f", b"x")), \
        Refused("below a whiteout", ".wh.d/f")
    yield "opaque root", layer(entry(b".wh..wh..opq"), entry(b"f", b"x")), \
        Safe({"": "d opaque", "f": "f:x"})
    yield "opaque through a link", \
        layer(symlink(b"l", victim), entry(b"l/.wh..wh..opq")), \
        Safe({**up, inside: "d opaque", "l": "l:" + victim.decode()})
    yield "opaque file", layer(entry(b"f"), entry(b"f/.wh..wh..opq")), \
        Refused("", "f")
    yield "aufs's own", \
        layer(directory(b".wh..wh.plnk"), entry(b".wh..wh.plnk/1"),
              entry(b".wh..wh.aufs"), entry(b"f")), Safe({"f": "f:"})
    yield "a forged whiteout", \
        layer(entry(b"etc", kind=b"3", major=0, minor=0)), \
        Safe({"etc": "f:"})
    yield "forged marks", \
        layer(pax({b"SCHILY.xattr." + name: b"y" for name in
                   (b"user.overlay.opaque", b"user.overlay.whiteout",
                    b"user.overlay.redirect", b"user.overlay.metacopy",
                    b"user.overlay.origin", b"trusted.overlay.opaque",
                    b"user.fuseoverlayfs.opaque",
                    b"user.containers.override_stat", b"user.moss.x")}),
              directory(b"d")), \
        Safe({"d": "d"})


def repeated(victim):
    yield "a file twice", layer(entry(b"f", b"1"), entry(b"f", b"2")), \
        Safe({"f": "f:2"})
    yield "a file becomes a directory", \
        layer(entry(b"f", b"1"), directory(b"f"), entry(b"f/g", b"2")), \
        Safe({"f": "d", "f/g": "f:2"})
    yield "a directory becomes a file", \
        layer(directory(b"f"), entry(b"f/g", b"2"), entry(b"f", b"1")), \
        Safe({"f": "f:1"})
    yield "one name very often", layer(entry(b"f", b"x") * 20000), \
        Safe({"f": "f:x"})
    yield "a tree and a file in turn", \
        layer((directory(b"t") + entry(b"t/" + b"d/" * 40 + b"f") +
               entry(b"t")) * 500), \
        Safe({"t": "f:"})


def extensions(victim):
    file = entry(b"x", b"x")
    for what, records in {
            "negative size": {b"size": b"-1"},
            "size in hex": {b"size": b"0x10"},
            "size with blanks": {b"size": b" 1"},
            "size beyond 64 bits": {b"size": b"9" * 30},
            "nonsense for a time": {b"mtime": b"now"},
            "nonsense for an ID": {b"uid": b"root"},
            "length of nothing": b"0 a=b\n",
            "length too short": b"5 a=b\n",
            "length too long": b"99 a=b\n",
            "negative length": b"-6 a=b\n",
            "length beyond 64 bits": b"9" * 25 + b" a=b\n",
            "no newline": b"6 a=bc",
            "no key": b"5 =b\n",
            "no value": b"5 ab\n",
            "NUL in a key": b"7 a\0=b\n",
            "sparse size is negative": {b"GNU.sparse.size": b"-1"},
            "half a sparse pair": {b"GNU.sparse.size": b"1",
                                   b"GNU.sparse.numbytes": b"1"},
            "an odd sparse map": {b"GNU.sparse.size": b"1",
                                  b"GNU.sparse.map": b"0,1,2"},
            "a future sparse format": {b"GNU.sparse.major": b"2"},
            "xattr in bad base64": {b"LIBARCHIVE.xattr.user.x": b"!"},
    }.items():
        yield "pax: " + what, layer(pax(records), file), \
            Refused("malformed extended header")
    yield "pax: size of the file is a lie", \
        layer(pax({b"size": b"%d" % (1 << 40)}), file), \
        Refused("truncated", "x")
    yield "pax: a file beyond all bounds", \
        layer(pax({b"size": b"%d" % (1 << 60)}), file), \
        Refused("file is too large", "x")
    yield "pax: larger than allowed", layer(pax(b"x" * (2 << 20)), file), \
        Refused("extended header is too large")
    yield "pax: too many xattrs", \
        layer(pax({b"SCHILY.xattr.user.%d" % i: b"" for i in range(200)}),
              file), Refused("extended header beyond a limit")
    yield "pax: xattr too large", \
        layer(pax({b"SCHILY.xattr.user.x": b"x" * 70000}), file), \
        Refused("extended header beyond a limit")
    yield "pax: xattr without a name", \
        layer(pax({b"SCHILY.xattr.": b"x"}), file), \
        Refused("extended header beyond a limit")
    yield "pax: header after header, the second counts", \
        layer(pax({b"size": b"9999"}), pax({b"path": b"b"}), file), \
        Safe({"b": "f:x"})
    yield "pax: path after path", \
        layer(pax({b"path": b"../a"}), pax({b"path": b"b"}), file), \
        Safe({"b": "f:x"})
    yield "pax: very many headers", \
        layer(pax({b"path": b"a"}) * 20000, file), Safe({"a": "f:x"})
    yield "pax: nothing follows", layer(pax({b"path": b"a"})), \
        Refused("truncated")
    yield "global path and size", \
        layer(pax({b"path": b"../x", b"size": b"0"}, b"g"), file), \
        Safe({"x": "f:x"})
    yield "global xattrs", \
        layer(pax({b"SCHILY.xattr.user.overlay.opaque": b"y"}, b"g"),
              directory(b"d")), Safe({"d": "d"})
    yield "global nonsense", layer(pax(b"x", b"g"), file), \
        Refused("malformed extended header")
    yield "GNU: long name of nothing", \
        layer(entry(b"L", b"", b"L"), entry(b"x")), Safe({"x": "f:"})
    yield "GNU: long name too long", \
        layer(entry(b"L", b"a" * (1 << 20), b"L"), file), \
        Refused("name is too long")
    yield "GNU: nothing follows a long name", layer(gnu_long(b"a")), \
        Refused("truncated")


def sparse(victim):
    huge = 1 << 50
    yield "sparse: beyond the file", \
        layer(old_sparse(b"s", 10, [(0, 512)], b"x" * 512)), \
        Refused("invalid sparse map", "s")
    yield "sparse: backwards", \
        layer(old_sparse(b"s", 4096, [(512, 512), (0, 512)], b"x" * 1024)), \
        Refused("invalid sparse map", "s")
    yield "sparse: pieces overlap", \
        layer(old_sparse(b"s", 4096, [(0, 1024), (512, 512)], b"x" * 1536)), \
        Refused("invalid sparse map", "s")
    yield "sparse: more than there is", \
        layer(old_sparse(b"s", 4096, [(0, 4096)], b"x" * 512)), \
        Refused("invalid sparse map", "s")
    yield "sparse: endless maps", \
        layer(old_sparse(b"s", 4096, [(0, 1)] * 4, b"x" * 4, extended=1),
              end=b"0" * 100000), Refused("", "s")
    yield "sparse: a negative size", \
        layer(old_sparse(b"s", -5, [(0, 1)], b"x")), \
        Refused("invalid sparse size", "s")
    yield "sparse: a file beyond all bounds", \
        layer(old_sparse(b"s", huge, [(0, 1)], b"x")), \
        Refused("file is too large", "s")
    yield "sparse 1.0: no map", \
        layer(sparse_10(b"s", 10, b"")), Refused("invalid sparse map", "s")
    yield "sparse 1.0: very many pieces", \
        layer(sparse_10(b"s", 10, b"99999999\n")), \
        Refused("sparse map beyond the limit", "s")
    yield "sparse 1.0: a number without an end", \
        layer(sparse_10(b"s", 10, b"1" * 512)), \
        Refused("invalid sparse map", "s")
    yield "sparse 1.0: a negative number", \
        layer(sparse_10(b"s", 10, b"1\n-1\n1\n", b"x" * 512)), \
        Refused("invalid sparse map", "s")
    yield "sparse 1.0: more than its data", \
        layer(sparse_10(b"s", 10000, b"1\n0\n9999\n", b"x" * 512)), \
        Refused("invalid sparse map", "s")
    yield "sparse 0.1: no size", \
        layer(pax({b"GNU.sparse.map": b"0,1"}), entry(b"s", b"x")), \
        Refused("invalid sparse size", "s")
    yield "sparse: a name of its own", \
        layer(pax({b"GNU.sparse.size": b"1", b"GNU.sparse.map": b"0,1",
                   b"GNU.sparse.name": b"../escape"}), entry(b"s", b"x")), \
        Refused("leads out of the layer", "../escape")


def numbers(victim):
    yield "size: negative", layer(field(b"f", SIZE, base256(-1, 12))), \
        Refused("invalid size")
    yield "size: beyond all bounds", \
        layer(field(b"f", SIZE, base256(1 << 62, 12))), \
        Refused("file is too large", "f")
    yield "size: beyond 64 bits", \
        layer(field(b"f", SIZE, b"\x80" + b"\xff" * 11)), \
        Refused("invalid size")
    yield "size: no number", layer(field(b"f", SIZE, b"12x4")), \
        Refused("invalid size")
    yield "mode: no number", layer(field(b"f", MODE, b"rwx")), \
        Refused("invalid number", "f")
    yield "IDs: negative", \
        layer(field(b"f", UID, base256(-2, 8))), Safe({"f": "f:"})
    yield "size of a link", \
        layer(header(b"l", b"2", size=1 << 30, link=b"x"), entry(b"f")), \
        Safe({"l": "l:x", "f": "f:"})
    yield "checksum: none", \
        layer(entry(b"a"), header(b"b", checksum=b"")), \
        Refused("damaged header")
    yield "checksum: wrong", \
        layer(entry(b"a"), header(b"b", checksum=b"000001\0 ")), \
        Refused("damaged header")
    yield "checksum: wrong in the first header", \
        layer(header(b"b", checksum=b"000001\0 ")), \
        Refused("not a tar archive")
    yield "type: unknown", layer(entry(b"f", kind=b"Q")), \
        Refused("unknown type of entry", "f")
    yield "type: of many volumes", layer(entry(b"f", kind=b"M")), \
        Refused("multi-volume", "f")
    yield "type: no ASCII", layer(entry(b"f", kind=b"\xff")), \
        Refused("unknown type of entry", "f")


def truncated(victim):
    whole = layer(directory(b"d"), pax({b"path": b"long/name"}),
                  entry(b"f", b"x" * 1000))
    for what, at, text in (
            ("in the first header", 100, "not a tar archive"),
            ("in an extended header", 512 + 256, "truncated"),
            ("in its records", 2 * 512 + 5, "truncated"),
            ("in the header of a file", 3 * 512 + 100, "truncated"),
            ("in a file", 4 * 512 + 700, "truncated"),
            ("in the padding", 4 * 512 + 1010, "truncated")):
        yield f"cut: {what}", whole[:at], Refused(text)
    yield "cut: nothing at all", b"", Refused("empty input")
    yield "no end", layer(entry(b"f", b"x"), end=b""), Safe({"f": "f:x"})
    yield "something after the end", \
        layer(entry(b"f", b"x")) + entry(b"g", b"y"), Safe({"f": "f:x"})


def special(victim):
    yield "a disk", layer(entry(b"sda", kind=b"4", major=8, minor=0)), \
        Safe({"sda": "f:"})
    yield "memory", layer(entry(b"mem", kind=b"3", major=1, minor=1)), \
        Safe({"mem": "f:"})
    yield "very many devices", \
        layer(*(entry(b"%d" % i, kind=b"3", major=1, minor=3)
                for i in range(5000))), Refused("too many device nodes")
    yield "a pipe", layer(entry(b"p", kind=b"6")), Safe({"p": "p"})
    yield "a set-user-ID program", layer(entry(b"su", b"x", mode=0o4755)), \
        Safe({"su": "f:x mode 4755"})
    yield "capabilities", \
        layer(pax({b"SCHILY.xattr.security.capability":
                   struct.pack("<5I", 0x02000001, 0xffffffff, 0,
                               0xffffffff, 0)}), entry(b"cap", b"x")), \
        Safe({"cap": "f:x"})
    yield "capabilities of nonsense", \
        layer(pax({b"SCHILY.xattr.security.capability": b"nonsense"}),
              entry(b"cap", b"x")), Safe({"cap": "f:x"})
    yield "others' xattrs", \
        layer(pax({b"SCHILY.xattr." + name: b"x" for name in
                   (b"security.selinux", b"security.ima", b"trusted.x",
                    b"system.posix_acl_access", b"nonsense")}),
              entry(b"f", b"x")), Safe({"f": "f:x"})


def rows(victim):
    """(name, layer, expected) of all of them."""
    for group in (paths, links, marks, repeated, extensions, sparse, numbers,
                  truncated, special):
        yield from group(victim)
