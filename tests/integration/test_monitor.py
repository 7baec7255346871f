"""The monitor: its control socket, its streams, what it leaves open."""
import array
import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import wait_for

SOCKETS = 550  # more than a monitor serves


@pytest.fixture
def container(moss):
    """Runs a shell script detached; its record's directory."""
    def run(script, *options):
        id = moss.ok("run", "-d", "--name", "box", *options, "busybox", "sh",
                     "-c", script)
        return moss.root / "containers" / id
    return run


@pytest.fixture
def trapper(moss, container):
    """A container that does something about SIGTERM, once it can."""
    def run(action):
        record = container(f"trap '{action}' TERM; echo ready; "
                           "while :; do sleep 0.05; done")
        wait_for(lambda: "ready" in moss.ok("logs", "box"), "the trap")
        return record
    return run


def state(record):
    return json.load(open(record / "state.json"))


def connect(record, kind=socket.SOCK_SEQPACKET):
    """By a short name: the path of a socket may have 107 bytes only."""
    fd = os.open(record, os.O_PATH)
    s = socket.socket(socket.AF_UNIX, kind)
    try:
        s.connect(f"/proc/self/fd/{fd}/control")
    finally:
        os.close(fd)
    s.settimeout(10)
    return s


def send(record, data, fds=()):
    s = connect(record)
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                        array.array("i", fds))] if fds else [])
    return s


def ask(record, request, fds=()):
    data = request if isinstance(request, bytes) else json.dumps(request).encode()
    with send(record, data, fds) as s:
        return json.loads(s.recv(1 << 17))


def attach(record, **streams):
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    assert ask(record, dict(op="attach", **streams), [theirs.fileno()]) == {}
    theirs.close()
    return ours


def frames(stream):
    """The framed stream up to its end, as {1: stdout, 2: stderr}."""
    data = b""
    while chunk := stream.recv(1 << 16):
        data += chunk
    out = {1: b"", 2: b""}
    while data:
        kind, length = struct.unpack(">BxxxI", data[:8])
        out[kind] += data[8:8 + length]
        assert len(data) >= 8 + length
        data = data[8 + length:]
    return out


BAD_REQUESTS = [
    b"x", b"{}", b"[]", b"null", b"\0" * 64, b"[" * 1000, b'{"op":"wait"',
    b'{"op":7}', b'{"op":"nope"}',
    b'{"op":"kill"}', b'{"op":"kill","signal":0}', b'{"op":"kill","signal":65}',
    b'{"op":"kill","signal":"KILL"}', b'{"op":"kill","signal":9.5}',
    b'{"op":"stop","timeout":-3}', b'{"op":"stop","timeout":1e99}',
    b'{"op":"resize","rows":-1}', b'{"op":"resize","rows":65536}',
    b'{"op":"attach"}', b'{"op":"attach","stdout":1}',
    b'{"op":"exec"}', b'{"op":"exec","process":[]}',
    b'{"op":"exec","process":{"args":[]}}',
    b'{"op":"exec","process":{"args":["sh"],"cwd":"/"}}',
]


def test_bad_requests_are_answered(container):
    record = container("sleep 100")
    for request in BAD_REQUESTS:
        assert ask(record, request)["error"]["message"], request
    assert ask(record, {"op": "kill", "signal": 28}) == {}


def test_descriptors_that_are_no_streams(container):
    record = container("sleep 100")
    null = os.open("/dev/null", os.O_RDWR)
    monitor = state(record)["MonitorPid"]
    before = len(os.listdir(f"/proc/{monitor}/fd"))
    for count in (1, 3, 8):
        answer = ask(record, {"op": "attach", "stdout": True}, [null] * count)
        assert "stream socket" in answer["error"]["message"]
    os.close(null)
    wait_for(lambda: len(os.listdir(f"/proc/{monitor}/fd")) <= before,
             "the end of all connections")


def test_random_requests(container):
    """Nothing that is said there ends the monitor or leaks into it."""
    record = container("while :; do echo x; sleep 0.02; done")
    seeds = [
        b'{"op":"attach","stdin":true,"stdout":true,"stderr":true,"logs":true}',
        b'{"op":"exec","process":{"args":["true"],"cwd":"/","user":{"uid":0,'
        b'"gid":0}},"privileged":false}',
        b'{"op":"resize","rows":3,"columns":4}',
        b'{"op":"wait"}',
    ]
    generator = random.Random(2)
    null = os.open("/dev/null", os.O_RDWR)
    monitor = state(record)["MonitorPid"]
    before = len(os.listdir(f"/proc/{monitor}/fd"))
    for _ in range(400):
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.randrange(4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno()] * generator.randrange(2)
        fds += [null] * generator.randrange(4)
        send(record, bytes(data), fds).close()
        ours.close()
        theirs.close()
    os.close(null)
    assert "error" in ask(record, {"op": "resize"})
    wait_for(lambda: len(os.listdir(f"/proc/{monitor}/fd")) <= before,
             "the end of all connections")


def test_too_many_connections(container):
    record = container("sleep 100")
    sockets = [connect(record) for _ in range(SOCKETS)]
    sockets[-1].send(b'{"op":"wait"}')
    assert "connections" in json.loads(sockets[-1].recv(4096))["error"]["message"]
    for s in sockets:
        s.close()
    wait_for(lambda: ask(record, {"op": "kill", "signal": 28}) == {},
             "room for one more")


def test_waiters_get_the_code(moss, trapper):
    record = trapper("exit 7")
    waiters = [send(record, b'{"op":"wait"}') for _ in range(5)]
    stops = [send(record, b'{"op":"stop","timeout":20}') for _ in range(3)]
    for s in waiters:
        assert json.loads(s.recv(4096)) == {"exit_code": 7}
    for s in stops:
        assert json.loads(s.recv(4096)) == {}
    # Whoever has the answer may start it at once.
    assert moss.ok("start", "box") == "box"


def test_the_most_impatient_stop_counts(trapper):
    record = trapper("")
    patient = send(record, b'{"op":"stop","timeout":-1}')
    slow = send(record, b'{"op":"stop","timeout":1000}')
    wait = send(record, b'{"op":"wait"}')
    assert ask(record, {"op": "stop", "timeout": 0}) == {}
    assert json.loads(wait.recv(4096)) == {"exit_code": 137}
    assert json.loads(patient.recv(4096)) == {}
    assert json.loads(slow.recv(4096)) == {}


def test_terminated_monitor_stops_its_container(moss, trapper):
    record = trapper("exit 3")
    wait = send(record, b'{"op":"wait"}')
    os.kill(state(record)["MonitorPid"], signal.SIGTERM)
    assert json.loads(wait.recv(4096)) == {"exit_code": 3}
    assert moss.inspect("box")["State"]["Status"] == "exited"


@pytest.fixture
def reader(container):
    """A container that reads its standard input, which nobody has yet."""
    def run(script, *options):
        return container(script, "-i", *options)
    return run


def test_attach_is_framed(reader):
    record = reader("read x; echo got $x; echo err >&2; printf end")
    watcher = attach(record, stderr=True)
    stream = attach(record, stdin=True, stdout=True, stderr=True)
    stream.sendall(b"it\n")
    assert frames(stream) == {1: b"got it\nend", 2: b"err\n"}
    assert frames(watcher) == {1: b"", 2: b"err\n"}


def test_input_outlives_a_client(reader):
    """Without StdinOnce a client's end is not the input's."""
    record = reader("cat")
    for text in (b"first\n", b"second\n"):
        stream = attach(record, stdin=True, stdout=True)
        stream.sendall(text)
        assert stream.recv(100)[8:] == text
        stream.shutdown(socket.SHUT_WR)
        stream.close()


def test_big_input_and_output(moss):
    data = random.Random(1).randbytes(3_000_000)
    result = moss("run", "--rm", "-i", "--log-driver", "none", "busybox",
                  "cat", stdin=data, text=False)
    assert result.code == 0 and result.out == data


def test_replay_of_the_log(container):
    """What was said before, unfinished lines too, then what is said."""
    record = container(
        "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; "
        "printf half; sleep 1; echo ' line'",
        "--log-opt", "max-size=4k", "--log-opt", "max-file=20")
    time.sleep(0.3)
    stream = attach(record, stdout=True, logs=True)
    lines = b"".join(b"line %d\n" % i for i in range(300))
    assert frames(stream)[1] == lines + b"half line\n"


def private_kb(pid):
    return sum(int(line.split()[1]) for line in
               open(f"/proc/{pid}/smaps_rollup") if line.startswith("Private"))


def test_slow_client_holds_the_container_back(container):
    record = container("exec yes", "--log-driver", "none")
    monitor = state(record)["MonitorPid"]
    at_first = private_kb(monitor)
    slow = attach(record, stdout=True)
    other = attach(record, stdout=True)
    received = []

    def read_other():
        try:
            while chunk := other.recv(1 << 16):
                received.append(len(chunk))
        except OSError:
            pass

    thread = threading.Thread(target=read_other)
    thread.start()

    def stands():
        before = sum(received)
        time.sleep(0.3)
        return received and sum(received) == before

    wait_for(stands, "the container's standstill", 30)
    before = sum(received)
    # What is kept for the slow one is one read of the output.
    assert private_kb(monitor) < at_first + 2048
    slow.close()
    wait_for(lambda: sum(received) > before + 1_000_000, "more output")
    assert ask(record, {"op": "kill", "signal": 9}) == {}
    thread.join(10)


def test_stopped_client_does_not_keep_the_end(moss):
    """What it has not read is in its socket; the monitor need not wait."""
    process = moss.popen("run", "--name", "box", "busybox", "sh", "-c",
                         "sleep 0.5; head -c 150000 /dev/zero",
                         stdout=subprocess.PIPE)
    wait_for(lambda: moss.ps(), "the container")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        assert moss.ok("wait", "box", timeout=20) == "0"
        assert moss.inspect("box")["State"]["Status"] == "exited"
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=20)[0] == b"\0" * 150000


def test_abandoned_exec_goes_on(container):
    record = container("sleep 100")
    connection = send(record, json.dumps({
        "op": "exec", "privileged": False,
        "process": {"terminal": True, "cwd": "/", "env": ["PATH=/bin"],
                    "args": ["sh", "-c", "i=0; while [ $i -lt 3000 ]; do "
                             "echo line $i; i=$((i+1)); done; touch /done; "
                             "sleep 100"],
                    "user": {"uid": 0, "gid": 0}}}).encode())
    data, fds, _, _ = socket.recv_fds(connection, 4096, 1)
    pid = json.loads(data)["pid"]
    os.close(fds[0])
    connection.close()
    # More than a terminal holds: someone reads it, and it does not hang up.
    wait_for(lambda: os.path.exists(record / "upper/done"), "the last line")
    assert os.path.exists(f"/proc/{pid}")


def test_exec_ends_with_the_container(moss, container):
    container("sleep 100")
    process = moss.popen("exec", "box", "sleep", "100")
    wait_for(lambda: "sleep 100" in moss.ok("exec", "box", "ps"), "exec")
    moss.ok("kill", "box")
    assert process.wait(10) == 137


def test_monitor_keeps_nothing_of_its_starter(moss):
    moss.with_env(SECRET="hunter2").ok("run", "-d", "--name", "box", "busybox",
                                       "sleep", "100", cwd="/tmp")
    monitor = state(moss.root / "containers" /
                    moss.inspect("box")["Id"])["MonitorPid"]
    proc = f"/proc/{monitor}"
    assert b"hunter2" not in open(f"{proc}/environ", "rb").read()
    assert os.readlink(f"{proc}/cwd") == "/"
    for fd in "012":
        assert os.readlink(f"{proc}/fd/{fd}") == "/dev/null"
    fields = open(f"{proc}/stat").read().rsplit(")", 1)[1].split()
    session, terminal = int(fields[3]), int(fields[4])
    assert session == monitor and terminal == 0
    assert open(f"{proc}/cmdline").read().startswith("moss: monitor box")
