"""A user without subordinate IDs: one ID, ownership calls that succeed."""
import io
import os
import tarfile

from conftest import has_sub_ids


def test_runs_with_a_note(single):
    result = single("run", "--rm", "busybox", "id", "-u", check=0)
    assert result.out == "0\n"
    assert "subordinate" in result.err and result.err.count("\n") == 1


def test_one_id_is_mapped(single):
    out = single.ok("run", "--rm", "busybox", "cat", "/proc/self/uid_map")
    assert len(out.splitlines()) == 1 and out.split()[2] == "1"


def test_ownership_calls_succeed(single):
    assert single.ok("run", "--rm", "busybox", "sh", "-c",
                     "touch /x && chown 33:33 /x && chgrp 5 /x && echo done") == \
        "done"


def test_exec_and_detached(single):
    single.ok("run", "-d", "--name", "side", "busybox", "sleep", "100")
    assert single.ok("exec", "side", "echo", "in") == "in"
    single.ok("rm", "-f", "side")


def test_modes_that_need_ids_are_refused(single):
    for mode in ("auto", "nomap"):
        result = single("run", "--rm", "--userns", mode, "busybox", "true")
        assert result.code == 125 and "userns" in result.err


def test_other_users_are_explained(single):
    result = single("run", "--rm", "-u", "1000", "busybox", "id", "-u")
    assert result.code == 0 or "1000" in result.err


def test_files_belong_to_the_user(single, tmp_path):
    single.ok("run", "--rm", "-v", f"{tmp_path}:/d", "busybox", "touch", "/d/f")
    assert (tmp_path / "f").stat().st_uid == os.getuid()


def test_commit_export_and_copy(single, tmp_path):
    single.ok("run", "--name", "work", "busybox", "sh", "-c",
              "echo x > /new; chown 33 /new; rm /etc/group")
    single.ok("commit", "work", "changed")
    assert single.ok("run", "--rm", "changed", "sh", "-c",
                     "cat /new; test ! -e /etc/group && echo gone") == "x\ngone"
    names = single("export", "work", text=False, check=0).out
    with tarfile.open(fileobj=io.BytesIO(names)) as tar:
        assert tar.getmember("new").uid == 0
        assert "etc/group" not in tar.getnames()
    single.ok("cp", "work:/new", tmp_path)
    assert (tmp_path / "new").stat().st_uid == os.getuid()
    single.ok("cp", "changed:/etc", tmp_path / "etc")
    assert (tmp_path / "etc/passwd").exists()


def test_copy_in(single, tmp_path):
    single.ok("run", "-d", "--name", "into", "-v", "/vol", "busybox", "sleep",
              "100")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/f").write_text("text")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("g")
        entry.uid, entry.gid, entry.size = 33, 44, 4
        tar.addfile(entry, io.BytesIO(b"data"))

    def copy():
        single.ok("cp", tmp_path / "tree", "into:/new")
        single.ok("cp", "-a", f"{tmp_path}/tree/.", "into:/vol")
        single("cp", "-", "into:/new", stdin=data.getvalue(), text=False,
               check=0)
    # Below unshare's namespaces each moss is a stranger to what runs.
    if not has_sub_ids():
        copy()
    single.ok("stop", "-t", "0", "into")
    if has_sub_ids():
        copy()
    single.ok("start", "into")
    assert single.ok("exec", "into", "sh", "-c", "stat -c %u /new/g; cat "
                     "/new/f /new/g /vol/f") == "0\ntextdatatext"
    single.ok("rm", "-fv", "into")
