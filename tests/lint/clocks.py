#!/usr/bin/env python3
"""Only where a time is told or stored may the wall clock be asked: whoever
measures by it hangs or spins when it is set (base/clock.h)."""
import pathlib
import re
import sys

WALL_CLOCK = re.compile(r"CLOCK_REALTIME|\bgettimeofday\s*\(|\btime\s*\(NULL\)")

# By room and file, wherever in the room that is.
ALLOWED = {
    "base/format.c": "format_now()",
    "cmd/builder.c": "how old what a step came to is",
    "cmd/history.c": "how old an image is",
    "cmd/image_rows.c": "how old an image is",
    "cmd/ps.c": "how old a container is",
    "cmd/time_option.c": "--since and --until",
    "core/build_cache_list.c": "how old a file is",
    "core/inspect.c": "how long a container has been up",
    "core/log_writer.c": "the time of a line of the log",
    "core/probe.c": "start and end of a probe in its log",
    "core/report.c": "when a step of a build started and ended",
    "storage/copy_entry.c": "the time of a directory that WORKDIR makes",
    "storage/events.c": "the time of an event",
    "storage/stat_cache.c": "against files' times, which are the wall clock's",
    "storage/http_answer.c": "Retry-After with a date, of a limited wait",
}


def main(root):
    wrong = []
    found = set()
    for room in ("base", "cmd", "core", "net", "policy", "storage"):
        for path in sorted((root / room).rglob("*.[ch]")):
            key = f"{room}/{path.name}"
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if not WALL_CLOCK.search(line):
                    continue
                found.add(key)
                if key not in ALLOWED:
                    wrong.append(f"{path}:{number}: asks the wall clock; use "
                                 "clock_ms(), or say why in tests/lint/clocks.py")
    wrong += [f"tests/lint/clocks.py: {key} does not ask the wall clock"
              for key in sorted(ALLOWED.keys() - found)]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
