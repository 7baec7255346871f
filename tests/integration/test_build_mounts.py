"""RUN --mount of moss build: what a step sees, and that nothing of it stays."""
import concurrent.futures
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest

from builds import Context

SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module", autouse=True)
def caches(session_moss):
    """What other IDs own in there is moss's to remove."""
    yield
    session_moss("builder", "prune", "-af")


@pytest.fixture
def context(moss, tmp_path):
    yield Context(moss, tmp_path / "context")
    moss.remove_all()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def lines_of(text):
    """What steps said, without numbers and times."""
    return [line.split(" ", 2)[2] for line in text.splitlines()
            if line.startswith("#") and line.split(" ", 2)[1].replace(
                ".", "").isdigit()]


def holds(directory, text):
    """Files below it with the text, those of other IDs included."""
    return subprocess.run(["grep", "-rls", text, str(directory)], text=True,
                          stdout=subprocess.PIPE).stdout.split()


# ---- bind ----

def test_binds(context):
    context.write("d/f", "context\n")
    context.dockerfile("""
        FROM busybox AS base
        RUN mkdir -p /data/in && echo staged > /data/f && ln -s /data/f /link
        FROM busybox
        WORKDIR /w
        RUN --mount=target=/ctx cat /ctx/d/f; touch /ctx/new || echo ro
        RUN --mount=target=ctx,rw touch ctx/new && rm -r ctx/d && ls ctx
        RUN --mount=target=/ctx,source=d ls /ctx
        RUN --mount=from=base,source=data,target=/m cat /m/f; touch /m/x || echo ro
        RUN --mount=from=0,target=/one,source=link,rw echo new > /one; cat /one
        RUN --mount=from=base,target=/m,rw rm -r /m/data; ls /m/data || echo gone
        RUN --mount=from=base,target=/m ls /m/data
        RUN --mount=from=busybox,target=/m/other test -x /m/other/bin/busybox
        RUN ls -d /ctx /m /one /w/ctx 2> /dev/null; true
    """)
    said = lines_of(context.ok("-t", "binds"))
    assert [line for line in said if not line.startswith(("touch", "ls"))] == [
        "context", "ro", "Dockerfile", "new", "f", "staged", "ro", "new",
        "gone", "f", "in"]
    assert context.path.joinpath("d", "f").exists()
    assert not context.path.joinpath("new").exists()
    # No step has changed anything, mount points included.
    assert context.moss.ok("image", "inspect", "-f", "{{len .RootFS.Layers}}",
                           "binds") == "2"


def test_bind_counts_what_it_shows(context):
    """A step is run again when the files behind it have changed."""
    context.write("a/f", "1")
    context.write("b", "1")
    context.dockerfile("""
        FROM busybox
        RUN --mount=target=/ctx,source=a cat /ctx/f > /out
    """)
    context.ok("-t", "counts")
    context.write("b", "2")
    assert "CACHED" in context.ok("-t", "counts").split("RUN --mount")[1]
    context.write("a/f", "2")
    context.ok("-t", "counts")
    assert context.run("counts", "cat", "/out") == "2"


def test_ignored_files_are_hidden(context):
    context.write(".dockerignore", "*.log\nsecrets\npart\n!part/keep\n")
    for name in ("a.log", "a.txt", "secrets/key", "part/keep", "part/drop"):
        context.write(name, "x")
    context.dockerfile("""
        FROM busybox
        RUN --mount=target=/ctx cd /ctx && find * | sort > /out; \\
            touch /ctx/y 2> /dev/null || echo ro >> /out
        RUN --mount=target=/ctx,rw touch /ctx/a.log && ls /ctx/*.log >> /out
    """)
    context.ok("-t", "hidden")
    assert context.run("hidden", "cat", "/out").split() == [
        "Dockerfile", "a.txt", "part", "part/keep", "ro", "/ctx/a.log"]


@pytest.mark.parametrize("mount, message", [
    ("target=/m,source=nosuch", "nosuch"),
    ("target=/m,source=../../etc/passwd", "/etc/passwd"),
    ("target=/m,source=out", "out"),
    ("from=base,target=/m,source=../../../etc/hostname", "/etc/hostname"),
    ("from=nosuch:1,target=/m", "nosuch"),
    ("target=/", "invalid mount target"),
    ("target=/proc/self", "invalid mount target"),
    ("type=nosuch,target=/m", 'unsupported mount type "nosuch"'),
    ("type=cache,target=/m,sharing=x", 'unsupported sharing value "x"'),
    ("type=secret", "one of id, source and target is required"),
    ("type=secret,id=nosuch,required", "secret nosuch: not found"),
    ("type=ssh,required", 'no SSH key "default" forwarded'),
])
def test_refused(context, mount, message):
    context.write("out", "").unlink()
    context.path.joinpath("out").symlink_to("/../../../../etc/passwd")
    context.dockerfile(f"""
        FROM busybox AS base
        FROM busybox
        RUN --mount={mount} echo it ran
    """)
    told = context.fails("--pull=false")
    assert message in told and "#  it ran" not in told, told
    assert "Dockerfile:3" in told, told


def test_security(context):
    context.dockerfile("""
        FROM busybox
        RUN --security=sandbox true
        RUN --security=insecure true
    """)
    told = context.fails()
    assert "insecure" in told and "Dockerfile:3" in told


# ---- caches ----

def test_cache(context):
    context.dockerfile("""
        FROM busybox AS base
        RUN mkdir /data && echo first > /data/f
        FROM busybox
        ARG ID=a
        RUN --mount=type=cache,target=/c,id=$ID echo x >> /c/log; cat /c/log > /out
        RUN --mount=type=cache,target=/c,id=$ID,mode=0700,uid=33,gid=34 \\
            stat -c '%a %u:%g' /c >> /out; ls /c >> /out
        RUN --mount=type=cache,target=/c,id=$ID,from=base,source=data,ro \\
            cat /c/f >> /out; touch /c/x 2> /dev/null || echo ro >> /out
        RUN test ! -e /c
    """)
    for lines in (1, 2):
        context.ok("--no-cache", "-t", "cached")
        assert context.run("cached", "cat", "/out").split() == [
            *lines * ["x"], "700", "33:34", "first", "ro"]
    context.ok("--no-cache", "--build-arg", "ID=b", "-t", "cached")
    assert context.run("cached", "cat", "/out").split()[0:2] == ["x", "700"]


def both(context, dockerfile):
    """Two builds at once of what differs in an argument; what they said."""
    context.dockerfile(dockerfile)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(
            lambda name: context.build("--no-cache", "--build-arg",
                                       f"NAME={name}"), ["a", "b"]))


def test_locked_cache(context):
    results = both(context, """
        FROM busybox
        ARG NAME
        RUN --mount=type=cache,target=/l,sharing=locked test ! -e /l/busy && \\
            touch /l/busy && sleep 0.4 && rm /l/busy && echo $NAME
    """)
    assert [result.code for result in results] == [0, 0], results


def test_shared_cache(context):
    results = both(context, """
        FROM busybox
        ARG NAME
        RUN --mount=type=cache,target=/s touch /s/$NAME; \\
            i=0; until [ -e /s/a -a -e /s/b ]; do sleep 0.1; \\
            i=$((i+1)); [ $i -lt 200 ] || exit 1; done
    """)
    assert [result.code for result in results] == [0, 0], results


def test_private_cache(context):
    """Each has one of its own meanwhile; the next build gets one of those."""
    results = both(context, """
        FROM busybox
        ARG NAME
        RUN --mount=type=cache,target=/p,sharing=private \\
            --mount=type=cache,target=/meet touch /p/$NAME /meet/$NAME; \\
            until [ -e /meet/a -a -e /meet/b ]; do sleep 0.1; done; ls /p | wc -l
    """)
    assert [result.code for result in results] == [0, 0], results
    assert all("1" in lines_of(result.err + result.out) for result in results)


def test_cache_mounted_twice(context):
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=cache,target=/a,id=x,sharing=locked \\
            --mount=type=cache,target=/b,id=x,sharing=locked \\
            touch /a/f && test -e /b/f
    """)
    context.ok()


# ---- secrets ----

def test_secrets(context, secret):
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=secret,id=s wc -c < /run/secrets/s; \\
            stat -c '%a %u:%g' /run/secrets/s; echo x 2>&1 > /run/secrets/s || echo ro
        RUN --mount=type=secret,id=s,env=S,target=/s/x,mode=0440,uid=5,gid=6 \\
            [ "$S" = "$(cat /s/x)" ] && echo equal; stat -c '%a %u:%g' /s/x
        USER 5
        RUN --mount=type=secret,id=s,uid=5,target=/tmp/s wc -c < /tmp/s; \\
            cat /run/secrets/s 2> /dev/null || echo none
        RUN --mount=type=secret,id=other,env=O test ! -e /run/secrets/other && \\
            echo "[$O][$S]"
        RUN ls -d /run/secrets /s /tmp/s 2> /dev/null || echo nothing
    """)
    said = lines_of(context.ok("--secret", f"id=s,src={secret}", "-t", "secrets"))
    length = str(len(SECRET))
    assert [line for line in said if "Read-only" not in line] == [
        length, "400 0:0", "ro", "equal", "440 5:6", length, "none", "[][]",
        "nothing"]
    assert context.moss.ok("image", "inspect", "-f", "{{len .RootFS.Layers}}",
                           "secrets") == "1"
    assert SECRET not in context.moss.ok("image", "history", "--no-trunc",
                                         "secrets")
    assert not holds(context.moss.root, SECRET)


def test_secret_is_no_part_of_the_key(context, secret):
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=secret,id=s,env=S date +%N > /out
    """)
    context.ok("--secret", f"id=s,src={secret}", "-t", "key")
    before = context.run("key", "cat", "/out")
    secret.write_text("another")
    context.ok("--secret", f"id=s,src={secret}", "-t", "key")
    assert context.run("key", "cat", "/out") == before


def test_secret_is_on_no_disk(context, secret):
    """Not while the step runs, and not when everything is killed at once."""
    context.write("running", "")
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S \\
            --mount=type=cache,target=/flag touch /flag/up && sleep 600
    """)
    process = context.moss.popen(
        "build", "--secret", f"id=s,src={secret}", context.path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, start_new_session=True)
    mounts = context.moss.root / "build" / "mounts"
    try:
        context.moss.wait_for(lambda: list(mounts.glob("*/data/up")), "the step",
                              seconds=60)
        assert not holds(context.moss.root, SECRET)
        assert not holds(context.moss.run_directory, SECRET)
        # Nor to be seen from here: the host has no such mount.
        assert "room" not in pathlib.Path("/proc/self/mountinfo").read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not holds(context.moss.root, SECRET)
    for flag in mounts.glob("*/data/up"):
        flag.unlink()


@pytest.mark.parametrize("content, message", [
    (b"x" * (500 * 1024 + 1), "larger than a secret may be"),
    (b"a\0b", "a NUL cannot be"),
    (None, "No such file")], ids=["large", "NUL", "missing"])
def test_bad_secrets(context, secret, content, message):
    if content is None:
        secret.unlink()
    else:
        secret.write_bytes(content)
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=secret,id=s,env=S true
    """)
    assert message in context.fails("--secret", f"id=s,src={secret}")


# ---- the image is hostile ----

def test_targets_stay_in_the_root(context, secret, tmp_path):
    """Links of the image lead where they lead in the container."""
    context.dockerfile(f"""
        FROM busybox
        RUN ln -s ../../../../..{tmp_path} /out && ln -s /nowhere/at/all /dangling
        RUN --mount=type=secret,id=s,target=/out/inside cat /out/inside | wc -c
        RUN --mount=type=tmpfs,target=/dangling/x touch /dangling/x/y && echo made
        RUN --mount=type=cache,target=/../../c touch /c/x
        RUN ls -A {tmp_path} /nowhere /c 2>&1 | grep -c "No such file"
    """)
    said = lines_of(context.ok("--secret", f"id=s,src={secret}"))
    assert said == [str(len(SECRET)), "made", "3"]
    assert not (tmp_path / "inside").exists()


def test_mount_point_in_use(context):
    """What a step puts beside a mount point stays, and what was there."""
    context.dockerfile("""
        FROM busybox
        RUN mkdir /was && echo kept > /was/f
        RUN --mount=type=tmpfs,target=/was --mount=type=tmpfs,target=/new/m \\
            touch /was/gone /new/m/gone /new/stays
        RUN find /was /new | sort > /out
    """)
    context.ok("-t", "points")
    assert context.run("points", "cat", "/out").split() == [
        "/new", "/new/stays", "/was", "/was/f"]


# ---- agents ----

AGENT = """
import os, socket
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["SSH_AUTH_SOCK"])
s.sendall(b"question")
s.shutdown(socket.SHUT_WR)
print(s.makefile().read(), os.getuid(), os.environ["SSH_AUTH_SOCK"])
"""


@pytest.fixture
def agent(tmp_path):
    """Answers, and notes who asked."""
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "agent"
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    users = []

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            credentials = client.getsockopt(socket.SOL_SOCKET,
                                            socket.SO_PEERCRED, 12)
            users.append(int.from_bytes(credentials[4:8], "little"))
            asked = client.makefile().read()
            client.sendall(f"answer to {asked}".encode())
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    yield path, users
    listener.close()


def test_agent(context, debian, agent):
    path, users = agent
    context.write("ask.py", AGENT)
    context.dockerfile(f"""
        FROM {debian}
        COPY ask.py /
        RUN --mount=type=ssh python3 /ask.py
        USER 33
        RUN --mount=type=ssh python3 /ask.py 2>&1 | tail -n 1
        RUN --mount=type=ssh,id=default,uid=33,target=/tmp/a python3 /ask.py
        RUN env | grep SSH_AUTH || ls /run/buildkit 2> /dev/null || echo none
    """)
    said = lines_of(context.ok("--ssh", f"default={path}"))
    assert said == [
        "answer to question 0 /run/buildkit/ssh_agent.0",
        "PermissionError: [Errno 13] Permission denied",
        "answer to question 33 /tmp/a", "none"]
    # The agent sees its own user, whoever asks in there.
    assert users == [os.getuid()] * 2


def test_agent_is_none(context, tmp_path):
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=ssh true
    """)
    key = tmp_path / "key"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    told = context.fails("--ssh", f"default={key}")
    assert "agent" in told and "ssh-add" in told


def test_single_id(single, tmp_path, secret):
    context = Context(single, tmp_path / "context")
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=secret,id=s,uid=5,env=S,target=/s --mount=target=/ctx,rw \\
            --mount=type=cache,target=/c,uid=7 \\
            echo ${#S}; wc -c < /s; touch /ctx/x /c/x
    """)
    said = lines_of(context.ok("--secret", f"id=s,src={secret}"))
    assert said == [str(len(SECRET))] * 2
