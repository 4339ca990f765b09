"""A child of quarantine: works deliveries of a channel from claim to finish, one at a time, as it is told.

`python -m workers.quarantine_child <channel>`: each line of its input is a delivery's id, answered by the same line
when it got through, whatever the outcome. It ends with its input.
"""

import asyncio
import os
import sys
from uuid import UUID

from domain.errors import CarillonError
from domain.lanes import Channel
from plumbing import log, settings
from plumbing.resources import open_resources
from workers.alone import work_alone
from workers.crew import Crew
from workers.run import open_crew


async def main(channel: Channel) -> int:
    """Open what a delivery needs, and work what comes."""
    answers = keep_output()
    loaded = settings.load()
    log.configure(loaded, "quarantine")
    async with open_resources(loaded) as resources, open_crew(resources) as (crew, _):
        return await work_each(crew, channel, answers)


async def work_each(crew: Crew, channel: Channel, answers: int) -> int:
    """Work what the lines of our input name, and answer each to the descriptor `answers`; the exit code.

    A delivery whose end could not be written is not answered: this process is over then.
    """
    while line := await asyncio.to_thread(sys.stdin.readline):
        if not await work_alone(crew, channel, UUID(line.strip())):
            return 1
        os.write(answers, line.encode())
    return 0


def keep_output() -> int:
    """Our output, for answers only: what is logged goes to the errors from now on."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(Channel(sys.argv[1]))))
    except CarillonError as trouble:
        sys.exit(str(trouble))
