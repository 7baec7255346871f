"""Debian's docker-registry on loopback ports, as the tests' account.

    Registry(directory)                          plain HTTP, delete enabled
    Registry(directory, tls=CA, users={...})     TLS and htpasswd
    Registry(directory, tls=CA, clients=CA)      TLS, with client certificates
    Registry(directory, token=TokenServer(...))  bearer tokens, signed RS256

A CA and its certificates are made by openssl(1), passwords by htpasswd(1).
"""
import base64
import http.server
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse

from oci import Client


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def openssl(*args, **kwargs):
    return subprocess.run(["openssl", *map(str, args)], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          **kwargs).stdout


class CA:
    """A certificate authority; certificate("localhost") → (cert, key) files."""

    def __init__(self, directory, name="moss test CA"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file = self.directory / "ca.crt"
        self.key = self.directory / "ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file)

    def certificate(self, host="localhost"):
        key = self.directory / f"{host}.key"
        request = self.directory / f"{host}.csr"
        names = self.directory / f"{host}.ext"
        certificate = self.directory / f"{host}.crt"
        kind = "IP" if host[0].isdigit() else "DNS"
        names.write_text(f"subjectAltName={kind}:{host}\n"
                         "extendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                f"/CN={host}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey",
                self.key, "-CAcreateserial", "-days", "30", "-extfile", names,
                "-out", certificate)
        return certificate, key

    def context(self):
        return ssl.create_default_context(cafile=str(self.file))

    def server_context(self, host="localhost"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(host))
        return context


def program():
    for name in ("docker-registry", "registry"):  # Debian's, Fedora's
        if shutil.which(name):
            return name
    raise FileNotFoundError("docker-registry is not installed")


class Registry:
    """One docker-registry process; its files are below the directory."""

    def __init__(self, directory, tls=None, users=None, token=None,
                 clients=None, host="localhost"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = unused_port()
        self.host = f"{host}:{self.port}"
        self.users = users or {}
        self.ca = tls
        http_part = {"addr": f"127.0.0.1:{self.port}",
                     "secret": "only for tests"}
        if tls:
            certificate, key = tls.certificate(host)
            http_part["tls"] = {"certificate": str(certificate),
                                "key": str(key)}
        if clients:
            http_part["tls"]["clientcas"] = [str(clients.file)]
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {
                "rootdirectory": str(self.directory / "data")},
                "delete": {"enabled": True}},
            "http": http_part,
        }
        if users:
            config["auth"] = {"htpasswd": {"realm": "moss tests",
                                           "path": str(self._passwords())}}
        if token:
            config["auth"] = {"token": {
                "realm": token.realm, "service": token.service,
                "issuer": token.issuer,
                "rootcertbundle": str(token.certificate)}}
        path = self.directory / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        self.log = self.directory / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program(), "serve", str(path)], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL)
        headers = {}
        if users:
            user, password = next(iter(users.items()))
            headers["Authorization"] = basic(user, password)
        context = tls.context() if tls else None
        if clients:
            context.load_cert_chain(*clients.certificate("tests"))
        self.client = Client(self.port, host, context, headers)
        self._wait()

    def _passwords(self):
        path = self.directory / "htpasswd"
        path.touch()
        for user, password in self.users.items():
            # The lowest cost: the tests log in often.
            subprocess.run(["htpasswd", "-i", "-B", "-C", "4", str(path), user],
                           input=password, text=True, check=True,
                           stderr=subprocess.DEVNULL)
        return path

    def _wait(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.client.request("GET", "/v2/")
            except OSError:
                pass
            assert self.process.poll() is None and \
                time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def name(self, rest):
        return f"{self.host}/{rest}"

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Server:
    """A threaded HTTP(S) server of the tests; requests are kept."""

    def __init__(self, handler, context=None, host="localhost"):
        self.requests, self.errors = [], []
        outer = self

        class Handler(handler):
            server_object = outer
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def parse_request(self):
                done = super().parse_request()
                if done:
                    outer.requests.append(self.record())
                return done

            def record(self):
                return Request(self.command, self.path, dict(
                    (key.lower(), value) for key, value in
                    self.headers.items()))

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                # Clients that go away are what is tested.
                if not isinstance(sys.exc_info()[1], OSError):
                    outer.errors.append(traceback.format_exc())

        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.port = self.listener.server_address[1]
        self.host = f"{host}:{self.port}"
        self.scheme = "https" if context else "http"
        self.url = f"{self.scheme}://{self.host}"
        if context:
            self.listener.socket = context.wrap_socket(
                self.listener.socket, server_side=True,
                do_handshake_on_connect=False)
        self.thread = threading.Thread(
            target=self.listener.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.listener.shutdown()
        self.listener.server_close()
        assert not self.errors, self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def seen(self, method, part):
        return [each for each in self.requests
                if each.method == method and part in each.path]


class Request:
    def __init__(self, method, path, headers):
        self.method, self.path, self.headers = method, path, headers

    def __repr__(self):
        return f"<{self.method} {self.path} {self.headers}>"


class Answering(http.server.BaseHTTPRequestHandler):
    """What the tests' servers share."""

    def answer(self, status, body=b"", headers=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = dict({"Content-Type": "application/json"},
                           **(headers or {}))
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if not any(key.lower() == "content-length" for key in headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class TokenServer(Server):
    """Gives out JSON web tokens as the registry's token specification says.

    users: {name: password}; anonymous may pull what `public` accepts. A
    refresh ("identity") token is given for POST and offline_token.
    """

    service, issuer = "moss test registry", "moss test issuer"

    def __init__(self, directory, users, public=lambda name: True, **kwargs):
        self.users, self.public = users, public
        self.key = pathlib.Path(directory) / "token.key"
        self.certificate = pathlib.Path(directory) / "token.crt"
        self.key.parent.mkdir(parents=True, exist_ok=True)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                "-subj", "/CN=tokens", "-keyout", self.key, "-out",
                self.certificate)
        der = openssl("x509", "-in", self.certificate, "-outform", "DER")
        self.x5c = base64.b64encode(der).decode()
        self.lifetime, self.age = 300, 0  # seconds
        self.lie = None  # replaces the answer: (status, body, headers)
        self.refresh = {}  # token → user
        super().__init__(TokenHandler, **kwargs)

    @property
    def realm(self):
        return f"{self.url}/token"

    def token(self, user, scopes):
        now = int(time.time()) - self.age
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = [action for action in actions.split(",")
                       if user or (action == "pull" and self.public(name))]
            access.append({"type": kind, "name": name, "actions": allowed})
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.x5c]}
        claims = {"iss": self.issuer, "sub": user or "", "aud": self.service,
                  "exp": now + self.lifetime, "nbf": now - 10, "iat": now,
                  "jti": str(time.monotonic_ns()), "access": access}
        text = ".".join(url64(json.dumps(part).encode())
                        for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", self.key,
                            input=text.encode())
        return f"{text}.{url64(signature)}"


class TokenHandler(Answering):
    def user(self):
        """Name, None (anonymous) or False (refused)."""
        given = self.headers.get("Authorization")
        if not given:
            return None
        name, _, password = base64.b64decode(given.split()[1]).decode() \
            .partition(":")
        users = self.server_object.users
        return name if users.get(name) == password else False

    def give(self, user, scopes, offline):
        server = self.server_object
        if server.lie:
            return self.answer(*server.lie)
        if user is False:
            return self.answer(401, {"errors": [{
                "code": "UNAUTHORIZED",
                "message": "incorrect username or password"}]})
        token = server.token(user, scopes)
        result = {"token": token, "access_token": token,
                  "expires_in": server.lifetime}
        if offline and user:
            refresh = f"refresh-{user}-{len(server.refresh)}"
            server.refresh[refresh] = user
            result["refresh_token"] = refresh
        self.answer(200, result)

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        scopes = [scope for text in query.get("scope", [])
                  for scope in text.split()]
        self.give(self.user(), scopes, query.get("offline_token"))

    def do_POST(self):
        form = urllib.parse.parse_qs(self.body().decode())
        one = {key: values[0] for key, values in form.items()}
        server = self.server_object
        user = False
        if one.get("grant_type") == "refresh_token":
            user = server.refresh.get(one.get("refresh_token"), False)
        elif one.get("grant_type") == "password" and \
                server.users.get(one.get("username")) == one.get("password"):
            user = one["username"]
        self.give(user, one.get("scope", "").split(),
                  one.get("access_type") == "offline")


class HubSearch(Server):
    """The old search of Docker's index (GET /v1/search?q=TERM&n=LIMIT)."""

    def __init__(self, results, **kwargs):
        self.results = results
        super().__init__(SearchHandler, **kwargs)


class SearchHandler(Answering):
    def do_GET(self):
        split = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(split.query)
        if split.path != "/v1/search":
            return self.answer(404, {"errors": []})
        term = query.get("q", [""])[0]
        found = [each for each in self.server_object.results
                 if term in each["name"]]
        limit = int(query.get("n", ["25"])[0])
        self.answer(200, {"query": term, "num_results": len(found),
                          "num_pages": 1, "page": 1, "page_size": limit,
                          "results": found[:limit]})
