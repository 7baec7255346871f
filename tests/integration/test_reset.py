"""moss system reset: everything goes, and nothing that is not moss's."""
import os
import random
import shlex
import signal
import subprocess
import time

import pytest

from conftest import Moss, wait_for


@pytest.fixture
def own(session_moss, tmp_path_factory, tmp_path):
    """A moss whose runtime directory is its own, too: it will be gone."""
    run = tmp_path_factory.mktemp("run")
    run.chmod(0o700)
    moss = Moss(session_moss.program, tmp_path / "data", run)
    yield moss
    moss("system", "reset", "-f")
    moss.remove_all()
    subprocess.run([moss.program, "__unpin"], env=moss.env,
                   stderr=subprocess.DEVNULL)


def fill(moss, busybox_tar):
    """Two running containers, a stopped one, files of foreign IDs, a volume;
    returns the PIDs of it all."""
    moss.ok("import", busybox_tar, "busybox")
    moss.ok("volume", "create", "kept")
    moss.ok("run", "--name", "ended", "busybox", "true")
    moss.ok("run", "-d", "--name", "first", "-p", "0:80", "busybox", "sleep",
            "1000")
    moss.ok("run", "-d", "--name", "second", "-v", "kept:/v", "busybox", "sh",
            "-c", "mkdir -p /d/e /v/f; touch /d/e/x /v/f/y; "
            "chown -R 33:33 /d /v/f; chmod 0 /d/e /v/f; echo made; "
            "trap '' TERM; while :; do sleep 1; done")
    wait_for(lambda: "made" in moss.ok("logs", "second"), "the files")
    return processes_of(moss)


def processes_of(moss):
    """In the pinned namespace of this moss, or below it."""
    own = os.readlink("/proc/self/ns/user")
    pause = find_pause(moss)
    pids = {pause}
    for name in moss.ok("ps", "-q").split():
        pid = moss.inspect(name)["State"]["Pid"]
        assert os.readlink(f"/proc/{pid}/ns/user") != own
        pids.add(pid)
        with open(f"/proc/{pid}/stat") as stat:
            pids.add(int(stat.read().rsplit(")", 1)[1].split()[1]))
    return pids


def find_pause(moss):
    title = f"moss: pause {moss.run_directory}/moss".encode()
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().rstrip(b"\0") == title:
                    return int(pid)
        except (OSError, ValueError):
            pass
    return None


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def assert_gone(moss, pids=()):
    assert not os.path.lexists(moss.root)
    assert os.listdir(moss.run_directory) == []
    assert find_pause(moss) is None
    assert not [pid for pid in pids if alive(pid)]


def test_everything_goes(own, busybox_tar):
    pids = fill(own, busybox_tar)
    assert len(pids) == 5 and all(map(alive, pids))
    result = own("system", "reset", "-f")
    assert result.code == 0 and result.err == "", result
    assert result.out.startswith("Total reclaimed space: ")
    assert not result.out.endswith(" 0B\n")
    assert_gone(own, pids)
    # And it can be begun anew.
    own.ok("import", busybox_tar, "busybox")
    assert own.ok("run", "--rm", "busybox", "echo", "again") == "again"


def test_question(own, busybox_tar):
    pids = fill(own, busybox_tar)
    for answer in ("n\n", "", "yes\n"):
        result = own("system", "reset", stdin=answer)
        assert result.code == 0
        assert result.out.startswith(
            "WARNING! This will remove everything that moss made for you:\n"
            "  - 3 containers, 2 of them running, to be killed\n"
            "  - 1 volume with all that is in it\n"
            "  - all images and the cache\n"
            f"  - with them the store {own.root}, "), result
        assert result.out.endswith("continue? [y/N] ")
        assert f"{own.run_directory}/moss, and whatever runs" in result.out
    assert all(map(alive, pids))
    assert len(own.ps()) == 2
    assert own("system", "reset", stdin="y\n").code == 0
    assert_gone(own, pids)


def test_nothing_there(own):
    result = own("system", "reset")
    assert (result.code, result.out) == \
        (0, "There is nothing of moss to be removed.\n")
    assert_gone(own)


def test_only_a_namespace(own, busybox_tar):
    own.ok("images")
    pause = find_pause(own)
    assert pause
    own.ok("system", "reset", "-f")
    assert_gone(own, [pause])


STORE = ["image", "layers", "volumes", "tmp"]


def tree(path):
    return sorted((str(p), p.lstat().st_mode) for p in path.rglob("*"))


@pytest.mark.parametrize("parts, mode", [
    (["Documents"], 0o700),         # a home directory
    (["image", "tmp", "Documents"], 0o700),
    (["image"], 0o700),
    (["image", "layers", "volumes"], 0o700),
    (STORE, 0o755),                 # a project's directories
    (STORE + ["image/photos"], 0o700),
])
def test_not_a_store(own, parts, mode):
    for part in parts:
        (own.root / part).mkdir(parents=True)
        (own.root / part).chmod(mode)
        (own.root / part / "file").write_text("precious")
    before = tree(own.root)
    for args in ((), ("-f",)):
        result = own("system", "reset", *args, stdin="y\n")
        assert result.code == 1, result
        assert f"{own.root} is not a store of moss" in result.err
        assert "nothing was removed" in result.err
    assert tree(own.root) == before


def test_not_a_directory(own):
    own.root.write_text("precious")
    assert own("system", "reset", "-f").code == 1
    assert own.root.read_text() == "precious"
    own.root.unlink()


def test_symbolic_links(own, busybox_tar, tmp_path):
    own.ok("import", busybox_tar, "busybox")
    precious = tmp_path / "precious"
    (precious / "sub").mkdir(parents=True)
    (precious / "sub" / "file").write_text("precious")
    before = tree(precious)
    own.ok("volume", "create", "vol")
    (own.root / "volumes/vol/_data/link").symlink_to(precious)
    subprocess.run(["rm", "-rf", own.root / "cache"], check=True)
    (own.root / "cache").symlink_to(precious)
    (own.root / "names").mkdir(exist_ok=True)
    (own.root / "names" / "x").symlink_to(precious / "sub")
    own.ok("system", "reset", "-f")
    assert tree(precious) == before
    assert_gone(own)


def test_mark_is_a_link(own, busybox_tar, tmp_path):
    own.ok("import", busybox_tar, "busybox")
    precious = tmp_path / "precious"
    precious.mkdir()
    (own.root / ".moss-reset").symlink_to(precious)
    result = own("system", "reset", "-f")
    assert result.code == 1 and ".moss-reset" in result.err, result
    assert list(precious.iterdir()) == []
    assert own.images() == ["busybox:latest"]
    (own.root / ".moss-reset").unlink()


def test_a_link_for_a_store(own, busybox_tar, tmp_path):
    (tmp_path / "disk").mkdir()
    own.root.symlink_to(tmp_path / "disk")
    own.ok("import", busybox_tar, "busybox")
    own.ok("system", "reset", "-f")
    assert os.readlink(own.root) == str(tmp_path / "disk")
    assert os.listdir(own.root) == []
    own.ok("import", busybox_tar, "busybox")


def test_what_is_not_moss_stays(own, busybox_tar):
    own.ok("import", busybox_tar, "busybox")
    (own.root / "mine").mkdir()
    (own.root / "mine" / "file").write_text("precious")
    result = own("system", "reset", "-f")
    assert result.code == 0
    assert result.err == f"WARNING: {own.root}/mine is not moss's and stays\n"
    assert os.listdir(own.root) == ["mine"]
    assert (own.root / "mine" / "file").read_text() == "precious"


def test_bind_mounts_stay(own, busybox_tar, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    own.ok("import", busybox_tar, "busybox")
    own.ok("run", "-d", "-v", f"{shared}:/s", "busybox", "sh", "-c",
           "echo precious > /s/file; sleep 1000")
    wait_for(lambda: (shared / "file").exists(), "the file")
    own.ok("system", "reset", "-f")
    assert (shared / "file").exists()
    assert_gone(own)


def test_damaged_store(own, busybox_tar):
    pids = fill(own, busybox_tar)
    (own.root / "image/index.json").unlink()
    (own.root / "image/oci-layout").write_text("{")
    for directory in (own.root / "containers").iterdir():
        (directory / "container.json").write_text("{")
        (directory / "state.json").unlink(missing_ok=True)
    (own.root / "containers" / "nonsense").touch()
    own.ok("system", "reset", "-f")
    assert_gone(own, pids)


def test_pin_is_lost(own, busybox_tar):
    pids = fill(own, busybox_tar)
    (own.run_directory / "moss/userns/pin.json").write_text("damaged")
    own.ok("system", "reset", "-f")
    assert_gone(own, pids)


def test_other_runtime_directory(own, busybox_tar, tmp_path_factory):
    """The containers of the store run in another namespace."""
    run = tmp_path_factory.mktemp("other")
    run.chmod(0o700)
    other = Moss(own.program, own.root, run)
    pids = fill(other, busybox_tar) - {find_pause(other)}
    own.ok("system", "reset", "-f")
    assert_gone(own)
    wait_for(lambda: not [pid for pid in pids if alive(pid)], "their end")
    other.ok("system", "reset", "-f")
    assert_gone(other)


def test_killed_in_the_middle(own, busybox_tar):
    """At random moments; what is left is taken up by the next one."""
    chance = random.Random(4)
    interrupted = 0
    fill(own, busybox_tar)
    begun = time.monotonic()
    own.ok("system", "reset", "-f")
    whole = time.monotonic() - begun
    for _ in range(5):
        pids = fill(own, busybox_tar)
        with own.popen("system", "reset", "-f", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL) as process:
            time.sleep(chance.uniform(0, 0.9 * whole))
            process.send_signal(signal.SIGKILL)
            interrupted += process.wait() == -signal.SIGKILL
        result = own("system", "reset", "-f")
        assert result.code == 0, result
        assert_gone(own, pids)
    assert interrupted


def test_left_by_a_killed_one(own, busybox_tar):
    """The mark tells that it was a store, and nothing collides in it."""
    own.ok("import", busybox_tar, "busybox")
    mark = own.root / ".moss-reset"
    mark.mkdir(mode=0o700)
    for part in ("image", "layers"):
        (own.root / part).rename(mark / f"{part}.0")
    (own.root / "image").mkdir(mode=0o700)
    (own.root / "image" / "file").touch()
    own.ok("system", "reset", "-f")
    assert_gone(own)


def reset_without_namespaces(moss):
    subprocess.run([moss.program, "__unpin"], env=moss.env, check=True)
    script = ("echo 0 > /proc/sys/user/max_user_namespaces; exec "
              f"{shlex.quote(moss.program)} system reset -f")
    return subprocess.run(["unshare", "-Urm", "sh", "-c", script],
                          env=moss.env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)


def test_without_namespaces(own, busybox_tar):
    """No namespace can be made any more: one's own files still go."""
    own.ok("import", busybox_tar, "busybox")
    result = reset_without_namespaces(own)
    assert result.returncode == 0, result
    assert_gone(own)


def test_foreign_files_without_namespaces(own, busybox_tar):
    """Those stay, it is said why, and the next one finds them again."""
    own.ok("import", busybox_tar, "busybox")
    own.ok("run", "busybox", "sh", "-c",
           "mkdir -p /d/e; touch /d/e/x; chown -R 33:33 /d; chmod 700 /d/e")
    result = reset_without_namespaces(own)
    assert result.returncode == 1, result
    assert f"{own.root}: cannot remove .moss-reset/containers.0/" in \
        result.stderr
    assert "user namespace cannot be entered" in result.stderr
    assert os.listdir(own.root) == [".moss-reset"]
    own.ok("system", "reset", "-f")
    assert_gone(own)


def test_while_others_wait(own, busybox_tar):
    """Other commands at the same time neither hang nor leave anything."""
    fill(own, busybox_tar)
    others = [own.popen("run", "-d", "busybox", "sleep", "1000",
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
              for _ in range(6)]
    own.ok("system", "reset", "-f")
    for process in others:
        process.wait(60)
    own.ok("system", "reset", "-f")
    assert_gone(own)


@pytest.mark.parametrize("filled", [True, False])
def test_the_unit_goes(own, tmp_path, busybox_tar, filled):
    """Where no service manager is to be told, the files go all the same."""
    moss = own.with_env(XDG_CONFIG_HOME=str(tmp_path / "config"))
    units = tmp_path / "config/systemd/user"
    wants = units / "default.target.wants"
    if filled:
        moss.ok("import", busybox_tar, "busybox")
    moss.ok("system", "unit", "-w")
    wants.mkdir()
    (wants / "moss.service").symlink_to(units / "moss.service")
    asked = moss("system", "reset", stdin="n\n")
    assert "the unit moss.service" in asked.out
    assert (units / "moss.service").exists()
    out = moss.ok("system", "reset", "-f")
    assert "Removed the unit moss.service" in out
    assert [path.name for path in units.rglob("*")] == [wants.name]
    assert moss.ok("system", "reset", "-f") == \
        "There is nothing of moss to be removed."


@pytest.mark.parametrize("change", [
    lambda text: text.replace("MOSS_ROOT=", "MOSS_ROOT=/other"),
    lambda text: text.replace("Containers of moss", "Something else"),
    lambda text: "",
], ids=["other store", "other unit", "empty"])
def test_another_unit_stays(own, tmp_path, busybox_tar, change):
    moss = own.with_env(XDG_CONFIG_HOME=str(tmp_path / "config"))
    unit = tmp_path / "config/systemd/user/moss.service"
    moss.ok("import", busybox_tar, "busybox")
    moss.ok("system", "unit", "-w")
    text = change(unit.read_text())
    unit.write_text(text)
    assert "unit" not in moss.ok("system", "reset", "-f")
    assert unit.read_text() == text
