"""TCP through a published port behaves as a direct connection would.

A server in a container does what the first byte of a connection asks for; a
second port has an echo that any number of clients may use, and on a third
nobody is ever accepted.
"""
import contextlib
import hashlib
import pathlib
import resource
import socket
import struct
import threading
import time

import pytest

from conftest import wait_for

STREAMS, ECHO, DEAF = 5000, 5001, 5002
RESET = struct.pack("ii", 1, 0)

SERVER = """
import hashlib, select, socket, struct, threading, time

ends = []

def echo(c):
    while data := c.recv(65536):
        c.sendall(data)
    c.sendall(b"the end")

def early(c):
    "says all it has to say at once, and then listens"
    c.sendall(b"hello")
    c.shutdown(socket.SHUT_WR)
    count = 0
    while data := c.recv(65536):
        count += len(data)
    ends.append(str(count))

def first(c):
    "speaks before it has heard anything but which one it is"
    c.sendall(b"220 ready")

def reset(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

def answer_and_reset(c):
    c.sendall(b"too large")
    time.sleep(0.1)
    reset(c)

def watch(c):
    try:
        while c.recv(65536):
            pass
        ends.append("end")
    except ConnectionResetError:
        ends.append("reset")

def flood(c):
    "until nothing has been taken for half a second"
    c.settimeout(0.5)
    sent = 0
    try:
        while True:
            sent += c.send(bytes(65536))
    except OSError:
        ends.append(str(sent))

def slow(c):
    digest, count = hashlib.sha256(), 0
    while data := c.recv(65536):
        digest.update(data)
        count += len(data)
        if count < 2 << 20:
            time.sleep(0.005)
    c.sendall(digest.hexdigest().encode())

def urgent(c):
    "each piece of the stream, the urgent bytes where they were"
    heard = []
    poll = select.poll()
    poll.register(c, select.POLLIN | select.POLLPRI)
    while True:
        for _, events in poll.poll():
            if events & select.POLLPRI:
                heard.append("!" + c.recv(1, socket.MSG_OOB).decode())
                time.sleep(0.05)
            data = c.recv(100)
            if not data:
                c.sendall(" ".join(heard).encode())
                return
            heard.append(data.decode())

def call_out(c):
    "urgent data from the server"
    c.sendall(b"ab")
    c.send(b"!", socket.MSG_OOB)
    c.sendall(b"cd")

def tell(c):
    c.sendall(ends.pop().encode() if ends else b"")

MODES = {f.__name__[:1]: f for f in (early, reset, watch, flood, slow, urgent,
                                     tell)}
MODES |= {"o": echo, "1": first, "a": answer_and_reset, "c": call_out}

def serve(c):
    with c:
        MODES[c.recv(1).decode()](c)

def listen(port):
    s = socket.create_server(("0.0.0.0", port), backlog=4096)
    return s

def echo_for_all(s):
    poll, known = select.epoll(), {}
    poll.register(s, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == s.fileno():
                c = s.accept()[0]
                known[c.fileno()] = c
                poll.register(c, select.EPOLLIN)
                continue
            c = known[fd]
            try:
                data = c.recv(100)
            except OSError:
                data = b""
            if data:
                c.send(data)
            else:
                poll.unregister(c)
                known.pop(fd).close()

import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
deaf = socket.create_server(("0.0.0.0", 5002), backlog=0)
threading.Thread(target=echo_for_all, args=(listen(5001),)).start()
s = listen(5000)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],)).start()
"""


class Ports:
    def __init__(self, moss, streams, echo, deaf):
        self.moss, self.streams, self.echo = moss, streams, echo
        self.deaf = deaf

    def open(self, mode):
        s = socket.create_connection(("127.0.0.1", self.streams), timeout=10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(mode.encode())
        return s

    def ask(self, mode, data=b""):
        """Sends data, the end, and reads to the end."""
        with self.open(mode) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def told(self):
        """How a connection ended that the server watched."""
        return wait_for(lambda: self.ask("t").decode(), "the server's word")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.echo), timeout=20)

    def process(self):
        """The one that forwards."""
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                title = (path / "cmdline").read_bytes()
                if title.rstrip(b"\0") == b"moss: net streams":
                    return int(path.name)
        raise AssertionError("no forwarder")

    def open_files(self):
        return len(list(pathlib.Path(f"/proc/{self.process()}/fd").iterdir()))


def read_all(s):
    found = b""
    while data := s.recv(65536):
        found += data
    return found


def echoes(s, message=b"x"):
    s.sendall(message)
    return s.recv(100) == message


@pytest.fixture(scope="module", params=["own network", "named network"])
def ports(request, session_moss, debian):
    def free():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]
    moss, streams, echo, deaf = session_moss, free(), free(), free()
    named = request.param == "named network"
    if named:
        moss.ok("network", "create", "streams")
    moss.ok("run", "-d", "--name", "streams",
            *(["--network", "streams"] if named else []),
            "-p", f"127.0.0.1:{streams}:{STREAMS}",
            "-p", f"127.0.0.1:{echo}:{ECHO}", "-p",
            f"127.0.0.1:{deaf}:{DEAF}", debian, "python3", "-c", SERVER)
    ports = Ports(moss, streams, echo, deaf)

    def is_up():
        with contextlib.suppress(OSError):
            return ports.ask("o", b"up") == b"upthe end"
    wait_for(is_up, "the server")
    yield ports
    moss.remove_all()
    if named:
        moss.ok("network", "rm", "streams")


def test_half_close_by_the_client(ports):
    data = bytes(range(256)) * 4096
    with ports.open("o") as s:
        sender = threading.Thread(target=lambda: (
            s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        found = read_all(s)
        sender.join()
    assert found == data + b"the end"


def test_half_close_by_the_server(ports):
    with ports.open("e") as s:
        assert read_all(s) == b"hello"
        s.sendall(bytes(300000))
    assert ports.told() == "300000"


def test_server_speaks_first(ports):
    with ports.open("1") as s:
        assert read_all(s) == b"220 ready"


def test_reset_by_the_server(ports):
    with ports.open("r") as s, pytest.raises(ConnectionResetError):
        s.recv(1)


def test_answer_before_a_reset_arrives(ports):
    with ports.open("a") as s:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                s.send(bytes(65536))
        assert s.recv(100) == b"too large"


def test_reset_by_the_client(ports):
    with ports.open("w") as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert ports.told() == "reset"
    ports.ask("w")
    assert ports.told() == "end"


def test_slow_reader_gets_everything(ports):
    data = bytes(range(251)) * 100000
    assert ports.ask("s", data).decode() == hashlib.sha256(data).hexdigest()


def test_bulk_that_pauses_arrives(ports):
    """What is left of a bulk transfer does not wait for more to come."""
    with ports.open("o") as s:
        for size in (32 << 20, 100, 1 << 20, 1, 8 << 20, 70000):
            sender = threading.Thread(target=s.sendall, args=(bytes(size),))
            sender.start()
            while size > 0:
                size -= len(s.recv(1 << 20))
            sender.join()


def test_urgent_data_keeps_its_place(ports):
    with ports.open("u") as s:
        time.sleep(0.1)
        s.sendall(b"abc")
        time.sleep(0.2)
        s.send(b"X", socket.MSG_OOB)
        time.sleep(0.2)
        s.sendall(b"def")
        time.sleep(0.2)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"abc !X def"


def test_urgent_data_to_the_client(ports):
    with ports.open("c") as s:
        assert s.recv(2, socket.MSG_WAITALL) == b"ab"

        def urgent():
            with contextlib.suppress(OSError):
                return s.recv(1, socket.MSG_OOB)
        assert wait_for(urgent, "the urgent byte") == b"!"
        assert read_all(s) == b"cd"


def test_urgent_data_amid_bulk(ports):
    """None of the ordinary bytes is lost, and the flow goes on."""
    data = bytes(range(256)) * 40000
    with ports.open("s") as s:
        s.sendall(data)
        s.send(b"!", socket.MSG_OOB)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s).decode() == hashlib.sha256(2 * data).hexdigest()


def test_quick_connections_in_a_row(ports):
    for number in range(1500):
        with ports.connect() as s:
            assert echoes(s, str(number).encode())


def test_stalled_client_bounds_memory_and_delays_nobody(ports):
    def resident():
        fields = pathlib.Path(f"/proc/{pid}/statm").read_text().split()
        return int(fields[1]) * resource.getpagesize()
    pid = ports.process()
    before = resident()
    stalled = [ports.open("f") for _ in range(8)]
    try:
        for _ in range(100):
            with ports.connect() as s:
                assert echoes(s)
        # Two sockets' buffers and a pipe; what is sent is not kept beyond.
        for _ in stalled:
            assert int(ports.told()) < 48 << 20
        assert resident() - before < 4 << 20
    finally:
        for s in stalled:
            s.close()


def test_bulk_delays_nobody_for_long(ports):
    done = threading.Event()

    def transfer():
        with ports.open("w") as s:
            while not done.is_set():
                s.sendall(bytes(1 << 20))
    bulk = threading.Thread(target=transfer)
    bulk.start()
    try:
        with ports.connect() as s:
            for _ in range(200):
                assert echoes(s)
    finally:
        done.set()
        bulk.join()
    assert ports.told() == "end"


def test_server_that_accepts_nobody_delays_nobody(ports):
    waiting = [socket.create_connection(("127.0.0.1", ports.deaf), timeout=10)
               for _ in range(20)]
    try:
        for s in waiting:
            s.sendall(b"anybody?")
        for _ in range(50):
            with ports.connect() as s:
                assert echoes(s)
        waiting[-1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            waiting[-1].recv(1)
    finally:
        for s in waiting:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            s.close()
    wait_for(lambda: ports.open_files() < 40, "the end of who has gone")


def test_ten_thousand_idle_connections(ports):
    """Each has two descriptors, and a quarter of them, 2048 at most, is not the
    forwarder's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = resource.prlimit(ports.process(), resource.RLIMIT_NOFILE)[0]
    fits -= min(fits // 4, 2048)
    count = min(10000, hard - 200, fits // 2 - 50)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        for _ in range(count):
            idle.append(ports.connect())
        for s in idle[::97]:
            assert echoes(s)
        with ports.connect() as s:
            assert echoes(s)
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: ports.open_files() < 40, "the end of them all")


def test_full_descriptor_table(ports):
    """Who does not fit in waits, and is served when others have left."""
    wait_for(lambda: ports.open_files() < 40, "the end of the others")
    pid = ports.process()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (60, limits[1]))
    try:
        clients = [ports.connect() for _ in range(60)]
        for s in clients[:5]:
            assert echoes(s)
        last = clients.pop()
        last.settimeout(0.5)
        with pytest.raises(TimeoutError):
            echoes(last)
        for s in clients:
            s.close()
        last.settimeout(10)
        assert last.recv(1) == b"x"
        last.close()
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    with ports.connect() as s:
        assert echoes(s)
