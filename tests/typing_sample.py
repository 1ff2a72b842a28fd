"""Uses of the public objects, for type checkers only; never run."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import assert_type

from aiofiles.threadpool.text import AsyncTextIOWrapper

from wbfiles_async import (
    Api,
    AsyncApi,
    AsyncFile,
    AsyncFiles,
    AsyncProject,
    AsyncProjects,
    AsyncRun,
    AsyncRuns,
    DeletionReport,
    DownloadReport,
    File,
    Files,
    IncompleteDownloadError,
    Progress,
    Project,
    Projects,
    Run,
    Runs,
)


def blocking() -> None:
    """The blocking objects, as scripts use them."""
    with Api(timeout=10) as api:
        assert_type(api, Api)
        assert_type(api.default_entity, str | None)
        run = assert_type(api.run("entity/project/run"), Run)
        assert_type(run.path, list[str])
        runs = assert_type(api.runs("entity/project", {"state": "finished"}, "-created_at", per_page=10), Runs)
        assert_type(len(runs), int)
        assert_type(runs[0], Run)
        assert_type(runs[0:2], list[Run])
        assert_type([each.name for each in runs], list[str | None])
        assert_type(runs.first(), Run | None)
        assert_type(runs.download("there", layout="{project}/{run}"), DownloadReport)
        assert_type(api.download([run, "entity/project/run"], "there"), DownloadReport)
        projects = assert_type(api.projects("entity"), Projects)
        assert_type(projects[0], Project)
        assert_type([run.id for each in projects for run in each.runs()], list[str])
        files = assert_type(run.files(pattern="%.png", match={"md5": "..."}), Files)
        assert_type(len(files), int)
        assert_type(files.count(), int)
        assert_type(files[0], File)
        assert_type(files[0:2], list[File])
        assert_type(files.first(), File | None)
        assert_type(files.to_list(), list[File])
        assert_type(files.pages(), Iterator[list[File]])
        assert_type(files.download("there", existing="keep"), DownloadReport)
        assert_type(run.download(dry_run=True), DownloadReport)
        assert_type(files.delete(include=["*.tmp"]), DeletionReport)
        assert_type(run.find({"name": "a"}), File)
        for file in files:
            assert_type(file, File)
            assert_type(file.run, Run | None)
            assert_type(file.size, int)
            assert_type(file.size_bytes, int | None)
            assert_type(file.sizeBytes, int | None)
            assert_type(file.md5, str | None)
            assert_type(file.path_uri, str)
            assert_type(file.fetch(Path("there")), Path)
            assert_type(file.read_bytes(), bytes)
            assert_type(file.read_text(), str)
            assert_type(file.stream(0, 10), Iterator[bytes])
            with file.open("rb", block_size=1 << 20) as opened:
                assert_type(opened, io.BufferedReader)
            assert_type(file.refresh(), File)
            with file.download("there", replace=True, exist_ok=False, api=api) as handle:
                assert_type(handle, io.TextIOWrapper)
            file.delete()


async def asynchronous() -> None:
    """The async objects, as services use them."""
    async with AsyncApi(timeout=10) as api:
        assert_type(api, AsyncApi)
        assert_type(api.default_entity, str | None)
        run = assert_type(api.run("entity/project/run"), AsyncRun)
        assert_type(run.path, list[str])
        runs = assert_type(api.runs("entity/project", {"state": "finished"}, "-created_at", per_page=10), AsyncRuns)
        assert_type(await runs.count(), int)
        assert_type([each.name async for each in runs], list[str | None])
        assert_type(await runs.first(), AsyncRun | None)
        assert_type(await runs.download("there", layout="{project}/{run}"), DownloadReport)
        assert_type(await api.download(runs, "there"), DownloadReport)
        projects = assert_type(api.projects(per_page=10), AsyncProjects)
        assert_type([each.runs({"state": "failed"}) async for each in projects], list[AsyncRuns])
        assert_type(await projects.first(), AsyncProject | None)
        files = assert_type(run.files(pattern="%.png", match={"md5": "..."}), AsyncFiles)
        assert_type(await files.count(), int)
        assert_type(await files.first(), AsyncFile | None)
        assert_type(await files.to_list(), list[AsyncFile])
        assert_type(files.pages(), AsyncGenerator[list[AsyncFile]])
        assert_type(await files.download("there", existing="keep"), DownloadReport)
        assert_type(await run.download(dry_run=True), DownloadReport)
        assert_type(await files.delete(dry_run=True), DeletionReport)
        assert_type(await run.find({"name": "a"}), AsyncFile)
        async for file in files:
            assert_type(file, AsyncFile)
            assert_type(file.run, AsyncRun | None)
            assert_type(file.size, int)
            assert_type(file.size_bytes, int | None)
            assert_type(file.sizeBytes, int | None)
            assert_type(file.md5, str | None)
            assert_type(file.path_uri, str)
            assert_type(await file.fetch(Path("there")), Path)
            assert_type(await file.read_bytes(), bytes)
            assert_type(await file.read_text(), str)
            assert_type(file.stream(0, 10), AsyncGenerator[bytes])
            async with await file.open() as opened:
                assert_type(await opened.read(8), bytes)
                assert_type(await opened.seek(0, 2), int)
            assert_type(await file.refresh(), AsyncFile)
            async with await file.download("there", replace=True, exist_ok=False, api=api) as handle:
                as_of_aiofiles: AsyncTextIOWrapper = handle
                assert_type(await as_of_aiofiles.read(), str)
            await file.delete()


class Quiet:
    """Any object with these methods is a progress object."""

    def started(self, name: str, total: int | None) -> None:
        """Do nothing."""

    def advanced(self, name: str, count: int) -> None:
        """Do nothing."""

    def finished(self, name: str) -> None:
        """Do nothing."""

    def failed(self, name: str, error: Exception) -> None:
        """Do nothing."""


def progress(run: Run, file: File) -> None:
    """A progress object of the caller's."""
    quiet: Progress = Quiet()
    run.download(progress=quiet)
    run.files().download(progress=True)
    file.fetch(progress=False)
    file.download(progress=None).close()


def failures(error: IncompleteDownloadError) -> None:
    """What errors carry."""
    assert_type(error.report, DownloadReport)
    for failure in error.report.failures:
        assert_type(failure.path, Path | None)
        assert_type(failure.run, str)
