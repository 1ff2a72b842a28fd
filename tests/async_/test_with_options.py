"""Derived clients with some options changed: same connections, closed with the first client."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from pathlib import Path
from typing import get_type_hints

import attrs
import httpx
import pytest
from scripted_server import API_KEY, RUN, Answer, ScriptedServer, Stored, error_of, quick
from scripted_server import server as server

from wbfiles_async import Api, ApiError, AsyncApi, ConfigurationError, IntegrityError, TransferOptions
from wbfiles_async._options import OptionChanges
from wbfiles_async.testing import LocalServer

DATA = bytes(range(256)) * 64


def made(server: ScriptedServer, **options: object) -> AsyncApi:
    return AsyncApi(base_url=server.base_url, api_key=API_KEY, options=attrs.evolve(quick(), **options))  # type: ignore[arg-type]


async def read(api: AsyncApi, name: str) -> bytes:
    return await (await api.run(RUN).file(name)).read_bytes()


def test_every_option_can_be_changed() -> None:
    assert get_type_hints(OptionChanges) == get_type_hints(TransferOptions)


async def test_only_the_named_options_change(server: ScriptedServer) -> None:
    server.put("a.bin", DATA, Stored(DATA[::-1]))
    async with made(server, connections=3) as api:
        trusting = api.with_options(verify=False)
        assert await read(trusting, "a.bin") == DATA[::-1]
        await error_of(IntegrityError, read(api, "a.bin"))
        assert trusting._gateway.options == attrs.evolve(quick(), connections=3, verify=False)
        assert trusting.with_options(attempts=1)._gateway.options.verify is False
        assert trusting.with_options(timeout=3)._gateway.settings.timeout == 3


async def test_connections_are_shared(server: ScriptedServer) -> None:
    server.put("a.bin", DATA)
    async with made(server) as api:
        for client in (api, api.with_options(attempts=1), api.with_options(connections=1)):
            assert await read(client, "a.bin") == DATA
    assert len({seen.connection for seen in server.requests}) == 1


async def test_derived_client_closes_with_the_first(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("a.bin", DATA)
    async with made(server) as api:
        other = api.with_options(attempts=1)
        await (await other.run(RUN).file("a.bin")).fetch(tmp_path)
        tasks = asyncio.all_tasks()
    with pytest.raises(ConfigurationError, match="This client is closed"):
        await read(other, "a.bin")
    assert not [task for task in tasks - {asyncio.current_task()} - server.tasks if not task.done()]


async def test_closing_a_derived_client_keeps_the_first_open(server: ScriptedServer) -> None:
    server.put("a.bin", DATA)
    async with made(server) as api:
        async with api.with_options(attempts=1) as other:
            assert await read(other, "a.bin") == DATA
        with pytest.raises(ConfigurationError, match="This client is closed"):
            await read(other, "a.bin")
        assert await read(api, "a.bin") == DATA


async def test_derived_client_may_send_the_first_request(server: ScriptedServer) -> None:
    server.put("a.bin", DATA)
    api = made(server)
    assert await read(api.with_options(attempts=1), "a.bin") == DATA
    await api.aclose()


async def test_injected_client_is_used_by_both() -> None:
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(500)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as theirs:
        api = AsyncApi(base_url="http://api.test", api_key=API_KEY, http_client=theirs, options=quick(attempts=1))
        for client in (api, api.with_options(attempts=2)):
            await error_of(ApiError, read(client, "a.bin"))
    assert paths == ["/graphql"] * 3


@pytest.mark.parametrize("kind", [Api, AsyncApi])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"max_retries": 3},
            "^There is no option 'max_retries'; there are connections, part_size, ",
        ),
        ({"connections": 0}, "^TransferOptions.connections must be a whole number of at least 1"),
        ({"timeout": -1}, "^timeout must be a number of seconds above 0"),
    ],
)
def test_unchangeable_options_are_refused(kind: type, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        kind(api_key="k" * 40).with_options(**changes)


def test_blocking_derived_client_keeps_the_first_open(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        server.add_file("team/project/run", "a.txt", b"data")
        api = Api(base_url=server.base_url, api_key=server.api_key).with_options(attempts=1)
        gc.collect()
        assert api.run("team/project/run").file("a.txt").read_bytes() == b"data"
        api.close()


def in_child(api: Api) -> None:
    assert api.run("team/project/run").file("a.txt").read_bytes() == b"data"


def test_derived_client_works_in_a_forked_process(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        server.add_file("team/project/run", "a.txt", b"data")
        with Api(base_url=server.base_url, api_key=server.api_key) as first:
            api = first.with_options(attempts=1)
            in_child(api)
            process = multiprocessing.get_context("fork").Process(target=in_child, args=(api,))
            process.start()
            process.join(30)
            assert process.exitcode == 0
            in_child(api)


async def test_dropped_connection_does_not_affect_the_first(server: ScriptedServer) -> None:
    server.put("a.bin", DATA, Answer(head=b"", end="close"), Stored(DATA))
    async with made(server) as api:
        assert await read(api.with_options(attempts=2), "a.bin") == DATA
        assert await read(api, "a.bin") == DATA
