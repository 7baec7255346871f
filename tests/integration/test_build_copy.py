"""moss build: COPY, ADD and WORKDIR, contexts from elsewhere, hostile ones."""
import functools
import hashlib
import http.server
import io
import os
import socket
import subprocess
import tarfile
import threading

import pytest

from builds import Context


@pytest.fixture
def context(moss, tmp_path):
    yield Context(moss, tmp_path / "context")
    moss.remove_all()


@pytest.fixture
def web(tmp_path):
    """Files served on loopback: the directory and its URL."""
    root = tmp_path / "web"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            self.server.paths.append(self.path)

        def end_headers(self):
            if "disposition" in self.path:
                self.send_header("Content-Disposition",
                                 'attachment; filename="named.txt"')
            super().end_headers()

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    server.paths = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield root, f"http://127.0.0.1:{server.server_address[1]}", server
    server.shutdown()
    server.server_close()


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def test_copy(moss, context):
    """Owners, modes, wildcards, links, names that a shell would trip over."""
    context.write("src/a.txt", "a\n", 0o600)
    context.write("src/b.txt", "b\n")
    context.write("src/sub/run", "#!/bin/sh\necho ran\n", 0o755)
    context.write("odd\nname", "odd\n")
    os.symlink("a.txt", context.path / "src/link")
    context.dockerfile("""
        FROM busybox
        RUN mkdir -p /real && ln -s /real /way && \\
            echo site:x:33:34::/: >> /etc/passwd && chmod 1777 /tmp
        WORKDIR /way/app
        COPY src/*.txt ./
        COPY --chown=site --chmod=u=rwX,go= src /way/owned/
        COPY src/sub/run /bin/run
        COPY odd* /tmp/
        COPY <<EOF /etc/told
        said
        EOF
        RUN /bin/run && stat -c '%n %a %u:%g' /real/app/* /real/owned/* \\
            /tmp /tmp/odd* /etc/told && ls -l /real/owned/link && pwd
        """)
    out = context.ok("--no-cache")
    for line in ("ran", "/real/app/a.txt 600 0:0", "/real/app/b.txt 644 0:0",
                 "/real/owned/sub 700 33:34", "/real/owned/a.txt 600 33:34",
                 "/tmp 1777 0:0", "/etc/told 644 0:0", "link -> a.txt"):
        assert line in out, line


def test_hard_links_of_a_context(moss, context):
    """Files are one within a COPY, not with what another took or none."""
    file = context.write("tree/a", "text", 0o640)
    (context.path / "tree/deep").mkdir()
    for name in ("tree/deep/b", "tree/left-out", "other"):
        os.link(file, context.path / name)
    context.write(".dockerignore", "tree/left-out\n")
    context.dockerfile("""
        FROM busybox
        COPY tree /t/
        COPY other /t/
        RUN cd /t && stat -c '%n %h %a' a other && stat -c '%i' a deep/b | \\
            uniq | wc -l
        """)
    out = context.ok("--no-cache")
    for line in ("a 2 640", "other 1 640", " 1\n"):
        assert line in out, line


def test_cached_until_changed(moss, context):
    """Touching nothing rebuilds nothing; one source, only what follows."""
    context.write("one", "1")
    context.write("two", "2")
    context.dockerfile("""
        FROM busybox
        COPY one /one
        RUN echo after one
        COPY two /two
        RUN echo after two
        """)
    context.ok()
    os.utime(context.path / "two")
    out = context.ok()
    assert "after" not in out.replace("echo after", "")
    context.write("two", "3")
    out = context.ok()
    told = out.replace("echo after", "")
    assert "after two" in told and "after one" not in told


def test_add_archives_and_urls(moss, context, web):
    root, url, server = web
    content = tar_of({"dir/file": "packed\n"})
    (root / "x.tar.gz").write_bytes(content)
    (root / "disposition").mkdir()
    (root / "disposition/index.html").write_text("named\n")
    os.utime(root / "x.tar.gz", (1000000000, 1000000000))
    context.write("local.tar.gz", content)
    digest = hashlib.sha256(content).hexdigest()
    context.dockerfile(f"""
        FROM busybox
        ADD local.tar.gz /local
        ADD --unpack=false local.tar.gz /kept/
        ADD --checksum=sha256:{digest} {url}/x.tar.gz /fetched/
        ADD --unpack {url}/x.tar.gz /unpacked/
        ADD {url}/disposition/ /named/
        RUN cat /local/dir/file /unpacked/dir/file /named/named.txt && \\
            stat -c '%n %a %Y %u' /kept/* /fetched/*
        """)
    out = context.ok()
    assert out.count("packed\n") == 2
    assert "named\n" in out
    assert "/kept/local.tar.gz 644" in out
    assert "/fetched/x.tar.gz 600 1000000000 0" in out
    # Digest and layer of a build come from one download.
    assert sum("x.tar.gz" in path for path in server.paths) == 1
    context.dockerfile(f"""
        FROM scratch
        ADD --checksum=sha256:{'0' * 64} {url}/x.tar.gz /
        """)
    assert "digest mismatch" in context.fails()
    context.dockerfile(f"FROM scratch\nADD {url}/none /\n")
    assert "404" in context.fails()


def test_hostile_context(moss, context, tmp_path):
    """Links out of it, FIFOs, whiteouts, a gigabyte of nothing."""
    (tmp_path / "secret").write_text("secret")
    context.write("src/plain", "plain\n")
    os.symlink(tmp_path / "secret", context.path / "out")
    os.symlink("../../../../../../../..", context.path / "up")
    os.mkfifo(context.path / "src/pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(context.path / "src")
        sock.bind("sock")
        os.chdir("/")
    with open(context.path / "sparse", "wb") as file:
        file.truncate(1 << 30)
    context.dockerfile("FROM busybox\nCOPY out /\n")
    assert "not found" in context.fails()
    context.dockerfile(f"FROM busybox\nCOPY up{tmp_path}/secret /\n")
    assert "not found" in context.fails()
    context.dockerfile("FROM busybox\nCOPY ../secret /\n")
    assert "not found" in context.fails()
    context.dockerfile("""
        FROM busybox
        COPY src /src
        COPY sparse /
        RUN ls -l /src && stat -c '%s %b' /sparse
        """)
    out = context.ok()
    assert " pipe" in out and "1073741824 " in out
    blocks = int(out.split("1073741824 ")[1].split()[0])
    assert blocks < 4096
    context.write("src/.wh.plain", "")
    error = context.fails()
    assert ".wh.plain" in error and "Dockerfile:2" in error


def test_changes_while_read(moss, context):
    """What is cached for a file's content is that content, even if the file
    had another one when it was looked at, or half of each."""
    contents = [bytes([letter]) * (2 << 20) for letter in b"AB"]
    context.write("file", contents[0])
    context.dockerfile("""
        FROM busybox
        COPY file /file
        RUN sha256sum /file
        """)
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            number += 1
            with open(context.path / "file", "r+b") as file:
                file.write(contents[number % 2])

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(4):
            result = context.build()
            assert result.code == 0 or "file" in result.err, result
    finally:
        stop.set()
        thread.join()
    for content in contents:
        context.write("file", content)
        context.ok("-t", "changed")
        assert context.run("changed", "sha256sum", "/file").split()[0] == \
            hashlib.sha256(content).hexdigest()


def test_refusals(moss, context):
    """What is wrong is told with the line it stands in, and leaves nothing."""
    context.write("a", "a")
    context.write("dir/a/b", "b")
    dangling = ("image", "ls", "-q", "--filter", "dangling=true")
    before = moss.ok(*dangling)
    cases = {
        "COPY none /": "not found",
        "COPY --chown=nobody77 a /": "nobody77",
        "COPY --chmod=999 a /": "octal",
        "COPY a /bin": "",
        "COPY dir /bin/busybox": "non-directory",
        "COPY dir/a /etc/passwd": "non-directory",
    }
    for line, text in cases.items():
        context.dockerfile(f"FROM busybox\n{line}\n")
        if not text:
            context.ok("-t", "fine")
            continue
        error = context.fails()
        assert text in error and "Dockerfile:2" in error, line
    assert moss.ok(*dangling) == before


def test_contexts_from_elsewhere(moss, context, web, tmp_path):
    root, url, _ = web
    files = {"Dockerfile": "FROM busybox\nCOPY file /file\nRUN cat /file\n",
             "file": "from afar\n"}
    (root / "context.tar.gz").write_bytes(tar_of(files))
    (root / "Plainfile").write_text("FROM busybox\nRUN echo plain file\n")
    out = moss("build", "--progress", "plain", f"{url}/context.tar.gz")
    assert out.code == 0 and "from afar" in out.err, out
    out = moss("build", "--progress", "plain", f"{url}/Plainfile")
    assert out.code == 0 and "plain file" in out.err, out
    out = moss("build", "--no-cache", "--progress", "plain", "-",
               stdin=tar_of(files), text=False)
    assert out.code == 0 and b"from afar" in out.err, out
    out = moss("build", "--progress", "plain", "-",
               stdin=tar_of({"../../escaped": "x"}), text=False)
    assert out.code != 0 and b"leads out" in out.err, out


def test_git(moss, context, tmp_path):
    """A repository as a context and as a source, served by git itself."""
    top = tmp_path / "repos"
    repo = top / "site"
    repo.mkdir(parents=True)
    (repo / "sub").mkdir()
    (repo / "sub/Dockerfile").write_text("FROM busybox\nCOPY page /\nRUN cat /page\n")
    (repo / "sub/page").write_text("hello from git\n")
    git = ["git", "-C", str(repo), "-c", "user.name=x", "-c", "user.email=x@y"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."],
                      ["commit", "-qm", "1"]):
        subprocess.run(git + arguments, check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                subprocess.run(
                    ["git", "daemon", "--inetd", "--export-all",
                     f"--base-path={top}", str(top)],
                    stdin=connection, stdout=connection,
                    stderr=subprocess.DEVNULL, check=False)

    threading.Thread(target=serve, daemon=True).start()
    try:
        url = f"git://127.0.0.1:{port}/site#main:sub"
        out = moss("build", "--progress", "plain", url)
        assert out.code == 0 and "hello from git" in out.err, out
        (repo / "Dockerfile").write_text(
            "FROM busybox\nCOPY . /all\nRUN ls -d /all/.git || echo without\n")
        for arguments in (["add", "."], ["commit", "-qm", "2"]):
            subprocess.run(git + arguments, check=True)
        url = f"git://127.0.0.1:{port}/site"
        for given, told in ((), "without"), (("1",), "/all/.git"):
            args = [f"--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR={value}"
                    for value in given]
            out = moss("build", "--progress", "plain", *args, url)
            assert out.code == 0 and told in out.err.split(), out
        url = f"git://127.0.0.1:{port}/site#main:sub"
        context.dockerfile(f"""
            FROM busybox
            ADD {url} /site
            ADD --keep-git-dir git://127.0.0.1:{port}/site /whole
            RUN cat /site/page && ls -d /whole/.git
            """)
        out = context.ok()
        assert "hello from git" in out and "/whole/.git" in out
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
