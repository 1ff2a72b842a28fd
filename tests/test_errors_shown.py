"""How errors are shown: the message, few frames of ours, and in a notebook the cell's own traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_server import RUN, Answer, ScriptedServer, client
from scripted_server import server as server

from wbfiles_async import Api, FileResult, RunNotFoundError, WBFilesError
from wbfiles_async._tasks import open_task_group
from wbfiles_async.testing import LocalServer

MIB = 1 << 20
OF_OURS = 2
"""The maximum of our frames in a traceback: the called method, and the wait for it."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error with its causes and contexts."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    yield from seen


def groups_in(error: BaseException) -> list[BaseException]:
    return [one for one in chain(error) if isinstance(one, BaseExceptionGroup)]


class TestTasks:
    async def test_first_error_keeps_its_own_cause_and_context(self) -> None:
        async def fail() -> None:
            try:
                dict[str, str]()["context"]
            except LookupError:
                raise ValueError("error") from OSError("cause")

        async def work(*, raised_by_body: bool) -> None:
            async with open_task_group() as group:
                if raised_by_body:
                    await fail()
                group.start_soon(fail)
                await asyncio.Event().wait()

        for raised_by_body in (False, True):
            with pytest.raises(ValueError, match="error") as caught:
                await work(raised_by_body=raised_by_body)
            assert [type(one) for one in chain(caught.value)] == [ValueError, KeyError, OSError]

    async def test_nested_groups_are_not_in_the_traceback(self) -> None:
        async def inner() -> None:
            async with open_task_group() as group:
                group.start_soon(fail)
                await asyncio.Event().wait()

        async def fail() -> None:
            raise ValueError

        with pytest.raises(ValueError) as caught:
            async with open_task_group() as group:
                group.start_soon(inner)
        assert list(chain(caught.value)) == [caught.value]


def refuse(result: FileResult) -> None:
    raise ZeroDivisionError


@pytest.fixture
def api(wandb_server: LocalServer) -> Api:
    wandb_server.add_file(RUN, "a.txt", b"a")
    return Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key)


CALLS: dict[str, Callable[[Api, Path], object]] = {
    "a run that is missing": lambda api, root: api.run("team/project/nope").download(root),
    "a listing that is missing": lambda api, root: list(api.run("team/project/nope").files()),
    "a page that is missing": lambda api, root: next(iter(api.run("team/project/nope").files().pages())),
    "a file that is missing": lambda api, root: api.run(RUN).file("nope"),
    "a project that is missing": lambda api, root: api.runs("team/nope").download(root),
    "runs that are missing": lambda api, root: api.download(["team/project/nope", "team/nope/a"], root),
    "a deletion that is missing": lambda api, root: api.run("team/project/nope").files().delete(),
    "a file in the way": lambda api, root: [api.run(RUN).file("a.txt").fetch(root) for _ in range(2)],
    "a place that cannot be written": lambda api, root: api.run(RUN).download(root / "file" / "below"),
}


@pytest.mark.parametrize("call", CALLS)
class TestBlockingCalls:
    def test_no_group_is_in_the_chain_of_an_error(self, api: Api, tmp_path: Path, call: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(WBFilesError) as caught:
            CALLS[call](api, tmp_path)
        assert groups_in(caught.value) == []

    def test_traceback_is_short_and_the_log_has_the_rest(
        self, api: Api, tmp_path: Path, call: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        with caplog.at_level(logging.DEBUG, "wbfiles_async"), pytest.raises(WBFilesError) as caught:
            CALLS[call](api, tmp_path)
        frames = traceback.extract_tb(caught.value.__traceback__)
        ours = [frame for frame in frames if "wbfiles_async" in Path(frame.filename).parts]
        assert len(ours) <= OF_OURS + (call.startswith(("a listing", "a page")) and 3)
        whole = [record.exc_info for record in caplog.records if record.exc_info]
        assert whole[-1] is not None
        assert len(traceback.extract_tb(whole[-1][2])) > len(frames)


def test_errors_of_the_callers_code_keep_their_frames(api: Api, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        api.run(RUN).download(tmp_path, on_result=refuse)
    assert "refuse" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert groups_in(caught.value) == []


async def test_no_group_is_in_the_chain_of_an_error_of_parts(server: ScriptedServer, tmp_path: Path) -> None:
    data = bytes(2 * MIB)
    server.put("large", data, *[Answer(status=404)] * 20)
    async with client(server, part_size=MIB // 2) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
        file = await api.run(RUN).file("large")
        with pytest.raises(WBFilesError) as caught:
            await file.fetch(tmp_path)
    assert report.failures[0].error is not None
    assert groups_in(report.failures[0].error) + groups_in(caught.value) == []


CELLS = [
    "from wbfiles_async import Api, AsyncApi; api = Api()",
    "api.run('team/project/nope').download('data')",
    "api.run('team/project/nope').download('data', progress=True)",
    "api.runs('team/nope').download('data', progress=True)",
    "async with AsyncApi() as client: await client.run('team/project/nope').download('data')",
]


def test_notebook_error_points_to_the_cell(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a.txt", b"a")
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "execution_count": None, "source": cell}
        for n, cell in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = tmp_path / "errors.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    subprocess.run(
        [sys.executable, "-c", "from nbclient.cli import main; main()", "--allow-errors", "--inplace", notebook],
        cwd=tmp_path,
        env=os.environ | {"WANDB_BASE_URL": wandb_server.base_url, "WANDB_API_KEY": wandb_server.api_key},
        capture_output=True,
        timeout=100,
        check=True,
    )
    for cell in json.loads(notebook.read_text())["cells"][1:]:
        shown = [output for output in cell["outputs"] if output["output_type"] != "display_data"]
        assert [output["output_type"] for output in shown] == ["error"], cell
        assert shown[0]["ename"] == RunNotFoundError.__name__
