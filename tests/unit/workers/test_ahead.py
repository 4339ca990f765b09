"""Claims ahead of free slots: as many as calls end while a claim is under way, none with a slow provider."""

from workers.ahead import Ahead

SLOTS = 32


def told(*, claim_s: float, call_s: float, times: int = 200) -> int:
    """What it says after so many claims and calls of one length."""
    ahead = Ahead(SLOTS)
    for _ in range(times):
        ahead.claim_took(claim_s)
        ahead.call_took(call_s)
    return ahead.count


def test_before_anything_was_sent_nothing_is_claimed_ahead() -> None:
    ahead = Ahead(SLOTS)
    ahead.claim_took(10.0)

    assert ahead.count == 0


def test_as_many_as_become_free_while_a_claim_is_under_way() -> None:
    assert told(claim_s=0.005, call_s=0.02) == 7
    assert told(claim_s=0.005, call_s=0.1) == 1


def test_a_slow_provider_gets_nothing_that_would_have_to_wait() -> None:
    assert told(claim_s=0.005, call_s=1.0) == 0


def test_never_more_than_half_of_the_slots() -> None:
    assert told(claim_s=5.0, call_s=0.001) == SLOTS // 2
    assert told(claim_s=0.005, call_s=0.0) == SLOTS // 2


def test_one_slow_claim_or_call_is_soon_forgotten() -> None:
    ahead = Ahead(SLOTS)
    ahead.call_took(0.02)
    ahead.claim_took(1.0)
    for _ in range(100):
        ahead.claim_took(0.005)

    assert ahead.count == 8
