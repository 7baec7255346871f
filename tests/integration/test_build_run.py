"""RUN: one start of a container, its output, its layer, and its end."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

from builds import Context
from conftest import has_sub_ids, skip, wait_for
from household import Household, send, title_of

FROM = "FROM busybox\n"


@pytest.fixture
def context(moss, tmp_path):
    return Context(moss, tmp_path / "context")


@pytest.fixture
def house(moss):
    with Household(moss) as household:
        yield household


def layers(moss, image):
    """Diff IDs, lowest first."""
    return json.loads(moss.ok("image", "inspect", "-f",
                              "{{json .RootFS.Layers}}", image))


def works(moss):
    return [path.name for path in moss.root.glob("tmp/*")]


def assert_nothing_is_left(house):
    wait_for(lambda: not house.leftovers(), "the end of what a build started", 5)
    assert house.ask("ps", "-aq").out == ""
    assert works(house.moss) == []


# What it runs as

def test_both_outputs_are_told(context):
    context.dockerfile(FROM + "RUN echo one; echo two >&2; echo three; printf four")
    told = context.ok("--no-cache", "-t", "said")
    for word in ("one", "two", "three", "four"):
        assert re.search(rf"^#\d+ [\d.]+ {word}$", told, re.M), told


def test_what_a_step_sees(context):
    context.dockerfile(FROM + """
ARG COLOUR=blue
ENV SHAPE=round
WORKDIR /work
RUN chmod 1777 /tmp || mkdir -m 1777 /tmp
USER 1000:1000
RUN echo "$COLOUR $SHAPE $HOSTNAME $(hostname) $(pwd) $(id -u):$(id -g)" >/tmp/seen && \\
    { read line || echo "no input" >>/tmp/seen; }
USER 0
""")
    context.ok("--build-arg", "COLOUR=red", "-t", "seen")
    assert context.run("seen", "cat", "/tmp/seen") == (
        "red round buildsandbox buildsandbox /work 1000:1000\nno input")
    # Of the build alone.
    assert context.run("seen", "sh", "-c", "echo $COLOUR") == ""


def test_shell_and_forms(context):
    context.dockerfile(FROM + """
RUN ["/bin/sh", "-c", "echo exec $0 >/exec"]
SHELL ["/bin/sh", "-e", "-c"]
RUN echo $- >/shell
RUN <<TEXT
echo first >/lines
echo second >>/lines
TEXT
RUN <<SCRIPT
#!/bin/sh
echo $0 >/script
SCRIPT
""")
    context.ok("-t", "forms")
    assert context.run("forms", "sh", "-c",
                       "cat /exec /lines /script; grep -c e /shell") == (
        "exec /bin/sh\nfirst\nsecond\n/dev/pipes/SCRIPT\n1")


def test_network(context):
    context.dockerfile(FROM + """
RUN --network=none ip -o link | wc -l >/none
RUN ip -o link | wc -l >/default
RUN --network=host hostname >/host
""")
    assert "network.host is not allowed" in context.fails()
    context.ok("-t", "net", "--allow", "network.host")
    assert context.run("net", "cat", "/none", "/default", "/host") == (
        "1\n2\nbuildsandbox")


def test_nothing_of_the_runtime_is_in_the_layer(context):
    context.dockerfile(FROM + "RUN echo kept >/kept; : >/dev/shm/x; ls /etc")
    context.ok("-t", "clean")
    layer = layers(context.moss, "clean")[-1].split(":")[1]
    top = context.moss.root / "layers" / layer / "diff"
    assert sorted(os.listdir(top)) == ["kept"]


def test_volumes_are_part_of_the_root(context):
    context.dockerfile(FROM + "VOLUME /data\nRUN mkdir /data; echo kept >/data/file\n")
    context.ok("-t", "volume")
    layer = layers(context.moss, "volume")[-1].split(":")[1]
    file = context.moss.root / "layers" / layer / "diff" / "data" / "file"
    assert file.read_text() == "kept\n"
    assert context.moss.ok("volume", "ls", "-q") == ""


def test_a_program_that_gains_privileges(context):
    """Installed in the same step as it is used."""
    if not has_sub_ids():
        skip("sub-IDs")
    context.dockerfile(FROM + """
RUN cp /bin/busybox /bin/own && chmod 4755 /bin/own && mkdir -m 1777 /open
USER 1000
RUN cat /proc/self/status | grep NoNewPrivs >/open/seen
""")
    context.ok("-t", "setuid")
    assert context.run("setuid", "cat", "/open/seen").split() == ["NoNewPrivs:", "0"]


# Failures

@pytest.mark.parametrize("line, command, code", [
    ("RUN exit 3", "/bin/sh -c exit 3", 3),
    ("RUN false", "/bin/sh -c false", 1),
    ('RUN ["sh", "-c", "exit 42"]', "sh -c exit 42", 42),
])
def test_exit_codes(context, line, command, code):
    context.dockerfile(FROM + "RUN touch /before\n" + line + "\nRUN touch /after\n")
    told = context.fails("-t", "failed")
    assert (f'process "{command}" did not complete successfully: '
            f"exit code: {code}") in told
    assert "failed:latest" not in context.moss.images()
    assert works(context.moss) == []


def test_a_command_that_is_not_there(context):
    context.dockerfile(FROM + 'RUN ["/no/such"]')
    assert re.search('"?/no/such"?: no such file or directory', context.fails())


def test_finished_steps_stay_after_a_failure(context):
    context.dockerfile(FROM + "RUN date +%N >/time\nRUN test -e /no\n")
    context.fails()
    context.dockerfile(FROM + "RUN date +%N >/time\nRUN test ! -e /no\n")
    assert re.search(r"^#\d+ CACHED$", context.ok("-t", "second"), re.M)


# Its end

SLEEP = FROM + "RUN sleep 1234 & exec sleep 1234\n"


def started(house, path):
    """A build whose step runs."""
    process = house.start("build", "--no-cache", path)
    wait_for(lambda: "sleep 1234 " in map(title_of, house.processes()),
             "the step", 20)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_a_second(context, house, number):
    context.dockerfile(SLEEP)
    process = started(house, context.path)
    begin = time.monotonic()
    send(process.pid, number)
    assert house.end(process) != 0
    wait_for(lambda: not house.leftovers(), "the end", 3)
    # On a machine that has other things to do.
    assert time.monotonic() - begin < 3
    assert_nothing_is_left(house)


@pytest.mark.parametrize("whom", ["moss build", "moss-build", "monitor", "all"])
def test_kill(context, house, whom):
    context.dockerfile(SLEEP)
    process = started(house, context.path)
    hit = 0
    for pid, kind in house.processes().items():
        title = title_of(pid)
        if {"moss build": kind == "command",
                "moss-build": "moss-build" in title or "moss: build" in title,
                "monitor": kind == "monitor",
                "all": kind != "pause"}[whom]:
            send(pid, signal.SIGKILL)
            hit += 1
    assert hit > 0
    assert house.end(process) != 0
    assert_nothing_is_left(house)


def test_kill_at_any_moment(context, house):
    """Whatever is killed and whenever: nothing is left, and the next build
    succeeds."""
    chance = random.Random(os.environ.get("MOSS_TEST_SEED"))
    context.dockerfile(FROM + "".join(
        f"RUN echo {number} >/{number}; sleep 0.02\n" for number in range(3)))
    for _ in range(6):
        process = house.start("build", "--no-cache", "-t", "killed", context.path)
        time.sleep(chance.uniform(0, 0.4))
        pids = [pid for pid, kind in house.processes().items() if kind != "pause"]
        for pid in chance.sample(pids, min(len(pids), chance.choice((1, 2, 9)))):
            send(pid, signal.SIGKILL)
        house.end(process)
        assert_nothing_is_left(house)
    context.ok("-t", "whole")
    assert context.run("whole", "cat", "/0", "/2") == "0\n2"


def test_builds_beside_each_other(context, house, tmp_path):
    for number in range(4):
        Context(context.moss, tmp_path / str(number)).dockerfile(
            FROM + f"RUN echo {number % 2} >/file; sleep 0.1\nRUN cat /file")
    processes = [house.start("build", "-t", f"beside{number}",
                             tmp_path / str(number)) for number in range(4)]
    assert [house.end(process) for process in processes] == [0] * 4
    for number in range(4):
        assert context.run(f"beside{number}", "cat", "/file") == str(number % 2)
    assert_nothing_is_left(house)


# The layer

def test_an_epoch_makes_the_same_layer_again(context):
    context.dockerfile(
        FROM + "RUN mkdir -p /a/b; echo x >/a/b/c; rm -r /home; chmod 700 /root")
    made = []
    for number in range(2):
        time.sleep(1.1 * number)
        context.ok("--no-cache", "-t", f"epoch{number}",
                   "--build-arg", "SOURCE_DATE_EPOCH=1700000000")
        made.append(layers(context.moss, f"epoch{number}"))
    assert made[0] == made[1]


def test_what_no_layer_can_hold_is_told(context):
    context.dockerfile(FROM + "RUN touch /.wh.name /kept")
    assert '1 files whose names begin with ".wh." were left out' in context.ok("-t", "odd")
    assert context.run("odd", "sh", "-c", "echo /.w* /kept*") == "/.w* /kept"


def test_what_was_removed_is_gone(context):
    context.dockerfile(FROM + """
RUN mkdir -p /dir && echo 1 >/dir/one && echo 2 >/dir/two
RUN rm /dir/one
RUN rm -r /dir && mkdir /dir && echo 3 >/dir/three
""")
    context.ok("-t", "removed")
    assert context.run("removed", "ls", "/dir") == "three"


# A fair day's work

APT = """
FROM {base}
COPY --from=apt . /etc/apt/
COPY --from=keys . /usr/share/keyrings/
RUN apt-get -qy purge nginx nginx-common && test ! -e /usr/sbin/nginx
RUN apt-get -q update && apt-get install -qy --no-install-recommends nginx
RUN nginx -V
"""


def install_nginx(moss, base, path):
    """The sources are this machine's own."""
    contexts = {"apt": "/etc/apt", "keys": "/usr/share/keyrings"}
    context = Context(moss, path / "context")
    args = []
    for name, source in contexts.items():
        (path / name).mkdir()
        if pathlib.Path(source).is_dir():
            subprocess.run(["cp", "-rL", f"{source}/.", path / name], check=False,
                           stderr=subprocess.DEVNULL)
        args += ["--build-context", f"{name}={path / name}"]
    context.dockerfile(APT.format(base=base))
    context.ok("-t", "web", *args, timeout=300)
    assert context.run("web", "ls", "/usr/sbin/nginx") == "/usr/sbin/nginx"


def test_nginx_is_installed(moss, debian, tmp_path):
    install_nginx(moss, debian, tmp_path)
    # There are directories of other users in it, which are moss's to remove.
    moss.ok("rmi", "web")
    moss.ok("builder", "prune", "-af")


def test_nginx_is_installed_with_one_id(single, debian_tar, tmp_path):
    single.ok("import", "-c", 'CMD ["bash"]', debian_tar, "debian", timeout=300)
    install_nginx(single, "debian", tmp_path)
