"""Runs one program against the scripted server, and reports each broken guarantee."""

from __future__ import annotations

import asyncio
import base64
import random
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

import anyio
import attrs
from scripted_server import API_KEY, RUN, ScriptedServer, Step, redirect, remote, secrets_in, temporaries, with_clock

from soak.listings import API, Listing
from soak.program import FilePlan, Program
from soak.stores import STORE, Scene
from soak.watch import settled
from wbfiles_async import AsyncApi, FileResult, IncompleteDownloadError, StoreUnavailableError, WBFilesError
from wbfiles_async._disk.journal import parse_journal
from wbfiles_async._disk.names import part_name

SECONDS = 30.0
"""Time limit of a program, in seconds; its own limits, on silence and attempts, are far below."""

OLD = b"what was there before"
_BYTES = random.Random(0).randbytes(4 << 20)


@attrs.frozen
class Ended:
    """The outcome for one file: an error, bytes, or a published file."""

    name: str
    error: WBFilesError | None = None
    data: bytes | None = None
    whole: bool = True
    kept: bool = False


@attrs.define
class Outcome:
    """The result of a program: counts of events, and violations."""

    tally: Counter[str] = attrs.field(factory=Counter)
    violations: list[str] = attrs.field(factory=list)


async def play(program: Program, root: Path) -> Outcome:
    """Run a program below an empty folder."""
    outcome = Outcome()
    before = {plan.name: _lay(plan, root) for plan in program.files}
    tasks = asyncio.all_tasks()
    async with ScriptedServer() as server:
        scenes = {plan.name: _set(server, plan, program) for plan in program.files}
        listing = Listing(server, program.listing)
        server.on("/graphql", *(API[fault.name](random.Random(fault.seed)) for fault in program.api_faults), listing)
        api = with_clock(AsyncApi(base_url=server.base_url, api_key=API_KEY, timeout=1.0, options=program.options))
        performance = Performance(program, server, api, root)
        try:
            async with asyncio.timeout(SECONDS):
                await performance.run()
        except TimeoutError:
            outcome.violations.append(f"took longer than {SECONDS:g} s")
        outcome.tally.update(performance.tally())
        outcome.violations.extend(performance.violations)
        if not performance.closed:
            if not await settled(lambda: not (asyncio.all_tasks() - tasks - server.tasks)):
                outcome.violations.append("tasks go on after the work has ended")
            outcome.violations.extend(await _usable(api, server, program))
        await api.aclose()
        if len(server.requests) > _most_requests(program):
            outcome.violations.append(f"{len(server.requests)} requests")
        outcome.violations.extend(_judged(program, scenes, before, performance, root))
        for path in temporaries(root):
            outcome.tally["kept to go on from"] += 1
            outcome.violations.extend([reason async for reason in _taken_up(path, program, server, root)])
    return outcome


async def _taken_up(path: Path, program: Program, server: ScriptedServer, root: Path) -> AsyncIterator[str]:
    """Return what is wrong with a part file, and with the download that resumes it."""
    plan = next((plan for plan in program.files if part_name(Path(plan.name).name) == path.name), None)
    if plan is None:
        yield f"a temporary file is left that nobody would find again: {path.name}"
        return
    with path.open("rb") as left:
        left.seek(plan.size)
        journal = parse_journal(left.read())
    if not program.options.resume or journal is None or not journal.parts or not journal.header.etag:
        yield f"a temporary file is left that nobody can go on from: {path.name}"
        return
    node = server.put(plan.name, _content(plan))
    server.on("/graphql", server.list_files)
    async with with_clock(
        AsyncApi(base_url=server.base_url, api_key=API_KEY, timeout=1.0, options=program.options)
    ) as api:
        try:
            await remote(api, node).fetch(root, replace=True)
        except WBFilesError as error:
            yield f"{plan.name}: going on fails: {error!r}"
            return
    if (root / plan.name).read_bytes() != _content(plan):
        yield f"{plan.name}: wrong bytes after going on"
    if path.exists():
        yield f"{path.name} is still there after going on"


def _content(plan: FilePlan) -> bytes:
    return _BYTES[plan.seed : plan.seed + plan.size]


def _lay(plan: FilePlan, root: Path) -> bytes | None:
    """Write what exists at the file's path before the work."""
    if plan.before == "nothing":
        return None
    path = root / plan.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(OLD if plan.before == "another file" else _content(plan))
    return path.read_bytes()


def _set(server: ScriptedServer, plan: FilePlan, program: Program) -> Scene:
    """Store the file, list it, and script the responses to its requests."""
    data = _content(plan)
    scene = Scene(server, plan.name, plan.size_known, program.options, data)
    node = server.put(plan.name, data)
    steps: list[Step] = [STORE[fault.name](random.Random(fault.seed), scene) for fault in plan.faults]
    server.on(_path_of(node), *steps, *([] if plan.lasting else [scene.good]))
    if not plan.size_known:
        node["sizeBytes"] = None
    match plan.md5:
        case "hexadecimal":
            node["md5"] = _hexadecimal(str(node["md5"]))
        case "missing":
            node["md5"] = None
        case "malformed":
            node["md5"] = "no md5"
        case "wrong":
            node["md5"] = "AAAAAAAAAAAAAAAAAAAAAA=="
            scene.listed.clear()
    match plan.way:
        case "by the API":
            server.on(f"/files{_path_of(node)}", redirect(str(node["directUrl"])))
            node |= {"url": f"{server.base_url}/files{_path_of(node)}", "directUrl": None}
        case "after a dead host":
            server.on(f"/files{_path_of(node)}", redirect(str(node["directUrl"])))
            node |= {"url": f"{server.base_url}/files{_path_of(node)}", "directUrl": "http://127.0.0.1:1/x?sig=1"}
    return scene


def _path_of(node: Mapping[str, object]) -> str:
    return "/" + str(node["directUrl"]).partition("?")[0].split("/", 3)[3]


def _hexadecimal(md5: str) -> str:
    return base64.b64decode(md5).hex()


class Performance:
    """The work of one program, and its interruption."""

    def __init__(self, program: Program, server: ScriptedServer, api: AsyncApi, root: Path) -> None:
        self.ended: list[Ended] = []
        self.violations: list[str] = []
        self.stopped = self.closed = False
        self._program, self._server, self._api, self._root = program, server, api, root

    def tally(self) -> Iterator[str]:
        """Return the name of the outcome, for an error its class."""
        for ended in self.ended:
            yield type(ended.error).__name__ if ended.error else "right" if not ended.kept else "kept"
        if self.stopped:
            yield "stopped"

    async def run(self) -> None:
        """Run the work, and stop it as the program says."""
        stop, work = self._program.stop, self._work()
        if stop is None:
            await self._guarded(work)
            return
        limit, scope = asyncio.timeout(None), anyio.CancelScope()

        async def limited() -> None:
            async with limit:
                await work

        async def scoped() -> None:
            with scope:
                await work

        task = asyncio.create_task({"timeout": limited, "scope": scoped}.get(stop.means, lambda: work)())
        while not task.done() and len(self._server.requests) < stop.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for _ in range(stop.turns):
            if task.done():
                break
            await asyncio.sleep(0)
        if not task.done():
            self.stopped = True
            match stop.means:
                case "task":
                    task.cancel()
                case "twice":
                    task.cancel()
                    await asyncio.sleep(0)
                    task.cancel()
                case "timeout":
                    limit.reschedule(asyncio.get_running_loop().time())
                case "scope":
                    scope.cancel()
                case "close":
                    self.closed = True
                    await self._api.aclose()
        await self._guarded(task)

    async def _guarded(self, work: object) -> None:
        """Await the work; it may raise only our errors, or its interruption."""
        assert isinstance(work, asyncio.Task) or asyncio.iscoroutine(work)
        try:
            await work
        except WBFilesError as error:
            self.ended.append(Ended("", error))
        except (asyncio.CancelledError, TimeoutError):
            if not self.stopped or self.closed:
                raise
        except Exception as error:
            self.violations.append(f"raised what is no error of ours: {''.join(traceback.format_exception(error))}")

    async def _work(self) -> None:
        program = self._program
        times = 2 if program.work.twice else 1
        if program.work.kind == "bulk":
            all_work = [self._bulk() for _ in range(times)]
        else:
            all_work = [self._one(plan) for plan in program.files for _ in range(times)]
        # A failure ends its own work alone; all must have ended before the checks.
        for error in await asyncio.gather(*all_work, return_exceptions=True):
            if error is not None:
                raise error

    async def _bulk(self) -> None:
        def note(result: FileResult) -> None:
            assert result.error is None or isinstance(result.error, WBFilesError)
            self.ended.append(Ended(result.name, result.error, kept=result.status == "kept"))

        run, work = self._api.run(RUN), self._program.work
        try:
            files = run.files(per_page=self._program.per_page)
            await files.download(self._root, existing=work.existing, on_result=note)
        except IncompleteDownloadError as error:
            if not error.report.failed:
                self.violations.append("an incomplete download without a failure")

    async def _one(self, plan: FilePlan) -> None:
        work, name = self._program.work, plan.name
        there = (self._root / name).exists()
        try:
            file = remote(self._api, self._server.files[name])
            match work.kind:
                case "read_bytes":
                    self.ended.append(Ended(name, data=await file.read_bytes()))
                case "stream":
                    await self._stream(plan)
                case "download":
                    async with await file.download(self._root, work.replace, work.exist_ok) as text:
                        assert text.name
                    self.ended.append(Ended(name, kept=there and not work.replace))
                case _:
                    await file.fetch(self._root, work.replace, work.exist_ok)
                    self.ended.append(Ended(name, kept=there and not work.replace))
        except WBFilesError as error:
            self.ended.append(Ended(name, error))

    async def _stream(self, plan: FilePlan) -> None:
        work = self._program.work
        start, stop = work.span or (0, None)
        pieces: list[bytes] = []
        async with aclosing(remote(self._api, self._server.files[plan.name]).stream(start, stop)) as stream:
            async for piece in stream:
                pieces.append(piece)
                if work.leave_after is not None and len(pieces) > work.leave_after:
                    return
        self.ended.append(Ended(plan.name, data=b"".join(pieces), whole=work.span is None))


async def _usable(api: AsyncApi, server: ScriptedServer, program: Program) -> Iterator[str]:
    """Return what keeps the client from working: an occupied slot, or a good file that does not arrive."""
    found = []
    if (free := api._gateway.session().limits.free) != program.options.connections:
        found.append(f"{free} of {program.options.connections} connections are free after the work")
    # Bytes beyond a body may reach a kept connection late and spoil the next response, which costs an attempt; and a
    # store without successes for long is tried again later.
    tries = 2
    good = remote(api, server.put("a good one", OLD))
    for rest in reversed(range(tries)):
        try:
            async with asyncio.timeout(10):
                if await good.read_bytes() != OLD:
                    found.append("the client reads a good file wrong afterwards")
            break
        except (WBFilesError, TimeoutError) as error:
            if isinstance(error, StoreUnavailableError):  # after a store that failed for the whole time budget
                await api._gateway.clock.sleep(error.retry_after)
            if not rest:
                found.append(f"the client cannot read a good file afterwards: {error!r}")
    return iter(found)


def _judged(
    program: Program,
    scenes: Mapping[str, Scene],
    before: Mapping[str, bytes | None],
    performance: Performance,
    root: Path,
) -> Iterator[str]:
    """Return what is wrong with the published files, the yielded bytes, and the errors."""
    plans = {plan.name: plan for plan in program.files}
    found = {path for path in root.rglob("*") if path.is_file()} - set(temporaries(root))  # which are checked later
    strange = {path.relative_to(root).as_posix() for path in found} - set(plans)
    if strange:
        yield f"files that nobody requested: {strange}"
    written = {"fetch", "download", "bulk"}
    for name, plan in plans.items():
        path = root / name
        now = path.read_bytes() if path.exists() else None
        if now == before[name]:
            continue
        if program.work.kind not in written:
            yield f"{name}: reading it has touched the disk"
        if before[name] is not None and _must_stay(program):
            yield f"{name}: replaced without leave"
        if now is None:
            yield f"{name}: what was there has gone"
        elif not _acceptable(now, plan, scenes[name], program, whole=True):
            yield f"{name}: {len(now)} wrong bytes are in place"
    for ended in performance.ended:
        if ended.error is not None:
            yield from _faulty(ended.error)
            continue
        plan, scene = plans[ended.name], scenes[ended.name]
        if ended.data is not None:
            span = (program.work.span if program.work.kind == "stream" else None) or (0, None)
            if not _acceptable(ended.data, plan, scene, program, whole=ended.whole, span=span):
                yield f"{ended.name}: {len(ended.data)} wrong bytes were handed out"
        elif program.work.kind in written and not ended.kept:
            now = (root / ended.name).read_bytes() if (root / ended.name).exists() else None
            if now is None or not _acceptable(now, plan, scene, program, whole=True):
                yield f"{ended.name}: said to be there, and is not"


def _must_stay(program: Program) -> bool:
    work = program.work
    return work.existing in ("keep", "error") if work.kind == "bulk" else not work.replace


def _acceptable(
    data: bytes,
    plan: FilePlan,
    scene: Scene,
    program: Program,
    *,
    whole: bool,
    span: tuple[int, int | None] = (0, None),
) -> bool:
    """Return whether these bytes may count as the file, by all that the client could know."""
    start, stop = span
    compared = whole and program.options.verify and plan.md5 not in ("missing", "malformed")
    if compared:
        return any(data == content[start:stop] for content in scene.listed)
    if scene.lied:
        return not plan.size_known or len(data) == len(scene.data[start:stop])
    return any(data == content[start:stop] for content in scene.contents)


def _faulty(error: WBFilesError) -> Iterator[str]:
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    if not str(error):
        yield f"{type(error).__name__} without a message"
    if secrets := secrets_in(shown):
        yield f"{type(error).__name__} shows {secrets}"


def _most_requests(program: Program) -> int:
    """Return the maximum of requests: each file is restarted a few times, and each part retried a few times."""
    tries = program.options.attempts + 6
    parts = sum(2 + plan.size // program.options.part_size for plan in program.files)
    pages = sum(plan.size_known for plan in program.files) + 200
    faults = sum(len(plan.faults) for plan in program.files) + len(program.api_faults)
    return (2 if program.work.twice else 1) * (6 * tries * parts + pages + 2 * faults)
