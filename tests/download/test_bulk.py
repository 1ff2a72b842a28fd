"""Bulk downloads: report, kept files, the shared limiter, and constant memory."""

from __future__ import annotations

import asyncio
import json
import logging
import tracemalloc
from pathlib import Path

import pytest
from scripted_server import (
    RUN,
    Answer,
    Program,
    ScriptedServer,
    Seen,
    Stored,
    base64_md5,
    client,
    error_of,
    graphql_answer,
    refusal,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits

from wbfiles_async import (
    ApiError,
    ConfigurationError,
    DestinationExistsError,
    FileResult,
    IncompleteDownloadError,
    IntegrityError,
    PermissionDeniedError,
    RunNotFoundError,
    TransferError,
    UnsafePathError,
    UnsupportedReferenceError,
)
from wbfiles_async._graphql import pagination as pages

pytestmark = pytest.mark.usefixtures("waits")

MIB = 1 << 20


def put_many(server: ScriptedServer, count: int) -> dict[str, bytes]:
    contents = {f"media/{n % 3}/{n}.bin": b"%d" % n * (n * 50) for n in range(count)}
    for name, data in contents.items():
        server.put(name, data)
    return contents


def written(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_run_is_written_below_the_root_and_reported(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server, 50)
    large = bytes(range(256)) * 4096 * 3
    server.put("large.bin", large)
    results: list[FileResult] = []
    async with client(server, part_size=MIB) as api:
        report = await api.run(RUN).download(tmp_path / "out", on_result=results.append)
    assert written(tmp_path / "out") == contents | {"large.bin": large}
    assert (report.root, report.files, report.downloaded, report.verified) == (tmp_path / "out", 51, 51, 51)
    assert (report.kept, report.planned, report.failed, report.failures) == (0, 0, 0, ())
    assert report.bytes == sum(map(len, contents.values())) + len(large)
    assert report.parts == 50 + 3
    assert report.seconds > 0
    assert {result.name: result.size for result in results} == {
        name: len(data) for name, data in (contents | {"large.bin": large}).items()
    }
    assert {(result.status, result.verified) for result in results} == {("downloaded", True)}


async def test_empty_run_is_an_empty_report(server: ScriptedServer, tmp_path: Path) -> None:
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path)
    assert (report.files, report.failed) == (0, 0)


async def test_one_failure_does_not_stop_the_others_and_is_reported(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server, 30)
    server.put("denied", b"x", refusal(403, "AccessDenied"))
    server.put("broken", b"x", refusal(500, "InternalError"))
    server.put("wrong", b"right", Answer(body=b"wrong"))
    server.put("../unsafe", b"x")
    server.put("reference", b"x", url="gs://bucket/key", directUrl="gs://bucket/key")
    async with client(server) as api:
        error = await error_of(IncompleteDownloadError, api.run(RUN).download(tmp_path))
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert written(tmp_path) == contents
    assert "5 of 35 files" in str(error)
    assert (error.report.files, error.report.downloaded, error.report.failed) == (35, 30, 5)
    assert {failure.name: type(failure.error) for failure in error.report.failures} == {
        "denied": PermissionDeniedError,
        "broken": TransferError,
        "wrong": IntegrityError,
        "../unsafe": UnsafePathError,
        "reference": UnsupportedReferenceError,
    }
    assert (report.kept, report.downloaded, report.failed) == (30, 0, 5)
    assert not temporaries(tmp_path)


async def test_verify_keeps_good_files_and_downloads_others(server: ScriptedServer, tmp_path: Path) -> None:
    for name in ("right", "other bytes", "shorter", "missing"):
        server.put(name, b"12345")
    server.put("no md5", b"12345", md5=None)
    for name, data in {"right": b"12345", "other bytes": b"54321", "shorter": b"123", "no md5": b"abcde"}.items():
        (tmp_path / name).write_bytes(data)
    results: dict[str, str] = {}
    async with client(server) as api:
        report = await api.run(RUN).download(
            tmp_path, on_result=lambda result: results.update({result.name: result.status})
        )
    assert results == {
        "right": "kept",
        "other bytes": "downloaded",
        "shorter": "downloaded",
        "missing": "downloaded",
        "no md5": "kept",
    }
    assert written(tmp_path) == dict.fromkeys(("right", "other bytes", "shorter", "missing"), b"12345") | {
        "no md5": b"abcde"
    }
    assert report.bytes == 15
    assert not server.seen("/store/right")


async def test_keep_leaves_existing_files(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("there", b"new")
    server.put("missing", b"new")
    (tmp_path / "there").write_bytes(b"anything")
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, existing="keep")
    assert written(tmp_path) == {"there": b"anything", "missing": b"new"}
    assert (report.kept, report.downloaded, report.verified) == (1, 1, 1)


async def test_replace_downloads_everything(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("there", b"new")
    (tmp_path / "there").write_bytes(b"new")
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, existing="replace")
    assert report.downloaded == 1
    assert len(server.seen("/store/there")) == 1


async def test_existing_error_counts_failures_and_downloads_the_rest(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("there", b"new")
    server.put("missing", b"new")
    (tmp_path / "there").write_bytes(b"old")
    async with client(server) as api:
        error = await error_of(IncompleteDownloadError, api.run(RUN).download(tmp_path, existing="error"))
    assert [type(failure.error) for failure in error.report.failures] == [DestinationExistsError]
    assert written(tmp_path) == {"there": b"old", "missing": b"new"}


async def test_dry_run_neither_requests_nor_writes(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("there", b"12345")
    server.put("missing", b"1234567")
    (tmp_path / "there").write_bytes(b"12345")
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, dry_run=True)
    assert (report.kept, report.planned, report.downloaded, report.bytes) == (1, 1, 0, 7)
    assert server.seen() == []
    assert written(tmp_path) == {"there": b"12345"}


async def test_include_and_exclude_select_by_name(server: ScriptedServer, tmp_path: Path) -> None:
    for name in ("a.json", "deep/b.json", "deep/c.txt", "d.txt"):
        server.put(name, b"x")
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, include=["*.json", "d*"], exclude=["deep/c*"])
    assert set(written(tmp_path)) == {"a.json", "deep/b.json", "d.txt"}
    assert report.files == 3


@pytest.mark.parametrize("arguments", [{"include": "*.json"}, {"exclude": [""]}, {"existing": "sometimes"}])
async def test_invalid_argument_is_refused_before_any_request(
    server: ScriptedServer, tmp_path: Path, arguments: dict[str, object]
) -> None:
    async with client(server) as api:
        await error_of(ConfigurationError, api.run(RUN).download(tmp_path, **arguments))  # type: ignore[arg-type]
    assert server.requests == []


def slowly(stored: Stored) -> Program:
    """Serve an object after some iterations of the event loop, in which other requests could arrive."""

    async def answer(seen: Seen) -> Answer:
        for _ in range(30):
            await asyncio.sleep(0)
        return stored(seen)

    return answer


async def test_files_and_parts_together_never_exceed_the_connections(server: ScriptedServer, tmp_path: Path) -> None:
    large = bytes(range(256)) * 4096 * 3
    for name, data in {"l1": large, "l2": large[::-1], **{f"s{n}": b"%d" % n * 100 for n in range(60)}}.items():
        server.put(name, data, slowly(Stored(data)))
    async with client(server, connections=5, part_size=MIB // 4) as api:
        bulk = api.run(RUN).download(tmp_path / "bulk")
        single = [(await api.run(RUN).file(name)).fetch(tmp_path / "single") for name in ("l1", "s1", "s2")]
        await asyncio.gather(bulk, *single)
    assert server.most_busy == 5
    assert (tmp_path / "bulk" / "l1").read_bytes() == (tmp_path / "single" / "l1").read_bytes() == large


async def test_one_connection_is_enough_for_any_mix(server: ScriptedServer, tmp_path: Path) -> None:
    large = bytes(range(256)) * 4096 * 2
    server.put("large", large)
    contents = put_many(server, 10)
    async with client(server, connections=1, part_size=MIB // 4) as api, asyncio.timeout(10):
        await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents | {"large": large}
    assert server.most_busy == 1


async def test_file_waiting_for_a_retry_holds_no_connection(server: ScriptedServer, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def after_the_other(seen: Seen) -> Answer:
        await asyncio.wait_for(gate.wait(), 5)
        return Answer(body=b"12345")

    def opens(seen: Seen) -> Answer:
        gate.set()
        return Answer(body=b"12345")

    server.put("refused first", b"12345", refusal(503, "SlowDown"), after_the_other)
    server.put("other", b"12345", opens)
    async with client(server, connections=1) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert report.downloaded == 2


class Endless:
    """A listing of very many files, which records how many pages were requested."""

    def __init__(self, server: ScriptedServer, pages: int, per_page: int = 100) -> None:
        self.pages, self.per_page, self.requested = pages, per_page, 0
        self._server = server
        server.on("/graphql", self)

    def __call__(self, seen: Seen) -> Answer:
        self._server.requests.clear()
        cursor = json.loads(seen.body)["variables"]["fileCursor"]
        page = int(cursor) + 1 if cursor else 0
        self.requested = max(self.requested, page)
        nodes = [self._node(page * self.per_page + n) for n in range(self.per_page)]
        files = {
            "edges": [{"node": node, "cursor": str(page)} for node in nodes],
            "pageInfo": {"endCursor": str(page), "hasNextPage": page < self.pages - 1},
        }
        run = {"fileCount": self.pages * self.per_page, "files": files}
        return graphql_answer({"project": {"internalId": "7", "run": run}})

    def _node(self, number: int) -> dict[str, object]:
        url = self._server.url("/store/same")
        name = f"{number:07d}.txt"
        return {"id": name, "name": name, "url": None, "directUrl": url, "sizeBytes": 4, "md5": base64_md5(b"same")}


@pytest.mark.fault(101)
async def test_pages_are_requested_as_files_complete(server: ScriptedServer, tmp_path: Path) -> None:
    gate = asyncio.Event()
    listing = Endless(server, pages=12)
    server.on("/store/same", Answer(body=b"same", gate=gate))
    async with client(server, connections=4) as api:
        task = asyncio.create_task(api.run(RUN).files(per_page=100).download(tmp_path))
        while server.busy < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for _ in range(100):
            await asyncio.sleep(0)
        assert listing.requested <= 2
        gate.set()
        report = await task
    assert (report.files, report.downloaded) == (1200, 1200)
    assert listing.requested == 11


@pytest.mark.fault(101)
async def test_planning_takes_no_memory_for_each_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The ids of the latest files are kept; fewer here, so that few files fill that memory.
    monkeypatch.setattr(pages, "_REMEMBERED_IDS", 500)
    # pytest keeps what is logged, httpx's line for each request too.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)

    async def peak(count: int) -> int:
        # Small pages: how many are sent at the moment of the peak is chance.
        Endless(server, count, per_page=20)
        async with client(server) as api:
            tracemalloc.start()
            try:
                # A dry run reads the same listing as a download, whose buffers vary by more than what is tested here.
                report = await api.run(RUN).files(per_page=20).download(tmp_path, dry_run=True)
                assert report.planned == count * 20
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    await peak(50)  # lazy imports and caches
    most = await peak(50) + 400_000  # 80 bytes for each of 5,000 files more: less than its name and its place take
    # Once more if need be: Python's table of interned names, which paths use, may happen to grow in one of them.
    assert await peak(300) < most or await peak(300) < most


async def test_report_lists_some_failures_and_counts_all(server: ScriptedServer, tmp_path: Path) -> None:
    Endless(server, pages=12)
    server.on("/store/same", refusal(400, "Bad"))
    async with client(server) as api:
        report = await api.run(RUN).files(per_page=100).download(tmp_path, raise_on_error=False)
    assert report.failed == 1200
    assert len(report.failures) == 1000


@pytest.mark.fault(73)
async def test_failed_listing_is_raised_and_leaves_nothing_incomplete(server: ScriptedServer, tmp_path: Path) -> None:
    listing = Endless(server, pages=3)
    server.on("/graphql", listing, graphql_answer(None, status=500))
    server.on("/store/same", Stored(b"same"))
    async with client(server) as api:
        await error_of(ApiError, api.run(RUN).files(per_page=100).download(tmp_path))
    assert set(written(tmp_path).values()) <= {b"same"}
    assert not temporaries(tmp_path)


@pytest.mark.fault(68)
async def test_unknown_run_is_an_error(server: ScriptedServer, tmp_path: Path) -> None:
    server.on("/graphql", graphql_answer({"project": {"internalId": "7", "run": None}}))
    async with client(server) as api:
        error = await error_of(RunNotFoundError, api.run(RUN).download(tmp_path))
    assert error.run == RUN


@pytest.mark.fault(105)
async def test_exception_in_a_callback_ends_the_download_unchanged(server: ScriptedServer, tmp_path: Path) -> None:
    put_many(server, 20)

    def stop(result: FileResult) -> None:
        raise KeyError("enough")

    async with client(server) as api:
        with pytest.raises(KeyError, match="enough"):
            await api.run(RUN).download(tmp_path, on_result=stop)
    assert not temporaries(tmp_path)
