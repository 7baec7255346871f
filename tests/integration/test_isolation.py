"""What a container can see and do, and what it cannot."""
import os
import re

import pytest


def test_namespaces_are_its_own(moss):
    names = ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup"]
    out = moss.ok("run", "--rm", "busybox", "sh", "-c",
                  "for n in %s; do readlink /proc/self/ns/$n; done" % " ".join(names))
    for name, inside in zip(names, out.splitlines()):
        assert inside != os.readlink(f"/proc/self/ns/{name}"), name


def test_pid_one(moss):
    assert moss.ok("run", "--rm", "busybox", "sh", "-c", "echo $$") == "1"


def test_default_capabilities_are_dockers(moss):
    out = moss.ok("run", "--rm", "busybox", "grep", "Cap", "/proc/self/status")
    values = dict(re.findall(r"Cap(\w+):\s+([0-9a-f]+)", out))
    assert int(values["Eff"], 16) == int(values["Bnd"], 16) == 0xa80425fb
    assert int(values["Inh"], 16) == int(values["Amb"], 16) == 0


def test_cap_add_and_drop(moss):
    def effective(*args):
        out = moss.ok("run", "--rm", *args, "busybox", "grep", "CapEff",
                      "/proc/self/status")
        return int(out.split()[1], 16)
    assert effective("--cap-drop", "ALL") == 0
    assert effective("--cap-drop", "ALL", "--cap-add", "CHOWN") == 1
    assert effective("--cap-add", "SYS_PTRACE") == 0xa80425fb | 1 << 19


def test_seccomp_is_on(moss):
    assert moss.ok("run", "--rm", "busybox", "grep", "Seccomp:",
                   "/proc/self/status").split()[1] == "2"


def test_no_new_privileges(moss):
    assert moss.ok("run", "--rm", "--security-opt", "no-new-privileges",
                   "busybox", "grep", "NoNewPrivs",
                   "/proc/self/status").split()[1] == "1"


def test_no_descriptor_leaks(moss):
    out = moss.ok("run", "--rm", "busybox", "sh", "-c", "ls /proc/self/fd")
    # ls itself has the directory open as 3.
    assert set(out.split()) == {"0", "1", "2", "3"}
    moss.ok("run", "-d", "--name", "side", "busybox", "sleep", "100")
    assert set(moss.ok("exec", "side", "ls", "/proc/self/fd").split()) == \
        {"0", "1", "2", "3"}
    assert set(moss.ok("exec", "side", "ls", "/proc/1/fd").split()) == \
        {"0", "1", "2"}


def test_descriptors_of_the_caller_do_not_leak(moss, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    fd = os.open(secret, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        out = moss.ok("run", "--rm", "busybox", "ls", "/proc/self/fd",
                      close_fds=False)
    finally:
        os.close(fd)
    assert set(out.split()) == {"0", "1", "2", "3"}


MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware",
          "/proc/acpi", "/proc/scsi"]


@pytest.mark.parametrize("path", MASKED)
def test_masked_paths_are_empty(moss, path):
    out = moss.ok("run", "--rm", "busybox", "sh", "-c",
                  f"test -e {path} || exit 0; test -d {path} && ls -A {path} "
                  f"|| wc -c < {path}")
    assert out in ("", "0")


@pytest.mark.parametrize("path", ["/proc/sys/kernel/hostname",
                                  "/proc/sysrq-trigger",
                                  "/sys/kernel/mm/nosuch"])
def test_read_only_paths(moss, path):
    assert moss("run", "--rm", "busybox", "sh", "-c",
                f"echo x > {path}").code != 0


def test_dev_has_the_standard_nodes(moss):
    out = moss.ok("run", "--rm", "busybox", "ls", "/dev").split()
    assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx",
            "shm", "mqueue", "fd", "stdin", "stdout", "stderr"} <= set(out)
    assert moss.ok("run", "--rm", "busybox", "sh", "-c",
                   "head -c 4 /dev/zero | wc -c; echo x > /dev/null") == "4"


def test_host_files_are_not_there(moss, tmp_path):
    assert moss("run", "--rm", "busybox", "ls", str(tmp_path)).code == 1
    out = moss.ok("run", "--rm", "busybox", "cat", "/proc/self/mountinfo")
    assert " / / " in out and str(moss.root) not in \
        "".join(line for line in out.splitlines(True)
                if " /etc/" not in line)


def test_exe_cannot_be_reached(moss):
    """An entry point that is /proc/self/exe must not reach moss's programs."""
    result = moss("run", "--rm", "busybox", "/proc/self/exe", "x")
    assert result.code in (125, 126, 127)
    moss.ok("run", "-d", "--name", "side", "busybox", "sleep", "100")
    out = moss.ok("exec", "side", "sh", "-c", "readlink /proc/1/exe; readlink /proc/self/exe")
    assert set(out.splitlines()) == {"/bin/busybox"}


def test_mount_target_symlink_stays_inside(moss, busybox_tar, tmp_path):
    """The image says /data -> ../../../../DIR; the volume must land inside."""
    host = tmp_path / "victim"
    host.mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    moss.ok("run", "--name", "trap", "busybox", "sh", "-c",
            f"ln -s ../../../../../../../..{host} /data; ln -s {host}/etc /evil")
    # The same container again: its writable layer holds the links.
    moss.ok("rm", "trap")
    import io, tarfile
    evil = tmp_path / "evil.tar"
    with tarfile.open(busybox_tar) as old, tarfile.open(evil, "w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        link = tarfile.TarInfo("data")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../../../.." + str(host)
        new.addfile(link)
    moss.ok("import", evil, "evil")
    try:
        assert moss.ok("run", "--rm", "-v", f"{source}:/data", "evil", "cat",
                       f"{host}/file") == "x"
        assert list(host.iterdir()) == []
    finally:
        moss.ok("rmi", "-f", "evil")


def test_new_user_namespaces_are_refused(moss):
    assert moss("run", "--rm", "busybox", "unshare", "-U", "true").code != 0


def test_mount_is_refused(moss):
    assert moss("run", "--rm", "busybox", "mount", "-t", "tmpfs", "x",
                "/tmp").code != 0


def test_host_processes_are_invisible(moss):
    out = moss.ok("run", "--rm", "busybox", "sh", "-c", "ls -d /proc/[0-9]*")
    assert len(out.split()) <= 3


def test_pid_host(moss):
    out = moss.ok("run", "--rm", "--pid", "host", "busybox", "sh", "-c",
                  "ls -d /proc/[0-9]* | wc -l")
    assert int(out) > 3


def test_sys_is_read_only(moss):
    out = moss.ok("run", "--rm", "busybox", "grep", " /sys ",
                  "/proc/self/mountinfo")
    assert re.search(r" /sys ro[, ]", out)


@pytest.mark.parametrize("mode, expected", [
    ("", "0 0"), ("host", "0 0"), ("nomap", "0 0"),
])
def test_userns_modes(moss, mode, expected):
    args = ["--userns", mode] if mode else []
    assert moss.ok("run", "--rm", *args, "busybox", "sh", "-c",
                   "echo $(id -u) $(stat -c %u /bin/busybox)") == expected


def test_userns_keep_id(moss, tmp_path):
    (tmp_path / "mine").write_text("x")
    out = moss.ok("run", "--rm", "--userns", "keep-id", "-v",
                  f"{tmp_path}:/data", "busybox", "sh", "-c",
                  "id -u; stat -c %u /data/mine /bin/busybox")
    uid = str(os.getuid())
    assert out.splitlines() == [uid, uid, "0"]


def test_userns_auto_is_disjoint(moss):
    maps = []
    for name in ("auto1", "auto2"):
        moss.ok("run", "-d", "--name", name, "--userns", "auto:size=2000",
                "busybox", "sleep", "100")
        pid = moss.inspect(name)["State"]["Pid"]
        start, count = [int(v) for v in
                        open(f"/proc/{pid}/uid_map").read().split()[1:3]]
        maps.append(range(start, start + count))
    assert all(len(m) == 2000 for m in maps)
    assert not set(maps[0]) & set(maps[1])
    assert moss.ok("exec", "auto1", "stat", "-c", "%u", "/bin/busybox") == "0"
