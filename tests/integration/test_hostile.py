"""A hostile program in a container against the commands that manage it."""
import time

# Stops every process it can see but itself and PID 1.
STOPPER = """
trap "" TERM
while :; do
    for p in /proc/[0-9]*; do
        n=${p#/proc/}
        [ $n = 1 ] || kill -STOP $n 2>/dev/null
    done
done
"""


def test_stopped_exec_does_not_stop_the_monitor(moss):
    """What exec starts is the container's to stop, the monitor is not."""
    moss.ok("run", "-d", "--name", "stopper", "busybox", "sh", "-c", STOPPER)
    seen = set()
    for _ in range(10):
        result = moss("exec", "stopper", "true", timeout=30)
        seen.add(result.code)
        if result.code == 1:
            assert "stopped the new process" in result.err
            break
        assert result.code in (0, 137), result
    assert 1 in seen
    start = time.monotonic()
    assert "stopper" in moss.ok("ps")
    moss.ok("kill", "stopper", timeout=20)
    moss.ok("rm", "-f", "stopper", timeout=20)
    assert time.monotonic() - start < 20
