"""A proxy in front of a registry that misbehaves as told, and a liar.

    proxy = FaultyProxy(registry.port)
    proxy.fault("GET", "/blobs/", drop_after(1000), times=2)

The first rule whose method and part of the path match, and that is not used up,
answers instead of the registry; everything else is passed through unchanged.
An action is called with the handler; handler.upstream() is what the registry
answers: (status, headers, body).
"""
import http.client
import json
import socket
import struct
import threading
import time

from registry import Answering, Server

HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


class Fault:
    def __init__(self, method, part, action, times):
        self.method, self.part, self.action = method, part, action
        self.left, self.used = times, 0


class FaultyProxy(Server):
    def __init__(self, port, **kwargs):
        self.upstream_port = port
        self.faults = []
        self.lock = threading.Lock()
        super().__init__(ProxyHandler, **kwargs)

    def fault(self, method, part, action, times=None):
        fault = Fault(method, part, action, times)
        self.faults.append(fault)
        return fault

    def take(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault.method in (method, "*") and fault.part in path and \
                        fault.left != 0:
                    if fault.left is not None:
                        fault.left -= 1
                    fault.used += 1
                    return fault
        return None

    def reset(self):
        self.faults.clear()
        self.requests.clear()

    def name(self, rest):
        return f"{self.host}/{rest}"


class ProxyHandler(Answering):
    request_body = None

    def upstream(self, drop=()):
        if self.request_body is None:
            self.request_body = self.body()
        left_out = HOP | {"expect", "content-length"} | set(drop)
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server_object.upstream_port, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True,
                                  skip_accept_encoding=True)
            for key, value in self.headers.items():  # some come twice
                if key.lower() not in left_out:
                    connection.putheader(key, value)
            connection.putheader("Content-Length", len(self.request_body))
            connection.endheaders(self.request_body)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, [
                (key, value) for key, value in answer.getheaders()
                if key.lower() not in HOP], body
        finally:
            connection.close()

    def start(self, status, headers, length=None):
        """Status line and headers; length replaces Content-Length."""
        self.send_response(status)
        for key, value in headers:
            if length is None or key.lower() != "content-length":
                self.send_header(key, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def reply(self, status, headers, body):
        length = None if self.command == "HEAD" else len(body)
        self.start(status, headers, length)
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self, reset=False):
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
        self.close_connection = True

    def any_method(self):
        self.request_body = None
        fault = self.server_object.take(self.command, self.path)
        if fault:
            fault.action(self)
        else:
            self.reply(*self.upstream())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = any_method


# Actions

def status(code, body=b"", **headers):
    """Answers with a status; headers: Retry_After="1"."""
    def action(handler):
        handler.body()
        handler.answer(code, body, {key.replace("_", "-"): value
                                    for key, value in headers.items()})
    return action


def error(code, name, message):
    """A registry's error in the specification's form."""
    return status(code, json.dumps(
        {"errors": [{"code": name, "message": message}]}).encode(),
        Content_Type="application/json")


def drop_after(count, reset=False):
    """Hangs up in the middle of the answer's body."""
    def action(handler):
        code, headers, body = handler.upstream()
        handler.start(code, headers, len(body))
        handler.wfile.write(body[:count])
        handler.hang_up(reset)
    return action


def drop_request(count):
    """Hangs up in the middle of the request's body."""
    def action(handler):
        handler.rfile.read(min(count, int(
            handler.headers.get("Content-Length") or count)))
        handler.hang_up(reset=True)
    return action


def hang_up(handler):
    handler.hang_up(reset=True)


def lost_answer(handler):
    """The registry does it, the client does not hear of it."""
    handler.upstream()
    handler.hang_up()


def trickle(piece, pause):
    """So many bytes every so many seconds, from then on as usual."""
    def action(handler):
        code, headers, body = handler.upstream()
        handler.start(code, headers, len(body))
        for at in range(0, min(len(body), piece * 10), piece):
            handler.wfile.write(body[at:at + piece])
            handler.wfile.flush()
            time.sleep(pause)
        handler.wfile.write(body[piece * 10:])
    return action


def stall(event, count=100):
    """Some bytes, and then nothing until the event is set."""
    def action(handler):
        code, headers, body = handler.upstream()
        handler.start(code, headers, len(body))
        handler.wfile.write(body[:count])
        handler.wfile.flush()
        event.wait(60)
        handler.hang_up()
    return action


def change_body(change):
    """Other bytes under the same headers (and their own length)."""
    def action(handler):
        code, headers, body = handler.upstream()
        handler.reply(code, headers, change(body))
    return action


def flip(body):
    """The same length, one bit of the middle is wrong."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:]


def change_header(name, value):
    """Replaces a header of the answer; value None takes it out."""
    def action(handler):
        code, headers, body = handler.upstream()
        headers = [each for each in headers if each[0].lower() != name.lower()]
        if value is not None:
            headers.append((name, value))
        handler.reply(code, headers, body)
    return action


def wrong_length(difference):
    """Promises more or less than it sends, and hangs up."""
    def action(handler):
        code, headers, body = handler.upstream()
        handler.start(code, headers, max(0, len(body) + difference))
        handler.wfile.write(body)
        handler.hang_up()
    return action


def without_length(handler):
    """Neither Content-Length nor chunked: the end is the connection's."""
    code, headers, body = handler.upstream()
    handler.send_response(code)
    for key, value in headers:
        if key.lower() != "content-length":
            handler.send_header(key, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
    handler.hang_up()


def chunked(handler):
    code, headers, body = handler.upstream()
    handler.send_response(code)
    for key, value in headers:
        if key.lower() != "content-length":
            handler.send_header(key, value)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for at in range(0, len(body), 7000):
        piece = body[at:at + 7000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def ignore_range(handler):
    """The whole blob with 200, whatever part was asked for."""
    handler.reply(*handler.upstream(drop={"range"}))


def wrong_range(handler):
    """Says 206 and another part than the one asked for."""
    code, headers, body = handler.upstream(drop={"range"})
    part = body[1:]
    handler.reply(206, headers + [("Content-Range",
                                   f"bytes 1-{len(body) - 1}/{len(body)}")],
                  part)


def redirect(url, code=307):
    """url: text, or a function of the path."""
    def action(handler):
        handler.body()
        handler.answer(code, b"", {
            "Location": url(handler.path) if callable(url) else url})
    return action


def endless_header(handler):
    """Header lines until the client has had enough; at most 64 MiB."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    line = b"X-Endless: " + b"x" * 8000 + b"\r\n"
    handler.server_object.endless = 0
    for _ in range((64 << 20) // len(line)):
        handler.wfile.write(line)
        handler.server_object.endless += len(line)
    handler.hang_up()


def endless_body(media_type, start=b"{"):
    """A body that does not end; at most 64 MiB of it. The server's `endless`
    says how much the client took."""
    def action(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", media_type)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(start)
        handler.server_object.endless = 0
        for _ in range(64 << 4):
            handler.wfile.write(b" " * 65536)
            handler.server_object.endless += 65536
        handler.hang_up()
    return action
