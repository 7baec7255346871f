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
