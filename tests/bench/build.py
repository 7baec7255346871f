#!/usr/bin/env python3
"""Builds: five small RUN steps, moss against podman and buildah, in one run.

    MOSS_BUILD=build tests/bench/build.py [ROUNDS]

The Dockerfile begins with an image that is there and runs five commands that
each write a file; every tool makes a layer of each and puts the image into its
store. "cold" does all of them anew (--no-cache), "cached" finds all of them
done. The steps have no network, but for the row that says so. Each row runs
once a round, the rounds interleave. Peers that are not installed, or cannot
build here, are left out.

Wanted: cold at most 0.2 of podman's time, cached at most 0.15.
"""
import shutil
import sys

import harness
from harness import IMAGE, quiet

STEPS = 5


def context(work):
    directory = work / "context"
    directory.mkdir()
    steps = "".join(f"RUN echo {number} > /{number}\n"
                    for number in range(STEPS))
    (directory / "Dockerfile").write_text(f"FROM {IMAGE}\n{steps}")
    return directory


def builders(work):
    """Name -> a command that builds, without its options and the context."""
    found = {name: [*command, "build"]
             for name, command in harness.engines(work).items()}
    if "podman" in found and shutil.which("buildah"):
        store = [word for word in harness.podman(work)[1:]
                 if word not in ("--cgroup-manager", "cgroupfs",
                                 "--events-backend", "none")]
        found["buildah"] = ["buildah", *store, "build", "--layers"]
    return found


def rows(work):
    directory = str(context(work))
    cold, cached = {}, {}
    for name, command in builders(work).items():
        options = ["-q", "-t", "built", "--network", "none", directory]
        if quiet([*command, *options]) != 0:
            print(f"{name} cannot build here")
            continue
        cold[name] = [*command, "--no-cache", *options]
        cached[name] = [*command, *options]
        if name == "moss":
            cold["moss, with a network"] = [*command, "--no-cache", "-q",
                                            directory]
    return cold, cached


def main(count):
    with harness.workplace() as work:
        cold, cached = rows(work)
        times = harness.rounds(
            {**{f"{name} cold": row for name, row in cold.items()},
             **{f"{name} cached": row for name, row in cached.items()}}, count)
        for kind, names in (("cold", cold), ("cached", cached)):
            base = "podman" if "podman" in names else "moss"
            harness.report(f"{STEPS} RUN steps, {kind}",
                           {name: times[f"{name} {kind}"] for name in names},
                           base)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
