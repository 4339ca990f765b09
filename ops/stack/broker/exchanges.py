"""Exchanges: which queues a routing key leads to. Pure; direct, topic and fanout only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

KINDS = ("direct", "topic", "fanout")


@dataclass(slots=True)
class Exchange:
    """One exchange and its bindings: routing key → names of queues, in the order they were bound."""

    name: str
    kind: str
    is_durable: bool
    bindings: dict[str, dict[str, None]] = field(default_factory=dict)

    def bind(self, queue: str, routing_key: str) -> None:
        """Lead `routing_key` to a queue; again is nothing new."""
        self.bindings.setdefault(routing_key, {})[queue] = None

    def unbind(self, queue: str, routing_key: str) -> None:
        """Undo `bind`; what was not bound stays so."""
        bound = self.bindings.get(routing_key, {})
        bound.pop(queue, None)
        if not bound:
            self.bindings.pop(routing_key, None)

    def forget(self, queue: str) -> None:
        """Undo every binding of a queue that is gone."""
        for routing_key in list(self.bindings):
            self.unbind(queue, routing_key)

    def route(self, routing_key: str) -> list[str]:
        """The names of the queues for a message, each once."""
        if self.kind == "direct":
            return list(self.bindings.get(routing_key, ()))
        if self.kind == "fanout":
            return list(dict.fromkeys(queue for bound in self.bindings.values() for queue in bound))
        words = routing_key.split(".")
        hits = (bound for pattern, bound in self.bindings.items() if matches(pattern.split("."), words))
        return list(dict.fromkeys(queue for bound in hits for queue in bound))


def matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a topic pattern fits the words of a routing key: `*` is one word, `#` any number of them.

    Worked off like a glob, from left to right with one place to come back to, so that many `#` cost little.
    """
    at_pattern = at_word = 0
    last_hash = resume_word = -1
    while at_word < len(words):
        if at_pattern < len(pattern) and pattern[at_pattern] == "#":
            last_hash, resume_word = at_pattern, at_word
            at_pattern += 1
        elif at_pattern < len(pattern) and pattern[at_pattern] in ("*", words[at_word]):
            at_pattern += 1
            at_word += 1
        elif last_hash >= 0:
            resume_word += 1
            at_pattern, at_word = last_hash + 1, resume_word
        else:
            return False
    return all(word == "#" for word in pattern[at_pattern:])
