"""A directory to build from, for the tests of moss build."""
import pathlib


class Context:
    """Files below a directory, built by one moss."""

    def __init__(self, moss, path):
        self.moss = moss
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, name, content, mode=None):
        """A file (text or bytes) with the directories above it."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content)
        if mode is not None:
            file.chmod(mode)
        return file

    def dockerfile(self, text):
        """Written without the indentation of the test."""
        lines = text.strip("\n").split("\n")
        indent = min((len(line) - len(line.lstrip()) for line in lines
                      if line.strip()), default=0)
        self.write("Dockerfile", "\n".join(line[indent:] for line in lines) + "\n")
        return self

    def build(self, *args, **kwargs):
        """moss build --progress plain in that directory, whatever comes."""
        kwargs.setdefault("timeout", 120)
        return self.moss("build", "--progress", "plain", *args, self.path,
                         **kwargs)

    def ok(self, *args, **kwargs):
        """The same, which must succeed: all that it told."""
        result = self.build(*args, **kwargs)
        assert result.code == 0, result
        return result.err + result.out

    def fails(self, *args, **kwargs):
        """The same, which must fail: what it told."""
        result = self.build(*args, **kwargs)
        assert result.code != 0, result
        return result.err

    def run(self, image, *command):
        """What a command prints in a container of the image."""
        return self.moss.ok("run", "--rm", "--network", "none", image, *command)
