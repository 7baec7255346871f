"""inspect, info and version have docker's JSON: its members, of its types, and
no others."""
import json
import re

import pytest

import docker_shapes as shapes

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def compare(real, docker, left_out, path=""):
    """Differences, a line each."""
    where = path or "(all)"
    if docker is None:
        return []
    if type(docker) is not type(real):
        return [f"{where}: {real!r} is no {type(docker).__name__}"]
    if isinstance(docker, list):
        return [line for item in real for entry in docker[:1]
                for line in compare(item, entry, left_out, path)]
    if not isinstance(docker, dict):
        return []
    if "*" in docker:
        return [line for item in real.values() if item is not None
                for line in compare(item, docker["*"], left_out, path)]
    lines = []
    extra = left_out.get(path, set())
    for name in sorted(docker.keys() - real.keys()):
        lines.append(f"{where}: no member {name}")
    for name in sorted(real.keys() - docker.keys()):
        if extra is not None and name not in extra:
            lines.append(f"{where}: docker has no member {name}")
    for name in sorted(real.keys() & docker.keys()):
        lines += compare(real[name], docker[name], left_out,
                         f"{path}.{name}" if path else name)
    return lines


def check(kind, real, docker):
    differences = compare(real, docker, shapes.LEFT_OUT[kind])
    assert not differences, "\n".join(differences)


@pytest.fixture
def web(moss):
    moss.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "-v",
            "data:/data", "-v", "/tmp:/host", "--tmpfs", "/scratch",
            "--health-cmd", "true", "--health-interval", "100ms", "--ulimit",
            "nofile=100", "-l", "a=b", "--stop-signal", "TERM", "busybox",
            "sleep", "1000")
    yield moss
    moss("rm", "-f", "web")
    moss("volume", "rm", "data")


def test_running_container(web):
    web.wait_for(lambda: web.inspect("web")["State"]["Health"]["Log"])
    real = web.inspect("web")
    check("container", real, shapes.CONTAINER)
    assert not compare(real["State"]["Health"], shapes.HEALTH, {})
    # What scripts read.
    state = real["State"]
    assert state["Status"] == "running" and state["Pid"] > 1
    assert state["Health"]["Status"] in ("starting", "healthy")
    for time in (real["Created"], state["StartedAt"],
                 state["Health"]["Log"][0]["Start"],
                 state["Health"]["Log"][0]["End"]):
        assert TIME.fullmatch(time), time
    assert state["FinishedAt"] == "0001-01-01T00:00:00Z"
    port = web.ok("port", "web", "80").split(":")[1]
    settings = real["NetworkSettings"]
    assert settings["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1",
                                             "HostPort": port}]}
    assert settings["Networks"]["bridge"]["IPAddress"] == \
        settings["IPAddress"] != ""
    assert real["HostConfig"]["NetworkMode"] == "bridge"
    assert real["HostConfig"]["RestartPolicy"]["Name"] == "no"
    mounts = {mount["Destination"]: mount for mount in real["Mounts"]}
    assert mounts["/host"]["Source"] == "/tmp"
    assert mounts["/data"]["Name"] == "data"
    assert mounts["/data"]["Source"] == \
        json.loads(web.ok("volume", "inspect", "data"))[0]["Mountpoint"]
    assert real["LogPath"].startswith(str(web.root))
    assert real["GraphDriver"]["Name"] == real["Driver"]
    # As the manual says, sizes only when they are asked for.
    assert "SizeRw" not in real
    sizes = json.loads(web.ok("inspect", "-s", "web"))[0]
    assert sizes["SizeRootFs"] > sizes["SizeRw"] >= 0
    check("container", sizes, shapes.CONTAINER)


def test_container_that_never_ran(moss):
    moss.ok("create", "--name", "new", "busybox", "true")
    real = moss.inspect("new")
    check("container", real, shapes.CONTAINER)
    assert real["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert "Health" not in real["State"]
    assert real["NetworkSettings"]["Ports"] == {}
    # A template has docker's zero values.
    assert moss.ok("inspect", "-f", "{{.State.Health}} {{json .State.Health}} "
                   "{{.HostConfig.Binds}} {{.Config.ExposedPorts}} "
                   "{{.HostConfig.Init}} {{.SizeRw}}", "new") == \
        "<nil> null [] map[] <nil> <nil>"
    assert moss("inspect", "-f", "{{.State.Health.Status}}", "new").code == 1


def test_ended_container(moss):
    assert moss("run", "--name", "end", "busybox", "sh", "-c", "exit 7").code == 7
    real = moss.inspect("end")
    check("container", real, shapes.CONTAINER)
    assert real["State"]["ExitCode"] == 7 and real["State"]["Pid"] == 0
    assert TIME.fullmatch(real["State"]["FinishedAt"])
    assert real["NetworkSettings"]["IPAddress"] == ""


def test_image(moss, tmp_path):
    moss.ok("create", "--name", "base", "busybox", "true")
    moss.ok("commit", "-a", "me", "-c", "EXPOSE 80", "-c", "USER 1", "-c",
            'CMD ["sh"]', "base", "made")
    for name in ("busybox", "made"):
        check("image", json.loads(moss.ok("image", "inspect", name))[0],
              shapes.IMAGE)
    real = json.loads(moss.ok("image", "inspect", "made"))[0]
    assert TIME.fullmatch(real["Created"]) and real["Author"] == "me"
    assert real["Config"]["ExposedPorts"] == {"80/tcp": {}}
    moss.ok("rm", "base")
    moss.ok("rmi", "made")


def test_volume(moss):
    moss.ok("volume", "create", "--label", "a=b", "labelled")
    anonymous = moss.ok("volume", "create")
    for name in ("labelled", anonymous):
        real = json.loads(moss.ok("volume", "inspect", name))[0]
        check("volume", real, shapes.VOLUME)
        assert TIME.fullmatch(real["CreatedAt"])
    assert moss.ok("volume", "inspect", "-f", "{{.Options}} {{.Status}}",
                   "labelled") == "map[] map[]"
    moss.ok("volume", "rm", "labelled", anonymous)


def test_network(web):
    for name in ("bridge", "host", "none"):
        check("network", json.loads(web.ok("network", "inspect", name))[0],
              shapes.NETWORK)


def test_info(web):
    check("info", json.loads(web.ok("info", "-f", "json")), shapes.INFO)
    result = web.with_env(https_proxy="http://me:secret@proxy:1/")(
        "info", "-f", "{{.HttpsProxy}} {{.Swarm.LocalNodeState}}")
    assert result.out == "http://xxxxx:xxxxx@proxy:1/ inactive\n"


def test_version(moss):
    check("version", json.loads(moss.ok("version", "-f", "json")),
          shapes.VERSION)
    assert moss.ok("version", "-f", "{{.Client.APIVersion}}") == \
        moss.ok("version", "-f", "{{.Server.APIVersion}}")
    lines = moss.ok("version").splitlines()
    assert lines[0] == "Client:" and "Server: moss" in lines


def test_one_warning_of_a_kind(web):
    warnings = web("info", check=0).err.splitlines()
    assert len(warnings) == len(set(warnings))


def test_mixed_kinds_and_names(web):
    found = json.loads(web.ok("inspect", "web", "busybox", "data", "none"))
    assert [item.get("Name") for item in found] == [
        "/web", None, "data", "none"]
    result = web("inspect", "web", "nosuch", "data")
    assert result.code == 1 and "No such object: nosuch" in result.err
    assert [item["Name"] for item in json.loads(result.out)] == [
        "/web", "data"]
    for kind, name in (("image", "web"), ("volume", "web"),
                       ("container", "busybox"), ("network", "busybox")):
        assert web("inspect", "--type", kind, name).code == 1
    assert "unknown type" in web("inspect", "--type", "x", "web").err
