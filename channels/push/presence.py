"""Presence: which gateway node holds the connection of a device, in Redis, where it may vanish and come again.

An entry names node, boot, connection and region. Only the connection that wrote an entry removes it, so a late goodbye
never erases a newer login. A node lives as long as its key is refreshed; devices of a dead node are absent.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from plumbing.broker.topology import gateway_queue
from plumbing.cache import Cache, Script

NODE_LIFE_S = 15
DEVICE_LIFE_S = 300
"""Entries are renewed in slices; see `renew`."""
SLICE = 500
"""Entries of one call: Redis has 0.1 s to answer."""

_NODES = "{presence}:nodes"

# A value is node, boot, connection, nap ("1" or "0") and region, one a line.
_READ = """
local function read(value)
  local node, boot, connection = string.match(value, '^([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n')
  return '{presence}:node:' .. node .. ':' .. boot, connection
end
local function is_alive(value)
  return redis.call('EXISTS', (read(value))) == 1
end
"""

_WHERE = Script(
    _READ
    + """
local found = {}
local known = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  found[i] = ''
  if value then
    local node = read(value)
    if known[node] == nil then known[node] = redis.call('EXISTS', node) == 1 end
    if known[node] then found[i] = value end
  end
end
return found
"""
)

# ARGV: seconds to live, then a value per key. Answers per key the living entry of another connection, or ''.
_ANNOUNCE = Script(
    _READ
    + """
local replaced = {}
for i, key in ipairs(KEYS) do
  local mine = ARGV[i + 1]
  local value = redis.call('GET', key)
  replaced[i] = ''
  if value then
    local _, theirs = read(value)
    local _, ours = read(mine)
    if theirs ~= ours and is_alive(value) then replaced[i] = value end
  end
  redis.call('SET', key, mine, 'EX', ARGV[1])
end
return replaced
"""
)

# As above, but the younger connection stays: its id is a UUIDv7 in hex, so the greater one. Answers per key the living
# entry of another connection: '<' before one that was replaced, '>' before one that stays.
_RENEW = Script(
    _READ
    + """
local others = {}
for i, key in ipairs(KEYS) do
  local mine = ARGV[i + 1]
  local value = redis.call('GET', key)
  others[i] = ''
  if value then
    local _, theirs = read(value)
    local _, ours = read(mine)
    if theirs ~= ours and is_alive(value) then others[i] = (theirs > ours and '>' or '<') .. value end
  end
  if string.sub(others[i], 1, 1) ~= '>' then redis.call('SET', key, mine, 'EX', ARGV[1]) end
end
return others
"""
)

_LEAVE = Script(
    _READ
    + """
local left = 0
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value then
    local _, theirs = read(value)
    if theirs == ARGV[i] then left = left + redis.call('DEL', key) end
  end
end
return left
"""
)

# KEYS: the node's key, the register. ARGV: seconds to live, name in the register, facts.
_BEAT = Script(
    """
local was_there = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return was_there
"""
)

_LIST = Script(
    """
local alive = {}
local register = redis.call('HGETALL', KEYS[1])
for i = 1, #register, 2 do
  if redis.call('EXISTS', '{presence}:node:' .. register[i]) == 1 then
    alive[#alive + 1] = register[i + 1]
  else
    redis.call('HDEL', KEYS[1], register[i])
  end
end
return alive
"""
)

_FORGET = Script("redis.call('HDEL', KEYS[2], ARGV[1]) return redis.call('DEL', KEYS[1])")


class NodeFacts(NamedTuple):
    """A gateway node in one of its lives."""

    node: str
    boot: str
    region: str
    url: str


class Whereabouts(NamedTuple):
    """Where a device is connected."""

    node: str
    boot: str
    connection: str
    region: str
    is_napping: bool
    """It declared a window: less urgent pushes wait for it in the mailbox."""

    @property
    def queue(self) -> str:
        """The name of its node's queue."""
        return gateway_queue(self.node, self.boot).name


class Entry(NamedTuple):
    """One connection of one device; the connection's id is a UUIDv7 in hex, so that the younger one is known."""

    device: UUID
    connection: str
    is_napping: bool


class Standing(NamedTuple):
    """How connections stand among others of their devices: older ones that they replaced, younger ones that stay."""

    older: dict[UUID, Whereabouts]
    younger: dict[UUID, Whereabouts]


class Presence:
    """Who is connected where. Without Redis every answer is None: nobody knows."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def where(self, devices: Sequence[UUID]) -> dict[UUID, Whereabouts] | None:
        """Where these devices are, those that are connected, in one round trip. None: Redis does not answer."""
        found = await self._ask(_WHERE, devices, [])
        return None if found is None else {device: _read(value) for device, value in found.items()}

    async def announce(self, here: NodeFacts, entries: Sequence[Entry]) -> dict[UUID, Whereabouts] | None:
        """These devices have logged in here, whatever was before. Answers the living entries they replace: ghosts."""
        others = await self._write(_ANNOUNCE, here, entries)
        return None if others is None else {device: _read(value) for device, value in others.items()}

    async def renew(self, here: NodeFacts, entries: Sequence[Entry]) -> Standing | None:
        """These devices are here, unless a younger connection is elsewhere: then its entry stays."""
        others = await self._write(_RENEW, here, entries)
        if others is None:
            return None
        standing = Standing({}, {})
        for device, value in others.items():
            (standing.younger if value[:1] == b">" else standing.older)[device] = _read(value[1:])
        return standing

    async def leave(self, entries: Sequence[Entry]) -> None:
        """These connections ended; entries of other connections stay. Without Redis entries end by themselves."""
        for slice_ in _slices(entries):
            await self._cache.call(_LEAVE, [_key(entry.device) for entry in slice_], [one.connection for one in slice_])

    async def beat(self, here: NodeFacts) -> bool | None:
        """This node lives, for 15 s more. False: Redis had forgotten it, so all its devices are to be renewed."""
        facts = "\n".join(here)
        answer = await self._cache.call(_BEAT, [_node_key(here), _NODES], [NODE_LIFE_S, _name(here), facts])
        return None if answer is None else bool(answer)

    async def end(self, here: NodeFacts) -> None:
        """This node's life is over: its devices are absent from now on."""
        await self._cache.call(_FORGET, [_node_key(here), _NODES], [_name(here)])

    async def nodes(self) -> list[NodeFacts] | None:
        """The living nodes, by name."""
        answer: list[bytes] | None = await self._cache.call(_LIST, [_NODES], [])
        return None if answer is None else sorted(NodeFacts(*one.decode().split("\n")) for one in answer)

    async def _write(self, script: Script, here: NodeFacts, entries: Sequence[Entry]) -> dict[UUID, bytes] | None:
        others: dict[UUID, bytes] = {}
        for slice_ in _slices(entries):
            values = [_value(here, entry) for entry in slice_]
            answer = await self._ask(script, [entry.device for entry in slice_], [DEVICE_LIFE_S, *values])
            if answer is None:
                return None
            others |= answer
        return others

    async def _ask(
        self, script: Script, devices: Sequence[UUID], args: Sequence[str | int]
    ) -> dict[UUID, bytes] | None:
        """What the script answered per device, where it answered something."""
        if not devices:
            return {}
        answer: list[bytes] | None = await self._cache.call(script, [_key(device) for device in devices], args)
        if answer is None:
            return None
        return {device: value for device, value in zip(devices, answer, strict=True) if value}


def _slices(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    return [entries[start : start + SLICE] for start in range(0, len(entries), SLICE)]


def _key(device: UUID) -> str:
    return f"{{presence}}:device:{device.hex}"


def _name(here: NodeFacts) -> str:
    return f"{here.node}:{here.boot}"


def _node_key(here: NodeFacts) -> str:
    return f"{{presence}}:node:{_name(here)}"


def _value(here: NodeFacts, entry: Entry) -> str:
    return f"{here.node}\n{here.boot}\n{entry.connection}\n{int(entry.is_napping)}\n{here.region}"


def _read(value: bytes) -> Whereabouts:
    node, boot, connection, napping, region = value.decode().split("\n")
    return Whereabouts(node, boot, connection, region, napping == "1")
