#!/usr/bin/env python3
"""Start-up: moss run --rm against bwrap, crun and podman, in one run.

    MOSS_BUILD=build tests/bench/startup.py [RUNS]

Each command runs once a round, in another order each time, so that whatever
else the machine does hits all of them, and what one leaves to be cleared up
(network namespaces) no other one in particular. Printed: median and least wall
time, 10th and 90th percentile, CPU time of the whole tree, and the ratio to
bwrap with a seccomp filter, of wall and of CPU time. Peers that are not
installed are left out.

Two things make a ratio larger that are not in the programs. A run of moss is
more processes that hand over to each other, and where more runs than there are
processors, each turn waits for one: then the ratio of CPU time is the one to
look at. And ext4 without a journal goes round every inode that was freed in
its neighbourhood during the last minute, so that making a file gets slower the
more were removed, by these very runs too: the row "tmpfs" is with a store where
that is not so. bwrap makes no files.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from harness import build, clear, load, podman, roots, workplace

PR_SET_CHILD_SUBREAPER = 36
FILTER_FD = 39


def crun_bundle(work, root):
    bundle = work / "bundle"
    bundle.mkdir()
    subprocess.run(["crun", "spec", "--rootless"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(args=["/bin/true"], terminal=False)
    spec["root"]["path"] = str(root)
    (bundle / "config.json").write_text(json.dumps(spec))
    return bundle


@contextlib.contextmanager
def memory_store(tar):
    """The environment of a store in memory, None where there can be none."""
    if not os.access("/dev/shm", os.W_OK):
        yield None
        return
    place = pathlib.Path(tempfile.mkdtemp(prefix="moss-bench-", dir="/dev/shm"))
    env = {**os.environ, "MOSS_ROOT": str(place / "moss")}
    try:
        subprocess.run([build() / "moss", "import", tar, "bench"], check=True,
                       stdout=subprocess.DEVNULL, env=env)
        yield env
    finally:
        clear(build() / "moss", place)


def commands(work, root, tar):
    moss = build() / "moss"
    subprocess.run([moss, "import", tar, "bench"], check=True,
                   stdout=subprocess.DEVNULL)
    filter_file = work / "filter.bpf"
    filter_file.write_bytes(compiled_filter(work))
    found = {}
    if shutil.which("bwrap"):
        base = ["bwrap", "--unshare-all", "--bind", str(root), "/", "--proc",
                "/proc", "--dev", "/dev"]
        found["bwrap+seccomp"] = (base + ["--seccomp", str(FILTER_FD), "/bin/true"],
                                  filter_file)
        found["bwrap"] = (base + ["/bin/true"], None)
    run = [str(moss), "run", "--rm"]
    found["moss none"] = (run + ["--network", "none", "bench", "/bin/true"], None)
    found["moss host"] = (run + ["--network", "host", "bench", "/bin/true"], None)
    found["moss slirp"] = (run + ["bench", "/bin/true"], None)
    found["moss slirp+port"] = (run + ["-p", "127.0.0.1:18098:80", "bench",
                                       "/bin/true"], None)
    if shutil.which("crun"):
        found["crun"] = (["crun", "--root", str(work / "crun"), "run", "-b",
                          str(crun_bundle(work, root)), "bench-%d"], None)
    if shutil.which("podman"):
        command = podman(work)
        imported = subprocess.run(command + ["import", "-q", str(tar), "bench"],
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        if imported.returncode == 0:
            found["podman none"] = (command + ["run", "--rm", "--network", "none",
                                               "bench", "/bin/true"], None)
    return found


def compiled_filter(work):
    """moss's own default filter, so that bwrap loads one of the same size."""
    subprocess.run([os.environ["MOSS_BUILD"] + "/moss", "run", "--rm",
                    "--network", "none", "bench", "/bin/true"], check=True)
    filters = list((work / "moss" / "cache").glob("*.bpf"))
    # Cache files carry their inputs before the code: eight bytes a step, and
    # the first step of every filter loads the architecture.
    data = max(filters, key=lambda f: f.stat().st_size).read_bytes()
    start = data.find(bytes.fromhex("2000000004000000"))
    assert start >= 0, "no compiled filter in the cache"
    return data[start:len(data) - (len(data) - start) % 8]


def run_once(argv, filter_file, counter, env=None):
    argv = [a.replace("%d", str(counter)) for a in argv]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    if filter_file:
        with open(filter_file, "rb") as file:
            os.dup2(file.fileno(), FILTER_FD)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=env,
                               pass_fds=[FILTER_FD] if filter_file else [])
    _, err = process.communicate()
    wall = time.perf_counter() - start
    if filter_file:
        os.close(FILTER_FD)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        return None, err.decode(errors="replace").strip()
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return wall * 1e3, cpu * 1e3


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    sys.stdout.reconfigure(line_buffering=True)
    with workplace() as work, contextlib.ExitStack() as stack:
        tar = roots.busybox(work)
        root = work / "root"
        root.mkdir()
        subprocess.run(["tar", "-C", root, "-xf", tar], check=True)
        table = commands(work, root, tar)
        memory = stack.enter_context(memory_store(tar))
        environments = {}
        if memory:
            environments["moss none, tmpfs"] = memory
            table["moss none, tmpfs"] = table["moss none"]
        # From here on the whole tree's CPU time is counted; the process that
        # pins the user namespace runs already and is not waited for.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        times = {name: [] for name in table}
        failures = {}
        for round_number in range(rounds + 1):
            for name in random.sample(list(table), len(table)):
                argv, filter_file = table[name]
                wall, cpu = run_once(argv, filter_file, round_number,
                                     environments.get(name))
                if wall is None:
                    failures[name] = cpu
                elif round_number > 0:  # the first is a warm-up
                    times[name].append((wall, cpu))
        report(times, failures)


def report(times, failures):
    reference = times.get("bwrap+seccomp") or times.get("bwrap")
    base = statistics.median(w for w, _ in reference) if reference else None
    fastest = min(w for w, _ in reference) if reference else None
    work = statistics.median(c for _, c in reference) if reference else None
    print(f"load {' '.join(load())}")
    print(f"{'command':18} {'wall ms':>8} {'min':>7} {'p10':>7} {'p90':>7} "
          f"{'cpu ms':>7} {'x bwrap+seccomp':>16} {'(min)':>6} {'(cpu)':>6}")
    for name, values in times.items():
        if not values:
            print(f"{name:18} failed: {failures.get(name, '?')[:90]}")
            continue
        walls = sorted(w for w, _ in values)
        median = statistics.median(walls)
        ratio = f"{median / base:.2f}" if base else "-"
        low = f"{walls[0] / fastest:.2f}" if fastest else "-"
        cpu = statistics.median(c for _, c in values)
        used = f"{cpu / work:.2f}" if work else "-"
        print(f"{name:18} {median:8.2f} {walls[0]:7.2f} "
              f"{walls[len(walls) // 10]:7.2f} "
              f"{walls[len(walls) * 9 // 10]:7.2f} {cpu:7.2f} {ratio:>16} "
              f"{low:>6} {used:>6}")


if __name__ == "__main__":
    main()
