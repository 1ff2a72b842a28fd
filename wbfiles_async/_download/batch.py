"""Small files that follow a first one over its connection, as long as all responses are as expected.

A worker thread of the transport takes them from the queue, verifies and publishes them. Any other outcome goes back
to the ordinary download of that file, so that each fault is handled in one place.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

import attrs

from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._disk.small_file_writer import SmallFileWriter
from wbfiles_async._disk.space import is_fatal_for_all
from wbfiles_async._download.contents import check_md5
from wbfiles_async._download.file import SMALL_BYTES
from wbfiles_async._download.planned import PlannedFile
from wbfiles_async._download.queue import WorkQueue
from wbfiles_async._http.extensions import FollowUp
from wbfiles_async._http.http1 import ResponseHead
from wbfiles_async._md5 import parse_md5, short_md5
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._store.follow_ups import FollowUpBatch
from wbfiles_async._store.remote_file import Opened, RemoteFile, takes_credentials
from wbfiles_async._store.request import Requester
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._store.response import Body, validate_response
from wbfiles_async._store.sink import ExcessError
from wbfiles_async._urls import SecretUrl, is_fetchable, origin, target_of
from wbfiles_async.errors import WBFilesError

__all__ = ["PlannedSmallFile", "SmallFile", "SmallFileBatch", "follow_up_of", "small_target"]

# Without these, a response of status 200 is the whole stored file; see `validate_response`.
_TELLING: Final = frozenset({b"content-encoding", b"content-range", b"x-goog-stored-content-encoding"})


@attrs.define(eq=False)
class SmallFile:
    """One small file as a follow-up, and its sink. Lightweight, since there are thousands.

    Attributes:
        destination: The target path.
        target: Path and query of its URL.
        length: Its length in bytes.
        md5: The expected md5; ``None`` if it is not compared.
        mode: The permissions of the new file.
        replace: Whether an existing file may be replaced.
        writer: Writes it.
        is_complete: Whether it is published, or has failed.
        published: The new file's status; see ``PartFile.published``.
        error: Why it was not published, although all bytes arrived.
        on_error: Called with the error immediately, in a worker thread.
    """

    destination: TargetPath
    target: str
    length: int
    md5: bytes | None
    mode: int
    replace: bool
    writer: SmallFileWriter
    _make_file: Callable[[], RemoteFile]
    is_complete: bool = attrs.field(default=False, init=False)
    published: os.stat_result | None = attrs.field(default=None, init=False)
    error: Exception | None = attrs.field(default=None, init=False)
    on_error: Callable[[Exception], None] | None = attrs.field(default=None, init=False)
    _file: RemoteFile | None = attrs.field(default=None, init=False)
    _body: bytes | memoryview = attrs.field(default=b"", init=False, repr=False)

    @property
    def file(self) -> RemoteFile:
        """The remote file, for an ordinary download."""
        if self._file is None:
            self._file = self._make_file()
        return self._file

    @property
    def sink(self) -> Self:
        """Itself, since it takes and publishes its bytes."""
        return self

    def accepts(self, head: ResponseHead) -> bool:
        """Return whether a response's body is exactly the whole file."""
        if head.length != self.length:
            return False
        if head.status == 200 and not any(name.lower() in _TELLING for name, _ in head.fields):
            return True
        size = self.length
        body = validate_response(head.status, head.headers, start=0, stop=size, size=size, etag=None)
        return isinstance(body, Body)

    def write(self, piece: bytes | memoryview) -> None:
        """Take the whole body."""
        if len(piece) != self.length:
            raise ExcessError
        self._body = piece

    def complete(self) -> None:
        """Verify the body, and publish it."""
        try:
            if self.md5 is not None and (actual := short_md5(self._body)) != self.md5:
                check_md5(self.file, actual)
            self.published = self.writer.write(
                self.destination, [self._body], mode=self.mode, replace=self.replace, durable=False
            )
        except Exception as error:  # raised when the file is awaited
            self.error = error
            if self.on_error is not None:
                self.on_error(error)
        self._body = b""
        self.is_complete = True


@attrs.define(eq=False)
class PlannedSmallFile(SmallFile):
    """A small file of a bulk download.

    Attributes:
        item: The planned file.
    """

    item: PlannedFile


@attrs.define(eq=False, kw_only=True)
class SmallFileBatch:
    """The files that follow one first file.

    Attributes:
        queue: The queue of files.
        prepare: Returns a planned file as a follow-up at an origin; ``None`` if it needs an ordinary download.
        on_landed: Called in the event loop with each published file.
        failed: Those that arrived but were not published.
        returned: Those whose request was not completed; `RemoteFile.opened` is its outcome.
    """

    queue: WorkQueue
    prepare: Callable[[PlannedFile, str], PlannedSmallFile | None]
    on_landed: Callable[[PlannedSmallFile], None]
    failed: list[PlannedSmallFile] = attrs.field(factory=list, init=False)
    returned: list[PlannedSmallFile] = attrs.field(factory=list, init=False)
    _taken: deque[PlannedSmallFile] = attrs.field(factory=deque, init=False)
    _reported: int = attrs.field(default=0, init=False)
    _running: FollowUpBatch | None = attrs.field(default=None, init=False)

    def next(self, origin: str, resume: Callable[[], None]) -> FollowUp | None:
        """Return the next file at an origin, or ``None`` to end. Called in a worker thread."""
        if self.failed:
            return None
        small: PlannedSmallFile | None = None

        def fits(item: PlannedFile) -> bool:
            nonlocal small
            small = self.prepare(item, origin)
            return small is not None

        if self.queue.take_if(fits) is None or small is None:
            return None
        small.on_error = self._on_error
        self._taken.append(small)
        return small

    def _on_error(self, error: Exception) -> None:
        """Record in a worker thread why a file was not published, since a full disk affects all."""
        if isinstance(error, WBFilesError) and is_fatal_for_all(error):
            self.queue.stop_soon()

    def completed(self, count: int, slot: RequestSlot) -> None:
        """Record newly completed files, including the first one."""
        while self._reported < count - 1:
            self._reported += 1
            small = self._taken.popleft()  # and released: a batch may last as long as the download
            slot.record_success(small.length)
            if small.error is None:
                self.on_landed(small)
            else:
                self.failed.append(small)
        self.queue.look_again()

    def unfinished(self, follow_up: FollowUp, opened: Opened | None, error: Exception | None) -> None:
        """Take back a file that was not completed."""
        assert isinstance(follow_up, PlannedSmallFile)  # noqa: S101  # all of them are
        follow_up.file.opened = opened
        follow_up.error = error
        self.returned.append(follow_up)

    def go_on(self, batch: FollowUpBatch) -> None:
        """Take over the follow-ups after the first file is complete."""
        self._running = batch

    async def finish(self) -> None:
        """Wait for the last of the follow-ups.

        Raises:
            Exception: What a callback for them raised.
        """
        if self._running is not None:
            running, self._running = self._running, None
            try:
                await running.finish()
            except asyncio.CancelledError:
                await running.abandon()
                raise

    async def drop(self) -> None:
        """Cancel running requests, and release unused ones."""
        if self._running is not None:
            await self._running.abandon()
        for small in self.returned:
            if (opened := small.file.take_opened()) is not None:
                await opened.drop()

    @property
    def left_over(self) -> Sequence[PlannedSmallFile]:
        """The files that need an ordinary download; the one whose request was sent comes first."""
        return [*self.returned, *self.failed]


def small_target(attributes: FileAttributes, requester: Requester) -> tuple[str, str] | None:
    """Return the origin and request target of a possible follow-up; ``None`` if it is impossible."""
    length, url = attributes.size_bytes, attributes.direct_url
    if not length or length > SMALL_BYTES or not url or not url.isascii() or not is_fetchable(url):
        return None
    where = origin(url)
    if where in requester.limits.avoided or takes_credentials(url, requester.api_origin):
        return None
    return where, SecretUrl(target_of(url)[1])


def follow_up_of(
    item: PlannedFile,
    where: str,
    requester: Requester,
    file_of: Callable[[FileAttributes, RunPath], RemoteFile],
    *,
    writer: SmallFileWriter,
    mode: int,
    replace: bool,
) -> PlannedSmallFile | None:
    """Return a planned file as a follow-up at an origin; ``None`` if it needs an ordinary download."""
    attributes = item.attributes
    found = small_target(attributes, requester)
    if found is None or found[0] != where:
        return None
    length = attributes.size_bytes or 0
    md5 = parse_md5(attributes.md5) if requester.options.verify else None
    make_file = partial(file_of, attributes, item.listed.run)
    return PlannedSmallFile(item.target, found[1], length, md5, mode, replace, writer, make_file, item)
