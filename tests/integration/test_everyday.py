"""What people type every day: second words for options, odd values, pipes."""
import re
import subprocess

import pytest

from conftest import Moss


def test_network_by_its_short_name(moss):
    out = moss.ok("run", "--rm", "--net", "none", "busybox", "ls",
                  "/sys/class/net")
    assert out == "lo"
    out = moss.ok("run", "--rm", "--dns-opt=ndots:2", "busybox", "cat",
                  "/etc/resolv.conf")
    assert "options ndots:2" in out
    assert "--net " not in moss.ok("run", "--help")
    assert "unknown flag: --ne\n" in moss("run", "--ne", "none", "busybox",
                                          check=125).err


def test_labels_have_names(moss, tmp_path):
    for label in ("", "=value", " ", "two words=value"):
        assert "label '" in moss("run", "-l", label, "busybox", "true",
                                 check=125).err
    file = tmp_path / "labels"
    file.write_text("good=1\n=2\n")
    assert "empty name" in moss("run", "--label-file", file, "busybox", "true",
                                check=125).err
    assert moss.ok("ps", "-aq") == ""


def test_empty_name_is_none(moss):
    moss.ok("run", "-d", "--name", "", "busybox", "true")
    (row,) = moss.ps("-a")
    assert "_" in row["Names"]


def test_log_options_need_a_log(moss):
    result = moss("run", "--log-driver", "none", "--log-opt", "max-size=1k",
                  "busybox", "true", check=125)
    assert "invalid logging opts for driver none" in result.err


def test_env_file_with_a_byte_order_mark(moss, tmp_path):
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbfONE=1\r\nTWO=2\r\n")
    out = moss.ok("run", "--rm", "--env-file", file, "busybox", "env")
    assert {"ONE=1", "TWO=2"} <= set(out.splitlines())


def test_forced_removal_of_nothing(moss):
    moss.ok("run", "--name", "there", "busybox", "true")
    result = moss("rm", "-f", "nosuch", "there", check=0)
    assert result.out == "there\n"
    assert "No such container: nosuch" in result.err
    assert moss("rm", "-f", "nosuch").code == 0
    assert moss("rm", "nosuch").code == 1


def test_name_of_one_letter(moss):
    err = moss("run", "--name", "a", "busybox", "true", check=125).err
    assert "Invalid container name (a)" in err and "two characters" in err


@pytest.mark.parametrize("command", [
    ["--help"], ["--version"], ["run", "--help"], ["container", "--help"],
    ["help"], ["help", "run"], ["ps"], ["images"], ["version"],
])
def test_full_output(moss, command):
    with open("/dev/full", "w") as full:
        process = subprocess.run([moss.program, *command], env=moss.env,
                                 stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1
    assert process.stderr == ("moss: cannot write to standard output: "
                              "No space left on device\n")


@pytest.fixture
def own_store(moss, busybox_tar, tmp_path):
    """A store to damage."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    own = Moss(moss.program, tmp_path / "data", run)
    own.ok("import", busybox_tar, "busybox")
    yield own
    own.remove_all()
    own("__unpin")


def test_inspect_of_a_damaged_image(own_store):
    (own_store.root / "image" / "index.json").write_text("{")
    result = own_store("inspect", "busybox", check=1)
    assert result.out == "[]\n"
    assert "index.json:1:2: JSON text ends too early" in result.err
    (own_store.root / "image" / "index.json").write_text('{"manifests":[]}')
    assert "No such object: Not A Name" in own_store("inspect",
                                                     "Not A Name").err


def test_store_that_cannot_be_written(own_store):
    """It can be looked at; of a change the line names the whole path."""
    script = ('mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" &&'
              ' MOSS_RUN="$2" "$3" images -q busybox &&'
              ' MOSS_RUN="$2" "$3" tag busybox other; code=$?;'
              ' MOSS_RUN="$2" "$3" __unpin; exit $code')
    run = own_store.root.parent / "other"
    run.mkdir(mode=0o700)
    process = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", own_store.root, run,
         own_store.program], env=own_store.env, capture_output=True, text=True)
    assert re.fullmatch(r"[0-9a-f]{12}\n", process.stdout)
    assert process.returncode == 1
    assert process.stderr == (f"moss: cannot open lock {own_store.root}/lock: "
                              "Read-only file system\n")


def test_quiet_load_names_the_image(moss, tmp_path):
    moss.ok("tag", "busybox", "loaded:1")
    moss.ok("save", "-o", tmp_path / "x.tar", "loaded:1")
    assert moss.ok("load", "-qi", tmp_path / "x.tar") == "Loaded image: loaded:1"
    moss.ok("rmi", "loaded:1")


def test_forced_removal_of_no_image(moss):
    moss.ok("tag", "busybox", "extra:1")
    result = moss("rmi", "-f", "nosuch:1", "extra:1", check=0)
    assert result.out == "Untagged: extra:1\n"
    assert "No such image: nosuch:1" in result.err
    assert moss("rmi", "nosuch:1").code == 1
