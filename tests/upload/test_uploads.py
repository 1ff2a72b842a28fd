"""Uploads to a W&B server: uploaded and skipped files, and refusals before anything is sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from systems import WINDOWS

from wbfiles_async import (
    Api,
    ApiError,
    AsyncApi,
    AsyncRun,
    AuthenticationError,
    ConfigurationError,
    FileResult,
    IncompleteUploadError,
    LocalReadError,
    RemoteFileExistsError,
    RunNotFoundError,
    TransferOptions,
    UnsafePathError,
    UploadReport,
    WBFilesError,
)
from wbfiles_async.testing import LocalServer

RUN = "team/project/run1"
LARGE = os.urandom(5 << 20) + b"the end"
ODD = "ä b#1%.txt" if WINDOWS else "ä b#1%?.txt"


@pytest.fixture(params=[False, True], ids=["notified by the store", "notified by clients"])
def wandb(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "served", told_of_uploads=request.param) as server:
        server.add_run(RUN)
        yield server


@pytest.fixture
async def run(wandb: LocalServer) -> AsyncIterator[AsyncRun]:
    async with AsyncApi(base_url=wandb.base_url, api_key=wandb.api_key) as api:
        yield api.run(RUN)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with files of several kinds."""
    folder = tmp_path / "source"
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "empty").write_bytes(b"")
    (folder / "small.json").write_bytes(b"{}")
    (folder / "sub" / "large.bin").write_bytes(LARGE)
    (folder / "sub" / "deeper" / ODD).write_bytes(b"odd name")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def uploaded(server: LocalServer) -> dict[str, bytes]:
    return contents(server.root / RUN)


def puts(server: LocalServer) -> int:
    return sum(request.method == "PUT" for request in server.requests)


async def test_folder_is_uploaded_unchanged(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    results: list[FileResult] = []
    report = await run.upload(source, source, on_result=results.append)
    assert uploaded(wandb) == contents(source)
    assert (report.run, report.files, report.uploaded, report.verified, report.failed) == (RUN, 4, 4, 4, 0)
    assert report.bytes == sum(map(len, contents(source).values()))
    assert {(result.name, result.status, result.verified) for result in results} == {
        (name, "uploaded", True) for name in contents(source)
    }
    assert {result.path for result in results} == {source / name for name in contents(source)}
    assert "4 files" in str(report)
    assert "Upload to" in report._repr_html_()


async def test_uploaded_files_can_be_downloaded(run: AsyncRun, source: Path, tmp_path: Path) -> None:
    await run.upload(source, source)
    await run.download(tmp_path / "back")
    back = contents(tmp_path / "back")
    back.pop(".wbfiles-state", None)
    assert back == contents(source)


async def test_names_are_relative_to_the_root(
    wandb: LocalServer, run: AsyncRun, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    await run.upload("source/small.json")
    await run.upload(["source/empty", Path("source/sub/deeper")], "source")
    assert uploaded(wandb).keys() == {"source/small.json", "empty", f"sub/deeper/{ODD}"}


async def test_second_upload_sends_nothing(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    await run.upload(source, source)
    before = puts(wandb)
    report = await run.upload(source, source)
    assert (report.kept, report.uploaded, report.verified, puts(wandb)) == (4, 0, 4, before)


async def test_changed_file_of_the_same_length_is_replaced(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    await run.upload(source, source)
    (source / "small.json").write_bytes(b"[]")
    (source / "sub" / "large.bin").write_bytes(LARGE[::-1])
    report = await run.upload(source, source)
    assert (report.kept, report.uploaded) == (2, 2)
    assert uploaded(wandb) == contents(source)


async def test_existing_files_are_kept_replaced_or_refused(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    wandb.add_file(RUN, "small.json", b"old")
    report = await run.upload(source, source, existing="keep")
    assert (report.kept, report.uploaded, uploaded(wandb)["small.json"]) == (1, 3, b"old")
    with pytest.raises(IncompleteUploadError, match="has a file of that name already") as caught:
        await run.upload([source / "small.json", source / "empty"], source, existing="error")
    assert [type(failure.error) for failure in caught.value.report.failures] == [RemoteFileExistsError] * 2
    assert uploaded(wandb)["small.json"] == b"old"
    report = await run.upload(source, source, existing="replace")
    assert (report.uploaded, report.kept) == (4, 0)
    assert uploaded(wandb) == contents(source)


async def test_same_bytes_again_are_confirmed(run: AsyncRun, source: Path) -> None:
    await run.upload(source / "small.json", source)
    report = await run.upload(source / "small.json", source, existing="replace")
    assert (report.uploaded, report.verified) == (1, 1)


async def test_include_and_exclude_choose_by_the_name_in_the_run(
    wandb: LocalServer, run: AsyncRun, source: Path
) -> None:
    await run.upload(source, source, include=["sub/"], exclude=["*.txt"])
    assert uploaded(wandb).keys() == {"sub/large.bin"}
    report = await run.upload(source, source, include=[])
    assert (report.files, str(report)) == (0, "No files.")


async def test_dry_run_sends_nothing(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    wandb.add_file(RUN, "small.json", b"{}")
    report = await run.upload(source, source, dry_run=True)
    assert (report.planned, report.kept, report.uploaded) == (3, 1, 0)
    assert "would be uploaded" in str(report)
    assert uploaded(wandb) == {"small.json": b"{}"}
    assert "CreateRunFiles" not in {request.operation for request in wandb.requests}


async def test_upload_file_returns_the_file(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    file = await run.upload_file(str(source / "sub" / "large.bin"), str(source))
    assert (file.name, file.size, file.run) == ("sub/large.bin", len(LARGE), run)
    assert await file.read_bytes() == LARGE
    assert uploaded(wandb).keys() == {"sub/large.bin"}


async def test_upload_file_raises_the_reason_itself(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    wandb.add_file(RUN, "small.json", b"old")
    with pytest.raises(RemoteFileExistsError):
        await run.upload_file(source / "small.json", source, existing="error")
    with pytest.raises(LocalReadError, match="it is a folder"):
        await run.upload_file(source / "sub", source)
    with pytest.raises(LocalReadError, match="there is no such file"):
        await run.upload_file(source / "nope", source)


def test_blocking_objects_upload_too(wandb: LocalServer, source: Path) -> None:
    with Api(base_url=wandb.base_url, api_key=wandb.api_key) as api:
        report = api.run(RUN).upload(source, source)
        file = api.run(RUN).upload_file(source / "small.json", source)
    assert (report.uploaded, file.name) == (4, "small.json")
    assert uploaded(wandb) == contents(source)


async def test_bytes_in_memory_are_uploaded_without_a_file(wandb: LocalServer, run: AsyncRun) -> None:
    gateway = run._gateway()
    for data in (b"", b"in memory", memoryview(LARGE)):
        listed = await gateway.uploads().data(run._path, "folder/name", data, existing="replace")
        assert (listed.size_bytes, uploaded(wandb)["folder/name"]) == (len(data), bytes(data))
    with pytest.raises(RemoteFileExistsError):
        await gateway.uploads().data(run._path, "folder/name", b"x", existing="error")


async def test_local_file_is_uploaded_under_another_name(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    await run._gateway().uploads().path(run._path, "other/name", source / "small.json", existing="replace")
    assert uploaded(wandb) == {"other/name": b"{}"}


async def test_progress_counts_every_byte(run: AsyncRun, source: Path) -> None:
    reported: dict[str, list[Any]] = {}

    class RecordedProgress:
        def started(self, name: str, total: int | None) -> None:
            reported[name] = [total, 0, ""]

        def advanced(self, name: str, count: int) -> None:
            reported[name][1] += count

        def finished(self, name: str) -> None:
            reported[name][2] = "finished"

        def failed(self, name: str, error: Exception) -> None:
            reported[name][2] = "failed"

    await run.upload(source, source, progress=RecordedProgress())
    assert reported == {name: [len(data), len(data), "finished"] for name, data in contents(source).items()}


async def test_exception_in_a_callback_ends_the_upload(run: AsyncRun, source: Path) -> None:
    def refuse(_: FileResult) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run.upload(source, source, on_result=refuse)


async def test_many_files_go_in_batches(wandb: LocalServer, run: AsyncRun, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(250):
        (folder / f"{number}.txt").write_bytes(str(number).encode())
    report = await run.upload(folder, folder)
    assert (report.uploaded, report.verified) == (250, 250)
    assert uploaded(wandb) == contents(folder)
    operations = [request.operation for request in wandb.requests]
    assert (operations.count("CreateRunFiles"), operations.count("MarkRunFilesUploaded")) == (3, 3)


async def test_without_verification_no_md5_is_compared(wandb: LocalServer, source: Path) -> None:
    options = TransferOptions(verify=False)
    async with AsyncApi(base_url=wandb.base_url, api_key=wandb.api_key, options=options) as api:
        report = await api.run(RUN).upload(source, source)
    assert (report.uploaded, report.verified) == (4, 0)
    assert uploaded(wandb) == contents(source)


class TestRefusals:
    """Invalid paths are reported before anything is sent; other failures affect single files."""

    async def test_invalid_paths_send_nothing(
        self, wandb: LocalServer, run: AsyncRun, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(source)
        wrong: list[tuple[Any, Any, type[WBFilesError], str]] = [
            ([], ".", ConfigurationError, "list of paths is empty"),
            ("", ".", ConfigurationError, "is not the path"),
            (7, ".", ConfigurationError, "a path or a list of paths"),
            ([7], ".", ConfigurationError, "7 in it is not a path"),
            ("a\0b", ".", ConfigurationError, "is not the path"),
            (["small.json", "nope"], ".", LocalReadError, "there is no such file"),
            (["small.json", ".."], ".", ConfigurationError, "is not below the root"),
            (["small.json", "sub"], "sub", ConfigurationError, "is not below the root"),
            ("small.json", "small.json", ConfigurationError, "is the file to upload itself"),
        ]
        for paths, root, kind, words in wrong:
            with pytest.raises(kind, match=words):
                await run.upload(paths, root)
        with pytest.raises(ConfigurationError, match="existing='overwrite' is not one of"):
            await run.upload("small.json", existing="overwrite")  # type: ignore[arg-type]
        assert (wandb.requests, uploaded(wandb)) == ((), {})

    async def test_file_on_another_drive_than_the_root_is_not_below_it(
        self, run: AsyncRun, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def relpath(path: str, start: str) -> str:
            raise ValueError("path is on mount 'C:', start on mount 'D:'")

        monkeypatch.setattr(os.path, "relpath", relpath)
        with pytest.raises(ConfigurationError, match="is not below the root"):
            await run.upload(source / "small.json", source)

    async def test_links_in_a_folder_are_not_followed(
        self, wandb: LocalServer, run: AsyncRun, source: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "private").write_bytes(b"private")
        (source / "link").symlink_to(tmp_path / "private")
        (source / "loop").symlink_to(source)
        with pytest.raises(IncompleteUploadError, match="symbolic link") as caught:
            await run.upload(source, source)
        assert {failure.name for failure in caught.value.report.failures} == {"link", "loop"}
        assert uploaded(wandb).keys() == {"empty", "small.json", "sub/large.bin", f"sub/deeper/{ODD}"}
        assert (await run.upload(source, source, exclude=["link", "loop"])).failed == 0

    async def test_link_that_is_given_is_followed(
        self, wandb: LocalServer, run: AsyncRun, source: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "named").symlink_to(source / "small.json")
        (tmp_path / "folder").symlink_to(source / "sub")
        await run.upload([tmp_path / "named", tmp_path / "folder"], tmp_path)
        assert uploaded(wandb).keys() == {"named", "folder/large.bin", f"folder/deeper/{ODD}"}

    async def test_special_files_are_never_opened(self, run: AsyncRun, source: Path) -> None:
        os.mkfifo(source / "pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(source / "socket"))
            report = await asyncio.wait_for(run.upload(source, source, raise_on_error=False), 30)
        assert {failure.name: "not a regular file" in str(failure.error) for failure in report.failures} == {
            "pipe": True,
            "socket": True,
        }
        with pytest.raises(LocalReadError, match="it is a pipe, not a regular file"):
            await run.upload_file(source / "pipe", source)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    async def test_unreadable_file_fails_alone(self, wandb: LocalServer, run: AsyncRun, source: Path) -> None:
        (source / "small.json").chmod(0)
        (source / "sub" / "deeper").chmod(0)
        try:
            report = await run.upload(source, source, raise_on_error=False)
        finally:
            (source / "sub" / "deeper").chmod(0o700)
        assert {failure.name for failure in report.failures} == {"small.json", "sub/deeper/"}
        assert all(isinstance(failure.error, LocalReadError) for failure in report.failures)
        assert uploaded(wandb).keys() == {"empty", "sub/large.bin"}

    async def test_names_invalid_for_downloads_are_refused(
        self, wandb: LocalServer, run: AsyncRun, source: Path
    ) -> None:
        (source / "line\nbreak").write_bytes(b"x")
        (source / "right\N{RIGHT-TO-LEFT OVERRIDE}left").write_bytes(b"x")
        Path(os.fsdecode(os.fsencode(source) + b"/latin\xff")).write_bytes(b"x")
        report = await run.upload(source, source, raise_on_error=False)
        assert (report.failed, report.uploaded) == (3, 4)
        assert {type(failure.error) for failure in report.failures} == {UnsafePathError}
        assert all("cannot be uploaded as it is named" in str(failure.error) for failure in report.failures)

    async def test_name_refused_by_the_server_fails_alone(
        self, wandb: LocalServer, run: AsyncRun, source: Path
    ) -> None:
        (source / "back\\slash").write_bytes(b"x")
        report = await run.upload(source, source, raise_on_error=False)
        assert [(failure.name, type(failure.error)) for failure in report.failures] == [("back\\slash", ApiError)]
        assert "cannot be the name of a run's file" in str(report.failures[0].error)
        assert report.uploaded == 4

    async def test_own_temporary_files_are_not_uploaded(self, wandb: LocalServer, run: AsyncRun, source: Path) -> None:
        (source / ".wbfiles-state").write_bytes(b"x")
        (source / ".wbfiles-run").write_bytes(b"x")
        (source / ".large.bin.0123.wbfiles-part").write_bytes(b"x")
        (source / ".wbfiles-part" / "0").mkdir(parents=True)
        (source / ".wbfiles-part" / "0" / "x").write_bytes(b"x")
        assert (await run.upload(source, source)).uploaded == 4
        assert not any("wbfiles" in name for name in uploaded(wandb))

    async def test_file_given_twice_is_uploaded_once(self, wandb: LocalServer, run: AsyncRun, source: Path) -> None:
        twice = [
            source / "sub",
            source / "sub" / "large.bin",
            source / "small.json",
            source / "sub" / ".." / "small.json",
        ]
        report = await run.upload(twice, source)
        assert (report.files, report.uploaded) == (3, 3)

    async def test_missing_run_is_reported(self, wandb: LocalServer, run: AsyncRun, source: Path) -> None:
        missing = AsyncRun(run._client, run._path.__class__("team", "project", "nope"))
        for raise_on_error in (True, False):
            with pytest.raises(RunNotFoundError):
                await missing.upload(source, source, raise_on_error=raise_on_error)
        assert puts(wandb) == 0

    async def test_refused_credentials_are_reported(self, wandb: LocalServer, source: Path) -> None:
        async with AsyncApi(base_url=wandb.base_url, api_key="0" * 40) as api:
            with pytest.raises(AuthenticationError):
                await api.run(RUN).upload(source, source)


async def test_next_upload_reads_the_file_again(wandb: LocalServer, run: AsyncRun, source: Path) -> None:
    (source / "small.json").write_bytes(b"[1]")
    file = await run.upload_file(source / "small.json", source)
    assert base64.b64decode(file.md5 or "") == hashlib.md5(b"[1]").digest()


async def test_reports_are_values(run: AsyncRun, source: Path) -> None:
    report = await run.upload(source, source)
    assert isinstance(report, UploadReport)
    assert report.rate > 0
