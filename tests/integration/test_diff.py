"""moss diff: what a container has changed, in docker's letters."""
import pytest


@pytest.fixture(params=["overlay", "fuse-overlayfs"])
def driver(request):
    return request.param


@pytest.fixture
def image(moss):
    """With a few directories to be changed."""
    moss.ok("run", "--name", "base", "busybox", "sh", "-c",
            "mkdir -p /old/deep/er /same/inner /modes; "
            "echo a >/old/a; echo b >/old/b; echo d >/old/deep/er/d; "
            "echo s >/same/inner/s; echo k >/same/k; echo f >/file")
    moss.ok("commit", "base", "changeable")
    moss.ok("rm", "base")
    yield "changeable"
    moss.remove_all()
    moss.ok("rmi", "changeable")


def changes(moss, image, driver, script, diff=("diff",)):
    moss.ok("run", "--name", "work", "--storage-driver", driver, image, "sh",
            "-c", script)
    try:
        return moss.ok(*diff, "work").splitlines()
    finally:
        moss.ok("rm", "work")


@pytest.mark.parametrize("script, expected", [
    ("true", []),
    ("cat /old/a /same/inner/s; ls -R / >/dev/null 2>&1; true", []),
    ("echo n >/new", ["A /new"]),
    ("mkdir -p /x/y; echo z >/x/y/z", ["A /x", "A /x/y", "A /x/y/z"]),
    ("echo n >>/file", ["C /file"]),
    ("rm /file", ["D /file"]),
    ("rm /file; mkdir /file; echo >/file/in", ["C /file", "A /file/in"]),
    ("rm -r /old", ["D /old"]),
    # The directory itself has not changed, only what is in it.
    ("echo n >>/same/inner/s", ["C /same", "C /same/inner", "C /same/inner/s"]),
    ("rm /same/k", ["C /same", "D /same/k"]),
    ("chmod 700 /modes", ["C /modes"]),
    ("chown 7 /modes", ["C /modes"]),
    ("ln -s /nowhere /old/link", ["C /old", "A /old/link"]),
    ("rm -r /old; mkdir /old; echo >/old/b; echo >/old/c",
     ["C /old", "D /old/a", "D /old/deep", "C /old/b", "A /old/c"]),
    ("echo >/gone; rm /gone", []),
    ("echo >/tmp/$(printf 'a\\033[31m\\nD b')", ["C /tmp", r"A /tmp/a\x1b[31m\x0aD b"]),
])
def test_changes(moss, image, driver, script, expected):
    found = changes(moss, image, driver, script)
    # Names have no order on disk that would be theirs.
    assert sorted(found) == sorted(expected)
    for line in found:
        parent = line[2:].rpartition("/")[0]
        told = [other[2:] for other in found]
        assert not parent or told.index(parent) < told.index(line[2:])


def test_management_form(moss, image):
    assert changes(moss, image, "overlay", "echo >/n",
                   ("container", "diff")) == ["A /n"]


def test_running_and_never_started(moss, driver):
    moss.ok("create", "--name", "idle", "--storage-driver", driver, "busybox",
            "true")
    assert moss.ok("diff", "idle") == ""
    moss.ok("run", "-d", "--name", "busy", "--storage-driver", driver,
            "busybox", "sh", "-c", "echo >/now; sleep 1000")
    moss.wait_for(lambda: moss.ok("diff", "busy") == "A /now")
    # What is mounted is not the container's change.
    moss.ok("run", "--name", "mounts", "-v", "/data", "--tmpfs", "/tmp",
            "--storage-driver", driver, "busybox", "sh", "-c",
            "echo >/data/x; echo >/tmp/y; echo >>/etc/hosts")
    assert "x" not in moss.ok("diff", "mounts")
    assert "y" not in moss.ok("diff", "mounts")
    assert "hosts" not in moss.ok("diff", "mounts")


def test_many_changes(moss):
    moss.ok("run", "--name", "many", "busybox", "sh", "-c",
            "mkdir /m; cd /m; i=0; while [ $i -lt 5000 ]; do "
            ">a-rather-long-name-of-a-file-number-$i; i=$((i+1)); done")
    lines = moss.ok("diff", "many").splitlines()
    assert len(lines) == 5001 and lines[0] == "A /m"
    assert len(set(lines)) == 5001


def test_no_such_container(moss):
    result = moss("diff", "nosuch")
    assert result.code == 1 and "No such container: nosuch" in result.err
