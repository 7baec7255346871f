"""Ports published natively: a container's bind gets the host's socket."""
import ctypes
import errno
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading

import pytest

from conftest import skip

HERE = pathlib.Path(__file__).parent
SO_ATTACH_FILTER = 26
HTTPD = "mkdir /w; echo hello >/w/index.html; httpd -f -p 80 -h /w"


@pytest.fixture(autouse=True, scope="module")
def boundary():
    """What keeps the host's sockets apart from the host's network."""
    landlock = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    if landlock >= 4:
        return
    with socket.socket() as s:
        code = ctypes.create_string_buffer(
            struct.pack("=HBBI", 6, 0, 0, 0xffffffff))
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                         struct.pack("HL", 1, ctypes.addressof(code)))
        except PermissionError:
            skip("TCP in Landlock or filters of sockets")


def native(port, *args):
    return ("run", "--publish-mode", "native", "-p", f"127.0.0.1:{port}:80",
            *args)


def fetch(port, request=b"GET / HTTP/1.0\r\n\r\n"):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(request)
        return b"".join(iter(lambda: s.recv(65536), b"")).decode()


def answers(port, what="hello"):
    def look():
        try:
            return what in fetch(port)
        except OSError:
            return False
    return look


def is_refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def helper(moss, name):
    """The PID of the container's moss-native."""
    with open(f"/proc/{moss.inspect(name)['State']['Pid']}/stat") as file:
        monitor = file.read().rsplit(")", 1)[1].split()[1]
    for pid in children(monitor):
        with open(f"/proc/{pid}/cmdline") as file:
            if file.read().startswith("moss: native"):
                return pid
    return None


def begin(moss, *args):
    """A container in the foreground, once its program says that it is ready."""
    process = moss.popen(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()
    return process


def test_serves_with_the_clients_address(moss, free_port):
    port = free_port()
    moss.ok(*native(port, "-d", "--name", "web", "busybox", "sh", "-c",
                    HTTPD.replace("-f", "-vf")))
    moss.wait_for(answers(port), "the server")
    moss.wait_for(lambda: "127.0.0.1" in moss("logs", "web").err, "the log")
    assert f"127.0.0.1:{port}->80/tcp" in moss.ok("ps")
    # Inside there is nothing but the host's socket.
    assert ":0050 " not in moss.ok("exec", "web", "cat", "/proc/net/tcp",
                                   "/proc/net/tcp6")


def test_clients_inside_find_the_port(moss, free_port):
    port = free_port()
    moss.ok(*native(port, "-d", "--name", "web", "busybox", "sh", "-c", HTTPD))
    moss.wait_for(answers(port), "the server")
    for host in "127.0.0.1", "localhost", "10.0.2.100":
        assert moss.ok("exec", "web", "wget", "-qO-",
                       f"http://{host}/")== "hello"
    moss("exec", "web", "wget", "-qO-", "http://127.0.0.1:81/", check=1)


def test_nobody_listens(moss, free_port):
    """Refused like a closed port, and nobody else's, before, between and
    after."""
    port = free_port()
    moss.ok(*native(port, "-d", "--name", "web", "busybox", "sleep", "600"))
    assert is_refused(port)
    for reuse in 0, 1:
        with socket.socket() as s, pytest.raises(OSError) as failure:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            s.bind(("127.0.0.1", port))
            s.listen()
        assert failure.value.errno == errno.EADDRINUSE
    other = moss(*native(port, "busybox", "true"), check=125)
    assert "in use" in other.err
    for _ in range(2):
        moss.ok("exec", "-d", "web", "sh", "-c", HTTPD)
        moss.wait_for(answers(port), "the server")
        assert "in use" in moss("exec", "web", "sh", "-c",
                                HTTPD.replace("mkdir /w;", ""), check=1).err
        moss.ok("exec", "web", "killall", "httpd")
        moss.wait_for(lambda: is_refused(port), "the end of the server")
        moss.ok("exec", "web", "rm", "-r", "/w")
    moss.ok("stop", "-t", "0", "web")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))


def test_both_families_and_options(moss, debian, free_port):
    """One socket for IPv4 and IPv6, with the program's own options."""
    port = free_port()
    program = """if True:
        import socket, struct
        s = socket.socket(socket.AF_INET6)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100000)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\5\\0\\0\\0')
        s.set_inheritable(True)
        s.setblocking(False)
        wanted = [s.getsockopt(socket.SOL_SOCKET, name) for name in
                  (socket.SO_KEEPALIVE, socket.SO_RCVBUF)]
        s.bind(('::', 80))
        s.listen()
        assert [s.getsockopt(socket.SOL_SOCKET, name) for name in
                (socket.SO_KEEPALIVE, socket.SO_RCVBUF)] == wanted
        assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[4] == 5
        assert s.get_inheritable()
        try:
            s.accept()
        except BlockingIOError:
            print('ready')
        s.setblocking(True)
        for _ in range(2):
            c, peer = s.accept()
            c.sendall(peer[0].encode())
            c.close()
    """
    process = begin(moss, "run", "--rm", "--publish-mode", "native", "-p",
                    f"{port}:80", debian, "python3", "-uc", program)
    seen = []
    for host in "127.0.0.1", "::1":
        with socket.create_connection((host, port), timeout=10) as s:
            seen.append(s.recv(100))
    assert seen == [b"::ffff:127.0.0.1", b"::1"]
    assert process.wait(timeout=20) == 0


def test_epoll_from_before_the_bind(moss, debian, free_port):
    port = free_port()
    program = """if True:
        import select, socket
        s = socket.socket()
        e = select.epoll()
        e.register(s, select.EPOLLIN | select.EPOLLET)
        s.bind(('0.0.0.0', 80))
        s.listen()
        e.poll(0)
        print('ready')
        assert e.poll(10) == [(s.fileno(), select.EPOLLIN)]
        e.modify(s, select.EPOLLIN)
        e.unregister(s)
        s.accept()[0].sendall(b'seen')
    """
    process = begin(moss, *native(port, "--rm", debian, "python3", "-uc",
                                  program))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        assert s.recv(100) == b"seen"
    assert process.wait(timeout=20) == 0


def test_connects_like_any_other(moss, debian, free_port):
    """connect(2) is made by another process: blocking, not blocking, refused,
    slow, with a time-out, from several threads at once."""
    program = """if True:
        import errno, select, socket, struct, threading, time
        server = socket.socket()
        server.bind(('127.0.0.1', 99))
        server.listen()
        c = socket.create_connection(('127.0.0.1', 99))
        c.sendall(b'x')
        assert server.accept()[0].recv(1) == b'x'
        try:
            socket.create_connection(('127.0.0.1', 98))
        except ConnectionRefusedError:
            print('refused')
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(('127.0.0.1', 99))
        select.select([], [c], [], 5)
        assert c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        full = socket.socket()
        full.bind(('127.0.0.1', 97))
        full.listen(0)
        kept = [socket.create_connection(('127.0.0.1', 97))]
        def slow():
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                         struct.pack('ll', 1, 0))
            start = time.monotonic()
            result = s.connect_ex(('127.0.0.1', 97))
            results.append((result, time.monotonic() - start))
        results = []
        threads = [threading.Thread(target=slow) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert all(r in (0, errno.EINPROGRESS) for r, _ in results), results
        assert sum(r != 0 for r, _ in results) >= 6, results
        assert max(t for _, t in results) < 1.9, results
        web = socket.create_server(('', 80))
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(('127.0.0.1', 80))
        select.select([], [c], [], 5)
        assert c.connect_ex(('127.0.0.1', 80)) in (0, errno.EISCONN)
        c.sendall(b'y')
        assert web.accept()[0].recv(1) == b'y'
        u = socket.socket(type=socket.SOCK_DGRAM)
        u.connect(('127.0.0.1', 99))
        x = socket.socket(socket.AF_UNIX)
        x.bind('/a-socket-with-a-name-of-some-length')
        x.listen()
        socket.socket(socket.AF_UNIX).connect(x.getsockname())
        print('done')
    """
    result = moss.ok(*native(free_port(), "--rm", debian, "python3", "-c",
                             program))
    assert result == "refused\ndone"


def test_low_ports_are_lent_to_nobody(moss, debian, free_port):
    """Who may not bind them in a container may not by moss-native either."""
    program = """if True:
        import ctypes, os, socket, sys
        sys.stdout.reconfigure(line_buffering=True)
        def bind(port):
            try:
                return socket.socket().bind(('0.0.0.0', port))
            except OSError as error:
                return type(error).__name__
        print(bind(23), bind(2300))
        if not os.fork():
            # Another user namespace, with rights over what is made in it.
            ours = socket.socket()
            assert ctypes.CDLL(None).unshare(0x50000000) == 0
            print(bind(21))
            try:
                ours.bind(('0.0.0.0', 21))
            except OSError as error:
                print(type(error).__name__)
            os._exit(0)
        os.wait()
        os.setuid(1234)
        print(bind(22), bind(2200))
    """
    options = ["--rm", "--security-opt", "seccomp=unconfined", "--sysctl",
               "net.ipv4.ip_unprivileged_port_start=1024"]
    assert [moss.ok(*native(free_port(), *options, *more, debian, "python3",
                            "-c", program)).splitlines()
            for more in ([], ["--cap-drop", "NET_BIND_SERVICE"])] == [
                [own, "None", "PermissionError", "PermissionError None"]
                for own in ("None None", "PermissionError None")]


@pytest.mark.parametrize("more, own, others", [
    (["--sysctl", "net.ipv4.ip_unprivileged_port_start=81"], True, False),
    (["--sysctl", "net.ipv4.ip_unprivileged_port_start=81",
      "--cap-drop", "NET_BIND_SERVICE"], False, False),
    (["--sysctl", "net.ipv4.ip_unprivileged_port_start=80",
      "--cap-drop", "NET_BIND_SERVICE"], True, True)])
def test_published_low_port_is_roots(moss, debian, free_port, more, own,
                                     others):
    """The host's socket for port 80, too, is for who may bind it inside."""
    program = """if True:
        import os, socket
        def bind():
            try:
                with socket.socket() as s:
                    s.bind(('0.0.0.0', 80))
                    s.listen()
                    return True
            except PermissionError:
                return False
        print(bind())
        os.setuid(1234)
        print(bind())
    """
    assert moss.ok(*native(free_port(), "--rm", *more, debian, "python3", "-c",
                           program)).split() == [str(own), str(others)]


def test_nginx_reloads(moss, debian, free_port):
    """Its workers share the socket, or have one each by SO_REUSEPORT."""
    port = free_port()
    moss.ok(*native(port, "-d", "--name", "nginx", debian, "nginx", "-g",
                    "daemon off;"))
    moss.wait_for(answers(port, "nginx"), "nginx")
    moss.ok("exec", "nginx", "sh", "-c",
            "cd /etc/nginx; grep -rl 'listen 80' . | xargs sed -i "
            "'s/listen 80/listen 80 reuseport/'; nginx -s reload")
    for _ in range(10):
        assert "nginx" in fetch(port)
    moss.ok("exec", "nginx", "sh", "-c", "nginx -s reload")
    for _ in range(10):
        assert "nginx" in fetch(port)
    log = moss.ok("exec", "nginx", "cat", "/var/log/nginx/error.log")
    assert "emerg" not in log


def test_killed_helper_is_replaced(moss, free_port):
    port = free_port()
    moss.ok(*native(port, "-d", "--name", "web", "busybox", "sh", "-c",
                    f"trap 'exit 0' TERM; sleep 1; {HTTPD}"))
    old = helper(moss, "web")
    assert old
    os.kill(old, signal.SIGKILL)
    moss.wait_for(answers(port), "the server")
    assert helper(moss, "web") not in (None, old)
    # What is served already needs nobody.
    os.kill(helper(moss, "web"), signal.SIGKILL)
    assert "hello" in fetch(port)


def test_helper_is_confined(moss, free_port):
    """Over the container alone, which has no power over it though it is in
    its user namespace and, here, in sight."""
    moss.ok(*native(free_port(), "-d", "--name", "web", "--pid", "host",
                    "--privileged", "busybox", "sleep", "600"))
    pid = helper(moss, "web")
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":\t", 1) for line in file)
    # net_bind_service (in need only), net_admin, sys_ptrace
    assert int(status["CapPrm"], 16) == 1 << 10 | 1 << 12 | 1 << 19
    assert int(status["CapEff"], 16) == 1 << 12 | 1 << 19
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    for place in "environ", "mem", "root/etc/resolv.conf", "fd/1":
        opened = moss("exec", "--privileged", "web", "head", "-c1",
                      f"/proc/{pid}/{place}", check=1)
        assert "ermission denied" in opened.err, (place, opened)


def ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_flood_of_binds_is_the_helpers_own(moss, debian, free_port):
    """The monitor takes no part in it and serves as ever."""
    program = """if True:
        import os, socket
        os.fork()
        print('ready')
        while True:
            s = socket.socket()
            s.bind(('0.0.0.0', 80))
            s.close()
    """
    moss.ok(*native(free_port(), "-d", "--name", "flood", debian, "python3",
                    "-uc", program))
    pid = helper(moss, "flood")
    with open(f"/proc/{pid}/stat") as file:
        monitor = file.read().rsplit(")", 1)[1].split()[1]
    moss.wait_for(lambda: "ready" in moss.ok("logs", "flood"), "the flood")
    before = ticks(pid), ticks(monitor)
    moss.wait_for(lambda: ticks(pid) - before[0] >= 20, "the helper's work")
    assert ticks(monitor) - before[1] <= 5
    assert moss.ok("exec", "flood", "echo", "served") == "served"


def test_programs_by_exec_leave_nothing(moss, free_port):
    moss.ok(*native(free_port(), "-d", "--name", "web", "busybox", "sleep",
                    "600"))
    pid = helper(moss, "web")
    with open(f"/proc/{pid}/stat") as file:
        monitor = file.read().rsplit(")", 1)[1].split()[1]
    count = len(os.listdir(f"/proc/{monitor}/fd"))
    for _ in range(5):
        moss.ok("exec", "web", "true")
    moss.wait_for(lambda: len(os.listdir(f"/proc/{monitor}/fd")) <= count,
                  "the end of their notifications")


def test_helper_ends_with_the_container(moss, free_port):
    moss.ok(*native(free_port(), "-d", "--name", "web", "busybox", "sleep",
                    "600"))
    pid = helper(moss, "web")
    moss.ok("kill", "web")
    moss.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "its end")


def test_what_cannot_be_native_is_spliced(moss, debian, free_port):
    """The same port twice, and UDP, beside one that is native."""
    first, second, udp, native_one = (free_port(), free_port(),
                                      free_port(socket.SOCK_DGRAM), free_port())
    program = """if True:
        import socket
        datagrams = socket.socket(type=socket.SOCK_DGRAM)
        datagrams.bind(('0.0.0.0', 53))
        servers = [socket.create_server(('', port)) for port in (80, 81)]
        print('ready')
        datagrams.sendto(*datagrams.recvfrom(100))
        for server in servers[0], servers[0], servers[1]:
            c, peer = server.accept()
            c.sendall(peer[0].encode())
            c.close()
    """
    process = begin(moss, "run", "--rm", "--publish-mode", "native",
                    "-p", f"127.0.0.1:{first}:80",
                    "-p", f"127.0.0.1:{second}:80",
                    "-p", f"127.0.0.1:{native_one}:81",
                    "-p", f"127.0.0.1:{udp}:53/udp", debian, "python3", "-uc",
                    program)
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect(("127.0.0.1", udp))
        s.sendall(b"echo")
        assert s.recv(100) == b"echo"
    seen = []
    for port in first, second, native_one:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            seen.append(s.recv(100))
    assert seen == [b"10.0.2.1", b"10.0.2.1", b"127.0.0.1"]
    assert process.wait(timeout=20) == 0


def test_native_ports_stay(moss, free_port):
    """Others are added and removed while it runs, spliced."""
    port, other = free_port(), free_port()
    moss.ok(*native(port, "-d", "--name", "web", "busybox", "sh", "-c",
                    f"(nc -ll -p 81 -e echo other) & {HTTPD}"))
    moss.wait_for(answers(port), "the server")
    result = moss("port", "rm", "web", f"127.0.0.1:{port}:80", check=1)
    assert "published natively" in result.err
    result = moss("port", "add", "web", f"127.0.0.1:{other}:80", check=1)
    assert "published natively" in result.err
    moss.ok("port", "add", "web", f"127.0.0.1:{other}:81")
    assert fetch(other, b"") == "other\n"
    moss.ok("port", "rm", "web", f"127.0.0.1:{other}:81")
    assert is_refused(other)
    assert "hello" in fetch(port)


def test_egress_policy_excludes_it(moss, free_port):
    result = moss(*native(free_port(), "--egress", "deny", "busybox", "true"),
                  check=125)
    assert "native mode beside an egress policy" in result.err


def test_without_native_nothing_is_there(moss, free_port):
    moss.ok("run", "-d", "--name", "web", "-p", f"{free_port()}:80", "busybox",
            "sleep", "600")
    assert helper(moss, "web") is None
    assert moss.ok("exec", "web", "grep", "Seccomp_filters",
                   "/proc/self/status").split()[1] == "1"


REFUSED = {
    "handed": {"EACCES"},
    "accepted": {"EACCES"},
    "duplicated": {"EACCES"},
    "passed": {"EACCES"},
    "forked": {"EACCES"},
    "fast open": {"ENOTSUP"},
    "fast open of a message": {"ENOTSUP"},
    "fast open by option": {"ENOTSUP"},
    "io_uring": {"ENOSYS", "EPERM"},
    "rebind": {"EINVAL"},
    "transparent": {"EPERM"},
    "mark": {"EPERM"},
    "repair": {"EPERM"},
    "namespace": {"EPERM"},
    # Where the kernel runs such programs at all.
    "x32": {"ENOSYS", "killed"},
    "32-bit": {"EACCES", "ENOSYS", "killed"},
    "socketcall": {"ENOSYS", "EPERM", "killed"},
}


@pytest.mark.parametrize("options", [
    [], ["--security-opt", "seccomp=unconfined"], ["--privileged"]])
def test_no_way_into_the_hosts_network(moss, debian, free_port, options):
    """Each is an escape where connect(2) and bind(2) of a handed socket only
    met the answers to notifications."""
    port, free = free_port(), free_port()
    reached = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as service:
        def serve():
            while True:
                try:
                    client, peer = service.accept()
                except OSError:
                    return
                reached.append(peer)
                client.close()
        threading.Thread(target=serve, daemon=True).start()
        process = begin(moss, *native(
            port, "--rm", "-v", f"{HERE}/native_escapes.py:/escapes.py:ro",
            *options, debian, "python3", "/escapes.py",
            service.getsockname()[1], free))
        clients = [socket.create_connection(("127.0.0.1", port))
                   for _ in range(24)]
        out, err = process.communicate(timeout=60)
        service.shutdown(socket.SHUT_RDWR)
    results = json.loads(out)
    assert reached == [], results
    for name, wanted in REFUSED.items():
        assert results[name] in wanted, (name, results)
    # The races ran: the decoy got through, the other did not.
    for name in "connect", "bind":
        assert {"done", "EACCES"} & set(results[f"raced {name} saw"]), results
    assert results["raced connect"] != "done", results
    assert results["raced bind"] != free, results
    assert set(results["raced memory"]) <= {port}, results
    assert results["served"] == "done", results
    for client in clients:
        client.close()
