"""What moss leaves behind: the processes and files of one moss under test.

    with Household(moss) as house:
        process = house.start("run", "-d", "busybox", "sleep", "9")
        house.kill("monitor")
        house.assert_sound()

While it is entered, this process is the reaper of all that is orphaned below
it, so that nothing that moss started gets out of sight.
"""
import ctypes
import json
import os
import signal
import subprocess
import time

from conftest import Result, wait_for

PR_SET_CHILD_SUBREAPER = 36
ANSWER_SECONDS = 10  # what takes longer hangs
ID_LENGTH = 64


def status_of(pid):
    """Name, state and parent of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return None
    name, rest = text.split("(", 1)[1].rsplit(")", 1)
    fields = rest.split()
    return name, fields[0], int(fields[1])


def is_alive(pid):
    status = status_of(pid)
    return status is not None and status[1] not in "ZX"


def below(pid):
    """All living and dead processes that descend from it."""
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = [int(child) for child in file.read().split()]
    except OSError:
        return found
    for child in children:
        found += [child] + below(child)
    return found


def title_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Household:
    def __init__(self, moss):
        self.moss = moss
        self.commands = []
        self.slowest = 0

    def __enter__(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.foreign = set(below(os.getpid()))
        return self

    def __exit__(self, *_):
        for process in self.commands:
            process.kill()
            process.wait()
        self.moss.remove_all()
        self.reap()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    # Commands

    def start(self, *args, **kwargs):
        """A command on its own; its output is nobody's unless asked for."""
        streams = {name: kwargs.pop(name, subprocess.DEVNULL)
                   for name in ("stdin", "stdout", "stderr")}
        process = self.moss.popen(*args, **streams, **kwargs)
        self.commands.append(process)
        return process

    def end(self, process, seconds=30):
        """It must end now; its exit code."""
        try:
            return process.wait(seconds)
        finally:
            self.commands.remove(process)

    def run(self, *args, seconds=60):
        """A command to its end. What it waits for may be orphans of ours, so
        that they are reaped meanwhile."""
        process = self.start(*args, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + seconds
        try:
            while True:
                try:
                    out, err = process.communicate(timeout=0.02)
                    break
                except subprocess.TimeoutExpired:
                    assert time.monotonic() < deadline, f"{args} hangs"
                    self.reap()
        finally:
            process.kill()
            self.commands.remove(process)
        return Result(process, out, err)

    def ok(self, *args):
        result = self.run(*args)
        assert result.code == 0, (args, result)
        return result.out.rstrip("\n")

    def ask(self, *args):
        """A command that has to answer at once."""
        begin = time.monotonic()
        result = self.run(*args, seconds=ANSWER_SECONDS)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return result

    # Processes

    def reap(self):
        known = {process.pid for process in self.commands}
        for pid in below(os.getpid()):
            status = status_of(pid)
            if pid not in known and status and status[1] == "Z" and \
                    status[2] == os.getpid():
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    def processes(self):
        """{PID: what it is} of all that lives; containers' programs are "in"."""
        self.reap()
        commands = {process.pid for process in self.commands}
        found = {}
        for pid in below(os.getpid()):
            status = status_of(pid)
            if pid in self.foreign or not status or status[1] in "ZX":
                continue
            title = title_of(pid)
            parent = found.get(status[2])
            if pid in commands:
                found[pid] = "command"
            elif title.startswith("moss: pause"):
                found[pid] = "pause"
            elif title.startswith("moss: monitor") or "moss-monitor" in title:
                found[pid] = "monitor"
            elif "moss: net" in title or "moss-net" in title:
                found[pid] = "net"
            elif "moss-image" in title or "moss: image" in title:
                found[pid] = "image"
            elif "fuse-overlayfs" in title:
                found[pid] = "fuse"
            elif parent == "monitor":
                found[pid] = "init"
            else:
                found[pid] = "in" if parent in ("init", "in") else "other"
        return found

    def kill(self, whom, number=signal.SIGKILL):
        """All processes of a kind ("all": every one but pause)."""
        hit = 0
        for pid, kind in self.processes().items():
            if kind == whom or whom == "all" and kind != "pause":
                send(pid, number)
                hit += 1
        return hit

    def leftovers(self):
        """Processes that belong to nothing that runs."""
        return {pid: (kind, title_of(pid))
                for pid, kind in self.processes().items()
                if kind not in ("pause", "command")}

    # State

    def files(self):
        """What the store and the runtime directory hold, but for locks, the
        journal and caches."""
        found = set()
        for top in (self.moss.root, self.moss.run_directory):
            for directory, names, plain in os.walk(top):
                found |= {os.path.join(directory, name)
                          for name in names + plain}
        root = str(self.moss.root)
        return {path for path in found
                if not path.startswith((f"{root}/events", f"{root}/cache"))
                and os.path.basename(path) not in (
                    "lock", ".lock", "pin.json", "containers", "names",
                    "userns", "moss")}

    def records(self):
        """{ID: container.json} of what is whole."""
        found = {}
        for path in self.moss.root.glob("containers/*/container.json"):
            try:
                found[path.parent.name] = json.loads(path.read_text())
            except FileNotFoundError:
                pass
        return found

    def names(self):
        """{name: ID} as links say."""
        found = {}
        for path in self.moss.root.glob("names/*"):
            if not path.name.startswith("."):
                found[path.name] = os.readlink(path)
        return found

    def states(self):
        """{ID: State} as inspect has it; ps -a and inspect must answer."""
        result = self.ask("ps", "-aq", "--no-trunc")
        assert result.code == 0 and result.err == "", result
        ids = result.out.split()
        if not ids:
            return {}
        result = self.ask("inspect", *ids)
        # Of a --rm container, which may have gone meanwhile.
        assert result.code == 0 or "No such" in result.err, result
        return {container["Id"]: container["State"]
                for container in json.loads(result.out)}

    def assert_true(self):
        """What is told of the containers is how they are."""
        def lies():
            wrong = []
            living = 0
            for id, state in self.states().items():
                if not state["Running"]:
                    if state["Pid"] != 0:
                        wrong.append((id, state))
                    continue
                living += 1
                if not state["Restarting"] and not is_alive(state["Pid"]):
                    wrong.append((id, state))
            kinds = list(self.processes().values())
            if kinds.count("monitor") != living or "other" in kinds or \
                    not living and self.leftovers():
                wrong.append((living, self.leftovers()))
            return wrong

        # The rest of a killed one takes its moment to end.
        deadline = time.monotonic() + ANSWER_SECONDS
        while (wrong := lies()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not wrong, wrong

    def assert_names(self):
        """Each container has its name, and no name is in the way."""
        names = self.names()
        for id, record in self.records().items():
            assert names.pop(record["Name"].lstrip("/")) == id
        assert not names, names

    def assert_sound(self):
        self.assert_true()
        self.assert_names()
        result = self.ask("system", "check", "-q")
        assert result.code == 0 and result.out == "", result
        mounts = [line for line in open("/proc/self/mounts")
                  if str(self.moss.root) in line]
        assert not mounts, mounts

    def reset(self, baseline):
        """All containers and volumes removed by moss's own means: nothing of
        them may be left."""
        ids = self.ok("ps", "-aq").split()
        if ids:
            self.ok("rm", "-fv", *ids)
        self.ok("system", "prune", "-f")
        self.ok("volume", "prune", "-af")
        wait_for(lambda: not self.leftovers(), "the end of processes: "
                 f"{self.leftovers()}")
        wait_for(lambda: self.files() <= baseline,
                 f"{self.files() - baseline} to be removed")
        assert self.files() == baseline
