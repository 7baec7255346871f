"""Seccomp profiles: enforced, explained when wrong, cached."""
import json

import pytest


def profile(tmp_path, data):
    file = tmp_path / "profile.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return f"seccomp={file}"


DENY_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                  "errnoRet": 28}],
}


def test_profile_is_enforced(moss, tmp_path):
    result = moss("run", "--rm", "--security-opt", profile(tmp_path, DENY_MKDIR),
                  "busybox", "mkdir", "/x")
    assert result.code == 1 and "No space left on device" in result.err


def test_profile_holds_for_exec(moss, tmp_path):
    moss.ok("run", "-d", "--name", "side", "--security-opt",
            profile(tmp_path, DENY_MKDIR), "busybox", "sleep", "100")
    assert "No space left" in moss("exec", "side", "mkdir", "/x").err


def test_oci_form(moss, tmp_path):
    oci = dict(DENY_MKDIR, architectures=["SCMP_ARCH_X86_64",
                                          "SCMP_ARCH_AARCH64"])
    assert moss("run", "--rm", "--security-opt", profile(tmp_path, oci),
                "busybox", "mkdir", "/x").code == 1


def test_unconfined(moss):
    assert moss.ok("run", "--rm", "--security-opt", "seccomp=unconfined",
                   "busybox", "grep", "Seccomp:",
                   "/proc/self/status").split()[1] == "0"


def test_kill_action(moss, tmp_path):
    data = dict(DENY_MKDIR, syscalls=[{"names": ["mkdir", "mkdirat"],
                                       "action": "SCMP_ACT_KILL_PROCESS"}])
    assert moss("run", "--rm", "--security-opt", profile(tmp_path, data),
                "busybox", "mkdir", "/x").code == 128 + 31


def test_arguments(moss, tmp_path):
    """socket() with domain 16 (netlink) is refused, others are not."""
    data = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
        "name": "socket", "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
        "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]}]}
    option = profile(tmp_path, data)
    assert moss("run", "--rm", "--security-opt", option, "busybox", "ip",
                "link").code != 0
    moss.ok("run", "--rm", "--security-opt", option, "busybox", "nc", "-z",
            "-w", "1", "127.0.0.1", "1") if False else None


@pytest.mark.parametrize("data, expected", [
    ("{ not json", "1"),
    ('{"defaultAction": "SCMP_ACT_ALLOW",\n\n oops}', "3"),
    ({"defaultAction": "SCMP_ACT_NOPE"}, "defaultAction"),
    ({"syscalls": []}, "defaultAction"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"],
      "action": "SCMP_ACT_ALLOW"}, {"names": "y", "action": "SCMP_ACT_ERRNO"}]},
     "syscalls[1]"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"],
      "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 1,
                                            "op": "SCMP_CMP_EQ"}]}]},
     "syscalls[0].args[0]"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"],
      "action": "SCMP_ACT_NOTIFY"}]}, "NOTIFY"),
])
def test_malformed_profiles(moss, tmp_path, data, expected):
    result = moss("run", "--rm", "--security-opt", profile(tmp_path, data),
                  "busybox", "echo", "must not run")
    assert result.code == 125 and result.out == ""
    assert expected in result.err and "profile.json" in result.err
    assert moss.ok("ps", "-aq") == ""


def test_missing_profile(moss):
    result = moss("run", "--rm", "--security-opt", "seccomp=/nosuch.json",
                  "busybox", "true")
    assert result.code == 125 and "/nosuch.json" in result.err


@pytest.mark.parametrize("call, number", [
    ("keyctl", "EPERM"), ("add_key", "EPERM"), ("bpf", "EPERM"),
    ("unshare", "EPERM"), ("mount", "EPERM"), ("perf_event_open", "EPERM"),
    ("userfaultfd", "EPERM"), ("io_uring_setup", "EPERM"),
    ("kexec_load", "EPERM"), ("open_by_handle_at", "EPERM"),
    ("newer_than_the_profile", "ENOSYS"), ("clone3", "ENOSYS"),
])
def test_default_profile(moss, debian, call, number):
    numbers = {"keyctl": 250, "add_key": 248, "bpf": 321, "unshare": 272,
               "mount": 165, "perf_event_open": 298, "userfaultfd": 323,
               "io_uring_setup": 425, "kexec_load": 246,
               "open_by_handle_at": 304, "newer_than_the_profile": 9999,
               "clone3": 435}
    code = ("import ctypes,errno; c=ctypes.CDLL(None,use_errno=True); "
            f"r=c.syscall({numbers[call]},0x10000000,0,0,0,0,0); "
            "print(r, errno.errorcode.get(ctypes.get_errno()))")
    out = moss.ok("run", "--rm", debian, "python3", "-c", code)
    assert out == f"-1 {number}"
