"""`python ops/docker/healthy.py PORT`: exit 0 when the role in this container is ready. Standard library only."""

import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 3.0


def is_ready(port: int) -> bool:
    """Whether `/health/ready` on loopback answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(sys.argv[1])) else 1)
