"""Test your own code against a W&B server: with the extra `server` installed, pytest has the fixture `wandb_server`."""

import json

import pytest

from wbfiles_async import AsyncApi, RemoteFileNotFoundError
from wbfiles_async.testing import LocalServer

RUN = "team/project/run1"
pytestmark = pytest.mark.anyio  # anyio comes with wbfiles_async; pytest-asyncio does as well


async def final_loss(api: AsyncApi, run: str) -> float:
    """Stand for the code to be tested."""
    file = await api.run(run).file("wandb-summary.json")
    return float(json.loads(await file.read_text())["loss"])


@pytest.fixture
def anyio_backend() -> str:
    """Run the tests by asyncio."""
    return "asyncio"


@pytest.fixture
def api(wandb_server: LocalServer) -> AsyncApi:
    """Make a client of the server, which listens on a free port for the length of a test."""
    return AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key)


async def test_the_loss_is_read_from_the_summary(wandb_server: LocalServer, api: AsyncApi) -> None:
    wandb_server.add_file(RUN, "wandb-summary.json", b'{"loss": 0.1}')
    async with api:
        assert await final_loss(api, RUN) == 0.1


async def test_a_run_without_a_summary_has_no_loss(wandb_server: LocalServer, api: AsyncApi) -> None:
    wandb_server.add_run(RUN)
    async with api:
        with pytest.raises(RemoteFileNotFoundError):
            await final_loss(api, RUN)


async def test_the_summary_is_asked_for_once(wandb_server: LocalServer, api: AsyncApi) -> None:
    wandb_server.add_file(RUN, "wandb-summary.json", b'{"loss": 0.1}')
    async with api:
        await final_loss(api, RUN)
    assert [request.method for request in wandb_server.requests] == ["POST", "GET"]
