"""clang's tools of the version whose opinion counts: the others' differ."""
import re
import shutil
import subprocess
import sys

MAJOR = 14  # Debian 12's


def find(name):
    """Its path. The check ends here, passed, where the version is another, and
    failed where there is none."""
    for tool in f"{name}-{MAJOR}", name:
        path = shutil.which(tool)
        if not path:
            continue
        version = subprocess.run([path, "--version"], text=True,
                                 stdout=subprocess.PIPE).stdout
        major = re.search(r"version (\d+)", version)
        if major and int(major[1]) == MAJOR:
            return path
        print(f"{name} {major[1] if major else '?'} is here, {MAJOR} is "
              "wanted: not checked", file=sys.stderr)
        sys.exit(0)
    print(f"{name} is not installed", file=sys.stderr)
    sys.exit(1)
