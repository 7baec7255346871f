"""Root file systems for the tests, made without root and kept in a cache.

busybox: the static program and nothing else.
debian:  a dozen of Debian's packages and what they need, fetched by apt and
         unpacked by dpkg -x as the package manager's own data says.
"""
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

DEBIAN_PACKAGES = """
base-files base-passwd bash coreutils dash grep sed findutils util-linux procps
libc-bin hostname iproute2 iputils-ping curl netcat-openbsd nginx-light
python3-minimal libpython3-stdlib python3 tar gzip passwd login perl-base dpkg apt
debianutils ncurses-bin mount iperf3 diffutils init-system-helpers
""".split()

# Applets as symbolic links, as every busybox image has them.
BUSYBOX_ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                  "daemon:x:1:1:daemon:/:/bin/false\n"
                  "web:x:1000:1000:web:/home/web:/bin/sh\n"
                  "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\naudio:x:29:web\n"
                 "staff:x:50:web\nweb:x:1000:\nnogroup:x:65534:\n",
}


def busybox_program():
    for name in ("busybox.static", "busybox"):
        path = shutil.which(name)
        if path:
            return path
    raise FileNotFoundError("busybox is not installed (package busybox-static)")


def busybox(cache):
    target = cache / "busybox.tar"
    if target.exists():
        return target
    program = busybox_program()
    applets = subprocess.run([program, "--list"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.split()
    temporary = target.with_suffix(".tmp")
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, link=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = kind, mode, link
            info.size = len(data)
            info.mtime = 1700000000
            tar.addfile(info, io.BytesIO(data))

        for directory in ("bin", "dev", "etc", "home", "proc", "root", "sys",
                          "usr", "usr/bin", "var", "run", "srv"):
            add(directory, tarfile.DIRTYPE, mode=0o755)
        add("tmp", tarfile.DIRTYPE, mode=0o1777)
        add("bin/busybox", data=pathlib.Path(program).read_bytes(), mode=0o755)
        for applet in applets:
            if applet != "busybox":
                add(f"bin/{applet}", tarfile.SYMTYPE, mode=0o777, link="busybox")
        for name, text in BUSYBOX_ETC.items():
            add(name, data=text.encode())
    os.replace(temporary, target)
    return target


def debian(cache):
    # Another recipe is another file.
    recipe = pathlib.Path(__file__).read_bytes()
    target = cache / f"debian-{hashlib.sha256(recipe).hexdigest()[:12]}.tar"
    if target.exists():
        return target
    for old in cache.glob("debian*.tar"):
        old.unlink()
    packages = cache / "packages"
    packages.mkdir(exist_ok=True)
    names = dependencies(DEBIAN_PACKAGES)
    subprocess.run(["apt-get", "download", "-q", *names], cwd=packages,
                   check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        root = pathlib.Path(work) / "root"
        root.mkdir()
        # Merged /usr first, or dpkg would make /bin a directory.
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(f"dpkg-deb --fsys-tarfile '{package}' | "
                           f"tar -C '{root}' -xpf - --keep-directory-symlink "
                           f"--no-same-owner", shell=True, check=True)
        finish_debian(root)
        register_packages(root, sorted(packages.glob("*.deb")))
        temporary = target.with_suffix(".tmp")
        subprocess.run(["tar", "-C", root, "--owner=0", "--group=0",
                        "--numeric-owner", "-cf", temporary, "."], check=True)
    os.replace(temporary, target)
    shutil.rmtree(packages)
    return target


def dependencies(names):
    """What apt would install on a machine that has nothing at all."""
    out = subprocess.run(
        ["apt-get", "--simulate", "-o", "Dir::State::status=/dev/null",
         "--no-install-recommends", "install", *names], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    return sorted({line.split()[1] for line in out.splitlines()
                   if line.startswith("Inst ")})


def finish_debian(root):
    """What the packages' maintainer scripts would have made."""
    etc = root / "etc"
    master = root / "usr/share/base-passwd"
    shutil.copy(master / "passwd.master", etc / "passwd")
    shutil.copy(master / "group.master", etc / "group")
    text = (etc / "passwd").read_text().replace(":*:", ":x:")
    (etc / "passwd").write_text(text + "_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n")
    (etc / "group").write_text((etc / "group").read_text().replace(":*:", ":x:"))
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    sh = root / "usr/bin/sh"
    if not sh.exists():
        sh.symlink_to("dash")
    for directory in ("var/lib/nginx/body", "var/log/nginx", "var/lib/dpkg/info",
                      "var/lib/dpkg/updates", "run", "tmp", "proc", "sys", "dev",
                      "root", "var/www/html", "etc/nginx/sites-enabled",
                      "var/lib/apt/lists/partial", "var/cache/apt/archives/partial",
                      "var/log/apt", "etc/apt/apt.conf.d", "etc/apt/preferences.d"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "var/www/html/index.html").write_text("<h1>nginx in moss</h1>\n")
    (etc / "nginx/sites-enabled/default").write_text(
        "server { listen 80; listen [::]:80; root /var/www/html; }\n")


def register_packages(root, packages):
    """dpkg's own record of what is there, so that apt can install more."""
    entries = []
    for package in packages:
        control = subprocess.run(["dpkg-deb", "-f", package], check=True,
                                 text=True, stdout=subprocess.PIPE).stdout
        fields = dict(line.split(": ", 1) for line in control.splitlines()
                      if line and not line[0].isspace() and ": " in line)
        entries.append("Status: install ok installed\n" + control)
        files = subprocess.run(f"dpkg-deb --fsys-tarfile '{package}' | tar -t",
                               shell=True, check=True, text=True,
                               stdout=subprocess.PIPE).stdout
        name = fields["Package"]
        if fields.get("Multi-Arch") == "same":
            name += ":" + fields["Architecture"]
        (root / "var/lib/dpkg/info" / f"{name}.list").write_text(
            "".join("/" + (line.removeprefix("./").rstrip("/") or ".") + "\n"
                    for line in files.splitlines()))
    (root / "var/lib/dpkg/status").write_text("\n".join(entries))
