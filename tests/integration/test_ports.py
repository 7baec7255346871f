"""Published ports as one interface: its engines, and changes while it runs."""


def mode_of(moss, name):
    return moss.inspect(name)["HostConfig"]["Moss"]["PublishMode"]


def test_publish_mode_is_stored(moss):
    moss.ok("create", "--name", "plain", "busybox", "true")
    moss.ok("create", "--name", "chosen", "--publish-mode", "splice", "busybox",
            "true")
    assert mode_of(moss, "plain") == "auto"
    assert mode_of(moss, "chosen") == "splice"


def test_publish_mode_of_moss_conf(moss, tmp_path):
    conf = tmp_path / "moss.conf"
    conf.write_text("[network]\n\tpublish-mode = splice\n")
    moss = moss.with_env(MOSS_CONFIG=str(conf))
    moss.ok("create", "--name", "default", "busybox", "true")
    moss.ok("create", "--name", "chosen", "--publish-mode", "auto", "busybox",
            "true")
    assert mode_of(moss, "default") == "splice"
    assert mode_of(moss, "chosen") == "auto"
    conf.write_text("[network]\n\tpublish-mode = fast\n")
    result = moss("create", "busybox", "true", check=1)
    assert f"{conf}:2" in result.err and '"fast"' in result.err


def test_publish_mode_must_be_known(moss):
    result = moss("run", "--rm", "--publish-mode", "fast", "busybox", "true",
                  check=125)
    assert 'invalid publish mode: "fast"' in result.err
    assert "auto, splice, slirp or native" in result.err
