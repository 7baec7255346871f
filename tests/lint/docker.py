#!/usr/bin/env python3
"""Checks moss's commands and options against docker's, from a table.

    docker.py SOURCE-DIRECTORY MOSS

tests/lint/docker_flags.txt has docker's commands and, below each, its options
as `docker COMMAND --help` has them. A line that ends in "! REASON" is one that
moss has not on purpose, one in "! refused: REASON" it must know, hidden, so as
to say why it refuses it; one of these that moss has after all is a problem too,
so that the table stays true. Options of moss's own are no
problem. What moss has comes from `moss __options`.
"""
import pathlib
import re
import subprocess
import sys

# Groups of commands whose names moss joins: "volume create", volume-create.
GROUP = re.compile(r"^(builder|container|image|manifest|network|system|volume)-")
OPTION = re.compile(r"^(?:(-\w) )?(--[\w-]+)(?: (\S+))?$")


def read_table(text):
    """{command: (reason, {option: ((short, value), reason)})}"""
    table = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry, _, reason = (part.strip() for part in line.partition("!"))
        if not entry or entry.startswith("#"):
            continue
        if not line.startswith("\t"):
            options = {}
            table[entry] = (reason, options)
            continue
        match = OPTION.match(entry)
        if not match:
            sys.exit(f"docker: line {number} of the table: {line}")
        options[match[2]] = ((match[1] or "", match[3] or ""), reason)
    return table


def read_moss(moss):
    commands = {}
    hidden = set()
    out = subprocess.run([moss, "__options"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    for line in out.splitlines():
        kind, command, *rest = line.split("\t")
        command = GROUP.sub(r"\1 ", command)
        if kind == "command":
            commands[command] = {}
        elif kind == "option":
            commands[command][rest[1]] = (rest[0], rest[2])
        elif kind == "hidden":
            hidden.add((command, rest[1], (rest[0], rest[2])))
    return commands, hidden


def show(option, form):
    short, value = form
    return " ".join(part for part in (short, option, value) if part)


def check_options(command, table, real, hidden, problems):
    for option, (form, reason) in table.items():
        if option not in real:
            if reason.startswith("refused:"):
                if (command, option, form) not in hidden:
                    problems.append(f"{command}: {show(option, form)} is not "
                                    f"refused, but unknown")
            elif not reason:
                problems.append(f"{command}: {show(option, form)} is missing")
        elif reason:
            problems.append(f"{command}: {option} is there, and the table "
                            f"says: {reason}")
        elif form != real[option]:
            problems.append(f"{command}: {show(option, real[option])} is "
                            f"{show(option, form)} in docker")


def main(top, moss):
    table = read_table((top / "tests/lint/docker_flags.txt").read_text())
    commands, hidden = read_moss(moss)
    problems = []
    for command, (reason, options) in table.items():
        if command in commands:
            if reason:
                problems.append(f"{command} is there, and the table says: "
                                f"{reason}")
            check_options(command, options, commands[command], hidden,
                          problems)
        elif not reason:
            problems.append(f"{command} is missing")
    for problem in problems:
        print(f"docker: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
