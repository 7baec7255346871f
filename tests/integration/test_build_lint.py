"""Warnings about a Dockerfile: below a build, and alone by --check."""
import pytest

from builds import Context

DOUBTFUL = """
    FROM scratch as Base
    LABEL name value
    CMD true
"""


@pytest.fixture
def context(moss, tmp_path):
    return Context(moss, tmp_path / "context").dockerfile(DOUBTFUL)


def test_warnings_below_a_build(moss, context):
    for told in (context.ok(), context.ok()):
        assert " 4 warnings found (use --check to expand):\n" in told
        assert told.count(" - FromAsCasing: 'as' and 'FROM' keywords' casing "
                          "do not match (line 1)\n") == 1
        assert told.count("JSONArgsRecommended: ") == 1
    assert context.moss("build", "-q", context.path).err == ""


def test_check(moss, context):
    result = context.moss("build", "--check", "-t", "judged", context.path)
    assert result.code == 1
    assert result.out.startswith("Check complete, 4 warnings have been found!\n"
                                 "\nWARNING: ")
    assert ("\nWARNING: LegacyKeyValueFormat - https://docs.docker.com/go/"
            "dockerfile/rule/legacy-key-value-format/\n"
            '"LABEL key=value" should be used instead of legacy "LABEL key '
            'value" format\n'
            "Dockerfile:2\n"
            "--------------------\n"
            "   1 |     FROM scratch as Base\n"
            "   2 | >>> LABEL name value\n"
            "   3 |     CMD true\n") in result.out
    assert "warnings found" not in result.err
    assert moss("image", "inspect", "judged").code != 0

    context.dockerfile("FROM no.such.host.invalid/x\nCMD [\"true\"]")
    result = context.moss("build", "--call=check", context.path)
    assert (result.code, result.out) == (0, "Check complete, no warnings "
                                            "found.\n")


def test_options_of_the_checks(moss, context):
    context.dockerfile("# check=skip=JSONArgsRecommended;error=true\n"
                       "FROM scratch as base\nCMD true")
    told = context.fails()
    assert "lint violation found for rules: FromAsCasing\n" in told
    assert "JSONArgs" not in told
    given = ("--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all")
    told = context.ok(*given)
    assert "warning" not in told
    assert context.moss("build", "--check", *given, context.path).code == 0
    told = context.fails("--build-arg", "BUILDKIT_DOCKERFILE_CHECK=bad")
    assert "failed to parse check options" in told
    assert "--call=outline" in context.fails("--call=outline")
