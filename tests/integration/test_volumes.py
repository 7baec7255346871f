"""Volumes: how they are asked for, what leads out of them, what they are
filled with, and who removes them."""
import concurrent.futures
import json
import os
import re

import pytest


@pytest.fixture
def volumes(moss):
    """A moss whose volumes go after the test."""
    yield moss
    moss.remove_all()
    names = moss.ok("volume", "ls", "-q").split()
    if names:
        moss.ok("volume", "rm", *names)


def sh(moss, script, *args, check=0):
    return moss("run", "--rm", *args, "busybox", "sh", "-c", script,
                check=check).out


def inspect(moss, name):
    return json.loads(moss.ok("volume", "inspect", name))[0]


# ---- a part of a volume ----

def part(moss, path, script, check=0, more=""):
    return moss("run", "--rm", "--mount", "type=volume,src=tree,dst=/m,"
                f"volume-subpath={path}{more}", "busybox", "sh", "-c", script,
                check=check)


@pytest.fixture
def tree(volumes):
    sh(volumes, "cd /t && mkdir -p a/b && echo deep > a/b/file && echo top > "
       "file && ln -s a in && ln -s /etc absolute && ln -s ../../.. up && "
       "ln -s /proc/self/root magic && mkfifo pipe", "-v", "tree:/t")
    return volumes


@pytest.mark.parametrize("path, script, out", [
    ("a", "cat /m/b/file", "deep\n"),
    ("a/b", "cat /m/file", "deep\n"),
    ("./a//b/", "cat /m/file", "deep\n"),
    ("a/../a/b", "cat /m/file", "deep\n"),
    ("in/b", "cat /m/file", "deep\n"),
    ("file", "cat /m", "top\n"),
])
def test_subpath(tree, path, script, out):
    assert part(tree, path, script).out == out


@pytest.mark.parametrize("path, message", [
    ("..", "subpath must be a relative path within the volume"),
    ("a/../../x", "subpath must be a relative path within the volume"),
    ("/a", "subpath must be a relative path within the volume"),
    ("nosuch", "No such file or directory"),
    ("absolute", "leads out of the volume"),
    ("up", "leads out of the volume"),
    ("magic", "leads out of the volume"),
])
def test_subpath_leads_nowhere_else(tree, path, message):
    result = tree("run", "--rm", "--mount", "type=volume,src=tree,dst=/m,"
                  f"volume-subpath={path}", "busybox", "true")
    assert result.code in (1, 125, 126, 127) and message in result.err


def test_subpath_is_written_and_read_only(tree):
    part(tree, "a", "echo new > /m/new")
    assert sh(tree, "cat /t/a/new", "-v", "tree:/t") == "new\n"
    result = part(tree, "a", "touch /m/x", check=1, more=",readonly")
    assert "Read-only file system" in result.err


def test_subpath_and_cp(tree, tmp_path):
    tree.ok("run", "--name", "part", "--mount",
            "type=volume,src=tree,dst=/m,volume-subpath=a/b", "busybox",
            "true")
    tree.ok("cp", "part:/m/file", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "deep\n"
    tree.ok("cp", tmp_path / "file", "part:/m/copy")
    assert sh(tree, "cat /t/a/b/copy", "-v", "tree:/t") == "deep\n"
    # One that was turned into a way out is no mount any more.
    tree.ok("run", "--name", "swapped", "--mount",
            "type=volume,src=tree,dst=/m,volume-subpath=a", "busybox", "true")
    sh(tree, "rm -r /t/a && ln -s /etc /t/a", "-v", "tree:/t")
    assert tree("cp", "swapped:/m/passwd", tmp_path / "stolen").code == 1
    assert tree("start", "swapped").code != 0


def test_subpath_swapped_all_the_time(tree):
    """A container that has the volume changes a directory to a way out and
    back, while others mount it."""
    tree.ok("run", "-d", "--name", "swapper", "-v", "tree:/t", "busybox", "sh",
            "-c", "cd /t && mkdir dir && while :; do mv dir kept; ln -s /etc "
            "dir; rm dir; mv kept dir; done")
    for _ in range(15):
        result = tree("run", "--rm", "--mount", "type=volume,src=tree,dst=/m,"
                      "volume-subpath=dir", "busybox", "ls", "/m")
        assert "passwd" not in result.out


# ---- to whom it belongs ----

def owners(moss, *args):
    return sh(moss, "stat -c %u:%g /v /v/sub /v/sub/file", "-v", "own:/v",
              *args).split()


def test_volume_given_to_the_user(volumes):
    sh(volumes, "mkdir /v/sub && touch /v/sub/file && ln -s /etc/passwd "
       "/v/sub/link", "-v", "own:/v")
    sh(volumes, "touch /v/sub/new", "-v", "own:/v:U", "-u", "1000:1001")
    assert owners(volumes) == ["1000:1001"] * 3
    # Through a mount that is read-only too, and by the names of the image.
    sh(volumes, "! touch /v/x 2>/dev/null", "-v", "own:/v:ro,U", "-u", "5:6")
    assert owners(volumes) == ["5:6"] * 3
    sh(volumes, "true", "-v", "own:/v:U")
    assert owners(volumes) == ["0:0"] * 3
    assert sh(volumes, "stat -c %u /etc/passwd") == "0\n"


def test_bind_given_to_the_user(volumes, tmp_path):
    directory = tmp_path / "given"
    directory.mkdir(mode=0o755)
    file = directory / "file"
    file.write_text("")
    sh(volumes, "echo mine > /b/file", "-v", f"{directory}:/b:U", "-u", "9:9")
    assert file.stat().st_uid != os.getuid()
    sh(volumes, "true", "-v", f"{directory}:/b:U")
    assert file.stat().st_uid == os.getuid() and file.read_text() == "mine\n"
    single = tmp_path / "single"
    single.write_text("")
    sh(volumes, "stat -c %u /f", "-v", f"{single}:/f:U", "-u", "9:9")
    assert single.stat().st_uid != os.getuid()
    sh(volumes, "true", "-v", f"{single}:/f:U")


# ---- options ----

BIND = ["-o", "type=none", "-o", "o=bind", "-o"]


def test_volume_that_is_a_directory(volumes, tmp_path):
    (tmp_path / "file").write_text("mine")
    volumes.ok("volume", "create", *BIND, f"device={tmp_path}", "music")
    assert sh(volumes, "cat /m/file; echo more > /m/new", "-v",
              "music:/m") == "mine"
    assert (tmp_path / "new").read_text() == "more\n"
    real = inspect(volumes, "music")
    assert real["Options"] == {"type": "none", "o": "bind",
                               "device": str(tmp_path)}
    assert real["Mountpoint"] == str(tmp_path)
    # Again the same is fine, another is not.
    volumes.ok("volume", "create", *BIND, f"device={tmp_path}", "music")
    other = volumes("volume", "create", *BIND, "device=/tmp", "music")
    assert other.code == 1 and "with other options" in other.err
    volumes.ok("volume", "rm", "music")
    assert (tmp_path / "file").read_text() == "mine"


def test_volume_of_a_directory_by_mount(volumes, tmp_path):
    (tmp_path / "file").write_text("mine")
    out = volumes.ok("run", "--rm", "--mount", "type=volume,src=there,dst=/m,"
                     "volume-driver=local,volume-opt=type=none,"
                     f"volume-opt=device={tmp_path},\"volume-opt=o=bind,ro\"",
                     "busybox", "sh", "-c",
                     "cat /m/file; touch /m/x 2>/dev/null || echo ' ro'")
    assert out == "mine ro"


def test_directory_of_a_volume_is_gone(volumes, tmp_path):
    volumes.ok("volume", "create", *BIND, f"device={tmp_path}/x", "gone")
    result = volumes("run", "--rm", "-v", "gone:/m", "busybox", "true")
    assert result.code != 0 and "does not exist" in result.err


@pytest.mark.parametrize("options, message", [
    (["type=nfs", "o=addr=1.2.3.4", "device=:/x"], "type=nfs"),
    (["type=tmpfs", "device=tmpfs", "o=size=1m"], "type=tmpfs"),
    (["type=none", "o=bind"], 'missing required option: "device"'),
    (["o=bind", "device=/tmp"], 'missing required option: "type"'),
    (["type=none", "o=bind", "device=tmp"], "expected an absolute path"),
    (["type=none", "o=bind,nosuid", "device=/tmp"], "o=bind,nosuid"),
    (["colour=red"], 'invalid option: "colour"'),
    (["size=10m"], "size=10m"),
])
def test_options_refused(volumes, options, message):
    words = [word for option in options for word in ("-o", option)]
    result = volumes("volume", "create", *words, "bad")
    assert result.code != 0 and message in result.err
    assert volumes.ok("volume", "ls", "-q") == ""


@pytest.mark.parametrize("mount, message", [
    ("src=v1,dst=/m,volume-driver=nfs", "there is only local"),
    ("dst=/m,readonly", "must not set ReadOnly mode when using anonymous "
     "volumes"),
    ("src=v1,dst=/m,volume-colour=red", "unknown option"),
    ("src=v1,dst=/m,bind-propagation=rslave", "cannot mix bind-* options"),
])
def test_mounts_refused(volumes, mount, message):
    result = volumes("create", "--mount", f"type=volume,{mount}", "busybox",
                     "true")
    assert result.code != 0 and message in result.err


# ---- what the image has there ----

def test_everything_is_copied_up(volumes):
    """Links, hard links, pipes, sockets' cousins, owners, modes, times and
    extended attributes."""
    volumes.ok("run", "--name", "maker", "busybox", "sh", "-c",
               "mkdir -p /d/sub && cd /d && echo x > file && ln file hard && "
               "ln -s /nowhere link && mkfifo pipe && chown 7:8 file && chmod "
               "4751 file && chmod 1777 sub && touch -d @1000000 sub/old && "
               "mkdir -m 700 closed && chown 3:4 closed && : > '-rf *' && "
               "chown 11:12 /d && chmod 750 /d")
    volumes.ok("commit", "maker", "special")
    look = ("cd /d && stat -c '%n %F %u:%g %a %h' . * | sort; stat -c %Y "
            "sub/old; readlink link; cat hard")
    image = volumes.ok("run", "--rm", "special", "sh", "-c", look)
    copy = volumes.ok("run", "--rm", "-v", "copy:/d", "special", "sh", "-c",
                      look)
    # A directory's count of links is its file system's business.
    without = [re.sub(r"( directory .*) \d+$", r"\1", line)
               for line in image.splitlines()]
    assert [re.sub(r"( directory .*) \d+$", r"\1", line)
            for line in copy.splitlines()] == without
    assert volumes.ok("run", "--rm", "-v", "bare:/d:nocopy", "special", "ls",
                      "-A", "/d") == ""
    volumes.remove_all()
    volumes.ok("rmi", "special")


# ---- names, users, removal ----

def test_volume_in_use(volumes):
    volumes.ok("run", "-d", "--name", "user", "-v", "used:/v", "busybox",
               "sleep", "100")
    for state in ("running", "dead"):
        result = volumes("volume", "rm", "used")
        assert result.code == 1
        assert re.search(r"remove used: volume is in use - \[[0-9a-f]{64}\]",
                         result.err)
        assert volumes("volume", "rm", "-f", "used").code == 1
        if state == "running":
            volumes.ok("kill", "user")
            volumes.ok("wait", "user")
    volumes.ok("rm", "user")
    assert volumes.ok("volume", "rm", "used") == "used"
    assert volumes.ok("volume", "rm", "-f", "used") == "used"
    assert "no such volume" in volumes("volume", "rm", "used").err


@pytest.mark.parametrize("name", [
    "../x", "a/b", ".", "..", ".hidden", "-x", "a", "ü1", "a\nb", "a b",
    "x" * 256, "volumes/../../etc",
])
def test_names_that_lead_elsewhere(volumes, name):
    assert volumes("volume", "create", "--", name).code != 0
    assert volumes("volume", "rm", "--", name).code == 1
    assert volumes("volume", "inspect", "--", name).code == 1
    assert volumes.ok("volume", "ls", "-q") == ""


def test_data_that_is_a_link(volumes, tmp_path):
    """Somebody puts a link in a volume's place: what it leads to is neither
    removed nor counted."""
    (tmp_path / "kept").write_text("kept")
    volumes.ok("volume", "create", "linked")
    data = volumes.root / "volumes/linked/_data"
    data.rmdir()
    data.symlink_to(tmp_path)
    volumes.ok("system", "df", "-v")
    volumes.ok("volume", "rm", "linked")
    assert (tmp_path / "kept").read_text() == "kept"


def test_made_and_removed_by_many(volumes):
    def work(number):
        codes = []
        for _ in range(6):
            if number % 2:
                codes.append(volumes("volume", "create", "many").code)
            else:
                volumes("volume", "rm", "-f", "many")
        return codes

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        codes = [code for codes in pool.map(work, range(6)) for code in codes]
    assert set(codes) == {0}
    assert inspect(volumes, volumes.ok("volume", "create", "many"))["Name"] \
        == "many"
    assert [name for name in os.listdir(volumes.root / "volumes")
            if not name.startswith(".")] == ["many"]


def test_prune(volumes):
    volumes.ok("volume", "create", "--label", "keep=no", "named")
    volumes.ok("volume", "create", "--label", "keep=yes", "kept")
    unused = volumes.ok("volume", "create")
    volumes.ok("run", "--name", "dead", "-v", "/anonymous", "-v", "busy:/b",
               "busybox", "true")
    used = volumes.inspect("dead")["Mounts"]
    anonymous = [mount["Name"] for mount in used
                 if mount["Destination"] == "/anonymous"][0]
    out = volumes.ok("volume", "prune", "-f")
    assert unused in out and "Total reclaimed space: " in out
    # A dead container still has its own.
    assert set(volumes.ok("volume", "ls", "-q").split()) == {
        "named", "kept", "busy", anonymous}
    volumes.ok("volume", "prune", "-af", "--filter", "label=keep=no")
    volumes.ok("volume", "prune", "-af", "--filter", "label!=keep")
    assert set(volumes.ok("volume", "ls", "-q").split()) == {
        "kept", "busy", anonymous}
    volumes.ok("rm", "dead")
    assert anonymous in volumes.ok("volume", "prune", "-f")
    volumes.ok("volume", "prune", "-f", "--filter", "all=true")
    assert volumes.ok("volume", "ls", "-q") == ""


@pytest.mark.parametrize("filter, expected", [
    ([], ["alpha", "beta"]),
    (["name=alp"], ["alpha"]),
    (["name=^a.*a$"], ["alpha"]),
    (["name=alpha", "name=beta"], ["alpha", "beta"]),
    (["label=x"], ["alpha", "beta"]),
    (["label=x", "label=y=2"], ["beta"]),
    (["dangling=false"], ["beta"]),
    (["dangling=true"], ["alpha"]),
    (["driver=local"], ["alpha", "beta"]),
    (["driver=nfs"], []),
])
def test_ls_filters(volumes, filter, expected):
    volumes.ok("volume", "create", "--label", "x=1", "alpha")
    volumes.ok("volume", "create", "--label", "x=1", "--label", "y=2", "beta")
    volumes.ok("create", "-v", "beta:/b", "busybox", "true")
    words = [word for value in filter for word in ("-f", value)]
    assert volumes.ok("volume", "ls", "-q", *words).split() == expected
