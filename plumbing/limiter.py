"""Limits by GCRA, the generic cell rate algorithm: many limits and many cached values in one Redis round trip.

GCRA keeps one number per limit, the theoretical arrival time (TAT); a request is let through when the TAT would
not run further ahead of now than the burst allows. Redis' own clock counts, so machines need not agree about time.
Policies live where they bite; this is the mechanism only. Without Redis each process counts for itself: a limit is
never simply open.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from domain.values import value
from plumbing.cache import Cache, Script

MAX_LOCAL_BUCKETS = 100_000


@value(frozen=True, slots=True)
class Limit:
    """`burst` at once, refilled at `per_s` per second. `cost` 0 asks if 1 would pass, a negative one gives back.

    It is asked so many `times` in a row, each time for `cost`.
    """

    key: str
    per_s: float
    burst: int
    cost: int = 1
    times: int = 1

    @property
    def interval_us(self) -> int:
        return _interval_us(self.per_s)

    @property
    def window_s(self) -> int:
        return max(1, round(self.burst / self.per_s))


@value(frozen=True, slots=True)
class Answer:
    """What a limit said. `reset_s` is when it is full again, `retry_after_s` when this cost would be let through.

    `limit` is its burst, and `window_s` how long that takes to grow back. Of what was asked several times the first
    `passed` were let through, and `allowed` says whether that is all.
    """

    allowed: bool
    limit: int
    window_s: int
    remaining: int
    retry_after_s: int
    reset_s: int
    passed: int = 1

    def headers(self, policy: str) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) of the policy so named."""
        return {
            "RateLimit-Policy": f'"{policy}";q={self.limit};w={self.window_s}',
            "RateLimit": f'"{policy}";r={self.remaining};t={self.reset_s}',
        }


# KEYS: n keys to read, then m limits. ARGV: n, then for each run of limits that are alike how many they are, and their
# interval_us, burst, cost and times. Answers: values, and for each limit how often it passed, ahead_us and missing_us.
LOOK_UP = Script("""
local n = tonumber(ARGV[1])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local values = {}
for i = 1, n do values[i] = redis.call('GET', KEYS[i]) end
local verdicts = {}
local j = n
for run = 2, #ARGV, 5 do
  local interval = tonumber(ARGV[run + 1])
  local window = interval * tonumber(ARGV[run + 2])
  local cost = tonumber(ARGV[run + 3])
  local times = tonumber(ARGV[run + 4])
  for _ = 1, tonumber(ARGV[run]) do
    j = j + 1
    local key = KEYS[j]
    local tat = tonumber(redis.call('GET', key) or now)
    if tat < now then tat = now end
    local room = now + window - tat
    local passed = times
    if cost >= 0 then
      local step = interval * math.max(cost, 1)
      local fits = math.max(0, math.floor(room / step))
      if cost == 0 and fits > 0 then fits = times end
      passed = math.min(times, fits)
    end
    if cost ~= 0 and passed > 0 then
      tat = tat + interval * cost * passed
      if tat > now then
        redis.call('SET', key, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
      else
        redis.call('DEL', key)
      end
    end
    local missing = 0
    if passed < times then missing = tat + interval * math.max(cost, 1) - now - window end
    local place = 3 * (j - n)
    verdicts[place - 2] = passed
    verdicts[place - 1] = math.max(0, tat - now)
    verdicts[place] = missing
  end
end
return {values, verdicts}
""")


class Limiter:
    """Asks Redis, or in its absence its own buckets."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._local: OrderedDict[str, float] = OrderedDict()

    async def look_up(
        self, read_keys: Sequence[str], limits: Sequence[Limit]
    ) -> tuple[list[bytes | None], list[Answer]]:
        """The values of `read_keys` (None where unknown) and what each limit says, in one round trip.

        All keys must share a hash slot. Each limit is asked for itself, in order.
        """
        if not read_keys and not limits:
            return [], []
        kinds = list(map(_settings, limits))
        arguments: list[object] = [len(read_keys)]
        for settings, run in groupby(kinds):
            arguments += (sum(1 for _ in run), *settings)
        reply = await self._cache.call(LOOK_UP, [*read_keys, *[limit.key for limit in limits]], arguments)
        if reply is None:
            return [None] * len(read_keys), [self._ask_local(limit) for limit in limits]
        values, verdicts = reply
        said: dict[tuple[object, ...], Answer] = {}  # most limits of a batch say the same
        answers = []
        for limit, kind, *verdict in zip(limits, kinds, verdicts[::3], verdicts[1::3], verdicts[2::3], strict=True):
            alike = (kind, *verdict)
            if (answer := said.get(alike)) is None:
                answer = said[alike] = _answer(limit, *verdict)
            answers.append(answer)
        return [blob or None for blob in values] + [None] * (len(read_keys) - len(values)), answers

    async def ask(self, limit: Limit) -> Answer:
        """What one limit says."""
        _, (answer,) = await self.look_up([], [limit])
        return answer

    def _ask_local(self, limit: Limit) -> Answer:
        now_us = time.monotonic() * 1_000_000
        tat = max(self._local.get(limit.key, now_us), now_us)
        step = limit.interval_us * max(limit.cost, 1)
        passed, missing = limit.times, 0.0
        if limit.cost >= 0:
            fits = max(0, int((now_us + limit.interval_us * limit.burst - tat) // step))
            passed = min(limit.times, limit.times if fits and not limit.cost else fits)
        if passed:
            tat += limit.interval_us * limit.cost * passed
            self._local[limit.key] = tat
            self._local.move_to_end(limit.key)
            if len(self._local) > MAX_LOCAL_BUCKETS:
                self._local.popitem(last=False)
        if passed < limit.times:
            missing = tat + step - now_us - limit.interval_us * limit.burst
        return _answer(limit, passed, max(0, int(tat - now_us)), int(missing))


@lru_cache(maxsize=256)
def _interval_us(per_s: float) -> int:
    return max(1, round(1_000_000 / per_s))


def _settings(limit: Limit) -> tuple[int, int, int, int]:
    return limit.interval_us, limit.burst, limit.cost, limit.times


def _answer(limit: Limit, passed: int, ahead_us: int, wait_us: int) -> Answer:
    remaining = max(0, limit.burst - -(-ahead_us // limit.interval_us))
    retry_after_s, reset_s = -(-wait_us // 1_000_000), -(-ahead_us // 1_000_000)
    allowed = passed == limit.times
    return Answer(allowed, limit.burst, limit.window_s, remaining, retry_after_s, reset_s, passed)
