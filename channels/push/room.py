"""Who stays in a mailbox of 100 when more arrive: collapse first, then the overflow policy of the app. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.push import MAX_LIVE, MAX_STORED


class Overflow(StrEnum):
    """What an app wants of a full mailbox."""

    DROP = "drop_oldest_lowest_priority"
    REJECT = "reject"
    """What is new is refused. What comes back, because its device did not acknowledge it, was taken already: it is kept
    beyond the hundred, as many of these as may be in flight to one device."""


class Arriving(NamedTuple):
    """A letter that wants to be kept; of one device and fold only the newest (greatest delivery id) is.

    `is_back`: it was handed over before, and nobody knows whether it arrived.
    """

    delivery_id: UUID
    device_id: UUID
    wake: int
    fold: str | None
    is_back: bool = False


@dataclass(slots=True)
class Kept:
    """What a device has: how many, and of these at least all that an arriving letter may touch: (wake, fold) by id."""

    count: int
    letters: dict[UUID, tuple[int, str | None]]


@dataclass(slots=True)
class Plan:
    """What is to be done. `removed` were kept before; `inserted` and all other fields speak of arriving ones too.

    `stored`: arriving ones that are kept in the end, those that were there already included. `collapsed`: (id, its
    successor). `evicted`: dropped for others. `refused`: found no room.
    """

    stored: set[UUID] = field(default_factory=set)
    inserted: set[UUID] = field(default_factory=set)
    removed: set[UUID] = field(default_factory=set)
    collapsed: list[tuple[UUID, UUID]] = field(default_factory=list)
    evicted: list[UUID] = field(default_factory=list)
    refused: list[UUID] = field(default_factory=list)


def make_room(
    kept: Mapping[UUID, Kept],
    arriving: Sequence[Arriving],
    policies: Mapping[UUID, Overflow],
    *,
    most: int = MAX_STORED,
) -> Plan:
    """Decide for every device; letters of one device arrive in the order of their ids, whatever order they come in."""
    plan = Plan()
    by_device: dict[UUID, list[Arriving]] = {}
    for letter in sorted(arriving, key=lambda one: one.delivery_id):
        by_device.setdefault(letter.device_id, []).append(letter)
    for device, letters in by_device.items():
        _make_room(plan, kept[device], letters, policies[device], most)
    return plan


def _make_room(plan: Plan, kept: Kept, letters: Sequence[Arriving], policy: Overflow, most: int) -> None:
    there = dict(kept.letters)
    count = kept.count
    newest = {fold: one for one, (_, fold) in there.items() if fold is not None}
    for letter in letters:
        if letter.delivery_id in kept.letters:
            continue  # it came before: whatever becomes of it now is not for its own sake
        rival = newest.get(letter.fold) if letter.fold is not None else None
        if rival is not None and rival > letter.delivery_id:
            plan.collapsed.append((letter.delivery_id, rival))
            continue
        if rival is not None:
            plan.collapsed.append((rival, letter.delivery_id))
            del there[rival]
            count -= 1
        if rival is None and policy is Overflow.REJECT and count >= most + letter.is_back * MAX_LIVE:
            plan.refused.append(letter.delivery_id)
            continue
        there[letter.delivery_id] = (letter.wake, letter.fold)
        count += 1
        if letter.fold is not None:
            newest[letter.fold] = letter.delivery_id
        if count > most and policy is Overflow.DROP:
            victim = min(there, key=lambda one: (there[one][0], one))
            plan.evicted.append(victim)
            fold = there.pop(victim)[1]
            count -= 1
            if fold is not None:
                newest.pop(fold, None)
    plan.stored |= {letter.delivery_id for letter in letters} & there.keys()
    plan.inserted |= {letter.delivery_id for letter in letters} & there.keys() - kept.letters.keys()
    plan.removed |= kept.letters.keys() - there.keys()
