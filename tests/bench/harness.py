"""What the benchmarks share: a place to work in, peers, rounds, a table.

Rows are timed in rounds that interleave, so that whatever else the machine
does hits all of them; the ratio of two rows of one table is what counts, the
milliseconds are the machine's. A place is cleared however the benchmark ends:
containers, processes that keep a user namespace, files of sub-IDs.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent /
                       "integration"))
import roots  # noqa: E402

IMAGE = "bench"


def load():
    return pathlib.Path("/proc/loadavg").read_text().split(" ", 3)[:3]


def quiet(argv, **how):
    return subprocess.run(argv, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, **how).returncode


def build():
    path = pathlib.Path(os.environ.get("MOSS_BUILD", "build")).resolve()
    os.environ["MOSS_BUILD"] = str(path)
    return path


def leave(number, frame):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


@contextlib.contextmanager
def workplace(parent=None):
    """A directory with a store and a runtime directory of moss's in it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    work = pathlib.Path(tempfile.mkdtemp(prefix="moss-bench-", dir=parent))
    os.environ.update(MOSS_ROOT=str(work / "moss"), MOSS_RUN=str(work),
                      XDG_RUNTIME_DIR=str(work))
    try:
        yield work
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        clear(build() / "moss", work)


def strays(work):
    """Whoever names the place, which is ours alone, in its arguments or its
    environment, and all that descends from those: what was killed, a peer as
    well, may not have got to tell where its processes are."""
    children, found = {}, []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        with contextlib.suppress(OSError):
            parent = (directory / "stat").read_text().rsplit(")", 1)[1]
            children.setdefault(int(parent.split()[1]), []).append(pid)
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if str(work).encode() in (directory / name).read_bytes():
                    found.append(pid)
    for pid in found:  # which grows
        found += children.get(pid, [])
    return set(found) - {os.getpid()}


def end_strays(work):
    deadline = time.monotonic() + 10
    while strays(work) and time.monotonic() < deadline:
        for pid in strays(work):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        time.sleep(0.01)


def clear(moss, work):
    """The stores below work may be several."""
    for store in {work / "moss", *work.glob("*/moss")}:
        names = subprocess.run([moss, "ps", "-aq"], env={
            **os.environ, "MOSS_ROOT": str(store)}, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True).stdout.split()
        if names:
            quiet([moss, "rm", "-f", *names],
                  env={**os.environ, "MOSS_ROOT": str(store)})
    quiet([moss, "__unpin"])
    if (work / "podman").exists() and shutil.which("podman"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            quiet([*podman(work), "rm", "-fat0"], timeout=60)
    end_strays(work)
    for file in work.glob("**/pause.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)
    # Much of it may belong to sub-IDs. Signals to our group do not reach it.
    quiet(["unshare", "-r", "--map-auto", "rm", "-rf", str(work)],
          start_new_session=True)
    shutil.rmtree(work, ignore_errors=True)


def podman(work):
    return ["podman", "--root", f"{work}/podman", "--runroot",
            f"{work}/podman-run", "--storage-driver", "overlay",
            "--cgroup-manager", "cgroupfs", "--events-backend", "none"]


def engines(work):
    """Name -> its command, with the image in its store. A podman that cannot
    run one here is left out: where cgroup v1 is mounted, it does in a mount
    namespace that shows cgroup v2 only."""
    tar = roots.busybox(work)
    found = {"moss": [str(build() / "moss")]}
    if shutil.which("podman"):
        found["podman"] = podman(work)
    for name, command in list(found.items()):
        quiet([*command, "import", tar, IMAGE])
        if quiet([*command, "run", "--rm", "--network", "none", IMAGE,
                  "/bin/true"]) != 0:
            del found[name]
            print(f"{name} cannot run a container here")
    return found


def timed(run):
    """Wall time in ms of a function, or of a command that must succeed."""
    start = time.perf_counter()
    if callable(run):
        run()
    else:
        code = quiet(run)
        if code != 0:
            raise RuntimeError(f"{' '.join(map(str, run))}: exit {code}")
    return (time.perf_counter() - start) * 1e3


def rounds(rows, count):
    """Name -> times in ms; the first round is a warm-up. A row is a command, a
    function, or two of those: one that prepares, untimed, and one timed."""
    times = {name: [] for name in rows}
    for number in range(count + 1):
        for name, row in rows.items():
            if isinstance(row, tuple):
                timed(row[0])
                row = row[1]
            wall = timed(row)
            if number > 0:
                times[name].append(wall)
    return times


def report(title, times, base, unit="ms", scale=1):
    print(f"\n{title} (load {' '.join(load())})")
    print(f"  {'':34} {'min ' + unit:>9} {'median':>9} {'x min':>6} "
          f"{'x median':>9}")
    for name, values in times.items():
        low, middle = min(values), statistics.median(values)
        print(f"  {name:34} {low * scale:9.2f} {middle * scale:9.2f} "
              f"{low / min(times[base]):6.2f} "
              f"{middle / statistics.median(times[base]):9.2f}")
