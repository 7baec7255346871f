"""Login sessions: what moss doctor says there, and what logout does."""
import json
import os
import shlex
import subprocess
import time

import pytest

from integration import wait_for

VISITOR = 1001


def root(*command, check=True):
    return subprocess.run(["sudo", *map(str, command)], text=True, check=check,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def login(script):
    """A login of the other account, from the first to its logout; what the
    script printed."""
    return root("systemd-run", "--quiet", "--wait", "--pipe", "--collect",
                "--uid=visitor", "-p", "PAMName=login", "-p",
                "WorkingDirectory=/home/visitor", "/bin/bash", "-elc",
                f"PATH={os.environ['PATH']}\n{script}")


@pytest.fixture
def visitor():
    yield
    root("loginctl", "disable-linger", "visitor")
    # Containers that a failed test left keep their session.
    root("systemctl", "stop", f"user-{VISITOR}.slice", check=False)
    root("rm", "-rf", "/home/visitor/.local", "/home/visitor/.config")


def findings(text):
    return {check["Name"]: check for check in json.loads(text)["Checks"]}


def test_doctor(fresh):
    """On a stock Debian nothing is broken, in a login session."""
    checks = findings(fresh.ok("doctor", "--json"))
    for name, check in checks.items():
        expected = {"ports": "degraded", "ping": "degraded",
                    "linger": "degraded"}.get(name, "ok")
        assert check["State"] == expected, check
    assert checks["kernel"]["Message"] == f"Linux {os.uname().release}"


def test_doctor_on_lingering(fresh):
    def linger():
        return findings(fresh.ok("doctor", "--json"))["linger"]

    before = linger()
    assert before["Fix"] == "sudo loginctl enable-linger tester"
    try:
        subprocess.run(shlex.split(before["Fix"]), check=True)
        after = linger()
        assert after["State"] == "ok"
        assert "lingers" in after["Message"]
    finally:
        root("loginctl", "disable-linger", "tester")
    assert linger() == before


def test_doctor_in_a_service(fresh):
    """The user's manager gives its services what they ask for."""
    out = subprocess.run(
        ["systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect",
         "-p", "Delegate=yes", fresh.program, "doctor", "--json"],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    assert findings(out)["cgroup"]["State"] == "ok"


def test_doctor_without_a_session(visitor):
    """As by su or from a cron job: no runtime directory."""
    out = root("runuser", "-u", "visitor", "--", "env", "-i",
               "HOME=/home/visitor", f"PATH={os.environ['PATH']}",
               f"{os.environ['MOSS_BUILD']}/moss", "doctor", "--json",
               check=False)
    checks = findings(out)
    assert checks["runtime-directory"]["State"] == "degraded"
    assert "loginctl enable-linger visitor" in \
        checks["runtime-directory"]["Fix"]


def test_pids_limit_without_a_service_manager(visitor, busybox_tar):
    """The kernel counts for a user namespace."""
    root("install", "-m", "644", busybox_tar, "/tmp/busybox.tar")
    script = "for i in $(seq {}); do sleep 9 & done; echo all"
    commands = ["moss import /tmp/busybox.tar busybox", "moss doctor"] + [
        "moss run --rm --network none --pids-limit 10 busybox sh -c "
        f"'{script.format(count)}'" for count in (9, 10)]
    out = root("runuser", "-u", "visitor", "--", "env", "-i",
               "HOME=/home/visitor", f"PATH={os.environ['PATH']}", "sh", "-c",
               "; ".join(commands), check=False)
    assert "but --pids-limit, which a user namespace keeps" in out
    assert out.splitlines()[-2:] == \
        ["all", "sh: can't fork: Resource temporarily unavailable"]


def visitor_moss(*args):
    return root("runuser", "-u", "visitor", "--", "env",
                f"XDG_RUNTIME_DIR=/run/user/{VISITOR}", "HOME=/home/visitor",
                f"PATH={os.environ['PATH']}", "moss", *args, check=False)


IMPORT = "moss import /tmp/busybox.tar busybox >/dev/null"
# Says when it is told to end.
SERVICE = ("moss run -d --name {name} -v $HOME:/out {options} busybox sh -c "
           "\"trap 'echo ended >/out/{name}; exit 0' TERM; "
           "while :; do sleep 0.2; done\"")


def start(name, *options):
    return SERVICE.format(name=name, options=" ".join(options))


def test_logout_with_lingering(visitor, busybox_tar):
    root("install", "-m", "644", busybox_tar, "/tmp/busybox.tar")
    root("loginctl", "enable-linger", "visitor")
    login(f"{IMPORT}; {start('plain')}; {start('limited', '--memory', '64m')}")
    time.sleep(5)  # logind waits one second
    assert sorted(visitor_moss("ps", "--format", "{{.Names}}").split()) == \
        ["limited", "plain"]
    visitor_moss("stop", "limited", "plain")
    for name in ("limited", "plain"):
        assert root("cat", f"/home/visitor/{name}") == "ended\n"


def is_logged_in():
    """Does anything of the other account's run for logind?"""
    return os.path.exists(f"/run/user/{VISITOR}")


def test_logout_without_lingering(visitor, busybox_tar):
    """Containers go on. After the last one nothing is left of the session."""
    root("install", "-m", "644", busybox_tar, "/tmp/busybox.tar")
    out = login(f"{IMPORT}; {start('plain')}; {start('limited', '--memory', '64m')}; "
                "moss doctor --json || :")
    linger = findings(out[out.index("{"):])["linger"]
    assert "go on after logout" in linger["Message"]
    time.sleep(5)  # logind waits one second
    assert sorted(visitor_moss("ps", "--format", "{{.Names}}").split()) == \
        ["limited", "plain"]
    # Each of the two keeps the session by itself.
    visitor_moss("stop", "plain")
    time.sleep(12)
    assert visitor_moss("ps", "--format", "{{.Names}}").split() == ["limited"]
    visitor_moss("stop", "limited")
    wait_for(lambda: not is_logged_in(), "the end of the session", 40)
    for name in ("limited", "plain"):
        assert root("cat", f"/home/visitor/{name}") == "ended\n"
    # The next login finds all as it was left.
    out = login("moss start plain; moss ps -a --format '{{.Names}} {{.State}}'; "
                "moss rm -f plain limited; moss ps -aq")
    assert sorted(out.splitlines()[1:3]) == ["limited exited", "plain running"]
    wait_for(lambda: not is_logged_in(), "the end of the next session", 40)


@pytest.fixture
def killing_logind():
    drop_in = "/run/systemd/logind.conf.d/kill.conf"
    root("sh", "-ec", f"mkdir -p {os.path.dirname(drop_in)}\n"
         f"printf '[Login]\nKillUserProcesses=yes\n"
         f"KillOnlyUsers=visitor\n' >{drop_in}\n"
         "systemctl restart systemd-logind")
    yield
    root("sh", "-ec", f"rm {drop_in}; systemctl restart systemd-logind")


def test_logout_that_kills(visitor, killing_logind, busybox_tar):
    root("install", "-m", "644", busybox_tar, "/tmp/busybox.tar")
    out = login(f"{IMPORT}; {start('plain')}; moss doctor --json || :")
    linger = findings(out[out.index("{"):])["linger"]
    assert "ends visitor's containers at logout" in linger["Message"]
    wait_for(lambda: not is_logged_in(), "the end of the session", 40)
    assert root("cat", "/home/visitor/plain") == "ended\n"
    assert login("moss ps -a --format '{{.Names}} {{.State}}'; "
                 "moss rm plain").split() == ["plain", "exited", "plain"]

    # What the row says is the way out.
    fix = linger["Fix"].splitlines()[0]
    try:
        root("sh", "-ec", fix)
        out = login(f"{start('plain')}; moss doctor --json || :")
        linger = findings(out[out.index("{"):])["linger"]
        assert "go on after logout" in linger["Message"]
        time.sleep(5)
        assert visitor_moss("ps", "--format", "{{.Names}}").split() == ["plain"]
        visitor_moss("stop", "plain")
    finally:
        root("rm", "-f", "/etc/systemd/logind.conf.d/moss.conf")
