"""moss events: the journal of what happened, and following it."""
import json
import os
import re
import signal
import subprocess
import time

import pexpect
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
        "create", "create", "attach", "connect", "mount", "start",
        "disconnect", "unmount", "die", "destroy"]
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
    network = events(moss, "-f", "type=network", since=start)
    assert [event["Action"] for event in network] == ["connect", "disconnect"]
    assert network[0]["Actor"]["Attributes"] == {
        "container": die["id"], "name": "bridge", "type": "bridge"}
    assert "status" not in network[0]
    moss.ok("volume", "rm", "lifevol")
    assert actions(moss, "-f", "volume=lifevol", since=start)[-1] == "destroy"


@pytest.mark.parametrize("network, kind", [("none", "null"),
                                           ("host", "host")])
def test_network(moss, start, network, kind):
    moss.ok("run", "--rm", "--network", network, "busybox", "true")
    told = events(moss, "-f", f"network={network}", since=start)
    assert [(e["Action"], e["Actor"]["Attributes"]["type"]) for e in told] == [
        ("connect", kind), ("disconnect", kind)]


def test_shared_network(moss, start):
    moss.ok("run", "-d", "--name", "owner", "busybox", "sleep", "100")
    moss.ok("run", "--rm", "--network", "container:owner", "busybox", "true")
    moss.ok("rm", "-f", "owner")
    assert actions(moss, "-f", "type=network", since=start) == [
        "connect", "disconnect"]


@pytest.mark.parametrize("command, code", [("/none", 127), ("/etc", 126)])
def test_failed_start(moss, start, command, code):
    """No start, but an end: by the monitor and by whoever wanted to start it."""
    moss("run", "--name", "failing", "busybox", command, check=code)
    assert actions(moss, since=start) == ["create", "attach", "die"]
    (die,) = events(moss, "-f", "event=die", since=start)
    assert die["Actor"]["Attributes"]["exitCode"] == str(code)
    assert die["Actor"]["Attributes"]["execDuration"] == "0"
    moss("run", "--rm", "--name", "failing2", "busybox", command, check=code)
    assert actions(moss, "-f", "container=failing2", since=start) == [
        "create", "attach", "die", "destroy"]


def test_start_without_source(moss, start, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    moss.ok("create", "--name", "sourceless", "--mount",
            f"type=bind,src={source},dst=/s", "busybox", "true")
    source.rmdir()
    moss("start", "sourceless", check=1)
    told = events(moss, "-f", "container=sourceless", since=start)
    assert [event["Action"] for event in told] == ["create", "die"]
    assert told[1]["Actor"]["Attributes"]["exitCode"] == "125"


def test_rest(moss, start, tmp_path):
    """What changes nothing, or not whether it runs."""
    moss.ok("run", "-d", "--name", "rest", "busybox", "sleep", "100")
    moss.ok("top", "rest")
    moss.ok("update", "--restart", "on-failure:1", "rest")
    moss.ok("cp", "rest:/etc/passwd", tmp_path / "passwd")
    moss.ok("cp", tmp_path / "passwd", "rest:/copy")
    moss.ok("export", "-o", tmp_path / "root.tar", "rest")
    moss.ok("commit", "-m", "why", "rest", "rest/image")
    told = events(moss, "-f", "container=rest", "-f", "type=container",
                  since=start)
    assert [event["Action"] for event in told] == [
        "create", "start", "top", "update", "archive-path", "extract-to-dir",
        "export", "commit"]
    attributes = told[-1]["Actor"]["Attributes"]
    assert attributes["comment"] == "why"
    assert attributes["imageRef"] == "rest/image:latest"
    (tag,) = events(moss, "-f", "type=image", since=start)
    assert tag["Action"] == "tag"
    assert tag["Actor"] == {"ID": attributes["imageID"],
                            "Attributes": {"name": "rest/image:latest"}}
    # What fails is not told.
    moss("cp", "rest:/none", tmp_path, check=1)
    moss("top", "rest", "-o", "none", check=1)
    assert actions(moss, since=start)[-1] == "commit"
    moss.ok("rmi", "rest/image")


def test_exec(moss, start):
    moss.ok("run", "-d", "--name", "execs", "busybox", "sleep", "100")
    moss("exec", "execs", "true", check=0)
    moss("exec", "execs", "/none", check=127)
    moss("exec", "execs", "/etc", check=126)
    told = events(moss, "-f", "event=exec_create", "-f", "event=exec_start",
                  "-f", "event=exec_die", since=start)
    assert [event["Action"] for event in told] == [
        "exec_create: true ", "exec_start: true ", "exec_die",
        "exec_create: /none ", "exec_start: /none ", "exec_die",
        "exec_create: /etc ", "exec_start: /etc ", "exec_die"]
    assert [e["Actor"]["Attributes"].get("exitCode") for e in told[2::3]] == [
        "0", "127", "126"]
    ids = [event["Actor"]["Attributes"]["execID"] for event in told]
    assert len(set(ids)) == 3 and ids[0] == ids[1] == ids[2]
    assert moss.inspect("execs")["ExecIDs"] is None
    moss.ok("exec", "-d", "execs", "sleep", "100")
    (running,) = moss.inspect("execs")["ExecIDs"]
    (last,) = events(moss, "-f", "event=exec_start: sleep 100", since=start)
    assert last["Actor"]["Attributes"]["execID"] == running


def test_detach(moss, start):
    moss.ok("run", "-dit", "--name", "detached", "busybox", "sh")
    for command in (["attach", "detached"],
                    ["exec", "-it", "detached", "sh"]):
        child = pexpect.spawn(moss.program, command, timeout=15,
                              env={k: str(v) for k, v in moss.env.items()})
        child.send("\n")
        child.expect("/ #")
        child.send("\x10\x11")
        child.expect(pexpect.EOF)
        child.close()
    told = [event for event in events(moss, since=start)
            if "detach" in event["Action"]]
    assert [event["Action"] for event in told] == ["detach", "exec_detach"]
    (started,) = events(moss, "-f", "event=exec_start", since=start)
    assert told[1]["Actor"]["Attributes"]["execID"] == \
        started["Actor"]["Attributes"]["execID"]


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


def test_image_ends(moss, start, busybox_tar):
    """Import, and the end of the image with its name."""
    image = moss.ok("import", busybox_tar, "events/gone:2")
    moss.ok("rmi", image)
    told = events(moss, since=start)
    assert [event["Action"] for event in told] == ["tag", "import", "untag",
                                                   "delete"]
    assert {event["Actor"]["ID"] for event in told} == {image}
    assert {event["Type"] for event in told} == {"image"}
    moss.ok("import", busybox_tar)
    moss.ok("image", "prune", "-f")
    told = events(moss, since=start)[4:]
    assert [event["Action"] for event in told] == ["import", "delete", "prune"]
    assert int(told[2]["Actor"]["Attributes"]["reclaimed"]) > 0


def test_registry(fresh, registry, busybox_tar, start):
    fresh.ok("import", busybox_tar, registry.name("events/web:1"))
    fresh.ok("push", registry.name("events/web:1"))
    fresh.ok("rmi", registry.name("events/web:1"))
    fresh.ok("pull", registry.name("events/web:1"))
    fresh.ok("pull", "-q", registry.name("events/web:1"))
    told = events(fresh, "-f", "event=push", "-f", "event=pull", since=start)
    assert [event["Action"] for event in told] == ["push", "pull", "pull"]
    for event in told:
        assert event["Type"] == "image" and event["status"] == event["Action"]
        assert event["Actor"] == {
            "ID": registry.name("events/web:1"),
            "Attributes": {"name": registry.name("events/web")}}
    fresh("pull", registry.name("events/none:1"), check=1)
    assert len(events(fresh, "-f", "event=pull", since=start)) == 2


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
    (["container=bridge"], 0),
    (["volume=filter-a"], 1),  # as in docker, of whatever type
    (["event=create", "event=start"], 2),
    (["event=creat", "event=exec_start"], 2),
    (["image=docker.io/library/busybox"], 0),
    (["image=busybox:latest"], 0),
    (["image=none"], 0),
    (["type=image"], 0),
    (["event=create", "type=container"], 2),
    (["event=creat"], 0),
    (["scope=swarm"], 0),
    (["scope=local"], 2),
    (["daemon=x"], 0),
    (["type=container", "container=filter-a", "label=kind"], 1),
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
