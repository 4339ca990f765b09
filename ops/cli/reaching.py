"""Which API the shell's verbs speak to: the one that was named, else that of the `up` that runs here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.door import fail, settings

if TYPE_CHECKING:
    from ops.rest import Rest

Url = Annotated[str, typer.Option(envvar="CARILLON_URL", help="Of the API; that of the `up` here when left out.")]
Key = Annotated[str, typer.Option(envvar="CARILLON_KEY", help="API key; that of the `up` here when left out.")]


def with_api(url: str, key: str, act: "Callable[[Rest], Awaitable[None]]") -> None:
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
