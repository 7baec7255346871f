#!/usr/bin/env python3
"""Throughput between two containers on a named network.

    MOSS_BUILD=build tests/bench/networks.py [ROUNDS [SECONDS]]

iperf3's server runs in one container; its client runs in another, by the
server's name, and beside the server on its own loopback, in turns, so that the
ratio is of one and the same run. The last row goes through the way out to a
server on the host (only where the host has an address that is not loopback).
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from harness import build, roots, workplace
from net_peers import host_address

PORT = "5201"


def measure(moss, box, target, seconds, *extra):
    out = subprocess.run([moss, "exec", box, "iperf3", "-c", target, "-p", PORT,
                          "-t", str(seconds), "-J", *extra],
                         stdout=subprocess.PIPE, timeout=seconds + 60,
                         check=True).stdout
    return json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9


def report(title, rates, plain):
    a, b = statistics.median(plain), statistics.median(rates)
    print(f"{title:26} {a:16.2f} {b:14.2f} {b / a:6.2f}")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    cache = pathlib.Path(os.environ.get(
        "MOSS_TEST_CACHE", os.path.expanduser("~/.cache/moss/tests")))
    cache.mkdir(parents=True, exist_ok=True)
    with workplace():
        moss = str(build() / "moss")

        def run(*args):
            subprocess.run([moss, *args], check=True, stdout=subprocess.DEVNULL)

        run("import", roots.debian(cache), "debian")
        run("network", "create", "bench")
        run("run", "-d", "--name", "server", "--network", "bench", "debian",
            "iperf3", "-s", "-p", PORT)
        run("run", "-d", "--name", "client", "--network", "bench", "debian",
            "sleep", "infinity")
        address = host_address()
        outside = address and subprocess.Popen(
            ["iperf3", "-s", "-B", address, "-p", PORT],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            rows = {"container to container": ("client", "server", []),
                    "container to container -R": ("client", "server", ["-R"])}
            if outside:
                rows["container to host"] = ("client", address, [])
            plain, rates = [], {title: [] for title in rows}
            for _ in range(rounds):
                plain.append(measure(moss, "server", "127.0.0.1", seconds))
                for title, (box, target, extra) in rows.items():
                    rates[title].append(measure(moss, box, target, seconds,
                                                *extra))
        finally:
            if outside:
                outside.terminate()
                outside.wait()
            for args in (["rm", "-f", "server", "client"],
                         ["network", "rm", "bench"]):
                subprocess.run([moss, *args], stdout=subprocess.DEVNULL)
        print(f"{'':26} {'loopback Gbit/s':>16} {'network Gbit/s':>14} "
              f"{'ratio':>6}")
        for title in rows:
            report(title, rates[title], plain)


if __name__ == "__main__":
    main()
