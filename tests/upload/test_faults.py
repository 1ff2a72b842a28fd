"""Uploads to failing servers and stores, over each kind of transport: the old file or the new one, and clear errors."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Step,
    client,
    error_of,
    graphql_answer,
    redirect,
    refusal,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import each_transport, ours_and_injected

from wbfiles_async import (
    ApiError,
    FileResult,
    IncompleteUploadError,
    IntegrityError,
    LocalReadError,
    PermissionDeniedError,
    StoreUnavailableError,
    TransferError,
    UploadReport,
)

SMALL = b"small" * 1000
LARGE = os.urandom(8 << 20) + b"the end"
"""More than a socket's buffers hold, so that a server that does not read blocks the client."""

EXPIRED = refusal(403, "AccessDenied", "Request has expired").but(end="close")


@pytest.fixture(params=["small", "large"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "source" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(SMALL if request.param == "small" else LARGE)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(LARGE)
    return path


async def upload(server: ScriptedServer, source: Path, **options: object) -> UploadReport:
    async with client(server, **options) as api:
        return await api.run(RUN).upload(source, source.parent, raise_on_error=False)


def stored(server: ScriptedServer) -> bytes | None:
    """The server's bytes of the name, as a download would receive them."""
    node = server.files.get("a.bin")
    step = server._scripts["/store/a.bin"][0] if node else None
    return None if step is None else step.data  # type: ignore[union-attr]


def sent(server: ScriptedServer) -> list[Seen]:
    return server.seen("/upload/a.bin")


OPEN_FILES = Path("/proc/self/fd")
BROKEN = (TransferError, "the connection to ")


def reads_early(server: ScriptedServer, source: Path) -> bool:
    """Whether a response that arrives while the body is sent is read: httpx's transports close the connection then."""
    return server.transport.name == "ours" or source.stat().st_size == len(SMALL)


FAULTS: Mapping[str, Step] = {
    "a reset in the body": Answer(takes=2000, length=0, head=b"", end="reset"),
    "an end in the body": Answer(takes=2000, length=0, head=b"", end="close"),
    "a reset after the body": Answer(head=b"", end="reset"),
    "status 500": refusal(500, "InternalError"),
    "status 503": refusal(503, "SlowDown"),
    "status 503 before the body was read": refusal(503, "SlowDown").but(takes=2000, end="close"),
    "S3's code for a stalled connection": refusal(400, "RequestTimeout", "Your socket connection timed out"),
    "a proxy's page": Answer(body=b"<html><title>Log in</title></html>", headers={"Content-Type": "text/html"}),
    "not HTTP": Answer(head=b"what?\r\n\r\n", end="close"),
    "a truncated head": Answer(head=b"HTTP/1.1 200 O", end="close"),
}


@each_transport
@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_is_survived(server: ScriptedServer, source: Path, fault: str) -> None:
    server.takes("a.bin", FAULTS[fault], server.keep)
    report = await upload(server, source)
    assert (report.uploaded, report.verified, report.failed) == (1, 1, 0), report.failures
    assert stored(server) == source.read_bytes()
    assert [seen.headers["content-length"] for seen in sent(server)] == [str(source.stat().st_size)] * 2


@each_transport
@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_that_lasts_leaves_the_old_file(server: ScriptedServer, source: Path, fault: str) -> None:
    server.put("a.bin", b"old")
    server.takes("a.bin", FAULTS[fault])
    report = await upload(server, source)
    assert [type(failure.error) for failure in report.failures] == [TransferError]
    assert "Gave up after 3 attempts" in "".join(report.failures[0].error.__notes__)  # type: ignore[union-attr]
    assert stored(server) == b"old"


@each_transport
async def test_expired_url_is_requested_again(server: ScriptedServer, source: Path) -> None:
    server.takes("a.bin", EXPIRED.but(takes=2000), server.keep)
    report = await upload(server, source)
    assert (report.uploaded, report.verified) == (1, 1), report.failures
    bodies = [json.loads(seen.body) for seen in server.seen("/graphql")]
    assert sum("createRunFiles" in each["query"] for each in bodies) == 2


@ours_and_injected
@pytest.mark.usefixtures("waits")
async def test_lasting_refused_url_raises(server: ScriptedServer, source: Path) -> None:
    server.put("a.bin", b"old")
    server.takes("a.bin", refusal(403, "AccessDenied").but(takes=2000, end="close"))
    kind, message = (
        (PermissionDeniedError, "the store refused to accept this file") if reads_early(server, source) else BROKEN
    )
    async with client(server) as api:
        error = await error_of(kind, api.run(RUN).upload_file(source, source.parent))
    assert message in str(error)
    assert len(sent(server)) == 3
    assert stored(server) == b"old"


@ours_and_injected
@pytest.mark.parametrize(("status", "code"), [(413, ""), (400, "EntityTooLarge")])
@pytest.mark.usefixtures("waits")
async def test_too_large_file_raises(server: ScriptedServer, source: Path, status: int, code: str) -> None:
    server.takes("a.bin", refusal(status, code).but(takes=2000, end="close"))
    async with client(server) as api:
        error = await error_of(TransferError, api.run(RUN).upload_file(source, source.parent))
    if reads_early(server, source):
        assert "larger than the store takes in one request" in str(error)
        assert len(sent(server)) == 1
    else:
        assert BROKEN[1] in str(error)


@each_transport
async def test_store_that_reads_nothing_times_out(server: ScriptedServer, large: Path) -> None:
    os.truncate(large, 64 << 20)
    server.takes("a.bin", Answer(takes=2000, unread=True))
    async with client(server, stall_seconds=0.5, attempts=1) as api:
        async with asyncio.timeout(20):
            error = await error_of(TransferError, api.run(RUN).upload_file(large, large.parent))
    assert "a.bin: " in str(error)
    assert stored(server) is None


@each_transport
async def test_silent_store_times_out(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(SMALL)  # for a large file, the system's buffers get a minute longer
    server.takes("a.bin", Answer(unread=True))
    async with client(server, stall_seconds=0.5, attempts=1) as api:
        async with asyncio.timeout(20):
            error = await error_of(TransferError, api.run(RUN).upload_file(tmp_path / "a.bin", tmp_path))
    assert "went silent" in str(error)


@each_transport
async def test_slow_store_is_not_a_fault(server: ScriptedServer, source: Path) -> None:
    """A file that takes longer than a window, but progresses in each, continues."""
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(1.0, gate.set)

    async def late(seen: Seen) -> Answer:
        await gate.wait()
        return server.keep(seen)

    server.takes("a.bin", late)
    report = await upload(server, source, stall_seconds=3.0, attempts=1)
    assert (report.uploaded, report.verified) == (1, 1), report.failures


@each_transport
@pytest.mark.parametrize("wrong", [SMALL[::-1], SMALL[:-1]])
async def test_bytes_damaged_by_the_store_are_sent_again(server: ScriptedServer, tmp_path: Path, wrong: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(SMALL)

    def damage(seen: Seen) -> Answer:
        server.store("a.bin", wrong)
        return Answer()

    server.takes("a.bin", damage, server.keep)
    report = await upload(server, tmp_path / "a.bin")
    assert (report.uploaded, report.verified, stored(server)) == (1, 1, SMALL), report.failures
    server.takes("a.bin", damage)
    async with client(server) as api:
        upload_again = api.run(RUN).upload_file(tmp_path / "a.bin", tmp_path, existing="replace")
        error = await error_of(IntegrityError, upload_again)
    assert "states" in str(error)


@ours_and_injected
@pytest.mark.usefixtures("waits")
async def test_never_listed_file_raises(server: ScriptedServer, source: Path) -> None:
    server.takes("a.bin", Answer())
    async with client(server, time_budget=300.0) as api:
        error = await error_of(TransferError, api.run(RUN).upload_file(source, source.parent))
    assert "does not list it after 60 s" in str(error)


@ours_and_injected
@pytest.mark.usefixtures("waits")
async def test_unmarkable_server_is_named(server: ScriptedServer, source: Path) -> None:
    server.put("a.bin", b"old")
    server.marks_uploads = False
    server.takes("a.bin", Answer())
    async with client(server, time_budget=300.0) as api:
        error = await error_of(TransferError, api.run(RUN).upload_file(source, source.parent))
    assert "still lists what was there before" in str(error)
    assert "cannot be notified of uploads" in str(error)
    queries = [json.loads(seen.body)["query"] for seen in server.seen("/graphql")]
    assert not any("markRunFilesUploaded" in query for query in queries)


@ours_and_injected
async def test_late_listing_is_waited_for(server: ScriptedServer, source: Path) -> None:
    """W&B's cloud lists an upload shortly after its store received it."""
    server.put("a.bin", b"old")

    def later(seen: Seen) -> Answer:
        asyncio.get_running_loop().call_later(0.5, server.answer_api, mark)
        return server.keep(seen)

    mark = Seen("POST", "/graphql", {}, b'{"query": "markRunFilesUploaded", "variables": {"files": ["a.bin"]}}', 0)

    def ignore_marks(seen: Seen) -> Answer:
        if "markRunFilesUploaded" in json.loads(seen.body)["query"]:
            return graphql_answer({"markRunFilesUploaded": {"success": True}})
        return server.answer_api(seen)

    server.on("/graphql", ignore_marks)
    server.takes("a.bin", later)
    report = await upload(server, source)
    assert (report.uploaded, report.verified) == (1, 1), report.failures


@ours_and_injected
async def test_old_server_without_features_works(server: ScriptedServer, source: Path) -> None:
    server.marks_uploads = False

    def old(seen: Seen) -> Answer:
        if "serverInfo" in json.loads(seen.body)["query"]:
            return Answer(status=400, body=b'{"errors": [{"message": "Cannot query field features"}]}')
        return server.answer_api(seen)

    server.on("/graphql", old)
    report = await upload(server, source)
    assert (report.uploaded, report.verified) == (1, 1), report.failures


@each_transport
async def test_only_requested_header_fields_are_sent(server: ScriptedServer, source: Path) -> None:
    server.upload_headers = ["x-ms-blob-type: BlockBlob", "X-Odd:a:b", "Content-Length: 1", "Host: elsewhere.example"]
    assert (await upload(server, source)).uploaded == 1
    (seen,) = sent(server)
    assert (seen.headers["x-ms-blob-type"], seen.headers["x-odd"]) == ("BlockBlob", "a:b")
    assert seen.headers["content-length"] == str(source.stat().st_size)
    assert seen.headers["host"] in server.base_url
    assert not {"authorization", "cookie", "transfer-encoding", "content-type"} & seen.headers.keys()


@ours_and_injected
async def test_invalid_header_fields_raise(server: ScriptedServer, source: Path) -> None:
    server.upload_headers = ["no field"]
    async with client(server) as api:
        error = await error_of(ApiError, api.run(RUN).upload_file(source, source.parent))
    assert "cannot be sent" in str(error)


@each_transport
async def test_redirect_that_keeps_the_method_is_followed(server: ScriptedServer, source: Path) -> None:
    server.takes("a.bin", redirect(server.url("/upload/elsewhere"), 307))

    def keep(seen: Seen) -> Answer:
        server.store("a.bin", seen.body)
        return Answer(status=201)

    server.on("/upload/elsewhere", keep)
    report = await upload(server, source)
    assert (report.uploaded, report.verified, stored(server)) == (1, 1, source.read_bytes()), report.failures


@ours_and_injected
@pytest.mark.parametrize("status", [301, 302, 303])
async def test_redirect_to_a_get_is_no_upload(server: ScriptedServer, source: Path, status: int) -> None:
    server.takes("a.bin", redirect(server.url("/upload/elsewhere"), status))
    async with client(server) as api:
        error = await error_of(TransferError, api.run(RUN).upload_file(source, source.parent))
    assert f"status {status}" in str(error)
    assert server.seen("/upload/elsewhere") == []


@ours_and_injected
async def test_endless_redirect_raises(server: ScriptedServer, source: Path) -> None:
    server.takes("a.bin", redirect(server.url("/upload/a.bin"), 307))
    async with client(server) as api:
        error = await error_of(TransferError, api.run(RUN).upload_file(source, source.parent))
    assert "redirects more than 5 times" in str(error)


@ours_and_injected
async def test_urls_of_the_server_get_credentials(server: ScriptedServer, source: Path) -> None:
    def proxied(seen: Seen) -> Answer:
        if "createRunFiles" not in json.loads(seen.body)["query"]:
            return server.answer_api(seen)
        target = {"name": "a.bin", "uploadUrl": "/upload/a.bin"}
        return graphql_answer({"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": [target]}})

    server.on("/graphql", proxied)
    server.takes("a.bin")
    report = await upload(server, source)
    assert (report.uploaded, report.verified, stored(server)) == (1, 1, source.read_bytes()), report.failures
    assert all(seen.headers["authorization"].startswith("Basic ") for seen in sent(server))


@ours_and_injected
@pytest.mark.parametrize("url", ["s3://bucket/a.bin", "//elsewhere.example/a", "http://user:pass@elsewhere.example/a"])
async def test_unusable_urls_raise(server: ScriptedServer, source: Path, url: str) -> None:
    def odd(seen: Seen) -> Answer:
        if "createRunFiles" not in json.loads(seen.body)["query"]:
            return server.answer_api(seen)
        files = [{"name": "a.bin", "uploadUrl": url}]
        return graphql_answer({"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}})

    server.on("/graphql", odd)
    async with client(server) as api:
        error = await error_of(TransferError, api.run(RUN).upload_file(source, source.parent))
    assert "cannot be sent to by http" in str(error)


@pytest.mark.usefixtures("waits")
async def test_store_that_is_down_gets_no_more_requests(server: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / str(number)).write_bytes(b"x")
        server.takes(str(number), refusal(500, "InternalError"))
    async with client(server, connections=4) as api:
        report = await api.run(RUN).upload(folder, folder, raise_on_error=False)
    assert report.failed == 60
    kinds = {type(failure.error) for failure in report.failures}
    assert kinds == {TransferError, StoreUnavailableError}
    assert len(server.seen("/upload/")) < 60 * 3


API_FAULTS: Mapping[str, Callable[[str], Answer | None]] = {
    "the URLs are refused": lambda query: refusal(403, "Forbidden") if "createRunFiles" in query else None,
    "the run is not writable": lambda query: (
        graphql_answer({"createRunFiles": {"runID": None, "uploadHeaders": [], "files": []}})
        if "createRunFiles" in query
        else None
    ),
}


@ours_and_injected
@pytest.mark.parametrize("fault", API_FAULTS)
async def test_api_that_refuses_ends_the_upload(server: ScriptedServer, source: Path, fault: str) -> None:
    def refuse(seen: Seen) -> Answer:
        return API_FAULTS[fault](json.loads(seen.body)["query"]) or server.answer_api(seen)

    server.on("/graphql", refuse)
    async with client(server) as api:
        with pytest.raises((PermissionDeniedError, IncompleteUploadError)):
            await api.run(RUN).upload(source, source.parent)
    assert sent(server) == []


@pytest.mark.usefixtures("waits")
@ours_and_injected
async def test_failed_mark_raises(server: ScriptedServer, source: Path) -> None:
    def refuse(seen: Seen) -> Answer:
        if "markRunFilesUploaded" in json.loads(seen.body)["query"]:
            return graphql_answer({"markRunFilesUploaded": {"success": False}})
        return server.answer_api(seen)

    server.on("/graphql", refuse)
    async with client(server, time_budget=0.5) as api:
        error = await error_of(ApiError, api.run(RUN).upload_file(source, source.parent))
    assert "did not confirm that it knows of the uploaded files" in str(error)


@each_transport
@pytest.mark.parametrize("moment", ["before the answer", "in the body"])
async def test_cancelled_upload_leaves_the_old_file(server: ScriptedServer, large: Path, moment: str) -> None:
    server.put("a.bin", b"old")
    arrived = asyncio.Event()

    async def hang(seen: Seen) -> Answer:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    server.takes("a.bin", hang if moment == "before the answer" else Answer(takes=2000, unread=True))

    class RecordedProgress:
        def started(self, name: str, total: int | None) -> None: ...

        def advanced(self, name: str, count: int) -> None:
            if moment == "in the body" and count > 0:
                arrived.set()

        def finished(self, name: str) -> None: ...

        def failed(self, name: str, error: Exception) -> None: ...

    async with client(server) as api:
        others = asyncio.all_tasks() - server.tasks
        task = asyncio.create_task(api.run(RUN).upload_file(large, large.parent, progress=RecordedProgress()))
        async with asyncio.timeout(20):
            await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - server.tasks - others:  # noqa: ASYNC110  # nothing tells of a task's end
                await asyncio.sleep(0.01)
        assert stored(server) == b"old"
        if OPEN_FILES.exists():
            assert large not in {file.readlink() for file in OPEN_FILES.iterdir() if file.is_symlink()}


@ours_and_injected
@pytest.mark.parametrize("turns", [*range(0, 60, 3), 80, 120])
async def test_cancelled_at_any_step_leaves_a_whole_file_on_the_server(
    server: ScriptedServer, tmp_path: Path, turns: int
) -> None:
    (tmp_path / "a.bin").write_bytes(SMALL)
    server.put("a.bin", b"old")
    async with client(server) as api:
        run = api.run(RUN)
        await run.files().count()  # lazy imports and the first connection take additional iterations
        others = asyncio.all_tasks() - server.tasks
        task = asyncio.create_task(run.upload_file(tmp_path / "a.bin", tmp_path))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - server.tasks - others:  # noqa: ASYNC110  # nothing tells of a task's end
                await asyncio.sleep(0.01)
        assert stored(server) in (b"old", SMALL)
        assert (await run.upload_file(tmp_path / "a.bin", tmp_path)).size == len(SMALL)
    assert stored(server) == SMALL


@pytest.mark.usefixtures("waits")
async def test_stale_upload_connection_costs_no_attempt(server: ScriptedServer, tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(SMALL)
    async with client(server, attempts=1) as api:
        run = api.run(RUN)
        server.takes("a.bin", lambda seen: server.keep(seen).but(end="close"))
        await run.upload_file(tmp_path / "a.bin", tmp_path)
        await run.upload_file(tmp_path / "b.bin", tmp_path)
    assert server.files.keys() == {"a.bin", "b.bin"}


@ours_and_injected
async def test_one_failure_does_not_stop_the_others(server: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(name.encode())
    server.takes("b", refusal(409, "Conflict"))
    results: list[FileResult] = []
    async with client(server) as api:
        uploading = api.run(RUN).upload(folder, folder, on_result=results.append)
        error = await error_of(IncompleteUploadError, uploading)
    assert "1 of 3 files could not be uploaded" in str(error)
    assert {result.name: result.status for result in results} == {"a": "uploaded", "b": "failed", "c": "uploaded"}


async def test_file_removed_meanwhile_fails_alone(server: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode())

    def vanish(seen: Seen) -> Answer:
        if "createRunFiles" in json.loads(seen.body)["query"]:
            (folder / "a").unlink(missing_ok=True)
        return server.answer_api(seen)

    server.on("/graphql", vanish)
    async with client(server) as api:
        report = await api.run(RUN).upload(folder, folder, raise_on_error=False)
    assert [(failure.name, type(failure.error)) for failure in report.failures] == [("a", LocalReadError)]
    assert report.uploaded == 1


async def test_uploads_respect_the_rate_limit(server: ScriptedServer, large: Path, waits: list[float]) -> None:
    report = await upload(server, large, limit_rate=1 << 20)
    assert (report.uploaded, stored(server)) == (1, LARGE)
    assert sum(waits) > len(LARGE) / (1 << 20) - 1


async def test_no_signature_is_logged(server: ScriptedServer, source: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server's fixture searches for secrets; this test checks that something was logged."""
    caplog.set_level(logging.DEBUG)
    server.takes("a.bin", refusal(500, "InternalError"), server.keep)
    assert (await upload(server, source)).uploaded == 1
    assert any("Trying again" in record.getMessage() for record in caplog.records)


class ChangingProgress:
    """Changes a file when its first bytes are sent, then lets the server continue reading."""

    def __init__(self, change: Callable[[Path], None], path: Path, reads_on: asyncio.Event) -> None:
        self._change = change
        self._path = path
        self._reads_on = reads_on

    def started(self, name: str, total: int | None) -> None: ...

    def advanced(self, name: str, count: int) -> None:
        if count > 0 and not self._reads_on.is_set():
            self._change(self._path)
            self._reads_on.set()

    def finished(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception) -> None: ...


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4 << 20)
        file.write(b"other")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.rename(path)


CHANGES: Mapping[str, Callable[[Path], None]] = {
    "grow": grow,
    "shrink": lambda path: os.truncate(path, 100),
    "overwrite": overwrite,
    "replace": replace,
}


@each_transport
@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("change", CHANGES)
async def test_file_that_changes_while_it_is_sent_is_not_uploaded(
    server: ScriptedServer, large: Path, change: str, verify: bool
) -> None:
    os.truncate(large, 32 << 20)  # more than all buffers in between hold
    server.put("a.bin", b"old")
    server.takes("a.bin")
    server.reads_on = asyncio.Event()
    progress = ChangingProgress(CHANGES[change], large, server.reads_on)
    async with client(server, verify=verify) as api:
        work = api.run(RUN).upload_file(large, large.parent, progress=progress)
        error = await error_of(LocalReadError, work)
    assert "while it was uploaded" in str(error)
    assert stored(server) == b"old"
