#!/usr/bin/env python3
"""Everyday commands: ps, exec, logs, many at once, memory, latencies, cp.

    MOSS_BUILD=build tests/bench/lifecycle.py [SECTION...]

Sections, all of them without an argument; the figure that is aimed at:

    ps       `ps -a` over 500 containers, 50 of them running: 20 ms
    exec     exec of true against nsenter into the same namespaces: 1.5
    logs     100 MB of output read back, against cat of the file: 1 GB/s
    tail     the last ten lines of 1 GB, against tail of the file
    write    1 GB of output kept: CPU of the monitor beside podman's conmon
    many     50 containers started, then stopped at once: none may fail
    memory   PSS that an idle container adds: 1 MB; its own program not in it
    latency  one command each: run, start, stop, kill, rm, inspect, top, ...
    copy     cp of a large file and of a tree, both ways, against tar

ROUNDS (default 20) and SETTLE (seconds before memory is looked at, default 60)
come from the environment. Peers that are not there are left out.
"""
import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys
import time

from harness import (IMAGE, engines, load, quiet, report, rounds, timed,
                     workplace)

ROUNDS = int(os.environ.get("ROUNDS", "20"))
SETTLE = float(os.environ.get("SETTLE", "60"))
LINE = "the quick brown fox jumps over the lazy dog 0123456789 abcdefghijk\n"
PR_SET_CHILD_SUBREAPER = 36
LISTED, RUNNING, AT_ONCE, IDLE = 500, 50, 50, 4
# PID 1 ignores what it does not handle.
OBEDIENT = ["sh", "-c", "trap exit TERM; sleep 100000 & wait"]


def out(command, *args):
    return subprocess.run([*command, *args], stdout=subprocess.PIPE,
                          text=True, check=True).stdout.strip()


def run(command, name, *args):
    return out(command, "run", "-d", "--name", name, *args)


def remove_all(command):
    names = out(command, "ps", "-aq").split()
    if names:
        quiet([*command, "rm", "-f", *names])


def together(commands):
    """All at once; how many failed."""
    started = [subprocess.Popen(c, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for c in commands]
    return sum(process.wait() != 0 for process in started)


def bench_ps(work, commands):
    moss = commands["moss"]
    exited = [run(moss, f"exited-{i}", "--network", "none", "-l", f"k={i % 5}",
                  IMAGE, "true") for i in range(LISTED - RUNNING - 50)]
    quiet([*moss, "wait", *exited])
    for i in range(50):
        out(moss, "create", "--name", f"created-{i}", IMAGE, "true")
    for i in range(RUNNING):
        run(moss, f"running-{i}", "--network", "none", IMAGE, "sleep",
            "100000")
    rows = {" ".join(args): [*moss, *args] for args in [
        ["ps", "-a"], ["ps", "-aq"], ["ps", "-a", "--format", "json"],
        ["ps", "-a", "--filter", "label=k=1"],
        ["ps", "-a", "--filter", "status=exited"], ["ps"], ["version"]]}
    report(f"{LISTED} containers, {RUNNING} running", rounds(rows, ROUNDS),
           "ps -a")


def bench_exec(work, commands):
    rows, pid = {}, None
    for name, command in commands.items():
        run(command, "box", "--network", "none", IMAGE, "sleep", "100000")
        if name == "moss":
            pid = out(command, "inspect", "-f", "{{.State.Pid}}", "box")
            rows["nsenter"] = ["nsenter", "-t", pid, "-U",
                               "--preserve-credentials", "-m", "-p", "-n",
                               "-u", "-i", "--", "/bin/true"]
        rows[f"{name} exec"] = [*command, "exec", "box", "true"]
    report("exec of true", rounds(rows, ROUNDS), "nsenter")


def writer(command, name, size):
    """A container that has written size bytes of whole lines."""
    lines = size // len(LINE)
    run(command, name, "--network", "none", IMAGE, "sh", "-c",
        f"yes '{LINE[:-1]}' | head -n {lines}; touch /done; sleep 100000")
    while quiet([*command, "exec", name, "test", "-e", "/done"]) != 0:
        time.sleep(0.1)
    return lines * len(LINE)


def catch_up(command, size):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    while size > 0:
        size -= len(os.read(process.stdout.fileno(), 1 << 16)) or size
    process.kill()
    process.communicate()


def bench_logs(work, commands):
    moss = commands["moss"]
    size = writer(moss, "writer", 100_000_000)
    log = out(moss, "inspect", "-f", "{{.LogPath}}", "writer")
    count = ["sh", "-c", f"{' '.join(moss)} logs writer | wc -c"]
    while int(out(count)) < size:
        time.sleep(0.1)
    rows = {"cat of the file": ["cat", log]}
    for args in ([], ["-t"], ["-n", "10"], ["--since", "1s"]):
        rows[" ".join(["logs", *args])] = [*moss, "logs", *args, "writer"]
    rows["logs -f, until it has caught up"] = lambda: catch_up(
        [*moss, "logs", "-f", "writer"], size)
    rows["logs | cat"] = ["sh", "-c", f"{' '.join(moss)} logs writer | cat"]
    rows["file | cat"] = ["sh", "-c", f"cat {log} | cat"]
    times = rounds(rows, max(3, ROUNDS // 2))
    report(f"{size / 1e6:.0f} MB of output, in a file of "
           f"{os.path.getsize(log) / 1e6:.0f} MB", times, "cat of the file")
    print(f"  logs: {size / 1e6 / min(times['logs']):.2f} GB/s of output, "
          f"{os.path.getsize(log) / 1e6 / min(times['logs']):.2f} of the file")


def bench_tail(work, commands):
    moss = commands["moss"]
    size = writer(moss, "writer", 1_000_000_000)
    log = out(moss, "inspect", "-f", "{{.LogPath}}", "writer")
    rows = {"tail of the file": ["tail", "-n", "10", log]}
    for args in (["-n", "10"], ["-n", "10", "-t"], ["--since", "1s"]):
        rows[" ".join(["logs", *args])] = [*moss, "logs", *args, "writer"]
    report(f"{size / 1e6:.0f} MB of output, in a file of "
           f"{os.path.getsize(log) / 1e6:.0f} MB", rounds(rows, ROUNDS),
           "tail of the file")


def cpu_of(pid):
    """Seconds, user and system."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    ticks = fields.split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text()
               .rsplit(")", 1)[1].split()[1])


def bench_write(work, commands):
    print(f"\n1 GB of output (load {' '.join(load())})")
    for name, command in commands.items():
        driver = ["--log-driver", "k8s-file"] if name == "podman" else []
        size = 1_000_000_000
        start = time.perf_counter()
        run(command, "writer", *driver, "--network", "none", IMAGE, "sh", "-c",
            f"yes '{LINE[:-1]}' | head -n {size // len(LINE)}; touch /done; "
            "sleep 100000")
        pid = int(out(command, "inspect", "-f", "{{.State.Pid}}", "writer"))
        owner = parent_of(pid)
        while quiet([*command, "exec", "writer", "test", "-e", "/done"]) != 0:
            time.sleep(0.2)
        wall = time.perf_counter() - start
        print(f"  {name:10} wall {wall:6.2f} s, CPU of "
              f"{pathlib.Path(f'/proc/{owner}/comm').read_text().strip()} "
              f"{cpu_of(owner):5.2f} s")
        quiet([*command, "rm", "-f", "writer"])


def bench_many(work, commands):
    print(f"\n{AT_ONCE} containers at once (load {' '.join(load())})")
    for name, command in commands.items():
        names = [f"c{i}" for i in range(AT_ONCE)]
        failed = []
        start = timed(lambda: failed.append(together(
            [*command, "run", "-d", "--network", "none", "--name", n, IMAGE,
             *OBEDIENT] for n in names)))
        running = len(out(command, "ps", "-q").split())
        stop = timed(lambda: failed.append(together(
            [*command, "stop", n] for n in names)))
        left = len(out(command, "ps", "-q").split())
        again = timed(lambda: failed.append(together(
            [*command, "start", n] for n in names)))
        gone = timed(lambda: failed.append(together(
            [*command, "rm", "-f", n] for n in names)))
        print(f"  {name:8} run {start:7.0f} ms ({running} run), "
              f"stop {stop:7.0f} ({left} left), start {again:7.0f}, "
              f"rm -f {gone:7.0f}; failed {failed}")


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass


def snapshot():
    """PID -> (name, PSS in kB) of all that descends from this process, to
    which orphans come, but the containers' own program."""
    parents, found = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = parent_of(stat.parent.name)
    for pid in parents:
        ancestor = parents.get(pid)
        while ancestor and ancestor != os.getpid():
            ancestor = parents.get(ancestor)
        if not ancestor:
            continue
        with contextlib.suppress(OSError, StopIteration):
            directory = pathlib.Path(f"/proc/{pid}")
            text = (directory / "smaps_rollup").read_text()
            name = (directory / "comm").read_text().strip()
            if name != "sleep":
                found[pid] = name, int(next(
                    line.split()[1] for line in text.splitlines()
                    if line.startswith("Pss:")))
    return found


def added(before):
    return {pid: entry for pid, entry in snapshot().items()
            if pid not in before}


def bench_memory(work, commands):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print(f"\nidle, kB of PSS (load {' '.join(load())})")
    print(f"  {'':30} {'one':>6} {'mean of ' + str(IDLE):>10}  parts of one")
    health = ["--health-cmd", "true", "--health-interval", "30s"]
    for what, args in (("no network", ["--network", "none"]),
                       ("network", []), ("port", ["-p", "127.0.0.1::80"]),
                       ("port, health check",
                        ["-p", "127.0.0.1::80", *health])):
        for name, command in commands.items():
            # Each begins without the process that keeps the namespace.
            quiet([*commands["moss"], "__unpin"])
            reap()
            before = snapshot()
            run(command, "idle-0", *args, IMAGE, "sleep", "100000")
            time.sleep(SETTLE)
            one = added(before)
            for i in range(1, IDLE):
                run(command, f"idle-{i}", *args, IMAGE, "sleep", "100000")
            time.sleep(SETTLE)
            total = sum(kb for _, kb in added(before).values())
            parts = " ".join(f"{n.replace(' ', '')}:{kb}"
                             for n, kb in one.values())
            print(f"  {name + ', ' + what:30} "
                  f"{sum(kb for _, kb in one.values()):6} "
                  f"{total / IDLE:10.0f}  {parts}")
            remove_all(command)
            reap()


def latency_rows(name, command):
    """Several of these leave a container behind for the next round."""
    number = iter(range(10 ** 6))
    made = []

    def fresh(*args):
        made.append(f"l{next(number)}")
        quiet([*command, "run", "-d", "--network", "none", "--name", made[-1],
               *args, IMAGE, *OBEDIENT])

    def on_last(*args):
        code = quiet([*command, *args, made[-1]])
        if code != 0:
            raise RuntimeError(f"{name} {' '.join(args)}: exit {code}")

    def stopped():
        fresh()
        on_last("stop")

    def killed():
        on_last("kill")
        on_last("wait")

    box = f"{name}-box"
    run(command, box, "--network", "none", IMAGE, *OBEDIENT)
    rows = {
        "run -d": lambda: fresh(),
        "stop": (fresh, lambda: on_last("stop")),
        "start": (stopped, lambda: on_last("start")),
        "restart": (fresh, lambda: on_last("restart")),
        "kill, wait": (fresh, killed),
        "rm": (stopped, lambda: on_last("rm")),
        "rm -f": (fresh, lambda: on_last("rm", "-f")),
        "inspect": [*command, "inspect", box],
        "top": [*command, "top", box],
        "stats --no-stream": [*command, "stats", "--no-stream", box],
        "ps": [*command, "ps"],
        "port": [*command, "port", box],
        "pause": (fresh, lambda: on_last("pause")),
    }
    if name == "moss":
        rows["events"] = [*command, "events", "--since", "1h", "--until", "0s"]
    return rows


def bench_latency(work, commands):
    tables = {name: latency_rows(name, command)
              for name, command in commands.items()}
    for what in tables["moss"]:
        rows = {name: table[what] for name, table in tables.items()
                if what in table}
        try:
            report(what, rounds(rows, max(5, ROUNDS // 2)), "moss")
        except RuntimeError as problem:
            print(f"\n{what}: {problem}")


def bench_copy(work, commands):
    tree, large = work / "tree", work / "large"
    for i in range(100):
        (tree / str(i)).mkdir(parents=True)
        for j in range(100):
            (tree / str(i) / str(j)).write_bytes(b"x" * (j * 40))
    with open(large, "wb") as file:
        for _ in range(100):
            file.write(os.urandom(1_000_000))
    for name, command in commands.items():
        run(command, "box", "--network", "none", IMAGE, "sleep", "100000")
        quiet([*command, "exec", "box", "mkdir", "/in", "/there"])
        for source in (tree, large):
            quiet([*command, "cp", source, "box:/there"])
    for source in (tree, large):
        fresh = ["sh", "-c", f"rm -rf {work}/out; mkdir {work}/out; sync"]
        rows = {"tar | tar": (fresh, ["sh", "-c", f"tar -C {work} -c "
                                      f"{source.name} | tar -C {work}/out "
                                      "-x"])}
        for name, command in commands.items():
            inside = [*command, "exec", "box", "sh", "-c",
                      "rm -rf /in; mkdir /in; sync"]
            rows[f"{name} cp in"] = (inside, [*command, "cp", source,
                                              "box:/in"])
            rows[f"{name} cp out"] = (fresh, [*command, "cp",
                                              f"box:/there/{source.name}",
                                              work / "out"])
        report(f"cp of {'10,000 files' if source == tree else '100 MB'}",
               rounds(rows, max(3, ROUNDS // 5)), "tar | tar")


SECTIONS = {"ps": bench_ps, "exec": bench_exec, "logs": bench_logs,
            "tail": bench_tail, "write": bench_write, "many": bench_many,
            "memory": bench_memory, "latency": bench_latency,
            "copy": bench_copy}


def main():
    sys.stdout.reconfigure(line_buffering=True)
    with workplace(os.environ.get("TMPDIR", "/var/tmp")) as work:
        commands = engines(work)
        for section in sys.argv[1:] or SECTIONS:
            SECTIONS[section](work, commands)
            for command in commands.values():
                remove_all(command)


if __name__ == "__main__":
    main()
