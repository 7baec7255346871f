"""The guest is what the other tests take it for."""
import os
import platform
import subprocess


def test_kernel():
    assert platform.release().startswith("6.1.")


def test_cgroup_v2_only():
    assert open("/proc/self/cgroup").read().startswith("0::/user.slice/")
    assert "memory" in open("/sys/fs/cgroup/cgroup.controllers").read()


def test_ordinary_account():
    assert os.getuid() == 1000
    assert open("/etc/subuid").read().startswith("tester:")


def test_systemd_user_session():
    assert os.environ["XDG_RUNTIME_DIR"] == "/run/user/1000"
    state = subprocess.run(["systemctl", "--user", "is-system-running"],
                           text=True, stdout=subprocess.PIPE).stdout
    assert state == "running\n"
