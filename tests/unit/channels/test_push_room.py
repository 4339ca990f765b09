"""Who stays in a full mailbox, against a model that knows nothing of counts and partial views."""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from channels.push.room import Arriving, Kept, Overflow, make_room
from domain.push import MAX_LIVE, MAX_STORED

DEVICE = UUID(int=1)
MOST = 4

FOLDS = (None, "c:a", None, "c:b", None, "s:silent", "c:a")
WAKES = (10, 5, 1, 5)


def _letter(number: int) -> Arriving:
    """One and the same letter whenever it comes."""
    return Arriving(UUID(int=number), DEVICE, WAKES[number % len(WAKES)], FOLDS[number % len(FOLDS)], number % 3 == 0)


letters = st.integers(1, 40).map(_letter)
batches = st.lists(st.lists(letters, max_size=6, unique_by=lambda one: one.delivery_id), max_size=6)


class Model:
    """The rules told slowly: one letter after the other, everything at hand."""

    def __init__(self, policy: Overflow) -> None:
        self.policy = policy
        self.kept: dict[UUID, Arriving] = {}

    def store(self, letter: Arriving) -> None:
        rivals = [one for one in self.kept.values() if letter.fold is not None and one.fold == letter.fold]
        if letter.delivery_id in self.kept or any(one.delivery_id > letter.delivery_id for one in rivals):
            return
        for one in rivals:
            del self.kept[one.delivery_id]
        is_full = len(self.kept) >= MOST and not rivals  # who replaces another takes its place
        if is_full and self.policy is Overflow.REJECT and not letter.is_back:
            return
        self.kept[letter.delivery_id] = letter
        if len(self.kept) > MOST and self.policy is Overflow.DROP:
            least = sorted(self.kept.values(), key=lambda one: (one.wake, one.delivery_id))[0]
            del self.kept[least.delivery_id]


def _seen(kept: dict[UUID, Arriving], arriving: Sequence[Arriving]) -> Kept:
    """What the database shows of a mailbox: its count, and no more letters than can matter."""
    folds = {one.fold for one in arriving if one.fold is not None}
    ids = {one.delivery_id for one in arriving}
    first = sorted(kept.values(), key=lambda one: (one.wake, one.delivery_id))
    shown = first[: max(0, len(kept) + len(arriving) - MOST)]
    shown += [one for one in kept.values() if one.fold in folds or one.delivery_id in ids]
    return Kept(len(kept), {one.delivery_id: (one.wake, one.fold) for one in shown})


@given(batches, st.sampled_from(Overflow))
def test_batches_with_a_partial_view_keep_what_the_model_keeps(
    arriving: list[list[Arriving]], policy: Overflow
) -> None:
    model = Model(policy)
    kept: dict[UUID, Arriving] = {}

    for batch in arriving:
        before = set(kept)
        plan = make_room({DEVICE: _seen(kept, batch)}, batch, {DEVICE: policy}, most=MOST)
        kept = {one: letter for one, letter in kept.items() if one not in plan.removed}
        kept |= {one.delivery_id: one for one in batch if one.delivery_id in plan.inserted}
        for letter in sorted(batch, key=lambda one: one.delivery_id):
            if letter.delivery_id not in before:  # what comes again does not get its place back in the same breath
                model.store(letter)

        assert kept.keys() == model.kept.keys()
        assert policy is Overflow.REJECT or len(kept) <= MOST
        named = [one for one, _ in plan.collapsed] + plan.evicted + plan.refused
        assert len(named) == len(set(named)), "nobody is ended twice"
        everybody = before | {one.delivery_id for one in batch}
        assert everybody == kept.keys() | set(named), "nobody is lost without a word"
        assert plan.stored == {one.delivery_id for one in batch} & kept.keys()


@given(batches)
def test_a_collapsed_letter_names_a_newer_one_of_its_fold(arriving: list[list[Arriving]]) -> None:
    everything = [letter for batch in arriving for letter in batch]
    folds = {(letter.delivery_id, letter.fold) for letter in everything}

    unique = list({letter.delivery_id: letter for letter in everything}.values())
    plan = make_room({DEVICE: Kept(0, {})}, unique, {DEVICE: Overflow.DROP}, most=100)

    for one, successor in plan.collapsed:
        assert successor > one
        assert {fold for known, fold in folds if known == one} & {fold for known, fold in folds if known == successor}


def test_what_comes_back_to_who_refuses_is_kept_beyond_the_hundred_and_has_its_bound() -> None:
    back = [Arriving(UUID(int=number), DEVICE, 10, None, is_back=True) for number in range(1, MAX_LIVE + 3)]
    new = Arriving(UUID(int=1000), DEVICE, 10, None)

    plan = make_room({DEVICE: Kept(MAX_STORED, {})}, [*back, new], {DEVICE: Overflow.REJECT})

    assert plan.stored == {one.delivery_id for one in back[:MAX_LIVE]}
    assert plan.refused == [*(one.delivery_id for one in back[MAX_LIVE:]), new.delivery_id]
    assert not plan.evicted
