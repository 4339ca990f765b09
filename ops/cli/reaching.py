"""Which API the shell's verbs speak to: the one that was named, else that of the `up` that runs here."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.door import fail, settings

if TYPE_CHECKING:
    from ops.rest import Rest

Url = Annotated[str, typer.Option(envvar="CARILLON_URL", help="Of the API; that of the `up` here when left out.")]
Key = Annotated[str, typer.Option(envvar="CARILLON_KEY", help="API key; that of the `up` here when left out.")]
AsJson = Annotated[bool, typer.Option("--json", help="As the API tells it.")]


def over_api(verb: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """What typer runs for a verb that takes the API and its options: the same options, and --url and --key.

    An option whose type is a dataclass stands for the fields of that: what several verbs ask alike is written once.
    """
    _, *asked = signature(verb).parameters.values()
    families: dict[str, Any] = {one.name: one.annotation for one in asked if is_dataclass(one.annotation)}

    @wraps(verb, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def run(*, url: str, key: str, **words: Any) -> None:
        for name, family in families.items():
            words[name] = family(**{field.name: words.pop(field.name) for field in fields(family)})
        _with_api(url, key, lambda rest: verb(rest, **words))

    options = [*_spread(asked), _option("url", Url, ""), _option("key", Key, "")]
    run.__signature__ = Signature(options)  # type: ignore[attr-defined]  # inspect reads it
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run


def given(words: dict[str, str]) -> dict[str, str]:
    """Those options that were given."""
    return {name: word for name, word in words.items() if word}


def path_of(*parts: str) -> str:
    """A path below the first part, whatever stands in the others."""
    from urllib.parse import quote  # lazy

    return "/".join((parts[0], *(quote(part, safe="") for part in parts[1:])))


def print_json(document: Any) -> None:
    """A document as the API told it."""
    typer.echo(json.dumps(document, indent=2))


def _spread(asked: list[Parameter]) -> Iterator[Parameter]:
    for one in asked:
        if not is_dataclass(one.annotation):
            yield one.replace(kind=Parameter.KEYWORD_ONLY)
            continue
        for field in fields(one.annotation):
            yield _option(field.name, field.type, Parameter.empty if field.default is MISSING else field.default)


def _option(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _with_api(url: str, key: str, act: "Callable[[Rest], Awaitable[None]]") -> None:
    """Run `act` on the API that was named, else on that of the `up` that runs here."""
    from ops.rest import open_rest  # lazy: httpx2

    if not (url and key):
        url, key = _here(url, key)

    async def work() -> None:
        async with open_rest(url, key) as rest:
            await act(rest)

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _here(url: str, key: str) -> tuple[str, str]:
    """What was not named, from what runs here. A key of here is never sent to another place."""
    from ops.stack.home import Home  # lazy

    home = Home(settings().data_path.absolute())
    run = home.read_run()
    if run is None:
        missing = "neither --url nor CARILLON_URL is set" if not url else "neither --key nor CARILLON_KEY is set"
        fail(f"nothing runs here (looked in {home.run_file}) and {missing}: `carillon up` starts it")
    if url and url.rstrip("/") != run.api_url:
        fail(f"which key for {url}? Set --key or CARILLON_KEY: the one of {run.api_url} stays here")
    return run.api_url, key or run.api_key
