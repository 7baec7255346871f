"""The disk that the guest boots from: Debian 12 as Debian makes it.

mmdebstrap installs the packages without root, in a user namespace, and
root.sh adds the account and takes away what costs boot time. The result is one
ext4 file and the kernel beside it, in a directory named by the hash of all it
is made of; another recipe is another image, and older ones are removed.
"""
import fcntl
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import time

SUITE = "bookworm"
HERE = pathlib.Path(__file__).parent

# What the guest is; the libraries that moss is linked to are added.
PACKAGES = """
linux-image-cloud-amd64 systemd-sysv udev kmod dbus-user-session libpam-systemd
sudo uidmap fuse-overlayfs procps iproute2 curl ca-certificates
python3-pytest python3-pytest-timeout python3-pexpect zstd xz-utils bzip2
""".split()

# Nobody reads them there, and unpacking them takes time.
LEFT_OUT = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*",
            "/usr/share/info/*"]

DISK_SIZE = "6G"  # a sparse file; some 400 MB of it are used


class Failure(Exception):
    """One line for the user."""


class Image:
    def __init__(self, directory):
        self.disk = directory / "disk.img"
        self.kernel = directory / "kernel"


def libraries(programs):
    """The packages of the host's libraries that the programs load."""
    paths = set()
    for program in programs:
        out = subprocess.run(["ldd", program], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
        paths.update(line.split()[2] for line in out.splitlines()
                     if "=> /" in line)
    names = set()
    for path in paths:
        # dpkg knows a file by the name its package has for it: with or
        # without the /usr that was merged.
        for name in (path, "/usr" + path, os.path.realpath(path)):
            owner = subprocess.run(["dpkg-query", "-S", name], text=True,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
            if owner.returncode == 0:
                names.add(owner.stdout.split(":")[0])
                break
        else:
            raise Failure(f"no Debian package has {path}, which moss is "
                          "linked to: the guest cannot have it")
    return sorted(names)


def host_sources():
    """The host's own mirrors, where it is the same Debian."""
    out = subprocess.run(
        ["apt-get", "indextargets", "--format",
         "$(ORIGIN) $(CODENAME) $(SITE) $(RELEASE) $(COMPONENT)",
         "Created-By: Packages"], text=True, stdout=subprocess.PIPE).stdout
    lines = []
    for origin, codename, *where in map(str.split, out.splitlines()):
        if origin == "Debian" and codename.startswith(SUITE):
            lines.append("deb " + " ".join(where))
    return lines


def host_proxies():
    """How the host's apt gets there."""
    out = subprocess.run(["apt-config", "dump"], text=True,
                         stdout=subprocess.PIPE).stdout
    return [line.rstrip(";").replace('"', "'") for line in out.splitlines()
            if line.startswith(("Acquire::http::", "Acquire::https::"))
            and "Proxy" in line]


def key_of(packages):
    recipe = [SUITE.encode(), DISK_SIZE.encode(), "".join(LEFT_OUT).encode(),
              " ".join(packages).encode(), (HERE / "root.sh").read_bytes()]
    return hashlib.sha256(b"\0".join(recipe)).hexdigest()[:12]


def in_namespace(*command, **kwargs):
    """As root of a user namespace with the account's subordinate IDs."""
    return subprocess.Popen(["unshare", "--map-root-user", "--map-auto",
                             *map(str, command)], **kwargs)


def remove(path):
    if in_namespace("rm", "-rf", path).wait() != 0:
        raise Failure(f"cannot remove {path}")


def make(target, packages, log):
    options = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    for line in host_proxies():
        options.append(f"--aptopt={line}")
    with open(log, "wb") as out:
        # INITRD=No: the kernel has what it needs to mount its root.
        source = subprocess.Popen(
            ["mmdebstrap", "--mode=unshare", "--variant=essential",
             "--include=" + ",".join(packages), *options, SUITE, "-",
             *host_sources()],
            env=dict(os.environ, INITRD="No"), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=out)
        with source:
            sink = in_namespace("sh", HERE / "root.sh", target, DISK_SIZE,
                                stdin=source.stdout, stdout=out, stderr=out)
            source.stdout.close()
            codes = [sink.wait(), source.wait()]
    if any(codes):
        tail = log.read_text(errors="replace").splitlines()[-15:]
        raise Failure("\n".join(tail) + "\nthe guest's disk could not be "
                      f"made, see {log}")


def check_host():
    if platform.machine() != "x86_64":
        raise Failure("the VM tests run on x86-64 only")
    if not shutil.which("dpkg-query"):
        raise Failure("the VM tests need Debian or Ubuntu: the guest gets its "
                      "packages from there")
    for program in ("mmdebstrap", "unshare", "mke2fs", "qemu-system-x86_64"):
        if not shutil.which(program):
            raise Failure(f"{program} is missing: sh tests/run --vm "
                          "installs it")


def prepare(cache, programs, say):
    """Makes the image unless it is there; the lock is held while it is used."""
    check_host()
    cache.mkdir(parents=True, exist_ok=True)
    packages = sorted(set(PACKAGES + libraries(programs)))
    target = cache / f"image-{key_of(packages)}"
    lock = open(cache / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not target.exists():
        start = time.monotonic()
        say("making the guest's disk (once, a minute or two)")
        # One older image stays: that of the branch one comes from.
        images = sorted(cache.glob("image-*/"),
                        key=lambda path: path.stat().st_mtime)
        for old in [*images[:-1], *cache.glob("making-*")]:
            remove(old)
        making = cache / f"making-{target.name}"
        making.mkdir()
        make(making, packages, cache / "image.log")
        making.rename(target)
        say(f"the guest's disk took {time.monotonic() - start:.0f} s")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return Image(target), lock
