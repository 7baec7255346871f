#!/usr/bin/env python3
"""Checks the manual pages against the command tables, both ways.

    man.py SOURCE-DIRECTORY MOSS

Every command has a page with the sections a page has, every option of a command
is on its page in the form it can be typed, and no page tells of a command or an
option that is not there. The same goes for the settings of moss.conf. What moss
has comes from `moss __options`.
"""
import pathlib
import re
import subprocess
import sys

# Commands that have no page of their own, but a part of another's options.
SHARED = {"container-inspect": "inspect"}
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES",
            "SEE ALSO"]
OPTION = re.compile(r"^(?:\*(-\w)\*, )?\*(--[a-z0-9-]+)\*(.*)$", re.M)
SAME = re.compile(r"The\s+options\s+are\s+those\s+of\s+\*moss-([a-z-]+)\*\(1\)"
                  r"\s+except\s+([^.]*)\.")


SETTING = re.compile(r"\*([a-z-]+)\* = ")


def tables(moss):
    commands = {}
    settings = {}
    out = subprocess.run([moss, "__options"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    for line in out.splitlines():
        kind, command, *rest = line.split("\t")
        if kind == "command":
            commands[command] = {}
        elif kind == "setting":
            settings.setdefault(command, set()).update(rest)
        elif kind == "option":
            short, long, value = rest
            commands[command][long] = (short, bool(value))
    return commands, settings


def check_settings(text, settings, problems):
    """A section of the page for each section of the file."""
    told = {}
    for part in re.split(r"^# ", text, flags=re.M)[1:]:
        keys = set(SETTING.findall(part))
        if keys:
            told[part.split("\n")[0].lower()] = keys
    if not text.startswith("moss.conf(5)\n"):
        problems.append("moss.conf: the first line is not moss.conf(5)")
    for section in sorted(told.keys() | settings.keys()):
        page, real = told.get(section, set()), settings.get(section, set())
        problems += [f"moss.conf: [{section}] {key} is not in the page"
                     for key in sorted(real - page)]
        problems += [f"moss.conf: [{section}] {key} is in the page only"
                     for key in sorted(page - real)]


def page_options(pages, name):
    text = pages[name]
    same = SAME.search(text)
    options = {long: (short, rest.startswith((" ", "[")))
               for short, long, rest in OPTION.findall(SAME.sub("", text))}
    if same:
        missing = re.findall(r"\*(--[a-z0-9-]+)\*", same[2])
        base = page_options(pages, same[1])
        for option in missing:
            del base[option]
        options.update(base)
    return options


def describe(option, entry):
    short, value = entry
    return f"{short + ', ' if short else ''}{option}{' VALUE' if value else ''}"


def check_options(name, told, real, problems):
    for option in sorted(real.keys() - told.keys()):
        problems.append(f"{name}: {option} is not in the page")
    for option in sorted(told.keys() - real.keys()):
        problems.append(f"{name}: {option} is in the page only")
    for option in sorted(real.keys() & told.keys()):
        if real[option] != told[option]:
            problems.append(f"{name}: {describe(option, told[option])} should "
                            f"be {describe(option, real[option])}")


def check_page(name, text, problems):
    title = f"moss {name.replace('-', ' ')}"
    sections = re.findall(r"^# (.*)$", text, re.M)
    if not text.startswith(f"moss-{name}(1)\n"):
        problems.append(f"{name}: the first line is not moss-{name}(1)")
    if f"\n{title} - " not in text or f"\n*{title}*" not in text:
        problems.append(f"{name}: NAME or SYNOPSIS is not of {title}")
    for section in SECTIONS:
        if section not in sections:
            problems.append(f"{name}: no section {section}")


def main(top, moss):
    commands, settings = tables(moss)
    pages = {file.name[len("moss-"):-len(".1.scd")]: file.read_text()
             for file in (top / "cmd/man").glob("moss-*.1.scd")}
    overview = (top / "cmd/man/moss.1.scd").read_text()
    listed = (top / "cmd/man/meson.build").read_text()
    problems = []

    for name, page in SHARED.items():
        extra = commands.pop(name).keys() - commands[page].keys()
        problems += [f"{name}: {option} is not in the page of {page}"
                     for option in sorted(extra)]
    for name in sorted(commands.keys() - pages.keys()):
        problems.append(f"{name}: no page cmd/man/moss-{name}.1.scd")
    for name in sorted(pages.keys() - commands.keys()):
        problems.append(f"{name}: a page without a command")
    for name in sorted(pages.keys() & commands.keys()):
        check_page(name, pages[name], problems)
        check_options(name, page_options(pages, name), commands[name],
                      problems)
        if f"*moss-{name}*(1)" not in overview:
            problems.append(f"{name}: not in cmd/man/moss.1.scd")
        if f"'{name}'" not in listed:
            problems.append(f"{name}: not in cmd/man/meson.build")
        for other in re.findall(r"\*moss-([a-z-]+)\*\(1\)", pages[name]):
            if other not in pages:
                problems.append(f"{name}: refers to moss-{other}(1)")
    check_settings((top / "cmd/man/moss.conf.5.scd").read_text(), settings,
                   problems)
    for problem in problems:
        print(f"man: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
