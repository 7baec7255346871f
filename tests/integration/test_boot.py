"""moss system boot and unit: what runs from boot on."""
import json
import os
import shutil
import signal
import subprocess


def run(moss, name, policy, *options):
    moss.ok("run", "-d", "--name", name, "--restart", policy, *options,
            "busybox", "sleep", "1000")


def running(moss):
    return sorted(row["Names"] for row in moss.ps())


def lose(moss, *names):
    """As a reboot does: neither they nor their monitors get to say a word."""
    for name in names:
        directory = moss.root / "containers" / moss.inspect(name)["Id"]
        state = json.loads((directory / "state.json").read_text())
        os.kill(state["MonitorPid"], signal.SIGKILL)
        moss.wait_for(lambda: moss.inspect(name)["State"]["Status"] ==
                      "exited")


def test_policies(moss):
    for policy in ("no", "on-failure", "always", "unless-stopped"):
        run(moss, f"lost-{policy}", policy)
        run(moss, f"stopped-{policy}", policy)
        moss.ok("stop", "-t", "0", f"stopped-{policy}")
        lose(moss, f"lost-{policy}")
    moss.ok("create", "--name", "new", "--restart", "always", "busybox",
            "true")
    run(moss, "runs", "always")
    wanted = ["lost-always", "lost-unless-stopped", "stopped-always"]
    assert sorted(moss.ok("system", "boot").splitlines()) == wanted
    assert running(moss) == sorted(wanted + ["runs"])
    assert moss.ok("system", "boot") == ""


def test_a_start_makes_it_unstopped(moss):
    run(moss, "again", "unless-stopped")
    moss.ok("kill", "again")
    assert moss.ok("system", "boot") == ""
    moss.ok("start", "again")
    lose(moss, "again")
    assert moss.ok("system", "boot") == "again"


def test_oldest_first_and_in_spite_of_failures(moss, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    run(moss, "zz-owner", "always")
    run(moss, "aa-guest", "always", "--network", "container:zz-owner")
    run(moss, "broken", "always", "--mount",
        f"type=bind,src={source},dst=/mnt")
    lose(moss, "aa-guest", "zz-owner", "broken")
    source.rmdir()
    result = moss("system", "boot")
    assert result.code == 1
    assert result.out == "zz-owner\naa-guest\n"
    assert "broken" in result.err and "does not exist" in result.err
    assert running(moss) == ["aa-guest", "zz-owner"]


def test_unit(moss, tmp_path):
    text = moss.ok("system", "unit")
    assert f'ExecStart="{os.path.realpath(moss.program)}" system boot' in text
    assert f'Environment="MOSS_ROOT={moss.root}"' in text
    odd = moss.with_env(MOSS_ROOT='/a"b\\c%d $e', MOSS_RUN="")
    text = odd.ok("system", "unit")
    assert 'Environment="MOSS_ROOT=/a\\"b\\\\c%%d $e"' in text
    assert "MOSS_RUN" not in text
    result = moss.with_env(MOSS_ROOT="/a\nExecStart=x")("system", "unit")
    assert result.code == 1 and "control characters" in result.err
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "moss.service"
        unit.write_text(moss.ok("system", "unit") + "\n")
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--user", "--man=no", str(unit)],
            env=dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path)), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert "moss.service" not in checked.stdout, checked.stdout


def test_unit_is_written(moss, tmp_path):
    home = moss.with_env(XDG_CONFIG_HOME=str(tmp_path / "config"))
    path = tmp_path / "config/systemd/user/moss.service"
    for _ in range(2):
        out = home.ok("system", "unit", "--write")
        assert f"Wrote {path}\n" in out
        assert "systemctl --user enable moss.service" in out
        assert "loginctl enable-linger" in out
        assert path.read_text() == home.ok("system", "unit") + "\n"
    path.unlink()
    path.mkdir()
    assert home("system", "unit", "-w").code == 1
