"""Credential helpers as programs of the user, outside of moss's namespace."""
import json
import os
import subprocess
import time

import pytest

import oci

PASSWORD = "s3cret:word"
TOKEN_PASSWORD = "t0ken:word"

# Keeps one secret in a file, and writes down what it is and what it sees.
HELPER = """#!/bin/sh
here=$(dirname "$0")
{ echo "$1"; id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user
  ls -l /proc/self/fd; } >>"$here/seen"
case $1 in
store) cat >"$here/kept" ;;
erase) rm -f "$here/kept" ;;
get) [ -e "$here/kept" ] || { echo credentials not found; exit 1; }
     cat "$here/kept" ;;
esac
"""


@pytest.fixture
def helped(fresh, tls_registry, ca, tmp_path):
    """fresh, that keeps its secrets with docker-credential-test."""
    directory = tmp_path / "bin"
    directory.mkdir()
    fresh.helper = directory / "docker-credential-test"
    fresh.helper.write_text(HELPER)
    fresh.helper.chmod(0o755)
    fresh.seen, fresh.kept = directory / "seen", directory / "kept"
    fresh.env["PATH"] = f"{directory}:{fresh.env['PATH']}"
    fresh.config = fresh.home / ".docker/config.json"
    fresh.config.parent.mkdir()
    fresh.config.write_text('{"credsStore": "test"}')
    fresh.conf.write_text(f'[registry "{tls_registry.host}"]\nca = {ca.file}\n')
    return fresh


@pytest.fixture(scope="module")
def private(tls_registry, busybox_layer):
    tls_registry.client.put("credentials/box:1", oci.Image(
        [busybox_layer], {"Cmd": ["echo", "private"]}))
    return tls_registry.name("credentials/box:1")


def login(moss, host, user="alice", password=PASSWORD, check=0):
    return moss("login", "-u", user, "--password-stdin", host,
                stdin=password, check=check)


def test_build_asks_the_helper(helped, tls_registry, private, tmp_path):
    """From the program that builds, and only for what has to be pulled."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {private}\nRUN echo built\n")
    result = helped("build", context, check=1)
    assert private.partition(":1")[0] in result.err
    login(helped, tls_registry.host)
    helped.seen.unlink()
    told = helped("build", "--progress", "plain", context, check=0).err
    assert " built\n" in told
    assert "s3cret" not in told
    helped.ok("build", "-q", context)
    verbs = [line for line in helped.seen.read_text().splitlines()
             if line in ("store", "get", "erase")]
    assert verbs == ["get"]


def test_helper_is_the_user(helped, tls_registry, private):
    """A keychain behind D-Bus looks at the UID of whoever asks."""
    login(helped, tls_registry.host)
    helped.ok("pull", private)
    helped.ok("rmi", private)
    assert helped.ok("run", "--rm", private, timeout=60) == "private"
    helped.ok("logout", tls_registry.host)
    seen = helped.seen.read_text()
    verbs = [line for line in seen.splitlines()
             if line in ("store", "get", "erase")]
    assert verbs == ["store", "get", "get", "erase"]
    own = os.readlink("/proc/self/ns/user")
    assert seen.count(own) == len(verbs), seen
    assert seen.count(f"\n{os.getuid()}\n") == len(verbs), seen
    # Nothing of moss's own is open in it.
    kept = (str(helped.root), str(helped.run_directory), "memfd:")
    for line in seen.splitlines():
        if " -> " in line:
            assert not line.split(" -> ")[1].startswith(kept) or \
                "memfd:moss-credential" in line, line


def test_secret_is_with_the_helper_only(helped, tls_registry, private):
    login(helped, tls_registry.host)
    assert json.loads(helped.kept.read_text()) == {
        "ServerURL": tls_registry.host, "Username": "alice",
        "Secret": PASSWORD}
    assert json.loads(helped.config.read_text()) == {
        "credsStore": "test", "auths": {tls_registry.host: {}}}


def test_first_login_chooses_an_installed_helper(helped, tls_registry):
    """As docker: secretservice, or pass where pass(1) is."""
    helped.helper.rename(helped.helper.parent /
                         "docker-credential-secretservice")
    helped.env["PATH"] = ":".join(
        part for part in helped.env["PATH"].split(":")
        if not os.path.exists(f"{part}/pass"))
    helped.config.unlink()
    result = login(helped, tls_registry.host)
    assert "unencrypted" not in result.err
    assert json.loads(helped.config.read_text())["credsStore"] == \
        "secretservice"
    assert PASSWORD in helped.kept.read_text()
    # Who has logged in before keeps what he has.
    helped.config.write_text(json.dumps({"auths": {"other": {}}}))
    assert "unencrypted" in login(helped, tls_registry.host).err


def test_nobody_waits_for_the_agent(helped, tls_registry, private):
    """`run` with a helper: its process ends before the container does."""
    login(helped, tls_registry.host)
    helped.ok("pull", "-q", private)
    run = helped.popen("run", "--rm", "--name", "long", private, "sleep", "30",
                       stdout=subprocess.DEVNULL)
    try:
        helped.wait_for(lambda: any(
            each["Names"] == "long" and each["State"] == "running"
            for each in helped.ps()))
        children = children_of(run.pid)
        assert not [name for name in children if "credentials" in name], \
            children
    finally:
        helped.ok("rm", "-f", "long")
        run.wait()
    begin = time.monotonic()
    out = subprocess.run([helped.program, "run", "-d", "--rm", private, "true"],
                         env=helped.env, stdout=subprocess.PIPE, timeout=30)
    assert out.returncode == 0 and time.monotonic() - begin < 20


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        pids = file.read().split()
    names = []
    for each in pids:
        try:
            with open(f"/proc/{each}/cmdline", "rb") as file:
                names.append(file.read().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return names


def test_start_reads_no_credentials(helped, tls_registry, private):
    """An image that is there is run without asking the helper."""
    login(helped, tls_registry.host)
    helped.ok("pull", "-q", private)
    helped.seen.unlink()
    assert helped.ok("run", "--rm", private) == "private"
    assert not helped.seen.exists()


def test_login_fails_when_the_helper_does(helped, tls_registry):
    helped.helper.write_text("#!/bin/sh\necho the keychain is locked\nexit 1\n")
    result = login(helped, tls_registry.host, check=1)
    assert "Login Succeeded" not in result.out
    assert "docker-credential-test: store of" in result.err
    assert "the keychain is locked" in result.err
    assert PASSWORD not in result.err + helped.config.read_text()


def test_identity_token_is_kept_instead_of_the_password(fresh, token_registry,
                                                        tokens, busybox_layer):
    token = tokens.token("bob", ["repository:closed/id:pull,push"])
    oci.Client(token_registry.port, headers={
        "Authorization": f"Bearer {token}"}).put(
            "closed/id:1", oci.Image([busybox_layer]))
    result = login(fresh, token_registry.host, "bob", TOKEN_PASSWORD)
    assert "unencrypted" not in result.err
    entry = json.loads((fresh.home / ".docker/config.json").read_text())[
        "auths"][token_registry.host]
    assert entry["identitytoken"] in tokens.refresh
    assert entry["auth"] == "Ym9iOg=="  # bob:
    tokens.requests.clear()
    fresh.ok("pull", token_registry.name("closed/id:1"))
    assert tokens.seen("POST", "/token")
    again = fresh("login", token_registry.host, check=0)
    assert "Authenticating with existing credentials" in again.err


def test_no_core_of_who_knows_a_password(helped, tls_registry, private):
    """While it waits for the helper it has read the file, and is no use to a
    debugger of the same user."""
    helped.helper.write_text("#!/bin/sh\necho $PPID >$0.pid\nsleep 3\nexit 1\n")
    pull = helped.popen("pull", private, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
    file = helped.helper.with_name(helped.helper.name + ".pid")
    helped.wait_for(lambda: file.exists() and file.read_text().strip())
    try:
        for pid in (pull.pid, int(file.read_text())):
            assert os.stat(f"/proc/{pid}/environ").st_uid != os.getuid()
    finally:
        pull.wait()


def test_file_of_credentials_that_is_damaged(helped, tls_registry, private):
    """Said, and passed over: what is pulled may be free for all."""
    helped.config.write_text('{"auths": {"%s": {"auth": "c2VjcmV0"}}}' %
                             tls_registry.host)
    result = helped("pull", private, check=1)
    assert f'auths["{tls_registry.host}"]' in result.err
    assert "c2VjcmV0" not in result.err
    helped.config.write_text("[]")
    result = helped("pull", private, check=1)
    assert str(helped.config) in result.err


def test_certificates_where_docker_has_them(fresh, tls_registry, ca):
    """certs.d, without a line in moss.conf."""
    result = login(fresh, tls_registry.host, check=1)
    assert "certificate" in result.err
    for directory in ".config/docker", ".config/containers", ".config/moss":
        certificates = fresh.home / directory / "certs.d" / tls_registry.host
        certificates.mkdir(parents=True)
        certificate = certificates / "ca.crt"
        certificate.write_bytes(ca.file.read_bytes())
        login(fresh, tls_registry.host)
        certificate.unlink()
        certificates.rmdir()
    login(fresh, tls_registry.host, check=1)
