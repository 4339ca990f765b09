"""Compares what the platform says with what the simulated providers wrote down themselves."""

from collections import Counter
from dataclasses import dataclass

from ops.demo.play import Act
from ops.simulated.ledger import LedgerOutcome, LedgerReader


@dataclass(frozen=True, slots=True)
class Proof:
    """What the ledger says of one performance. `faults` are sentences; none means that both sides agree."""

    taken: int
    refused: int
    put_off: int
    faults: tuple[str, ...]


def compare(acts: list[Act], ledger: LedgerReader, run: str) -> Proof:
    """Hold every delivery of the performance `run` against the ledger: taken as often as it must be, and no other."""
    taken = ledger.taken()
    told = {delivery.id: (act, delivery) for act in acts for delivery in act.deliveries}
    faults = []
    for identifier, (act, delivery) in told.items():
        wanted = 0 if act.scene.repeats is not None else act.end(delivery).taken
        if taken[identifier] != wanted:
            name = f"“{act.scene.title}” by {delivery.channel}"
            faults.append(f"{name}: the provider took it {taken[identifier]} times, it should be {wanted}")
    mine = [entry for entry in ledger.entries if f"+{run}@" in entry.recipient or f"-{run}@" in entry.recipient]
    strangers = {entry.delivery_id for entry in mine if entry.delivery_id} - set(told)
    faults += [f"the provider took a delivery {identifier} that nobody here knows" for identifier in sorted(strangers)]
    outcomes = Counter(entry.outcome for entry in mine)
    return Proof(
        sum(taken[identifier] for identifier in told),
        outcomes[LedgerOutcome.REJECTED],
        outcomes[LedgerOutcome.DEFERRED],
        tuple(faults),
    )
