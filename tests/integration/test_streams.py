"""Streams, descriptors and environments as a docker user has them."""
import json
import os
import subprocess

import pytest


def shell(moss, command):
    """A command line for sh, in which $MOSS is moss."""
    return subprocess.run(["sh", "-c", command], text=True, timeout=60,
                          env=dict(moss.env, MOSS=moss.program),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("command, code, out", [
    ("echo fed | $MOSS run --rm -i busybox cat", 0, "fed\n"),
    ("$MOSS run --rm -i busybox cat </etc/hostname", 0, None),
    ("$MOSS run --rm -i busybox cat </dev/null", 0, ""),
    # Closed ones are not taken for what moss opens next.
    ("$MOSS run --rm -i busybox cat <&-", 0, ""),
    ("$MOSS run --rm busybox echo x 2>&-", 0, "x\n"),
    ("$MOSS run --rm busybox echo x >&-", 125, ""),
    ("$MOSS run --rm busybox sh -c 'echo x; exit 3' >/dev/full", 125, ""),
])
def test_standard_streams(moss, command, code, out):
    result = shell(moss, command)
    if out is None:
        with open("/etc/hostname") as file:
            out = file.read()
    assert (result.returncode, result.stdout) == (code, out), result.stderr


def test_attached_streams(moss):
    script = ["busybox", "sh", "-c", "cat; echo out; echo err >&2"]

    def run(*args):
        result = moss("run", "--rm", *args, *script, stdin="in\n", check=0)
        return result.out, result.err
    assert run("-i") == ("in\nout\n", "err\n")
    assert run("-a", "stdout") == ("out\n", "")
    assert run("-a", "stderr") == ("", "err\n")
    # -i always attaches standard input.
    assert run("-i", "-a", "stdout") == ("in\nout\n", "")
    assert run("-i", "-a", "stdin") == ("", "")


def test_start_attaches_to_what_runs(moss):
    moss.ok("run", "-d", "--name", "side", "busybox", "sh", "-c",
            "trap 'exit 4' TERM; while :; do echo tick; sleep 0.05; done")
    process = moss.popen("start", "-a", "side", stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"tick\n"
    process.terminate()
    process.stdout.read()
    assert process.wait(10) == 4


def test_start_fails_with_1(moss):
    moss.ok("create", "--name", "wrong", "busybox", "nosuchcommand")
    for args in (["-a"], []):
        result = moss("start", *args, "wrong")
        assert result.code == 1
        assert "executable file not found" in result.err
    moss.ok("create", "--name", "right", "busybox", "true")
    result = moss("start", "wrong", "right")
    assert (result.code, result.out) == (1, "right\n")


def test_one_variable_less(moss, busybox_tar):
    moss.ok("import", "-c", "ENV KEPT=1 GONE=2", busybox_tar, "varied")
    try:
        environment = moss.ok("run", "--rm", "-e", "GONE", "varied",
                              "env").splitlines()
        assert "KEPT=1" in environment
        assert not [line for line in environment if line.startswith("GONE")]
    finally:
        moss.ok("rmi", "varied")


def test_docker_config(moss, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(
        {"proxies": {"default": {"httpsProxy": "http://proxy:3128"}}}))
    environment = moss.with_env(DOCKER_CONFIG=str(tmp_path)).ok(
        "run", "--rm", "-e", "https_proxy=", "busybox", "env").splitlines()
    assert "HTTPS_PROXY=http://proxy:3128" in environment
    assert "https_proxy=" in environment
    (tmp_path / "config.json").write_text("{")
    result = moss.with_env(DOCKER_CONFIG=str(tmp_path))(
        "run", "--rm", "busybox", "true", check=0)
    assert "Error loading config file" in result.err


@pytest.mark.parametrize("args, message", [
    (["create", "--gpus", "all", "busybox"], "--device"),
    (["run", "--storage-opt", "size=1G", "busybox"], "--tmpfs"),
    (["run", "--runtime", "runc", "busybox"], "moss"),
    (["create", "--volume-driver", "nfs", "busybox"], "local"),
    (["rm", "-l", "nosuch"], "Leave it out"),
    (["start", "--checkpoint", "x", "nosuch"], "moss commit"),
])
def test_refused_options_say_what_instead(moss, args, message):
    result = moss(*args)
    assert result.code == (125 if args[0] == "run" else 1)
    assert message in result.err and "unknown" not in result.err
    assert moss.ok("ps", "-aq") == ""


def test_errors_of_several_are_whole_lines(moss):
    names = [f"nosuch{i}" for i in range(9)]
    result = moss("rm", *names)
    assert result.code == 1
    assert sorted(result.err.splitlines()) == \
        [f"moss: No such container: {name}" for name in names]


def test_names_in_the_order_given(moss):
    """Whichever ends first."""
    moss.ok("run", "-d", "--name", "slow", "busybox", "sh", "-c",
            "trap 'sleep 0.5; exit' TERM; while :; do sleep 0.05; done")
    moss.ok("run", "-d", "--name", "fast", "busybox", "sh", "-c",
            "trap exit TERM; while :; do sleep 0.05; done")
    result = moss("stop", "slow", "nosuch", "fast")
    assert (result.code, result.out) == (1, "slow\nfast\n")
    result = moss("rm", "-f", "fast", "nosuch", "slow")
    assert (result.code, result.out) == (0, "fast\nslow\n")
    assert result.err == "moss: No such container: nosuch\n"


def has_socket(pid):
    """Is it connected to a monitor?"""
    found = False
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found |= os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except OSError:
            continue
    return found


def test_wait_of_several(moss):
    for name, code in (("one", 3), ("two", 4)):
        moss.ok("run", "-d", "--name", name, "busybox", "sh", "-c",
                f"sleep 0.3; exit {code}")
    result = moss("wait", "two", "nosuch", "one")
    assert (result.code, result.out) == (1, "4\n3\n")
    assert result.err == "moss: No such container: nosuch\n"
    moss.ok("run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "1000")
    waiter = moss.popen("wait", "gone", stdout=subprocess.PIPE)
    moss.wait_for(lambda: has_socket(waiter.pid), "its connection")
    moss.ok("rm", "-f", "gone")
    assert waiter.communicate(timeout=10)[0] == b"137\n"
    assert waiter.returncode == 0


@pytest.mark.parametrize("args, code, message", [
    (["-H", "tcp://x:1", "ps"], 125, "no daemon"),
    (["--host=unix:///x", "ps"], 125, "no daemon"),
    (["--context", "x", "ps"], 125, "--context is not supported"),
    (["-D", "ps"], 125, "--debug is not supported"),
    (["--tlsverify", "ps"], 125, "--tlsverify"),
    (["--config"], 125, "flag needs an argument: --config"),
    (["--nosuch", "ps"], 125, "unknown flag: --nosuch"),
    (["--config", "/nosuch", "ps"], 0, ""),
    (["--config=/nosuch", "--config", "/other", "ps"], 0, ""),
])
def test_options_before_the_command(moss, args, code, message):
    result = moss(*args)
    assert result.code == code and message in result.err
