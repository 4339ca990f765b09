"""A child of quarantine whose provider kills the process for the deliveries named in DEADLY; a program of its own.

Each life leaves a line with its pid in the file LIVES, when that is named.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from channels.base import Outcome, Outgoing
from domain.lanes import Channel
from domain.notification import Mode
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.database import open_hot_pool
from tests.integration.workers.stage import ScriptedChannels, Stage
from workers.quarantine_child import keep_output, work_each


class DeadlyChannels(ScriptedChannels):
    """Whoever sends the deadly one dies of it."""

    async def send(self, channel: Channel, mode: Mode, slice_: Sequence[Outgoing]) -> list[Outcome]:
        if {str(one.id) for one in slice_} & set(os.environ["DEADLY"].split(",")):
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().send(channel, mode, slice_)


async def main(channel: Channel) -> None:
    answers = keep_output()
    if "LIVES" in os.environ:
        os.write(os.open(os.environ["LIVES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), f"{os.getpid()}\n".encode())
    pool = await open_hot_pool(os.environ["STAGE_DATABASE_URL"], size=2)
    connection = await connect(os.environ["STAGE_AMQP_URL"], "test child")
    publisher = await Publisher.open(connection)
    stage = Stage(pool, os.environ["STAGE_AMQP_URL"], publisher)
    stage.channels = DeadlyChannels()
    await work_each(stage.crew(), channel, answers)
    await publisher.close()
    await connection.close()
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(Channel(sys.argv[1])))
