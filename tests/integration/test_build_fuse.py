"""moss build where the root of RUN is served by fuse-overlayfs: the same layers
and the same images as with the kernel's overlay."""
import pytest

from builds import Context

FUSE = ["--storage-driver", "fuse-overlayfs"]


@pytest.fixture(autouse=True)
def caches(session_moss):
    yield
    session_moss("builder", "prune", "-af")


@pytest.fixture
def context(moss, tmp_path):
    return Context(moss, tmp_path / "context")


def tree(context, image, *paths):
    """What is there, with owners, modes, link targets and contents."""
    places = " ".join(paths)
    return context.run(image, "sh", "-c", f"""
        find {places} | sort | xargs stat -c '%n %A %u:%g %N'
        find {places} -type f | sort | xargs stat -c '%n %h'
        find {places} -type f | sort | xargs cat""")


def both(context, *args):
    """Built with either driver, nothing cached: the two images."""
    for driver in ("overlay", "fuse-overlayfs"):
        told = context.ok("--no-cache", "--storage-driver", driver, "-t",
                          driver, *args)
        print(told)
    return "overlay", "fuse-overlayfs"


def test_root_is_fuse(context):
    context.dockerfile("""
        FROM busybox
        RUN grep ' / ' /proc/mounts
        """)
    assert "fuse" in context.ok(*FUSE)
    other = context.moss.with_env(MOSS_STORAGE_DRIVER="fuse-overlayfs")
    context.moss = other
    assert "fuse" in context.ok("--no-cache")
    assert " / overlay " in context.ok("--no-cache", "--storage-driver",
                                       "overlay")
    assert "nosuch" in context.fails("--no-cache", "--storage-driver", "nosuch")


def test_changes(context):
    """Files of every kind, owners, whiteouts, opaque directories, renames."""
    context.write("copied/a", "a\n")
    context.write("copied/sub/b", "b\n", 0o640)
    context.dockerfile("""
        FROM busybox
        COPY --chown=12:34 copied /copied
        RUN mkdir -p /d/in /gone/deep && echo 1 > /d/1 && echo 2 > /d/in/2 && \\
            echo 3 > /gone/deep/3 && ln -s in /d/link && ln /d/1 /d/hard && \\
            chown 7:8 /d/in/2 && chmod 4751 /d/1 && mkfifo /d/pipe
        RUN rm -r /gone /d/in && mkdir /d/in && echo new > /d/in/new && \\
            mv /copied/sub /copied/moved && rm /copied/a && \\
            rm -r /home && chmod 700 /d
        RUN echo again > /gone && chown -R 5:6 /copied
        """)
    trees = [tree(context, image, "/d", "/copied", "/gone")
             for image in both(context)]
    assert trees[0] == trees[1]
    assert "again" in trees[1] and "/d/in/2" not in trees[1]
    assert context.run("fuse-overlayfs", "sh", "-c",
                       "test ! -e /home && echo gone") == "gone"


def test_stages_and_mounts(context):
    context.write("file", "of the context\n")
    context.dockerfile("""
        FROM busybox AS first
        RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t \\
            echo kept >> /cache/f && touch /t/x && wc -l < /cache/f > /count
        FROM busybox AS other
        RUN mkdir /o && echo other > /o/f && rm -r /home
        FROM first
        COPY --from=other /o /from
        RUN --mount=type=bind,from=other,target=/m,rw --mount=target=/ctx \\
            cat /m/o/f /ctx/file > /read && echo lost > /m/o/f && \\
            test ! -e /m/home
        RUN --mount=type=secret,id=s cat /run/secrets/s > /secret
        """)
    secret = context.path.parent / "secret"
    secret.write_text("hush\n")
    images = both(context, "--secret", f"id=s,src={secret}")
    trees = [tree(context, image, "/from", "/read", "/secret")
             for image in images]
    assert trees[0] == trees[1]
    assert "of the context" in trees[1] and "other" in trees[1]
    # The cache was the same, and is in neither image.
    assert [context.run(image, "cat", "/count") for image in images] == \
        ["1", "2"]
    names = [context.run(image, "ls", "/") for image in images]
    assert names[0] == names[1]
    assert not {"cache", "m", "ctx", "t"} & set(names[1].split())


def test_cache_is_shared_by_drivers(context):
    context.dockerfile("""
        FROM busybox
        RUN echo made > /made
        RUN rm /made
        """)
    context.ok(*FUSE, "-t", "served")
    assert context.ok("--storage-driver", "overlay", "-t", "native").count(
        "CACHED") == 3
    assert context.moss.ok("images", "-q", "served") == \
        context.moss.ok("images", "-q", "native")


def test_failed_step(context):
    context.dockerfile("""
        FROM busybox
        RUN echo half > /half && exit 3
        """)
    assert "exit code: 3" in context.fails(*FUSE)
    left = list(context.moss.root.glob("tmp/work-*"))
    assert not left
