"""zarr's own tests of stores, ``zarr.testing.store.StoreTests``, over the file system."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

pytest.importorskip("zarr", reason="nox -s ecosystem installs it")

from zarr.core.buffer import cpu
from zarr.storage import FsspecStore
from zarr.testing.store import StoreTests

from wbfiles_async.fsspec import WandbFileSystem
from wbfiles_async.testing import LocalServer

numbers = itertools.count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("served")) as server:
        server.add_run("team/project/run")
        yield server
        for fs in WandbFileSystem._cache.values():
            fs._clients.close()
    WandbFileSystem.clear_instance_cache()


class TestStore(StoreTests[FsspecStore, cpu.Buffer]):
    store_cls = FsspecStore
    buffer_cls = cpu.Buffer

    @pytest_asyncio.fixture
    async def store_kwargs(self, served: LocalServer) -> AsyncIterator[dict[str, Any]]:
        fs = WandbFileSystem(base_url=served.base_url, api_key=served.api_key, asynchronous=True)
        yield {"fs": fs, "path": f"team/project/run/{next(numbers)}.zarr"}
        await fs.aclose()  # each test has a loop of its own

    @pytest_asyncio.fixture
    async def store(self, store_kwargs: dict[str, Any]) -> FsspecStore:
        return await self.store_cls.open(**store_kwargs)

    async def get(self, store: FsspecStore, key: str) -> cpu.Buffer:
        return self.buffer_cls.from_bytes(await store.fs._cat_file(f"{store.path}/{key}"))

    async def set(self, store: FsspecStore, key: str, value: Any) -> None:
        await store.fs._pipe_file(f"{store.path}/{key}", value.to_bytes())

    def test_store_repr(self, store: FsspecStore) -> None:
        assert str(store) == f"<FsspecStore(WandbFileSystem, {store.path})>"

    def test_store_supports_writes(self, store: FsspecStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: FsspecStore) -> None:
        assert store.supports_listing
