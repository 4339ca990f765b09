"""Growth is told from a warm beginning to the end, of the longest life; and every kind of blow has its turn."""

import os
from collections import Counter

from ops.chaos.soak import Memory, blows_for, growth


def test_growth_is_from_the_warm_beginning_to_the_end() -> None:
    cold = [(float(n), 50) for n in range(10)]
    warm = [(float(n), 100) for n in range(10, 90)]
    end = [(float(n), 130) for n in range(90, 100)]

    assert growth([*cold, *warm, *end]) == (100, 130)


def test_a_short_life_has_a_growth_too() -> None:
    assert growth([(0.0, 100)]) == (100, 100)
    assert growth([(0.0, 100), (1.0, 110)]) == (110, 110)


def test_the_longest_life_of_a_role_counts_and_who_is_gone_is_left_out() -> None:
    memory = Memory()

    memory.look({"api-1": os.getpid(), "redis": os.getpid()}, 0.0)
    memory.look({"api-1": os.getppid()}, 1.0)
    memory.look({"api-1": os.getppid(), "worker-1": 2**22 + 1}, 2.0)

    assert {name: [at for at, _ in sizes] for name, sizes in memory.longest().items()} == {"api-1": [1.0, 2.0]}


def test_each_kind_of_blow_comes_before_any_comes_again() -> None:
    sixty = Counter(map(str, blows_for(7, 1200.0)))

    assert sixty.total() == 60
    assert set(sixty.values()) == {2, 3}
    assert blows_for(7, 1200.0) == blows_for(7, 1200.0) != blows_for(8, 1200.0)
