"""Jinja2, locked down: a sandbox without loader and globals, where what is missing is an error and never empty.

One environment for text and one for HTML: only HTML is escaped. The folders' authors are trusted with time and memory
(there is no clock on a loop over data); the data they are given is not trusted with anything.
"""

from typing import Any

import jinja2
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, new_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from templates.filters import ALLOWED, Unfit

GIVEN = frozenset({"person", "unsubscribe_url", "range"})
"""Names that every message has beside its data, which cannot replace them."""

MAX_REPEATS = 10_000
"""So many steps may all ranges of one rendering have together."""

_TESTS = (
    *("defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping"),
    *("sequence", "iterable", "odd", "even", "lower", "upper", "in", "eq", "ne", "lt", "le", "gt", "ge", "==", "!="),
    *("equalto", "greaterthan", "lessthan", "<", "<=", ">", ">="),
)
_REFUSED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Macro, nodes.CallBlock)


class NullValue(UndefinedError):
    """Something null was about to be printed: as good as missing."""


class Repeats:
    """The `range` of one rendering; remembers how much of MAX_REPEATS is left."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_REPEATS

    def __call__(self, *bounds: int) -> range:
        """As Python's range. SecurityError when all ranges together are too long."""
        steps = range(*bounds)
        if len(steps) > self._left:
            raise SecurityError(f"range: more than {MAX_REPEATS} steps in one message")
        self._left -= max(len(steps), 1)
        return steps


class Environment(ImmutableSandboxedEnvironment):
    """The sandbox of messages: also refuses to multiply texts, and to call anything but `range`."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, *, html: bool) -> None:
        super().__init__(
            autoescape=html,
            undefined=StrictUndefined,
            finalize=printable,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.globals = {}
        self.filters = dict(ALLOWED)
        self.tests = {name: self.tests[name] for name in _TESTS}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Products of numbers only; SecurityError for what could grow without end."""
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"{operator} is for numbers only")
        return super().call_binop(context, operator, left, right)

    def is_safe_callable(self, obj: Any) -> bool:
        """Only `range` may be called: methods of texts can make very long ones, and filters do the rest."""
        return isinstance(obj, Repeats | Undefined)  # calling what is undefined says its name


def printable(value: object) -> object:
    """What may stand in a message: text, numbers. NullValue for null, Unfit for lists and objects."""
    if value is None:
        raise NullValue("a value is null")
    if isinstance(value, dict | list | tuple):
        raise Unfit("a list or an object cannot be printed as it is")
    return value


def context_of(environment: jinja2.Environment, given: dict[str, Any]) -> Context:
    """What templates of this environment see when they run, one after the other: a copy of nothing, changed by none."""
    return new_context(environment, None, {}, given, shared=True)


def run(template: Template, context: Context, *, at_most: int) -> str:
    """What comes out; more than `at_most` characters, but not all, where that is too much.

    As the template's own `generate`, but for the context: that costs more than most templates. Raises what the
    template raises, with its own lines in the traceback.
    """
    if template.blocks:
        context = template.new_context(context.parent, shared=True)
    chunks, size = [], 0
    try:
        for chunk in template.root_render_func(context):
            chunks.append(chunk)
            size += len(chunk)
            if size > at_most:
                break
    except Exception:
        template.environment.handle_exception()
    if context.vars:  # what a template sets is its own
        context.vars.clear()
        context.exported_vars.clear()
    return "".join(chunks)


def parse(source: str, *, html: bool, name: str) -> nodes.Template:
    """The source as a tree. TemplateSyntaxError for what is no Jinja2, and for what reaches outside its own file."""
    tree = (HTML if html else TEXT).parse(source, filename=name)
    for node in tree.find_all(_REFUSED):
        raise TemplateSyntaxError(f"{type(node).__name__.lower()} is not for messages", node.lineno, name, name)
    return tree


TEXT = Environment(html=False)
HTML = Environment(html=True)
