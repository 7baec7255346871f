"""Runs pytest over tests/vm/guest in a virtual machine; its exit code is ours.

    run.py BUILD CACHE [--boot-timeout S] [--timeout S] [PYTEST-ARGUMENT...]

BUILD has the programs, CACHE keeps the machine's disk (image.py) and its last
console.log. qemu emulates the processor (TCG): a /dev/kvm is never used,
because where tests run it may be there and hang.

The guest gets its files as a tar archive for a second disk, and writes to its
own disk into a temporary overlay: every run starts from the same machine. It
has no network but its loopback.
"""
import argparse
import os
import pathlib
import secrets
import select
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time

import image

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/integration"))

import roots  # noqa: E402

MEMORY = "2048M"
CPUS = "2"
# An older processor boots in half the time: fewer features, fewer helpers to
# emulate, shorter page walks than with five levels.
CPU = "Nehalem,+rdrand,-vmx"
COMMAND_LINE = ("root=/dev/nvme0n1 rw console=ttyS0 loglevel=4 mitigations=off "
                "panic=-1 systemd.show_status=auto TERM=dumb")


def say(text):
    print(f"vm: {text}", flush=True)


def programs_of(build):
    found = [path for path in build.glob("moss*")
             if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise image.Failure(f"no programs in {build}: build moss first")
    return sorted(found)


def write_payload(path, programs, root_archives, settings):
    def plain(info):
        return None if "__pycache__" in info.name else info

    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for program in programs:
            tar.add(program, f"build/{program.name}")
        for name in ("integration", "vm"):
            tar.add(TOP / "tests" / name, f"tests/{name}", filter=plain)
        for root in root_archives:
            tar.add(root, f"cache/{root.name}")
        settings_path = path.with_suffix(".settings")
        settings_path.write_text(settings)
        tar.add(settings_path, "settings")
        settings_path.unlink()


def roots_for(options):
    """The file systems for the tests; the large one is for few of them."""
    made = [roots.busybox(options.cache)]
    if any("tests/integration" in argument for argument in options.pytest):
        made.append(roots.debian(options.cache))
    return made


def settings_text(mark, arguments):
    color = "yes" if sys.stdout.isatty() else "no"
    lines = [f"mark={mark}",
             "set -- " + shlex.join([f"--color={color}", *arguments])]
    if "CI" in os.environ:
        lines.append("export CI=" + shlex.quote(os.environ["CI"]))
    return "\n".join(lines) + "\n"


def disk(number, path, *options):
    """Debian's kernel has NVMe built in, and so needs no initrd."""
    name = f"disk{number}"
    return ["-drive", ",".join([f"file={path}", "format=raw", "if=none",
                                f"id={name}", *options]),
            "-device", f"nvme,drive={name},serial={name}"]


def start(disk_image, payload, console):
    return subprocess.Popen(
        # Ends with us, however we end.
        ["setpriv", "--pdeathsig", "KILL",
         "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", CPU,
         "-smp", CPUS, "-m", MEMORY, "-nodefaults", "-no-user-config",
         "-display", "none", "-kernel", disk_image.kernel,
         "-append", COMMAND_LINE,
         *disk(0, disk_image.disk, "snapshot=on", "cache=unsafe"),
         *disk(1, payload, "readonly=on"),
         "-serial", f"file:{console}", "-serial", "file:/dev/stdout"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


class Output:
    """The guest's output, passed on at once but for what begins with mark."""

    def __init__(self, mark):
        self.mark = mark.encode()
        self.held = b""

    def feed(self, data):
        """Passes on what can be; yields the words after each mark."""
        self.held += data
        while self.mark in self.held:
            before, after = self.held.split(self.mark, 1)
            line, newline, rest = after.partition(b"\n")
            self.write(before)
            self.held = self.mark + after
            if not newline:
                return
            self.held = rest
            yield line.decode(errors="replace").split()
        keep = max(n for n in range(len(self.mark))
                   if self.mark.startswith(self.held[len(self.held) - n:]))
        self.write(self.held[:len(self.held) - keep])
        self.held = self.held[len(self.held) - keep:]

    @staticmethod
    def write(data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def watch(machine, mark, options):
    """Until the guest says how it ended; its pytest's exit code."""
    output = Output(mark)
    began = time.monotonic()
    deadline = began + options.boot_timeout
    end = began + options.timeout
    while True:
        left = min(deadline, end) - time.monotonic()
        if left <= 0:
            raise image.Failure(
                "the guest did not boot in time" if deadline < end else
                f"the tests took more than {options.timeout} s")
        if not select.select([machine.stdout], [], [], left)[0]:
            continue
        data = os.read(machine.stdout.fileno(), 65536)
        if not data:
            raise image.Failure("the guest ended before its tests did")
        for word, value in output.feed(data):
            if word == "exit":
                return int(value)
            say(f"boot {value} took {time.monotonic() - began:.0f} s"
                if value == "1" else "it came up again")
            deadline = end + 1


def run(options, work):
    programs = programs_of(options.build)
    disk_image, lock = image.prepare(options.cache / "vm", programs, say)
    mark = "@" + secrets.token_hex(8)
    payload = work / "payload.tar"
    write_payload(payload, programs, roots_for(options),
                  settings_text(mark, options.pytest))
    console = options.cache / "vm" / "console.log"
    began = time.monotonic()
    with lock, start(disk_image, payload, console) as machine:
        try:
            code = watch(machine, mark, options)
        except image.Failure as failure:
            last = console.read_text(errors="replace").splitlines()[-15:]
            raise image.Failure("\n".join([*last, f"{failure}, see {console}"]))
        finally:
            machine.kill()
    say(f"all of it took {time.monotonic() - began:.0f} s")
    if code != 0:
        say(f"the guest's console and journal are in {console}")
    return code


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("--boot-timeout", type=int, default=240)
    parser.add_argument("--timeout", type=int, default=900)
    options, options.pytest = parser.parse_known_args()
    if not any((TOP / argument.split("::")[0]).exists()
               for argument in options.pytest):
        options.pytest.append("tests/vm/guest")
    try:
        with tempfile.TemporaryDirectory(prefix="moss-vm-") as work:
            return run(options, pathlib.Path(work))
    except image.Failure as failure:
        print(failure, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
