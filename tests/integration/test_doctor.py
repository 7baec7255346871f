"""moss doctor: on this machine, and where something is missing.

Machines with something amiss are made with unshare(1): the test's user is root
in a user and mount namespace of its own there.
"""
import json
import os
import pty
import re
import shlex
import subprocess

import pytest

NAMES = ["user", "kernel", "programs", "user-namespaces", "apparmor", "nested",
         "sub-uids", "sub-gids", "newuidmap", "newgidmap", "storage", "fuse",
         "fuse-overlayfs", "file-system", "disk-space", "runtime-directory",
         "tun", "ping", "ports", "cgroup", "linger", "seccomp", "landlock"]


def findings(result):
    report = json.loads(result.out)
    checks = {check["Name"]: check for check in report["Checks"]}
    assert list(checks) == NAMES
    states = [check["State"] for check in checks.values()]
    worst = next(state for state in ("broken", "degraded", "ok")
                 if state in states)
    assert report["State"] == worst
    assert result.code == (worst == "broken")
    for check in checks.values():
        assert check["Message"]
        assert (check["Fix"] is None) == (check["State"] == "ok"), check
    return checks


class Amiss:
    """moss doctor after commands by root of namespaces of one's own."""

    def __init__(self, moss, tmp_path):
        self.moss, self.tmp = moss, tmp_path

    def __call__(self, commands, *args):
        script = (f"set -e; cd {shlex.quote(str(self.tmp))}; {commands}\n"
                  f"exec {shlex.quote(self.moss.program)} {shlex.join(args)}")
        process = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", script], env=self.moss.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=120)
        process.code, process.out = process.returncode, process.stdout
        return process

    def doctor(self, commands):
        return findings(self(commands, "doctor", "--json"))


@pytest.fixture
def amiss(fresh, tmp_path):
    return Amiss(fresh, tmp_path)


def tree(path):
    return sorted(str(p) for p in path.rglob("*"))


def test_here(fresh, tmp_path):
    """The machine of the tests runs moss, so nothing is broken."""
    before = tree(tmp_path)
    run = tree(fresh.run_directory)
    checks = findings(fresh("doctor", "--json"))
    assert not [c for c in checks.values() if c["State"] == "broken"], checks
    assert str(os.getuid()) in checks["user"]["Message"]
    assert os.uname().release in checks["kernel"]["Message"]
    # Nothing is made, not even a store.
    assert tree(tmp_path) == before
    assert tree(fresh.run_directory) == run


def test_text(fresh):
    checks = findings(fresh("doctor", "--json"))
    result = fresh("doctor")
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    heads = [line for line in lines if re.match(r"(ok|degraded|broken) ", line)]
    assert [line.split()[:2] for line in heads] == \
        [[c["State"], name] for name, c in checks.items()]
    for check in checks.values():
        for fix in (check["Fix"] or "").splitlines():
            assert any(line.endswith(fix) for line in lines), fix
    counts = [sum(c["State"] == state for c in checks.values())
              for state in ("ok", "degraded", "broken")]
    assert lines[-1] == ("{} checks: {} ok, {} degraded, {} broken"
                         .format(len(checks), *counts))
    assert fresh("system", "doctor").out.splitlines()[0] == lines[0]
    assert "\033" not in result.out


def on_terminal(moss, **env):
    primary, secondary = pty.openpty()
    with subprocess.Popen([moss.program, "doctor"], stdout=secondary,
                          stdin=subprocess.DEVNULL,
                          env=dict(moss.env, TERM="xterm", **env)) as process:
        os.close(secondary)
        out = b""
        try:
            while chunk := os.read(primary, 4096):
                out += chunk
        except OSError:
            pass
        os.close(primary)
        assert process.wait(60) == 0
    return out


def test_colors(fresh):
    assert b"\033[32mok" in on_terminal(fresh)
    assert b"\033" not in on_terminal(fresh, NO_COLOR="1")


def test_store_of_its_own(session_moss):
    """Where there is a store, it is tried in there and left as it was."""
    before = tree(session_moss.root)
    checks = findings(session_moss("doctor", "--json"))
    assert checks["storage"]["State"] != "broken"
    assert tree(session_moss.root) == before


def test_info_leads_here(fresh):
    result = fresh("info")
    assert result.code == 0
    assert result.err.count("WARNING: ") > 1
    assert "WARNING: moss doctor tells what can be done about it\n" in \
        result.err


def test_no_user_namespaces(amiss):
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"
    assert amiss(forbid, "info").code != 0
    checks = amiss.doctor(forbid)
    found = checks["user-namespaces"]
    assert found["State"] == "broken"
    assert found["Message"] == "user.max_user_namespaces is 0"
    assert "user.max_user_namespaces = 15000" in found["Fix"]
    # What is only a consequence does not drown it.
    assert checks["nested"]["State"] == "ok"
    assert checks["tun"]["State"] == "ok"


def test_namespaces_fail_without_a_setting(amiss):
    """Two levels deep is not enough for a container."""
    found = amiss.doctor("echo 16 > /proc/sys/user/max_user_namespaces; "
                         "echo 0 > /proc/sys/user/max_mnt_namespaces"
                         )["user-namespaces"]
    assert found["State"] == "broken"
    assert "cannot make a container's namespaces" in found["Message"]


def test_covered_proc(amiss):
    found = amiss.doctor("mount -t tmpfs none /proc/fs")["nested"]
    # Root of the namespace made the cover itself, and still may not lift it.
    assert found["State"] == "broken", found
    assert "parts of /proc are covered" in found["Message"]
    assert "systempaths=unconfined" in found["Fix"]


def test_no_tun(amiss):
    checks = amiss.doctor("mount -t tmpfs none /dev/net")
    assert checks["tun"]["State"] == "broken"
    assert "modprobe tun" in checks["tun"]["Fix"]


def test_newuidmap_without_its_bit(amiss):
    checks = amiss.doctor("cp /bin/true true; "
                          "mount --bind true $(command -v newuidmap)")
    assert checks["newuidmap"]["State"] == "degraded"
    assert "set-user-ID bit" in checks["newuidmap"]["Message"]
    assert "chmod u+s" in checks["newuidmap"]["Fix"]


def test_overlapping_ids(amiss):
    checks = amiss.doctor(
        "printf 'root:1000000:65536\\neve:1065535:10\\n' > subuid; "
        "printf 'root:1000000:10\\n' > subgid; "
        "mount --bind subuid /etc/subuid; mount --bind subgid /etc/subgid")
    assert "overlaps with eve's 1065535-1065544" in \
        checks["sub-uids"]["Message"]
    assert "usermod --del-subuids 1000000-1065535 root" in \
        checks["sub-uids"]["Fix"]
    assert "too few" in checks["sub-gids"]["Message"]
    assert "--add-subgids" in checks["sub-gids"]["Fix"]


def test_full_disk(amiss):
    checks = amiss.doctor("mkdir small; mount -t tmpfs -o size=2m,nr_inodes=900"
                          " none small; export MOSS_ROOT=$PWD/small/store")
    assert checks["disk-space"]["State"] == "broken"
    assert checks["file-system"]["State"] == "degraded"
    assert "tmpfs" in checks["file-system"]["Message"]


def test_nowhere_to_write(amiss):
    checks = amiss.doctor("mkdir ro; mount -t tmpfs -o ro none ro; "
                          "export MOSS_ROOT=$PWD/ro/store")
    assert checks["disk-space"]["State"] == "broken"
    assert "cannot write" in checks["disk-space"]["Message"]
    assert checks["storage"]["State"] == "broken"


def test_relative_root(fresh):
    result = fresh.with_env(MOSS_ROOT="relative")("doctor")
    assert result.code == 1
    assert "MOSS_ROOT=relative is not an absolute path" in result.err
