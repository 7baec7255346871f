"""moss build: stages as a graph, variables, ONBUILD, named contexts."""
import json
import re
import resource
import time

import pytest

import oci
from builds import Context
from conftest import wait_for


@pytest.fixture
def context(moss, tmp_path):
    yield Context(moss, tmp_path / "context")
    moss.remove_all()


def config_of(moss, image):
    return json.loads(moss.ok("image", "inspect", image))[0]["Config"]


def test_config_only(moss, context):
    """Instructions that make no files, alone."""
    context.dockerfile("""
        FROM busybox
        ENV A=1 B="two words"
        LABEL org.example.x=y
        EXPOSE 80 53/udp
        USER 1000:1000
        VOLUME /data
        STOPSIGNAL SIGINT
        ENTRYPOINT ["echo"]
        CMD ["hello", "$A"]
        """)
    context.ok("-t", "conf", "--label", "more=1")
    config = config_of(moss, "conf")
    assert {"A=1", "B=two words"} <= set(config["Env"])
    assert config["Labels"] == {"org.example.x": "y", "more": "1"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert config["User"] == "1000:1000"
    assert list(config["Volumes"]) == ["/data"]
    assert config["StopSignal"] == "SIGINT"
    assert context.run("conf") == "hello $A"


def test_multi_stage(moss, context):
    """Files go from stage to stage, by name and by number; scratch at the end."""
    context.dockerfile("""
        FROM busybox AS one
        RUN mkdir -p /out && echo first > /out/a
        FROM busybox
        COPY --from=one /out/a /from-one
        RUN cat /from-one > /b && echo second >> /b
        FROM scratch AS final
        COPY --from=1 /b /b
        COPY --from=One /out/ /dir/
        COPY --from=busybox /bin/busybox /bin/cat
        ENTRYPOINT ["/bin/cat"]
        """)
    context.ok("-t", "staged")
    assert context.run("staged", "/b") == "first\nsecond"
    assert context.run("staged", "/dir/a") == "first"
    assert len(json.loads(moss.ok("image", "inspect", "staged"))[0]
               ["RootFS"]["Layers"]) == 3


def test_target_and_unneeded(moss, context):
    """A target ends the build; what it does not need is not run."""
    context.dockerfile("""
        FROM busybox AS base
        RUN echo base > /base
        FROM busybox AS broken
        RUN false
        FROM base AS wanted
        RUN echo wanted > /wanted
        FROM broken AS last
        """)
    told = context.ok("-t", "wanted", "--target", "WANTED")
    assert "broken" not in told
    assert context.run("wanted", "cat", "/base", "/wanted") == "base\nwanted"
    assert context.ok("--target", "0", "-t", "zero")
    error = context.fails("--target", "none")
    assert 'target stage "none" could not be found' in error


def test_parallel(context):
    """Stages that do not need each other run side by side."""
    context.dockerfile("""
        FROM busybox AS a
        RUN sleep 2; date +%s > /a
        FROM busybox AS b
        RUN sleep 2; date +%s > /b
        FROM busybox
        COPY --from=a /a /
        COPY --from=b /b /
        """)
    start = time.monotonic()
    context.ok("--no-cache", "-t", "both")
    took = time.monotonic() - start
    first, second = context.run("both", "cat", "/a", "/b").split()
    assert abs(int(first) - int(second)) < 2, took


def test_many_stages(moss, context):
    """More of them than are at work at a time, each on the one before."""
    context.write("Dockerfile", "FROM busybox AS s0\n" + "".join(
        f"FROM s{i - 1} AS s{i}\nENV N={i}\n" for i in range(1, 80)) +
        "COPY --from=s3 /bin/sh /copy/\n")
    context.ok("-t", "many")
    assert "N=79" in config_of(moss, "many")["Env"]
    assert context.run("many", "/copy/sh", "-c", "echo yes") == "yes"


def test_more_stages_than_descriptors(context):
    """poll() refuses more entries than there may be descriptors."""
    context.write("Dockerfile", "FROM busybox AS s0\n" + "".join(
        f"FROM s{i - 1} AS s{i}\n" for i in range(1, 100)))

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    context.ok(preexec_fn=limit)


def test_arguments(moss, context):
    """Scopes of ARG; ENV goes before it; what is given goes before all."""
    context.dockerfile("""
        ARG TAG=latest
        ARG WHO=global
        FROM busybox:${TAG} AS first
        RUN echo "[$WHO]" > /undeclared
        ARG WHO
        ARG OTHER=${WHO}-more
        ARG UNSET
        ENV HIDDEN=env
        ARG HIDDEN=arg
        RUN echo "$WHO $OTHER $HIDDEN [${UNSET-none}]" > /declared
        FROM first
        RUN echo "$WHO" > /inherited
        FROM busybox AS last
        COPY --from=first /undeclared /declared /args/
        ARG TARGETPLATFORM
        ARG BUILDOS
        RUN echo "$TARGETPLATFORM $BUILDOS [$TARGETARCH]" > /args/platform
        """)
    context.ok("-t", "args")
    assert context.run("args", "cat", "/args/undeclared") == "[]"
    assert context.run("args", "cat", "/args/declared") == \
        "global global-more env [none]"
    assert re.fullmatch(r"linux/\w+ linux \[\]",
                        context.run("args", "cat", "/args/platform"))
    told = context.ok("-t", "args", "--build-arg", "WHO=given", "--build-arg",
                      "HTTP_PROXY=http://127.0.0.1:9", "--build-arg", "NOBODY=1")
    assert context.run("args", "cat", "/args/declared") == \
        "given given-more env [none]"
    assert "[NOBODY] were not consumed" in told
    assert "127.0.0.1:9" not in moss.ok("history", "--no-trunc", "args")


def test_proxy_is_in_no_key(moss, context):
    """A proxy of the command line reaches RUN, without another cache entry."""
    context.dockerfile("""
        FROM busybox
        RUN echo "${http_proxy-none}" > /proxy
        """)
    context.ok("-t", "proxy", "--build-arg", "http_proxy=http://a.test:1")
    assert context.run("proxy", "cat", "/proxy") == "http://a.test:1"
    assert "CACHED" in context.ok("-t", "proxy")
    assert not any("proxy" in entry for entry in config_of(moss, "proxy")["Env"])


def test_onbuild(moss, context):
    """A base's triggers run first in whoever builds on it, once."""
    context.write("app.txt", "the app")
    context.dockerfile("""
        FROM busybox
        ONBUILD COPY app.txt /app/
        ONBUILD RUN echo "triggered" >> /log
        ONBUILD ENV TRIGGERED=yes
        ONBUILD COPY <<EOF /here
        from $TRIGGERED
        EOF
        """)
    context.ok("-t", "trigger-base")
    assert len(config_of(moss, "trigger-base")["OnBuild"]) == 4
    context.dockerfile("""
        FROM trigger-base
        RUN cat /app/app.txt >> /log && echo " $TRIGGERED" >> /log
        """)
    told = context.ok("-t", "triggered")
    assert "[2/5] COPY app.txt /app/" in told and "[5/5] RUN cat" in told
    assert context.run("triggered", "cat", "/log") == "triggered\nthe app yes"
    assert context.run("triggered", "cat", "/here") == "from yes"
    assert not config_of(moss, "triggered").get("OnBuild")


def test_onbuild_fails(context):
    context.dockerfile("""
        FROM busybox
        ONBUILD RUN exit 3
        """)
    context.ok("-t", "trigger-bad")
    context.dockerfile("FROM trigger-bad")
    error = context.fails()
    assert "ONBUILD RUN exit 3" in error and "exit code: 3" in error


@pytest.mark.parametrize("trigger", ["NOSUCH x", "# x", "FROM y", ""])
def test_onbuild_of_a_stranger(moss, context, tmp_path, trigger):
    """What no build of ours would have let into an image."""
    archive = tmp_path / "strange.tar"
    oci.docker_archive(archive, {"strange:1": oci.Image(
        [oci.layer(oci.file("file", b"x"))], {"OnBuild": [trigger]})})
    moss.ok("load", "-i", archive)
    context.dockerfile("FROM strange:1\nENV A=b")
    error = context.fails()
    assert "Dockerfile:1" in error and "ONBUILD" in error
    moss.ok("rmi", "strange:1")


def test_here_documents(context):
    context.dockerfile("""
        FROM busybox
        ARG NAME=world
        RUN <<EOF
        echo one > /a
        echo "two $NAME" >> /a
        EOF
        RUN <<-SCRIPT
        #!/bin/sh -e
        \techo "$0" > /b
        SCRIPT
        RUN cat <<A - <<B 3<<C > /c
        first
        A
        B
        third
        C
        COPY <<expanded.txt <<"plain.txt" /files/
        hello ${NAME} "quoted"
        expanded.txt
        hello ${NAME}
        plain.txt
        """)
    context.ok("-t", "heredocs")
    assert context.run("heredocs", "cat", "/a") == "one\ntwo world"
    assert context.run("heredocs", "cat", "/b") == "/dev/pipes/SCRIPT"
    assert context.run("heredocs", "cat", "/files/expanded.txt") == \
        'hello world "quoted"'
    assert context.run("heredocs", "cat", "/files/plain.txt") == "hello ${NAME}"


def test_shell_and_user(context):
    context.dockerfile("""
        FROM busybox
        SHELL ["/bin/sh", "-ec"]
        RUN false; echo not reached > /x
        """)
    error = context.fails()
    assert "/bin/sh -ec false; echo not reached" in error
    context.dockerfile("""
        FROM busybox
        WORKDIR /srv
        WORKDIR app
        USER 12:34
        RUN id -u > /tmp/who; id -g >> /tmp/who; pwd >> /tmp/who
        RUN ["/bin/busybox", "touch", "/tmp/exec form"]
        """)
    context.ok("-t", "who")
    assert context.run("who", "cat", "/tmp/who") == "12\n34\n/srv/app"
    assert context.run("who", "ls", "/tmp") == "exec form\nwho"


def test_named_contexts(moss, context, tmp_path):
    other = Context(moss, tmp_path / "other")
    other.write("file", "from elsewhere")
    context.dockerfile("""
        FROM base
        COPY --from=more /file /file
        """)
    context.ok("-t", "named", "--build-context", f"more={other.path}",
               "--build-context", "base=docker-image://busybox")
    assert context.run("named", "cat", "/file") == "from elsewhere"


def test_errors_have_lines(context):
    for text, words in {
            "FORM busybox": ["unknown instruction: FORM", ">>>"],
            "FROM busybox\nCOPY a\n": ["line 2", ">>>"],
            "FROM busybox\nRUN --mount=type=nope true": ["nope"],
            "FROM busybox\nCOPY --from=9 a b": ["there is no stage 9"],
            "FROM busybox\nCOPY missing /": ['"/missing": not found', ">>>"],
            "FROM busybox\nRUN --security=insecure true": ["insecure"],
            "FROM nowhere.invalid/x": ["nowhere.invalid"],
            "": ["there is no instruction"],
    }.items():
        context.write("Dockerfile", text)
        error = context.fails()
        for word in words:
            assert word in error, (text, error)


def test_nothing_is_left(moss, context):
    """A failed build makes no image, and keeps nothing at work."""
    before = moss.ok("images", "-aq", "--no-trunc")
    context.dockerfile("""
        FROM busybox
        RUN echo made > /made
        RUN exit 7
        """)
    error = context.fails("-t", "never")
    assert "exit code: 7" in error
    assert moss.ok("images", "-aq", "--no-trunc") == before
    assert moss.ok("ps", "-aq") == ""
    wait_for(lambda: not list((moss.root / "tmp").iterdir()),
             "an empty tmp/")
    assert "CACHED" in context.fails("-t", "never")


def test_copied_by_content(context):
    """Other layers with the same files in the place: COPY --from is done."""
    text = """
        FROM busybox AS made
        RUN echo "{}" > /other; mkdir /d; echo same > /d/file; touch -d @1 /d/file
        FROM busybox
        COPY --from=made /d/ /d/
        RUN cat /proc/sys/kernel/random/uuid > /when
        """
    context.dockerfile(text.format("one")).ok("-t", "content")
    when = context.run("content", "cat", "/when")
    told = context.dockerfile(text.format("two")).ok("-t", "content")
    assert told.count("CACHED") == 4, told
    assert context.run("content", "cat", "/when", "/d/file") == f"{when}\nsame"
    told = context.ok("-t", "content")
    assert told.count("CACHED") == 5, told
    context.dockerfile(text.replace("same", "else").format("two")).ok("-t", "content")
    assert context.run("content", "cat", "/d/file") == "else"
    assert context.run("content", "cat", "/when") != when
