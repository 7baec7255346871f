"""Each system call of a container's monitor in turn fails once, or from then on:
the container starts or its failure is told in a line, it goes on or ends well,
what is told of it is true, and nothing hangs.

MOSS_CALLS=1 tries all calls at every place, which takes a quarter of an hour."""
import os
import subprocess
import time

import pytest

from conftest import wait_for
from household import Household, title_of

LONG = os.environ.get("MOSS_CALLS")
# A call, its error, and whether it fails for good from then on.
FAULTS = {
    "write": ("write,writev,pwrite64", "ENOSPC", False),
    "disk full": ("write,writev,pwrite64", "ENOSPC", True),
    "read": ("read,pread64", "EIO", False),
    "open": ("openat,openat2", "EMFILE", False),
    "no descriptors": ("openat,openat2,accept4,socket,pipe2,pidfd_open",
                       "EMFILE", True),
    "accept": ("accept4", "EMFILE", False),
    "socket": ("socket,socketpair,bind,listen", "ENOBUFS", False),
    "pipe": ("pipe2", "EMFILE", False),
    "fork": ("clone,clone3,fork,vfork", "EAGAIN", False),
    "no memory": ("clone,clone3,fork,vfork", "ENOMEM", True),
    "rename": ("renameat,renameat2,rename", "ENOSPC", False),
    "sync": ("fsync,fdatasync", "EIO", False),
    "epoll": ("epoll_ctl", "ENOSPC", False),
    "messages": ("sendmsg,recvmsg", "ENOMEM", False),
    "signal": ("signalfd4,pidfd_open", "EMFILE", False),
    "make": ("mkdirat,symlinkat,unlinkat,ftruncate", "EIO", False),
}
# Of calls that fail at more places than it is worth while to try.
STEP = {"read": 7, "open": 5, "no descriptors": 5, "write": 3, "disk full": 3,
        "epoll": 3, "messages": 2}
MOST = 300


@pytest.fixture(scope="module")
def faulty(session_moss, build, tmp_path_factory):
    """A moss whose monitors run below strace; .set() says what fails."""
    libexec = tmp_path_factory.mktemp("libexec")
    for program in build.glob("moss*"):
        if program.is_file() and program.name != "moss-monitor":
            (libexec / program.name).symlink_to(program)
    inject = libexec / "inject"
    log = libexec / "log"
    wrapper = libexec / "moss-monitor"
    # The tracer comes from aside, and holds nothing of the monitor's open.
    wrapper.write_text(f"""#!/bin/sh
read -r calls fault <{inject}
(
    exec 3>&- 4>&- 5>&- 6>&-
    until grep -q 'State:.T' /proc/$$/status; do :; done
    strace -p $$ -A -qq -o {log} -e trace="$calls" \\
        -e inject="$calls:$fault" 2>/dev/null &
    until grep -q 'TracerPid:.*[1-9]' /proc/$$/status; do :; done
    kill -CONT $$
) &
kill -STOP $$
exec {build}/moss-monitor "$@"
""")
    wrapper.chmod(0o755)
    moss = session_moss.with_env(MOSS_LIBEXEC=str(libexec))

    def set_fault(name, count):
        calls, error, lasts = FAULTS[name]
        inject.write_text(f"{calls} error={error}:when={count}"
                          f"{'+' if lasts else ''}\n")
        log.unlink(missing_ok=True)

    moss.set = set_fault
    moss.hit = lambda: log.exists() and "(INJECTED)" in log.read_text()
    return moss


class Traced(Household):
    def processes(self):
        return {pid: kind for pid, kind in super().processes().items()
                if not title_of(pid).startswith(("strace", "/bin/sh /"))}


def live(house):
    """A life with something of everything. None of its commands may hang, and
    each fails in a line or two; whether it works is the fault's to say."""
    scripts = [
        ["run", "-d", "--name", "victim", "--health-cmd", "true",
         "--health-interval", "20ms", "-i", "busybox", "sh", "-c",
         "echo one; echo two >&2; sleep 1000"],
        ["exec", "victim", "echo", "three"],
        ["exec", "-t", "victim", "true"],
        ["logs", "victim"],
        ["pause", "victim"],
        ["unpause", "victim"],
        ["top", "victim"],
        ["stop", "-t", "0", "victim"],
        ["start", "victim"],
        ["kill", "victim"],
    ]
    for args in scripts:
        result = house.run(*args, seconds=20)
        lines = [line for line in result.err.splitlines()
                 if not line.startswith("WARNING")]
        assert result.code >= 0 and \
            (len(lines) <= 2 or args[0] == "logs"), (args, result)
        if args[0] == "run" and result.code != 0:
            assert lines, result
    house.assert_sound()


def restart(house):
    """It ends and is started anew three times by its monitor, or fewer."""
    result = house.run("run", "-d", "--name", "victim", "--restart",
                       "on-failure:3", "busybox", "sh", "-c", "echo x; exit 3",
                       seconds=20)
    if result.code == 0:
        id = result.out.strip()
        wait_for(lambda: house.states()[id]["Status"] == "exited",
                 "the last end", 20)
        assert house.states()[id]["ExitCode"] != 0
        assert len(house.ok("logs", "victim").split()) <= 4
    house.assert_sound()


def slow(house):
    """Somebody who reads its output after a while only."""
    result = house.run("run", "-d", "--name", "victim", "busybox", "sh", "-c",
                       "while [ ! -e /go ]; do sleep 0.01; done; "
                       "seq 100000; echo all", seconds=20)
    if result.code == 0:
        reader = house.start("attach", "--no-stdin", "victim",
                             stdout=subprocess.PIPE)
        if house.run("exec", "victim", "touch", "/go", seconds=20).code != 0:
            house.run("kill", "victim", seconds=20)
        time.sleep(0.1)
        text = reader.stdout.read()
        reader.stdout.close()
        house.end(reader)
        assert not text or text.endswith(b"all\n") or reader.returncode
    house.run("kill", "victim", seconds=20)
    house.assert_sound()


LIVES = {"live": live, "restart": restart, "slow": slow}
CASES = [(life, name) for life in LIVES for name in FAULTS]
# A few at places that each life comes to.
FEW = [("live", "messages"), ("live", "write"), ("restart", "fork"),
       ("slow", "epoll")]
EARLY = (3, 7)


@pytest.mark.parametrize("life, name", CASES if LONG else FEW)
def test_calls_that_fail(faulty, life, name):
    with Traced(faulty) as house:
        for count in range(1, MOST, STEP.get(name, 1)) if LONG else EARLY:
            faulty.set(name, count)
            LIVES[life](house)
            hit = faulty.hit()
            house.run("rm", "-fv", "victim")
            house.assert_sound()
            wait_for(lambda: not house.leftovers(), "the end of processes")
            if not hit:
                break
        assert not hit or not LONG


def test_client_that_cannot_be_watched(faulty):
    """It is heard all the same, when that works again."""
    with Traced(faulty) as house:
        # One of the two is the beginning of a client's visit.
        for count in (14, 15):
            faulty.set("epoll", count)
            house.ok("run", "-d", "--name", "victim", "busybox", "sleep",
                     "1000")
            for _ in range(5):
                house.ok("exec", "victim", "true")
            assert faulty.hit()
            house.ok("rm", "-f", "victim")
