"""moss build: corners of the Dockerfile's language, as BuildKit's frontend has
them."""
import json

import pytest

from builds import Context


@pytest.fixture
def context(moss, tmp_path):
    yield Context(moss, tmp_path / "context")
    moss.remove_all()


def files_of(context, tmp_path, *args):
    """Builds into a directory: what its files hold, by name."""
    out = tmp_path / "out"
    context.ok("-o", out, *args)
    return {str(path.relative_to(out)): path.read_text()
            for path in out.rglob("*") if path.is_file()}


def test_quotes_in_here_documents(context, tmp_path):
    """The text of a file: quotes stay, variables and escapes do not."""
    context.write("Dockerfile", r"""# escape=`
FROM scratch
ARG WHO=world
COPY <<END plain
it's '$WHO' "${WHO}" \\$WHO \$WHO ${NO:-'none'}
END
COPY <<'END' quoted
it's '$WHO' \$WHO
END
""")
    assert files_of(context, tmp_path) == {
        "plain": "it's 'world' \"world\" \\world $WHO 'none'\n",
        "quoted": "it's '$WHO' \\$WHO\n",
    }


def test_builtin_arguments(context):
    """Arguments without an ARG, and what RUN sees of them."""
    context.dockerfile("""
        ARG TARGETOS
        FROM busybox AS linux
        RUN echo $(hostname) $HOSTNAME > /host
        RUN echo $HTTP_PROXY $http_proxy $NO_PROXY $no_proxy > /proxies
        FROM $TARGETOS AS last
        ARG TARGETSTAGE
        ARG TARGETARCH
        RUN echo $TARGETSTAGE $TARGETARCH > /args
        """)
    context.ok("-t", "builtin", "--build-arg", "http_proxy=p",
               "--build-arg", "NO_PROXY=n", "--build-arg", "TARGETARCH=other",
               "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=box")
    assert context.run("builtin", "cat", "/host", "/proxies", "/args") == \
        "box box\np p n n\nlast other"
    assert context.ok("--target", "linux", "--build-arg", "TARGETOS=linux",
                      "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=box2"
                      ).count("CACHED") == 1


def test_name_space_of_caches(context):
    context.dockerfile("""
        FROM busybox
        RUN --mount=type=cache,target=/space echo x >> /space/log; \\
            wc -l < /space/log
        """)

    def told(*args):
        return context.ok("--no-cache", *args).split(" RUN ")[1].split()

    assert "1" in told()
    assert "2" in told()
    space = "--build-arg=BUILDKIT_CACHE_MOUNT_NS="
    assert "1" in told(space + "other")
    assert "2" in told(space + "other")
    assert "3" in told(space)


def test_named_contexts_go_first(moss, context, tmp_path):
    """In the place of stages and images, and as what a stage begins with."""
    other = Context(moss, tmp_path / "other")
    for name in ("kept", "left", ".dockerignore"):
        other.write(name, "left\n.docker*\n")
    context.dockerfile("""
        FROM nowhere.invalid/x AS Made
        RUN exit 1
        FROM made
        COPY here /
        FROM scratch AS by-name
        COPY --from=MADE /kept /copied
        """)
    context.write("here", "here")
    given = ("--build-context", f"made={other.path}")
    assert set(files_of(context, tmp_path, "--target", "1", *given)) == \
        {"kept", "here"}
    assert set(files_of(context, tmp_path / "2", *given)) == {"copied"}

    context.dockerfile("""
        FROM docker.io/library/none:latest AS one
        FROM one AS two
        ENV IS=two
        FROM two
        RUN [ "$IS" = replaced ]
        """)
    other.dockerfile("""
        FROM busybox
        ENV IS=replaced
        ONBUILD RUN exit 1
        """).ok("-t", "instead")
    context.ok("--build-context", "two=docker-image://instead",
               "--build-context", "none=docker-image://nowhere.invalid/y")
    context.dockerfile("FROM docker.io/library/none:latest\nCOPY here /")
    assert set(files_of(context, tmp_path / "3", "--build-context",
                        "none=docker-image://scratch")) == {"here"}
    context.dockerfile("FROM a%b")
    assert "cannot begin with a context of that name" in context.fails(
        "--build-context", f"a%b={other.path}")


def test_images_in_layouts(moss, context, tmp_path):
    """A directory that `-o type=oci,tar=false` writes is an image to begin
    with, which leaves no image in the store."""
    for name in ("one", "two"):
        Context(moss, tmp_path / name).dockerfile(f"""
            FROM busybox
            ENV NAME={name}
            WORKDIR /{name}
            RUN echo {name} > file
            """).ok("-o", f"type=oci,tar=false,dest={tmp_path / name}/layout,"
                          f"name=x:{name}")
    images = moss.images()
    layout = tmp_path / "two" / "layout"
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"]
    context.dockerfile("""
        FROM busybox AS base
        RUN exit 1
        FROM image
        RUN cp file $NAME.out
        FROM scratch
        COPY --from=1 /two/two.out /
        COPY --from=base /two/file /
        """)
    for which in ("", ":two", f"@{digest}", f":two@{digest}"):
        value = f"oci-layout://{layout}{which}"
        assert files_of(context, tmp_path, "--build-context", f"base={value}",
                        "--build-context", f"image={value}") == \
            {"two.out": "two\n", "file": "two\n"}
    assert moss.images() == images
    base = f"base=oci-layout://{layout}"
    assert "there is no image one" in context.fails(
        "--build-context", base + ":one")
    other = json.loads((tmp_path / "one/layout/index.json").read_text())
    index["manifests"] += other["manifests"]
    (layout / "index.json").write_text(json.dumps(index))
    assert 'no image "latest"' in context.fails("--build-context", base)
    assert "cannot open" in context.fails("--build-context", base + ":one")
    blob = layout / "blobs/sha256" / digest.partition(":")[2]
    blob.write_bytes(blob.read_bytes() + b" ")
    assert "wrong digest" in context.fails("--build-context", base + ":two")


def test_onbuild_takes_files(moss, context, tmp_path):
    """From a stage that nobody else needs, or from an image."""
    context.dockerfile("""
        FROM busybox
        ONBUILD COPY --from=src /in /out/a
        ONBUILD RUN --mount=from=other,target=/o cp /o/in /out/b
        """).ok("-t", "taker")
    context.dockerfile("""
        FROM busybox AS src
        RUN echo from a stage > /in
        FROM taker AS with-stages
        FROM scratch
        COPY --from=with-stages /out /
        """)
    Context(moss, tmp_path / "other").dockerfile("""
        FROM busybox
        RUN echo from an image > /in
        """).ok("-t", "other")
    assert files_of(context, tmp_path) == \
        {"a": "from a stage\n", "b": "from an image\n"}
    context.dockerfile("""
        FROM taker
        FROM busybox AS src
        """)
    error = context.fails("--target", "0")
    assert "ONBUILD COPY --from=src" in error and ">>>" in error
    assert "needs to be defined before" in error


def test_several_sources(context, tmp_path):
    """Go into a directory that is there, also where no "/" says so."""
    for name in ("a", "b", "dir/c"):
        context.write(name, name)
    context.dockerfile("""
        FROM scratch
        WORKDIR /app
        COPY a b /app
        COPY dir a /made
        """)
    assert set(files_of(context, tmp_path)) == \
        {"app/a", "app/b", "made/c", "made/a"}
    for text in ("COPY a b /file", "COPY --link a b /app", "COPY a none* /file",
                 "ADD <<A b /file\nA"):
        context.write("Dockerfile", f"FROM scratch\nWORKDIR /app\n{text}\n")
        assert "must be a directory and end with a /" in context.fails()


def test_epoch_of_the_dockerfile(moss, context):
    """An ARG before the first FROM has it where nobody else does."""
    def created(*args):
        context.ok("-t", "dated", *args)
        return json.loads(moss.ok("image", "inspect", "dated"))[0]["Created"]

    context.dockerfile("""
        ARG SOURCE_DATE_EPOCH=86400
        FROM scratch
        COPY --from=scratch / /
        COPY Dockerfile /
        """)
    assert created().startswith("1970-01-02T00:00:00")
    assert created("--build-arg", "SOURCE_DATE_EPOCH=0").startswith("1970-01-01")
    assert not created("--build-arg", "SOURCE_DATE_EPOCH=").startswith("1970")
    context.dockerfile("ARG SOURCE_DATE_EPOCH=today\nFROM scratch")
    assert "not a number of seconds" in context.fails()


def test_what_is_refused(context):
    for text, words in {
            "FROM --platform=$NONE busybox": "empty platform value",
            "FROM busybox\nCOPY http://a.test/x /": "URL for COPY: use ADD",
            "FROM busybox\nCOPY https://a.test/x.git /": "git ref for COPY",
            "FROM busybox\nADD --checksum=sha256:" + 64 * "0" + " Dockerfile /":
                "checksum requires HTTP(S) or Git sources",
            "FROM busybox\nADD --checksum=sha256:" + 64 * "0" + " <<E /\nE":
                "checksum requires HTTP(S) or Git sources",
            "FROM busybox\nADD --checksum=sha256:1 http://a.test/x Dockerfile /":
                "checksum can't be specified for multiple sources",
            "FROM busybox\nADD --checksum=md5:1 http://a.test/x /": "--checksum",
            "FROM busybox\nCOPY --from=late /a /\nFROM busybox AS Late":
                "needs to be defined before",
    }.items():
        context.write("Dockerfile", text)
        error = context.fails("--target", "0")
        assert words in error and ">>>" in error, (text, error)
