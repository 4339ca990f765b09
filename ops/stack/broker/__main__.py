"""`python -m ops.stack.broker --port N --user U`: the embedded broker as a process of its own.

The password comes from CARILLON_BROKER_PASSWORD, or by `--password`, which every user of the machine can read in
the list of processes. It says `listening on HOST:PORT` once it does, and ends with 0 on SIGTERM or Ctrl-C.
"""

import argparse
import asyncio
import os
import signal
import sys

from domain.errors import Misconfigured
from ops.stack.broker.server import Broker

PASSWORD_VARIABLE = "CARILLON_BROKER_PASSWORD"  # noqa: S105 - the name of the variable, not a password


def main() -> int:
    """Run until told to stop; the exit code."""
    parser = argparse.ArgumentParser(prog="ops.stack.broker", description="A small AMQP 0-9-1 broker in memory.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", default=os.environ.get(PASSWORD_VARIABLE), help=f"better: {PASSWORD_VARIABLE}")
    arguments = parser.parse_args()
    if not arguments.password:
        parser.error(f"no password: set {PASSWORD_VARIABLE}")
    try:
        asyncio.run(_serve(Broker(arguments.user, arguments.password), arguments.host, arguments.port))
    except Misconfigured as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _serve(broker: Broker, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    chosen = await broker.start(port, host=host)
    print(f"listening on {host}:{chosen}", flush=True)
    await stopping.wait()
    await broker.stop()


if __name__ == "__main__":
    sys.exit(main())
