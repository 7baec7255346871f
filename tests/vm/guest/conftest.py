"""The integration tests' fixtures, and what only the guest's tests need.

A test marked `second_boot` runs after the machine was booted once more, with
the disk as it was left; `first_boot_last` is for what prepares that.
"""
import importlib.util
import os
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent


def load_integration():
    """tests/integration/conftest.py under a name of its own."""
    name = "integration"
    spec = importlib.util.spec_from_file_location(
        name, TOP / "tests/integration/conftest.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


globals().update({name: value for name, value in vars(load_integration()).items()
                  if not name.startswith("_")})


def pytest_configure(config):
    config.addinivalue_line("markers", "second_boot: after a reboot")
    config.addinivalue_line("markers", "first_boot_last: prepares a reboot")


def pytest_collection_modifyitems(config, items):
    second = [item for item in items if item.get_closest_marker("second_boot")]
    first = [item for item in items if item not in second]
    first.sort(key=lambda item: bool(item.get_closest_marker("first_boot_last")))
    items[:], other = (first, second) if boot() == 1 else (second, first)
    config.hook.pytest_deselected(items=other)
    config.stash_second = bool(second)


def pytest_sessionfinish(session, exitstatus):
    """Asks for the second boot when it has tests and the first one was well."""
    if boot() == 1 and exitstatus in (0, 5) and session.config.stash_second:
        pathlib.Path(os.environ["MOSS_VM_SECOND_BOOT"]).touch()


def boot():
    return int(os.environ.get("MOSS_VM_BOOT", "1"))
