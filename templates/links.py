"""Finds links in finished HTML that a reader must not be given: a scheme that runs code, or hides one. Pure."""

import re
from html import unescape

SAFE_SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms", "cid"})
_TAG = re.compile(r"<[A-Za-z][^<>]*=[^<>]*>")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_LINKING = frozenset({"href", "src", "action", "formaction", "background", "poster", "xlink:href"})
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_SKIPPED = dict.fromkeys([*range(33), 127])
"""Signs that browsers leave out of a link before they look at its scheme."""


def unsafe_scheme(html: str) -> str | None:
    """The scheme of the first link that is not safe to follow; None when all are.

    For HTML whose values were escaped: each `<`, `>` and quote in it was then written by the template's author.
    """
    for tag in _TAG.findall(html):
        for attribute, quoted in _ATTRIBUTE.findall(tag):
            if attribute.lower() not in _LINKING:
                continue
            target = unescape(quoted.strip("\"'")).translate(_SKIPPED)
            scheme = _SCHEME.match(target)
            if scheme is not None and scheme[1].lower() not in SAFE_SCHEMES:
                return scheme[1].lower()
    return None
