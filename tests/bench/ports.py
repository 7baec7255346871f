#!/usr/bin/env python3
"""Published ports: moss's engines and the peers beside the host's own loopback.

    ninja -C build tests/net_load
    MOSS_BUILD=build tests/bench/ports.py [--rounds N] [--seconds S]
                                          [--only WAY,...] [--skip WAY,...]

Every way in is up all the time. Each figure of each round is taken right after
the loopback's, so that a ratio is of two neighbours in time; the medians of
the rounds are shown. Bytes are sent to, or received from, one connection;
connections are opened and reset one after the other, with a byte each way;
requests go over 16 connections that stay: bare messages of net_load's, which
cost its ends next to nothing, and where wrk(1) is installed HTTP of wrk's. A
forwarder does for each request what both ends do together, on their CPUs: with
two CPUs half is as much as one that copies can reach, more the more the server
has to do. rtt is a byte's way there and back.
The CPU seconds are those of the processes that carry the bytes, for a gigabyte
sent in.
"""
import argparse
import collections
import contextlib
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

from harness import build, load, quiet, roots, workplace
from net_peers import Peers, host_address

# net_load's mode -> its arguments, and the columns its lines are
MODES = {
    "send": (("{seconds}",), ("send",)),
    "receive": (("{seconds}",), ("receive",)),
    "connect": (("{seconds}",), ("conn/s", None, "conn p99")),
    "request": (("{seconds}", "16"), ("req/s", None, "req p99")),
    "echo": (("4000",), ("rtt p50", "rtt p99")),
}
HTTP = ("http/s", "http p99")
MICROSECONDS = {"us": 1, "ms": 1e3, "s": 1e6}
CPU = "cpu s/GB"
UNITS = {"send": "Gbit/s", "receive": "Gbit/s", "conn p99": "us",
         "req p99": "us", "rtt p50": "us", "rtt p99": "us", "http p99": "us"}
COLUMNS = [c for _, names in MODES.values() for c in names if c] + \
    [*(HTTP if shutil.which("wrk") else ()), CPU]


def measure(program, way, mode, seconds):
    """Column -> figure; nothing if it did not work."""
    arguments, columns = MODES[mode]
    before = way.cpu()
    try:
        out = subprocess.run(
            [program, mode, way.host, str(way.port),
             *(a.format(seconds=seconds) for a in arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            timeout=seconds + 20, check=True).stdout.split()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return {}
    row = {c: float(value) for c, value in zip(columns, out) if c}
    if mode == "send" and way.pids:
        row[CPU] = (way.cpu() - before) / (row["send"] * seconds / 8)
    return row


def measure_http(way, seconds):
    """The same of wrk's, which takes whole seconds."""
    out = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{max(1, round(seconds))}s", "--latency",
         f"http://{way.host}:{way.port}/"], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    slow = re.search(r"^ +99% +([\d.]+)(us|ms|s)", out, re.M)
    if not rate or not slow:
        return {}
    return dict(zip(HTTP, (float(rate[1]),
                           float(slow[1]) * MICROSECONDS[slow[2]])))


class Figures:
    """(way, column) -> what was measured, and its ratios to the loopback."""

    def __init__(self):
        self.values = collections.defaultdict(list)
        self.ratios = collections.defaultdict(list)

    def add(self, name, row, base):
        for column, value in row.items():
            self.values[name, column].append(value)
            if column in base:
                self.ratios[name, column].append(value / base[column])

    @staticmethod
    def table(title, names, lists, places):
        print(f"\n{title}")
        print(f"{'':14}" + "".join(f"{c:>10}" for c in COLUMNS))
        for name in names:
            cells = []
            for column in COLUMNS:
                values = lists[name, column]
                cells.append(f"{statistics.median(values):10.{places(column)}f}"
                             if values else f"{'-':>10}")
            print(f"{name:14}" + "".join(cells))

    def report(self, names):
        self.table(f"medians, load {' '.join(load())}", names, self.values,
                   lambda c: 3 if c == CPU else 1 if c in UNITS else 0)
        print(f"{'':14}" + "".join(f"{UNITS.get(c, ''):>10}" for c in COLUMNS))
        self.table("ratio to loopback", names[1:], self.ratios, lambda c: 2)


def start(peers, only, skip):
    starters = {
        "moss splice": lambda: peers.moss_container("splice"),
        "moss slirp": lambda: peers.moss_container(
            "slirp", "--publish-mode", "slirp"),
        "moss native": lambda: peers.moss_container(
            "native", "--publish-mode", "native"),
        "moss network": lambda: peers.moss_container("network", "--network",
                                                     "bench"),
        "pasta": lambda: peers.pasta("127.0.0.1"),
        "pasta tap": lambda: peers.pasta(host_address() or "127.0.0.1"),
        "slirp4netns": peers.slirp4netns,
        "rootlesskit": peers.rootlesskit,
        "podman": peers.podman,
    }
    ways = peers.add("loopback", peers.loopback)
    if not ways:
        sys.exit("the load's own server does not answer")
    for name, starter in starters.items():
        if (not only or name in only) and name not in skip:
            ways += peers.add(name, starter)
    return ways


def compare(peers, work, program, options):
    moss = str(build() / "moss")
    subprocess.run([moss, "import", roots.busybox(work), "bench"], check=True,
                   stdout=subprocess.DEVNULL)
    quiet([moss, "network", "create", "bench"])
    loopback, *ways = start(peers, options.only, options.skip)
    figures = Figures()
    for number in range(options.rounds):
        for mode in MODES:
            for way in ways:
                base = measure(program, loopback, mode, options.seconds)
                row = measure(program, way, mode, options.seconds)
                figures.add(loopback.name, base, {})
                figures.add(way.name, row, base)
        for way in ways if HTTP[0] in COLUMNS else ():
            base = measure_http(loopback, options.seconds)
            row = measure_http(way, options.seconds)
            figures.add(loopback.name, base, {})
            figures.add(way.name, row, base)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    figures.report([way.name for way in [loopback, *ways]])
    quiet([moss, "rm", "-f", "splice", "slirp", "native", "network"])
    quiet([moss, "network", "rm", "bench"])


def names(text):
    return [name for name in text.split(",") if name]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", type=names, default=[])
    parser.add_argument("--skip", type=names, default=[])
    options = parser.parse_args()
    program = build() / "tests" / "net_load"
    if not program.exists():
        sys.exit(f"{program} is missing: ninja -C {build()} tests/net_load")
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(workplace())
        # What runs it names the place: found again however this ends.
        copy = pathlib.Path(shutil.copy(program, work))
        compare(stack.enter_context(Peers(work, copy)), work, copy, options)


if __name__ == "__main__":
    main()
