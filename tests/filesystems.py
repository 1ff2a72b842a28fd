"""Fixtures for tests of the file system, over an embedded server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import fsspec as the_package
import pytest

import wbfiles_async.fsspec
from wbfiles_async.testing import LocalServer

Fs: TypeAlias = Any
"""A file system: fsspec is untyped, and the types inferred for its methods are wrong."""

WandbFileSystem: Any = wbfiles_async.fsspec.WandbFileSystem
fsspec: Any = the_package
Requests = Callable[[], dict[str, int]]


@pytest.fixture
def environment(wandb_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """Puts the server into the environment, and clears cached file systems."""
    WandbFileSystem.clear_instance_cache()
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
    yield wandb_server
    for fs in list(WandbFileSystem._cache.values()):
        fs._clients.close()
    WandbFileSystem.clear_instance_cache()


@pytest.fixture
def fs(environment: LocalServer) -> Fs:
    """A file system of the server."""
    return WandbFileSystem()


@pytest.fixture
def requests(environment: LocalServer) -> Requests:
    """Return the requests since the last call: operations of the API, and ranges or files of the store."""

    def counted() -> dict[str, int]:
        seen = Counter(request.operation or "store" for request in environment.requests)
        environment.clear_requests()
        return dict(seen)

    return counted
