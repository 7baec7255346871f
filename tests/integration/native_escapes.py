"""Runs inside a container whose port 80 is published natively, and tries to
reach further into the host's network than that port. argv: the port of a
service on the host's loopback, and one of the host's that is free. Prints what
came of each attempt as JSON; the test outside sees whether the service was
reached."""
import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import sys
import threading
import time

SERVICE, FREE = int(sys.argv[1]), int(sys.argv[2])
LOOPBACK = ("127.0.0.1", SERVICE)
MSG_FASTOPEN, TCP_FASTOPEN_CONNECT = 0x20000000, 30
SIOCGSKNS, TCP_REPAIR, IP_TRANSPARENT = 0x894C, 19, 19
RACE_SECONDS = 0.5
SO_NETNS_COOKIE = 71
OWN = socket.socket()
libc = ctypes.CDLL(None, use_errno=True)


def address(port, family=socket.AF_INET):
    return struct.pack("=H", family) + struct.pack("!H4s8x", port,
                                                   socket.inet_aton("127.0.0.1"))


def call(function, *args):
    """The errno's name, or "done"."""
    try:
        function(*args)
        return "done"
    except OSError as e:
        return errno.errorcode[e.errno] if e.errno else str(e)


def system_call(number, *args):
    """The same of a bare system call."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *args)
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def disconnect(s):
    libc.connect(s.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)
    libc.connect(s.fileno(), struct.pack("=H", socket.AF_UNSPEC), 2)


def server():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("0.0.0.0", 80))
    return s


def reach(s):
    """Both calls, with what the descriptor is known as."""
    disconnect(s)
    return call(s.connect, LOOPBACK)


def in_child(function):
    """What a forked child makes of it; the profile may kill it."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, function().encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    with os.fdopen(reading) as pipe:
        return pipe.read() or "killed"


def passed(s):
    """By SCM_RIGHTS to a process that has not got it by inheritance."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        s.close()
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        os.write(theirs.fileno(), reach(socket.socket(fileno=fds[0])).encode())
        os._exit(0)
    socket.send_fds(ours, [b"x"], [s.fileno()])
    os.wait()
    return ours.recv(64).decode()


def fast_open(s):
    disconnect(s)
    return call(s.sendto, b"escaped", MSG_FASTOPEN, LOOPBACK)


def fast_open_message(s):
    disconnect(s)
    return call(s.sendmsg, [b"escaped"], [], MSG_FASTOPEN, LOOPBACK)


def rebind(s):
    disconnect(s)
    return call(s.bind, ("127.0.0.1", FREE))


def raced(child, make_decoy, hit):
    """A number that is now a harmless socket, now the accepted one, in calls
    that are answered in good faith for the former. The results seen, and the
    socket at the end."""
    disconnect(child)
    decoy = make_decoy()
    number = os.dup(decoy.fileno())
    end = time.monotonic() + RACE_SECONDS
    seen = set()

    def exchange():
        while time.monotonic() < end:
            os.dup2(child.fileno(), number)
            os.dup2(decoy.fileno(), number)
    thread = threading.Thread(target=exchange)
    thread.start()
    while time.monotonic() < end:
        ctypes.set_errno(0)
        result = hit(number)
        seen.add("done" if result == 0
                 else errno.errorcode[ctypes.get_errno()])
    thread.join()
    os.close(number)
    return seen


def raced_connect(child):
    """With datagrams as the decoy, to which connect(2) is free."""
    seen = raced(child, lambda: socket.socket(type=socket.SOCK_DGRAM),
                 lambda number: libc.connect(number, address(SERVICE), 16))
    return call(child.getpeername), sorted(seen)


def raced_bind(child):
    seen = raced(child, lambda: socket.socket(type=socket.SOCK_DGRAM),
                 lambda number: libc.bind(number, address(FREE), 16))
    return child.getsockname()[1], sorted(seen)


def raced_memory():
    """A port that is published when it is looked at, and another later: the
    host's sockets that came of it, by port."""
    buffer = ctypes.create_string_buffer(address(80), 16)
    ports = struct.pack("!H", 80), struct.pack("!H", FREE)
    end = time.monotonic() + RACE_SECONDS
    bound = set()

    def scribble():
        while time.monotonic() < end:
            for port in ports:
                ctypes.memmove(ctypes.addressof(buffer) + 2, port, 2)
    thread = threading.Thread(target=scribble)
    thread.start()
    while time.monotonic() < end:
        with socket.socket() as s:
            ctypes.memmove(ctypes.addressof(buffer) + 4, b"\0\0\0\0", 4)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if libc.bind(s.fileno(), buffer, 16) == 0 and is_host(s):
                bound.add(s.getsockname()[1])
    thread.join()
    return sorted(bound)


def is_host(s):
    """A socket of another namespace than our own ones."""
    cookies = [one.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
               for one in (s, OWN)]
    return cookies[0] != cookies[1]


def fcntl_ioctl(s, request):
    result = libc.ioctl(s.fileno(), request, 0)
    if result < 0:
        raise OSError(ctypes.get_errno(), "ioctl")
    return result


def as_32_bit(number, *args):
    """The system call of a 32-bit program, by int 0x80; below 4 GiB."""
    code = (b"\x53" b"\x89\xf8" b"\x89\xf3" b"\x89\xd1" b"\x44\x89\xc2"
            b"\xcd\x80" b"\x5b" b"\xc3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE |
                     mmap.PROT_EXEC)
    page.write(code)
    where = ctypes.addressof(ctypes.c_char.from_buffer(page))
    function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint32] * 5)(where)
    # edi, esi, edx, ecx, r8d: number, first, second, unused, third
    result = function(number, args[0], args[1], 0, args[2])
    return "done" if result >= 0 else errno.errorcode[-result]


def low_memory(data):
    libc.mmap.restype = ctypes.c_void_p
    where = libc.mmap(None, 4096, 3, 0x22 | 0x40, -1, 0)  # MAP_32BIT
    ctypes.memmove(where, data, len(data))
    return where


def main():
    listener = server()
    listener.listen(32)
    accept = lambda: listener.accept()[0]
    print("ready", flush=True)
    results = {
        "handed": reach(server()),
        "accepted": reach(accept()),
        "duplicated": reach(accept().dup()),
        "passed": passed(accept()),
        "fast open": fast_open(accept()),
        "fast open of a message": fast_open_message(accept()),
        "fast open by option": call(accept().setsockopt, socket.IPPROTO_TCP,
                                    TCP_FASTOPEN_CONNECT, 1),
        "io_uring": system_call(425, 4, ctypes.create_string_buffer(256)),
        "rebind": rebind(accept()),
        "transparent": call(accept().setsockopt, socket.IPPROTO_IP,
                            IP_TRANSPARENT, 1),
        "mark": call(accept().setsockopt, socket.SOL_SOCKET, socket.SO_MARK,
                     1),
        "repair": call(accept().setsockopt, socket.IPPROTO_TCP, TCP_REPAIR, 1),
        "namespace": call(fcntl_ioctl, accept(), SIOCGSKNS),
    }
    child = accept()
    results["x32"] = in_child(lambda: system_call(
        0x40000000 + 42, child.fileno(), address(SERVICE), 16))
    results["forked"] = in_child(lambda: reach(child))
    child = accept()
    disconnect(child)
    where = low_memory(address(SERVICE))
    results["32-bit"] = in_child(
        lambda: as_32_bit(362, child.fileno(), where, 16))
    vector = low_memory(struct.pack("=III", child.fileno(), where, 16))
    results["socketcall"] = in_child(lambda: as_32_bit(102, 3, vector, 0))
    results["raced connect"], results["raced connect saw"] = raced_connect(
        accept())
    results["raced bind"], results["raced bind saw"] = raced_bind(accept())
    results["raced memory"] = raced_memory()
    # The port itself has survived all of that.
    results["served"] = call(accept().sendall, b"still here\n")
    print(json.dumps(results), flush=True)


main()
