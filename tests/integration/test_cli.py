"""The command line itself: listings, formats, help, completion, bad usage."""
import io
import json
import os
import re
import signal
import subprocess

import pexpect
import pytest

from conftest import wait_for


@pytest.fixture
def www(moss, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "www", "-p", f"127.0.0.1:{port}:80", "-p",
            f"127.0.0.1:{free_port()}:53/udp", "-l", "com.example.site-name=one",
            "-v", "cli-data:/data", "busybox", "sleep", "1000")
    yield port
    moss.ok("rm", "-f", "www")
    moss.ok("volume", "rm", "-f", "cli-data")


# ---- images ----

def test_images_columns_and_ids(moss):
    header, *rows = moss.ok("images", "busybox").splitlines()
    assert re.split(r"\s{2,}", header) == ["REPOSITORY", "TAG", "IMAGE ID",
                                           "CREATED", "SIZE"]
    (row,) = rows
    short = re.split(r"\s{2,}", row)[2]
    whole = moss.ok("images", "-q", "--no-trunc", "busybox")
    assert re.fullmatch("[0-9a-f]{12}", short)
    assert re.fullmatch("sha256:[0-9a-f]{64}", whole)
    assert whole.startswith("sha256:" + short)
    assert moss.ok("images", "-q", "busybox") == short


def test_images_operand_and_filters(moss):
    moss.ok("tag", "busybox", "cli/other:2")
    try:
        names = lambda *args: moss.ok(
            "images", "--format", "{{.Repository}}:{{.Tag}}", *args).split()
        assert names("cli/other") == ["cli/other:2"]
        assert names("cli/other:3") == []
        assert names("docker.io/cli/other") == ["cli/other:2"]
        assert names("-f", "reference=cli/*") == ["cli/other:2"]
        assert names("-f", "dangling=true") == []
        assert "busybox:latest" in names("-f", "until=2038-01-01")
        assert names("-f", "until=2001-01-01") == []
        assert "cli/other:2" not in names("-f", "since=busybox")
        result = moss("images", "-f", "nosuch=1")
        assert result.code == 1 and "invalid filter 'nosuch'" in result.err
    finally:
        moss.ok("rmi", "cli/other:2")


def test_dangling_image(moss, busybox_tar):
    image = moss.ok("import", busybox_tar)
    try:
        row = json.loads(moss.ok("images", "-f", "dangling=true", "--format",
                                 "json", "--no-trunc"))
        assert row["ID"] == image
        assert (row["Repository"], row["Tag"]) == ("<none>", "<none>")
    finally:
        moss.ok("rmi", image)


def test_images_digests(moss):
    out = moss.ok("images", "--digests", "--format",
                  "{{.Repository}} {{.Digest}}", "busybox")
    assert re.fullmatch(r"busybox sha256:[0-9a-f]{64}", out)


# ---- inspect ----

def test_inspect_prints_what_it_finds(moss, www):
    result = moss("inspect", "www", "nosuch", "busybox")
    assert result.code == 1
    assert [("State" in o, "RootFS" in o) for o in json.loads(result.out)] == \
        [(True, False), (False, True)]
    assert result.err == "moss: No such object: nosuch\n"
    result = moss("inspect", "nosuch")
    assert (result.code, result.out) == (1, "[]\n")


def test_inspect_kinds(moss, www):
    assert json.loads(moss.ok("inspect", "cli-data"))[0]["Driver"] == "local"
    assert moss("inspect", "--type", "image", "www").code == 1
    assert moss("container", "inspect", "busybox").code == 1
    assert moss("image", "inspect", "www").code == 1
    assert json.loads(moss.ok("container", "inspect", "www"))[0]["Name"] == "/www"
    result = moss("inspect", "--type", "fish", "www")
    assert result.code == 1 and 'unknown type: "fish"' in result.err
    assert moss("image", "inspect", "--type", "image", "busybox").code == 125


def test_inspect_templates(moss, www):
    inspect = lambda template: moss.ok("inspect", "-f", template, "www")
    assert inspect("{{.Name}} {{.State.Running}}") == "/www true"
    assert inspect('{{(index (index .NetworkSettings.Ports "80/tcp") 0)'
                   '.HostPort}}') == str(www)
    assert inspect("{{range .Mounts}}{{.Name}}:{{.Destination}}{{end}}") == \
        "cli-data:/data"
    assert inspect('{{index .Config.Labels "com.example.site-name"}}') == "one"
    assert inspect('{{index .Config.Labels "nosuch"}}') == ""
    assert inspect("{{if .State.Health}}h{{else}}none{{end}}") == "none"
    assert json.loads(inspect("{{json .State}}"))["Running"] is True
    result = moss("inspect", "-f", "{{.Nope}}", "www")
    assert result.code == 1 and '"Nope"' in result.err
    result = moss("inspect", "-f", "{{.Name", "www")
    assert result.code == 64 and "unclosed action" in result.err


def test_inspect_size(moss, www):
    (data,) = json.loads(moss.ok("inspect", "-s", "www"))
    assert data["SizeRootFs"] > 1000000 and data["SizeRw"] >= 0
    assert "SizeRw" not in moss.inspect("www")


# ---- ps ----

def test_ps_labels_and_sizes(moss, www):
    table = moss.ok("ps", "--format",
                    'table {{.Names}}\t{{.Label "com.example.site-name"}}')
    assert [line.split() for line in table.splitlines()] == \
        [["NAMES", "site", "name"], ["www", "one"]]
    assert "virtual" in moss.ok("ps", "--format", "{{.Size}}")
    assert "virtual 0B" not in moss.ok("ps", "--format", "{{.Size}}")
    row = json.loads(moss.ok("ps", "--format", "json"))
    assert row["Mounts"] == "cli-data" and row["LocalVolumes"] == "1"


@pytest.mark.parametrize("filter", ["exited=x", "status=sleeping", "nosuch=1",
                                    "status"])
def test_ps_wrong_filters(moss, filter):
    result = moss("ps", "-f", filter)
    assert result.code == 1 and result.out == "" and "filter" in result.err


def test_hostile_values_do_not_steer_the_terminal(moss):
    moss.ok("create", "--name", "evil", "-l", "x=\033[2Jgone", "busybox", "sh",
            "\033]0;title\a")
    out = moss.ok("ps", "-a", "--no-trunc", "--format",
                  "table {{.Command}}\t{{.Labels}}")
    assert "\033" not in out and "\a" not in out
    assert "\033" not in moss.ok("ps", "-a")
    result = moss("run", "--rm", "\033[2J")
    assert "\033" not in result.err and "[2J" in result.err


# ---- port ----

def test_port(moss, www):
    lines = moss.ok("port", "www").splitlines()
    assert lines[1] == f"80/tcp -> 127.0.0.1:{www}"
    assert lines[0].startswith("53/udp -> 127.0.0.1:")
    for spelling in ("80", "80/tcp", "80/TCP"):
        assert moss.ok("port", "www", spelling) == f"127.0.0.1:{www}"
    result = moss("port", "www", "81")
    assert result.code == 1
    assert "no public port '81' published for www" in result.err
    result = moss("port", "www", "http")
    assert result.code == 1 and "invalid port (http)" in result.err


# ---- logs ----

@pytest.fixture
def talker(moss):
    moss.ok("run", "--name", "talker", "busybox", "sh", "-c",
            "echo one; echo two; sleep 1.2; echo three; echo bad >&2")


def test_logs_tail_and_times(moss, talker):
    assert moss.ok("logs", "-n", "2", "talker") == "three"
    assert moss.ok("logs", "-n", "0", "talker") == ""
    assert moss.ok("logs", "--tail", "all", "talker") == "one\ntwo\nthree"
    first, _, third = (line.split()[0] for line in
                       moss.ok("logs", "-t", "talker").splitlines())
    assert moss.ok("logs", "--since", third, "talker") == "three"
    # What is written at once has one time.
    assert moss.ok("logs", "--until", first, "talker") in ("one", "one\ntwo")
    assert moss.ok("logs", "--since", "1h", "talker") == "one\ntwo\nthree"
    assert moss.ok("logs", "--until", "1h", "talker") == ""
    assert moss.ok("logs", "--details", "-n", "2", "talker") == " three"
    for args in (["-n", "x"], ["--since", "yesterday"], ["--until", "12:30"]):
        result = moss("logs", *args, "talker")
        assert result.code == 1 and args[1] in result.err


def test_logs_order_in_one_file(moss, talker):
    out = subprocess.run([moss.program, "logs", "talker"], env=moss.env,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, check=True).stdout
    assert sorted(out.split()[-2:]) == ["bad", "three"]
    assert out.split()[:2] == ["one", "two"]


def test_logs_follow_ends_with_its_reader(moss):
    moss.ok("run", "-d", "--name", "quiet", "busybox", "sh", "-c",
            "echo first; sleep 1000")
    process = moss.popen("logs", "-f", "quiet", stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    assert process.wait(5) == -signal.SIGPIPE
    assert process.stderr.read() == b""


def test_logs_follow_ends_with_removal(moss):
    moss.ok("run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "1000")
    process = moss.popen("logs", "-f", "brief", stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    moss.ok("rm", "-f", "brief")
    assert process.wait(10) == 0


def test_logs_of_a_terminal_are_raw(moss):
    child = pexpect.spawn(moss.program, ["run", "-t", "--name", "tty", "busybox",
                                         "sh", "-c", "echo out; echo err >&2"],
                          env={k: str(v) for k, v in moss.env.items()},
                          timeout=15)
    child.expect(pexpect.EOF)
    child.close()
    result = moss("logs", "tty", check=0, text=False)
    assert (result.out, result.err) == (b"out\r\nerr\r\n", b"")


# ---- volumes ----

def test_volume_commands(moss):
    assert moss.ok("volume", "create", "--label", "kind=x", "cli-a") == "cli-a"
    anonymous = moss.ok("volume", "create")
    assert re.fullmatch("[0-9a-f]{64}", anonymous)
    header, *_ = moss.ok("volume", "ls").splitlines()
    assert re.split(r"\s{2,}", header) == ["DRIVER", "VOLUME NAME"]
    assert moss.ok("volume", "ls", "-q", "-f", "label=kind") == "cli-a"
    assert moss.ok("volume", "ls", "-q", "-f", "name=cli-") == "cli-a"
    assert moss.ok("volume", "ls", "--format", '{{.Name}} {{.Label "kind"}}',
                   "-f", "name=cli-") == "cli-a x"
    path = moss.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "cli-a")
    assert os.path.isdir(path)
    moss.ok("create", "--name", "user", "-v", "cli-a:/a", "busybox", "true")
    assert moss.ok("volume", "ls", "-q", "-f", "dangling=false") == "cli-a"
    result = moss("volume", "rm", "cli-a", anonymous)
    assert result.code == 1 and result.out == anonymous + "\n"
    assert "in use" in result.err
    moss.ok("rm", "user")
    assert moss.ok("volume", "rm", "cli-a") == "cli-a"
    assert moss("volume", "rm", "cli-a").code == 1
    moss.ok("volume", "rm", "-f", "cli-a")
    assert "no such volume" in moss("volume", "inspect", "cli-a").err


@pytest.mark.parametrize("args, message", [
    (["-d", "nfs", "x"], "nfs"), (["-o", "type=tmpfs", "xx"], "type=tmpfs"),
    (["bad/name"], "bad/name"), (["a", "b"], "at most 1 argument"),
])
def test_volume_create_refuses(moss, args, message):
    result = moss("volume", "create", *args)
    assert result.code == 1 and message in result.err
    assert moss.ok("volume", "ls", "-q") == ""


# ---- info, version, help ----

def test_info(moss, www):
    out = moss.ok("info")
    assert re.search(r"^ Containers: 1$", out, re.M)
    assert re.search(r"^  Running: 1$", out, re.M)
    assert re.search(r"^ Storage Driver: (overlay|fuse-overlayfs)$", out, re.M)
    assert f" Docker Root Dir: {moss.root}" in out
    assert moss.ok("info", "-f", "{{.ContainersRunning}}") == "1"
    assert json.loads(moss.ok("system", "info", "--format", "json"))["NCPU"] > 0


def test_version(moss):
    version = moss.ok("--version").split()[-1]
    assert version in moss.ok("version")
    assert moss.ok("version", "-f", "{{.Client.Version}} {{.Server.Version}}") \
        == f"{version} {version}"
    assert moss("version", "-f", "{{").code == 64


def test_help(moss):
    overview = moss.ok("help")
    assert overview == moss.ok("--help") == moss.ok()
    assert "volume-create" not in overview and "__" not in overview
    for line in re.findall(r"^  ([a-z]+) +[A-Z]", overview, re.M):
        assert moss.ok(line, "--help").startswith(f"Usage:  moss {line} ")
    assert moss.ok("help", "volume", "create") == \
        moss.ok("volume", "create", "--help")
    assert moss.ok("help", "volume") == moss.ok("volume", "--help")
    assert moss.ok("container", "ls", "--help").startswith(
        "Usage:  moss container ls [OPTIONS]")
    result = moss("help", "nosuch")
    assert result.code == 1 and "unknown help topic: nosuch" in result.err


@pytest.mark.parametrize("args, code, message", [
    (["nosuch"], 1, "unknown command: moss nosuch"),
    (["volume", "nosuch"], 1, "unknown command: moss volume nosuch"),
    (["volume-create"], 1, "unknown command: moss volume-create"),
    (["--nosuch"], 125, "unknown flag: --nosuch"),
    (["ps", "--nosuch"], 125, "unknown flag: --nosuch"),
    (["ps", "-Z"], 125, "unknown shorthand flag: 'Z' in -Z"),
    (["ps", "-n", "x"], 125, 'invalid argument "x" for "-n, --last" flag'),
    (["ps", "x"], 1, "'moss ps' accepts no arguments"),
    (["container", "rm"], 1,
     "'moss container rm' requires at least 1 argument"),
    (["rename", "x"], 1, "'moss rename' requires 2 arguments"),
    (["port"], 1, "'moss port' requires at least 1 argument"),
])
def test_wrong_usage(moss, args, code, message):
    result = moss(*args)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"moss: {message}")
    assert "--help' for more information" in result.err


def test_full_standard_output(moss):
    with open("/dev/full", "w") as full:
        process = subprocess.run([moss.program, "images"], env=moss.env,
                                 stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1 and "No space left" in process.stderr


@pytest.mark.parametrize("args", [
    ["help"], ["completion", "zsh"], ["images"],
    ["run", "--rm", "busybox", "seq", "1", "100000"]])
def test_reader_that_has_seen_enough(moss, args):
    reader, writer = os.pipe()
    os.close(reader)
    process = moss.popen(*args, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert process.wait(10) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    wait_for(lambda: moss.ok("ps", "-aq") == "", "the container's end")


# ---- completion ----

def bash_complete(moss, line):
    """What bash offers for the line, with only moss's script loaded."""
    script = f"""
        PATH={os.path.dirname(moss.program)}:$PATH
        source <(moss completion bash)
        COMP_LINE=$1 COMP_POINT=${{#1}}
        COMP_WORDS=($1) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _moss 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    out = subprocess.run(["bash", "-c", script, "bash", line], env=moss.env,
                         text=True, check=True, stdout=subprocess.PIPE).stdout
    return out.split()


def test_completion_of_bash(moss, www):
    assert bash_complete(moss, "moss vol") == ["volume"]
    assert set(bash_complete(moss, "moss volume ")) >= {"create", "inspect",
                                                        "ls", "rm"}
    assert "--network" in bash_complete(moss, "moss run --netw")
    assert "host" in bash_complete(moss, "moss run --network ")
    assert bash_complete(moss, "moss run --network=ho") == ["host"]
    assert "busybox:latest" in bash_complete(moss, "moss run -it --name x ")
    assert bash_complete(moss, "moss run busybox l") == []
    assert bash_complete(moss, "moss exec ww") == ["www"]
    assert "cli-data" in bash_complete(moss, "moss volume rm ")
    assert bash_complete(moss, "moss rm --fo") == ["--force"]
    assert "busybox:latest" in bash_complete(moss, "moss history bus")
    assert "busybox:latest" in bash_complete(moss, "moss image inspect bus")
    assert bash_complete(moss, "moss system d") == ["df", "doctor"]
    assert bash_complete(moss, "moss image prune --al") == ["--all"]
    # Options before the command.
    assert bash_complete(moss, "moss --con") == ["--config"]
    assert bash_complete(moss, "moss --config /et") == ["/etc"]
    assert bash_complete(moss, "moss --config /etc vol") == ["volume"]
    assert bash_complete(moss, "moss --config=/etc exec ww") == ["www"]


def offered(moss, command):
    return bash_complete(moss, f"moss {command} ")


def test_completion_knows_states(moss):
    for name in ("up", "held", "end"):
        moss.ok("run", "-d", "--name", f"is-{name}", "busybox", "sleep", "100")
    moss.ok("create", "--name", "is-new", "busybox", "true")
    moss.ok("pause", "is-held")
    moss.ok("kill", "is-end")
    moss.ok("wait", "is-end")
    everything = {"is-up", "is-held", "is-end", "is-new"}
    for command, names in [
            ("start", {"is-end", "is-new"}),
            ("exec", {"is-up"}), ("pause", {"is-up"}),
            ("stop", {"is-up", "is-held"}), ("kill", {"is-up", "is-held"}),
            ("unpause", {"is-held"}), ("top", {"is-up", "is-held"}),
            ("rm", everything), ("logs", everything),
            ("inspect --type container", everything),
            ("container inspect", everything)]:
        assert {name for name in offered(moss, command)
                if name.startswith("is-")} == names, command
    assert "TERM" in bash_complete(moss, "moss kill -s ")
    assert bash_complete(moss, "moss run --cap-add NET_B") == [
        "NET_BIND_SERVICE"]
    assert "network" in bash_complete(moss, "moss inspect --type ")
    moss.ok("unpause", "is-held")


def test_completion_offers_no_hostile_names(moss, tmp_path):
    """A record that somebody else has written in: nothing is expanded."""
    id = moss.ok("create", "--name", "is-named", "busybox", "true")
    record = moss.root / "containers" / id / "container.json"
    text = record.read_text()
    assert text.count('"/is-named"') == 1
    record.write_text(text.replace(
        '"/is-named"', f'"/is-$(touch {tmp_path}/owned)`id`"'))
    # It is listed, so that it would be offered.
    assert "touch" in moss.ok("ps", "-a", "--format", "{{.Names}}")
    for command in ("rm", "inspect", "logs"):
        assert not any("$" in name or "is-" in name
                       for name in offered(moss, command))
    assert not (tmp_path / "owned").exists()
    moss.ok("rm", "-f", id)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_has_every_option(moss, shell):
    script = moss.ok("completion", shell)
    assert "@" + "COMMANDS@" not in script
    for line in moss.ok("__options").splitlines():
        kind, command, *rest = line.split("\t")
        if kind == "option":
            name = rest[1]
            assert (f"-l {name[2:]} " if shell == "fish" else name) in script, \
                f"{command} {name}"


# ---- the pinned namespace ----

def test_unpin(moss, tmp_path):
    tmp_path.chmod(0o700)
    other = moss.with_env(MOSS_ROOT=str(tmp_path / "data"),
                          MOSS_RUN=str(tmp_path))
    other.ok("images")
    pin = tmp_path / "moss/userns/pin.json"
    pid = json.loads(pin.read_text())["pid"]
    os.kill(pid, 0)
    other.ok("__unpin")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end")
    other.ok("__unpin")
    other.ok("images")
    assert json.loads(pin.read_text())["pid"] != pid
    other.ok("__unpin")


# ---- progress ----

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def slow_import(moss, busybox_tar, term="xterm"):
    """An import that stands still after 640 kB of its 2 MB."""
    command = (f"(dd if={busybox_tar} bs=64k count=10; sleep 2; "
               f"dd if={busybox_tar} bs=64k skip=10) 2>/dev/null | "
               f"{moss.program} import - bar")
    child = pexpect.spawn("sh", ["-c", command], timeout=30, encoding="utf-8",
                          dimensions=(10, 60), env=dict(moss.env, TERM=term))
    child.logfile_read = io.StringIO()
    return child


def test_import_shows_a_bar_on_a_terminal(moss, busybox_tar):
    child = slow_import(moss, busybox_tar)
    child.expect_exact(HIDE + "\rImporting ")
    child.expect(r"[1-9][0-9.]*kB")
    child.setwinsize(10, 12)
    # Taken away, and drawn anew in what there is.
    child.expect(r"\x1b\[K\r\n\r\x1b\[[1-9]A\rImporting\x1b\[K\r\n")
    child.expect(r"sha256:[0-9a-f]{64}\r\n")
    child.expect(pexpect.EOF)
    seen = child.logfile_read.getvalue()
    assert seen.count(HIDE) == seen.count(SHOW) == 1
    assert seen.index(SHOW) < seen.index("sha256:")
    moss.ok("rmi", "bar")


def test_interrupted_import_gives_the_cursor_back(moss, busybox_tar):
    child = slow_import(moss, busybox_tar)
    child.expect_exact(HIDE + "\rImporting ")
    child.sendintr()
    child.expect(pexpect.EOF)
    seen = child.logfile_read.getvalue()
    assert seen.rindex(SHOW) > seen.index("^C")
    assert "bar" not in moss.ok("images", "--format", "{{.Repository}}")


def test_progress_without_a_terminal(moss, busybox_tar):
    child = slow_import(moss, busybox_tar, term="dumb")
    child.expect(pexpect.EOF)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\r\n",
                        child.logfile_read.getvalue())
    moss.ok("rmi", "bar")
    result = moss("import", busybox_tar, "bar", check=0)
    assert result.err == ""
    moss.ok("rmi", "bar")


@pytest.mark.parametrize("limit", [6, 8, 10, 12, 16])
def test_few_open_files(moss, tmp_path, limit):
    """Whatever step has no descriptor left, that is what is said."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    other = moss.with_env(MOSS_RUN=str(run))
    result = subprocess.run(
        ["sh", "-c", f'ulimit -n {limit}; exec "$0" ps', moss.program],
        env=other.env, capture_output=True, text=True)
    subprocess.run([moss.program, "__unpin"], env=other.env,
                   stderr=subprocess.DEVNULL)
    assert result.returncode == 0 or "Too many open files" in result.stderr, \
        result.stderr
