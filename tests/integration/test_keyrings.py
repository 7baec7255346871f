"""The session keyring of a container is its own, whatever the user's quota.

With seccomp=unconfined, as the default profile keeps all of keyctl(2) away.
"""
import os
import re
import subprocess
import sys

import pytest

KEYS = r"""
import ctypes, errno, os, platform, signal, sys
c = ctypes.CDLL(None, use_errno=True)
ADD, CTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
JOIN, SEARCH, SESSION = 1, 10, -3

def call(*args):
    r = c.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return r if r >= 0 else errno.errorcode[ctypes.get_errno()]

def add(name):
    return call(ADD, b"user", name, b"x", 1, SESSION)

def search(name):
    return call(CTL, SEARCH, SESSION, b"user", name, 0)
"""

# A login with a secret. "full": another program of the user, which ends with
# this one, has all the keys that he may have.
LOGIN = KEYS + r"""
assert isinstance(call(CTL, JOIN, 0, 0, 0, 0), int)
assert isinstance(add(b"secret"), int)
if sys.argv[1] == "full":
    ready, tell = os.pipe()
    if os.fork() == 0:
        c.prctl(1, 9)  # PR_SET_PDEATHSIG
        assert isinstance(call(CTL, JOIN, 0, 0, 0, 0), int)
        i = 0
        while isinstance(r := add(b"%d" % i), int):
            i += 1
        os.write(tell, r.encode())
        signal.pause()
    assert os.read(ready, 99) == b"EDQUOT"
assert isinstance(search(b"secret"), int)
os.execv(sys.argv[2], sys.argv[2:])
"""

LOOK = KEYS + "print(search(b'secret'), search(b'mine'), flush=True)"


@pytest.fixture(params=["room", "full"])
def login(request, moss):
    """Runs moss as from a login that has keys."""
    def run(*args, moss=moss):
        moss.wait_for(lambda: keys_of_user() < 150, "room for keys")
        return subprocess.run(
            [sys.executable, "-c", LOGIN, request.param, moss.program, *args],
            env=moss.env, text=True, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60)
    run.is_full = request.param == "full"
    return run


def keys_of_user():
    """The kernel counts a key until some time after its end."""
    with open("/proc/key-users") as file:
        for line in file:
            if found := re.match(rf"\s*{os.getuid()}:.* (\d+)/\d+ ", line):
                return int(found[1])
    return 0


def test_keys_of_the_caller_stay_outside(moss, debian, login):
    result = login("run", "-d", "--name", "box", "--security-opt",
                   "seccomp=unconfined", debian, "python3", "-c",
                   LOOK + "; import time; time.sleep(100)")
    assert result.returncode == 0, result
    moss.wait_for(lambda: moss.ok("logs", "box"), "its word")
    assert moss.ok("logs", "box") == "ENOKEY ENOKEY"
    result = login("exec", "box", "python3", "-c", LOOK)
    assert result.stdout == "ENOKEY ENOKEY\n", result


def test_one_keyring_a_container(moss, debian):
    """It stays for those who enter it later; the next one has another."""
    for name in ("box", "other"):
        moss.ok("run", "-d", "--name", name, "--security-opt",
                "seccomp=unconfined", debian, "sleep", "100")
    moss.ok("exec", "box", "python3", "-c", KEYS + "add(b'mine')")
    look = ["python3", "-c", LOOK]
    assert re.fullmatch(r"ENOKEY \d+", moss.ok("exec", "box", *look))
    assert moss.ok("exec", "other", *look) == "ENOKEY ENOKEY"


def test_single_id(single, login):
    """Without sub-IDs there is but one quota: an error when that is full."""
    result = login("run", "--rm", "busybox", "true", moss=single)
    if not login.is_full:
        assert result.returncode == 0, result
        return
    assert result.returncode == 125
    assert re.search("^moss: cannot make a session keyring for the container.*"
                     "\n.*kernel.keys.maxkeys", result.stderr, re.M), result
