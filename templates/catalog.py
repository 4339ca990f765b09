"""The messages this house can send: one folder each, read once, checked against its data before anything is sent.

messages/<name>/ holds message.json {"category"}, sample.json, perhaps schema.json (JSON Schema of the data), and words
per channel: email.subject.txt, email.html, email.txt, sms.txt, push.json, each with variants per locale
(`email.fr.txt`).
A message that cannot be read is a mistake of its author: Misconfigured names the file and the line.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry

from domain.errors import Misconfigured
from domain.lanes import Channel
from templates.environment import GIVEN, HTML, TEXT, parse
from templates.push import NoPayload, PushWords, read_push
from templates.quick_schema import Check, quick_yes

SHIPPED = Path(__file__).parent / "messages"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_FILE = re.compile(r"(email\.subject|email|sms|push)(?:\.([a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*))?\.(txt|html|json)")
_ENDINGS = {"email.subject": ("txt",), "email": ("txt", "html"), "sms": ("txt",), "push": ("json",)}
_BARE_ATTRIBUTE = re.compile(r"<[A-Za-z][^<>]*\s[\w:-]+\s*=\s*\{\{")


@dataclass(frozen=True, slots=True)
class Words:
    """One file of words, compiled: the whole of a part in one locale."""

    template: Template
    needs: frozenset[str]


@dataclass(frozen=True)
class Message:
    """One message. `words` are by part (`email.subject`, `email.html`, `email.txt`, `sms.txt`) and locale ("": any),
    `push` by locale."""

    name: str
    version: int
    category: str | None
    words: Mapping[tuple[str, str], Words]
    schema: Mapping[str, Any] | None
    sample: Mapping[str, Any]
    push: Mapping[str, PushWords] = field(default_factory=dict)

    @cached_property
    def channels(self) -> frozenset[Channel]:
        """The channels it has words for; an email needs a subject and a text."""
        parts = {part for part, _ in self.words}
        has_words = {
            Channel.PUSH: bool(self.push),
            Channel.EMAIL: {"email.subject", "email.txt"} <= parts,
            Channel.SMS: "sms.txt" in parts,
        }
        return frozenset(channel for channel, worded in has_words.items() if worded)

    @cached_property
    def locales(self) -> frozenset[str]:
        """The locales that have words of their own."""
        return frozenset(locale for locale in (*(locale for _, locale in self.words), *self.push) if locale)

    def variables(self, channel: Channel) -> frozenset[str]:
        """Top-level names that the data must hold for this channel, in whatever locale."""
        return self._variables.get(channel, frozenset())

    @cached_property
    def _variables(self) -> dict[Channel, frozenset[str]]:
        needs: dict[Channel, frozenset[str]] = {}
        for (part, _), words in self.words.items():
            channel = Channel.SMS if part == "sms.txt" else Channel.EMAIL
            needs[channel] = needs.get(channel, frozenset()) | words.needs
        needs[Channel.PUSH] = frozenset[str]().union(*(words.needs for words in self.push.values()))
        return needs

    @cached_property
    def validator(self) -> Draft202012Validator | None:
        """What checks data against the schema, where there is one."""
        if self.schema is None:
            return None
        nothing_remote: Registry[Any] = Registry()
        return Draft202012Validator(self.schema, registry=nothing_remote)

    @cached_property
    def quick_yes(self) -> Check | None:
        """What says yes to data that surely fits the schema; None where only the validator can tell."""
        return quick_yes(self.schema) if self.schema is not None else _anything

    def part(self, part: str, locale: str | None) -> Words | None:
        """The words of a part in the nearest locale: `fr-CA`, `fr`, then those for everybody."""
        return next((words for tried in _nearest(locale) if (words := self.words.get((part, tried)))), None)

    def push_words(self, locale: str | None) -> PushWords | None:
        """The push in the nearest locale."""
        return next((words for tried in _nearest(locale) if (words := self.push.get(tried))), None)


def _anything(_data: Any) -> bool:
    return True


def _nearest(locale: str | None) -> Iterator[str]:
    """`fr-ca`, `fr`, then "" for everybody."""
    tried = (locale or "").replace("_", "-").lower()
    while tried:
        yield tried
        tried = tried.rpartition("-")[0]
    yield ""


class Catalog:
    """The messages of some folders; a later folder's message replaces an earlier one's of the same name.

    Misconfigured when a folder is not there or a message in it cannot be used.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._messages: dict[str, Message] = {}
        for path in paths:
            if not path.is_dir():
                raise Misconfigured(f"there is no folder of messages at {path.resolve()}")
            for folder in sorted(path.iterdir()):
                if folder.is_dir() and not folder.name.startswith((".", "_")):
                    self._messages[folder.name] = read_message(folder)

    @classmethod
    def shipped(cls, extra: Path | None = None) -> Self:
        """The messages that come with the platform, and those of one folder more that go before them."""
        return cls((SHIPPED, extra) if extra is not None else (SHIPPED,))

    def get(self, name: str) -> Message | None:
        """The message of that name."""
        return self._messages.get(name)

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(self._messages)


def read_message(folder: Path) -> Message:
    """Read one folder. Misconfigured when a file in it cannot be used."""
    if not _NAME.fullmatch(folder.name):
        raise Misconfigured(f"{folder}: a message's name must match {_NAME.pattern}")
    words: dict[tuple[str, str], Words] = {}
    push: dict[str, PushWords] = {}
    digest = blake2b(digest_size=8)
    about: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    schema: dict[str, Any] | None = None
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        content = path.read_bytes()
        digest.update(b"%d:%s%d:%s" % (len(path.name.encode()), path.name.encode(), len(content), content))
        if path.name == "message.json":
            about = _read_json(path, content)
        elif path.name == "sample.json":
            sample = _read_json(path, content)
        elif path.name == "schema.json":
            schema = _read_schema(path, content)
        else:
            part, locale = _place(path)
            if part == "push.json":
                push[locale] = _read_push(path, content)
            else:
                words[part, locale] = _compile(path, content)
    message = Message(folder.name, _version(digest.digest()), about.get("category"), words, schema, sample, push)
    if not message.channels:
        raise Misconfigured(f"{folder}: has no words; give it email.subject.txt and email.txt, sms.txt, or push.json")
    _refuse_mixed_languages(folder, message)
    return message


def _refuse_mixed_languages(folder: Path, message: Message) -> None:
    """A French text beside an English page is nobody's email: each locale must bring all parts of a channel."""
    if message.push and "" not in message.push:
        raise Misconfigured(f"{folder}: has push.json in {min(message.push)}, but none for everybody else")
    parts = {part for part, _ in message.words}
    for part, locale in message.words:
        if (part, "") not in message.words:
            raise Misconfigured(f"{folder}: has {part} in {locale}, but none for everybody else")
        for other in parts if locale else ():
            same_channel = other.partition(".")[0] == part.partition(".")[0]
            if same_channel and message.part(other, locale) is message.words.get((other, "")):
                raise Misconfigured(f"{folder}: has {part} in {locale}, but not {other}")


def _version(digest: bytes) -> int:
    """A positive number of 31 bits that changes with the folder's content, the same in every process."""
    return int.from_bytes(digest) % (2**31 - 1) + 1


def _place(path: Path) -> tuple[str, str]:
    found = _FILE.fullmatch(path.name)
    if found is None or found[3] not in _ENDINGS[found[1]]:
        raise Misconfigured(f"{path}: is not a file of a message, like email.subject.txt, sms.fr.txt or push.json")
    part = "email.subject" if found[1] == "email.subject" else f"{found[1]}.{found[3]}"
    return part, (found[2] or "").lower()


def _compile(path: Path, content: bytes) -> Words:
    html = path.suffix == ".html"
    try:
        source = content.decode()
        template, needs = _compile_source(source, path, html=html)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: is not UTF-8") from error
    except TemplateSyntaxError as error:
        raise Misconfigured(f"{path}:{error.lineno}: {error.message}") from error
    if html and (bare := _BARE_ATTRIBUTE.search(source)):
        line = source.count("\n", 0, bare.end()) + 1
        raise Misconfigured(f"{path}:{line}: put quotes around the attribute: a value with a space would end it")
    return Words(template, needs)


def _compile_source(source: str, path: Path, *, html: bool) -> tuple[Template, frozenset[str]]:
    """A template and the names it needs. TemplateSyntaxError."""
    environment = HTML if html else TEXT
    tree = parse(source, html=html, name=str(path))
    needs = frozenset(find_undeclared_variables(tree)) - GIVEN - _optional(tree)
    return Template.from_code(environment, environment.compile(tree, path.name, str(path)), {}), needs


def _read_push(path: Path, content: bytes) -> PushWords:
    try:
        return read_push(_read_json(path, content), lambda source: _compile_source(source, path, html=False))
    except (NoPayload, TemplateSyntaxError) as error:
        raise Misconfigured(f"{path}: {error}") from error


def _optional(tree: nodes.Template) -> set[str]:
    """Names the words can do without: each use is `x|default(…)`, or somewhere they ask whether `x is defined`."""
    uses = Counter(name.name for name in tree.find_all(nodes.Name))
    defaulted = Counter(_subjects(tree, nodes.Filter, "default") + _subjects(tree, nodes.Filter, "d"))
    asked_for = set(_subjects(tree, nodes.Test, "defined"))
    return asked_for | {name for name, count in defaulted.items() if count == uses[name]}


def _subjects(tree: nodes.Template, kind: type[nodes.Filter | nodes.Test], name: str) -> list[str]:
    asked = (node.node for node in tree.find_all(kind) if node.name == name)
    return [subject.name for subject in asked if isinstance(subject, nodes.Name)]


def _read_json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise Misconfigured(f"{path}: is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Misconfigured(f"{path}: must hold an object")
    return value


def _read_schema(path: Path, content: bytes) -> dict[str, Any]:
    schema = _read_json(path, content)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise Misconfigured(f"{path}: is not a JSON Schema: {error.message}") from error
    return schema
