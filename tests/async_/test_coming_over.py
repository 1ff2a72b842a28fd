"""Scripts written for ``wandb``: missing attributes, its forms of run paths, and its ways to make a file."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
import wandb
from wandb.apis import public

import wbfiles_async
from wbfiles_async import (
    Api,
    AsyncApi,
    AsyncFile,
    AsyncRun,
    ConfigurationError,
    DestinationExistsError,
    File,
    Run,
    RunNotFoundError,
    TransferOptions,
    UnsafePathError,
)
from wbfiles_async.testing import LocalServer

RUN = "team/my project/run1"
CONTENT = b'{"loss": 0.1}'
NAME = "deep/wandb-summary.json"


@pytest.fixture
def server(wandb_server: LocalServer) -> LocalServer:
    wandb_server.add_file(RUN, NAME, CONTENT)
    return wandb_server


@pytest.fixture
def api(server: LocalServer) -> Api:
    return Api(base_url=server.base_url, api_key=server.api_key)


@pytest.fixture
def async_api(server: LocalServer) -> AsyncApi:
    return AsyncApi(base_url=server.base_url, api_key=server.api_key)


class TestMissingAttributes:
    """For attributes of W&B's client that this package lacks, the error says where to find them."""

    @pytest.mark.parametrize("theirs", [public.Run, public.Api, wandb], ids=["run", "api", "module"])
    def test_wandb_attributes_are_explained(self, api: Api, async_api: AsyncApi, theirs: type | ModuleType) -> None:
        ours: Any = {
            public.Run: [api.run(RUN), async_api.run(RUN)],
            public.Api: [api, async_api],
            wandb: [wbfiles_async],
        }[theirs]
        names = {name for name in dir(theirs) if not name.startswith("_") and name != "snake_to_camel"}
        if theirs is wandb:  # of the module only the names that scripts call
            names &= {"init", "log", "finish", "save", "restore", "config", "summary", "Artifact", "Table", "login"}
        for one in ours:
            here = {name for name in dir(one) if not name.startswith("_")}
            assert names - here, "there is something to point to"
            for name in names - here:
                assert not hasattr(one, name)
                with pytest.raises(AttributeError, match=rf"handles files only; for {name} use .*wandb"):
                    getattr(one, name)

    @pytest.mark.parametrize("name", ["tags", "notes", "summary", "config", "history", "url"])
    def test_server_side_run_attributes_are_explained(self, api: Api, name: str) -> None:
        with pytest.raises(AttributeError, match=rf"wbfiles_async handles files only; for {name} use wandb.Api\(\)"):
            getattr(api.run(RUN), name)

    def test_unknown_attribute_raises_as_usual(self, api: Api, async_api: AsyncApi) -> None:
        for one in (api, api.run(RUN), async_api, async_api.run(RUN), wbfiles_async):
            with pytest.raises(AttributeError, match="has no attribute 'fiels'"):
                one.fiels  # type: ignore[union-attr]  # noqa: B018
            assert not hasattr(one, "_ipython_canary_method_should_not_exist_")

    def test_misspelt_attribute_gets_a_suggestion(self) -> None:
        script = "from wbfiles_async import Api; Api(api_key='k' * 40).run('a/b/c').fiels()"
        output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr
        assert output.endswith("'Run' object has no attribute 'fiels'. Did you mean: 'file'?\n")

    def test_copying_and_pickling_still_work(self, api: Api) -> None:
        run = api.run(RUN)
        assert copy.copy(run) == copy.deepcopy(run) == pickle.loads(pickle.dumps(run)) == run


class TestRunAttributes:
    def test_blocking_run_is_looked_up_once(self, api: Api, server: LocalServer) -> None:
        run = api.run(RUN)
        assert not [*server.requests]
        assert (run.name, run.state) == ("run1", "finished")
        assert run.created_at is not None
        assert [request.operation for request in server.requests] == ["Run"]
        assert run == api.run(RUN)

    async def test_async_run_needs_refresh(self, async_api: AsyncApi, server: LocalServer) -> None:
        async with async_api as api:
            run = api.run(RUN)
            for name in ("name", "state", "created_at"):
                with pytest.raises(
                    AttributeError, match=rf"\(await run.refresh\(\)\).{name}, or the runs that api.runs"
                ):
                    getattr(run, name)
            assert dict(inspect.getmembers(run))["id"] == "run1"
            assert server.requests == ()
            fresh = await run.refresh()
            listed = await api.runs("team/my project").first()
        assert fresh == listed == run
        assert listed is not None
        assert (fresh.name, fresh.state, fresh.created_at) == (listed.name, listed.state, listed.created_at)

    def test_missing_run_raises_not_found(self, api: Api) -> None:
        missing = api.run("team/my project/nope")
        for ask in (missing.refresh, lambda: missing.state):
            with pytest.raises(RunNotFoundError, match="team/my project/nope"):
                ask()

    def test_attributes_load_without_an_entity(self, server: LocalServer) -> None:
        server.add_file("local/vision/run2", "a", b"a")
        run = Api(base_url=server.base_url, api_key=server.api_key).run("vision/run2")
        assert (run.name, run.path) == ("run2", ["local", "vision", "run2"])

    def test_listed_run_keeps_its_attributes_in_a_pickle(self, api: Api) -> None:
        (run,) = api.runs("team/my project")
        assert pickle.loads(pickle.dumps(run)).name == "run1"


class TestRunPaths:
    @pytest.mark.parametrize(
        "named",
        [
            ["team", "my project", "run1"],
            ("team", "my%20project", "run1"),
            "team/my%20project/run1",
            SimpleNamespace(path=["team", "my%20project", "run1"]),
            SimpleNamespace(path="team/my project/run1"),
        ],
        ids=["parts", "quoted parts", "quoted path", "public run", "run that logs"],
    )
    def test_every_path_form_of_wandb_is_accepted(
        self, api: Api, async_api: AsyncApi, named: Any, tmp_path: Path
    ) -> None:
        assert api.run(named) == api.run(RUN)
        assert async_api.run(named) == async_api.run(RUN)
        several: Any = named if isinstance(named, str | SimpleNamespace) else [named]
        assert api.download(several, tmp_path).downloaded == 1
        assert (tmp_path / "run1" / NAME).read_bytes() == CONTENT

    def test_wandb_run_object_is_accepted(self, server: LocalServer, tmp_path: Path) -> None:
        script = """
import sys, wandb
from wbfiles_async import Api
theirs = wandb.Api().run(sys.argv[1])
ours = Api().run(theirs)
assert ours == Api().run(theirs.path) == Api().run("/".join(theirs.path))
print(*(file.name for file in ours.files()))
"""
        done = subprocess.run(
            [sys.executable, "-c", script, RUN],
            cwd=tmp_path,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path),
                "WANDB_ERROR_REPORTING": "false",
                "WANDB_BASE_URL": server.base_url,
                "WANDB_API_KEY": server.api_key,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"{NAME}\n"), done.stderr

    def test_project_paths_may_be_quoted_or_in_parts(self, api: Api) -> None:
        for path in ("team/my%20project", ["team", "my%20project"], "team/my project/"):
            assert [run.id for run in api.runs(path, include_sweeps=True, lazy=False)] == ["run1"]

    @pytest.mark.parametrize("named", [None, 7, [], ["team", 7, "run1"], object(), b"team/p/r"])
    def test_invalid_run_paths_are_refused(self, api: Api, named: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"A run is named by its path, .*not by"):
            api.run(named)

    @pytest.mark.parametrize("named", [["team", "my/project", "run1"], "team/my%2Fproject/run1"])
    def test_path_parts_contain_no_slash(self, api: Api, named: Any) -> None:
        with pytest.raises(ConfigurationError, match="must not hold a slash"):
            api.run(named)

    def test_list_of_three_paths_downloads_three_runs(self, api: Api, tmp_path: Path) -> None:
        report = api.download([RUN, RUN, "team/my project/nope"], tmp_path, raise_on_error=False)
        assert (report.downloaded, report.failed) == (1, 1)


def test_upload_methods_of_wandb_are_explained(api: Api) -> None:
    assert len(api.run(RUN).files(upload=False)) == 1
    with pytest.raises(ConfigurationError, match=r"run\.upload\(\.\.\.\) uploads files"):
        api.run(RUN).files(upload=True)


class TestFilesOfAnyDictionary:
    """Any dictionary makes a file; a missing value is an error when it is needed."""

    def direct(self, api: Api, **changes: object) -> Mapping[str, object]:
        return {"directUrl": api.run(RUN).file(NAME).direct_url, **changes}

    def test_empty_dictionary_has_no_values(self) -> None:
        for file in (File(None, {}), AsyncFile(None, {})):
            assert (file.name, file.id, file.size, file.size_bytes, file.url, file.path_uri) == (
                "",
                "",
                0,
                None,
                None,
                "",
            )
            assert file.md5 is None
            assert "without a name" in repr(file)
            assert pickle.loads(pickle.dumps(file)) == file

    @pytest.mark.parametrize("given", [None, "a.txt", ["name"]])
    def test_non_dictionary_is_refused(self, given: Any) -> None:
        with pytest.raises(ConfigurationError, match="server's dictionary"):
            File(None, given)

    def test_url_alone_is_enough_to_read(self, api: Api, tmp_path: Path) -> None:
        for run in (None, api.run(RUN)):
            file = File(api, self.direct(api), run)
            assert file.read_bytes() == b"".join(file.stream()) == CONTENT
            assert file.fetch(path=tmp_path / "there" / "a.json", replace=True).read_bytes() == CONTENT

    @pytest.mark.parametrize("call", ["fetch", "download"])
    def test_download_without_a_name_is_an_error(self, api: Api, tmp_path: Path, call: str) -> None:
        file = File(api, self.direct(api), api.run(RUN))
        with pytest.raises(ConfigurationError, match=r"made without a name.*fetch\(path="):
            getattr(file, call)(tmp_path / "root")
        assert not (tmp_path / "root").exists()

    def test_refresh_needs_a_name_and_delete_an_id(self, api: Api, server: LocalServer) -> None:
        with pytest.raises(ConfigurationError, match="has no 'name'"):
            File(api, {"id": "RmlsZTox"}, api.run(RUN)).refresh()
        count = len(server.requests)
        with pytest.raises(ConfigurationError, match="has no 'id'"):
            File(api, {"name": NAME}, api.run(RUN)).delete()
        assert len(server.requests) == count
        assert api.run(RUN).files().count() == 1

    def test_url_is_looked_up_if_the_run_is_known(self, api: Api) -> None:
        assert File(api, {"name": NAME}, api.run(RUN)).read_bytes() == CONTENT
        for attributes in ({"name": NAME}, {}):
            with pytest.raises(ConfigurationError, match="has no 'url'"):
                File(api, attributes).read_bytes()


class TestCallerPath:
    async def test_file_is_written_to_the_given_path(self, api: Api, async_api: AsyncApi, tmp_path: Path) -> None:
        root = tmp_path / "root"
        target = root / "made" / "what: is this?.json"
        assert api.run(RUN).file(NAME).fetch(path=target) == target
        assert target.read_bytes() == CONTENT
        async with async_api:
            file = await async_api.run(RUN).file(NAME)
            assert await file.fetch(path=str(root / "other")) == root / "other"
        assert sorted(path.name for path in root.rglob("*")) == ["made", "other", target.name]

    def test_unsafe_name_can_be_fetched_to_a_path(self, api: Api, tmp_path: Path) -> None:
        attributes = {"name": "../x", "url": api.run(RUN).file(NAME).url}
        file = File(api, attributes)
        with pytest.raises(UnsafePathError):
            file.fetch(tmp_path)
        assert file.fetch(path=tmp_path / "x").read_bytes() == CONTENT

    def test_existing_file_is_handled_as_with_a_root(self, api: Api, tmp_path: Path) -> None:
        target = tmp_path / "a"
        target.write_bytes(b"old")
        file = api.run(RUN).file(NAME)
        with pytest.raises(DestinationExistsError):
            file.fetch(path=target)
        assert file.fetch(path=target, exist_ok=True).read_bytes() == b"old"
        assert file.fetch(path=target, replace=True).read_bytes() == CONTENT

    @pytest.mark.parametrize("path", ["", ".", "/", "..", "a/..", "a/", "a\0b"])
    def test_path_without_a_file_name_is_refused(self, api: Api, path: str) -> None:
        with pytest.raises(ConfigurationError, match="names no file"):
            api.run(RUN).file(NAME).fetch(path=path)

    def test_root_and_path_together_are_refused(self, api: Api, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="leave out root"):
            api.run(RUN).file(NAME).fetch(tmp_path, path=tmp_path / "a")


class TestPickles:
    """Runs and files are pickled without their client; each call accepts another one."""

    def test_pickled_run_works_with_a_given_client(self, api: Api, tmp_path: Path) -> None:
        run: Run = pickle.loads(pickle.dumps(api.run(RUN)))
        assert run.download(tmp_path, api=api).downloaded == 1
        assert run.file(NAME, api=api).read_bytes() == CONTENT
        assert run.find({"name": NAME}, api=api).read_bytes() == CONTENT
        assert [file.read_bytes() for file in run.files(api=api)] == [CONTENT]
        assert run.refresh(api=api).files().count() == 1
        assert api.run(run).file(NAME).read_bytes() == CONTENT
        with pytest.raises(ConfigurationError, match=r"has no client.*api="):
            run.files().to_list()

    def test_pickled_file_works_with_a_given_client(self, api: Api, tmp_path: Path) -> None:
        file: File = pickle.loads(pickle.dumps(api.run(RUN).file(NAME)))
        assert file.read_bytes(api=api) == b"".join(file.stream(api=api)) == CONTENT
        assert file.read_text(api=api) == CONTENT.decode()
        assert file.fetch(tmp_path, api=api).read_bytes() == CONTENT
        with file.download(tmp_path, exist_ok=True, api=api) as text:
            assert text.read() == CONTENT.decode()
        assert file.refresh(api=api).read_bytes() == CONTENT
        file.delete(api=api)
        assert api.run(RUN).files().count() == 0

    async def test_pickled_async_objects_work_with_a_given_client(self, async_api: AsyncApi, tmp_path: Path) -> None:
        async with async_api as api:
            file: AsyncFile = pickle.loads(pickle.dumps(await api.run(RUN).file(NAME)))
            assert file.run is not None
            run: AsyncRun = pickle.loads(pickle.dumps(file.run))
            assert (await run.download(tmp_path, api=api)).downloaded == 1
            assert await run.files(api=api).count() == 1
            assert await (await run.find({"name": NAME}, api=api)).read_bytes() == CONTENT
            assert [piece async for piece in file.stream(api=api)] == [CONTENT]
            assert await file.read_text(api=api) == CONTENT.decode()
            assert await file.fetch(path=tmp_path / "b", api=api) == tmp_path / "b"
            fresh = await file.refresh(api=api)
            assert await fresh.read_bytes() == CONTENT
            await file.delete(api=api)


class OtherClient:
    """A client of a package with httpx's interface but without its classes."""


@pytest.mark.parametrize("kind", [Api, AsyncApi])
@pytest.mark.parametrize("name", ["http_client", "transport"])
def test_client_of_another_package_is_refused(kind: type, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} must be an httpx\.\w+, .*not {__name__}\.OtherClient"):
        kind(api_key="k" * 40, **{name: OtherClient()})


@pytest.mark.parametrize("size", [1, 10, 65_535])
def test_too_small_part_size_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=r"65536 \(64 KiB\) or more, not"):
        TransferOptions(part_size=size)
    assert TransferOptions(part_size=64 << 10).part_size == 64 << 10


ALIASED = """
import asyncio, sys
import httpx2

httpx2.alias_httpx()
from wbfiles_async import AsyncApi
from wbfiles_async.testing import LocalServer


async def main(transport):
    with LocalServer(sys.argv[1]) as server:
        server.add_file("team/project/run", "a.txt", b"data")
        async with AsyncApi(base_url=server.base_url, api_key=server.api_key, transport=transport) as api:
            assert await (await api.run("team/project/run").file("a.txt")).read_bytes() == b"data"


asyncio.run(main(None))
asyncio.run(main(httpx2.AsyncHTTPTransport()))
"""


def test_httpx2_can_replace_httpx_in_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", ALIASED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_httpx_client_is_accepted() -> None:
    async with httpx.AsyncClient() as client:
        AsyncApi(api_key="k" * 40, http_client=client)
        AsyncApi(api_key="k" * 40, transport=httpx.MockTransport(lambda _: httpx.Response(500)))
