"""fsspec's own tests of file systems, ``fsspec.tests.abstract``, over an embedded server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

abstract = pytest.importorskip("fsspec.tests.abstract", reason="nox -s ecosystem installs it")

from wbfiles_async.fsspec import WandbFileSystem  # noqa: E402
from wbfiles_async.testing import LocalServer  # noqa: E402


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("served")) as server:
        server.add_run("team/project/run")
        yield server
        for fs in WandbFileSystem._cache.values():
            fs._clients.close()
    WandbFileSystem.clear_instance_cache()


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, served: LocalServer) -> WandbFileSystem:
        return WandbFileSystem(base_url=served.base_url, api_key=served.api_key)

    @pytest.fixture
    def fs_path(self) -> str:
        return "team/project/run"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
