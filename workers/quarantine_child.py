"""A child of quarantine: works one delivery of a channel from claim to finish, and ends.

`python -m workers.quarantine_child <channel> <delivery id>`; exit code 0 when it got through, whatever the outcome.
"""

import asyncio
import sys
from uuid import UUID

from domain.errors import CarillonError
from domain.lanes import Channel
from plumbing import log, settings
from plumbing.resources import open_resources
from workers.alone import work_alone
from workers.run import open_crew


async def main(channel: Channel, delivery: UUID) -> int:
    """Open what one delivery needs, and work it."""
    loaded = settings.load()
    log.configure(loaded, "quarantine")
    async with open_resources(loaded) as resources, open_crew(resources) as (crew, _):
        return 0 if await work_alone(crew, channel, delivery) else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(Channel(sys.argv[1]), UUID(sys.argv[2]))))
    except CarillonError as trouble:
        sys.exit(str(trouble))
