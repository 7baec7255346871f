"""The outside world of the egress tests, in a network namespace without any.

Run as root of its own user, network and mount namespaces: puts public
addresses on the loopback, serves names and protocols on them, and notes every
connection and datagram in the file that is its argument: one JSON a line.
"""
import json
import socket
import ssl
import struct
import subprocess
import sys
import threading

RESOLVER = "127.0.0.53"
ALLOWED, OTHER = "203.0.113.5", "203.0.113.6"
ALLOWED6, OTHER6 = "2001:db9::5", "2001:db9::6"
NAMES = {
    "allowed.test": [ALLOWED],
    "six.test": [ALLOWED6],
    "other.test": [OTHER],
    "www.wild.test": [ALLOWED],
    "rebound.test": ["127.0.0.1", "10.0.2.2", "192.168.1.1"],
    "many.test": [f"203.0.113.{i}" for i in range(20, 120)],
}
log = None


def note(protocol, server, data):
    log.write(json.dumps([protocol, server[0], server[1],
                          data.decode("latin-1")]) + "\n")


def encode(name):
    return b"".join(bytes([len(part)]) + part.encode()
                    for part in name.split(".")) + b"\0"


def answer(question):
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1:at + 1 + question[at]].decode())
        at += 1 + question[at]
    name = ".".join(labels).lower()
    kind, = struct.unpack(">H", question[at + 1:at + 3])
    records, count = b"", 0
    owner = b"\xc0\x0c"
    known = name in NAMES
    if name == "alias.test":
        records, count, owner = (owner + struct.pack(">HHIH", 5, 1, 60, 14) +
                                 encode("allowed.test"), 1,
                                 encode("allowed.test"))
        name, known = "allowed.test", True
    for address in NAMES.get(name, []):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        data = socket.inet_pton(family, address)
        if kind == (28 if ":" in address else 1):
            records += owner + struct.pack(">HHIH", kind, 1, 60, len(data)) + \
                data
            count += 1
    head = struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, count, 0, 0)
    return question[:2] + head + question[12:at + 5] + records


def serve_udp(address, port, reply):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((address, port))

    def run():
        while True:
            data, peer = server.recvfrom(65536)
            note("udp", (address, port), data)
            server.sendto(reply(data), peer)
    threading.Thread(target=run, daemon=True).start()


def serve_tcp(address, port, talk):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, port), family=family)

    def one(connection):
        try:
            talk(connection, (address, port))
        except OSError:
            pass

    def run():
        while True:
            connection, _ = server.accept()
            note("tcp", (address, port), b"")
            threading.Thread(target=one, args=(connection,),
                             daemon=True).start()
    threading.Thread(target=run, daemon=True).start()


def http(connection, where):
    """Any number of requests, each answered with its Host."""
    file = connection.makefile("rb")
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = file.readline()
            if not line:
                return
            head += line
        note("http", where, head)
        if b"Content-Length: " in head:
            size = head.split(b"Content-Length: ")[1].split(b"\r\n")[0]
            assert len(file.read(int(size))) == int(size)
        host = head.split(b"Host: ")[1].split(b"\r\n")[0]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" %
                           len(host) + host)


def tls(context):
    def talk(connection, where):
        with context.wrap_socket(connection, server_side=True) as wrapped:
            note("tls", where, b"")
            wrapped.sendall(b"over TLS")
    return talk


def banner(connection, where):
    """The server speaks first."""
    connection.sendall(b"220 hello\r\n")
    data = connection.recv(1000)
    note("banner", where, data)
    connection.sendall(data)


def main(path, certificate):
    global log
    log = open(path, "a", buffering=1)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (ALLOWED, OTHER, ALLOWED6, OTHER6):
        length = 128 if ":" in address else 32
        subprocess.run(["ip", "address", "add", f"{address}/{length}", "dev",
                        "lo"], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    serve_udp(RESOLVER, 53, answer)
    for address in (ALLOWED, OTHER, ALLOWED6, OTHER6):
        serve_udp(address, 53, answer)
        serve_udp(address, 99, bytes.upper)
        serve_tcp(address, 80, http)
        serve_tcp(address, 81, http)
        serve_tcp(address, 25, banner)
        serve_tcp(address, 443, tls(context))
    serve_tcp("127.0.0.1", 80, http)
    print("ready", flush=True)
    sys.stdin.read()


main(*sys.argv[1:])
