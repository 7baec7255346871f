"""moss build from outside: what tutorials build, how a build is told, how it
fails, what it is given on standard input, and what it leaves."""
import io
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tarfile
import time
import urllib.request

import pexpect
import pytest

from builds import Context
from conftest import wait_for

PLAIN_ONCE = """
    FROM busybox
    RUN echo hello from a step
    """


@pytest.fixture
def context(moss, tmp_path):
    return Context(moss, tmp_path / "context")


def image_ids(moss):
    return set(moss.ok("images", "-aq", "--no-trunc").split())


def in_terminal(moss, *args, rows=24, columns=80, timeout=60, **env):
    child = pexpect.spawn(moss.program, ["build", *map(str, args)],
                          env=dict(moss.env, TERM="xterm", **env),
                          timeout=timeout, encoding="utf-8",
                          dimensions=(rows, columns))
    return child


# ---- what tutorials build ----

def test_static_site(moss, debian, context, free_port):
    context.write("site/index.html", "<h1>built by moss</h1>\n")
    context.dockerfile("""
        FROM debian
        COPY site /var/www/html
        EXPOSE 80
        CMD ["nginx", "-g", "daemon off;"]
        """)
    context.ok("-t", "site")
    port = free_port()
    moss.ok("run", "-d", "-p", f"127.0.0.1:{port}:80", "site")

    def fetch():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/",
                                        timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""
    assert wait_for(fetch, "an answer") == "<h1>built by moss</h1>\n"
    history = moss.ok("history", "--format", "{{.CreatedBy}}", "site")
    assert 'CMD ["nginx" "-g" "daemon off;"]' in history
    assert "COPY site /var/www/html" in history


def test_python_app(moss, debian, context):
    context.write("requirements.txt", "")
    context.write("app.py", "import os, platform\n"
                            "print(os.environ['GREETING'], os.getcwd())\n")
    context.dockerfile("""
        FROM debian
        ARG GREETING=hello
        ENV GREETING=$GREETING
        WORKDIR /app
        COPY requirements.txt .
        RUN python3 -m compileall -q . && test -e requirements.txt
        COPY app.py .
        USER 1000:1000
        CMD ["python3", "app.py"]
        """)
    context.ok("-t", "app", "--build-arg", "GREETING=salve")
    assert context.run("app") == "salve /app"
    # Only what follows the changed file is done again.
    context.write("app.py", "print('changed')\n")
    told = context.ok("-t", "app", "--build-arg", "GREETING=salve")
    assert told.count("CACHED") >= 4
    assert context.run("app") == "changed"


def gather_compiler(directory):
    """What gcc compiles and links with, and their libraries."""
    names = [subprocess.run(["gcc", f"-print-prog-name={name}"], check=True,
                            text=True, stdout=subprocess.PIPE).stdout.strip()
             for name in ("cc1", "as", "ld")]
    files = [shutil.which(name) for name in names]
    libraries = subprocess.run(["ldd", *files], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.split()
    for name in [*files, *(word for word in libraries if word[0] == "/")]:
        if name.endswith(":"):
            continue
        target = directory / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, target)
        target.chmod(0o755)
    for name, file in zip(("cc1", "as", "ld"), files):
        link = directory / "usr/bin" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(file)
    return directory


HELLO = r"""
static long call(long number, long a, const void *b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}
void _start(void)
{
	call(1, 1, "from scratch\n", 13);
	call(60, 0, 0, 0);
}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64",
                    reason="the program is one for x86-64")
def test_compiled_program_from_scratch(moss, context, tmp_path):
    compiler = gather_compiler(tmp_path / "compiler")
    context.write("hello.c", HELLO)
    context.dockerfile("""
        FROM busybox AS build
        COPY --from=compiler . /
        WORKDIR /src
        COPY hello.c .
        RUN cc1 -quiet -nostdinc -O2 -o hello.s hello.c && as -o hello.o hello.s && \\
            ld -o hello hello.o
        FROM scratch
        COPY --from=build /src/hello /hello
        ENTRYPOINT ["/hello"]
        """)
    context.ok("-t", "hello", "--build-context", f"compiler={compiler}")
    assert context.run("hello") == "from scratch"
    # Nothing of the first stage has come along.
    container = moss.ok("create", "hello")
    listing = subprocess.run([moss.program, "export", container], env=moss.env,
                             check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(listing)) as tar:
        assert [m.name for m in tar if m.isreg() and m.size] == ["hello"]


# ---- how a build is told ----

def test_plain(moss, context):
    context.dockerfile(PLAIN_ONCE)
    lines = context.ok("--no-cache").splitlines()
    number = next(line.split()[0] for line in lines
                  if line.endswith("[2/2] RUN echo hello from a step"))
    own = [line[len(number) + 1:] for line in lines
           if line.startswith(f"{number} ")]
    assert own[1].split(" ", 1)[1] == "hello from a step"
    assert own[2].startswith("DONE ") and len(own) == 3
    lines = context.ok().splitlines()
    assert f"{number} CACHED" in lines
    assert not any("hello from a step" in line and "RUN" not in line
                   for line in lines)


def test_quiet_and_files(moss, context, tmp_path):
    context.dockerfile(PLAIN_ONCE)
    (tmp_path / "iid").write_text("what was there before")
    result = moss("build", "-q", "-t", "one", "-t", "localhost:5000/two:2",
                  "--iidfile", tmp_path / "iid", "--metadata-file",
                  tmp_path / "metadata", context.path, check=0)
    assert result.err == ""
    image = moss.inspect("one")["Id"]
    assert result.out == f"{image}\n"
    assert (tmp_path / "iid").read_text() == image
    assert moss.inspect("localhost:5000/two:2")["Id"] == image
    metadata = json.loads((tmp_path / "metadata").read_text())
    assert metadata["containerimage.config.digest"] == image
    assert metadata["image.name"] == \
        "docker.io/library/one:latest,localhost:5000/two:2"


def test_raw_messages(moss, context):
    context.dockerfile(PLAIN_ONCE)
    result = moss("build", "--no-cache", "--progress", "rawjson", context.path,
                  check=0)
    messages = [json.loads(line) for line in result.err.splitlines()]
    assert result.out == ""
    names = {m["vertex"]: m["name"] for m in messages if "name" in m}
    logs = [m for m in messages if "log" in m]
    assert [(m["log"], m["stream"], names[m["vertex"]]) for m in logs] == \
        [("hello from a step\n", 1, "[2/2] RUN echo hello from a step")]
    assert {m["vertex"] for m in messages if "completed" in m} == set(names)


def test_environment_chooses(moss, context):
    context.dockerfile(PLAIN_ONCE)
    raw = moss.with_env(BUILDKIT_PROGRESS="rawjson")
    assert json.loads(raw("build", context.path,
                          check=0).err.splitlines()[0])["vertex"]
    told = raw("build", "--progress=plain", context.path, check=0).err
    assert told.startswith("#")
    result = raw("build", "--progress=tty", context.path, check=1)
    assert "not a terminal" in result.err
    result = raw("build", "-q", "--progress=plain", context.path, check=1)
    assert "quiet cannot be used together" in result.err


def test_terminal(moss, context):
    context.dockerfile(r"""
        FROM busybox
        RUN for i in 1 2 3 4 5 6 7 8 9; do echo "line $i"; done; sleep 1
        RUN printf 'up\033[5Aand\033]0;title\007away\033[2J\n'; sleep 1
        """)
    child = in_terminal(moss, "--no-cache", context.path)
    child.expect(pexpect.EOF)
    child.close()
    text = child.before
    assert child.exitstatus == 0
    assert "[+] Building 0." in text and " FINISHED" in text
    assert " => => # line 4" in text and " => => # line 9" in text
    assert " => => # upandaway" in text
    assert "\033]0;" not in text and "\033[2J" not in text
    assert text.count("\033[?25l") == text.count("\033[?25h") == 1
    # Nothing to do: all there is to see is that.
    child = in_terminal(moss, context.path, NO_COLOR="1")
    child.expect(pexpect.EOF)
    child.close()
    assert child.before.count(" => CACHED [") == 3
    assert "\033[34m" not in child.before


def test_narrow_terminal(moss, context):
    context.dockerfile("""
        FROM busybox
        RUN echo 0123456789012345678901234567890123456789; sleep 1
        """)
    child = in_terminal(moss, "--no-cache", context.path, rows=6, columns=20,
                        NO_COLOR="1")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    text = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", child.before)
    lines = re.split(r"[\r\n]+", text)
    assert " => => # 012345678…" in lines
    assert max(map(len, lines)) < 20


def test_escapes_in_plain_lines(moss, context):
    context.dockerfile(r"""
        FROM busybox
        RUN printf '\033[32mgreen\033[m \033[2Jnot\033[9Aup\rback\n'
        RUN printf '\377\376 10%%\r 50%%\r100%%\n'
        """)
    result = context.build("--no-cache")
    assert "\033[2J" not in result.err and "\033[9A" not in result.err
    assert " back\n" in result.err
    assert " 100%\n" in result.err and "50%\n" not in result.err
    context.dockerfile("FROM busybox\nRUN printf '\\033[32mgreen\\n'\n")
    assert "\033[32mgreen\033[m\n" in context.ok("--no-cache")
    plain = Context(moss.with_env(NO_COLOR="1"), context.path)
    assert "\033" not in plain.ok("--no-cache")


# ---- how it fails ----

def test_failing_step(moss, context):
    before = image_ids(moss)
    context.dockerfile("""
        FROM busybox
        RUN echo fine > /fine
        RUN echo before it; \\
            echo why it fails >&2; exit 42
        COPY nothing /
        """)
    result = context.build("-t", "broken")
    assert result.code == 1 and result.out == ""
    assert "why it fails" in result.err
    ending = result.err[result.err.index("------\n"):]
    assert " > [3/4] RUN echo before it;" in ending
    assert "Dockerfile:3\n" in ending
    assert "\n   3 | >>> RUN echo before it; \\\n" in ending
    assert "\n   4 | >>>     echo why it fails >&2; exit 42\n" in ending
    assert "\n   2 |     RUN echo fine > /fine\n" in ending
    assert "exit code: 42" in ending.splitlines()[-1]
    assert image_ids(moss) == before
    assert moss("inspect", "broken").code == 1
    assert moss.ok("ps", "-aq") == ""
    # What was done is not done again.
    assert "[2/4] RUN echo fine > /fine" in result.err
    again = context.fails("-t", "broken")
    number = next(line.split()[0] for line in again.splitlines()
                  if line.endswith("[2/4] RUN echo fine > /fine"))
    assert f"{number} CACHED\n" in again


@pytest.mark.parametrize("command", ['["no-such-program"]', '["/etc"]',
                                     "exit 127"])
def test_a_failed_build_exits_with_one(moss, context, command):
    context.dockerfile(f"""
        FROM busybox
        RUN {command}
        """)
    result = context.build("--no-cache")
    assert result.code == 1, result


def test_quiet_failure_says_why(moss, context, tmp_path):
    context.dockerfile("FROM busybox\nRUN echo the reason; false\n")
    (tmp_path / "iid").write_text("what was there before")
    result = moss("build", "-q", "--iidfile", tmp_path / "iid", context.path,
                  check=1)
    assert result.out == ""
    assert "the reason" in result.err and "exit code: 1" in result.err
    assert not (tmp_path / "iid").exists()


@pytest.mark.parametrize("text, line, words", [
    ("FROM busybox\nRUNN true\n", 2, "RUNN"),
    ("FROM busybox\nCOPY a\n", 2, "COPY"),
    ("RUN true\n", 1, "FROM"),
    ("FROM busybox\n\nENV A\n", 3, "ENV"),
    ("FROM busybox\nCOPY --from=5 a b\n", 2, "5"),
])
def test_mistakes_have_a_place(moss, context, text, line, words):
    context.dockerfile(text)
    err = context.fails()
    assert f"Dockerfile:{line}\n" in err, err
    assert f"{line} | >>> {text.splitlines()[line - 1]}\n" in err
    assert words in err.splitlines()[-1] or words in err.splitlines()[-2]


def test_nothing_to_build(moss, context):
    result = moss("build", context.path, check=1)
    assert "open Dockerfile: no such file" in result.err
    result = moss("build", context.path / "nowhere", check=1)
    assert "unable to prepare context" in result.err
    result = moss("build", check=1)
    assert "'moss build' requires 1 argument" in result.err
    context.write("Dockerfile", "")
    assert "no instruction" in context.fails()


# ---- where it comes from ----

def test_dockerfile_on_standard_input(moss, context):
    moss("build", "-t", "piped", "-", check=0,
         stdin="FROM busybox\nRUN echo piped > /piped\n")
    assert context.run("piped", "cat", "/piped") == "piped"
    context.write("file", "of the context")
    moss("build", "-t", "piped", "-f", "-", context.path, check=0,
         stdin="FROM busybox\nCOPY file /\n")
    assert context.run("piped", "cat", "/file") == "of the context"
    result = moss("build", "-", check=1, stdin="FROM busybox\nCOPY a /\n")
    assert "COPY" in result.err
    result = moss("build", "-f", "-", "-", check=1, stdin="FROM busybox\n")
    assert "can't use stdin for both" in result.err


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_archive_on_standard_input(moss, context, mode):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, text in (("sub/Dockerfile", "FROM busybox\nCOPY file /\n"),
                           ("file", "x" * 200000 + "end")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    moss("build", "-t", "unpacked", "-f", "sub/Dockerfile", "-", check=0,
         stdin=packed.getvalue(), text=False)
    assert context.run("unpacked", "tail", "-c3", "/file") == "end"


def test_dockerfile_elsewhere(moss, context, tmp_path):
    context.write("file", "of the context")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "Special").write_text("FROM busybox\nCOPY file /\nRUN false\n")
    err = context.fails("-f", elsewhere / "Special")
    assert "Special:3\n" in err
    (elsewhere / "Special").write_text("FROM busybox\nCOPY file /\n")
    context.ok("-f", elsewhere / "Special", "-t", "special")
    assert context.run("special", "cat", "/file") == "of the context"
    # Of the working directory, not of the context.
    moss("build", "-f", "Special", context.path, check=0, cwd=elsewhere)
    result = moss("build", "-f", "file", context.path, check=1, cwd=elsewhere)
    assert "failed to read dockerfile" in result.err
    # The second name docker knows.
    context.write("dockerfile", "FROM busybox\nRUN echo small > /small\n")
    context.ok("-t", "special")
    assert context.run("special", "cat", "/small") == "small"


def test_options(moss, context):
    context.dockerfile("""
        FROM busybox AS base
        ARG FROM_HERE
        ARG GIVEN=no
        RUN echo "$FROM_HERE $GIVEN" > /args
        FROM base AS last
        RUN touch /last
        """)
    builder = Context(moss.with_env(FROM_HERE="environment"), context.path)
    builder.ok("-t", "options", "--build-arg", "FROM_HERE", "--build-arg",
               "GIVEN=yes", "--build-arg", "MISSING", "--target", "base",
               "--label", "a=b", "--label", "c")
    assert context.run("options", "cat", "/args") == "environment yes"
    assert context.run("options", "ls", "/").count("last") == 0
    labels = moss.inspect("options")["Config"]["Labels"]
    assert labels == {"a": "b", "c": ""}
    for command in (["image", "build"], ["builder", "build"],
                    ["buildx", "build"]):
        moss(*command, "-q", context.path, check=0)


def test_push(moss, context, registry):
    name = registry.name("build/pushed:1")
    context.dockerfile("FROM busybox\nRUN echo pushed > /pushed\n")
    told = context.ok("-t", name, "--push")
    digest = registry.client.manifest("build/pushed:1")[1]
    assert f"1: digest: {digest}" in told


# ---- how it is broken off ----

def test_interrupted(moss, context):
    before = image_ids(moss)
    context.dockerfile("""
        FROM busybox
        RUN echo done > /done
        RUN echo sleeping; sleep 1000
        """)
    child = in_terminal(moss, "--no-cache", context.path)
    child.expect("=> => # sleeping")
    began = time.monotonic()
    child.send("\x03")
    child.expect(pexpect.EOF)
    child.close()
    assert time.monotonic() - began < 5  # a second, on a machine that is free
    assert child.exitstatus == 1
    assert " => CANCELED [3/3] RUN echo sleeping; sleep 1000" in child.before \
        or " => ERROR [3/3] RUN echo sleeping; sleep 1000" in child.before
    assert "moss: canceled" in child.before
    assert image_ids(moss) == before
    assert moss.ok("ps", "-aq") == ""
    context.dockerfile("""
        FROM busybox
        RUN echo done > /done
        RUN echo sleeping
        """)
    told = context.ok()
    number = next(line.split()[0] for line in told.splitlines()
                  if line.endswith("[2/3] RUN echo done > /done"))
    assert f"{number} CACHED\n" in told


def test_killed(moss, context):
    context.dockerfile("FROM busybox\nRUN echo begun; sleep 1000\n")
    process = moss.popen("build", "--progress", "plain", "--no-cache",
                         context.path, stderr=subprocess.PIPE, text=True,
                         start_new_session=True)
    for line in process.stderr:
        if line.endswith(" begun\n"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    # All of it ends, and with it what holds its standard error.
    assert select.select([process.stderr], [], [], 10)[0]
    assert process.stderr.read() in ("", "#4 CANCELED\n")
    assert moss.ok("ps", "-aq") == ""
    context.dockerfile("FROM busybox\nRUN echo begun\n")
    context.ok("-t", "after")
    work = pathlib.Path(moss.root) / "work"
    assert not work.exists() or not list(work.iterdir())
