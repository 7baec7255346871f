"""moss events: the journal of what happened, and following it."""
import json
import os
import re
import signal
import subprocess
import time

import pytest


def events(moss, *args, since=None):
    out = moss.ok("events", "--since", since or "1h", "--until", "0s",
                  "--format", "json", *args)
    return [json.loads(line) for line in out.splitlines()]


def actions(moss, *args, **kwargs):
    return [event["Action"] for event in events(moss, *args, **kwargs)]


@pytest.fixture
def start():
    """Epoch time that only what comes is later than."""
    return f"{time.time():.9f}"


def test_life(moss, start):
    moss("run", "--rm", "--name", "life", "-v", "lifevol:/v", "--label",
         "colour=green", "busybox", "sh", "-c", "exit 3", check=3)
    assert actions(moss, since=start) == [
        "create", "create", "attach", "mount", "start", "die", "unmount",
        "destroy"]
    (die,) = events(moss, "-f", "event=die", since=start)
    assert die["Type"] == "container" and die["scope"] == "local"
    assert die["status"] == "die" and die["from"] == "busybox"
    assert die["id"] == die["Actor"]["ID"]
    assert die["Actor"]["Attributes"] == {
        "image": "busybox", "name": "life", "colour": "green",
        "exitCode": "3", "execDuration": die["Actor"]["Attributes"]["execDuration"]}
    assert die["timeNano"] // 10**9 == die["time"]
    (mount,) = events(moss, "-f", "event=mount", since=start)
    assert mount["Type"] == "volume" and mount["Actor"]["ID"] == "lifevol"
    assert mount["Actor"]["Attributes"]["container"] == die["id"]
    assert mount["Actor"]["Attributes"]["destination"] == "/v"
    moss.ok("volume", "rm", "lifevol")
    assert actions(moss, "-f", "volume=lifevol", since=start)[-1] == "destroy"


def test_what_is_done(moss, start):
    moss.ok("run", "-d", "--name", "done", "busybox", "sleep", "100")
    moss.ok("exec", "done", "ls", "/")
    moss.ok("pause", "done")
    moss.ok("unpause", "done")
    moss.ok("rename", "done", "done2")
    moss.ok("kill", "-s", "USR1", "done2")
    moss.ok("restart", "-t", "0", "done2")
    moss.ok("stop", "-t", "0", "done2")
    moss.ok("rm", "done2")
    told = actions(moss, "-f", "type=container", since=start)
    assert told[:7] == ["create", "start", "exec_create: ls /",
                        "exec_start: ls /", "exec_die", "pause", "unpause"]
    assert told[7:9] == ["rename", "kill"]
    rest = [action for action in told[9:] if action != "kill"]
    assert rest == ["die", "stop", "start", "restart", "die", "stop",
                    "destroy"]
    ended = events(moss, "-f", "event=exec_die", "-f", "event=exec_start",
                   since=start)
    assert len({e["Actor"]["Attributes"]["execID"] for e in ended}) == 1
    kill = events(moss, "-f", "event=kill", since=start)[0]["Actor"]["Attributes"]
    assert kill["signal"] == str(int(signal.SIGUSR1))
    # The present name is told.
    assert kill["name"] == "done2"
    (rename,) = events(moss, "-f", "event=rename", since=start)
    assert rename["Actor"]["Attributes"]["oldName"] == "/done"


def test_images(moss, start, tmp_path):
    moss.ok("tag", "busybox", "events/other:1")
    archive = tmp_path / "image.tar"
    moss.ok("save", "-o", archive, "events/other:1")
    moss.ok("load", "-i", archive)
    moss.ok("rmi", "events/other:1")
    told = events(moss, "-f", "type=image", since=start)
    assert [event["Action"] for event in told] == ["tag", "save", "load",
                                                   "untag"]
    image = json.loads(moss.ok("image", "inspect", "busybox"))[0]["Id"]
    assert {event["Actor"]["ID"] for event in told} == {image}
    assert told[0]["Actor"]["Attributes"]["name"] == "events/other:1"


def test_lines_and_templates(moss, start):
    name = moss.ok("create", "--name", "lines", "--label", "a=1", "busybox", "true")
    (line,) = moss.ok("events", "--since", start, "--until", "0s").splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) container "
        rf"create {name} \(a=1, image=busybox, name=lines\)", line)
    template = ("{{.Type}} {{.Action}} {{.Status}} {{.ID}} {{.From}} "
                "{{.Actor.Attributes.name}} {{.TimeNano}}")
    line = moss.ok("system", "events", "--since", start, "--until", "0s",
                   "--format", template)
    (event,) = events(moss, since=start)
    assert line == (f"container create create {name} busybox lines "
                    f"{event['timeNano']}")
    assert json.loads(moss.ok("events", "--since", start, "--until", "0s",
                              "--format", "{{json .}}")) == event
    moss("events", "--format", "{{", check=64)
    # A label steers no terminal.
    moss.ok("create", "--label", "x=\033[31m", "busybox", "true")
    assert "\033" not in moss.ok("events", "--since", start, "--until", "0s")


@pytest.mark.parametrize("filters, count", [
    (["container=fil"], 2),
    (["container=filter-a"], 1),
    (["container=filter-a", "container=filter-b"], 2),
    (["label=kind=a"], 1),
    (["label=kind"], 2),
    (["label=kind=a", "label=kind=b"], 0),
    (["image=busybox"], 2),
    (["image=busybox:latest"], 0),
    (["image=none"], 0),
    (["type=image"], 0),
    (["event=create", "type=container"], 2),
    (["event=creat"], 0),
    (["scope=swarm"], 0),
    (["scope=local"], 2),
    (["daemon=x"], 0),
])
def test_filters(moss, start, filters, count):
    for name in "ab":
        moss.ok("create", "--name", f"filter-{name}", "--label",
                f"kind={name}", "busybox", "true")
    args = [word for text in filters for word in ("-f", text)]
    assert len(events(moss, *args, since=start)) == count


def test_errors(moss):
    result = moss("events", "-f", "colour=green", check=1)
    assert "invalid filter 'colour'" in result.err
    moss("events", "-f", "colour", check=1)
    moss("events", "--since", "yesterday", check=1)
    result = moss("events", "--since", "1s", "--until", "1h", check=1)
    assert "later than" in result.err


def test_follow(moss):
    until = time.time() + 3
    process = moss.popen("events", "--format", "{{.Action}}", "-f",
                         "container=follow", "--since", "0s", "--until",
                         f"{until:.9f}", stdout=subprocess.PIPE, text=True)
    try:
        moss.ok("create", "--name", "follow", "busybox", "true")
        assert process.stdout.readline() == "create\n"
        moss.ok("rm", "follow")
        assert process.stdout.readline() == "destroy\n"
        # It ends by itself, and not before its time.
        assert process.wait(timeout=20) == 0
        assert time.time() >= until
    finally:
        process.kill()
        process.wait()


def test_killed_monitor(moss, start):
    moss.ok("run", "-d", "--rm", "--name", "lost", "busybox", "sleep", "100")
    pid = moss.inspect("lost")["State"]["Pid"]
    with open(f"/proc/{pid}/status") as file:
        monitor = int(re.search(r"^PPid:\s+(\d+)", file.read(), re.M)[1])
    os.kill(monitor, signal.SIGKILL)
    moss.wait_for(lambda: not moss.ps("-a", "-f", "name=lost"))
    assert actions(moss, "-f", "container=lost", since=start)[-2:] == [
        "die", "destroy"]


def test_unwritable_journal(moss, start):
    """Events that cannot be written keep nobody from anything."""
    journal = moss.root / "events"
    kept = moss.root / "events.kept"
    if journal.exists():
        journal.rename(kept)
    journal.write_text("")
    try:
        moss.ok("run", "--rm", "busybox", "true")
    finally:
        journal.unlink()
        if kept.exists():
            kept.rename(journal)
    assert actions(moss, since=start) == []


def test_restart_policy(moss, start):
    """Each run has its start and its end."""
    moss("run", "--name", "again", "--restart", "on-failure:2", "busybox",
         "false")
    moss.wait_for(lambda: moss.inspect("again")["State"]["Status"] == "exited")
    assert actions(moss, "-f", "event=start", "-f", "event=die", "-f",
                   "container=again", since=start) == ["start", "die"] * 3
