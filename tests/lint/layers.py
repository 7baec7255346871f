#!/usr/bin/env python3
"""Checks every #include edge against the house's layering.

    cmd -> core -> { net, storage, policy } -> base

The three siblings never include each other. Inside core the runtime
knows neither monitor nor engine, the monitor does not know the engine, build
stands on all of them. Inside storage the store and dockerfile know nobody,
then come tar, job and root; archive, registry and check stand on those and do
not know one another, build stands on all. Helper programs may include what
their room may.
"""
import pathlib
import re
import sys

MAY_INCLUDE = {
    "base": {"base"},
    "policy": {"policy", "base"},
    "storage/store": {"storage/store", "base"},
    "storage/dockerfile": {"storage/dockerfile", "base"},
    "storage/tar": {"storage/tar", "storage/store", "base"},
    "storage/job": {"storage/job", "storage/tar", "storage/store", "base"},
    "storage/root": {"storage/root", "storage/job", "storage/tar",
                     "storage/store", "base"},
    "storage/archive": {"storage/archive", "storage/root", "storage/job",
                        "storage/tar", "storage/store", "storage/dockerfile",
                        "base"},
    "storage/registry": {"storage/registry", "storage/job", "storage/tar",
                         "storage/store", "base"},
    "storage/check": {"storage/check", "storage/job", "storage/tar",
                      "storage/store", "base"},
    "storage/build": {"storage", "base"},
    "storage": {"storage", "base"},
    "net": {"net", "base"},
    "core/runtime": {"core/runtime", "net", "storage", "policy", "base"},
    "core/monitor": {"core/monitor", "core/runtime", "net", "storage",
                     "policy", "base"},
    "core/engine": {"core/engine", "core/monitor", "core/runtime", "net",
                    "storage", "policy", "base"},
    "core/build": {"core/build", "core/engine", "core/monitor",
                   "core/runtime", "net", "storage", "policy", "base"},
    "cmd": {"cmd", "core/build", "core/engine", "core/monitor", "net",
            "storage", "policy", "base"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


SPLIT = {"core", "storage"}


def room(path):
    parts = path.split("/")
    if parts[0] in SPLIT and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def may_include(own, target):
    """A room that may include "storage" may include all of its rooms."""
    return target in MAY_INCLUDE[own] or target.split("/")[0] in MAY_INCLUDE[own]


def main(top):
    problems = []
    for file in sorted(top.rglob("*.[ch]")):
        name = file.relative_to(top).as_posix()
        own = room(name)
        if own not in MAY_INCLUDE:
            continue
        text = file.read_text()
        for target in INCLUDE.findall(text):
            if "/" not in target:
                problems.append(f'{name}: "{target}" is not named from the root')
            elif not may_include(own, room(target)):
                problems.append(f"{name}: {own} must not include {target}")
        if name.endswith(".h") and "#pragma once" not in text:
            problems.append(f"{name}: no #pragma once")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
