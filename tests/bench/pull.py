#!/usr/bin/env python3
"""Images: pull, push, load and save against podman, skopeo and the floor.

    MOSS_BUILD=build tests/bench/pull.py [ROUNDS] [ROW...]

An image of four layers, some 350 MB unpacked, made of the machine's own files
(compiler, Python, Perl, headers), in a docker-registry on loopback. Each row
runs once a round, the rounds interleave, so that whatever else the machine does
hits all of them; before each, all that is dirty is written out, so that none
pays for another's writing. The floor is what there is without a store and
without a check: curl | igzip -d | tar -x, all layers at once, as root of a user
namespace. A push goes to a registry that is empty.

Printed: median wall time, 10th and 90th percentile, CPU time of the whole tree
(the registry's is not in it), the ratio to podman's row and, for what unpacks,
to the floor. Then, from one more run of each of moss's rows, the most memory
that one of its processes had. Peers that are not installed are left out.
"""
import ctypes
import gzip
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import threading

import harness
from harness import quiet
from startup import PR_SET_CHILD_SUBREAPER, run_once

import oci
import registry

NAME = "bench:1"
SOURCES = [  # layers, lowest first; what is not there is left out
    ["/usr/bin/perl", "/usr/bin/bash"],
    ["/usr/lib/gcc"],
    ["/usr/lib/python3", "/usr/lib/python3.11", "/usr/lib/python3.13"],
    ["/usr/share/perl", "/usr/share/zoneinfo", "/usr/include/c++"],
]


class Layer(oci.Layer):
    """Packed as the tools of the field do it."""
    def __init__(self, tar):
        self.tar, self.diff_id = tar, oci.digest(tar)
        oci.Blob.__init__(self, gzip.compress(tar, 6, mtime=0),
                          oci.LAYER["gzip"])


class Bench:
    def __init__(self, build, work):
        self.moss, self.work = str(build / "moss"), work
        self.registry = registry.Registry(work / "registry")
        self.empty = None  # the registry that is pushed to
        self.reference = self.registry.name(NAME)
        self.image = oci.Image([Layer(tar) for tar in tars(work)])
        self.registry.client.put(NAME, self.image)
        # For load: what docker and podman save, layers unpacked.
        self.archive = work / "docker.tar"
        oci.docker_archive(self.archive, {self.reference: self.image})
        for layer in self.image.layers:
            layer.tar = None
        self.number = 0
        self.here = None  # of this run
        # What is pushed and saved comes from one store.
        self.kept = work / "kept"
        self.kept.mkdir()
        quiet(self.moss_in(self.kept, "load", "-i", self.archive))
        if shutil.which("podman"):
            quiet(self.podman_in(self.kept, "load", "-i", self.archive))

    def stop(self):
        self.registry.stop()
        if self.empty:
            self.empty.stop()

    def moss_in(self, directory, *args):
        return ["env", f"MOSS_ROOT={directory}/moss", self.moss,
                *map(str, args)]

    def podman_in(self, directory, *args):
        return ["podman", "--root", f"{directory}/podman", "--runroot",
                str(self.work / "podman-run"), "--storage-driver", "overlay",
                "--cgroup-manager", "cgroupfs", "--events-backend", "none",
                *map(str, args)]

    # Before a row, outside of its time: a place that is new. Nothing is
    # removed meanwhile, because ext4 goes round what was removed lately, at a
    # cost that hits whoever comes next.

    def new_place(self):
        self.number += 1
        self.here = self.work / f"run-{self.number}"
        self.here.mkdir()

    def new_moss(self):
        self.new_place()
        quiet(self.moss_in(self.here, "images"))

    def new_podman(self):
        self.new_place()
        quiet(self.podman_in(self.here, "images"))

    def empty_registry(self):
        self.new_place()
        if self.empty:
            self.empty.stop()
        self.empty = registry.Registry(self.here)
        quiet(self.moss_in(self.kept, "tag", self.reference,
                           self.empty.name(NAME)))

    def floor(self):
        layers = " & ".join(
            f"mkdir {i}; curl -s http://{self.registry.host}/v2/bench/blobs/"
            f"{layer.digest} | igzip -d | tar -x -C {i}"
            for i, layer in enumerate(self.image.layers))
        return ["unshare", "-r", "--map-auto", "sh", "-c",
                f"cd {shlex.quote(str(self.here))}; {layers}; wait"]

    def rows(self):
        """name -> (prepare, makes argv, podman's row)"""
        def new(command, *args):
            return lambda: command(self.here, *args)

        rows = {
            "moss pull": (self.new_moss, new(
                self.moss_in, "pull", "-q", self.reference), "podman pull"),
            "podman pull": (self.new_podman, new(
                self.podman_in, "pull", "-q", "--tls-verify=false",
                self.reference), None),
            "skopeo copy": (self.new_place, lambda: [
                "skopeo", "copy", "-q", "--src-tls-verify=false",
                f"docker://{self.reference}", f"oci:{self.here}/oci:1"],
                "podman pull"),
            "floor": (self.new_place, self.floor, "podman pull"),
            "moss push": (self.empty_registry, lambda: self.moss_in(
                self.kept, "push", "-q", self.empty.name(NAME)),
                "podman push"),
            "podman push": (self.empty_registry, lambda: self.podman_in(
                self.kept, "push", "-q", "--tls-verify=false", self.reference,
                self.empty.name(NAME)), None),
            "moss load": (self.new_moss, new(
                self.moss_in, "load", "-q", "-i", self.archive),
                "podman load"),
            "podman load": (self.new_podman, new(
                self.podman_in, "load", "-q", "-i", self.archive), None),
            "moss save": (self.new_place, lambda: self.moss_in(
                self.kept, "save", "-o", self.here / "tar", self.reference),
                "podman save"),
            "podman save": (self.new_place, lambda: self.podman_in(
                self.kept, "save", "-q", "-o", self.here / "tar",
                self.reference), None),
        }
        tools = {"podman": "podman", "skopeo": "skopeo", "floor": "igzip"}
        return {name: row for name, row in rows.items()
                if name.split()[0] not in tools
                or shutil.which(tools[name.split()[0]])}


def tars(work):
    for number, paths in enumerate(SOURCES):
        tar = work / f"{number}.tar"
        found = [path[1:] for path in paths if os.path.exists(path)]
        subprocess.run(["tar", "-C", "/", "--owner=0", "--group=0", "-cf", tar,
                        *found], check=True)
        data = tar.read_bytes()
        tar.unlink()
        yield data


def peak_memory(argv):
    """KiB of the largest of moss's processes: the kernel's own high water."""
    peaks, done = {}, threading.Event()

    def watch():
        while not done.wait(0.01):
            for status in pathlib.Path("/proc").glob("[0-9]*/status"):
                try:
                    lines = dict(line.split(":", 1) for line in
                                 status.read_text().splitlines())
                except (OSError, ValueError):
                    continue
                if lines["Name"].strip().startswith("moss") and \
                        int(lines["Uid"].split()[0]) == os.getuid() and \
                        "VmHWM" in lines:
                    peaks[status.parent.name] = int(lines["VmHWM"].split()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    quiet(argv)
    done.set()
    watcher.join()
    return max(peaks.values(), default=0)


def measure(bench, rows, rounds):
    times = {name: [] for name in rows}
    failures = {}
    for number in range(rounds + 1):
        for name, (prepare, argv, _) in rows.items():
            prepare()
            os.sync()
            wall, cpu = run_once(argv(), None, number)
            if wall is None:
                failures[name] = cpu
            elif number > 0:  # the first is a warm-up
                times[name].append((wall, cpu))
    return times, failures


def ratio(times, name, other, column):
    if not other or not times.get(other) or not times[name]:
        return "-"
    return "%.2f" % (statistics.median(t[column] for t in times[name]) /
                     statistics.median(t[column] for t in times[other]))


def report(rows, times, failures):
    print(f"{'row':14} {'wall ms':>8} {'p10':>7} {'p90':>7} {'cpu ms':>7} "
          f"{'x podman':>9} {'(cpu)':>6} {'x floor':>8} {'(cpu)':>6}")
    for name, values in times.items():
        if not values:
            print(f"{name:14} failed: {str(failures.get(name, '?'))[:200]}")
            continue
        walls = sorted(wall for wall, _ in values)
        podman = rows[name][2]
        floor = "floor" if name.endswith(("pull", "load")) else None
        print(f"{name:14} {statistics.median(walls):8.0f} "
              f"{walls[len(walls) // 10]:7.0f} "
              f"{walls[len(walls) * 9 // 10]:7.0f} "
              f"{statistics.median(cpu for _, cpu in values):7.0f} "
              f"{ratio(times, name, podman, 0):>9} "
              f"{ratio(times, name, podman, 1):>6} "
              f"{ratio(times, name, floor, 0):>8} "
              f"{ratio(times, name, floor, 1):>6}")


def main():
    sys.stdout.reconfigure(line_buffering=True)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with harness.workplace(os.environ.get("TMPDIR", "/var/tmp")) as work:
        bench = Bench(harness.build(), work)
        try:
            measure_all(bench, rounds)
        finally:
            bench.stop()


def measure_all(bench, rounds):
    rows = bench.rows()
    if sys.argv[2:]:
        rows = {name: rows[name] for name in sys.argv[2:]}
    print("layers, packed: " + ", ".join(
        f"{layer.size / 1e6:.1f} MB" for layer in bench.image.layers)
        + "; load " + " ".join(harness.load()))
    # From here on the whole tree's CPU time is counted; the process that
    # pins the user namespace runs already.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    times, failures = measure(bench, rows, rounds)
    report(rows, times, failures)
    for name, (prepare, argv, _) in rows.items():
        if name.startswith("moss") and times[name]:
            prepare()
            peak = peak_memory(argv())
            print(f"{name}: at most {peak / 1024:.1f} MiB a process")


if __name__ == "__main__":
    main()
