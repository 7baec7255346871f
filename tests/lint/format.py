#!/usr/bin/env python3
"""Checks that every C file is as clang-format writes it."""
import pathlib
import subprocess
import sys

import llvm


def main(top):
    tool = llvm.find("clang-format")
    files = [file.as_posix() for file in sorted(top.rglob("*.[ch]"))
             if "build" not in file.relative_to(top).parts[0]]
    return subprocess.run([tool, "--dry-run", "--Werror", *files]).returncode


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
