"""A hostile program in a container against the commands that manage it."""
import subprocess
import time

from conftest import skip

# Stops every process it can see but itself and PID 1.
STOPPER = """
trap "" TERM
while :; do
    for p in /proc/[0-9]*; do
        n=${p#/proc/}
        [ $n = 1 ] || kill -STOP $n 2>/dev/null
    done
done
"""


def test_stopped_exec_does_not_stop_the_monitor(moss):
    """What exec starts is the container's to stop, the monitor is not."""
    moss.ok("run", "-d", "--name", "stopper", "busybox", "sh", "-c", STOPPER)
    caught = False
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            result = moss("exec", "stopper", "true", timeout=2)
        except subprocess.TimeoutExpired:
            continue  # stopped when it was the program already
        caught = "stopped the new process" in result.err
        if caught:
            break
        assert result.code == 0, result
    assert caught
    start = time.monotonic()
    assert "stopper" in moss.ok("ps")
    moss.ok("kill", "stopper", timeout=20)
    moss.ok("rm", "-f", "stopper", timeout=20)
    assert time.monotonic() - start < 20


def test_set_user_id_programs_of_layers_are_out_of_reach(
        moss, busybox_tar, tmp_path):
    """Whoever else is on the host must not run them as the user of moss."""
    root = tmp_path / "open"
    root.mkdir()
    root.chmod(0o755)
    (root / "layers").mkdir()
    (root / "layers").chmod(0o755)
    other = moss.with_env(MOSS_ROOT=str(root))
    other.ok("import", busybox_tar, "busybox")
    for args in ([], ["--userns", "auto"], ["-u", "1000"]):
        other.ok("run", "--rm", *args, "-v", "data:/data", "busybox", "true")
    other.ok("volume", "rm", "data")
    for name in ("image", "layers", "volumes", "tmp", "containers"):
        assert (root / name).stat().st_mode & 0o077 == 0, name


# Looks for a program that is none of the container's.
WATCHER = """
while :; do
    for p in /proc/[0-9]*; do
        e=$(readlink $p/exe 2>/dev/null)
        case "$e" in *memfd*) echo "$e";; esac
    done
done
"""


def need_foreign_group(moss):
    """What hides moss-init is a group that the container does not have."""
    groups = moss.ok("run", "--rm", "busybox", "cat", "/proc/self/gid_map")
    if sum(int(line.split()[2]) for line in groups.splitlines()) < 65536:
        skip("sub-IDs")


def test_no_capability_looks_into_moss_init(moss):
    """Before its last step it has no seccomp filter yet: nobody may trace it,
    not even with CAP_SYS_PTRACE."""
    need_foreign_group(moss)
    moss.ok("run", "-d", "--name", "watcher", "--privileged", "busybox", "sh",
            "-c", WATCHER)
    for _ in range(40):
        moss.ok("exec", "watcher", "true")
    assert moss.ok("logs", "watcher") == ""


# Asks for memory of every new process, and tells who it was when the kernel
# lets it: EFAULT, as there is nothing at that address, is no refusal.
READER = """
import collections, ctypes, errno, os, time
libc = ctypes.CDLL(None, use_errno=True)
vector = (ctypes.c_size_t * 2)(0x10000, 8)
known, found = set(os.listdir("/proc")), collections.Counter()
def name(pid):
    try:
        return open(f"/proc/{pid}/comm").read().strip()
    except OSError:
        return ""
print("ready", flush=True)
while not os.path.exists("/tmp/end"):
    for pid in set(os.listdir("/proc")) - known:
        known.add(pid)
        who = "moss"
        while pid.isdigit() and who.startswith("m"):
            r = libc.process_vm_readv(int(pid), vector, 1, vector, 1, 0)
            number, who = ctypes.get_errno(), name(pid)
            found[who, errno.errorcode[number]] += 1
print(sorted(found))
"""


def test_joined_process_hides_from_the_container(moss, debian):
    """A container that joins another's PID namespace is set up out of reach of
    a debugger in there."""
    need_foreign_group(moss)
    moss.ok("run", "-d", "--name", "reader", "--cap-add", "SYS_PTRACE", debian,
            "python3", "-c", READER)
    moss.wait_for(lambda: "ready" in moss.ok("logs", "reader"))
    for _ in range(5):
        moss.ok("run", "--rm", "--pid", "container:reader", "busybox", "true")
        moss.ok("exec", "reader", "true")
    moss.ok("exec", "reader", "touch", "/tmp/end")
    moss.ok("wait", "reader")
    seen = moss.ok("logs", "reader")
    assert "'EPERM'" in seen
    assert "('moss-init', 'EFAULT')" not in seen
