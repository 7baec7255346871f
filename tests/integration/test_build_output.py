"""What comes out of moss build: outputs, history, squash, reproducible images,
caches elsewhere."""
import fcntl
import json
import os
import re
import subprocess
import sys
import tarfile
import termios
import time

import pytest

from builds import Context

BASE = """
    FROM busybox
    ENV GREETING="hello world"
    WORKDIR /srv/www
    RUN echo made > made && mkdir /gone && echo x > /gone/x
    COPY --chown=1:2 index.html .
    RUN rm -r /gone && chmod 4755 /bin/busybox
    ARG WHO=me NOTHING
    RUN echo $WHO > who
    EXPOSE 80 443/tcp
    LABEL org.example.a=1
    CMD ["cat", "index.html"]
"""


@pytest.fixture
def context(moss, tmp_path):
    context = Context(moss, tmp_path / "context").dockerfile(BASE)
    context.write("index.html", "<h1>hi</h1>\n")
    return context


def inspect(moss, name):
    return json.loads(moss.ok("image", "inspect", name))[0]


def layers_of(moss, name):
    return inspect(moss, name)["RootFS"]["Layers"]


def images(moss):
    return sorted(moss.ok("images", "-aq", "--no-trunc").split())


def test_history_is_docker_s(moss, context):
    context.ok("-t", "history")
    rows = moss.ok("history", "--no-trunc", "--format",
                   "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "history")
    rows = [row.rsplit("|", 2) for row in rows.splitlines()]
    told = [row[0] for row in rows[:10]]
    assert told == [
        'CMD ["cat" "index.html"]',
        "LABEL org.example.a=1",
        "EXPOSE [443/tcp 80/tcp]",
        "RUN |2 WHO=me NOTHING= /bin/sh -c echo $WHO > who",
        "ARG WHO=me NOTHING",
        "RUN /bin/sh -c rm -r /gone && chmod 4755 /bin/busybox",
        "COPY --chown=1:2 index.html .",
        "RUN /bin/sh -c echo made > made && mkdir /gone && echo x > /gone/x",
        "WORKDIR /srv/www",
        "ENV GREETING=hello world",
    ]
    assert rows[3][1:] == ["3B", "moss.build"]
    assert rows[0][1] == "0B"
    config = inspect(moss, "history")["Config"]
    assert config["Env"][-1] == "GREETING=hello world"
    assert config["WorkingDir"] == "/srv/www"


def test_same_again(moss, context):
    """What is all in the cache gives the same image, without an epoch."""
    context.ok("-t", "again")
    first = inspect(moss, "again")["Id"]
    before = images(moss)
    told = context.ok("-t", "again")
    assert "CACHED" in told
    assert inspect(moss, "again")["Id"] == first
    assert images(moss) == before


def test_reproducible(moss, context):
    args = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--no-cache", "-t",
            "epoch"]
    context.ok(*args)
    first = inspect(moss, "epoch")
    os.utime(context.path / "index.html", (1800000000, 1800000000))
    context.ok(*args)
    assert inspect(moss, "epoch")["Id"] == first["Id"]
    assert first["Created"] == "2023-11-14T22:13:20Z"
    assert inspect(moss, "epoch")["RootFS"] == first["RootFS"]


def test_local(moss, context, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    (out / "srv").mkdir()
    (out / "srv" / "old").write_text("old")
    before = images(moss)
    context.ok("-o", out)
    assert (out / "mine").read_text() == "mine"
    assert (out / "srv/old").read_text() == "old"
    assert (out / "srv/www/index.html").read_text() == "<h1>hi</h1>\n"
    assert (out / "srv/www/index.html").stat().st_uid == os.getuid()
    assert not (out / "bin/busybox").stat().st_mode & 0o4000
    assert not (out / "gone").exists()
    assert images(moss) == before


def test_local_is_nobody_else_s_to_write(moss, context, tmp_path):
    context.ok("-o", tmp_path / "new" / "out")
    for made in (tmp_path / "new", tmp_path / "new" / "out"):
        assert not made.stat().st_mode & 0o022


def test_local_stays_in_its_directory(moss, tmp_path):
    """Neither the image's links nor those in the directory lead out of it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "dir").symlink_to(outside)
    context = Context(moss, tmp_path / "hostile").dockerfile(f"""
        FROM busybox
        RUN ln -s {outside} /link && ln -s /etc /abs && ln -s ../../.. /up
    """)
    context.ok("-o", out)
    assert os.readlink(out / "link") == str(outside)
    context.dockerfile("""
        FROM busybox
        RUN mkdir /dir && echo evil > /dir/evil
    """)
    assert "dir" in context.fails("-o", out)
    # A directory where the first build put a link.
    context.dockerfile("""
        FROM busybox
        RUN mkdir /link && echo evil > /link/evil
    """)
    context.fails("-o", out)
    assert list(outside.iterdir()) == []


def test_tar(moss, context, tmp_path):
    before = images(moss)
    context.ok("-o", f"type=tar,dest={tmp_path}/out.tar")
    with tarfile.open(tmp_path / "out.tar") as tar:
        member = tar.getmember("srv/www/index.html")
        assert (member.uid, member.gid) == (1, 2)
        assert tar.extractfile(member).read() == b"<h1>hi</h1>\n"
        names = tar.getnames()
    assert not [name for name in names if "gone" in name or ".wh." in name]
    stream = moss("build", "-q", "-o", "-", context.path, text=False)
    assert stream.code == 0, stream
    assert stream.out == (tmp_path / "out.tar").read_bytes()
    assert images(moss) == before


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_archives(moss, fresh, context, tmp_path, kind):
    """Loaded elsewhere it is the image that the store would have."""
    context.ok("-t", "kept")
    kept = inspect(moss, "kept")["Id"]
    before = images(moss)
    context.ok("-t", "out:1", "-o", f"type={kind},dest={tmp_path}/out.tar")
    assert images(moss) == before
    assert moss("image", "inspect", "out:1").code != 0
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert ("manifest.json" in tar.getnames()) == (kind == "docker")
    assert "out:1" in fresh.ok("load", "-i", tmp_path / "out.tar")
    assert inspect(fresh, "out:1")["Id"] == kept


def test_oci_directory(moss, fresh, context, tmp_path):
    layout = tmp_path / "layout"
    for tag in "one", "two":
        context.ok("-t", tag, "-o", f"type=oci,dest={layout},tar=false")
    assert (layout / "oci-layout").exists()
    fresh.ok("load", "-i", layout)
    assert inspect(fresh, "one")["Id"] == inspect(fresh, "two")["Id"]


def test_several_outputs(moss, context, tmp_path):
    context.ok("-t", "several", "-o", "type=image", "-o", tmp_path / "dir",
               "-o", f"type=oci,dest={tmp_path}/oci.tar")
    assert (tmp_path / "dir/srv/www/made").read_text() == "made\n"
    assert (tmp_path / "oci.tar").exists()
    assert inspect(moss, "several")


def test_metadata(moss, context, tmp_path):
    def metadata(*args):
        context.ok("--metadata-file", tmp_path / "metadata", *args)
        return json.loads((tmp_path / "metadata").read_text())

    told = metadata("-t", "metadata")
    again = metadata("-t", "metadata")
    assert told == again
    assert told["containerimage.config.digest"] == \
        inspect(moss, "metadata")["Id"]
    # Written out it has the same manifest.
    out = metadata("-o", f"type=oci,dest={tmp_path}/layout,tar=false")
    index = json.loads((tmp_path / "layout/index.json").read_text())
    assert out["containerimage.digest"] == told["containerimage.digest"] == \
        index["manifests"][0]["digest"]
    assert "containerimage.digest" not in metadata("-o", tmp_path / "out")


def test_bad_outputs(moss, context, tmp_path):
    """Found out before anything is built."""
    context.dockerfile("FROM busybox\nRUN touch /never\n")
    for output in (f"type=tar,dest={tmp_path}", f"type=oci,dest={tmp_path}/a/b",
                   "type=local,dest=/etc/passwd"):
        told = context.fails("-o", output)
        assert "touch /never" not in told.split("ERROR")[0] or \
            "DONE" not in told, told


def test_squash(moss, context):
    context.ok("-t", "whole")
    context.ok("--squash", "-t", "squashed")
    base = layers_of(moss, "busybox")
    assert layers_of(moss, "squashed")[:-1] == base
    assert len(layers_of(moss, "whole")) > len(base) + 1
    # One layer more in the history, all other entries as they were.
    told = [moss.ok("history", "-q", "--no-trunc", "--format",
                    "{{.CreatedBy}}", name).splitlines()
            for name in ("whole", "squashed")]
    assert told[1][1:] == told[0]
    # /etc and mount points get their times from the container's start.
    listing = ("sh", "-c", "ls -d /*; find /bin /srv /var | sort | "
               "xargs stat -c '%A %u:%g %Y %n'")
    assert context.run("squashed", *listing) == context.run("whole", *listing)


def test_annotations_and_labels(moss, context, tmp_path):
    context.ok("--label", "a=b", "--annotation", "org.example=1", "-o",
               f"type=oci,dest={tmp_path}/layout,tar=false")
    index = json.loads((tmp_path / "layout/index.json").read_text())
    blobs = tmp_path / "layout/blobs/sha256"
    manifest = json.loads(
        (blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    assert manifest["annotations"] == {"org.example": "1"}
    assert config["config"]["Labels"] == {"a": "b", "org.example.a": "1"}


def test_events(moss, tmp_path):
    context = Context(moss, tmp_path / "events")
    context.dockerfile("FROM busybox\nLABEL events=1\n")
    context.ok("-t", "events:1", "-t", "events:2")
    told = moss.ok("events", "--since", "1h", "--until", "0s", "--format",
                   "{{.Action}} {{.Actor.Attributes.name}}",
                   "--filter", "label=events=1").splitlines()
    image = inspect(moss, "events:1")["Id"]
    assert told == [f"create {image}", "tag events:1", "tag events:2"]


# ---- caches elsewhere ----

STAGES = """
    FROM busybox AS tool
    RUN echo tool > /tool
    FROM busybox
    COPY --from=tool /tool /
    RUN echo app > /app
"""


def cached(told, step):
    """Was the step of that text in a cache?"""
    number = re.search(rf"^#(\d+) \[.*\] {re.escape(step)}", told, re.M)
    assert number, told
    return f"#{number[1]} CACHED" in told


def elsewhere(fresh, moss, context):
    """The context and its base image in a store without a cache."""
    save = subprocess.Popen([moss.program, "save", "busybox"], env=moss.env,
                            stdout=subprocess.PIPE)
    subprocess.run([fresh.program, "load", "-q"], env=fresh.env,
                   stdin=save.stdout, stdout=subprocess.DEVNULL, check=True)
    assert save.wait() == 0
    return Context(fresh, context.path)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_cache_in_a_directory(moss, fresh, tmp_path, mode):
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    cache = tmp_path / "cache"
    context.ok("-t", "app", "--cache-to", f"type=local,dest={cache},mode={mode}")
    other = elsewhere(fresh, moss, context)
    told = other.ok("-t", "app", "--cache-from", f"type=local,src={cache}")
    assert cached(told, "RUN echo app > /app")
    assert cached(told, "COPY --from=tool /tool /")
    assert cached(told, "RUN echo tool > /tool") == (mode == "max")
    assert layers_of(other.moss, "app") == layers_of(moss, "app")
    assert other.run("app", "cat", "/tool", "/app") == "tool\napp"


def test_cache_that_is_written_to_again(moss, fresh, tmp_path):
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    cache = f"dest={tmp_path}/cache"
    context.ok("--cache-to", f"type=local,{cache}")
    context.dockerfile(STAGES.replace("echo app", "echo more"))
    context.ok("--cache-to", f"type=local,{cache}")
    other = elsewhere(fresh, moss, context)
    told = other.ok("--cache-from", f"type=local,src={tmp_path}/cache")
    assert cached(told, "RUN echo more > /app")


def test_cache_in_a_registry(moss, fresh, tmp_path, registry):
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    name = registry.name("cache:1")
    before = images(moss)
    context.ok("-o", tmp_path / "out", "--cache-to",
               f"type=registry,ref={name},mode=max")
    assert images(moss) == before
    other = elsewhere(fresh, moss, context)
    told = other.ok("-t", "app", "--cache-from", name)
    assert cached(told, "RUN echo tool > /tool")
    assert cached(told, "RUN echo app > /app")


def test_cache_behind_a_password(fresh, moss, tmp_path, tls_registry, ca):
    """By the credentials of moss login, for writing and for reading."""
    fresh.conf.write_text(f'[registry "{tls_registry.host}"]\nca = {ca.file}\n')
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    other = elsewhere(fresh, moss, context)
    name = tls_registry.name("closed/cache:1")
    told = other.fails("-t", "app", "--cache-to", f"type=registry,ref={name}")
    assert "closed/cache" in told
    # The image itself was made before.
    assert inspect(fresh, "app")
    fresh.ok("login", "-u", "alice", "--password-stdin", tls_registry.host,
             stdin="s3cret:word\n")
    other.ok("--cache-to", f"type=registry,ref={name}")
    fresh.ok("builder", "prune", "-af")
    fresh.ok("rmi", "app")
    assert cached(other.ok("--cache-from", name), "RUN echo app > /app")


def test_inline_cache(moss, fresh, tmp_path, registry):
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    name = registry.name("app:1")
    context.ok("-t", name, "--cache-to", "type=inline")
    moss.ok("push", "-q", name)
    other = elsewhere(fresh, moss, context)
    told = other.ok("-t", "app", "--cache-from", name)
    assert cached(told, "RUN echo app > /app")
    assert layers_of(other.moss, "app") == layers_of(moss, name)


def test_bad_cache_is_a_warning(moss, tmp_path):
    """Nobody's build fails for it, and damage is found."""
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    told = context.ok("--cache-from", f"type=local,src={tmp_path}/nowhere")
    assert "nowhere" in told
    told = context.ok("--cache-from", "type=registry,ref=localhost:1/none")
    assert "localhost:1/none" in told


def test_cache_is_never_waited_for(moss, tmp_path):
    """A FIFO in the place of a cache's index would have no other end."""
    cache = tmp_path / "cache"
    cache.mkdir()
    os.mkfifo(cache / "index.json")
    context = Context(moss, tmp_path / "context").dockerfile(STAGES)
    told = context.ok("--cache-from", f"type=local,src={cache}", timeout=20)
    assert "index.json is not a file" in told


def test_killed_while_it_writes(moss, context):
    """Of an image that was on its way out nothing stays."""
    before = images(moss)
    read, write = os.pipe()
    # Nobody reads: it is stuck when the pipe is full.
    build = subprocess.Popen(
        [moss.program, "build", "-q", "-t", "killed", "-o",
         "type=docker,dest=-", str(context.path)],
        env=moss.env, stdin=subprocess.DEVNULL, stdout=write,
        stderr=subprocess.DEVNULL, start_new_session=True)
    os.close(write)
    filled = bytearray(4)
    deadline = time.monotonic() + 30
    while int.from_bytes(filled, sys.byteorder) < 60000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        fcntl.ioctl(read, termios.FIONREAD, filled)
    build.kill()
    build.wait()
    os.close(read)
    assert images(moss) == before
    deadline = time.monotonic() + 10
    while [name for name in os.listdir(moss.root / "tmp")
           if name.startswith("work-")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        # Whoever opens the store next removes what is left.
        moss.ok("images")
