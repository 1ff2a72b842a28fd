"""universal_pathlib's own cases, ``upath.tests.cases`` of its source distribution, over the file system.

``UPATH_SOURCE`` is the folder that the distribution was unpacked to.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

upath = pytest.importorskip("upath", reason="nox -s ecosystem installs it")
if "UPATH_SOURCE" not in os.environ:
    pytest.skip("nox -s ecosystem unpacks universal_pathlib's tests", allow_module_level=True)
upath.__path__.append(os.path.join(os.environ["UPATH_SOURCE"], "upath"))  # its wheel is without them

from upath.tests.cases import BaseTests  # noqa: E402
from upath.tests.conftest import clear_fsspec_memory_cache as clear_fsspec_memory_cache  # noqa: E402
from upath.tests.conftest import clear_registry as clear_registry  # noqa: E402
from upath.tests.conftest import local_testdir as local_testdir  # noqa: E402
from upath.tests.conftest import pathlib_base as pathlib_base  # noqa: E402

from wbfiles_async.fsspec import WandbFileSystem, WandbPath  # noqa: E402
from wbfiles_async.testing import LocalServer  # noqa: E402

numbers = itertools.count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("served")) as server:
        server.add_run("team/project/run")
        yield server
        for fs in WandbFileSystem._cache.values():
            fs._clients.close()
    WandbFileSystem.clear_instance_cache()


class TestWandbPath(BaseTests):
    SUPPORTS_EMPTY_DIRS = False

    @pytest.fixture(autouse=True)
    def path(self, served: LocalServer) -> None:
        options = {"base_url": served.base_url, "api_key": served.api_key}
        self.path = upath.UPath(f"wandb://team/project/run/{next(numbers)}", **options)
        self.prepare_file_system()

    def test_is_correct_class(self) -> None:
        assert isinstance(self.path, WandbPath)
        assert self.path.storage_options["api_key"].startswith("<key ")

    @pytest.mark.xfail(reason="paths have no root character, so one without its protocol is taken for relative")
    @pytest.mark.parametrize("kind", [upath.UPath, Path])
    def test_rename_with_target_absolute_without_protocol(self, kind: Any) -> None:
        self.path.joinpath("file1.txt").rename(kind(self.path.joinpath("renamed.txt").path))

    @pytest.mark.parametrize(
        "target_factory",
        [
            lambda obj, name: str(obj.joinpath(name).absolute()),
            lambda obj, name: obj.joinpath(name).absolute().as_posix(),
            lambda obj, name: obj.absolute().joinpath(name),
        ],
    )
    def test_rename_with_target_absolute(self, target_factory: Any) -> None:
        super().test_rename_with_target_absolute(target_factory)
