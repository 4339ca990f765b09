"""The filters that messages may use: Jinja2's harmless ones, and money, dates and times for the reader."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import TemplateRuntimeError, Undefined, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context

_KEPT = (
    *("abs", "capitalize", "count", "dictsort", "e", "escape", "first", "float", "int", "items", "join", "last"),
    *("length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr"),
    *("sort", "string", "striptags", "sum", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount"),
)
"""Left out: what grows a text without end (center, indent, format, replace, batch, slice …), attr, and safe."""

_DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""Currencies whose minor unit is not a hundredth (ISO 4217)."""

_FORM = re.compile(r"(?:[^%]|%-?[A-Za-z%]){1,60}")
_MAX_PRECISION = 12


class Unfit(TemplateRuntimeError):
    """A value does not fit the filter it was given to. The message never holds the value."""


def default(value: object, instead: object = "", boolean: bool = False) -> object:
    """The value, or something else when it is missing or null (or, if asked, false); nothing at all by default."""
    if isinstance(value, Undefined) or value is None or (boolean and not value):
        return instead
    return value


def money(value: object, currency: str = "") -> str:
    """An amount as the currency (ISO 4217) counts it: `1234.5|money("EUR")` is `1,234.50 EUR`. Unfit if it is none."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise Unfit("money: not an amount") from error
    if isinstance(value, bool) or not amount.is_finite() or abs(amount) >= Decimal(10) ** 15:
        raise Unfit("money: not an amount that can be written out")
    places = _DECIMALS.get(currency, 2)
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,} {currency}".strip()


@pass_context
def date(context: Context, value: object, form: str = "%Y-%m-%d") -> str:
    """A moment (RFC 3339 text, epoch seconds or datetime) in the reader's zone, by a strftime form."""
    return _written(context, value, form)


@pass_context
def time(context: Context, value: object, form: str = "%H:%M") -> str:
    """The same moment's time of day in the reader's zone."""
    return _written(context, value, form)


def round_(value: float, precision: int = 0) -> float:
    """A number rounded to so many places; Unfit beyond 12, where the stock filter would compute for hours."""
    if not isinstance(value, int | float) or not isinstance(precision, int) or abs(precision) > _MAX_PRECISION:
        raise Unfit("round: needs a number and at most 12 places")
    return round(value, precision)


def _written(context: Context, value: object, form: str) -> str:
    if not _FORM.fullmatch(form):
        raise Unfit("date: the form holds something else than plain strftime codes")
    try:
        return _moment(value).astimezone(_zone(context)).strftime(form)
    except (ValueError, OverflowError, OSError) as error:
        raise Unfit("date: not a moment in RFC 3339 or epoch seconds") from error


def _moment(value: object) -> datetime:
    """A bare date or a time without offset is taken as UTC."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = datetime.fromtimestamp(value, UTC)
    else:
        moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _zone(context: Context) -> tzinfo:
    """The reader's zone; UTC when it is unknown, for a wrong zone is no reason to say nothing."""
    name = getattr(context.get("person"), "timezone", None) or "UTC"
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


ALLOWED: Mapping[str, Callable[..., Any]] = {
    **{name: FILTERS[name] for name in _KEPT},
    **{"default": default, "d": default, "money": money, "date": date, "time": time, "round": round_},
}
"""Filters by name."""
