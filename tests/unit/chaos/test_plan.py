"""Equal seeds draw equal plans, other seeds other ones; and each failpoint is armed once."""

from collections import Counter

from ops.chaos.blows import ROLES, Arming, Fall, Harm, Hitch, Snag, Strike, Victim, plan
from plumbing.failpoints import Failpoint

KILLS = {Victim.API: 3, Victim.POSTGRES: 1}
FREEZES = {Victim.REDIS: 1}
HITCHES = (Hitch("SMTP", Snag.DELAY),)


def test_a_plan_is_drawn_from_its_seed() -> None:
    first, again, other = (plan(seed, kills=KILLS, freezes=FREEZES, hitches=HITCHES) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert Counter(first) == Counter(other)


def test_a_plan_holds_every_blow_and_every_failpoint_once() -> None:
    *blows, last = plan(1, kills=KILLS, freezes=FREEZES, hitches=HITCHES)

    assert Counter(blow for blow in blows if not isinstance(blow, Arming)) == Counter(
        {Strike(Victim.API, Harm.KILL): 3, Strike(Victim.POSTGRES, Harm.KILL): 1, Strike(Victim.REDIS, Harm.FREEZE): 1}
        | dict.fromkeys(HITCHES, 1)
    )
    assert last == Fall((*ROLES, Victim.REDIS))
    assert sorted(blow.failpoint for blow in blows if isinstance(blow, Arming)) == sorted(Failpoint)
