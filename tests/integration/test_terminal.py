"""A real terminal: size, job control, keys, detaching."""
import os
import re
import signal
import time

import pexpect
import pytest


@pytest.fixture
def spawn(moss):
    children = []

    def start(*args, **kwargs):
        child = pexpect.spawn(moss.program, [str(a) for a in args],
                              env={k: str(v) for k, v in moss.env.items()},
                              timeout=15, encoding="utf-8",
                              dimensions=(33, 77), **kwargs)
        children.append(child)
        return child
    yield start
    for child in children:
        child.close(force=True)


def test_tty_and_size(spawn):
    child = spawn("run", "--rm", "-it", "busybox", "sh")
    child.expect("/ #")
    child.sendline("tty; stty size")
    child.expect("/dev/(console|pts/0)\r\n33 77")
    child.setwinsize(20, 100)
    time.sleep(0.3)
    child.sendline("stty size")
    child.expect("20 100")
    child.sendline("exit 5")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_interrupt_reaches_the_program(spawn):
    child = spawn("run", "--rm", "-it", "busybox", "sh")
    child.expect("/ #")
    child.sendline("sleep 1000")
    time.sleep(0.3)
    child.sendintr()
    child.expect("/ #")
    child.sendline("echo $?")
    child.expect("130")
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_job_control(spawn):
    child = spawn("run", "--rm", "-it", "busybox", "sh")
    child.expect("/ #")
    child.sendline("sleep 1000")
    time.sleep(0.3)
    child.sendcontrol("z")
    child.expect("Stopped")
    child.sendline("fg")
    time.sleep(0.3)
    child.sendintr()
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_detach_and_attach(moss, spawn):
    child = spawn("run", "-it", "--name", "tty", "busybox", "sh")
    child.expect("/ #")
    child.sendcontrol("p")
    child.sendcontrol("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert moss.inspect("tty")["State"]["Running"] is True
    child = spawn("attach", "tty")
    child.sendline("echo back again")
    child.expect("back again\r\n")
    child.sendline("exit 9")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 9


def test_other_detach_keys(moss, spawn):
    child = spawn("run", "-it", "--name", "tty", "--detach-keys", "ctrl-x,d",
                  "busybox", "sh")
    child.expect("/ #")
    child.sendcontrol("x")
    child.send("d")
    child.expect(pexpect.EOF)
    assert moss.inspect("tty")["State"]["Running"] is True


def test_exec_tty(moss, spawn):
    moss.ok("run", "-d", "--name", "side", "busybox", "sleep", "1000")
    child = spawn("exec", "-it", "side", "sh")
    child.expect("/ #")
    child.sendline("tty; stty size; ps")
    child.expect("/dev/pts/")
    child.expect("33 77")
    child.expect("sleep 1000")
    child.sendline("exit 4")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


def test_terminal_is_restored(moss, spawn):
    child = pexpect.spawn("sh", env=dict(moss.env, PS1="host$ "), timeout=15,
                          encoding="utf-8")
    child.expect(r"host\$ ")
    child.sendline("stty -a | cksum")
    before = child.expect(r"\d+ \d+") or child.match[0]
    child.sendline(f"{moss.program} run --rm -it busybox true; stty -a | cksum")
    child.expect(r"\d+ \d+")
    assert child.match[0] == before
    child.close(force=True)


def test_t_without_a_terminal(moss):
    result = moss("run", "--rm", "-it", "busybox", "true")
    assert result.code == 1 and "not a TTY" in result.err


def test_signals_are_proxied(moss):
    process = moss.popen("run", "--rm", "busybox", "sh", "-c",
                         "trap 'echo term; exit 3' TERM; echo ready; "
                         "while :; do sleep 0.05; done", stdout=-1)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"term\n"
    assert process.wait(10) == 3


READY = "echo ready; while :; do sleep 0.05; done"


def test_terminal_goes_away(moss, spawn):
    child = spawn("run", "-it", "--name", "tty", "busybox", "sh", "-c",
                  f"trap 'exit 9' HUP; {READY}")
    child.expect("ready")
    child.close(force=False)
    assert moss.ok("wait", "tty") == "9"


def test_client_is_killed(moss, spawn):
    """The container stays, and can be attached to."""
    child = spawn("run", "-it", "--name", "tty", "busybox", "sh")
    child.expect("/ #")
    os.kill(child.pid, signal.SIGKILL)
    child.expect(pexpect.EOF)
    child = spawn("attach", "tty")
    child.sendline("echo back again")
    child.expect("back again\r\n")
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_signals_to_a_client_with_a_terminal(moss, spawn):
    """run passes them on; attach ends of them, the terminal put right."""
    child = spawn("run", "-it", "--name", "tty", "busybox", "sh", "-c",
                  f"trap 'exit 4' TERM; {READY}")
    child.expect("ready")
    other = spawn("attach", "tty")
    time.sleep(0.2)
    os.kill(other.pid, signal.SIGTERM)
    other.expect(pexpect.EOF)
    other.close()
    assert other.signalstatus == signal.SIGTERM
    assert moss.inspect("tty")["State"]["Running"] is True
    os.kill(child.pid, signal.SIGTERM)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


def test_signals_are_not_proxied(moss):
    process = moss.popen("run", "--sig-proxy=false", "--name", "alone",
                         "busybox", "sh", "-c", READY, stdout=-1)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == -signal.SIGINT
    assert moss.inspect("alone")["State"]["Running"] is True


def test_interrupt_without_t(moss, spawn):
    child = spawn("run", "--rm", "-i", "busybox", "sh", "-c",
                  f"trap 'echo int; exit 7' INT; {READY}")
    child.expect("ready")
    child.sendintr()
    child.expect("int\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7


def test_detach_keys_of_docker_config(moss, spawn, tmp_path):
    (tmp_path / "config.json").write_text('{"detachKeys":"ctrl-x,x"}')
    moss = moss.with_env(DOCKER_CONFIG=str(tmp_path))
    moss.ok("run", "-dit", "--name", "tty", "busybox", "sh")
    child = spawn("--config", tmp_path, "attach", "tty")
    child.sendline("echo here")
    child.expect("here\r\n")
    # The sequence of the other default is the program's now.
    child.sendcontrol("p")
    child.sendcontrol("q")
    child.sendcontrol("x")
    child.send("x")
    child.expect("read escape sequence")
    child.expect(pexpect.EOF)
    assert moss.inspect("tty")["State"]["Running"] is True


@pytest.mark.parametrize("keys", ["ctrl-", "ctrl-1", "abc", "a,,b"])
def test_wrong_detach_keys(moss, keys):
    result = moss("run", "--rm", "--detach-keys", keys, "busybox", "true")
    assert result.code == 125 and "invalid detach keys" in result.err


def test_detached_exec_keeps_its_terminal(moss):
    moss.ok("run", "-d", "--name", "side", "busybox", "sleep", "1000")
    moss.ok("exec", "-d", "-t", "side", "sh", "-c",
            "trap 'touch /hup' HUP; tty >/tty; seq 1 50000; touch /done; "
            "sleep 1000")
    moss.wait_for(
        lambda: moss("exec", "side", "test", "-e", "/done").code == 0)
    assert moss.ok("exec", "side", "cat", "/tty").startswith("/dev/pts/")
    assert moss("exec", "side", "test", "-e", "/hup").code == 1


def test_exec_ends_with_its_container(moss, spawn):
    moss.ok("run", "-d", "--name", "side", "busybox", "sleep", "1000")
    child = spawn("exec", "-it", "side", "sh")
    child.expect("/ #")
    moss.ok("rm", "-f", "side")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 137


def test_attach_tells_how_it_ended(moss):
    moss.ok("run", "-d", "--name", "brief", "busybox", "sh", "-c",
            "while [ ! -e /go ]; do echo tick; sleep 0.05; done; exit 6")
    process = moss.popen("attach", "brief", stdout=-1)
    assert process.stdout.readline() == b"tick\n"
    moss.ok("exec", "brief", "touch", "/go")
    process.stdout.read()
    assert process.wait(10) == 6
    result = moss("attach", "brief")
    assert result.code == 1 and "stopped container" in result.err


def test_interrupt_at_a_prompt(moss, spawn):
    moss.ok("create", "--name", "kept", "busybox", "true")
    child = spawn("container", "prune")
    child.expect("y/N")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus == signal.SIGINT
    assert moss.ok("ps", "-aq") != ""
