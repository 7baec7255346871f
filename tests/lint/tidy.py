#!/usr/bin/env python3
"""clang-tidy over every C file that the build directory compiles.

    tidy.py BUILD_DIRECTORY
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import llvm


def check(arguments):
    tool, build, file = arguments
    run = subprocess.run([tool, "--quiet", "-p", build, file], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return run.returncode, run.stdout


def main(build):
    tool = llvm.find("clang-tidy")
    database = json.loads((pathlib.Path(build) /
                           "compile_commands.json").read_text())
    files = sorted({os.path.realpath(os.path.join(e["directory"], e["file"]))
                    for e in database})
    # Generated sources are data.
    files = [f for f in files if not f.startswith(os.path.realpath(build))]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for code, out in pool.map(check, [(tool, build, f) for f in files]):
            if code != 0:
                failed = True
                print(out, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
