"""`python -m ops.docker.certificate FOLDER`: the provider door's development certificate, made where there is none."""

import sys
from pathlib import Path

from ops.stack.certificate import development_certificate


def main() -> int:
    """Make or renew it, and say where it is."""
    certificate, _, authority = development_certificate(Path(sys.argv[1]))
    print(f"{certificate} is there; clients trust {authority}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
