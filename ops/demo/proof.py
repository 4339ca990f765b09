"""Compares what the platform says with what the simulated providers wrote down, and with what the device showed."""

from collections import Counter
from dataclasses import dataclass

from domain.lanes import Channel
from ops.demo.play import Act
from ops.simulated.ledger import LedgerOutcome, LedgerReader


@dataclass(frozen=True, slots=True)
class Proof:
    """What ledger and device say of one performance. `faults` are sentences; none means that all agree."""

    taken: int
    refused: int
    put_off: int
    shown: int
    faults: tuple[str, ...]


def compare(acts: list[Act], ledger: LedgerReader, shown: list[str], run: str) -> Proof:
    """Hold every delivery of the performance `run` against the ledger, or against what the device showed.

    Each was taken (or shown) as often as it must be, and no other. `shown` are the ids of deliveries.
    """
    taken = ledger.taken()
    seen = Counter(shown)
    told = {delivery.id: (act, delivery) for act in acts for delivery in act.deliveries}
    faults = []
    for identifier, (act, delivery) in told.items():
        wanted = 0 if act.scene.repeats is not None else act.end(delivery).taken
        is_push = delivery.channel is Channel.PUSH
        times = seen[identifier] if is_push else taken[identifier]
        if times != wanted:
            did = "the device showed it" if is_push else "the provider took it"
            faults.append(f"“{act.scene.title}” by {delivery.channel}: {did} {times} times, it should be {wanted}")
    mine = [entry for entry in ledger.entries if f"+{run}@" in entry.recipient or f"-{run}@" in entry.recipient]
    strangers = {entry.delivery_id for entry in mine if entry.delivery_id} - set(told)
    faults += [f"the provider took a delivery {identifier} that nobody here knows" for identifier in sorted(strangers)]
    faults += [
        f"the device showed {identifier}, which nobody here knows" for identifier in sorted(set(seen) - set(told))
    ]
    outcomes = Counter(entry.outcome for entry in mine)
    return Proof(
        sum(taken[identifier] for identifier in told),
        outcomes[LedgerOutcome.REJECTED],
        outcomes[LedgerOutcome.DEFERRED],
        len(shown),
        tuple(faults),
    )
