"""What the integration tests share: the moss under test, images, helpers.

The tests run as an unprivileged user against a built moss (MOSS_BUILD), each
module with a store and a runtime directory of its own.
"""
import contextlib
import fcntl
import getpass
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import oci  # noqa: E402
import registry as registries  # noqa: E402
import roots  # noqa: E402
from faulty import FaultyProxy  # noqa: E402
from tinyregistry import TinyRegistry  # noqa: E402

# What a machine may lack; nothing else may be skipped.
KNOWN_SKIPS = {"overlay in user namespaces", "/dev/fuse", "/dev/net/tun",
               "sub-IDs", "TCP in Landlock or filters of sockets",
               "cgroups that are nobody's but root's"}


def skip(feature):
    assert feature in KNOWN_SKIPS, f"{feature} is not a known reason to skip"
    if os.environ.get("CI"):
        pytest.fail(f"{feature} is missing on the CI machine")
    pytest.skip(f"missing here: {feature}")


class Result:
    def __init__(self, process, out=None, err=None):
        self.code = process.returncode
        self.out = process.stdout if out is None else out
        self.err = process.stderr if err is None else err

    def __repr__(self):
        return f"<exit {self.code}\nstdout: {self.out}\nstderr: {self.err}>"


class Moss:
    """Runs moss with a store of its own."""

    def __init__(self, program, root, run, env=None):
        self.program = str(program)
        self.root = pathlib.Path(root)
        self.run_directory = pathlib.Path(run)
        self.env = dict(os.environ, MOSS_ROOT=str(root), MOSS_RUN=str(run))
        self.env.pop("MOSS_STORAGE_DRIVER", None)
        self.env.update(env or {})

    def with_env(self, **env):
        return Moss(self.program, self.root, self.run_directory,
                    dict(self.env, **env))

    def __call__(self, *args, check=None, stdin=None, timeout=60, text=True,
                 **kwargs):
        """Runs a command; check=N asserts its exit code."""
        process = subprocess.run(
            [self.program, *map(str, args)], env=self.env, text=text,
            input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
            **kwargs)
        result = Result(process)
        if check is not None:
            assert result.code == check, f"moss {' '.join(map(str, args))}: {result}"
        return result

    def ok(self, *args, **kwargs):
        """Runs a command that must succeed; its output without the newline."""
        out = self(*args, check=0, **kwargs).out
        return out.rstrip("\n") if isinstance(out, str) else out

    def popen(self, *args, **kwargs):
        return subprocess.Popen([self.program, *map(str, args)], env=self.env,
                                **kwargs)

    def inspect(self, name):
        return json.loads(self.ok("inspect", name))[0]

    def ps(self, *args):
        return [json.loads(line) for line in
                self.ok("ps", "--format", "{{json .}}", *args).splitlines()]

    def images(self):
        """REPOSITORY:TAG of all there are."""
        return self.ok("images", "--format",
                       "{{.Repository}}:{{.Tag}}").splitlines()

    def remove_all(self):
        ids = self("ps", "-aq").out.split()
        if ids:
            self("rm", "-fv", *ids)

    def wait_for(self, condition, what="the condition", seconds=10):
        return wait_for(condition, what, seconds)


def wait_for(condition, what="the condition", seconds=10):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def build():
    path = os.environ.get("MOSS_BUILD")
    assert path, "MOSS_BUILD must name the build directory (sh tests/run sets it)"
    return pathlib.Path(path)


@pytest.fixture(scope="session")
def cache():
    path = pathlib.Path(os.environ.get("MOSS_TEST_CACHE",
                                       os.path.expanduser("~/.cache/moss/tests")))
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def alone(cache):
    """Of files of tests side by side one makes a root, the others find it."""
    with open(cache / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def busybox_tar(cache):
    with alone(cache):
        return roots.busybox(cache)


@pytest.fixture(scope="session")
def debian_tar(cache):
    with alone(cache):
        return roots.debian(cache)


@pytest.fixture(scope="session")
def session_moss(request, build, tmp_path_factory, busybox_tar):
    base = tmp_path_factory.mktemp("moss")
    run = tmp_path_factory.mktemp("run")
    run.chmod(0o700)
    moss = Moss(build / "moss", base / "data", run)
    moss.ok("import", busybox_tar, "busybox")
    request.config.session_moss = moss
    yield moss
    moss.remove_all()
    subprocess.run([moss.program, "__unpin"], env=moss.env,
                   stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module", autouse=True)
def images_go(request):
    """What a file of tests leaves of images is no other's business."""
    yield
    moss = getattr(request.config, "session_moss", None)
    if not moss:
        return
    kept = set(moss("images", "-q", "--no-trunc", "busybox").out.split() +
               moss("images", "-q", "--no-trunc", "debian").out.split())
    for image in set(moss("images", "-aq", "--no-trunc").out.split()) - kept:
        moss("rmi", "-f", image)


@pytest.fixture
def moss(session_moss):
    yield session_moss
    session_moss.remove_all()


@pytest.fixture(scope="module")
def house(session_moss):
    """Nothing but an image; .baseline: the files that then there are."""
    from household import Household  # which wants this module whole
    session_moss.remove_all()
    with Household(session_moss) as house:
        house.ok("run", "--rm", "busybox", "true")
        house.ok("system", "prune", "-f")
        house.baseline = house.files()
        yield house


@pytest.fixture(scope="module")
def debian(session_moss, debian_tar):
    """An image of a small Debian with nginx, python and the usual tools. Made
    again where a test has pruned it."""
    if session_moss("image", "inspect", "debian").code == 0:
        return "debian"
    session_moss.ok("import", "-c", 'CMD ["bash"]', debian_tar, "debian",
                    timeout=300)
    return "debian"


# Registries: one of a kind for all tests, which use names of their own in it.

@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    with registries.Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return registries.CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory, ca):
    """TLS by the tests' CA, and a password."""
    with registries.Registry(tmp_path_factory.mktemp("tls"), tls=ca,
                             users={"alice": "s3cret:word"}) as registry:
        yield registry


@pytest.fixture(scope="session")
def tokens(tmp_path_factory):
    with registries.TokenServer(tmp_path_factory.mktemp("tokens"),
                                {"bob": "t0ken:word"},
                                public=lambda name: name.startswith("open/")) \
            as server:
        yield server


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory, tokens):
    """Asks for tokens: anybody may pull open/..., bob may all."""
    with registries.Registry(tmp_path_factory.mktemp("token"),
                             token=tokens) as registry:
        yield registry


@pytest.fixture
def proxy(registry):
    """In front of the plain registry, without a fault yet."""
    with FaultyProxy(registry.port) as proxy:
        yield proxy


@pytest.fixture
def tiny():
    with TinyRegistry() as server:
        yield server
        assert not server.complaints


@pytest.fixture(scope="session")
def busybox_layer(busybox_tar):
    return oci.busybox_layer(busybox_tar)


def has_sub_ids():
    names = {getpass.getuser(), str(os.getuid())}
    with open("/etc/subuid") as file:
        return any(line.split(":")[0] in names for line in file)


@pytest.fixture(scope="module")
def single(build, tmp_path_factory, busybox_tar):
    """moss where only one ID is mapped and no other can be had: as a user
    without sub-IDs, or below a namespace with one ID."""
    base = tmp_path_factory.mktemp("single")
    run = tmp_path_factory.mktemp("single-run")
    run.chmod(0o700)
    program = build / "moss"
    if has_sub_ids():
        program = base / "moss"
        program.write_text(f'#!/bin/sh\nexec unshare -Ur {build}/moss "$@"\n')
        program.chmod(0o755)
    moss = Moss(program, base / "data", run)
    moss.ok("import", busybox_tar, "busybox")
    yield moss
    moss.remove_all()
    # Each namespace of unshare's got a pause process of its own.
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if file.read().startswith(f"moss: pause {run}"):
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:
            continue


@pytest.fixture
def fresh(session_moss, tmp_path):
    """A moss with an empty store, an empty home and its own moss.conf."""
    home = tmp_path / "home"
    home.mkdir()
    conf = tmp_path / "moss.conf"
    conf.touch()
    env = dict(session_moss.env, HOME=str(home), MOSS_CONFIG=str(conf),
               MOSS_ROOT=str(tmp_path / "data"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR",
                 "XDG_CONFIG_HOME", "DOCKER_AUTH_CONFIG", "http_proxy",
                 "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        env.pop(name, None)
    moss = Moss(session_moss.program, tmp_path / "data",
                session_moss.run_directory)
    moss.env = env
    moss.home, moss.conf = home, conf
    yield moss
    moss.remove_all()


@pytest.fixture
def free_port():
    def find(kind=socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]
    return find


@pytest.fixture
def host_server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the host\n")

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
