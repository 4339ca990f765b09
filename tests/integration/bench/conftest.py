"""One platform with its devices for all scenarios: starting it takes longer than any of these tests."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.bench.platform_peer import PlatformPeer, a_platform_peer
from plumbing.settings import Settings

DEVICES = 60


@pytest.fixture(scope="package")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the roles write their calls."""
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="package")
async def peer(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> AsyncIterator[PlatformPeer]:
    """Carillon with sixty devices connected."""
    with pytest.MonkeyPatch.context() as told:
        told.setitem(os.environ, "CARILLON_CALL_TREE_PATH", str(calls))
        folder = tmp_path_factory.mktemp("platform")
        async with a_platform_peer(Settings(_env_file=None), folder) as opened:
            await opened.prepare(DEVICES)
            yield opened
