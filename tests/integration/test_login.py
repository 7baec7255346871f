"""moss login and logout, and who gets to see the credentials."""
import base64
import json
import os
import stat
import subprocess

import pexpect
import pytest

import faulty
import oci

PASSWORD = "s3cret:word"
TOKEN_PASSWORD = "t0ken:word"


@pytest.fixture
def trusting(fresh, tls_registry, ca):
    """fresh, which trusts the CA of the TLS registry."""
    fresh.conf.write_text(f'[registry "{tls_registry.host}"]\nca = {ca.file}\n')
    return fresh


@pytest.fixture(scope="module")
def image(busybox_layer):
    return oci.Image([busybox_layer, oci.layer(oci.file("marker", "private"))],
                     {"Cmd": ["sh"]})


@pytest.fixture(scope="module")
def private(tls_registry, image):
    tls_registry.client.put("private/box:1", image)
    return tls_registry.name("private/box:1")


@pytest.fixture(scope="module")
def token_images(token_registry, tokens, image):
    """open/box:1 for everybody, closed/box:1 for bob."""
    for name in ("open/box", "closed/box"):
        token = tokens.token("bob", [f"repository:{name}:pull,push"])
        oci.Client(token_registry.port, headers={
            "Authorization": f"Bearer {token}"}).put(f"{name}:1", image)
    return token_registry


def config(moss):
    return json.loads((moss.home / ".docker/config.json").read_text())


def login(moss, host, user="alice", password=PASSWORD, check=0):
    return moss("login", "-u", user, "--password-stdin", host,
                stdin=password + "\n", check=check)


# Passwords

def test_login_pull_logout(trusting, tls_registry, private):
    result = trusting("pull", private, check=1)
    assert "login" in result.err
    result = login(trusting, tls_registry.host)
    assert result.out == "Login Succeeded\n"
    assert "stored unencrypted" in result.err
    assert PASSWORD not in result.err
    file = trusting.home / ".docker/config.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert config(trusting)["auths"] == {tls_registry.host: {
        "auth": base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}}
    trusting.ok("pull", private)
    assert trusting.ok("run", "--rm", private, "cat", "/marker") == "private"
    assert trusting.ok("logout", tls_registry.host) == \
        f"Removing login credentials for {tls_registry.host}"
    assert not config(trusting).get("auths")
    trusting.ok("rmi", private)
    assert trusting("pull", private).code == 1
    trusting.ok("logout", tls_registry.host)  # once more is no error


@pytest.mark.parametrize("user, password", [
    ("alice", "wrong"), ("mallory", PASSWORD), ("alice", "")])
def test_wrong_password(trusting, tls_registry, user, password):
    result = login(trusting, tls_registry.host, user, password, check=1)
    assert result.out == "" and "Succeeded" not in result.err
    if password:
        assert password not in result.err
        assert tls_registry.host in result.err
        assert "401" in result.err or "unauthorized" in result.err
    assert not (trusting.home / ".docker/config.json").exists()


def test_password_on_the_command_line_is_warned_of(trusting, tls_registry):
    result = trusting("login", "-u", "alice", "-p", PASSWORD,
                      tls_registry.host, check=0)
    assert result.out == "Login Succeeded\n"
    assert "WARNING! Using --password via the CLI is insecure. " \
        "Use --password-stdin." in result.err
    result = trusting("login", "-u", "alice", "-p", PASSWORD,
                      "--password-stdin", tls_registry.host, check=1)
    assert "cannot specify both --password and --password-stdin" in result.err
    result = trusting("login", "--password-stdin", tls_registry.host, check=1)
    assert "the --password-stdin option requires --username to be set" in \
        result.err


def test_password_is_asked_for_on_a_terminal(trusting, tls_registry):
    child = pexpect.spawn(trusting.program, ["login", tls_registry.host],
                          env=trusting.env, timeout=10, encoding="utf-8")
    child.expect("Username: ")
    child.sendline("alice")
    child.expect("Password: ")
    child.sendline(PASSWORD)
    child.expect("Login Succeeded")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert config(trusting)["auths"].keys() == {tls_registry.host}


def test_password_is_not_shown_on_a_terminal(trusting, tls_registry):
    child = pexpect.spawn(trusting.program,
                          ["login", "-u", "alice", tls_registry.host],
                          env=trusting.env, timeout=10, encoding="utf-8")
    child.expect("Password: ")
    child.sendline(PASSWORD)
    child.expect(pexpect.EOF)
    assert PASSWORD not in child.before
    # The terminal is as before, also when it is interrupted.
    child = pexpect.spawn("sh", ["-c", f"trap : INT; {trusting.program} login "
                                 f"-u alice {tls_registry.host}; stty -a"],
                          env=trusting.env, timeout=10, encoding="utf-8")
    child.expect("Password: ")
    child.sendintr()
    child.expect(pexpect.EOF)
    assert " echo " in child.before, child.before


def test_no_terminal(trusting, tls_registry):
    result = trusting("login", "-u", "alice", tls_registry.host, check=1)
    assert "annot perform an interactive login from a non TTY device" in \
        result.err


def test_credentials_of_docker_itself(trusting, tls_registry, private):
    """Written by docker: other members and other hosts stay as they are."""
    directory = trusting.home / ".docker"
    directory.mkdir()
    auth = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    (directory / "config.json").write_text(json.dumps({
        "auths": {tls_registry.host: {"auth": auth},
                  "other.example.com": {"auth": "eDp5"}},
        "HttpHeaders": {"X-Meta": "yes"}, "psFormat": "table {{.ID}}"}))
    trusting.ok("pull", private)
    trusting.ok("logout", tls_registry.host)
    assert '\n\t"auths": {\n\t\t"other' in \
        (directory / "config.json").read_text()
    text = config(trusting)
    assert text["auths"] == {"other.example.com": {"auth": "eDp5"}}
    assert text["psFormat"] == "table {{.ID}}"
    assert text["HttpHeaders"] == {"X-Meta": "yes"}


@pytest.mark.parametrize("key", ["https://{}", "https://{}/v1/", "https://{}/v2/",
                                 "http://{}/", "{}"])
def test_old_keys(trusting, tls_registry, private, key):
    directory = trusting.home / ".docker"
    directory.mkdir()
    auth = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    (directory / "config.json").write_text(json.dumps({
        "auths": {key.format(tls_registry.host): {"auth": auth}}}))
    trusting.ok("pull", private)


def test_docker_config_variable(trusting, tls_registry, private, tmp_path):
    trusting.env["DOCKER_CONFIG"] = str(tmp_path / "elsewhere")
    login(trusting, tls_registry.host)
    assert (tmp_path / "elsewhere/config.json").exists()
    assert not (trusting.home / ".docker").exists()
    trusting.ok("pull", private)


def test_link_to_a_config_elsewhere(trusting, tls_registry, tmp_path):
    """Kept in a repository of dot files: the link stays a link."""
    target = tmp_path / "dotfiles.json"
    target.write_text("{}")
    (trusting.home / ".docker").mkdir()
    link = trusting.home / ".docker/config.json"
    link.symlink_to(target)
    login(trusting, tls_registry.host)
    assert link.is_symlink()
    assert tls_registry.host in json.loads(target.read_text())["auths"]


def test_damaged_config(trusting, tls_registry):
    (trusting.home / ".docker").mkdir()
    file = trusting.home / ".docker/config.json"
    file.write_text("{ broken")
    result = login(trusting, tls_registry.host, check=1)
    assert str(file) in result.err
    assert file.read_text() == "{ broken"


def test_podman_s_credentials(trusting, tls_registry, private, tmp_path):
    """containers-auth.json(5), written by podman login."""
    file = tmp_path / "auth.json"
    subprocess.run(["skopeo", "login", "--authfile", file, "--tls-verify=false",
                    "-u", "alice", "--password-stdin", tls_registry.host],
                   input=PASSWORD, text=True, check=True,
                   stdout=subprocess.DEVNULL)
    other = trusting.with_env(REGISTRY_AUTH_FILE=str(file))
    other.ok("pull", private)
    other.ok("rmi", private)
    runtime = tmp_path / "runtime"
    (runtime / "containers").mkdir(parents=True)
    file.rename(runtime / "containers/auth.json")
    trusting.with_env(XDG_RUNTIME_DIR=str(runtime)).ok("pull", private)


def test_skopeo_uses_what_moss_wrote(trusting, tls_registry, private, ca):
    login(trusting, tls_registry.host)
    subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                    f"docker://{private}"], check=True,
                   env=dict(trusting.env), stdout=subprocess.DEVNULL)


# Helpers

HELPER = """#!/bin/sh
# A credential helper: one file a server.
dir=$(dirname "$0")/stored
mkdir -p "$dir"
echo "$1" >>"$dir/../calls"
case $1 in
store) in=$(cat); server=$(printf %s "$in" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/')
    printf %s "$in" >"$dir/$(printf %s "$server" | tr / _)" ;;
get) read -r server; file=$dir/$(printf %s "$server" | tr / _)
    [ -e "$file" ] || { echo "credentials not found in native keychain"; exit 1; }
    cat "$file" ;;
erase) read -r server; rm -f "$dir/$(printf %s "$server" | tr / _)" ;;
list) echo "{}" ;;
esac
"""


@pytest.fixture
def helper(trusting, tmp_path):
    path = tmp_path / "bin/docker-credential-test"
    path.parent.mkdir()
    path.write_text(HELPER)
    path.chmod(0o755)
    trusting.env["PATH"] = f"{path.parent}:{trusting.env['PATH']}"
    return path


@pytest.mark.parametrize("member", ["credsStore", "credHelpers"])
def test_credential_helper(trusting, helper, tls_registry, private, member):
    (trusting.home / ".docker").mkdir()
    (trusting.home / ".docker/config.json").write_text(json.dumps({
        member: "test" if member == "credsStore" else
        {tls_registry.host: "test"}}))
    result = login(trusting, tls_registry.host)
    assert "unencrypted" not in result.err
    assert PASSWORD not in (trusting.home / ".docker/config.json").read_text()
    assert "auth" not in config(trusting).get("auths", {}).get(
        tls_registry.host, {})
    stored = list((helper.parent / "stored").iterdir())
    assert len(stored) == 1
    assert json.loads(stored[0].read_text()) == {
        "ServerURL": tls_registry.host, "Username": "alice",
        "Secret": PASSWORD}
    trusting.ok("pull", private)
    trusting.ok("logout", tls_registry.host)
    assert not list((helper.parent / "stored").iterdir())
    assert {"store", "get", "erase"} <= \
        set((helper.parent / "calls").read_text().split())


@pytest.mark.parametrize("script", [
    "exit 3", "echo garbage", "yes", "kill -9 $$", "echo '{\"Username\":5}'",
    None])
def test_helper_that_fails(trusting, helper, tls_registry, private, script):
    if script is None:
        helper.unlink()
    else:
        helper.write_text(f"#!/bin/sh\n{script}\n")
    (trusting.home / ".docker").mkdir()
    (trusting.home / ".docker/config.json").write_text(
        '{"credsStore": "test"}')
    result = trusting("pull", private, check=1, timeout=20)
    assert len(result.err.splitlines()) <= 3
    assert "docker-credential-test" in result.err or "login" in result.err


def test_helper_names_are_no_paths(trusting, tls_registry, private, tmp_path):
    """credsStore names a program in PATH, nothing else."""
    program = tmp_path / "docker-credential-x"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    (trusting.home / ".docker").mkdir()
    (trusting.home / ".docker/config.json").write_text(json.dumps(
        {"credsStore": f"x/../../{tmp_path}/docker-credential-x"}))
    trusting("pull", private, check=1)
    assert not (tmp_path / "ran").exists()


# Tokens

def test_anonymous_token(fresh, token_images, tokens):
    fresh.ok("pull", token_images.name("open/box:1"))
    result = fresh("pull", token_images.name("closed/box:1"), check=1)
    assert "login" in result.err and "closed/box" in result.err


def test_token_login(fresh, token_images, tokens, image):
    host = token_images.host
    result = login(fresh, host, "bob", "wrong", check=1)
    assert "wrong" not in result.err
    assert login(fresh, host, "bob", TOKEN_PASSWORD).out == "Login Succeeded\n"
    name = token_images.name("closed/box:1")
    tokens.requests.clear()
    fresh.ok("pull", name)
    scopes = [each.path for each in tokens.seen("GET", "scope=")]
    assert not scopes or any("closed%2Fbox%3Apull" in path or
                             "closed/box:pull" in path for path in scopes)
    assert len(tokens.requests) <= 3, "a token serves for many requests"
    fresh.ok("tag", name, token_images.name("closed/new:2"))
    out = fresh.ok("push", token_images.name("closed/new:2"))
    assert "2: digest: " in out
    token = tokens.token("bob", ["repository:closed/new:pull"])
    client = oci.Client(token_images.port,
                        headers={"Authorization": f"Bearer {token}"})
    assert client.manifest("closed/new:2")[2]["config"]["digest"] == image.id


def test_mount_asks_for_both_repositories(fresh, token_images, tokens):
    login(fresh, token_images.host, "bob", TOKEN_PASSWORD)
    name = token_images.name("closed/box:1")
    fresh.ok("pull", "-q", name)
    fresh.ok("tag", name, token_images.name("closed/mounted:1"))
    out = fresh.ok("push", token_images.name("closed/mounted:1"))
    assert out.count("Mounted from closed/box") == 2


def test_push_without_the_right(fresh, token_images, tokens):
    """Anonymous may read: the refusal says what to do."""
    name = token_images.name("open/box:1")
    fresh.ok("pull", "-q", name)
    result = fresh("push", name, check=1)
    assert "denied" in result.err or "login" in result.err


def test_login_again_with_what_is_kept(trusting, tls_registry):
    login(trusting, tls_registry.host)
    result = trusting("login", tls_registry.host, check=0)
    assert "Authenticating with existing credentials..." in \
        result.out + result.err
    assert "Login Succeeded" in result.out


def test_short_lived_tokens(fresh, token_images, tokens):
    """One that is too old in the middle of the work is replaced."""
    login(fresh, token_images.host, "bob", TOKEN_PASSWORD)
    with faulty.FaultyProxy(token_images.port) as proxy:
        fresh.env["HOME"] = str(fresh.home)
        (fresh.home / ".docker/config.json").write_text(json.dumps({"auths": {
            proxy.host: {"auth": base64.b64encode(
                f"bob:{TOKEN_PASSWORD}".encode()).decode()}}}))
        proxy.fault("GET", "/blobs/", faulty.status(
            401, WWW_Authenticate=f'Bearer realm="{tokens.realm}",'
            f'service="{tokens.service}",scope="repository:closed/box:pull",'
            'error="invalid_token"'), times=1)
        fresh.ok("pull", proxy.name("closed/box:1"))


def test_identity_token(fresh, token_images, tokens):
    """An OAuth 2 refresh token, as `docker login` of some clouds leaves it."""
    tokens.refresh["refresh-me"] = "bob"
    (fresh.home / ".docker").mkdir()
    (fresh.home / ".docker/config.json").write_text(json.dumps({"auths": {
        token_images.host: {"auth": base64.b64encode(
            b"bob:").decode(), "identitytoken": "refresh-me"}}}))
    tokens.requests.clear()
    fresh.ok("pull", token_images.name("closed/box:1"))
    assert tokens.seen("POST", "/token")


# Who sees them

def test_not_in_the_process_list(trusting, tls_registry, private):
    """Neither in arguments nor in the environment, also of the helper."""
    login(trusting, tls_registry.host)
    encoded = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    pull = trusting.popen("pull", private, stdout=subprocess.DEVNULL)
    seen = ""
    while pull.poll() is None:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ", "comm"):
                try:
                    text = open(f"/proc/{pid}/{name}", errors="replace").read()
                except OSError:
                    continue
                if "moss" in text:
                    seen += text
    assert "pull" in seen
    assert PASSWORD not in seen and encoded not in seen


def test_login_sends_them_nowhere_else(fresh, registry, proxy):
    """Credentials of one host are not shown to another."""
    (fresh.home / ".docker").mkdir()
    auth = base64.b64encode(b"alice:private").decode()
    (fresh.home / ".docker/config.json").write_text(json.dumps({"auths": {
        "localhost": {"auth": auth}, "docker.io": {"auth": auth},
        "https://index.docker.io/v1/": {"auth": auth},
        f"localhost:{proxy.port + 1}": {"auth": auth},
        f"127.0.0.1:{proxy.port}": {"auth": auth}}}))
    proxy.fault("*", "", faulty.status(
        401, WWW_Authenticate='Basic realm="give me"'))
    fresh("pull", proxy.name("team/box:1"), check=1)
    assert proxy.requests
    assert not [each for each in proxy.requests
                if "authorization" in each.headers]


def test_mirror_does_not_get_the_registry_s_credentials(fresh, proxy):
    (fresh.home / ".docker").mkdir()
    auth = base64.b64encode(b"alice:private").decode()
    (fresh.home / ".docker/config.json").write_text(json.dumps({"auths": {
        "registry.invalid": {"auth": auth}}}))
    fresh.conf.write_text('[registry "registry.invalid"]\n'
                          f"mirror = {proxy.url}\n")
    proxy.fault("*", "", faulty.status(
        401, WWW_Authenticate='Basic realm="give me"'))
    fresh("pull", "registry.invalid/team/box:1", check=1)
    assert proxy.requests
    assert not [each for each in proxy.requests
                if "authorization" in each.headers]


def test_login_over_plain_http_elsewhere_is_refused(fresh):
    """Without `insecure` no password leaves in the clear."""
    with faulty.FaultyProxy(1) as forward:
        fresh.env.update(http_proxy=forward.url)
        login(fresh, "registry.invalid:5000", check=1)
        assert not forward.requests


def test_without_a_server_it_is_docker_hub(fresh):
    """Under the key that docker uses."""
    (fresh.home / ".docker").mkdir()
    (fresh.home / ".docker/config.json").write_text(json.dumps({"auths": {
        "https://index.docker.io/v1/": {"auth": "eDp5"}}}))
    assert fresh.ok("logout") == \
        "Removing login credentials for https://index.docker.io/v1/"
    assert not config(fresh).get("auths")
