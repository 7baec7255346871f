"""moss run: output, exit codes, environment, user, directories, bad input."""
import os
import re

import pytest


def test_echo(moss):
    assert moss.ok("run", "--rm", "busybox", "echo", "hello") == "hello"


def test_stdout_and_stderr_are_apart(moss):
    result = moss("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (result.out, result.err) == ("out\n", "err\n")


def test_large_output_is_whole(moss):
    result = moss("run", "--rm", "busybox", "sh", "-c",
                  "seq 1 300000", check=0)
    assert result.out == "".join(f"{i}\n" for i in range(1, 300001))


def test_stdin(moss):
    data = "".join(f"line {i}\n" for i in range(20000))
    assert moss("run", "--rm", "-i", "busybox", "cat", stdin=data,
                check=0).out == data


def test_stdin_is_closed_without_i(moss):
    assert moss("run", "--rm", "busybox", "cat", check=0).out == ""


@pytest.mark.parametrize("command, code", [
    (["true"], 0),
    (["false"], 1),
    (["sh", "-c", "exit 42"], 42),
    (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
    (["nosuchcommand"], 127),
    (["/nosuch/command"], 127),
    (["/etc/passwd"], 126),
    (["/etc"], 126),
])
def test_exit_codes(moss, command, code):
    result = moss("run", "--rm", "busybox", *command)
    assert result.code == code, result
    assert moss.ok("ps", "-aq") == ""


def test_missing_command_says_so(moss):
    result = moss("run", "--rm", "busybox", "nosuchcommand")
    assert 'exec: "nosuchcommand": executable file not found in $PATH' in result.err
    assert result.err.count("\n") <= 2


def test_environment(moss):
    out = moss.ok("run", "--rm", "-e", "A=1", "-e", "B=two words", "--hostname",
                  "box", "busybox", "env")
    env = dict(line.split("=", 1) for line in out.splitlines())
    assert env["A"] == "1" and env["B"] == "two words"
    assert env["HOSTNAME"] == "box" and env["HOME"] == "/root"
    assert "/usr/bin" in env["PATH"]
    assert set(env) <= {"A", "B", "HOSTNAME", "HOME", "PATH"}


def test_env_file(moss, tmp_path):
    file = tmp_path / "env"
    file.write_text("# comment\nONE=1\n\nFROMHOST\n")
    out = moss.with_env(FROMHOST="yes").ok("run", "--rm", "--env-file", file,
                                           "busybox", "env")
    assert "ONE=1" in out and "FROMHOST=yes" in out


@pytest.mark.parametrize("user, uid, gids", [
    (None, "0", {"0"}),
    ("web", "1000", {"1000", "29", "50"}),
    ("1000", "1000", {"1000", "29", "50"}),
    ("web:daemon", "1000", {"1"}),
    ("4242:4243", "4242", {"4243"}),
])
def test_user(moss, user, uid, gids):
    args = ["-u", user] if user else []
    out = moss.ok("run", "--rm", *args, "busybox", "sh", "-c",
                  "id -u; grep Groups: /proc/self/status")
    assert out.splitlines()[0] == uid
    assert set(out.splitlines()[1].split()[1:]) == gids


def test_unknown_user(moss):
    result = moss("run", "--rm", "-u", "nobodyknows", "busybox", "id")
    assert result.code != 0
    assert "unable to find user nobodyknows" in result.err


def test_group_add(moss):
    out = moss.ok("run", "--rm", "--group-add", "daemon", "--group-add", "777",
                  "busybox", "id", "-G")
    assert {"1", "777"} <= set(out.split())


def test_workdir_is_made(moss):
    assert moss.ok("run", "--rm", "-w", "/a/new/place", "busybox",
                   "pwd") == "/a/new/place"


def test_entrypoint(moss):
    assert moss.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a",
                   "b") == "a b"


def test_image_configuration(moss, busybox_tar):
    moss.ok("import", "-c", 'ENTRYPOINT ["sh","-c","echo $GREETING $0 $PWD; id -u"]',
            "-c", 'CMD ["world"]', "-c", "ENV GREETING=hello", "-c",
            "WORKDIR /srv", "-c", "USER web", busybox_tar, "configured")
    try:
        assert moss.ok("run", "--rm", "configured") == "hello world /srv\n1000"
        assert moss.ok("run", "--rm", "configured", "moon") == \
            "hello moon /srv\n1000"
    finally:
        moss.ok("rmi", "configured")


def test_read_only(moss):
    result = moss("run", "--rm", "--read-only", "busybox", "touch", "/x")
    assert result.code == 1 and "Read-only file system" in result.err
    moss.ok("run", "--rm", "--read-only", "--tmpfs", "/scratch", "busybox",
            "touch", "/scratch/x")


def test_init_reaps(moss):
    out = moss.ok("run", "--rm", "--init", "busybox", "sh", "-c",
                  "(sleep 0.1 &) ; sleep 0.4; ps -o pid,stat,comm | grep -c Z; "
                  "true")
    assert out == "0"


def test_ulimit(moss):
    assert moss.ok("run", "--rm", "--ulimit", "nofile=123:456", "busybox", "sh",
                   "-c", "ulimit -Sn; ulimit -Hn") == "123\n456"


def test_sysctl(moss):
    assert moss.ok("run", "--rm", "--sysctl", "net.core.somaxconn=77", "busybox",
                   "cat", "/proc/sys/net/core/somaxconn") == "77"
    # Chosen for the container, and the user's to choose.
    file = "/proc/sys/net/ipv4/tcp_congestion_control"
    assert moss.ok("run", "--rm", "busybox", "cat", file) == "reno"
    others = set(open("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
                 .read().split()) - {"reno"}
    for other in others:
        assert moss.ok("run", "--rm", "--sysctl",
                       f"net.ipv4.tcp_congestion_control={other}", "busybox",
                       "cat", file) == other
    assert moss("run", "--rm", "--sysctl", "kernel.panic=1", "busybox",
                "true").code == 125


def test_shm_size(moss):
    out = moss.ok("run", "--rm", "--shm-size", "8m", "busybox", "df", "-k",
                  "/dev/shm")
    assert out.splitlines()[-1].split()[1] == "8192"


def test_cidfile(moss, tmp_path):
    file = tmp_path / "cid"
    moss.ok("run", "--cidfile", file, "busybox", "true")
    assert file.read_text() == moss.ok("ps", "-aq", "--no-trunc")
    result = moss("run", "--cidfile", file, "busybox", "true")
    assert result.code == 125 and str(file) in result.err


def test_add_host_and_dns(moss):
    out = moss.ok("run", "--rm", "--add-host", "db:192.0.2.7", "--dns",
                  "192.0.2.53", "--dns-search", "example.org", "busybox", "cat",
                  "/etc/hosts", "/etc/resolv.conf")
    assert re.search(r"192\.0\.2\.7\s+db", out)
    assert "nameserver 192.0.2.53" in out and "search example.org" in out


@pytest.mark.parametrize("args, message", [
    (["--nosuchflag", "busybox"], "unknown flag: --nosuchflag"),
    (["-p", "99999:80", "busybox"], "99999"),
    (["-p", "80:notaport", "busybox"], "notaport"),
    (["-v", "relative/../x:y", "busybox"], "y"),
    (["--mount", "type=bind,source=/nosuch,target=/x", "busybox"], "/nosuch"),
    (["--mount", "type=nfs,target=/x", "busybox"], "nfs"),
    (["--cap-add", "NOSUCH", "busybox"], "NOSUCH"),
    (["--ulimit", "nosuch=1", "busybox"], "nosuch"),
    (["--network", "nosuch", "busybox"], "nosuch"),
    (["--userns", "nosuch", "busybox"], "nosuch"),
    (["--storage-driver", "nosuch", "busybox"], "nosuch"),
    (["--restart", "sometimes", "busybox"], "sometimes"),
    (["--stop-signal", "NOSUCH", "busybox"], "NOSUCH"),
    (["--security-opt", "nosuch=1", "busybox"], "nosuch"),
    (["--device", "/dev/nosuch", "busybox"], "/dev/nosuch"),
    (["--memory", "lots", "busybox"], "lots"),
    (["--name", "-bad-", "busybox"], "-bad-"),
    (["-e", "=x", "busybox"], "=x"),
    (["--env-file", "/nosuch", "busybox"], "/nosuch"),
    (["nosuchimage"], "nosuchimage"),
    (["Bad Name"], "invalid reference format"),
])
def test_bad_input(moss, args, message):
    result = moss("run", "--rm", *args, "true")
    assert result.code == 125, result
    assert message in result.err
    assert result.out == ""
    assert moss.ok("ps", "-aq") == ""
    leftovers = os.listdir(moss.root / "containers")
    assert not [name for name in leftovers if len(name) == 64], leftovers


def test_privileged_is_explained(moss):
    result = moss("run", "--rm", "--privileged", "busybox", "sh", "-c",
                  "grep CapEff /proc/self/status", check=0)
    assert "not root on the host" in result.err


def test_parallel_runs(moss):
    processes = [moss.popen("run", "--rm", "busybox", "echo", str(i), stdout=-1,
                            stderr=-1) for i in range(20)]
    for i, process in enumerate(processes):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, b"%d\n" % i), err
    assert moss.ok("ps", "-aq") == ""
