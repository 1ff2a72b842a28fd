"""A run, blocking: the way to its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.unsupported import RUN, HandlesFilesOnly
from wbfiles_async._models import Existing
from wbfiles_async._options import PER_PAGE
from wbfiles_async._reports import DownloadReport, FileResult, UploadReport
from wbfiles_async._sync.client import Client, async_of
from wbfiles_async._sync.file import File
from wbfiles_async._sync.files import Files
from wbfiles_async._sync.portal import run_blocking

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from wbfiles_async._download.progress import Progress


class Run(HandlesFilesOnly):
    """Blocking form of ``AsyncRun``. Made by ``Api.run``. Pickled without its client.

    If it was not listed, ``name``, ``state`` and ``created_at`` are looked up when one of them is first used.
    """

    __slots__ = ("_client", "_run")
    _unsupported = RUN
    _noun: ClassVar[str] = AsyncRun._noun
    _columns: ClassVar[tuple[str, ...]] = AsyncRun._columns

    def __init__(self, client: Client | None, run: AsyncRun) -> None:
        self._client = client
        self._run = run

    def __eq__(self, other: object) -> bool:
        return self._run == other._run if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._run)

    def __repr__(self) -> str:
        return repr(self._run).replace("AsyncRun", "Run", 1)

    def _repr_html_(self) -> str:
        return self._run._repr_html_()

    def _row(self) -> tuple[str, ...]:
        return self._run._row()

    def __reduce__(self) -> tuple[object, ...]:
        return Run, (None, self._run)

    @property
    def entity(self) -> str:
        """User or team; empty if it is the default entity and that is not known yet."""
        return self._run.entity

    @property
    def project(self) -> str:
        """The project's name."""
        return self._run.project

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    @property
    def name(self) -> str | None:
        """The display name."""
        return self._looked_up().name

    @property
    def state(self) -> str | None:
        """Its state when it was listed or looked up, such as ``running`` or ``finished``."""
        return self._looked_up().state

    @property
    def created_at(self) -> str | None:
        """Time of creation, as the server writes it."""
        return self._looked_up().created_at

    @property
    def path(self) -> list[str]:
        """Entity, project and id, like W&B's own ``Run.path``."""
        return self._run.path

    def refresh(self, *, api: Client | None = None) -> Run:
        """Look up whether the run exists, and its current ``name``, ``state`` and ``created_at``.

        Blocking form of ``AsyncRun.refresh``.

        Args:
            api: Client to use instead of the run's own, for the returned run too.

        Returns:
            The run in its current state.

        Raises:
            ConfigurationError: The run has no client.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        return Run(api or self._client, run_blocking(self._run.refresh, api=async_of(api)))

    def files(
        self,
        names: Iterable[str] | None = None,
        pattern: str | None = None,
        per_page: int = PER_PAGE,
        *,
        match: Mapping[str, object] | None = None,
        upload: bool = False,
        api: Client | None = None,
    ) -> Files:
        """Select files of the run. Makes no request.

        Blocking form of ``AsyncRun.files``.

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
            for file in run.files(pattern="%.json"):
                print(file.name, file.size)
            tables = run.files(names=["config.yaml", "wandb-summary.json"]).to_list()
            ```
        """
        run = self._with(api)
        return Files(run, run._run.files(names, pattern, per_page, match=match, upload=upload))

    def file(self, name: str, *, api: Client | None = None) -> File:
        """Look up one file by its name.

        Blocking form of ``AsyncRun.file``.

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
            file = run.file("media/tables/confusion.json")
            print(file.size, file.md5)
            ```
        """
        run = self._with(api)
        return File._of(run._client, run_blocking(run._run.file, name), run)

    def find(self, match: Mapping[str, object], *, api: Client | None = None) -> File:
        """Find the one file with these attributes.

        Blocking form of ``AsyncRun.find``.

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
            file = run.find({"sizeBytes": 300_000})
            print(file.name)
            ```
        """
        run = self._with(api)
        return File._of(run._client, run_blocking(run._run.find, match), run)

    def download(
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

        Downloads into an object store need no local disk; see ``Files.download``.

        Blocking form of ``AsyncRun.download``.

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
            on_result: Called with each file's result, in the I/O thread.
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
            report = run.download("data", include=["*.json", "media/"], exclude=["*.tmp"])
            print(report)
            ```
        """
        return run_blocking(
            self._run.download,
            root,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
            api=async_of(api),
        )

    def upload(
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

        Blocking form of ``AsyncRun.upload``.

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
            on_result: Called with each file's result, in the I/O thread.
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
            report = run.upload("out", root="out", exclude=["*.tmp"])
            print(report.uploaded, "uploaded,", report.kept, "kept")
            ```
        """
        return run_blocking(
            self._run.upload,
            paths,
            root,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
            api=async_of(api),
        )

    def upload_file(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] = ".",
        *,
        existing: Existing = "verify",
        progress: Progress | bool | None = None,
        api: Client | None = None,
    ) -> File:
        """Upload one file to the run, under its name below ``root``; see ``upload``.

        Blocking form of ``AsyncRun.upload_file``.

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
            file = run.upload_file("out/model.pt", root="out")  # becomes model.pt
            print(file.name, file.size)
            ```
        """
        run = self._with(api)
        return File._of(
            run._client, run_blocking(run._run.upload_file, path, root, existing=existing, progress=progress), run
        )

    def _with(self, api: Client | None) -> Run:
        return self if api is None else Run(api, self._run._with(api._async))

    def _looked_up(self) -> AsyncRun:
        if self._run._listed is None:
            self._run = run_blocking(self._run.refresh)
        return self._run
