"""Plans: the division of a project's runs into chunks, written before the work starts."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, get_args

import anyio.to_thread
import attrs

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.pagination import RunPages
from wbfiles_async._graphql.shares import Share, parse_share
from wbfiles_async._html import line, table, titled
from wbfiles_async._options import PER_PAGE
from wbfiles_async._scale.checks import check_whole
from wbfiles_async._scale.chunks import Chunk, ReportFormat, divide, finished_chunks
from wbfiles_async._scale.place import Place, open_place
from wbfiles_async._sync.api import Api
from wbfiles_async._sync.portal import run_blocking
from wbfiles_async._text import counted
from wbfiles_async.errors import ConfigurationError

__all__ = ["PLAN_NAME", "RUNS_PER_CHUNK", "Plan"]

PLAN_NAME: Final = "plan.json"
"""The file of a plan in its location."""

RUNS_PER_CHUNK: Final = 200
"""Default runs per chunk: four requests list them with their files, and a dead worker costs no more than one chunk."""

_VERSION: Final = 1


@attrs.frozen(kw_only=True)
class Plan:
    """The runs of a project to download, divided into chunks. Created by ``make`` or ``amake``, opened by ``read``.

    It contains the ids of runs and the arguments, but neither URLs nor keys. A chunk is done when its manifest is
    next to the plan, so a plan can be run in several sessions, on any machines.

    Attributes:
        at: The folder, or the URL of the place in an object store, of the plan and the manifests.
        id: Distinguishes it from another plan in the same location.
        base_url: The server of the project.
        project: The project, ``entity/project``.
        filters: The filters of its runs, as JSON.
        include: Shell patterns on the files' names; ``None`` for all files.
        exclude: Shell patterns of names to leave out.
        runs_per_chunk: Maximum runs per chunk.
        report_format: The format of the manifests, ``jsonl`` or ``parquet``.
        chunks: The chunks.
    """

    at: str
    id: str
    base_url: str
    project: str
    filters: str = "{}"
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    runs_per_chunk: int = RUNS_PER_CHUNK
    report_format: ReportFormat = "jsonl"
    chunks: tuple[Chunk, ...] = attrs.field(default=(), repr=lambda chunks: f"<{len(chunks)}>")

    @classmethod
    def make(
        cls,
        api: Api,
        path: str | Sequence[str] | None = None,
        *,
        at: str | os.PathLike[str],
        filters: Mapping[str, object] | None = None,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        runs_per_chunk: int = RUNS_PER_CHUNK,
        report_format: ReportFormat = "jsonl",
        again: bool = False,
    ) -> Self:
        """List the runs of a project and write the plan; or return the existing plan, if its arguments are the same.

        A thousand runs take one request to the API. A repeated script continues with the plan that it made the first
        time; with ``again=True`` it includes runs that were added meanwhile.

        Args:
            api: The client.
            path: The project, as for ``Api.runs``.
            at: The location of the plan and the manifests: a folder that all workers share, or a place in an object
                store such as ``s3://bucket/plans/mine``.
            filters: Only runs that meet these conditions, as for ``Api.runs``.
            include: Shell patterns on the files' names; ``None`` (default) means all files, an empty list none.
            exclude: Shell patterns of names to leave out.
            runs_per_chunk: Maximum runs per chunk. A chunk ends at 10,000 files, too, and a run with more is divided
                among several.
            report_format: The format of the manifests: ``jsonl``, or ``parquet``, which needs pyarrow on the workers.
            again: Whether to list the runs again, and to replace an existing plan by a new one. Existing files are
                then handled according to ``existing``.

        Returns:
            The plan.

        Raises:
            ConfigurationError: An argument cannot be used, or another plan exists there.
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The listing failed.
            LocalWriteError: The plan cannot be written to the folder.
            ObjectStoreError: The plan cannot be written to the object store.
        """
        return run_blocking(
            cls.amake,
            api._async,
            path,
            at=at,
            filters=filters,
            include=include,
            exclude=exclude,
            runs_per_chunk=runs_per_chunk,
            report_format=report_format,
            again=again,
        )

    @classmethod
    async def amake(
        cls,
        api: AsyncApi,
        path: str | Sequence[str] | None = None,
        *,
        at: str | os.PathLike[str],
        filters: Mapping[str, object] | None = None,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        runs_per_chunk: int = RUNS_PER_CHUNK,
        report_format: ReportFormat = "jsonl",
        again: bool = False,
    ) -> Self:
        """Like ``make``, with an ``AsyncApi``."""
        check_whole("runs_per_chunk", runs_per_chunk, least=1)
        if report_format not in get_args(ReportFormat):
            raise ConfigurationError(f"report_format is 'jsonl' or 'parquet', not {report_format!r}.")
        selection, runs, place = Selection(include, exclude), api.runs(path, filters), open_place(at)
        project = await api._gateway.api.resolve(runs._path)
        requested = cls(
            at=place.url,
            id=secrets.token_hex(4),
            base_url=api._gateway.settings.base_url,
            project=str(project),
            filters=runs._filters,
            include=selection.include,
            exclude=selection.exclude,
            runs_per_chunk=runs_per_chunk,
            report_format=report_format,
        )
        found = None if again else await anyio.to_thread.run_sync(partial(cls._find, place))
        if found is not None:
            found._check_same(requested)
            return found
        counts: list[tuple[str, int]] = []
        if not selection.is_empty:
            walk = RunPages(project, runs._filters, runs._order, per_page=PER_PAGE, counts=True)
            async with aclosing(api._gateway.api.run_pages(walk)) as pages:
                async for page in pages:
                    counts += [(run.path.run_id, run.file_count or 0) for run in page]
        plan = attrs.evolve(requested, chunks=tuple(divide(counts, runs_per_chunk=runs_per_chunk)))
        await anyio.to_thread.run_sync(partial(place.write, PLAN_NAME, plan._encode()))
        return plan

    @classmethod
    def read(cls, at: str | os.PathLike[str]) -> Self:
        """Read the plan in a location.

        Raises:
            ConfigurationError: There is none, or it cannot be used.
            LocalReadError: The folder cannot be read.
            ObjectStoreError: The object store cannot be read.
        """
        place = open_place(at)
        plan = cls._find(place)
        if plan is None:
            raise ConfigurationError(f"There is no plan in {place.url}; Plan.make(api, ..., at=...) writes one.")
        return plan

    @property
    def runs(self) -> int:
        """The number of runs."""
        return sum(len(chunk.runs) for chunk in self.chunks if chunk.part is None or chunk.part.number == 0)

    @property
    def files(self) -> int:
        """The number of all files of its runs when it was made, as far as the server counts them."""
        return sum(chunk.files for chunk in self.chunks)

    def left(self) -> tuple[Chunk, ...]:
        """Return the chunks that are not done, or have failures.

        Returns:
            The chunks, in the order of the plan.

        Raises:
            LocalReadError: The folder of the plan cannot be read.
            ObjectStoreError: The object store cannot be read.
        """
        done = finished_chunks(open_place(self.at).names(), self.id)
        return tuple(chunk for chunk in self.chunks if chunk.number not in done)

    def manifests(self) -> tuple[str, ...]:
        """Return the paths or URLs of the existing manifests, for ``wbfiles report``, pandas, duckdb or pyarrow.

        Raises:
            LocalReadError: The folder of the plan cannot be read.
            ObjectStoreError: The object store cannot be read.
        """
        place = open_place(self.at)
        separator = os.sep if Path(place.url).is_absolute() else "/"
        names = sorted(name for name in place.names() if name.startswith(f"part-{self.id}-"))
        return tuple(f"{place.url.rstrip(separator)}{separator}{name}" for name in names)

    def __str__(self) -> str:
        """Describe it in one line."""
        return (
            f"{counted(self.runs, 'run')} of {self.project} in {counted(len(self.chunks), 'chunk')}, "
            f"{counted(self.files, 'file')}, in {self.at}"
        )

    def _repr_html_(self) -> str:
        rows = [("runs", f"{self.runs:,}"), ("chunks", f"{len(self.chunks):,}"), ("files", f"{self.files:,}")]
        return titled("Plan of", self.project) + table((), rows) + line(self.at)

    def _check_same(self, requested: Plan) -> None:
        """Check that another plan has the same arguments.

        Raises:
            ConfigurationError: It is not.
        """
        differing = [
            f"{name}={getattr(self, name)!r} and not {getattr(requested, name)!r}"
            for name in _QUESTION
            if getattr(self, name) != getattr(requested, name)
        ]
        if differing:
            raise ConfigurationError(
                f"Another plan is in {self.at} already, with {', '.join(differing)}. Give another place, or "
                "again=True to begin a new one there."
            )

    def _encode(self) -> bytes:
        chunks = [
            {"runs": chunk.runs, "files": chunk.files} | ({} if chunk.part is None else {"part": str(chunk.part)})
            for chunk in self.chunks
        ]
        question = {name: getattr(self, name) for name in _QUESTION}
        return json.dumps({"version": _VERSION, "id": self.id, **question, "chunks": chunks}).encode()

    @classmethod
    def _find(cls, place: Place) -> Self | None:
        data = place.read(PLAN_NAME)
        if data is None:
            return None
        try:
            return cls._decode(json.loads(data), place.url)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"{PLAN_NAME} in {place.url} is no plan of this version of wbfiles-async ({type(error).__name__}: "
                f"{error}). Give another place, or again=True to begin a new plan there."
            ) from None

    @classmethod
    def _decode(cls, given: Any, at: str) -> Self:
        if given["version"] != _VERSION:
            raise ValueError(f"version {given['version']!r}")
        texts = {name: given[name] for name in ("id", "base_url", "project", "filters", "report_format")}
        selection = Selection(given["include"], given["exclude"])
        chunks = tuple(
            Chunk(number, tuple(map(_text, chunk["runs"])), int(chunk["files"]), _read_part(chunk.get("part")))
            for number, chunk in enumerate(given["chunks"])
        )
        if not all(isinstance(text, str) for text in texts.values()) or len(texts["project"].split("/")) != 2:
            raise ValueError("a text is missing")
        return cls(
            at=at,
            **texts,
            include=selection.include,
            exclude=selection.exclude,
            runs_per_chunk=int(given["runs_per_chunk"]),
            chunks=chunks,
        )


_QUESTION: Final = ("base_url", "project", "filters", "include", "exclude", "runs_per_chunk", "report_format")
"""The arguments that identify a plan."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no id of a run")
    return value


def _read_part(text: str | None) -> Share | None:
    return None if text is None else parse_share(text)
