"""Where strangers may send us: which URLs and which addresses a request of theirs may go to. Pure; it resolves nothing.

Whoever may name a URL that we then call could reach what only we can reach: the database beside us, a cloud's metadata.
So the URL is held to a narrow form, and every address that its name resolves to has to be one of the public internet,
also those that wear an IPv4 address inside an IPv6 one (`ipaddress.is_global` takes several of these for public).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

MAX_URL = 2000
PORTS = frozenset({443, 8443})
_PLAIN = re.compile(r"[!-~]+", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_LOOKS_LIKE_A_NUMBER = re.compile(r"(\d+|0x[\da-f]*)", re.ASCII)
_DENIED_4 = tuple(map(ip_network, ("192.88.99.0/24", "168.63.129.16/32")))
"""The old 6to4 relays, and a cloud's own services behind an address that looks public."""

_GLOBAL_6 = ip_network("2000::/3")
_DENIED_6 = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Teredo and other protocols' own, examples, 6to4. NAT64 (64:ff9b::), mapped and site-local lie outside of 2000::/3."""

Address = IPv4Address | IPv6Address


class UrlRefused(ValueError):
    """Nobody may send us there; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that holds to the rules. `host` is in small letters, an IPv6 address without brackets.

    `is_inside` when the operator named this very host: then its addresses are not asked whether they are public.
    """

    url: str
    scheme: str
    host: str
    port: int
    path: str
    is_inside: bool = False

    @property
    def netloc(self) -> str:
        """The host as the header Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def read_url(url: str, *, inside: frozenset[str] = frozenset()) -> Target:
    """The parts of a URL that may be called. UrlRefused says what is wrong with it.

    https on port 443 or 8443, without user, password, fragment, backslash and white space. `inside` are hosts that
    the operator vouches for: they may be called over http and on any port.
    """
    if not url or len(url) > MAX_URL or not _PLAIN.fullmatch(url):
        raise UrlRefused(f"must be 1 to {MAX_URL} visible ASCII characters (an international name as xn--…)")
    if "\\" in url or "#" in url:
        raise UrlRefused("must hold neither a backslash nor a fragment")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise UrlRefused("must be a URL such as https://hooks.example/carillon") from None
    if "@" in parts.netloc:
        raise UrlRefused("must hold no user and no password")
    is_inside = host in inside
    if parts.scheme != "https" and not (is_inside and parts.scheme == "http"):
        raise UrlRefused("must begin with https://")
    address = _read_host(host)
    if "[" in parts.netloc and not isinstance(address, IPv6Address):
        raise UrlRefused("must hold nothing but an IPv6 address in brackets")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    if port not in PORTS and not is_inside:
        raise UrlRefused("must use port 443 or 8443")
    if address is not None and not is_inside and not is_public(address):
        raise UrlRefused("must not point to an address that is not of the public internet")
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return Target(url, parts.scheme, host, port, path, is_inside)


def _read_host(host: str) -> Address | None:
    """The address that a host is, or None for a name. UrlRefused for what is neither.

    A name whose last label is a number is an address to many resolvers (0x7f000001, 2130706433, 127.1): only the usual
    form of four numbers is taken.
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    labels = host.split(".")
    if not host or len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefused("must name a host")
    if _LOOKS_LIKE_A_NUMBER.fullmatch(labels[-1]):
        raise UrlRefused("must write an address as four numbers, 203.0.113.7")
    return None


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, whatever it is wrapped in."""
    if isinstance(address, IPv4Address):
        is_denied = address.is_multicast or address.is_reserved or any(address in net for net in _DENIED_4)
        return address.is_global and not is_denied
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address.scope_id is not None or address not in _GLOBAL_6:
        return False
    return address.is_global and not any(address in net for net in _DENIED_6)
