"""Small files that are requested one by one, over connections that are kept for the next one.

The first one is an ordinary download. Its connection stays with a worker thread of the transport, which downloads
the next files over it as follow-ups: each wakes the thread once, and the event loop once. Between files a connection
waits briefly, without a slot at the origin, so that it blocks nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import attrs

from wbfiles_async._disk.part_file import check_new_file
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._download.batch import SmallFile, small_target
from wbfiles_async._download.file import FileDownload
from wbfiles_async._http.extensions import FollowUp, Pause
from wbfiles_async._store.follow_ups import FollowUpBatch
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import Opened, RemoteFile
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._threads import await_to_completion

__all__ = ["SmallFiles"]

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.25
"""Seconds that a connection waits for the next file: long enough for a caller that reads each file before requesting
the next. Later ones use the connection from the pool."""

STUCK_SECONDS: Final = 1.0
"""Seconds without progress of the queue, after which files no longer wait for other files' connections, which may be
waiting for a retry."""


class SmallFiles:
    """Downloads small files that are requested one by one.

    Args:
        reader: Reads their bytes.
    """

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._queues: dict[str, _Queue] = {}

    async def download(self, file: RemoteFile, target: TargetPath, *, replace: bool) -> bool:
        """Download a file, if it is small; return whether it is.

        Args:
            file: The file.
            target: The target path.
            replace: Whether an existing file may be replaced.

        Raises:
            WBFilesError: The failure; the target is unchanged.
        """
        options = self._reader.options
        found = None if options.durable else small_target(file.attributes, self._reader.requester)
        if found is None:
            return False
        origin, url_target = found
        queue = self._queues.get(origin)
        if queue is None:
            queue = self._queues[origin] = _Queue(self._reader, origin)
        md5 = file.stated_md5 if options.verify else None
        writer = self._reader.disk.writer
        await queue.download(_SingleFile(target, url_target, file.size or 0, md5, 0, replace, writer, lambda: file))
        return True

    async def aclose(self) -> None:
        """End paused connections, and fail waiting files. The http client must be closed already."""
        for queue in self._queues.values():
            await queue.aclose()


@attrs.define(eq=False)
class _SingleFile(SmallFile):
    """A single small file that was requested.

    Attributes:
        outcome: Whether it is published; ``False`` if it needs an ordinary download.
        is_checked: Whether its target path was checked.
        leads: Whether its ordinary download shares its connection.
        batch: The batch that sends its request, until its end is reported.
    """

    outcome: asyncio.Future[bool] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future(), init=False)
    is_checked: bool = attrs.field(default=False, init=False)
    leads: bool = attrs.field(default=False, init=False)
    batch: _Batch | None = attrs.field(default=None, init=False)

    def check(self) -> None:
        """Check its target path. Blocks."""
        self.mode = check_new_file(self.destination, replace=self.replace)
        self.is_checked = True

    def settle(self, *, in_place: bool) -> None:
        """Wake its caller."""
        if not self.outcome.done():
            self.outcome.set_result(in_place)

    def fail(self, error: Exception) -> None:
        """Raise an error in its caller."""
        if not self.outcome.done():
            self.outcome.set_exception(error)


class _Queue:
    """The single small files at one origin, and their connections.

    Attributes:
        origin: The origin.
        limits: Its limits.
        lock: Protects the following, and the files of batches.
        waiting: Files that wait for a connection.
        paused: Batches whose connections wait for a file.
        taken: Counts the files that have waited.
    """

    def __init__(self, reader: StoreReader, origin: str) -> None:
        self.origin = origin
        self.limits = reader.requester.limits.of(origin)
        self.loop = asyncio.get_running_loop()
        self.lock = threading.Lock()
        self.waiting: OrderedDict[_SingleFile, None] = OrderedDict()
        self.paused: list[_Batch] = []
        self.taken = 0
        self._reader = reader
        self._leading = 0
        self._batches: set[_Batch] = set()
        self._stuck_check: asyncio.TimerHandle | None = None

    async def download(self, single: _SingleFile) -> None:
        """Download one file, over any connection."""
        self._assign(single)
        if single.leads:
            await self._lead(single)
            return
        try:
            in_place = await single.outcome
        except asyncio.CancelledError:
            await self._take_back(single)
            raise
        if in_place:
            return
        if single.leads:
            await self._lead(single)
        else:
            await self._download_ordinarily(single)

    async def aclose(self) -> None:
        """End paused connections, and fail waiting files."""
        for batch in [*self._batches]:
            await batch.abandon()
        self._promote(all_of_them=True)

    # The files.

    def _assign(self, single: _SingleFile) -> None:
        """Pass a file to a paused connection; otherwise let it open one, or wait."""
        batch = None
        with self.lock:
            if self.paused and self.paused[-1].may_send():
                single.batch = batch = self.paused.pop()
                batch.handed = single
            elif self._has_room:
                self._leading += 1
                single.leads = True
            else:
                self.waiting[single] = None
                self.limits.backlog = len(self.waiting)
        if batch is not None:
            batch.resume()
        elif not single.leads:
            self._check_later()

    def take_first(self) -> _SingleFile:
        """Take the file that has waited longest. Requires the lock."""
        single, _ = self.waiting.popitem(last=False)
        self.taken += 1
        self.limits.backlog = len(self.waiting)
        return single

    def _check_later(self) -> None:
        if self._stuck_check is None:
            self._stuck_check = self.loop.call_later(STUCK_SECONDS, self._check_stuck, self.taken)

    def _check_stuck(self, taken: int) -> None:
        self._stuck_check = None
        if self.taken == taken:
            self._promote(all_of_them=True)
        elif self.waiting:
            self._check_later()

    async def _take_back(self, single: _SingleFile) -> None:
        """Stop all work for a file whose caller was cancelled."""
        with self.lock:
            self.waiting.pop(single, None)
            self.limits.backlog = len(self.waiting)
            batch = single.batch
            is_taken = batch is not None and not batch.take_back(single)
        try:
            if batch is not None and is_taken:
                await batch.abandon()
        finally:  # it may be cancelled once more
            if single.outcome.done() and not single.outcome.cancelled():
                single.outcome.exception()  # retrieved, so that the loop does not report it
            if single.leads:
                self._end_leading()
            if (opened := single.file.take_opened()) is not None:
                await opened.drop()

    # Ordinary downloads.

    @property
    def _has_room(self) -> bool:
        """Whether another connection may help."""
        return self._leading + len(self._batches) - len(self.paused) < self.limits.allowed

    async def _lead(self, single: _SingleFile) -> None:
        """Download a file in the ordinary way, and share its connection."""
        batch = _Batch(self)
        try:
            await self._download_ordinarily(single, batch)
        finally:
            batch.close()
            self._end_leading()

    def _end_leading(self) -> None:
        self._leading -= 1
        self._promote()

    def _promote(self, *, all_of_them: bool = False) -> None:
        """Start ordinary downloads of waiting files, as long as another connection may help."""
        while all_of_them or self._has_room:
            with self.lock:
                if not self.waiting:
                    return
                single = self.take_first()
            self._leading += 1
            single.leads = True
            single.settle(in_place=False)

    async def _download_ordinarily(self, single: _SingleFile, batch: _Batch | None = None) -> None:
        if not single.is_checked:
            await self._reader.disk.run(single.check)
        download = FileDownload(
            reader=self._reader,
            file=single.file,
            target=single.destination,
            mode=single.mode,
            replace=single.replace,
            spoiled=single.error,
            follow_ups=batch,
        )
        await download.run()

    # The connections.

    def begun(self, batch: _Batch) -> None:
        """Record that a connection has completed its first file."""
        self._batches.add(batch)

    def completed(self) -> None:
        """Record completed files, after which the origin may accept more."""
        if self.waiting:
            self._promote()

    def ended(self, batch: _Batch) -> None:
        """Record the end of a connection."""
        self._batches.discard(batch)
        self._promote()


class _Batch:
    """The files that follow the first one of a connection, as they are requested.

    Attributes:
        handed: A file that was passed to it, and is not taken yet.
        resume: Ends a pause.
    """

    def __init__(self, queue: _Queue) -> None:
        self.handed: _SingleFile | None = None
        self.resume: Callable[[], None] = lambda: None
        self._queue = queue
        self._taken: deque[_SingleFile] = deque()
        self._refused: list[tuple[_SingleFile, Exception]] = []
        self._completed = 0
        self._paused_until = 0.0
        self._slot: RequestSlot | None = None
        self._running: FollowUpBatch | None = None
        self._end: asyncio.Task[None] | None = None
        self._is_known: asyncio.Future[None] = queue.loop.create_future()

    # In the thread.

    def next(self, origin: str, resume: Callable[[], None]) -> FollowUp | Pause | None:
        """Return the next file at an origin, a pause, or ``None`` to end."""
        if origin != self._queue.origin:
            return None
        self.resume = resume
        now = time.monotonic()
        while True:
            with self._queue.lock:
                single = self._take()
                if single is None:
                    return self._pause(now)
            try:
                if not single.is_checked:
                    single.check()
            except Exception as error:  # raised when the file is awaited
                with self._queue.lock:
                    self._taken.pop()
                    self._refused.append((single, error))
            else:
                return single

    def _take(self) -> _SingleFile | None:
        queue, single = self._queue, self.handed
        self.handed = None
        if single is None and queue.waiting and self not in queue.paused:  # it may have no slot then
            single = queue.take_first()
            single.batch = self
        if single is not None:
            self._paused_until = 0.0
            self._taken.append(single)
        return single

    def _pause(self, now: float) -> Pause | None:
        queue = self._queue
        self._paused_until = self._paused_until or now + PAUSE_SECONDS
        if now >= self._paused_until or queue.waiting:
            if self in queue.paused:
                queue.paused.remove(self)
            return None
        if self not in queue.paused:
            queue.paused.append(self)
        return Pause(self._paused_until - now)

    # In the loop.

    def may_send(self) -> bool:
        """Acquire a slot for a request if one is free; return whether it holds one."""
        return self._slot is None or self._slot.enter_at_once()

    def take_back(self, single: _SingleFile) -> bool:
        """Take back a file that was passed to it; return whether it had not started it. Requires the lock."""
        if self.handed is not single:
            return False
        self.handed = None
        self._queue.paused.append(self)
        if self._slot is not None:
            self._slot.release()
        return True

    def completed(self, count: int, slot: RequestSlot) -> None:
        """Record newly completed files, including the first one."""
        self._slot = slot
        with self._queue.lock:
            if self in self._queue.paused:
                slot.release()
        while self._completed < count - 1:
            self._completed += 1
            single = self._taken.popleft()
            slot.record_success(single.length)
            self._settle(single)
        self._settle_refused()
        self._queue.completed()

    def unfinished(self, follow_up: FollowUp, opened: Opened | None, error: Exception | None) -> None:
        """Take back a file that was not completed."""
        assert isinstance(follow_up, _SingleFile)  # noqa: S101  # all of them are
        follow_up.file.opened = opened
        follow_up.error = error

    def go_on(self, batch: FollowUpBatch) -> None:
        """Take over the follow-ups after the first file is complete."""
        self._queue.begun(self)
        self._running = batch
        self._end = asyncio.create_task(self._finish(batch))
        for task in (self._end, batch.task):
            if task is not None:
                # If an event loop is closed while connections wait, nothing is lost, so nothing is logged.
                task._log_destroy_pending = False  # type: ignore[union-attr]
        self._is_known.set_result(None)

    async def _finish(self, batch: FollowUpBatch) -> None:
        try:
            await batch.finish()
        except asyncio.CancelledError:
            await batch.abandon()
            raise
        except Exception:  # no file's fault: unpublished files are downloaded in the ordinary way
            log.info("Small files of %s lost their connection.", self._queue.origin, exc_info=True)
        finally:
            self._settle_all()
            self._queue.ended(self)

    def close(self) -> None:
        """End it, unless it continues after its first file."""
        if self._end is None:
            if not self._is_known.done():
                self._is_known.set_result(None)
            self._settle_all()

    def _settle(self, single: _SingleFile) -> None:
        single.batch = None
        single.settle(in_place=single.is_complete and single.error is None)

    def _settle_refused(self) -> None:
        """Raise the errors of files with unusable target paths."""
        with self._queue.lock:
            refused, self._refused = self._refused, []
        for single, error in refused:
            single.batch = None
            single.fail(error)

    def _settle_all(self) -> None:
        """Download its incomplete files in the ordinary way."""
        with self._queue.lock:
            if self in self._queue.paused:
                self._queue.paused.remove(self)
            left, self.handed = [*self._taken, self.handed], None
            self._taken.clear()
        for single in left:
            if single is not None:
                self._settle(single)
        self._settle_refused()
        if self._slot is not None:  # for a file that was passed too late
            self._slot.release()

    async def abandon(self) -> None:
        """Stop receiving its files, and wait until the thread has finished with them."""
        await await_to_completion(asyncio.ensure_future(self._abandon()))

    async def _abandon(self) -> None:
        await self._is_known
        if self._running is not None and self._end is not None:
            await self._running.abandon()
            await asyncio.wait([self._end])
