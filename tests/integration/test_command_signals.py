"""Signals to a command at any moment, and standard streams that are closed,
full or left by their reader: the command ends in good order, says so, and the
containers are as they are told.

MOSS_SIGNAL_SECONDS and MOSS_SIGNAL_SEED change how long and where signals are
tried: for so many seconds in all at all commands, by default once at some."""
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import wait_for
from test_kill_commands import COMMANDS, WRITER, some

SEED = int(os.environ.get("MOSS_SIGNAL_SEED", "1"))
SECONDS = float(os.environ.get("MOSS_SIGNAL_SECONDS", "0"))
SOME = 10
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
          signal.SIGPIPE]
FULL = "No space left on device"
CLOSED = "Bad file descriptor"


@pytest.fixture
def words(house, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for i in range(100):
        (tree / f"f{i}").write_bytes(b"x" * 5000)
    count = iter(range(10**9))
    yield lambda args: [word.format(tree=tree, out=tmp_path / f"o{next(count)}")
                        for word in args]
    house.run("rmi", "-f", "committed")
    house.reset(house.baseline)


def prepare(house, before):
    ids = house.ok("ps", "-aq").split()
    if ids:
        house.ok("rm", "-fv", *ids)
    house.run("rmi", "-f", "committed")
    house.ok("volume", "prune", "-af")
    for args in before:
        house.ok(*args)


@pytest.mark.parametrize("name", some(list(COMMANDS), SECONDS, SEED, SOME))
def test_signalled(house, words, name):
    """It ends of it, or goes on to its end as if nothing had been."""
    before, args, limit = COMMANDS[name]
    rng = random.Random(f"{SEED} {name}")
    deadline = time.monotonic() + SECONDS / len(COMMANDS)
    rounds = 0
    while rounds < 1 or time.monotonic() < deadline:
        rounds += 1
        prepare(house, before)
        number, moment = rng.choice(ENDING), rng.uniform(0, 0.05)
        print(f"seed {SEED}, round {rounds}: {number!r} after "
              f"{moment * 1000:.2f} ms")
        process = house.start(*words(args))
        time.sleep(moment)
        process.send_signal(number)
        # The container may not listen to what is passed on to it.
        if limit is not None or name == "start -a":
            time.sleep(0.02)
            process.kill()
        house.end(process)
        house.assert_sound()


ENDS_BY_ITSELF = [name for name, (_, _, limit) in COMMANDS.items()
                  if limit is None]


@pytest.mark.parametrize("name", some(ENDS_BY_ITSELF, SECONDS, SEED, SOME))
def test_stopped_and_continued(house, words, name):
    """Nobody else has to wait for it, and it does its work after that."""
    before, args, _ = COMMANDS[name]
    rng = random.Random(f"{SEED} {name}")
    prepare(house, before)
    process = house.start(*words(args))
    time.sleep(rng.uniform(0, 0.01))
    process.send_signal(signal.SIGTSTP)
    result = house.ask("ps", "-a")
    assert result.code == 0, result
    process.send_signal(signal.SIGCONT)
    assert house.end(process) == 0
    house.assert_sound()


def test_signals_reach_the_container(house, words):
    for args in (["run", "--name", "trap"], ["start", "-a"], ["attach"]):
        script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"
        if args[0] == "run":
            process = house.start(*args, "busybox", "sh", "-c", script,
                                  stdout=subprocess.PIPE)
        elif args[0] == "start":
            process = house.start(*args, "trap", stdout=subprocess.PIPE)
        else:
            house.ok("start", "trap")
            wait_for(lambda: house.ok("logs", "trap").count("ready") == 3,
                     "the trap")
            process = house.start(*args, "trap", stdout=subprocess.PIPE)
            time.sleep(0.2)
        if args[0] != "attach":
            assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        assert house.end(process) == 7


# ---- standard streams ----

# What prints; {} is a running container that has printed lines.
PRINTING = ["ps -a", "images", "inspect {}", "logs {}", "top {}", "version",
            "info", "events --since 1h --until 0s", "stats --no-stream {}",
            "system df", "volume ls", "diff {}", "history busybox",
            "exec {} echo x", "run --rm busybox echo x", "rename --help",
            "export {}", "cp {}:/bin -", "save busybox", "port {}",
            "create busybox true", "start {}", "restart -t0 {}", "volume create vol",
            "run -d busybox sleep 9", "stop -t0 {}"]


@pytest.fixture
def printer(house, words):
    house.ok("run", "-d", "--name", "printer", "-p", "127.0.0.1::80", "busybox",
             "sh", "-c", "echo x; touch /x; echo ready; exec sleep 1000")
    wait_for(lambda: "ready" in house.ok("logs", "printer"), "the container")
    return "printer"


def shell(house, command, redirection):
    """A command with its streams as a shell would have them."""
    return subprocess.run(
        ["sh", "-c", f"exec {house.moss.program} {command} {redirection}"],
        env=house.moss.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, timeout=30)


@pytest.mark.parametrize("command", PRINTING)
def test_output_that_cannot_be_written(house, printer, command):
    for redirection, reason in ((">/dev/full", FULL), (">&-", CLOSED)):
        result = shell(house, command.format(printer), redirection)
        assert result.returncode not in (0, None), (redirection, result)
        assert result.returncode > 0, (redirection, result)
        line, *hint = [line for line in result.stderr.splitlines()
                       if not line.startswith("WARNING")]
        assert len(hint) <= 1, (redirection, result)
        # Why is known of the last write only.
        assert "cannot write" in line and (
            reason in line or line.endswith("output")), (redirection, result)
    house.assert_sound()


@pytest.mark.parametrize("command", ["ps -a", "inspect nothing",
                                     "run --rm busybox ls /nothing",
                                     "exec printer ls /nothing"])
def test_closed_streams(house, printer, command):
    """No file of the store takes the place of one."""
    code = shell(house, command, "").returncode
    for redirection in ("2>&-", "<&-", "<&- 2>&-"):
        result = shell(house, command, redirection)
        assert result.returncode == code or "2>" in redirection and \
            result.returncode > 0, (redirection, result)
    house.assert_sound()


def test_reader_that_goes(house, words):
    """`moss ... | head -1` ends, quietly, also when nothing more is said."""
    house.ok(*WRITER)
    quiet = house.ok("run", "-d", "busybox", "sh", "-c",
                     "echo one; exec sleep 1000")
    wait_for(lambda: "one" in house.ok("logs", quiet), "the line")
    for args in (["logs", "-f", "victim"], ["logs", "-f", quiet],
                 ["attach", "--sig-proxy=false", "victim"],
                 ["events", "--since", "1h"], ["stats", "victim"]):
        process = house.start(*args, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert process.stdout.readline()
        process.stdout.close()
        code = house.end(process, 10)
        err = process.stderr.read().decode()
        process.stderr.close()
        assert code == -signal.SIGPIPE and err == "", (args, code, err)
    # Reading less than all is nothing that the container notices.
    assert house.ok("exec", "victim", "echo", "x") == "x"


def test_no_signal_is_inherited(house, words):
    """Started by nohup and with everything blocked, a container's program
    is not."""
    out = subprocess.run(
        [house.moss.program, "run", "--rm", "busybox", "grep", "Sig",
         "/proc/self/status"], env=house.moss.env, text=True,
        stdout=subprocess.PIPE, timeout=30, preexec_fn=lambda: (
            signal.signal(signal.SIGHUP, signal.SIG_IGN),
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        )).stdout
    masks = dict(line.split(":") for line in out.splitlines())
    assert int(masks["SigIgn"], 16) == 0 and int(masks["SigBlk"], 16) == 0, out
