"""A true reboot: what runs from boot on, and what a shutdown is for a container.

The store and the runtime directory are the account's own, as the unit wants it.
"""
import json
import os
import pathlib
import subprocess

import pytest

from integration import Moss, wait_for

NOTES = pathlib.Path.home() / "notes"
# Says when it is told to end, and takes a while over it.
CAREFUL = ("trap 'sleep 1; echo ended >>/notes/%s; exit 0' TERM; "
           "echo started >>/notes/%s; while :; do sleep 0.2; done")
CONTAINERS = {  # name: its policy, and is it there again
    "always": ("always", True),
    "unless-stopped": ("unless-stopped", True),
    "limited": ("always", True),
    "stopped-always": ("always", True),  # docker's rule
    "stopped-unless": ("unless-stopped", False),
    "failing": ("on-failure", False),
    "none": ("no", False),
}


@pytest.fixture
def own(build):
    moss = Moss(build / "moss", pathlib.Path.home() / ".local/share/moss",
                "/run/user/1000/moss")
    for name in ("MOSS_ROOT", "MOSS_RUN"):
        del moss.env[name]
    return moss


def systemctl(*args):
    result = subprocess.run(["systemctl", "--user", *args], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.stdout.strip()


def notes(name):
    return (NOTES / name).read_text().split()


def start(own, name):
    options = ["--memory", "64m"] if name == "limited" else []
    own.ok("run", "-d", "--name", name, "--restart", CONTAINERS[name][0],
           "-v", f"{NOTES}:/notes", *options, "busybox", "sh", "-c",
           CAREFUL % (name, name))
    wait_for(lambda: (NOTES / name).exists(), f"{name} to run", 30)


@pytest.mark.first_boot_last
def test_before(own, busybox_tar):
    NOTES.mkdir()
    own.ok("import", busybox_tar, "busybox")
    for name in CONTAINERS:
        start(own, name)
    own.ok("stop", "stopped-always", "stopped-unless")

    out = own.ok("system", "unit", "--write")
    assert "loginctl enable-linger" in out
    assert "Created symlink" in systemctl("enable", "moss.service")
    subprocess.run(["sudo", "loginctl", "enable-linger", "tester"], check=True)
    assert "linger" not in own.ok("system", "unit", "--write")


@pytest.mark.second_boot
def test_shutdown_was_told(own):
    """Each got its stop signal and the time it took over it, once."""
    for name in CONTAINERS:
        assert notes(name)[:2] == ["started", "ended"], name


@pytest.mark.second_boot
def test_after(own):
    wait_for(lambda: systemctl("is-active", "moss.service") != "activating",
             "moss.service", 60)
    assert systemctl("is-active", "moss.service") == "active", \
        systemctl("status", "--no-pager", "moss.service")
    assert sorted(row["Names"] for row in own.ps()) == \
        sorted(name for name, (_, there) in CONTAINERS.items() if there)
    for name, (_, there) in CONTAINERS.items():
        state = own.inspect(name)["State"]
        assert state["Status"] == ("running" if there else "exited")
        if not there:
            # Not killed, it ended by itself, in its time.
            assert state["ExitCode"] == 0, name
            assert notes(name) == ["started", "ended"]
    assert own.ok("exec", "always", "echo", "there") == "there"


@pytest.mark.second_boot
def test_limits_are_back(own):
    assert own.inspect("limited")["HostConfig"]["Memory"] == 64 << 20
    assert own.ok("exec", "limited", "cat", "/sys/fs/cgroup/memory.max") == \
        str(64 << 20)


@pytest.mark.second_boot
def test_stop_of_the_unit(own):
    """Who was started at boot is told at the end of the unit, too."""
    before = len(notes("always"))
    systemctl("restart", "moss.service")
    wait_for(lambda: notes("always")[before:] == ["ended", "started"],
             "the end and the next start", 30)


@pytest.mark.second_boot
def test_reset_takes_the_unit(own):
    unit = pathlib.Path.home() / ".config/systemd/user/moss.service"
    assert unit.exists()
    out = own.ok("system", "reset", "--force")
    assert "moss.service" in out
    assert not unit.exists()
    assert systemctl("is-enabled", "moss.service") != "enabled"
    assert systemctl("is-active", "moss.service") == "inactive"
    assert not list((pathlib.Path.home() / ".config/systemd/user").glob("**/moss*"))
    assert not (pathlib.Path.home() / ".local/share/moss").exists()
    assert json.loads(own.ok("doctor", "--json"))["State"] != "broken"
    assert os.path.exists("/run/user/1000")
