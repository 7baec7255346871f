"""What every day needs, on the oldest kernel at hand and a stock Debian."""
import os
import time
import urllib.request

import oci
import pytest

from integration import wait_for


def http(port, path):
    """What it answers; nothing while nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}",
                                    timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_run_and_exec(moss):
    result = moss("run", "--rm", "busybox", "sh", "-c",
                  "id -u; uname -r; echo no >&2; exit 7")
    assert result.code == 7
    assert result.out.split() == ["0", os.uname().release]
    assert result.err == "no\n"
    moss.ok("run", "-d", "--name", "box", "--user", "web", "busybox", "sleep",
            "1000")
    assert moss.ok("exec", "-u", "root", "-w", "/srv", "box", "sh", "-c",
                   "id -u; pwd; hostname").split() == \
        ["0", "/srv", moss.inspect("box")["Config"]["Hostname"]]
    assert moss.ok("exec", "box", "id", "-un") == "web"
    assert moss("exec", "box", "sh", "-c", "exit 3").code == 3
    moss.ok("stop", "-t", "0", "box")
    assert moss.inspect("box")["State"]["ExitCode"] == 137


def test_files_of_other_users(moss):
    """65536 sub-IDs are there, and files keep them."""
    assert moss.ok("run", "--rm", "busybox", "sh", "-c",
                   "touch /f && chown 1000:50 /f && su web -c 'id -u' && "
                   "stat -c %u:%g /f").split() == ["1000", "1000:50"]


def test_published_port(moss, free_port, tmp_path):
    (tmp_path / "index.html").write_text("from a container\n")
    port = free_port()
    moss.ok("run", "-d", "--name", "www", "-p", f"127.0.0.1:{port}:80",
            "-v", f"{tmp_path}:/www:ro", "busybox", "httpd", "-f", "-h", "/www")
    assert moss.ok("port", "www") == f"80/tcp -> 127.0.0.1:{port}"
    wait_for(lambda: http(port, "index.html"), "httpd", 30)
    for _ in range(20):
        assert http(port, "index.html") == "from a container\n"


def test_pull_and_load(fresh, tiny, busybox_layer, tmp_path):
    client = oci.Client(tiny.port)
    image = oci.Image([busybox_layer])
    client.put("tools/busybox:1", image)
    name = tiny.name("tools/busybox:1")
    fresh.ok("pull", "-q", name)
    assert fresh.ok("run", "--rm", name, "echo", "pulled") == "pulled"
    fresh.ok("save", "-o", tmp_path / "image.tar", name)
    fresh.ok("rmi", name)
    assert fresh.images() == []
    fresh.ok("load", "-i", tmp_path / "image.tar")
    assert fresh.images() == [name]
    assert fresh.ok("run", "--rm", name, "echo", "loaded") == "loaded"


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_storage_drivers(moss, driver):
    """Lower files changed, removed, renamed and their directories replaced,
    and a layer made of that."""
    with_driver = moss.with_env(MOSS_STORAGE_DRIVER=driver)
    with_driver.ok("run", "--name", "writer", "busybox", "sh", "-ec", """
        echo more >>/etc/group
        rm /bin/vi
        mv /etc/passwd /etc/accounts
        rmdir /srv && mkdir /srv && echo new >/srv/file
        chown 1000 /srv/file""")
    assert with_driver.inspect("writer")["GraphDriver"]["Name"] == driver
    assert set(with_driver.ok("diff", "writer").splitlines()) >= {
        "C /etc", "C /etc/group", "D /etc/passwd", "A /etc/accounts",
        "D /bin/vi", "A /srv/file"}
    with_driver.ok("commit", "writer", "changed")
    assert with_driver.ok(
        "run", "--rm", "changed", "sh", "-c",
        "ls -l /bin/vi /etc/passwd 2>/dev/null; tail -n 1 /etc/group;"
        "stat -c %u /srv/file").split() == ["more", "1000"]
    with_driver.ok("rmi", "-f", "changed")


def test_pause(moss):
    moss.ok("run", "-d", "--name", "ticker", "busybox", "sh", "-c",
            "while :; do echo tick; sleep 0.1; done")

    def ticks():
        return len(moss.ok("logs", "ticker").splitlines())

    wait_for(lambda: ticks() > 2, "the first ticks")
    moss.ok("pause", "ticker")
    assert moss.inspect("ticker")["State"]["Status"] == "paused"
    before = ticks()
    time.sleep(0.5)
    assert ticks() == before
    moss.ok("unpause", "ticker")
    wait_for(lambda: ticks() > before, "a tick after the pause")


def test_copies(moss, tmp_path):
    (tmp_path / "in").write_text("to and fro\n")
    moss.ok("create", "--name", "box", "busybox", "true")
    moss.ok("cp", tmp_path / "in", "box:/srv/")
    moss.ok("start", "box")
    moss.ok("wait", "box")
    moss.ok("cp", "box:/srv/in", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "to and fro\n"


def test_volume_keeps_files(moss):
    moss.ok("run", "--rm", "-v", "data:/etc", "busybox", "sh", "-c",
            "echo kept >/etc/kept")
    assert moss.ok("run", "--rm", "-v", "data:/data", "busybox", "sh", "-c",
                   "cat /data/kept; grep -c web /data/passwd").split() == \
        ["kept", "1"]
    moss.ok("volume", "rm", "data")


def test_health(moss):
    moss.ok("run", "-d", "--name", "ill", "--health-cmd", "test -e /well",
            "--health-interval", "500ms", "--health-retries", "1", "busybox",
            "sh", "-c", "sleep 1; touch /well; sleep 1000")

    def health():
        return moss.inspect("ill")["State"]["Health"]["Status"]

    wait_for(lambda: health() == "healthy", "health", 30)
    moss.ok("exec", "ill", "rm", "/well")
    wait_for(lambda: health() == "unhealthy", "illness", 30)
