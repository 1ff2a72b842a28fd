"""A run, with access to its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import attrs

from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.files import AsyncFiles, check_existing
from wbfiles_async._async.unsupported import RUN, HandlesFilesOnly
from wbfiles_async._display.watching import watching_many, watching_one
from wbfiles_async._download.selection import Selection, read_texts
from wbfiles_async._graphql.match import parse_match
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._html import run_html
from wbfiles_async._models import Existing, RunPath
from wbfiles_async._options import PER_PAGE
from wbfiles_async._reports import DownloadReport, FileResult, IncompleteUploadError, UploadReport
from wbfiles_async._text import local_time
from wbfiles_async._upload.plan import path_list
from wbfiles_async.errors import ConfigurationError, RemoteFileNotFoundError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from wbfiles_async._async.client import Client
    from wbfiles_async._download.progress import Progress
    from wbfiles_async._gateway import Gateway


@attrs.frozen(repr=False)
class AsyncRun(HandlesFilesOnly):
    """A run of a project, made by ``AsyncApi.run`` without a request, or listed by ``AsyncApi.runs``.

    Two objects are equal if they are the same run. Pickled without its client; pass ``api=`` to methods after
    unpickling, or use ``api.run(run)``.
    """

    _unsupported = RUN
    _noun: ClassVar[str] = "run"
    _columns: ClassVar[tuple[str, ...]] = ("id", "name", "state", "created")
    _client: Client | None = attrs.field(eq=False)
    _path: RunPath
    _listed: ListedRun | None = attrs.field(default=None, eq=False)

    def __repr__(self) -> str:
        return f"<AsyncRun {self._path}>"

    def _repr_html_(self) -> str:
        return run_html(str(self._path))

    def _row(self) -> tuple[str, ...]:
        listed = self._listed or ListedRun(self._path)
        return self.id, listed.name or "-", listed.state or "-", local_time(listed.created_at)

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncRun, (None, self._path, self._listed)

    @property
    def entity(self) -> str:
        """User or team; empty if it is the default entity and that is not known yet."""
        return self._path.entity or (self._client._gateway.api.default_entity if self._client else "")

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
        """The display name.

        Raises:
            AttributeError: The run was not listed; ``await run.refresh()`` looks it up.
        """
        return self._known("name").name

    @property
    def state(self) -> str | None:
        """Its state when it was listed or looked up, such as ``running`` or ``finished``.

        Raises:
            AttributeError: The run was not listed; ``await run.refresh()`` looks it up.
        """
        return self._known("state").state

    @property
    def created_at(self) -> str | None:
        """Time of creation, as the server writes it.

        Raises:
            AttributeError: The run was not listed; ``await run.refresh()`` looks it up.
        """
        return self._known("created_at").created_at

    @property
    def path(self) -> list[str]:
        """Entity, project and id, like W&B's own ``Run.path``."""
        return [self.entity, self.project, self.id]

    async def refresh(self, *, api: Client | None = None) -> AsyncRun:
        """Look up whether the run exists, and its current ``name``, ``state`` and ``created_at``.

        Args:
            api: Client to use instead of the run's own, for the returned run too.

        Returns:
            The run in its current state.

        Raises:
            ConfigurationError: The run has no client.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        run = self._with(api)
        return AsyncRun(run._client, self._path, await run._gateway().api.look_up_run(self._path))

    def files(
        self,
        names: Iterable[str] | None = None,
        pattern: str | None = None,
        per_page: int = PER_PAGE,
        *,
        match: Mapping[str, object] | None = None,
        upload: bool = False,
        api: Client | None = None,
    ) -> AsyncFiles:
        """Select files of the run. Makes no request.

        Args:
            names: Only files with these names; an empty list selects no file. ``None`` (default) selects every file.
            pattern: Only files whose names match this SQL LIKE pattern: ``%`` for any text, ``_`` for any character.
                The server compares, ignoring case. A blank pattern selects no file.
            per_page: Files to list in one request; fewer if the server refuses so many.
            match: Only files with these attributes: one or more of ``id``, ``name``, ``url``, ``direct_url``,
                ``sizeBytes``, ``md5``, ``mimetype``, ``updated_at``, ``path_uri``, in either spelling. All must
                be equal.
            upload: Accepted because W&B's ``Files`` has it; must be ``False``.
            api: Client to use instead of the run's own, for the files too.

        Returns:
            The files, not listed yet.

        Raises:
            ConfigurationError: ``names`` and ``pattern`` are given together, ``match`` has an unknown key, or a value
                cannot be used.

        Source:
            W&B's public API, ``Run.files``.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            async for file in run.files(pattern="%.json"):
                print(file.name, file.size)
            tables = await run.files(names=["config.yaml", "wandb-summary.json"]).to_list()
            ```
        """
        if names is not None and pattern is not None:
            raise ConfigurationError("Files are selected by names or by a pattern; give one of them.")
        if upload:
            raise ConfigurationError("URLs to upload to are not listed; run.upload(...) uploads files.")
        if per_page < 1:
            raise ConfigurationError(f"per_page is the number of files in one request, 1 or more, not {per_page}.")
        run = self._with(api)
        return AsyncFiles(
            run._client,
            run,
            None if names is None else read_texts("names", names, "names"),
            pattern,
            None if match is None else parse_match(match, run_id=self.id),
            per_page,
        )

    async def file(self, name: str, *, api: Client | None = None) -> AsyncFile:
        """Look up one file by its name.

        Args:
            name: The file's name in the run, with its folders.
            api: Client to use instead of the run's own, for the file too.

        Returns:
            The file.

        Raises:
            RemoteFileNotFoundError: The run has no file of that name.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            file = await run.file("media/tables/confusion.json")
            print(file.size, file.md5)
            ```
        """
        run = self._with(api)
        return AsyncFile._of(run._client, await run._gateway().api.look_up(run._path, name), run)

    async def find(self, match: Mapping[str, object], *, api: Client | None = None) -> AsyncFile:
        """Find the one file with these attributes.

        Args:
            match: One or more of ``id``, ``name``, ``url``, ``direct_url``, ``sizeBytes``, ``md5``, ``mimetype``,
                ``updated_at``, ``path_uri``, in either spelling. All must be equal.
            api: Client to use instead of the run's own, for the file too.

        Returns:
            The file.

        Raises:
            RemoteFileNotFoundError: No file matches.
            ConfigurationError: Several files match, or ``match`` has an unknown key.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            file = await run.find({"sizeBytes": 300_000})
            print(file.name)
            ```
        """
        found = await self.files(match=match, api=api).to_list()
        if len(found) == 1:
            return found[0]
        criteria = ", ".join(f"{key}={value!r}" for key, value in match.items() if "url" not in key.lower())
        if not found:
            raise RemoteFileNotFoundError(
                f"The run {self._path} has no file with {criteria or 'that URL'}; list its files to see what it has.",
                name=str(match.get("name", "")),
                run=str(self._path),
            )
        names = ", ".join(repr(file.name) for file in found[:3]) + (", ..." if len(found) > 3 else "")
        raise ConfigurationError(
            f"{len(found)} files of the run {self._path} have {criteria or 'that URL'}: {names}. Give more attributes, "
            "such as the name, or use files(match=...) for all of them."
        )

    async def download(
        self,
        root: str | os.PathLike[str] | ObjectStore = ".",
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
        api: Client | None = None,
    ) -> DownloadReport:
        """Download all files of the run concurrently, each to ``root/name``; the same as ``files().download``.

        Each file appears at its path only when it is complete and verified. If one file fails, the
        others are still downloaded, unless all would fail for the same reason, such as a full or read-only disk.
        Memory grows by 12 to 24 bytes per file, which detect names that are the same file on some file system. Of such
        names in one page of the listing none is written; a later one is refused, and the earlier one stays.

        With ``existing="verify"``, files that were verified before and are unchanged since are not read again: the
        file ``.wbfiles-state`` below the root remembers them (see ``TransferOptions.remember``).

        Downloads into an object store need no local disk; see ``AsyncFiles.download``.

        Args:
            root: Local folder, created if it is missing; or a prefix in an object store, ``s3://bucket/prefix``,
                ``gs://...`` or ``az://...``, or a store of obstore (extra ``cloud``).
            include: Shell patterns for the file's name, ``*`` also matches ``/``; ``media/`` means the files of that
                folder. ``None`` (default) means all files, an empty list none.
            exclude: Shell patterns of names to leave out.
            existing: What to do with an existing file: ``verify``, keep it if size and md5 are right, else download it;
                ``keep`` it as it is; ``replace`` it; or count it as an ``error``.
            dry_run: Whether to only report what would be downloaded.
            raise_on_error: Whether to raise if files failed, after the others are done.
            progress: Notified of the bytes as they arrive. ``True`` shows them, with rate, time left and the files in
                progress, if stderr is a terminal (which needs rich, extra ``cli``) or in a notebook; elsewhere it
                writes a line to stderr every ten seconds. The files are listed a second time for the total.
            on_result: Called with each file's result, in the event loop's thread.
            api: Client to use instead of the run's own.

        Returns:
            The report.

        Raises:
            IncompleteDownloadError: Files failed; it has the report.
            ConfigurationError: A pattern or ``existing`` cannot be used, or ``progress=True`` cannot, since there is a
                terminal and rich is not installed.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The listing failed.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            report = await run.download("data", include=["*.json", "media/"], exclude=["*.tmp"])
            print(report)
            ```
        """
        return await self.files(api=api).download(
            root,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    async def upload(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        root: str | os.PathLike[str] = ".",
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
        api: Client | None = None,
    ) -> UploadReport:
        """Upload files and folders to the run concurrently, each under its name relative to ``root``.

        A file is streamed from the disk in one request; the store keeps it only if all of it arrives. Then the server
        is notified, and listed until it states the length and md5 that were sent. If one file fails, the others are
        still uploaded, unless the API itself fails or refuses. Memory does not grow with the number or size of files.

        **After an interruption** the run has either the old file (or none) or, once all bytes have arrived, the new
        one. If the process ends right after the last byte, W&B's cloud lists the new file, but servers that must be
        notified of uploads list the old length and md5 until it is uploaded again. An interrupted file starts again,
        since a signed URL accepts only a whole file; with ``existing="verify"`` files that arrived are skipped.
        Nothing locks a name: if two clients upload it simultaneously, the last one wins, and the other one gets an
        ``IntegrityError``.

        Symbolic links in a folder are not followed: each is a failure unless ``exclude`` leaves it out. A link in
        ``paths`` is followed. Partial files of this package's downloads are left out. A file that changes while it is
        read is a failure, and the server keeps its old file.

        Args:
            paths: A file or folder, or several, relative to the current folder. A folder stands for all files below it.
            root: The folder that names in the run are relative to: ``out/model.pt`` is uploaded as ``out/model.pt``,
                and with ``root="out"`` as ``model.pt``.
            include: Shell patterns on the file's name in the run, ``*`` also across ``/``; ``media/`` means the files
                of that folder. ``None`` (default) means all files, an empty list none.
            exclude: Shell patterns of names to leave out.
            existing: What to do with a file that the run has: ``verify``, keep it if length and md5 are equal, else
                replace it; ``keep`` it as it is; ``replace`` it; or count it as an
                ``error``.
            dry_run: Whether to only report what would be uploaded.
            raise_on_error: Whether to raise if files failed, after the others are done.
            progress: Notified of the bytes as they are sent. ``True`` shows them, as for ``download``.
            on_result: Called with each file's result, in the event loop's thread.
            api: Client to use instead of the run's own.

        Returns:
            The report.

        Raises:
            IncompleteUploadError: Files failed; it has the report.
            ConfigurationError: ``paths`` is empty, a path is not below the root, or a pattern or ``existing`` cannot be
                used.
            LocalReadError: A path does not exist, or cannot be read.
            RunNotFoundError: The run or its project does not exist or is not visible.
            AuthenticationError: The credentials are not accepted; nothing was uploaded.
            PermissionDeniedError: The credentials do not suffice; nothing was uploaded.
            ApiError: The API failed, and nothing was uploaded.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            report = await run.upload("out", root="out", exclude=["*.tmp"])
            print(report.uploaded, "uploaded,", report.kept, "kept")
            ```
        """
        check_existing(existing)
        run, selection, several = self._with(api), Selection(include, exclude), path_list(paths)
        uploads, shown = run._gateway().uploads(), None if dry_run else progress
        listing = partial(uploads.listing, several, root, selection)
        async with watching_many(shown, on_result, listing, selection) as (reporter, note):
            report = await uploads.paths(
                run._path,
                several,
                root,
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                progress=reporter,
                on_result=note,
            )
        if report.failed and raise_on_error:
            raise IncompleteUploadError(_summary(report), report=report) from report.stopped
        return report

    async def upload_file(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] = ".",
        *,
        existing: Existing = "verify",
        progress: Progress | bool | None = None,
        api: Client | None = None,
    ) -> AsyncFile:
        """Upload one file to the run, under its name below ``root``; see ``upload``.

        Args:
            path: The file, relative to the current folder.
            root: The folder that its name in the run is relative to.
            existing: What to do if the run has a file of that name; see ``upload``.
            progress: Notified of the bytes as they are sent; ``True`` to show them.
            api: Client to use instead of the run's own, for the file too.

        Returns:
            The file, as the server lists it now.

        Raises:
            ConfigurationError: The file is not below the root, or ``existing`` cannot be used.
            LocalReadError: It does not exist, cannot be read, or changed meanwhile.
            UnsafePathError: Its name cannot be a file of a run.
            RemoteFileExistsError: The run has the file, and ``existing="error"`` was given.
            RunNotFoundError: The run or its project does not exist or is not visible.
            PermissionDeniedError: The store refuses the upload.
            IntegrityError: The server states another length or md5.
            TransferError: The bytes could not be transferred, or the server does not list them.
            ApiError: The server failed or refused.

        Source:
            W&B's public API, ``Run.upload_file``.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            file = await run.upload_file("out/model.pt", root="out")  # becomes model.pt
            print(file.name, file.size)
            ```
        """
        check_existing(existing)
        run = self._with(api)
        async with watching_one(progress, Path(path).name, None) as reporter:
            found = await run._gateway().uploads().file(run._path, path, root, existing=existing, progress=reporter)
        return AsyncFile._of(run._client, found, run)

    def _gateway(self) -> Gateway:
        if self._client is None:
            raise ConfigurationError(
                f"The run {self._path} has no client, since it was pickled. Pass api= to the call, or use api.run(run)."
            )
        return self._client._gateway

    def _with(self, api: Client | None) -> AsyncRun:
        return self if api is None else AsyncRun(api, self._path, self._listed)

    def _known(self, what: str) -> ListedRun:
        if self._listed is None:
            raise AttributeError(
                f"The {what} of the run {self._path} is not known: api.run(path) makes no request. Use "
                f"(await run.refresh()).{what}, or the runs that api.runs(project) lists."
            )
        return self._listed


def _summary(report: UploadReport) -> str:
    first = report.failures[0]
    others = f", and {report.failed - 1} more" if report.failed > 1 else ""
    end = ""
    if report.stopped is not None:
        end = " It stopped there, since all further files would fail for the same reason" + (
            f"; {report.skipped} files were not started." if report.skipped else "."
        )
    return (
        f"{report.failed} of {report.files} files could not be uploaded to the run {report.run}: {first.error}{others}."
        f"{end} What is done is there; upload again to continue with the rest. The report lists each failure."
    )
