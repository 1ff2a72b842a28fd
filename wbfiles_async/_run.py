"""A run: the way to its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from wbfiles_async._file import AsyncFile
from wbfiles_async._files import AsyncFiles
from wbfiles_async._html import run_html
from wbfiles_async._models import DownloadReport, Existing, FileResult, RunPath
from wbfiles_async._protocol.attributes import parse_match
from wbfiles_async._protocol.runs_page import ListedRun
from wbfiles_async._protocol.selection import read_texts
from wbfiles_async._settings import PER_PAGE
from wbfiles_async.errors import ConfigurationError, RemoteFileNotFoundError

if TYPE_CHECKING:
    from wbfiles_async._api import AsyncApi
    from wbfiles_async._gateway import Gateway
    from wbfiles_async._transfer.progress import Progress


@attrs.frozen(repr=False)
class AsyncRun:
    """A run of a project. Made by ``AsyncApi.run``, without asking the server, or listed by ``AsyncApi.runs``.

    Two are equal where they are the same run. Pickles without its client.
    """

    _client: AsyncApi | None = attrs.field(eq=False)
    _path: RunPath
    _listed: ListedRun | None = attrs.field(default=None, eq=False)

    def __repr__(self) -> str:
        return f"<AsyncRun {self._path}>"

    def _repr_html_(self) -> str:
        return run_html(str(self._path))

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncRun, (None, self._path, self._listed)

    @property
    def entity(self) -> str:
        """User or team; empty where it is the default entity and no request has been made yet."""
        return self._path.entity or (self._client._gateway.default_entity if self._client else "")

    @property
    def project(self) -> str:
        """The project's name."""
        return self._path.project

    @property
    def id(self) -> str:
        """The run's id."""
        return self._path.run_id

    @property
    def name(self) -> str | None:
        """The name shown to people; ``None`` where it has not been listed."""
        return self._listed.name if self._listed else None

    @property
    def state(self) -> str | None:
        """Where it stood when it was listed, such as ``running`` or ``finished``; ``None`` where it was not."""
        return self._listed.state if self._listed else None

    @property
    def created_at(self) -> str | None:
        """When it was made, as the server writes it; ``None`` where it has not been listed."""
        return self._listed.created_at if self._listed else None

    @property
    def path(self) -> list[str]:
        """Entity, project and id, as W&B's own ``Run.path`` gives them."""
        return [self.entity, self.project, self.id]

    def files(
        self,
        names: Iterable[str] | None = None,
        pattern: str | None = None,
        per_page: int = PER_PAGE,
        *,
        match: Mapping[str, object] | None = None,
    ) -> AsyncFiles:
        """Select files of the run. Makes no request.

        Args:
            names: Only the files of these names; an empty list selects no file. ``None`` (default) selects every file.
            pattern: Only the files whose names are like this: SQL's LIKE, ``%`` for any text and ``_`` for any
                character. The server compares, without regard to case. A blank pattern selects no file.
            per_page: Files to ask for in one request; fewer are asked for where the server refuses so many.
            match: Only the files with these attributes: one or more of ``id``, ``name``, ``url``, ``direct_url``,
                ``sizeBytes``, ``md5``, ``mimetype``, ``updated_at``, ``path_uri``, in either spelling. All must
                be equal.

        Raises:
            ConfigurationError: ``names`` and ``pattern`` are given together, ``match`` has an unknown key, or a value
                is none that can be asked for.

        Source:
            W&B's public API, ``Run.files``.
        """
        if names is not None and pattern is not None:
            raise ConfigurationError("Files are selected by names or by a pattern; give one of them.")
        if per_page < 1:
            raise ConfigurationError(f"per_page is the number of files in one request, 1 or more, not {per_page}.")
        return AsyncFiles(
            self._client,
            self,
            None if names is None else read_texts("names", names, "names"),
            pattern,
            None if match is None else parse_match(match, run_id=self.id),
            per_page,
        )

    async def file(self, name: str) -> AsyncFile:
        """Ask for one file by its name.

        Raises:
            RemoteFileNotFoundError: The run has no file of that name.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        return AsyncFile._of(self._client, await self._gateway().look_up(self._path, name), self)

    async def find(self, match: Mapping[str, object]) -> AsyncFile:
        """Find the one file with these attributes.

        Args:
            match: As for ``files``.

        Raises:
            RemoteFileNotFoundError: No file matches.
            ConfigurationError: Several do, or ``match`` has an unknown key.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        found = await self.files(match=match).to_list()
        if len(found) == 1:
            return found[0]
        asked = ", ".join(f"{key}={value!r}" for key, value in match.items() if "url" not in key.lower())
        if not found:
            raise RemoteFileNotFoundError(
                f"The run {self._path} has no file with {asked or 'that URL'}; list its files to see what it has.",
                name=str(match.get("name", "")),
                run=str(self._path),
            )
        names = ", ".join(repr(file.name) for file in found[:3]) + (", ..." if len(found) > 3 else "")
        raise ConfigurationError(
            f"{len(found)} files of the run {self._path} have {asked or 'that URL'}: {names}. Give more attributes, "
            "such as the name, or use files(match=...) for all of them."
        )

    async def download(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Download all files of the run; the same as ``files().download`` with the same arguments.

        Returns:
            What was done.

        Raises:
            WBFilesError: As ``AsyncFiles.download`` does.
        """
        return await self.files().download(
            root,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    def _gateway(self) -> Gateway:
        if self._client is None:
            raise ConfigurationError(
                f"The run {self._path} has no client, since it was pickled. Get it anew with api.run(path)."
            )
        return self._client._gateway
