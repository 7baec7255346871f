#!/usr/bin/env python3
"""Throughput of a published port: iperf3 through -p against plain loopback.

    MOSS_BUILD=build tests/bench/throughput.py [ROUNDS [SECONDS]]

iperf3's server runs once on the host and once in a container; the client runs
on the host against each in turn, so that the ratio is of one and the same run.
"""
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

from harness import build, load, roots, workplace


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def measure(port, seconds, *extra):
    out = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t",
                          str(seconds), "-J", *extra], stdout=subprocess.PIPE,
                         timeout=seconds + 30, check=True).stdout
    return json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    if not shutil.which("iperf3"):
        sys.exit("iperf3 is not installed")
    cache = pathlib.Path(os.environ.get(
        "MOSS_TEST_CACHE", os.path.expanduser("~/.cache/moss/tests")))
    cache.mkdir(parents=True, exist_ok=True)
    with workplace():
        moss = str(build() / "moss")
        subprocess.run([moss, "import", roots.debian(cache), "debian"],
                       check=True, stdout=subprocess.DEVNULL)
        published, plain = free_port(), free_port()
        subprocess.run([moss, "run", "-d", "--name", "bench", "-p",
                        f"127.0.0.1:{published}:5201", "debian", "iperf3", "-s"],
                       check=True, stdout=subprocess.DEVNULL)
        server = subprocess.Popen(["iperf3", "-s", "-p", str(plain)],
                                  stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            rows = {"in": ([], []), "out (-R)": ([], [])}
            for _ in range(rounds):
                for name, (moss_rates, plain_rates) in rows.items():
                    extra = ["-R"] if "-R" in name else []
                    moss_rates.append(measure(published, seconds, *extra))
                    plain_rates.append(measure(plain, seconds, *extra))
        finally:
            server.terminate()
        print(f"load {' '.join(load())}")
        print(f"{'direction':10} {'loopback Gbit/s':>16} {'-p Gbit/s':>10} "
              f"{'ratio':>6}")
        for name, (moss_rates, plain_rates) in rows.items():
            a, b = statistics.median(plain_rates), statistics.median(moss_rates)
            print(f"{name:10} {a:16.2f} {b:10.2f} {b / a:6.2f}")


if __name__ == "__main__":
    main()
