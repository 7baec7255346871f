"""Lists of containers, images and volumes: columns, formats and filters as
docker's client has them."""
import json
import re

import pytest


@pytest.fixture(scope="module")
def busy(session_moss):
    """Containers in several states: running up, dead end (3) and new."""
    moss = session_moss
    moss.ok("run", "-d", "--name", "up", "-l", "tier=web", "-p",
            "127.0.0.1::80", "--expose", "9000-9001", "-v", "data:/data",
            "busybox", "sleep", "1000")
    moss("run", "--name", "end", "-l", "tier=db", "busybox", "sh", "-c",
         "exit 3")
    moss.ok("create", "--name", "new", "busybox", "true")
    yield moss
    moss.remove_all()
    moss("volume", "rm", "data")


def names(moss, *args):
    return moss.ok("ps", "--format", "{{.Names}}", *args).split()


@pytest.mark.parametrize("args, expected", [
    ([], ["up"]),
    (["-a"], ["new", "end", "up"]),
    (["-l"], ["new"]),
    (["-n", "2"], ["new", "end"]),
    (["-n", "0"], []),
    (["-n", "-5"], ["up"]),
    (["-a", "-f", "status=exited"], ["end"]),
    (["-f", "status=created"], ["new"]),
    (["-f", "status=created", "-f", "status=running"], ["new", "up"]),
    (["-f", "exited=3"], ["end"]),
    (["-f", "exited=0"], []),
    (["-a", "-f", "name=^en"], ["end"]),
    (["-a", "-f", "label=tier"], ["end", "up"]),
    (["-a", "-f", "label=tier=web"], ["up"]),
    (["-a", "-f", "label=tier", "-f", "label=tier=db"], ["end"]),
    (["-a", "-f", "before=end"], ["up"]),
    (["-a", "-f", "since=end"], ["new"]),
    (["-f", "before=new"], ["up"]),
    (["-f", "since=up"], []),
    (["-a", "-f", "before=new", "-f", "since=up"], ["end"]),
    (["-a", "-f", "volume=data"], ["up"]),
    (["-a", "-f", "volume=/data"], ["up"]),
    (["-f", "publish=PORT"], ["up"]),
    (["-f", "publish=1024-65535/tcp"], ["up"]),
    (["-f", "publish=PORT/udp"], []),
    (["-f", "publish=80"], []),
    (["-f", "publish=80", "-f", "expose=80"], ["up"]),
    (["-a", "-f", "publish=1-65535"], ["up"]),
    (["-f", "expose=9001"], ["up"]),
    (["-f", "expose=80"], ["up"]),
    (["-f", "health=none"], ["up"]),
    (["-f", "is-task=false"], ["up"]),
    (["-f", "is-task=true"], []),
    (["-f", "isolation=default"], ["up"]),
    (["-a", "-f", "ancestor=busybox"], ["new", "end", "up"]),
    (["-a", "-f", "ancestor=other"], []),
])
def test_ps_chooses(busy, args, expected):
    port = busy.ok("port", "up", "80").rpartition(":")[2]
    args = [arg.replace("PORT", port) for arg in args]
    assert names(busy, *args) == expected


def test_ps_columns(busy):
    lines = busy.ok("ps", "-a").splitlines()
    assert re.split(r"   +", lines[0]) == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS",
        "NAMES"]
    starts = [lines[0].index(word) for word in
              ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS",
               "PORTS", "NAMES")]
    rows = [[line[a:b].strip() for a, b in zip(starts, starts[1:] + [None])]
            for line in lines[1:]]
    new, end, up = rows
    assert new[4] == "Created" and new[6] == "new"
    assert re.fullmatch(r"Exited \(3\) .* ago", end[4])
    assert end[2] == "\"sh -c 'exit 3'\""
    assert re.fullmatch(r"Up .*", up[4]) and up[1] == "busybox"
    port = busy.ok("port", "up", "80").split(":")[1]
    assert up[5] == f"9000-9001/tcp, 127.0.0.1:{port}->80/tcp"
    assert busy.ok("ps", "-as").splitlines()[0].endswith("SIZE")


@pytest.mark.parametrize("args", [["-a"], ["-a", "--no-trunc"], [], ["-n2"]])
def test_ps_without_format_reads_less_and_shows_the_same(busy, args):
    columns = ["ID", "Image", "Command", "RunningFor", "Status", "Ports",
               "Names"]
    table = "table " + "\t".join(f"{{{{.{name}}}}}" for name in columns)

    def shown(*more):
        """Without the times, which go on from one call to the next."""
        text = re.sub(r"Less than a second|About a minute|\d+ (second|minute)s?",
                      "a while", busy.ok("ps", *args, *more))
        return re.sub(" +", " ", text)

    assert shown() == shown("--format", table)
    assert "a while" in shown()
    assert busy.ok("ps", "-q", *args) == busy.ok("ps", *args, "--format",
                                                 "{{.ID}}")


def test_ps_members_are_dockers(busy):
    row = busy.ps()[0]
    assert sorted(row) == [
        "Command", "CreatedAt", "ID", "Image", "Labels", "LocalVolumes",
        "Mounts", "Names", "Networks", "Platform", "Ports", "RunningFor",
        "Size", "State", "Status"]
    assert row["Platform"] is None
    assert all(isinstance(value, str) for name, value in row.items()
               if name != "Platform")
    assert row["LocalVolumes"] == "1" and row["Mounts"] == "data"
    assert row["Networks"] and row["State"] == "running"


def test_quiet_and_a_format(busy):
    result = busy("ps", "-q", "--format", "{{.Names}}", check=0)
    assert re.fullmatch(r"[0-9a-f]{12}\n", result.out)
    assert "Ignoring custom format, because both --format and --quiet are " \
           "set." in result.err
    assert busy("images", "-q", "--format", "{{.Repository}}", "busybox",
                check=0).out == "busybox\n"
    assert busy("volume", "ls", "-q", "--format", "{{.Driver}}",
                check=0).out == "local\n"


def test_formats_of_the_users_config(busy, tmp_path):
    config = {"psFormat": "{{.Names}}!", "imagesFormat": "{{.Repository}}!",
              "volumesFormat": "{{.Name}}!", "networksFormat": "{{.Name}}!",
              "statsFormat": "{{.Name}}!"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    moss = busy.with_env(DOCKER_CONFIG=str(tmp_path))
    assert moss.ok("ps") == "up!"
    assert moss.ok("images", "busybox") == "busybox!"
    assert "data!" in moss.ok("volume", "ls").splitlines()
    assert "none!" in moss.ok("network", "ls").splitlines()
    assert moss.ok("stats", "--no-stream") == "up!"
    # What is asked for on the command line wins.
    assert moss.ok("ps", "--format", "{{.State}}") == "running"
    assert "!" not in moss.ok("ps", "-q")
    assert moss.ok("ps", "--format", "table").startswith("CONTAINER ID")
    (tmp_path / "config.json").write_text("{")
    broken = moss("ps", check=0)
    assert broken.out.startswith("CONTAINER ID") and "WARNING" in broken.err


@pytest.mark.parametrize("args, first", [
    (["ps", "-a"], "container_id: "),
    (["images"], "repository: "),
    (["volume", "ls"], "name: "),
    (["network", "ls"], "network_id: "),
    (["system", "df"], "type: Images"),
])
def test_raw_format(busy, args, first):
    assert busy.ok(*args, "--format", "raw").startswith(first)


# Those below leave no container behind, of those above neither.

def test_ps_by_ancestor(moss):
    """By the image, whatever it is called, and by what is built on it."""
    moss.ok("run", "--name", "anc-one", "busybox", "touch", "/new")
    moss.ok("commit", "anc-one", "child")
    moss.ok("create", "--name", "anc-two", "child", "true")
    id = moss.ok("images", "-q", "busybox")
    child = moss.ok("images", "-q", "--no-trunc", "child")

    def found(image):
        return names(moss, "-a", "-f", "name=^anc-", "-f",
                     f"ancestor={image}")

    for image in ("busybox", "busybox:latest", "docker.io/library/busybox",
                  id):
        assert found(image) == ["anc-two", "anc-one"], image
    for image in ("child", child, child[:20]):
        assert found(image) == ["anc-two"], image
    assert found("nosuch") == []
    # The container keeps its image when the name goes to another.
    moss.ok("tag", "busybox", "child")
    assert found(child) == ["anc-two"]
    moss.ok("rm", "anc-one", "anc-two")
    moss.ok("rmi", "-f", "child")


@pytest.mark.parametrize("filter, message", [
    ("name", "bad format of filter (expected name=value)"),
    ("colour=red", "invalid filter 'colour'"),
    ("status=busy", "invalid filter 'status=busy'"),
    ("exited=x", "invalid filter 'exited=x'"),
    ("health=fine", "invalid filter 'health=fine'"),
    ("is-task=x", "invalid filter 'is-task=x'"),
    ("publish=x", "invalid filter 'publish=x'"),
    ("publish=90-80", "invalid filter 'publish=90-80'"),
    ("expose=80/xyz", "invalid filter 'expose=80/xyz'"),
    ("expose=70000", "invalid filter 'expose=70000'"),
    ("before=nobody", "No such container: nobody"),
    ("since=nobody", "No such container: nobody"),
])
def test_ps_refuses(moss, filter, message):
    result = moss("ps", "-f", filter)
    assert result.code != 0 and message in result.err and not result.out


def test_ps_truncates(moss):
    moss.ok("create", "--name", "long", "busybox", "echo", "a" * 40)
    row = moss.ps("-a")[0]
    whole = moss.ps("-a", "--no-trunc")[0]
    assert row["Command"] == '"echo aaaaaaaaaaaaaa…"'
    assert whole["Command"] == '"echo ' + "a" * 40 + '"'
    assert len(row["ID"]) == 12 and len(whole["ID"]) == 64
    assert whole["ID"].startswith(row["ID"])


def test_ps_shows_ids_of_images(moss):
    id = moss.ok("images", "-q", "--no-trunc", "busybox")
    moss.ok("create", "--name", "by-id", id, "true")
    assert moss.ps("-a")[0]["Image"] == id[len("sha256:"):][:12]
    assert moss.ps("-a", "--no-trunc")[0]["Image"] == id


@pytest.mark.parametrize("command, code", [
    (["ps"], 1), (["images"], 1), (["volume", "ls"], 1), (["network", "ls"], 1),
    (["system", "df"], 1), (["system", "df", "-v"], 1),
    (["history", "busybox"], 1), (["inspect", "busybox"], 64), (["info"], 64),
    (["version"], 64),
])
def test_wrong_templates(moss, command, code):
    for template, message in [
            ("{{.ID", "template parsing error: template: :1: unclosed action"),
            ("{{nosuch .}}", 'function "nosuch" not defined'),
            ("{{.}}{{end}}", "unexpected {{end}}")]:
        result = moss(*command, "--format", template)
        assert result.code == code and message in result.err
        assert not result.out
