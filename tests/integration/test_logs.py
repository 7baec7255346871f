"""moss logs: times, attributes, rotation, readers that come and go."""
import json
import os
import subprocess
import time

import pytest


@pytest.fixture
def writer(moss):
    """Writes a line for each that it is sent."""
    moss.ok("run", "-d", "-i", "--name", "writer", "busybox", "cat")

    def say(*lines):
        have = len(moss.ok("logs", "writer").splitlines())
        process = moss.popen("attach", "--sig-proxy=false", "writer",
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        process.stdin.flush()
        moss.wait_for(lambda: len(moss.ok("logs", "writer").splitlines()) ==
                      have + len(lines))
        process.kill()
        process.wait()
    return say


def test_details(moss):
    moss.ok("run", "--name", "told", "-l", "tier=web & more", "-l", "b=1",
            "-e", "OS=moss", "--log-opt", "labels=tier,nosuch", "--log-opt",
            "env-regex=^O", "--log-opt", "tag={{.Name}}", "busybox", "sh",
            "-c", "echo one; echo two >&2")
    result = moss("logs", "--details", "told", check=0)
    attributes = "OS=moss,tag=told,tier=web+%26+more"
    assert result.out == f"{attributes} one\n"
    assert result.err == f"{attributes} two\n"
    line = moss.ok("logs", "-t", "--details", "told").split(" ")
    assert line[1:] == [attributes, "one"]
    assert moss.ok("logs", "told") == "one"
    path = moss.inspect("told")["LogPath"]
    entry = json.loads(open(path).readline())
    assert list(entry) == ["log", "stream", "attrs", "time"]
    assert entry["attrs"] == {"OS": "moss", "tag": "told",
                              "tier": "web & more"}


@pytest.mark.parametrize("option, message", [
    ("compress=true", "compress cannot be true"),
    ("mode=non-blocking", "leave it out"),
    ("tag={{.Nope}}", "{{.Nope}}"),
    ("env-regex=(", "regular expression"),
    ("nosuch=1", "unknown log opt 'nosuch'"),
    ("max-file=0", "max-file"),
])
def test_wrong_options(moss, option, message):
    result = moss("create", "--log-opt", option, "busybox")
    assert result.code == 1 and message in result.err
    assert moss.ok("ps", "-aq") == ""


def test_other_drivers(moss):
    result = moss("create", "--log-driver", "journald", "busybox")
    assert result.code == 1 and "json-file, local and none" in result.err
    moss.ok("run", "--name", "local", "--log-driver", "local", "busybox",
            "echo", "kept")
    assert moss.ok("logs", "local") == "kept"
    assert moss.inspect("local")["HostConfig"]["LogConfig"]["Type"] == "local"
    moss.ok("run", "--name", "none", "--log-driver", "none", "busybox", "true")
    result = moss("logs", "none")
    assert result.code == 1 and "does not support reading" in result.err


def test_times_in_all_forms(moss, writer):
    writer("one")
    time.sleep(0.01)
    middle = time.time_ns()
    time.sleep(0.01)
    writer("two")
    seconds, fraction = divmod(middle, 10**9)
    utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    east = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds + 7200))
    local = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))
    for text in (f"{utc}.{fraction:09}Z", f"{east}.{fraction:09}+02:00",
                 f"{local}.{fraction:09}", f"{seconds}.{fraction:09}"):
        assert moss.ok("logs", "--since", text, "writer") == "two", text
        assert moss.ok("logs", "--until", text, "writer") == "one", text
    for text in ("1h", "1h30m", "90s", str(seconds - 60)):
        assert moss.ok("logs", "--since", text, "writer") == "one\ntwo", text
        assert moss.ok("logs", "--until", text, "writer") == "", text
    assert moss.ok("logs", "--since", "1h", "--until",
                   f"{seconds}.{fraction:09}", "-n", "1", "writer") in \
        ("one", "")


def watches(pid):
    """Has it begun to follow?"""
    found = False
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found |= "inotify" in os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
    return found


def test_follow_begins_at_the_tail(moss, writer):
    writer("one", "two", "three")
    process = moss.popen("logs", "-f", "-n", "1", "writer",
                         stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"three\n"
    nothing = moss.popen("logs", "-f", "-n", "0", "writer",
                         stdout=subprocess.PIPE)
    moss.wait_for(lambda: watches(nothing.pid), "its watch of the log")
    writer("four")
    assert process.stdout.readline() == b"four\n"
    assert nothing.stdout.readline() == b"four\n"
    # They end with the container, removed or not.
    moss.ok("rm", "-f", "writer")
    for reader in (process, nothing):
        assert reader.stdout.read() == b""
        assert reader.wait(10) == 0


def test_follow_until(moss, writer):
    writer("one")
    until = f"{time.time() + 0.5:.9f}"
    assert moss.ok("logs", "-f", "--until", until, "writer") == "one"
    assert time.time() >= float(until)


def test_follow_across_rotation(moss):
    moss.ok("run", "-d", "--name", "turning", "--log-opt", "max-size=2k",
            "--log-opt", "max-file=99", "busybox", "sh", "-c",
            "for i in $(seq 300); do echo line $i; sleep 0.002; done")
    readers = [moss.popen("logs", "-f", "turning", stdout=subprocess.PIPE,
                          text=True) for _ in range(2)]
    for reader in readers:
        assert [int(line.split()[1]) for line in reader.stdout] == \
            list(range(1, 301))
        assert reader.wait(10) == 0
    directory = os.path.dirname(moss.inspect("turning")["LogPath"])
    assert len([name for name in os.listdir(directory)
                if name.startswith("container.log")]) > 5


def test_log_goes_on_after_a_restart(moss):
    moss("run", "--name", "again", "busybox", "sh", "-c", "echo run; exit 1",
         check=1)
    moss("start", "-a", "again", check=1)
    moss.ok("start", "again")
    moss.ok("wait", "again")
    assert moss.ok("logs", "again") == "run\nrun\nrun"
    # The reader of one that does not run ends at once.
    assert moss.ok("logs", "-f", "-n", "1", "again") == "run"


def test_bytes_and_long_lines(moss):
    script = (r"printf 'a\000b\377\n'; "
              "head -c 40000 /dev/zero | tr '\\0' x; echo; printf end")
    moss.ok("run", "--name", "odd", "busybox", "sh", "-c", script, text=False)
    out = moss("logs", "odd", text=False, check=0).out
    first, long, end = out.split(b"\n")
    # Bytes that are no UTF-8 are not kept as they are, as with docker.
    assert first == b"a\0b\xef\xbf\xbd"
    assert long == b"x" * 40000 and end == b"end"
    lines = moss("logs", "-t", "odd", text=False, check=0).out.split(b"\n")
    assert len(lines) == 3 and lines[1].count(b"Z ") == 1


def test_terminal_has_one_stream(moss):
    moss.ok("run", "-t", "--name", "tty", "busybox", "sh", "-c",
            "echo out; echo err >&2")
    result = moss("logs", "tty", text=False, check=0)
    assert (result.out, result.err) == (b"out\r\nerr\r\n", b"")
