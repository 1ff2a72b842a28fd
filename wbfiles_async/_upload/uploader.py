"""Uploads a batch of files of one run: selects, sends, and checks the server's listing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._download.progress import Progress
from wbfiles_async._graphql.uploads import RunUploads
from wbfiles_async._md5 import parse_md5
from wbfiles_async._models import Existing, FileAttributes, UploadUrl
from wbfiles_async._options import TransferOptions
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._store.writer import StoreWriter, UploadTarget
from wbfiles_async._tasks import open_task_group
from wbfiles_async._upload.comparison import Comparison, compare_with_listing
from wbfiles_async._upload.content import UploadContent
from wbfiles_async.errors import ApiError, IntegrityError, RemoteFileExistsError, TransferError, WBFilesError

__all__ = ["Upload", "Uploader"]

LOOKS: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0)
"""Seconds before each check for an uploaded file; the last one repeats. Servers with marked uploads list them at
once; W&B's cloud is notified by its store, with a delay."""

LISTED_SECONDS: Final = 60.0
"""Seconds within which the server must list an upload."""

TRIES: Final = 2
"""Maximum transmissions of a file whose bytes the server states differently."""


@attrs.define(eq=False, kw_only=True)
class Upload:
    """One file of an upload.

    Attributes:
        name: Its name in the run.
        content: Its bytes.
        size: Their number, as far as known.
        before: The server's entry before the upload.
        listed: The server's entry once it is right; ``None`` before that, and in a dry run.
        kept: Whether the server had it already, so that nothing was sent.
        verified: Whether the server states the md5 of the bytes.
        error: Why it failed.
    """

    name: str
    content: UploadContent
    size: int
    before: FileAttributes | None = None
    listed: FileAttributes | None = None
    kept: bool = False
    verified: bool = False
    error: WBFilesError | None = None

    def keep(self, *, verified: bool) -> None:
        """Keep the server's file."""
        self.listed, self.kept, self.verified = self.before, True, verified


@attrs.frozen(eq=False, kw_only=True)
class Uploader:
    """Uploads files of one run.

    Attributes:
        uploads: The API's part.
        writer: Sends the bytes.
        existing: What to do with a file that the server already has.
        options: How transfers behave.
        clock: The time.
        failure_of: Returns the error of a file, or raises to end all work.
        progress: Notified of the bytes.
    """

    uploads: RunUploads
    writer: StoreWriter
    existing: Existing
    options: TransferOptions
    clock: Clock
    failure_of: Callable[[str, Exception], WBFilesError]
    progress: Progress | None = None

    async def upload(self, files: Sequence[Upload], *, dry_run: bool = False) -> None:
        """Upload files of one batch; each is then listed, kept, or has its error.

        Args:
            files: The files, of different names.
            dry_run: Whether nothing is sent.

        Raises:
            WBFilesError: The API fails or refuses; some of the files may be on the server.
        """
        wanted = await self._wanted(files)
        if dry_run:
            return
        for is_last in (*[False] * (TRIES - 1), True):
            wrong = await self._confirm(await self._send(wanted))
            if not wrong:
                break
            for file, found in wrong if is_last else ():
                file.error = _wrong(self._run, file, found)
            wanted = [file for file, _ in wrong]

    @property
    def _run(self) -> str:
        return str(self.uploads.run)

    async def _wanted(self, files: Sequence[Upload]) -> list[Upload]:
        """Decide which files to send."""
        listed = await self.uploads.listed([file.name for file in files])
        for file in files:
            file.before = listed.get(file.name)
        await _each([partial(self._decide, file) for file in files if file.before is not None])
        return [file for file in files if file.listed is None and file.error is None]

    async def _decide(self, file: Upload) -> None:
        """Decide about a file that the server already has."""
        before = file.before
        match self.existing:
            case "keep":
                file.keep(verified=False)
            case "error":
                file.error = RemoteFileExistsError(
                    f"{file.name}: the run {self._run} has a file of that name already. Use existing='replace' to "
                    "replace it, or 'verify' to leave it if it is the same.",
                    name=file.name,
                    run=self._run,
                )
            case "verify" if before is not None and (md5 := parse_md5(before.md5)) is not None:
                try:
                    if before.size_bytes is not None and await file.content.has(before.size_bytes, md5):
                        file.keep(verified=True)
                except Exception as error:
                    file.error = self.failure_of(file.name, error)

    async def _send(self, files: Sequence[Upload]) -> list[Upload]:
        """Upload files to the store; return those that it accepted."""
        if not files:
            return []
        urls, refused = await self.uploads.urls([file.name for file in files])
        for file in files:
            file.error = refused.get(file.name)
        admitted = [file for file in files if file.error is None]
        await _each([partial(self._put, file, urls[file.name]) for file in admitted])
        return [file for file in admitted if file.error is None]

    async def _put(self, file: Upload, url: UploadUrl) -> None:
        target = UploadTarget(
            name=file.name,
            run=self._run,
            url=url,
            budget=RetryBudget(self.options, self.clock),
            renew=partial(self._renew, file.name),
        )
        progress = self.progress
        try:
            if progress is not None:
                progress.started(file.name, file.size)
            on_bytes = partial(progress.advanced, file.name) if progress is not None else _ignore
            await self.writer.put(target, file.content, on_bytes)
            file.size = file.content.sent
        except Exception as error:
            file.error = self.failure_of(file.name, error)
            if progress is not None:
                progress.failed(file.name, error)

    async def _renew(self, name: str) -> UploadUrl:
        urls, refused = await self.uploads.urls([name])
        if name in refused:
            raise refused[name]
        return urls[name]

    async def _confirm(self, files: Sequence[Upload]) -> list[tuple[Upload, FileAttributes]]:
        """Mark files, and wait until the server lists them; return those with other bytes."""
        if not files:
            return []
        doubt: WBFilesError | None = None
        try:
            await self.uploads.mark([file.name for file in files])
        except ApiError as error:  # it may have been notified in another way
            doubt = error
        began, looks = self.clock.monotonic(), iter(LOOKS)
        waiting, wrong = list(files), list[tuple[Upload, FileAttributes]]()
        while waiting:
            await self.clock.sleep(next(looks, LOOKS[-1]))
            listed = await self.uploads.listed([file.name for file in waiting])
            still = list[Upload]()
            for file in waiting:
                found = listed.get(file.name)
                match compare_with_listing(found, file.before, size=file.content.sent, md5=file.content.md5):
                    case Comparison.MISSING:
                        still.append(file)
                    case Comparison.OTHER if found is not None:
                        wrong.append((file, found))
                    case compared:
                        file.listed, file.verified = found, compared is Comparison.VERIFIED
                        self._finished(file)
            waiting = still
            if waiting and self.clock.monotonic() - began >= min(LISTED_SECONDS, self.options.time_budget):
                break
        for file in waiting:
            file.error = doubt or await self._not_listed(file)
            if self.progress is not None:
                self.progress.failed(file.name, file.error)
        return wrong

    def _finished(self, file: Upload) -> None:
        if self.progress is not None:
            self.progress.finished(file.name)

    async def _not_listed(self, file: Upload) -> WBFilesError:
        what = "does not list it" if file.before is None else "still lists what was there before"
        advice = "" if await self.uploads.marks() else ", and this server cannot be notified of uploads"
        return TransferError(
            f"{file.name}: the store accepted the file, but the server of the run {self._run} {what} after "
            f"{LISTED_SECONDS:.0f} s{advice}. It may appear later; upload again to make sure.",
            name=file.name,
        )


def _wrong(run: str, file: Upload, found: FileAttributes) -> IntegrityError:
    md5, stated = file.content.md5, parse_md5(found.md5)
    if md5 is not None and stated is not None and md5 != stated:
        what, expected, actual = "the md5", md5.hex(), stated.hex()
    else:
        what, expected, actual = "a length in bytes", str(file.content.sent), str(found.size_bytes)
    return IntegrityError(
        f"{file.name}: the server of the run {run} states {what} of {actual} for what was uploaded, where it should be "
        f"{expected}: the bytes were damaged on their way, or another client uploads it as well. Upload it again.",
        name=file.name,
        expected=expected,
        actual=actual,
    )


async def _each(works: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Run many things concurrently."""
    async with open_task_group() as group:
        for work in works:
            group.start_soon(work)


def _ignore(_: int) -> None:
    """Nobody is notified."""
