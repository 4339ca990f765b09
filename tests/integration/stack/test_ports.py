"""Two platforms that start together do not choose the same port, though neither has bound it yet."""

import subprocess
import sys

from ops.stack.ports import free_port, is_free, prefer
from tests.house.rooms import ROOT

ASK = "import sys; from ops.stack.ports import prefer; print(prefer(int(sys.argv[1])))"


def test_a_usual_port_is_spoken_for_until_its_process_ends() -> None:
    port = free_port()
    first = subprocess.Popen(
        [sys.executable, "-c", f"{ASK}; sys.stdout.flush(); sys.stdin.read()", str(port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    chosen = int(first.stdout.readline())

    meanwhile = prefer(port)
    first.communicate()
    afterwards = prefer(port)

    assert chosen == port
    assert is_free(port)
    assert meanwhile != port
    assert afterwards == port
