"""Who says hello: many at once, looked up in one question, and judged."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from channels.push.apps import App
from channels.push.gateway.codes import CloseCode
from channels.push.gateway.frames import Hello
from channels.push.tokens import KnownDevice
from domain.push import PushProvider


class Refusal(NamedTuple):
    """Why a device is not let in."""

    code: CloseCode
    why: str


class Greeting(NamedTuple):
    """A hello, and the page it came from (None: not from a browser)."""

    hello: Hello
    origin: str | None


class KnowsTokens(Protocol):
    """Knows the devices behind tokens."""

    async def find(self, token_hashes: Sequence[bytes]) -> dict[bytes, list[KnownDevice]]:
        """The devices with each token. Raises Unavailable."""


class Admission:
    """Answers greetings."""

    def __init__(
        self,
        app_of: Callable[[str], Awaitable[App | None]],
        tokens: KnowsTokens,
        hash_of: Callable[[str], bytes],
    ) -> None:
        self._app_of = app_of
        self._tokens = tokens
        self._hash_of = hash_of

    async def judge(self, greetings: Sequence[Greeting]) -> list[KnownDevice | Refusal]:
        """Per greeting the device, or why it is refused. Raises Unavailable: nobody can be looked up."""
        apps = {key: await self._app_of(key) for key in {one.hello.app_key for one in greetings}}
        hashes = [self._hash_of(one.hello.token) for one in greetings]
        found: Mapping[bytes, list[KnownDevice]] = await self._tokens.find(list(dict.fromkeys(hashes)))
        return [
            judge(apps[one.hello.app_key], found.get(token_hash, []), one.origin)
            for one, token_hash in zip(greetings, hashes, strict=True)
        ]


def judge(app: App | None, devices: Sequence[KnownDevice], origin: str | None) -> KnownDevice | Refusal:
    """The app's device among those that have the token, or why it is not let in."""
    if app is None:
        return Refusal(CloseCode.UNAUTHENTICATED, "the app key is not known")
    if origin is not None and origin not in app.web_origins:
        return Refusal(CloseCode.FORBIDDEN, "the origin is not among the app's web_origins")
    for device in devices:
        if device.app_id == app.id and device.provider == PushProvider.CARILLON:
            if not device.is_valid:
                return Refusal(CloseCode.GONE, "the token was invalidated: register again")
            return device
    if devices:
        return Refusal(CloseCode.FORBIDDEN, "the token is of another app")
    return Refusal(CloseCode.UNAUTHENTICATED, "the token is not known: register first")
