"""`python -m ops.simulated`: the simulated providers, announced by one JSON line on standard output."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from domain.errors import Misconfigured
from ops.simulated.run import run
from plumbing.settings import load


def main() -> int:
    """Run until SIGTERM; 0 then, 1 with one line on standard error when it cannot work."""
    parser = argparse.ArgumentParser(prog="python -m ops.simulated", description=__doc__)
    parser.add_argument("--smtp-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--sms-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ledger", type=Path, default=Path(".data/ledger.jsonl"))
    parser.add_argument("--callback-url", default=None, help="default: /callbacks/sms below CARILLON_PUBLIC_URL")
    options = parser.parse_args()
    try:
        asyncio.run(
            run(
                load(),
                smtp_port=options.smtp_port,
                sms_port=options.sms_port,
                ledger=options.ledger.resolve(),
                announce=_print,
                callback_url=options.callback_url,
            )
        )
    except Misconfigured as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _print(facts: dict[str, object]) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    sys.exit(main())
