"""Limits by GCRA, the generic cell rate algorithm: many limits and many cached values in one Redis round trip.

GCRA keeps one number per limit, the theoretical arrival time (TAT); a request is let through when the TAT would
not run further ahead of now than the burst allows. Redis' own clock counts, so machines need not agree about time.
Policies live where they bite; this is the mechanism only. Without Redis each process counts for itself: a limit is
never simply open.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from plumbing.cache import Cache, Script

MAX_LOCAL_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`burst` at once, refilled at `per_s` per second. `cost` 0 asks if 1 would pass, a negative one gives back."""

    key: str
    per_s: float
    burst: int
    cost: int = 1

    @property
    def interval_us(self) -> int:
        return max(1, round(1_000_000 / self.per_s))

    @property
    def window_s(self) -> int:
        return max(1, round(self.burst / self.per_s))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a limit said. `reset_s` is when it is full again, `retry_after_s` when this cost would be let through.

    `limit` is its burst, and `window_s` how long that takes to grow back.
    """

    allowed: bool
    limit: int
    window_s: int
    remaining: int
    retry_after_s: int
    reset_s: int

    def headers(self, policy: str) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) of the policy so named."""
        return {
            "RateLimit-Policy": f'"{policy}";q={self.limit};w={self.window_s}',
            "RateLimit": f'"{policy}";r={self.remaining};t={self.reset_s}',
        }


# KEYS: n keys to read, then m limits. ARGV: n, then for each limit interval_us, burst, cost.
LOOK_UP = Script("""
local n = tonumber(ARGV[1])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local values = {}
for i = 1, n do values[i] = redis.call('GET', KEYS[i]) end
local verdicts = {}
for j = 1, #KEYS - n do
  local key = KEYS[n + j]
  local interval = tonumber(ARGV[3 * j - 1])
  local window = interval * tonumber(ARGV[3 * j])
  local cost = tonumber(ARGV[3 * j + 1])
  local tat = tonumber(redis.call('GET', key) or now)
  if tat < now then tat = now end
  local after = tat + interval * cost
  local ahead = after - now
  local missing = 0
  if cost >= 0 then missing = tat + interval * math.max(cost, 1) - now - window end
  if missing > 0 then
    verdicts[j] = {0, tat - now, missing}
  else
    if cost ~= 0 then
      if ahead > 0 then
        redis.call('SET', key, string.format('%.0f', after), 'PX', math.ceil(ahead / 1000))
      else
        redis.call('DEL', key)
      end
    end
    verdicts[j] = {1, math.max(0, ahead), 0}
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
        arguments: list[object] = [len(read_keys)]
        for limit in limits:
            arguments += (limit.interval_us, limit.burst, limit.cost)
        reply = await self._cache.call(LOOK_UP, [*read_keys, *(limit.key for limit in limits)], arguments)
        if reply is None:
            return [None] * len(read_keys), [self._ask_local(limit) for limit in limits]
        values, verdicts = reply
        answers = [_answer(limit, *verdict) for limit, verdict in zip(limits, verdicts, strict=True)]
        return [value or None for value in values] + [None] * (len(read_keys) - len(values)), answers

    async def ask(self, limit: Limit) -> Answer:
        """What one limit says."""
        _, (answer,) = await self.look_up([], [limit])
        return answer

    def _ask_local(self, limit: Limit) -> Answer:
        now_us = time.monotonic() * 1_000_000
        tat = max(self._local.get(limit.key, now_us), now_us)
        after = tat + limit.interval_us * limit.cost
        window = limit.interval_us * limit.burst
        missing = tat + limit.interval_us * max(limit.cost, 1) - now_us - window
        if limit.cost >= 0 and missing > 0:
            return _answer(limit, 0, int(tat - now_us), int(missing))
        self._local[limit.key] = after
        self._local.move_to_end(limit.key)
        if len(self._local) > MAX_LOCAL_BUCKETS:
            self._local.popitem(last=False)
        return _answer(limit, 1, max(0, int(after - now_us)), 0)


def _answer(limit: Limit, allowed: int, ahead_us: int, wait_us: int) -> Answer:
    remaining = max(0, limit.burst - -(-ahead_us // limit.interval_us))
    retry_after_s, reset_s = -(-wait_us // 1_000_000), -(-ahead_us // 1_000_000)
    return Answer(bool(allowed), limit.burst, limit.window_s, remaining, retry_after_s, reset_s)
