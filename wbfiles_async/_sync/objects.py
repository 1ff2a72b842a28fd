"""The blocking objects: each holds its async counterpart, and each method is one call of it in the I/O thread."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar, Unpack

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._async.attributes import FileFacts
from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.files import AsyncFiles
from wbfiles_async._async.projects import AsyncProject, AsyncProjects
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.run_likes import HasPath, RunLike
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._async.unsupported import API, PROJECT, RUN, HandlesFilesOnly
from wbfiles_async._disk.long_paths import openable
from wbfiles_async._download.selection import Selection
from wbfiles_async._html import ShownList
from wbfiles_async._models import Existing
from wbfiles_async._options import (
    BLOCK_SIZE,
    LAYOUT,
    PER_PAGE,
    PROJECTS_PER_PAGE,
    RUNS_PER_PAGE,
    OptionChanges,
    TransferOptions,
)
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult, UploadReport
from wbfiles_async._sync.binary import open_blocking
from wbfiles_async._sync.portal import close_at_exit, close_now, close_soon, iterate_blocking, run_blocking
from wbfiles_async._sync.sequence import RememberedSequence
from wbfiles_async._text import blocking_doc

if TYPE_CHECKING:
    import ssl

    import httpx
    import httpx2
    from obstore.store import ObjectStore

    from wbfiles_async._download.progress import Progress

C = TypeVar("C")


def _documented_by(async_class: type) -> Callable[[type[C]], type[C]]:
    """Complete the documentation of a blocking class by that of its async counterpart, where the text stands."""

    def complete(blocking_class: type[C]) -> type[C]:
        blocking_class.__doc__ = blocking_doc(async_class.__doc__ or "", blocking_class.__doc__ or "", of_class=True)
        for name, method in vars(blocking_class).items():
            if isinstance(method, FunctionType) and not name.startswith("_"):
                counterpart = getattr(async_class, "aclose" if name == "close" else name)
                method.__doc__ = blocking_doc(counterpart.__doc__ or "", method.__doc__ or "")
        return blocking_class

    return complete


@_documented_by(AsyncApi)
class Api(HandlesFilesOnly):
    """Blocking form of ``AsyncApi``. Can be used from any thread, also while an event loop runs.

    ``close`` is optional: the client is closed when it is no longer referenced, and at exit.
    """

    _unsupported = API

    def __init__(
        self,
        overrides: Mapping[str, str] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        entity: str | None = None,
        project: str | None = None,
        options: TransferOptions | None = None,
        http_client: httpx.AsyncClient | httpx2.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._async = AsyncApi(
            overrides,
            timeout,
            api_key,
            base_url=base_url,
            entity=entity,
            project=project,
            options=options,
            http_client=http_client,
            transport=transport,
            ssl_context=ssl_context,
            proxy=proxy,
        )
        self._parent: Api | None = None
        close_at_exit(self._async)
        weakref.finalize(self, close_soon, self._async).atexit = False

    def __repr__(self) -> str:
        return repr(self._async).replace("AsyncApi", "Api", 1)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("An Api holds credentials and connections and is not pickled; make one in each process.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Blocking form of ``AsyncApi.aclose``."""
        close_now(self._async)

    def with_options(self, *, timeout: float | None = None, **changes: Unpack[OptionChanges]) -> Api:
        """Blocking form of ``AsyncApi.with_options``."""
        return _like(self, self._async.with_options(timeout=timeout, **changes))

    @property
    def default_entity(self) -> str | None:
        """User or team for paths without one; ``None`` until it is known."""
        return self._async.default_entity

    def run(self, path: RunLike) -> Run:
        """Blocking form of ``AsyncApi.run``."""
        return Run(self, self._async.run(_unwrapped(path)))

    def runs(
        self,
        path: str | Sequence[str] | None = None,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
        include_sweeps: bool = False,
        lazy: bool = True,
    ) -> Runs:
        """Blocking form of ``AsyncApi.runs``."""
        return Runs(self, self._async.runs(path, filters, order, per_page, include_sweeps, lazy))

    def projects(self, entity: str | None = None, per_page: int = PROJECTS_PER_PAGE) -> Projects:
        """Blocking form of ``AsyncApi.projects``."""
        return Projects(self, self._async.projects(entity, per_page))

    def download(
        self,
        paths_or_runs: str | HasPath | Runs | Sequence[RunLike],
        root: str | os.PathLike[str] | ObjectStore = ".",
        *,
        layout: str = LAYOUT,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Blocking form of ``AsyncApi.download``."""
        return run_blocking(
            self._async.download,
            _all_unwrapped(paths_or_runs),
            root,
            layout=layout,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )


def _unwrapped(run: RunLike) -> RunLike:
    return run._run if isinstance(run, Run) else run


def _all_unwrapped(given: str | HasPath | Runs | Sequence[RunLike]) -> str | HasPath | AsyncRuns | Sequence[RunLike]:
    if isinstance(given, Runs):
        return given._runs
    if isinstance(given, Run):
        return given._run
    return given if isinstance(given, str | HasPath) else [_unwrapped(run) for run in given]


def _async_of(api: Api | None) -> AsyncApi | None:
    return None if api is None else api._async


def _like(api: Api, client: AsyncApi) -> Api:
    """Return a blocking client whose connections are another one's, which it keeps open."""
    other = object.__new__(type(api))
    other._async, other._parent = client, api
    return other


@_documented_by(AsyncRun)
class Run(HandlesFilesOnly):
    """Blocking form of ``AsyncRun``. Made by ``Api.run``. Pickled without its client.

    If it was not listed, ``name``, ``state`` and ``created_at`` are looked up when one of them is first used.
    """

    __slots__ = ("_client", "_run")
    _unsupported = RUN
    _noun: ClassVar[str] = AsyncRun._noun
    _columns: ClassVar[tuple[str, ...]] = AsyncRun._columns

    def __init__(self, client: Api | None, run: AsyncRun) -> None:
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

    def refresh(self, *, api: Api | None = None) -> Run:
        """Blocking form of ``AsyncRun.refresh``."""
        return Run(api or self._client, run_blocking(self._run.refresh, api=_async_of(api)))

    def files(
        self,
        names: Iterable[str] | None = None,
        pattern: str | None = None,
        per_page: int = PER_PAGE,
        *,
        match: Mapping[str, object] | None = None,
        upload: bool = False,
        api: Api | None = None,
    ) -> Files:
        """Blocking form of ``AsyncRun.files``."""
        run = self._with(api)
        return Files(run, run._run.files(names, pattern, per_page, match=match, upload=upload))

    def file(self, name: str, *, api: Api | None = None) -> File:
        """Blocking form of ``AsyncRun.file``."""
        run = self._with(api)
        return File._of(run._client, run_blocking(run._run.file, name), run)

    def find(self, match: Mapping[str, object], *, api: Api | None = None) -> File:
        """Blocking form of ``AsyncRun.find``."""
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
        api: Api | None = None,
    ) -> DownloadReport:
        """Blocking form of ``AsyncRun.download``."""
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
            api=_async_of(api),
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
        api: Api | None = None,
    ) -> UploadReport:
        """Blocking form of ``AsyncRun.upload``."""
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
            api=_async_of(api),
        )

    def upload_file(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] = ".",
        *,
        existing: Existing = "verify",
        progress: Progress | bool | None = None,
        api: Api | None = None,
    ) -> File:
        """Blocking form of ``AsyncRun.upload_file``."""
        run = self._with(api)
        return File._of(
            run._client, run_blocking(run._run.upload_file, path, root, existing=existing, progress=progress), run
        )

    def _with(self, api: Api | None) -> Run:
        return self if api is None else api.run(self)

    def _looked_up(self) -> AsyncRun:
        if self._run._listed is None:
            self._run = run_blocking(self._run.refresh)
        return self._run


@_documented_by(AsyncFile)
class File(FileFacts):
    """Blocking form of ``AsyncFile``. Immutable.

    Pickled without its client and without signed URLs; pass ``api=`` to methods after unpickling.
    """

    __slots__ = ("_client", "_file", "_run")

    _client: Api | None
    _file: AsyncFile
    _run: Run | None

    def __init__(self, client: Api | None, attrs: Mapping[str, object], run: Run | None = None) -> None:
        file = AsyncFile(_async_of(client), attrs, None if run is None else run._run)
        self._set(client, file, run)

    @classmethod
    def _of(cls, client: Api | None, file: AsyncFile, run: Run | None) -> File:
        self = cls.__new__(cls)
        self._set(client, file, run)
        return self

    def _set(self, client: Api | None, file: AsyncFile, run: Run | None) -> None:
        super().__init__(file._attributes, file._run_path)
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_file", file)
        object.__setattr__(self, "_run", run)

    def __reduce__(self) -> tuple[object, ...]:
        return File._of, (None, self._file, self._run)

    @property
    def run(self) -> Run | None:
        """The run it belongs to."""
        return self._run

    def download(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        api: Api | None = None,
        *,
        progress: Progress | bool | None = None,
    ) -> io.TextIOWrapper:
        """Blocking form of ``AsyncFile.download``.

        Returns:
            A text file, as ``open`` returns it.
        """
        path = run_blocking(self._file.fetch, root, replace, exist_ok, api=_async_of(api), progress=progress)
        return openable(path).open(encoding="utf-8")

    def fetch(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        *,
        path: str | os.PathLike[str] | None = None,
        api: Api | None = None,
        progress: Progress | bool | None = None,
    ) -> Path:
        """Blocking form of ``AsyncFile.fetch``."""
        asynchronous = _async_of(api)
        return run_blocking(self._file.fetch, root, replace, exist_ok, path=path, api=asynchronous, progress=progress)

    def read_bytes(self, *, api: Api | None = None) -> bytes:
        """Blocking form of ``AsyncFile.read_bytes``."""
        return run_blocking(self._file.read_bytes, api=_async_of(api))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict", *, api: Api | None = None) -> str:
        """Blocking form of ``AsyncFile.read_text``."""
        return run_blocking(self._file.read_text, encoding, errors, api=_async_of(api))

    def stream(self, start: int = 0, stop: int | None = None, *, api: Api | None = None) -> Iterator[bytes]:
        """Blocking form of ``AsyncFile.stream``."""
        # Not returned but iterated here, so that the clients are held meanwhile.
        yield from iterate_blocking(self._file.stream(start, stop, api=_async_of(api)))

    def open(self, mode: str = "rb", *, block_size: int = BLOCK_SIZE, api: Api | None = None) -> io.BufferedReader:
        """Blocking form of ``AsyncFile.open``.

        Returns:
            A binary file, as ``open`` returns it.
        """
        file = run_blocking(self._file.open, mode, block_size=block_size, api=_async_of(api))
        return open_blocking(file, api or self._client)

    def delete(self, *, api: Api | None = None) -> None:
        """Blocking form of ``AsyncFile.delete``."""
        return run_blocking(self._file.delete, api=_async_of(api))

    def refresh(self, *, api: Api | None = None) -> File:
        """Blocking form of ``AsyncFile.refresh``."""
        file = run_blocking(self._file.refresh, api=_async_of(api))
        return File._of(api or self._client, file, None if self._run is None else self._run._with(api))


@_documented_by(AsyncProject)
class Project(HandlesFilesOnly):
    """Blocking form of ``AsyncProject``. Listed by ``Api.projects``. Pickled without its client."""

    __slots__ = ("_client", "_project")
    _unsupported = PROJECT
    _noun: ClassVar[str] = AsyncProject._noun
    _columns: ClassVar[tuple[str, ...]] = AsyncProject._columns

    def __init__(self, client: Api | None, project: AsyncProject) -> None:
        self._client = client
        self._project = project

    def __eq__(self, other: object) -> bool:
        return self._project == other._project if isinstance(other, Project) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._project)

    def __repr__(self) -> str:
        return repr(self._project).replace("AsyncProject", "Project", 1)

    def _repr_html_(self) -> str:
        return self._project._repr_html_()

    def _row(self) -> tuple[str, ...]:
        return self._project._row()

    def __reduce__(self) -> tuple[object, ...]:
        return Project, (None, self._project)

    @property
    def entity(self) -> str:
        """User or team."""
        return self._project.entity

    @property
    def name(self) -> str:
        """The project's name."""
        return self._project.name

    @property
    def id(self) -> str:
        """The server's id of the project."""
        return self._project.id

    @property
    def created_at(self) -> str | None:
        """Time of creation, as the server writes it."""
        return self._project.created_at

    @property
    def is_benchmark(self) -> bool:
        """Whether it is a benchmark."""
        return self._project.is_benchmark

    @property
    def path(self) -> list[str]:
        """Entity and name, like W&B's own ``Project.path``."""
        return self._project.path

    def runs(
        self,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
        *,
        api: Api | None = None,
    ) -> Runs:
        """Blocking form of ``AsyncProject.runs``."""
        runs = self._project.runs(filters, order, per_page, api=_async_of(api))
        return Runs(api or self._client, runs)


@_documented_by(AsyncProjects)
class Projects(RememberedSequence[AsyncProject, Project]):
    """Blocking form of ``AsyncProjects``: iterable, with ``len()``, ``[i]``, ``[a:b]``. Lists each page once."""

    def __init__(self, client: Api, projects: AsyncProjects) -> None:
        super().__init__()
        self._client = client
        self._projects = projects

    def __repr__(self) -> str:
        return repr(self._projects).replace("AsyncProjects", "Projects", 1)

    def pages(self) -> Iterator[list[Project]]:
        """Blocking form of ``AsyncProjects.pages``."""
        for page in iterate_blocking(self._projects.pages()):
            yield self._wrap(page)

    def to_list(self) -> list[Project]:
        """Blocking form of ``AsyncProjects.to_list``."""
        return self._wrap(run_blocking(self._projects.to_list))

    def first(self) -> Project | None:
        """Blocking form of ``AsyncProjects.first``."""
        first = run_blocking(self._projects.first)
        return None if first is None else Project(self._client, first)

    def count(self) -> int:
        """Blocking form of ``AsyncProjects.count``."""
        return run_blocking(self._projects.count)

    def _begin(self) -> AsyncGenerator[list[AsyncProject]]:
        return self._projects.pages()

    def _wrap(self, page: list[AsyncProject]) -> list[Project]:
        return ShownList(Project(self._client, project) for project in page)

    def _title(self) -> tuple[str, str]:
        return "Projects", self._projects._title()


@_documented_by(AsyncRuns)
class Runs(RememberedSequence[AsyncRun, Run]):
    """Blocking form of ``AsyncRuns``: iterable, with ``len()``, ``[i]``, ``[a:b]``. Lists each page once."""

    def __init__(self, client: Api | None, runs: AsyncRuns) -> None:
        super().__init__()
        self._client = client
        self._runs = runs

    def __repr__(self) -> str:
        return repr(self._runs).replace("AsyncRuns", "Runs", 1)

    def pages(self) -> Iterator[list[Run]]:
        """Blocking form of ``AsyncRuns.pages``."""
        for page in iterate_blocking(self._runs.pages()):
            yield self._wrap(page)

    def to_list(self) -> list[Run]:
        """Blocking form of ``AsyncRuns.to_list``."""
        return self._wrap(run_blocking(self._runs.to_list))

    def first(self) -> Run | None:
        """Blocking form of ``AsyncRuns.first``."""
        first = run_blocking(self._runs.first)
        return None if first is None else Run(self._client, first)

    def count(self) -> int:
        """Blocking form of ``AsyncRuns.count``."""
        return run_blocking(self._runs.count)

    def files(self, *, include: Iterable[str] | None = None, exclude: Iterable[str] = ()) -> Iterator[File]:
        """Blocking form of ``AsyncRuns.files``."""
        pages = iterate_blocking(self._runs._files(Selection(include, exclude)))
        return (self._file(file) for page in pages for file in page)

    def download(
        self,
        root: str | os.PathLike[str] | ObjectStore = ".",
        *,
        layout: str = LAYOUT,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Blocking form of ``AsyncRuns.download``."""
        return run_blocking(
            self._runs.download,
            root,
            layout=layout,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    def delete(
        self,
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        all: str | None = None,
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DeletionReport:
        """Blocking form of ``AsyncRuns.delete``."""
        return run_blocking(
            self._runs.delete,
            include=include,
            exclude=exclude,
            all=all,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    def _file(self, file: AsyncFile) -> File:
        return File._of(self._client, file, None if file.run is None else Run(self._client, file.run))

    def _begin(self) -> AsyncGenerator[list[AsyncRun]]:
        return self._runs.pages()

    def _wrap(self, page: list[AsyncRun]) -> list[Run]:
        return ShownList(Run(self._client, run) for run in page)

    def _title(self) -> tuple[str, str]:
        return "Runs", str(self._runs._path)


@_documented_by(AsyncFiles)
class Files(RememberedSequence[AsyncFile, File]):
    """Blocking form of ``AsyncFiles``: iterable, with ``len()``, ``[i]``, ``[a:b]``. Lists each page once."""

    def __init__(self, run: Run, files: AsyncFiles) -> None:
        super().__init__()
        self._run = run
        self._files = files

    def __repr__(self) -> str:
        return repr(self._files).replace("AsyncFiles", "Files", 1)

    def pages(self) -> Iterator[list[File]]:
        """Blocking form of ``AsyncFiles.pages``."""
        for page in iterate_blocking(self._files.pages()):
            yield self._wrap(page)

    def to_list(self) -> list[File]:
        """Blocking form of ``AsyncFiles.to_list``."""
        return self._wrap(run_blocking(self._files.to_list))

    def first(self) -> File | None:
        """Blocking form of ``AsyncFiles.first``."""
        first = run_blocking(self._files.first)
        return None if first is None else File._of(self._run._client, first, self._run)

    def count(self) -> int:
        """Blocking form of ``AsyncFiles.count``."""
        return run_blocking(self._files.count)

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
    ) -> DownloadReport:
        """Blocking form of ``AsyncFiles.download``."""
        return run_blocking(
            self._files.download,
            root,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    def delete(
        self,
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        all: bool = False,
        dry_run: bool = False,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DeletionReport:
        """Blocking form of ``AsyncFiles.delete``."""
        return run_blocking(
            self._files.delete, include=include, exclude=exclude, all=all, dry_run=dry_run, on_result=on_result
        )

    def _begin(self) -> AsyncGenerator[list[AsyncFile]]:
        return self._files.pages()

    def _wrap(self, page: list[AsyncFile]) -> list[File]:
        return ShownList(File._of(self._run._client, file, self._run) for file in page)

    def _title(self) -> tuple[str, str]:
        return "Files", self._files._title()
