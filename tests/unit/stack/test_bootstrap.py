"""The bootstrap script, as far as it can be seen without installing anything."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_machine_without_a_new_enough_python_is_told_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what `sys.exit(version < 3.11)` comes to
    old.chmod(0o755)

    told = subprocess.run(
        ["/bin/sh", str(ROOT / "carillon"), "up"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 2
    assert "needs Python 3.11 or newer" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_the_script_is_executable_and_both_a_shell_script_and_a_python_one() -> None:
    script = ROOT / "carillon"

    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n''':'\n")
    compile(script.read_text(), str(script), "exec")
