"""Completion by the shells themselves, with nothing loaded but moss's script:
what zsh and fish offer for a line (of bash: test_cli.py)."""
import os
import subprocess

import pexpect
import pytest

# zsh: a widget that completes the line, and notes what is offered for it.
ZSH = r"""
autoload -Uz compinit
compinit -D -u
source <(moss completion zsh)
compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
		builtin compadd "$@"
		return
	fi
	local -a found
	builtin compadd -O found "$@"
	offered+=($found)
	builtin compadd "$@"
}
offer() {
	offered=()
	_main_complete
	print "<${(j:,:)offered}>"
}
zle -C offer complete-word offer
bindkey '^T' offer
PROMPT='at work'
"""


class Zsh:
    def __init__(self, env, directory):
        script = directory / "offer.zsh"
        script.write_text(ZSH)
        self.process = pexpect.spawn(
            "zsh", ["-f", "-i"], env=dict(env, TERM="dumb", HOME=str(directory)),
            encoding="utf-8", timeout=30, dimensions=(24, 1000))
        self.process.delaybeforesend = None
        self.process.sendline(f"PROMPT=; source {script}")
        self.process.expect("at work")

    def offer(self, line):
        self.process.send(line + "\x14")
        self.process.expect(r"<([^>]*)>")
        self.process.send("\x15")
        return self.process.match[1].split(",")

    def close(self):
        self.process.close(force=True)


class Fish:
    def __init__(self, env, directory):
        self.process = subprocess.Popen(
            ["fish", "--no-config", "-c", "source (moss completion fish | psub)"
             "\nwhile read -L -l line; complete -C $line; echo .; end"],
            env=dict(env, HOME=str(directory)), text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def offer(self, line):
        self.process.stdin.write(line + "\n")
        rows = iter(self.process.stdout.readline, ".\n")
        return [row.split("\t")[0].strip() for row in rows] or [""]

    def close(self):
        assert self.process.communicate() == ("", "")


@pytest.fixture(params=[Zsh, Fish], ids=["zsh", "fish"])
def shell(moss, request, tmp_path):
    path = f"{os.path.dirname(moss.program)}:{os.environ['PATH']}"
    shell = request.param(dict(moss.env, PATH=path), tmp_path)
    yield shell
    shell.close()
    moss.remove_all()
    moss.ok("volume", "rm", "shell-data")


CASES = {
    "moss vol": ["volume"],
    "moss builder pr": ["prune"],
    "moss volume ": ["create", "inspect", "ls", "prune", "rm"],
    "moss container renam": ["rename"],
    "moss rm --fo": ["--force"],
    "moss run --cap-add NET_B": ["NET_BIND_SERVICE"],
    "moss save --format ": ["archive", "oci-dir"],
    "moss completion ": ["bash", "fish", "zsh"],
    # Names, where they are wanted.
    "moss exec ww": ["www"],
    "moss rm x ww": ["www"],
    "moss volume rm shell": ["shell-data"],
    "moss run -it --name x busybox:": ["busybox:latest"],
    "moss run --name=x -itv /a:/b busybox:": ["busybox:latest"],
    "moss run -it busybox l": [""],
    "moss exec www b": [""],
    "moss cp www busy": [""],
    # Options before the command.
    "moss --con": ["--config"],
    "moss --config /etc vol": ["volume"],
    "moss --config=/etc exec ww": ["www"],
}


def test_what_is_offered(moss, shell):
    moss.ok("run", "-d", "--name", "www", "-v", "shell-data:/data", "busybox",
            "sleep", "1000")
    assert {line: sorted(shell.offer(line)) for line in CASES} == CASES
    assert "--network" in shell.offer("moss run --netw")
    assert {"host", "none"} <= set(shell.offer("moss run --network "))
