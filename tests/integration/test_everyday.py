"""What people type every day: second words for options, odd values, pipes."""
import json


def test_network_by_its_short_name(moss):
    out = moss.ok("run", "--rm", "--net", "none", "busybox", "ls",
                  "/sys/class/net")
    assert out == "lo"
    out = moss.ok("run", "--rm", "--dns-opt=ndots:2", "busybox", "cat",
                  "/etc/resolv.conf")
    assert "options ndots:2" in out
    assert "--net " not in moss.ok("run", "--help")
    assert "unknown flag: --ne\n" in moss("run", "--ne", "none", "busybox",
                                          check=125).err
