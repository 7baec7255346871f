#!/usr/bin/env python3
"""The scan of a build's context against podman: 10,000 files, 100 MB.

    MOSS_BUILD=build tests/bench/build_context.py [ROUNDS] [FILES]

Rows: nothing has changed (all is cached, what counts is how fast that is
known); the same with .dockerignore of some rules, which leaves nothing out;
one file has changed, which makes the layer anew. And `cold`, without moss's
stat cache: every file is read. Beside them what moss build takes for a context
of one file: the difference is the scan.
"""
import hashlib
import os
import pathlib
import shutil
import sys

from harness import build, podman, report, rounds, workplace

SIZE = 10 << 10
RULES = "*.o\n**/*.pyc\n**/node_modules\n!0/keep.pyc\n.git\n"


def fill(path, files):
    """FILES files, a hundred a directory, three levels deep."""
    for number in range(files):
        directory = path / str(number // 1000) / str(number // 100)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number % 100}.c").write_bytes(os.urandom(SIZE))
    (path / "Dockerfile").write_text("FROM scratch\nCOPY . /src\n")
    return path


def change(context):
    (context / "0/0/file0.c").write_bytes(os.urandom(SIZE))


def forget(work, context):
    """Removes what the stat cache (storage/build/stat_cache.h) has of it."""
    stat = context.stat()
    name = hashlib.sha256(f"{stat.st_dev}:{stat.st_ino}:{context}".encode())
    (work / "moss/build/stat" / name.hexdigest()).unlink(missing_ok=True)


def rows(work, count):
    one = fill(work / "one", 1)
    ruled = fill(work / "ruled", count)
    (ruled / ".dockerignore").write_text(RULES)
    cold = fill(work / "cold", count)
    engines = {"moss": [str(build() / "moss"), "build", "-q"]}
    if shutil.which("podman"):
        engines["podman"] = [*podman(work), "build", "-q", "--layers"]
    found = {}
    for name, command in engines.items():
        # Each its own, as the changes are made for one of them.
        context = fill(work / f"context-{name}", count)
        found[f"{name}: one file"] = [*command, str(one)]
        found[f"{name}: nothing changed"] = [*command, str(context)]
        found[f"{name}: with .dockerignore"] = [*command, str(ruled)]
        found[f"{name}: one changed"] = (lambda context=context: change(context),
                                         [*command, str(context)])
    found["moss: cold"] = (lambda: forget(work, cold),
                           [*engines["moss"], str(cold)])
    return found


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    with workplace() as work:
        times = rounds(rows(pathlib.Path(work), files), count)
        report(f"context of {files} files, {files * SIZE >> 20} MB", times,
               "moss: nothing changed")


if __name__ == "__main__":
    main()
