"""moss exec when something ends at the wrong moment: the client, the container,
or both."""
import json
import signal
import subprocess
import threading
import time

import pytest


@pytest.fixture
def box(moss):
    moss.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    return "box"


def processes(moss, name):
    return moss.ok("top", name, "-o", "pid,args").splitlines()[1:]


def exec_ids(moss, name):
    return moss.inspect(name)["ExecIDs"] or []


def events(moss, since, *filters):
    out = moss.ok("events", "--since", since, "--until", "0s", "--format",
                  "json", *(word for text in filters for word in ("-f", text)))
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("options", [[], ["-i"], ["-t"]])
def test_killed_client(moss, box, options):
    """The program goes on, is counted, and its end is told."""
    start = f"{time.time():.9f}"
    client = moss.popen("exec", *options, box, "sh", "-c",
                        "echo begin; while ! test -e /end; do sleep 0.05; done;"
                        " echo end; exit 3",
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline().strip() == b"begin"
    client.kill()
    client.wait()
    (id,) = exec_ids(moss, box)
    assert any("test -e /end" in line for line in processes(moss, box))
    moss.ok("exec", box, "touch", "/end")
    moss.wait_for(lambda: exec_ids(moss, box) == [])
    (end,) = [event for event in events(moss, start, "event=exec_die")
              if event["Actor"]["Attributes"]["execID"] == id]
    # Nobody reads what it says at the end: it may die of that.
    assert end["Actor"]["Attributes"]["exitCode"] in ("3", "141", "129")
    assert len(processes(moss, box)) == 1
    client.stdin.close()
    client.stdout.close()


@pytest.mark.parametrize("command", [["stop", "-t", "0"], ["kill"],
                                     ["rm", "-f"], ["restart", "-t", "0"]])
def test_container_ends(moss, box, command):
    start = f"{time.time():.9f}"
    client = moss.popen("exec", box, "sh", "-c", "echo begin; sleep 1000",
                        stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"begin\n"
    moss.ok(*command, box)
    assert client.wait(timeout=20) == 137
    client.stdout.close()
    told = [event["Action"] for event in
            events(moss, start, "event=exec_die", "event=die")]
    assert told == ["exec_die", "die"]


def test_killed_monitor(moss, box):
    client = moss.popen("exec", box, "sleep", "1000")
    moss.wait_for(lambda: exec_ids(moss, box))
    state = json.loads((moss.root / "containers" / moss.inspect(box)["Id"] /
                        "state.json").read_text())
    subprocess.run(["kill", "-9", str(state["MonitorPid"])], check=True)
    assert client.wait(timeout=20) == 137
    # Its connections are closed before its lock is.
    moss.wait_for(lambda: moss.inspect(box)["State"]["Status"] == "exited",
                  "the end of the monitor")


def test_many_at_once(moss, box):
    """Each gets its own output and exit code."""
    count = 200
    clients = [moss.popen("exec", box, "sh", "-c",
                          f"echo {i}; exit {i % 100}",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) for i in range(count)]
    for i, client in enumerate(clients):
        out, err = client.communicate(timeout=120)
        assert (out, err, client.returncode) == (f"{i}\n", "", i % 100)
    moss.wait_for(lambda: exec_ids(moss, box) == [])
    assert len(processes(moss, box)) == 1


def test_many_that_stay(moss, box):
    """The 257th is one too many; the others are not hurt."""
    for _ in range(256):
        moss.ok("exec", "-d", box, "sleep", "1000")
    assert len(set(exec_ids(moss, box))) == 256
    result = moss("exec", box, "true", check=1)
    assert "more than 256 programs" in result.err
    moss.ok("stop", "-t", "0", box)
    assert moss.inspect(box)["ExecIDs"] is None


def test_paused(moss, box):
    moss.ok("exec", "-d", box, "sleep", "1000")
    moss.ok("pause", box)
    result = moss("exec", box, "true", check=1)
    assert result.err == ("moss: Container box is paused, unpause the container "
                          "before exec\n")
    assert len(exec_ids(moss, box)) == 1
    moss.ok("unpause", box)
    moss.ok("exec", box, "true")


def test_just_ending(moss):
    """Whoever comes too late is told so; nobody hangs."""
    for _ in range(5):
        moss.ok("run", "-d", "--name", "ending", "busybox", "sh", "-c",
                "sleep 0.2; exit 0")
        seen = []

        def again():
            while True:
                result = moss("exec", "ending", "true", timeout=30)
                seen.append(result)
                if result.code == 1:
                    return
        threads = [threading.Thread(target=again) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        for result in seen:
            assert result.code in (0, 1, 137), result
            if result.code == 1:
                assert "is not running" in result.err, result
        assert moss.ok("wait", "ending") == "0"
        moss.ok("rm", "ending")


def test_probe_is_no_exec(moss):
    start = f"{time.time():.9f}"
    moss.ok("run", "-d", "--name", "probed", "--health-cmd",
            "touch /begun; sleep 1000", "--health-interval", "100ms",
            "busybox", "sleep", "1000")
    moss.wait_for(lambda: moss("exec", "probed", "test", "-e", "/begun").code
                  == 0)
    assert moss.inspect("probed")["ExecIDs"] is None
    assert all("begun" not in event["Action"] or "test -e" in event["Action"]
               for event in events(moss, start))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_client(moss, box, number):
    """Without a terminal a signal ends the client, not the program."""
    client = moss.popen("exec", box, "sh", "-c", "echo begin; sleep 1000",
                        stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"begin\n"
    client.send_signal(number)
    assert client.wait(timeout=20) == -number
    client.stdout.close()
    assert len(exec_ids(moss, box)) == 1
