"""The most that each thing may cost: all there is to edit.

A change that asks servers more often has to say so here; one that asks them less often lowers its line.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Questions to PostgreSQL, with BEGIN and COMMIT; round trips to Redis; messages that RabbitMQ is given."""

    postgres: int = 0
    redis: int = 0
    messages: int = 0


MOST = {
    # accept, with what is noted and published after the answer
    "one to a user and an address": Cost(6, 2, 1),
    "one to an address alone": Cost(2, 1, 1),
    "one push to a user's device": Cost(2, 1, 1),
    "one push to a user who is not cached": Cost(3, 2, 1),
    "one push to a device": Cost(2, 1, 1),
    "one with an Idempotency-Key": Cost(2, 1, 1),
    "fifteen at once": Cost(2, 1, 1),
    "a hundred at once": Cost(7, 1, 5),
    "a bulk of fifteen": Cost(8, 1, 1),
    "a bulk of a thousand": Cost(10, 1, 2),
    # tracking, a slice of fifty
    "claim": Cost(1),
    "finish": Cost(4),
    "receipts": Cost(3),
    "sent": Cost(1),
    "sent and acknowledged": Cost(2),
    "acknowledgements": Cost(2),
    # reading, with BEGIN and COMMIT
    "a list": Cost(5),
    "a list of a status": Cost(6),
    "a list of a status that nobody has": Cost(3),
    "a list of a problem on a channel": Cost(5),
    "one with its history": Cost(5),
    "one's status": Cost(3),
    # from the envelope to the device's acknowledgement in PostgreSQL
    "a push from lane to device": Cost(3, 1, 3),
    "fifty pushes in one envelope": Cost(4, 1, 3),
}
