"""Downloads into an object store: a real S3 server receives whole objects or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from s3 import KEY_ID, S3, SECRET, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from scripted_server import RUN as SCRIPTED_RUN
from scripted_server import Answer, ScriptedServer, Stored, client, error_of
from scripted_server import server as server

from wbfiles_async import (
    Api,
    AsyncApi,
    AsyncRun,
    ConfigurationError,
    DestinationExistsError,
    FileResult,
    IncompleteDownloadError,
    IntegrityError,
    NameCollisionError,
    ObjectStoreError,
    TransferError,
    UnsafePathError,
)
from wbfiles_async.testing import LocalServer

pytestmark = needs_s3

RUN = "team/project/run1"
LARGE = os.urandom(20 << 20) + b"the end"
FILES = {
    "config.yaml": b"lr: 0.1\n",
    "empty": b"",
    "media/ä b#1%?*.png": b"odd name",
    "media/medium.bin": os.urandom(6 << 20),
    "large.bin": LARGE,
}


@pytest.fixture
def wandb(tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "served") as server:
        for name, data in FILES.items():
            server.add_file(RUN, name, data)
        yield server


@pytest.fixture
async def run(wandb: LocalServer) -> AsyncIterator[AsyncRun]:
    async with AsyncApi(base_url=wandb.base_url, api_key=wandb.api_key) as api:
        yield api.run(RUN)


def fetched(server: LocalServer) -> int:
    return sum(request.method == "GET" and request.path.startswith("/store/") for request in server.requests)


async def test_run_is_downloaded_without_a_local_disk(
    run: AsyncRun, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    results: list[FileResult] = []
    report = await run.download(s3.url("some/prefix"), on_result=results.append)
    assert s3.objects() == {f"some/prefix/{name}": data for name, data in FILES.items()}
    assert (report.root, report.files, report.downloaded, report.verified) == (s3.url("some/prefix"), 5, 5, 5)
    assert report.bytes == sum(map(len, FILES.values()))
    assert {(result.name, result.url, result.path) for result in results} == {
        (name, f"{s3.url('some/prefix')}/{name}", None) for name in FILES
    }
    assert f"in {s3.url('some/prefix')}" in str(report)
    assert s3.unfinished() == []
    assert list(Path().iterdir()) == []


async def test_objects_keep_the_md5_and_the_type(run: AsyncRun, s3: S3) -> None:
    await run.download(s3.url(), include=["large.bin", "*.png"])
    for name in ("large.bin", "media/ä b#1%?*.png"):
        assert s3.head(name)["x-amz-meta-wbfilesmd5"] == hashlib.md5(FILES[name]).hexdigest()
    assert "-" in s3.head("large.bin")["etag"], "it went in parts"
    assert s3.head("media/ä b#1%?*.png")["content-type"] == "image/png"


async def test_second_download_requests_nothing(run: AsyncRun, wandb: LocalServer, s3: S3) -> None:
    await run.download(s3.url("p"))
    before, puts = fetched(wandb), len(s3.requests("PUT"))
    report = await run.download(s3.url("p"))
    assert (report.kept, report.verified, report.downloaded) == (5, 5, 0)
    assert (fetched(wandb), len(s3.requests("PUT"))) == (before, puts)


async def test_object_of_another_tool_is_verified_by_its_etag(run: AsyncRun, wandb: LocalServer, s3: S3) -> None:
    s3.put("config.yaml", FILES["config.yaml"])
    s3.put("empty", b"not empty")
    report = await run.download(s3.url(), include=["config.yaml", "empty"])
    assert (report.kept, report.downloaded, report.verified) == (1, 1, 2)
    assert s3.objects() == {"config.yaml": FILES["config.yaml"], "empty": b""}


async def test_changed_file_or_object_is_downloaded_again(run: AsyncRun, wandb: LocalServer, s3: S3) -> None:
    await run.download(s3.url())
    wandb.add_file(RUN, "large.bin", LARGE[::-1])
    s3.put("config.yaml", b"changed")
    report = await run.download(s3.url())
    assert (report.kept, report.downloaded) == (3, 2)
    assert s3.objects() == FILES | {"large.bin": LARGE[::-1]}


async def test_existing_objects_are_kept_replaced_or_refused(run: AsyncRun, s3: S3) -> None:
    s3.put("config.yaml", b"old")
    chosen = ["config.yaml", "empty"]
    report = await run.download(s3.url(), include=chosen, existing="keep")
    assert (report.kept, report.downloaded, s3.objects()["config.yaml"]) == (1, 1, b"old")
    report = await run.download(s3.url(), include=["config.yaml"], existing="error", raise_on_error=False)
    assert [type(failure.error) for failure in report.failures] == [DestinationExistsError]
    assert s3.objects()["config.yaml"] == b"old"
    report = await run.download(s3.url(), include=chosen, existing="replace")
    assert (report.downloaded, s3.objects()["config.yaml"]) == (2, FILES["config.yaml"])


async def test_dry_run_writes_nothing(run: AsyncRun, s3: S3) -> None:
    s3.put("config.yaml", FILES["config.yaml"])
    report = await run.download(s3.url(), dry_run=True)
    assert (report.planned, report.kept) == (4, 1)
    assert s3.objects().keys() == {"config.yaml"}


async def test_project_follows_the_layout(run: AsyncRun, wandb: LocalServer, s3: S3) -> None:
    wandb.add_file("team/project/run2", "config.yaml", b"lr: 0.2\n")
    api = AsyncApi(base_url=wandb.base_url, api_key=wandb.api_key)
    async with api:
        report = await api.runs("team/project").download(s3.url("wb"), layout="{project}/{run}", include=["*.yaml"])
        assert (report.downloaded, report.failed) == (2, 0)
        again = await api.download("team/project/", s3.url("wb"), layout="{project}/{run}", include=["*.yaml"])
    assert (again.kept, again.downloaded) == (2, 0)
    assert s3.objects() == {
        "wb/project/run1/config.yaml": FILES["config.yaml"],
        "wb/project/run2/config.yaml": b"lr: 0.2\n",
    }


def test_blocking_objects_download_into_buckets(wandb: LocalServer, s3: S3) -> None:
    with Api(base_url=wandb.base_url, api_key=wandb.api_key) as api:
        report = api.run(RUN).download(s3.url("blocking"))
    assert (report.downloaded, len(s3.objects())) == (5, 5)


async def test_progress_counts_every_byte(run: AsyncRun, s3: S3) -> None:
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

    await run.download(s3.url(), progress=RecordedProgress())
    assert reported == {name: [len(data), len(data), "finished"] for name, data in FILES.items()}


async def test_exception_in_a_callback_ends_the_download(run: AsyncRun, s3: S3) -> None:
    def refuse(_: FileResult) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run.download(s3.url(), on_result=refuse)
    assert s3.unfinished() == []


async def test_obstore_store_can_be_the_root(run: AsyncRun, s3: S3, s3_origin: str) -> None:
    from obstore.store import LocalStore, MemoryStore, S3Store

    options: Any = {"allow_http": True}
    store = S3Store(s3.bucket, prefix="given", endpoint=s3_origin, client_options=options)
    report = await run.download(store, include=["config.yaml"])
    assert (report.downloaded, s3.objects()) == (1, {"given/config.yaml": FILES["config.yaml"]})
    assert report.root == f'S3Store(bucket="{s3.bucket}", prefix="given")'
    memory = MemoryStore()
    report = await run.download(memory)
    assert (report.verified, report.root) == (5, "MemoryStore()")
    assert bytes(memory.get("large.bin").bytes()) == LARGE
    assert (await run.download(memory)).kept == 5
    with pytest.raises(ConfigurationError, match="For a local folder give its path"):
        await run.download(LocalStore())
    with pytest.raises(ConfigurationError, match="not int"):
        await run.download(7)  # type: ignore[arg-type]


async def test_memory_url_is_one_store_per_process(run: AsyncRun) -> None:
    chosen = ["config.yaml"]
    await run.download("memory://", include=chosen, existing="replace")
    assert (await run.download("memory://", include=chosen)).kept == 1


async def test_file_url_is_a_local_folder(run: AsyncRun, tmp_path: Path) -> None:
    report = await run.download((tmp_path / "a b").as_uri(), include=["config.yaml"])
    assert report.root == tmp_path / "a b"
    assert (tmp_path / "a b" / "config.yaml").read_bytes() == FILES["config.yaml"]


class TestNames:
    async def test_names_invalid_in_a_store_are_refused(self, server: ScriptedServer, s3: S3) -> None:
        for name in ("../up", "a//b", "/absolute", "line\nbreak", "x" * 200 + "/" + "y" * 200 + "/" + "ä" * 120 * 3):
            server.put(name, b"x")
        server.put("good", b"good")
        async with client(server) as api:
            report = await api.run(SCRIPTED_RUN).download(s3.url("prefix"), raise_on_error=False)
        assert (report.failed, report.downloaded) == (5, 1)
        assert {type(failure.error) for failure in report.failures} == {UnsafePathError}
        assert s3.objects() == {"prefix/good": b"good"}

    async def test_file_may_have_the_name_of_a_folder(self, server: ScriptedServer, s3: S3) -> None:
        for name in ("a", "a/b", "A"):
            server.put(name, name.encode())
        async with client(server) as api:
            report = await api.run(SCRIPTED_RUN).download(s3.url())
        assert report.downloaded == 3
        assert s3.objects() == {"a": b"a", "a/b": b"a/b", "A": b"A"}

    async def test_two_files_never_become_one_object(self, run: AsyncRun, wandb: LocalServer, s3: S3) -> None:
        wandb.add_file("team/project/run2", "config.yaml", b"other")
        async with AsyncApi(base_url=wandb.base_url, api_key=wandb.api_key) as api:
            report = await api.download(
                [RUN, "team/project/run2"], s3.url(), layout="", include=["config.yaml"], raise_on_error=False
            )
        assert report.failed in (1, 2)
        assert {type(failure.error) for failure in report.failures} == {NameCollisionError}


class TestFailures:
    @pytest.mark.parametrize("name", ["small", "large"])
    async def test_wrong_bytes_leave_no_object(self, server: ScriptedServer, s3: S3, name: str) -> None:
        data = LARGE if name == "large" else b"small"
        wrong = b"X" + data[1:]
        server.put(name, data, Stored(wrong))
        s3.put(name, b"old")
        async with client(server) as api:
            report = await api.run(SCRIPTED_RUN).download(s3.url(), existing="replace", raise_on_error=False)
        assert [type(failure.error) for failure in report.failures] == [IntegrityError]
        assert (s3.objects(), s3.unfinished()) == ({name: b"old"}, [])

    async def test_wrong_bytes_are_downloaded_once_more(self, server: ScriptedServer, s3: S3) -> None:
        server.put("large", LARGE, Stored(b"X" + LARGE[1:]), Stored(LARGE))
        async with client(server) as api:
            report = await api.run(SCRIPTED_RUN).download(s3.url())
        assert (report.verified, s3.objects(), s3.unfinished()) == (1, {"large": LARGE}, [])

    async def test_truncated_body_is_resumed(self, server: ScriptedServer, s3: S3) -> None:
        stored = Stored(LARGE)
        server.put("large", LARGE, stored.but(cut=9_000_000, end="reset"), stored)
        async with client(server) as api:
            report = await api.run(SCRIPTED_RUN).download(s3.url())
        assert (report.verified, s3.objects()) == (1, {"large": LARGE})
        assert server.seen("/store/large")[1].range is not None

    async def test_lasting_source_failure_leaves_nothing(self, server: ScriptedServer, s3: S3) -> None:
        server.put("large", LARGE, Stored(LARGE).but(cut=9_000_000, end="reset"), Answer(status=500))
        async with client(server) as api:
            report = await api.run(SCRIPTED_RUN).download(s3.url(), raise_on_error=False)
        assert [type(failure.error) for failure in report.failures] == [TransferError]
        assert (s3.objects(), s3.unfinished()) == ({}, [])

    async def test_throttled_upload_is_retried(self, run: AsyncRun, s3: S3) -> None:
        s3.fail(
            {"contains": "config.yaml", "status": 503, "code": "SlowDown", "times": 2},
            {"contains": "partNumber=2", "status": 500, "code": "InternalError", "times": 1},
        )
        report = await run.download(s3.url())
        assert (report.downloaded, s3.objects(), s3.unfinished()) == (5, FILES, [])

    async def test_part_that_is_refused_leaves_nothing(self, run: AsyncRun, s3: S3) -> None:
        s3.fail({"contains": "partNumber=2", "status": 400, "code": "InvalidPart"})
        report = await run.download(s3.url(), include=["large.bin", "config.yaml"], raise_on_error=False)
        assert [(failure.name, type(failure.error)) for failure in report.failures] == [("large.bin", ObjectStoreError)]
        assert (set(s3.objects()), s3.unfinished()) == ({"config.yaml"}, [])

    async def test_missing_bucket_is_reported_before_any_download(
        self, run: AsyncRun, wandb: LocalServer, s3: S3
    ) -> None:
        error = await _shown_without_secrets(run.download("s3://no-such-bucket/prefix"))
        assert "there is no such bucket, NoSuchBucket" in str(error)
        assert (error.code, error.url, error.concerns_all) == ("NoSuchBucket", "s3://no-such-bucket/prefix", True)
        assert fetched(wandb) == 0

    async def test_refused_credentials_are_reported(self, run: AsyncRun, s3: S3) -> None:
        s3.fail({"method": "GET", "status": 403, "code": "InvalidAccessKeyId"})
        error = await _shown_without_secrets(run.download(s3.url()))
        assert "the store did not accept the credentials, InvalidAccessKeyId" in str(error)

    async def test_write_protected_bucket_stops_the_download(self, run: AsyncRun, wandb: LocalServer, s3: S3) -> None:
        for number in range(50):
            wandb.add_file(RUN, f"many/{number}", b"x")
        s3.fail({"status": 403, "code": "AccessDenied"})
        with pytest.raises(IncompleteDownloadError) as caught:
            await run.download(s3.url())
        report = caught.value.report
        assert isinstance(report.stopped, ObjectStoreError)
        assert "AccessDenied" in str(report.stopped)
        assert report.skipped > 0
        assert report.failed + report.skipped == report.files == 55
        assert SECRET not in repr(caught.value.report)

    async def test_bucket_without_list_permission_is_written_to(self, run: AsyncRun, s3: S3) -> None:
        s3.fail({"method": "GET", "contains": "list-type", "status": 403, "code": "AccessDenied"})
        report = await run.download(s3.url())
        assert report.downloaded == 5

    async def test_missing_credentials_are_reported(
        self, run: AsyncRun, s3: S3, monkeypatch: pytest.MonkeyPatch, wandb: LocalServer
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
        async with AsyncApi(base_url=wandb.base_url, api_key=wandb.api_key).with_options(attempts=1) as api:
            error = await _shown_without_secrets(api.run(RUN).download(s3.url()))
        assert "no credentials were found" in str(error)
        assert "AWS_ACCESS_KEY_ID" in str(error)

    @pytest.mark.parametrize("moment", ["in a large file", "in a small one"])
    async def test_cancelled_download_leaves_no_partial_object(
        self, server: ScriptedServer, s3: S3, moment: str
    ) -> None:
        gate = asyncio.Event()
        data = LARGE if moment == "in a large file" else b"small" * 1000
        server.put("a", data, Stored(data).but(gate=gate, gate_at=len(data) - 1000, piece=1000))
        async with client(server) as api:
            others = asyncio.all_tasks() - server.tasks
            task = asyncio.create_task(api.run(SCRIPTED_RUN).download(s3.url()))
            async with asyncio.timeout(30):
                while not (server.sent > len(data) - 2000 and (data is not LARGE or s3.unfinished())):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):
                while asyncio.all_tasks() - server.tasks - others:  # noqa: ASYNC110  # nothing tells of a task's end
                    await asyncio.sleep(0.01)
        assert (s3.objects(), s3.unfinished()) == ({}, [])


async def _shown_without_secrets(work: Any) -> ObjectStoreError:
    error = await error_of(ObjectStoreError, work)
    assert not {KEY_ID, SECRET} & {word for word in (KEY_ID, SECRET) if word in repr(vars(error)) + str(error)}
    return error


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("http://host/folder", "is not a place that files can be written to"),
        ("ftp://host/folder", "is not a place that files can be written to"),
        ("s3://", "names no bucket"),
        ("s3:///folder", "names no bucket"),
        ("s3://key:secret@bucket/folder", "contains a user"),
        ("gs://bucket/folder?token=secret", "a query"),
        ("file://elsewhere/folder", "names no folder on this machine"),
        (Path("s3://bucket/folder"), "the two slashes of a URL have become one"),
    ],
)
async def test_invalid_roots_are_reported(run: AsyncRun, root: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        await run.download(root)
    assert "secret" not in str(caught.value)


async def test_single_file_download_requires_a_folder(run: AsyncRun) -> None:
    file = await run.file("config.yaml")
    with pytest.raises(ConfigurationError, match="a file by itself is fetched to a local folder"):
        await file.fetch("s3://bucket/prefix")


async def test_missing_obstore_names_the_extra(run: AsyncRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for name in ("bucket", "bulk"):
        monkeypatch.delitem(sys.modules, f"wbfiles_async._bucket.{name}", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'wbfiles-async\[cloud\]'"):
        await run.download("s3://bucket/prefix")
