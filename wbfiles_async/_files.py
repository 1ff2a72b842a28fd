"""The files of a run, listed lazily, to be iterated and downloaded together."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from wbfiles_async._display.watching import watching_many
from wbfiles_async._file import AsyncFile
from wbfiles_async._html import files_html
from wbfiles_async._models import EXISTING, DownloadReport, Existing, FileAttributes, FileResult
from wbfiles_async._protocol.attributes import Match
from wbfiles_async._protocol.selection import Selection
from wbfiles_async.errors import ConfigurationError, IncompleteDownloadError

if TYPE_CHECKING:
    from wbfiles_async._api import AsyncApi
    from wbfiles_async._gateway import Gateway
    from wbfiles_async._run import AsyncRun
    from wbfiles_async._transfer.progress import Progress


@attrs.frozen(eq=False, repr=False)
class AsyncFiles:
    """The files of a run, as ``AsyncRun.files`` selects them. Each iteration asks the server anew.

    Files added or removed while the pages are read may or may not appear; a file appears once.
    """

    _client: AsyncApi | None
    _run: AsyncRun
    _names: tuple[str, ...]
    _pattern: str | None
    _match: Match | None
    _per_page: int

    def __repr__(self) -> str:
        return f"<AsyncFiles of {self._run._path}>"

    def _repr_html_(self) -> str:
        return self._html()

    def _html(self, listed: Sequence[FileAttributes] = (), *, complete: bool = False) -> str:
        return files_html(str(self._run._path), self._selection(), listed, complete=complete)

    def _selection(self) -> str:
        """Say which files of the run, without values that could hold a signed URL."""
        words = []
        if self._names:
            more = f" and {len(self._names) - 3:,} more" if len(self._names) > 3 else ""
            words.append(f"names {', '.join(self._names[:3])}{more}")
        if self._pattern is not None:
            words.append(f"names like {self._pattern}")
        if self._match is not None:
            words.append(f"of a certain {', '.join(attribute for attribute, _ in self._match.wanted)}")
        return "; ".join(words)

    async def __aiter__(self) -> AsyncGenerator[AsyncFile]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for file in page:
                    yield file

    async def pages(self) -> AsyncGenerator[list[AsyncFile]]:
        """Iterate page by page; the next page is asked for while one is used.

        Yields:
            The files of a page that match; possibly none.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        async with aclosing(self._attributes()) as pages:
            async for page in pages:
                yield [AsyncFile._of(self._client, attributes, self._run) for attributes in page]

    async def to_list(self) -> list[AsyncFile]:
        """List all files.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        return [file async for file in self]

    async def first(self) -> AsyncFile | None:
        """Give the first file, ``None`` where there is none.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        async with aclosing(self.__aiter__()) as files:
            async for file in files:
                return file
        return None

    async def count(self) -> int:
        """Count the files that match. Without any filter the server is asked for the number alone.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        if not self._names and self._pattern is None and self._match is None:
            count = await self._gateway().count_all(self._run._path)
            if count is not None:
                return count
        count = 0
        async with aclosing(self._attributes()) as pages:
            async for page in pages:
                count += len(page)
        return count

    async def download(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Download all files side by side, each to ``root/name``.

        Each file appears at its place only when it is whole and checked. One file's failure does not stop the
        others. Memory does not grow with the number of files.

        Args:
            root: Local folder; made where it is missing.
            include: Shell patterns on the file's name, ``*`` also across ``/``; none means all.
            exclude: Shell patterns of names to leave out.
            existing: What to do with a file that is there: ``verify``, keep it if its size and md5 are right, else
                fetch it; ``keep`` it as it is; ``replace`` it; or count it as an ``error``.
            dry_run: Whether to only tell what would be fetched.
            raise_on_error: Whether to raise when a file failed, after the others are done.
            progress: Told of the bytes as they arrive. ``True`` shows them, with rate, time left and the files under
                way, where stderr is a terminal (which needs rich, extra ``cli``) or in a notebook, and does nothing
                elsewhere; for the total the files are listed once more.
            on_result: Called with each file's result, in the event loop's thread.

        Returns:
            What was done.

        Raises:
            IncompleteDownloadError: Files failed; it carries the report.
            ConfigurationError: A pattern or ``existing`` cannot be used, or ``progress=True`` cannot, since there is a
                terminal and rich is not installed.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The listing failed.
        """
        if existing not in EXISTING:
            raise ConfigurationError(f"existing={existing!r} is not one of {', '.join(map(repr, EXISTING))}.")
        selection = Selection(include, exclude)
        shown = None if dry_run else progress
        async with (
            watching_many(shown, on_result, self._attributes, selection) as (told, note),
            aclosing(self._attributes()) as pages,
        ):
            report = await self._gateway().download_all(
                self._run._path,
                pages,
                Path(root),
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                progress=told,
                on_result=note,
            )
        if report.failed and raise_on_error:
            raise IncompleteDownloadError(_summary(report), report=report)
        return report

    async def _attributes(self) -> AsyncGenerator[list[FileAttributes]]:
        names, match = self._names, self._match
        if match is not None and match.name is not None and not names and self._pattern is None:
            names = (match.name,)
        pages = self._gateway().pages(self._run._path, names=names, pattern=self._pattern, per_page=self._per_page)
        async with aclosing(pages):
            async for page in pages:
                yield [attributes for attributes in page if match is None or match.accepts(attributes)]

    def _gateway(self) -> Gateway:
        return self._run._gateway()


def _summary(report: DownloadReport) -> str:
    first = report.failures[0]
    others = f", and {report.failed - 1} more" if report.failed > 1 else ""
    return (
        f"{report.failed} of {report.files} files could not be downloaded to {report.root}: {first.error}{others}. "
        "The others are in place; call again to go on with the rest. The report lists each failure."
    )
