"""`WandbFileSystem`: the methods of fsspec over one `AsyncApi` for each event loop."""

# pyright: reportIncompatibleMethodOverride=false
# fsspec states no types, and what is inferred of methods that only raise is not what they are for.

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from fsspec.asyn import AsyncFileSystem, get_loop
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.utils import tokenize

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._async.binary import AsyncBinaryFile
from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._download.planned import ListedFiles
from wbfiles_async._download.random_access import RandomAccess
from wbfiles_async._fsspec.clients import Clients, Link
from wbfiles_async._fsspec.files import GrowingCache, WandbFile, WandbStream
from wbfiles_async._fsspec.found import Found, parts_of, prefix_of
from wbfiles_async._fsspec.getting import Copies, Copy, Progress, collect_copies, plan_copies
from wbfiles_async._fsspec.globs import Pushed, like_of, pushed
from wbfiles_async._fsspec.instances import KeepsKeysOut
from wbfiles_async._fsspec.keys import key_of
from wbfiles_async._fsspec.listings import Listings, Tree
from wbfiles_async._fsspec.places import (
    ENTITY,
    FILE,
    PROJECT,
    ROOT,
    RUN,
    Info,
    Place,
    file_info,
    folder_info,
    place_of,
    when,
)
from wbfiles_async._fsspec.waiting import wait_for
from wbfiles_async._fsspec.writing import IN_MEMORY, AsyncWriter, Writer
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.pagination import RunPages
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._models import Existing, FileAttributes, ProjectPath, RunPath
from wbfiles_async._options import BLOCK_SIZE, PER_PAGE, RUNS_PER_PAGE, TransferOptions
from wbfiles_async._ranges import Range
from wbfiles_async._reports import DownloadReport, UploadReport
from wbfiles_async._tasks import open_task_group
from wbfiles_async._upload.plan import FoundFile, name_refusal
from wbfiles_async._urls import host_of
from wbfiles_async.errors import ConfigurationError, RunNotFoundError

__all__ = ["WandbFileSystem"]

FETCHES: Final = 64
"""Files that are copied to names of their own at a time; the client limits the requests further."""

HAS_MAGIC: Final = frozenset("*?[")


class WandbFileSystem(AsyncFileSystem, metaclass=KeepsKeysOut):
    """The files of runs, as ``ENTITY/PROJECT/RUN/name``; with fsspec's protocol ``wandb://``, or ``wbfiles://``.

    Folders are entities, projects, runs (by id), and the folders in names of files. Only files of runs can be written
    and deleted, not runs and projects.

    Each process looks up its credentials as ``AsyncApi`` does, in the environment and netrc. An ``api_key`` argument
    stays in the process and its forks: pickles, JSON and the graphs of dask do not contain it. Works after a fork, and
    in several event loops.

    Listings are cached for 30 seconds, those of finished runs for ten minutes; a file that is not in the cache is
    looked up on the server. See ``listings_expiry_time``, ``use_listings_cache``, ``refresh=True``,
    ``invalidate_cache``.

    Args:
        base_url: URL of the API. Defaults to ``WANDB_BASE_URL``, else W&B's cloud.
        api_key: W&B's API key. Defaults to the credentials of the environment.
        timeout: Seconds to wait for a response of the API.
        options: How transfers behave: ``TransferOptions``, or a mapping of some of them.
        read_only: Whether every change raises ``PermissionError``.
        use_listings_cache: Whether listings are cached.
        listings_expiry_time: Seconds that they are cached, instead of the times above.
        asynchronous: Whether the methods are awaited, in the caller's event loop; close it with ``await fs.aclose()``.
        loop: The event loop of the blocking methods; by default fsspec's own.
        batch_size: See ``fsspec.asyn.AsyncFileSystem``.

    Raises:
        ConfigurationError: A setting cannot be used.

    Examples:
        ```python
        from wbfiles_async.fsspec import WandbFileSystem

        fs = WandbFileSystem(read_only=True)
        print(fs.ls("my-team/my-project/1a2b3c4d", detail=False))
        with fs.open("my-team/my-project/1a2b3c4d/config.yaml") as file:
            print(file.read())
        ```
    """

    protocol = ("wandb", "wbfiles")
    cachable = True
    blocksize = BLOCK_SIZE

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        options: TransferOptions | Mapping[str, Any] | None = None,
        read_only: bool = False,
        use_listings_cache: bool = True,
        listings_expiry_time: float | None = None,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(asynchronous=asynchronous, loop=loop, batch_size=batch_size, use_listings_cache=False)
        self.base_url = base_url
        self.read_only = read_only
        given = options if isinstance(options, TransferOptions) else TransferOptions(**(options or {}))
        self._listings = Listings(listings_expiry_time if use_listings_cache else 0.0)
        self._clients = Clients(
            lambda: AsyncApi(base_url=base_url, api_key=key_of(api_key), timeout=timeout, options=given)
        )
        weakref.finalize(self, self._clients.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    @property
    def _fs_token(self) -> str:
        """What identifies the instance: what it was made with, in whichever process."""
        token: str = tokenize(type(self).__name__, self.storage_options)
        return token

    @property
    def fsid(self) -> str:
        """What identifies the server."""
        return f"wandb_{host_of(self.base_url or '')}"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the blocking methods; in a forked child another one."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
        return self._loop  # type: ignore[no-any-return]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped if isinstance(stripped, list) else stripped.lstrip("/")

    async def aclose(self) -> None:
        """Close the connections of the running event loop. Later use makes others."""
        await self._clients.aclose()

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget what was listed.

        Args:
            path: A path of the run whose listings are forgotten; ``None`` (default) for those of all runs.
        """
        place = place_of(self._strip_protocol(path or ""))
        self._listings.forget(place.run if place.depth >= RUN else None)
        super().invalidate_cache(path)

    # Looking.

    async def _info(self, path: str, *, refresh: bool = False, **_: object) -> Info:
        """Return what is known of a path: by its name, not by a listing of what is beside it."""
        path = self._strip_protocol(path)
        place = self._place(path)
        with _missing_as(path):
            match place.depth:
                case d if d >= FILE:
                    return await self._info_in_run(place, path, refresh=refresh)
                case d if d == RUN:
                    listed = await self._api.look_up_run(place.run)
                    self._listings.keep_state(place.run, listed.state)
                    return _run_info(path, listed.name, listed.state, listed.created_at)
                case d if d == PROJECT:
                    await self._api.count_runs(place.project_path, "{}")
                case d if d == ENTITY and path not in await self._api.entities():
                    if await self._link.api.projects(path, per_page=1).first() is None:
                        raise _not_found(path)
        return folder_info(path)

    async def _info_in_run(self, place: Place, path: str, *, refresh: bool) -> Info:
        tree = None if refresh else self._listings.tree(place.run, place.name)
        if tree is not None and place.name in tree.folders and place.name not in tree.files:
            return folder_info(path)
        file = await self._find_file(place, refresh=refresh)
        if file is not None:
            return file_info(place.run, file)
        async with aclosing(self._pages(place.run, like_of(f"{place.name}/"), per_page=PER_PAGE)) as pages:
            async for page in pages:
                if any(file.name.startswith(f"{place.name}/") for file in page):
                    return folder_info(path)
        raise _not_found(path)

    async def _isdir(self, path: str) -> bool:
        try:
            return (await self._info(path))["type"] == "directory"
        except FileNotFoundError:
            return False  # but not where the server fails

    async def _isfile(self, path: str) -> bool:
        try:
            return (await self._info(path))["type"] == "file"
        except FileNotFoundError:
            return False

    async def _ls(self, path: str, detail: bool = True, *, refresh: bool = False, **_: object) -> list[Any]:
        """List a folder: an entity's projects, a project's runs, or what is in a folder of a run."""
        path = self._strip_protocol(path)
        place = self._place(path)
        with _missing_as(path):
            infos = await (self._ls_above if place.depth < RUN else self._ls_in_run)(place, path, refresh=refresh)
        return infos if detail else sorted(str(info["name"]) for info in infos)

    async def _ls_above(self, place: Place, path: str, *, refresh: bool) -> list[Info]:
        if not refresh and (known := self._listings.folder(path)) is not None:
            return known
        link = self._link
        match place.depth:
            case d if d == ROOT:
                infos = [folder_info(entity) for entity in await self._api.entities()]
            case d if d == ENTITY:
                infos = [
                    folder_info(f"{path}/{project.name}", created=project.created_at, id=project.id)
                    async for project in link.api.projects(path)
                ]
                if not infos and path not in await self._api.entities():
                    raise _not_found(path)
            case _:
                infos = []
                async for run in link.api.runs([place.entity, place.project]):
                    self._listings.keep_state(run._path, run.state)
                    infos.append(_run_info(f"{path}/{run.id}", run.name, run.state, run.created_at))
        self._listings.keep_folder(path, infos)
        return infos

    async def _ls_in_run(self, place: Place, path: str, *, refresh: bool) -> list[Info]:
        tree = await self._tree(place.run, place.name, refresh=refresh)
        children = tree.folders.get(place.name, {})
        if not children and place.name:
            file = await self._find_file(place, refresh=refresh)
            if file is None:
                raise _not_found(path)
            return [file_info(place.run, file)]
        infos = [folder_info(f"{place.run}/{name}") for name in children if name in tree.folders]
        return infos + [file_info(place.run, tree.files[name]) for name in children if name in tree.files]

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        *,
        detail: bool = False,
        prefix: str = "",
        refresh: bool = False,
        pushed: Pushed | None = None,
        **_: object,
    ) -> Any:
        """Find all files below a path by one walk, however many folders they lie in.

        Args:
            path: Where to look; a file is found by itself.
            maxdepth: Levels below it.
            withdirs: Whether folders are found too, the path itself among them.
            detail: Whether to return a dictionary of details by path, instead of the paths.
            prefix: Only what begins with this below the path.
            refresh: Whether what was listed before is listed again.
            pushed: What the server compares.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        place = self._place(path)
        found = Found(path, maxdepth, withdirs=withdirs, prefix=prefix)
        try:
            async with aclosing(self._walk_files(place, path, found, pushed or Pushed(), refresh=refresh)) as walked:
                async for run, files in walked:
                    found.add_run(run)
                    for file in files:
                        found.add(run, file)
        except (RunNotFoundError, FileNotFoundError):
            return {} if detail else []
        itself = await self._find_file(place) if not found.infos else None
        if itself is not None:
            found.infos[path] = file_info(place.run, itself)
        elif withdirs and path and (found.infos or await self._isdir(path)):
            found.infos[path] = folder_info(path)
        return dict(sorted(found.infos.items())) if detail else sorted(found.infos)

    async def _walk_files(
        self, place: Place, path: str, found: Found, pushed: Pushed, *, refresh: bool
    ) -> AsyncGenerator[tuple[RunPath, Iterable[FileAttributes]]]:
        """Yield the files below a path, run by run; folders above runs are noted on the way."""
        if place.depth >= RUN:
            tree = None if refresh else self._listings.tree(place.run, place.name)
            if tree is None and pushed.like is not None:
                async with aclosing(self._pages(place.run, pushed.like)) as pages:
                    async for page in pages:
                        yield place.run, [file for file in page if file.name.startswith(prefix_of(place.name))]
                return
            yield place.run, (tree or await self._tree(place.run, place.name, refresh=refresh)).below(place.name)
        elif found.needs_files(place.depth) and place.depth == PROJECT:
            async with aclosing(self._walk_project(place, pushed)) as walked:
                async for run, files in walked:
                    yield run, files
        elif found.maxdepth is None or found.maxdepth > len(parts_of(path)) - len(parts_of(found.path)):
            for info in await self._ls_above(place, path, refresh=refresh):
                below = str(info["name"])
                found.add_folder(info)
                if place.depth < PROJECT:
                    async with aclosing(
                        self._walk_files(place_of(below), below, found, pushed, refresh=refresh)
                    ) as walked:
                        async for run, files in walked:
                            yield run, files

    async def _walk_project(
        self, place: Place, pushed: Pushed
    ) -> AsyncGenerator[tuple[RunPath, Iterable[FileAttributes]]]:
        """Yield the files of all runs of a project; one request lists many runs."""
        filters = _runs_beginning(pushed.runs)
        each = PER_PAGE // RUNS_PER_PAGE
        walk = RunPages(place.project_path, filters, "+created_at", per_page=RUNS_PER_PAGE, files_each=each)
        walk.pattern = pushed.like
        whole: list[FileAttributes] = []
        before: RunPath | None = None
        async with aclosing(self._api.files_of_runs(self._api.run_pages(walk), names=(), pattern=pushed.like)) as pages:
            async for run, files in pages:
                if pushed.like is None:
                    if before is not None and before != run.path:
                        self._listings.keep_tree(before, "", Tree(whole))
                        whole = []
                    before = run.path
                    whole += files
                self._listings.keep_state(run.path, run.state)
                yield run.path, files
        if before is not None:
            self._listings.keep_tree(before, "", Tree(whole))

    async def _walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "omit", **options: Any
    ) -> AsyncIterator[Any]:
        """Walk as fsspec does; below a run or a project over one listing."""
        place = place_of(self._strip_protocol(path))
        if maxdepth is None and place.depth >= PROJECT:
            await self._find(path)  # what it lists is remembered
        async for each in super()._walk(path, maxdepth, topdown, on_error, **options):
            yield each

    async def _glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Find what matches a pattern; the server compares what it can."""
        stripped = self._strip_protocol(path)
        if not HAS_MAGIC.isdisjoint(stripped):
            options["pushed"] = pushed(stripped)
        return await super()._glob(path, maxdepth=maxdepth, **options)

    async def _du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **options: Any
    ) -> Any:
        """Sum up lengths, of all files below a path that state one."""
        found = await self._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **options)
        sizes = {name: info["size"] or 0 for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    def modified(self, path: str) -> datetime:
        """Return when a file was changed last.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            NotImplementedError: The server states no time.
        """
        moment = self.info(path).get("mtime")
        if not isinstance(moment, datetime):
            raise NotImplementedError(f"W&B does not say when {path} changed")
        return moment

    def sign(self, path: str, expiration: int = 100, **_: object) -> str:
        """Return a URL that reads the file without credentials, for as long as the server lets it: a secret.

        Args:
            path: The file.
            expiration: Has no effect: the server decides.

        Raises:
            FileNotFoundError: There is no such file.
        """
        file = wait_for(self.loop, self._required, path, refresh=True)
        return file.direct_url or file.url or ""

    # Reading.

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        """Read a file, or a part of it: bytes ``[start, end)``, from the end if negative."""
        path = self._strip_protocol(path)
        attributes = await self._required(path)
        file = self._file(path, attributes)
        if start is None and end is None:
            return await file.read_bytes()
        first, last = _limits(start, end, attributes.size_bytes)
        if last is not None and first >= last:
            return b""
        async with aclosing(file.stream(first, last)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: int | Iterable[int | None] | None,
        ends: int | Iterable[int | None] | None,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_: object,
    ) -> list[Any]:
        """Read ranges of files: near ones of a file by one request, and all of a file's from one object.

        Args:
            paths: The files.
            starts: First bytes.
            ends: Ends, exclusive.
            max_gap: Has no effect: what one request costs decides.
            batch_size: Has no effect: the client limits its requests.
            on_error: ``return`` to have errors among the results, else they are raised.
        """
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        firsts, lasts = _each(starts, len(paths)), _each(ends, len(paths))
        if not len(firsts) == len(lasts) == len(paths):
            raise ValueError("paths, starts and ends are of different lengths")
        results: list[Any] = [None] * len(paths)
        of_file: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            of_file.setdefault(self._strip_protocol(path), []).append(index)

        async def read(path: str, wanted: list[int]) -> None:
            try:
                access, _ = await self._access(path)
                try:
                    limits = [_limits(firsts[index], lasts[index], access.size) for index in wanted]
                    ranges = [Range(first, max(first, access.size if last is None else last)) for first, last in limits]
                    read = await access.read_many(ranges)
                finally:
                    access.close()
                for index, data in zip(wanted, read, strict=True):
                    results[index] = data
            except Exception as error:
                if on_error != "return":
                    raise
                for index in wanted:
                    results[index] = error

        async with open_task_group() as group:
            for path, wanted in of_file.items():
                group.start_soon(read, path, wanted)
        return results

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        cache_type: str = GrowingCache.name,
        **_: object,
    ) -> Any:
        """Open a file, for reading or for writing the whole of it."""
        path = self._strip_protocol(path)
        self._check_sync()
        if mode in ("wb", "xb"):
            existing = self._check_target(path, mode)
            if existing == "error" and self.exists(path, refresh=True):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

            def send(content: memoryview | Path) -> None:
                wait_for(self.loop, self._send, path, content, existing=existing)

            return Writer(path, send, mode=mode, autocommit=autocommit)
        if mode != "rb":
            raise _unsupported_mode(mode)
        if block_size == 0:
            attributes = wait_for(self.loop, self._required, path)
            return io.BufferedReader(WandbStream(self, path, self._file_in_loop(path, attributes)))
        access, info = wait_for(self.loop, self._access, path)
        return WandbFile(self, path, info, access, block_size, cache_type, cache_options)

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Mapping[str, Any] | None = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """Open a file, as ``fsspec.AbstractFileSystem.open`` does; what is written is uploaded when it is closed.

        Args:
            path: The file.
            mode: ``rb`` or ``r`` to read; ``wb``, ``w``, ``xb`` or ``x`` to write the whole of it. ``x`` refuses to
                replace a file.
            block_size: Bytes to request at least. 0 opens a stream, whose md5 is compared at its end.
            cache_options: Of fsspec's cache.
            compression: ``gzip`` and others, as for ``fsspec.open``.
            options: ``encoding``, ``errors`` and ``newline`` of text; ``cache_type``, another cache of fsspec.

        Returns:
            The open file, seekable unless it is a stream.

        Raises:
            FileNotFoundError: There is no such file to read.
            FileExistsError: There is one, and the mode is ``x``.
            PermissionError: It is to be written, and the file system is ``read_only``.
            ValueError: The mode is another one.
        """
        if compression is None or "b" not in mode or "r" in mode:
            return super().open(path, mode, block_size, cache_options, compression, **options)
        start = compr[get_compression(path, compression)]
        file: Any = super().open(path, mode, block_size, cache_options, **options)
        file.compress(start)  # not as fsspec does: whoever closes its compressor leaves the file below open
        return file

    def _file_in_loop(self, path: str, attributes: FileAttributes) -> AsyncGenerator[bytes]:
        async def pieces() -> AsyncGenerator[bytes]:
            async with aclosing(self._file(path, attributes).stream()) as stream:
                async for piece in stream:
                    yield piece

        return pieces()

    async def open_async(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """Open a file whose methods are awaited.

        Args:
            path: The file.
            mode: ``rb``, or ``wb`` or ``xb`` to write the whole of it, which is uploaded when it is closed.
            options: ``block_size``; bytes to request at least.

        Returns:
            The open file, seekable where it is read: an async context manager.

        Raises:
            FileNotFoundError: There is no such file to read.
            FileExistsError: There is one, and the mode is ``xb``.
            PermissionError: It is to be written, and the file system is ``read_only``.
            ValueError: The mode is another one.
        """
        path = self._strip_protocol(path)
        if mode in ("wb", "xb"):
            existing = self._check_target(path, mode)
            if existing == "error" and await self._exists(path, refresh=True):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            return AsyncWriter(path, partial(self._send, path, existing=existing))
        if mode != "rb":
            raise _unsupported_mode(mode)
        access, _ = await self._access(path)
        return AsyncBinaryFile(access, options.get("block_size") or BLOCK_SIZE)

    async def _get_file(
        self,
        rpath: str,
        lpath: Any,
        callback: Callback = DEFAULT_CALLBACK,
        outfile: Any = None,
        **_: object,
    ) -> None:
        """Copy one file to a local path, whole and checked, or into an open file."""
        rpath = self._strip_protocol(rpath)
        target = outfile if outfile is not None else lpath if hasattr(lpath, "write") else None
        if target is None and await self._isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        attributes = await self._required(rpath)
        file = self._file(rpath, attributes)
        if target is None:
            progress = None if callback is DEFAULT_CALLBACK else Progress({file.name: callback})
            await file.fetch(replace=True, path=lpath, progress=progress)
            return
        callback.set_size(attributes.size_bytes)
        async with aclosing(file.stream()) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(target.write, piece)
                callback.relative_update(len(piece))

    async def _get(
        self,
        rpath: str | list[str],
        lpath: str | list[str],
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy many files to local paths, by fsspec's rules of what goes where, concurrently and each checked."""
        pairs = await collect_copies(self, rpath, lpath, recursive=recursive, maxdepth=maxdepth)
        copies = [copy for copy in await asyncio.gather(*(self._copy_of(*pair) for pair in pairs)) if copy is not None]
        callback.set_size(len(copies))
        children = {f"{copy.run}/{copy.file.name}": callback.branched(str(copy.run), copy.target) for copy in copies}
        watched = {name: child for name, child in children.items() if child is not DEFAULT_CALLBACK}
        progress = Progress(watched) if watched else None
        groups, renamed = plan_copies(copies)
        for group in groups:
            await self._get_group(group, callback, progress)
        limit = asyncio.Semaphore(FETCHES)

        async def fetch(copy: Copy) -> None:
            async with limit:
                file = self._file(f"{copy.run}/{copy.file.name}", copy.file)
                child = children[f"{copy.run}/{copy.file.name}"]
                told = None if child is DEFAULT_CALLBACK else Progress({file.name: child})
                await file.fetch(replace=True, path=copy.target, progress=told)
            callback.relative_update(1)

        async with open_task_group() as tasks:
            for copy in renamed:
                tasks.start_soon(fetch, copy)

    async def _copy_of(self, rpath: str, lpath: str) -> Copy | None:
        """Return what is to be copied of a path; a folder is created at once."""
        place = self._place(rpath)
        file = await self._find_file(place) if place.depth >= FILE else None
        if file is not None:
            return Copy(place.run, file, lpath)
        if not await self._isdir(rpath):
            raise _not_found(rpath)
        Path(lpath).mkdir(parents=True, exist_ok=True)
        return None

    async def _get_group(self, group: Copies, callback: Callback, progress: Progress | None) -> None:
        async def listed() -> AsyncGenerator[list[ListedFiles]]:
            for first in range(0, len(group.files), PER_PAGE):
                some = group.files[first : first + PER_PAGE]
                yield [ListedFiles(group.run, some, label=f"{group.run}/", within=group.within)]

        async with aclosing(listed()) as pages:
            report = await self._link.api._gateway.download_listed(
                pages, Path(group.root), progress=progress, on_result=lambda _: callback.relative_update(1)
            )
        _raise_failure(report)

    # Writing.

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: object) -> None:
        """Write a file from bytes. With the mode ``create`` one that exists is an error."""
        path = self._strip_protocol(path)
        existing = self._check_target(path, "xb" if mode == "create" else "wb")
        await self._send(path, value if isinstance(value, bytes) else bytes(value), existing=existing)

    async def _put_file(
        self,
        lpath: Any,
        rpath: str,
        mode: str = "overwrite",
        callback: Callback = DEFAULT_CALLBACK,
        **_: object,
    ) -> None:
        """Upload a local file. With the mode ``create`` one that exists is an error. A folder is nothing by itself."""
        rpath = self._strip_protocol(rpath)
        if Path(lpath).is_dir():
            return
        existing = self._check_target(rpath, "xb" if mode == "create" else "wb")
        callback.set_size(Path(lpath).stat().st_size)
        place = self._place(rpath)
        progress = None if callback is DEFAULT_CALLBACK else Progress({place.name: callback})
        await self._send(rpath, Path(lpath), existing=existing, progress=progress)

    async def _put(
        self,
        lpath: str | list[str],
        rpath: str | list[str],
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Upload many local files, by fsspec's rules of what goes where; those that are there already are not sent."""
        if options:
            put: Any = super()._put  # which uploads one file after the other, each with these options
            await put(lpath, rpath, recursive, callback, batch_size, maxdepth, **options)
            return
        pairs = await collect_copies(self, lpath, rpath, put=True, recursive=recursive, maxdepth=maxdepth)
        found: dict[RunPath, list[FoundFile]] = {}
        children = {}
        for local, remote in pairs:
            path = self._strip_protocol(remote)
            if not Path(local).is_dir():
                self._check_target(path, "wb")
                place = place_of(path)
                size = Path(local).stat().st_size
                found.setdefault(place.run, []).append(
                    FoundFile(name=place.name, path=Path(local), size=size, given=True)
                )
                children[place.run, place.name] = callback.branched(local, path)
        callback.set_size(len(children))
        for run, files in found.items():
            of_run = {file.name: children[run, file.name] for file in files}
            progress = None if all(child is DEFAULT_CALLBACK for child in of_run.values()) else Progress(of_run)
            try:
                with _missing_as(str(run)):
                    report = await self._link.api._gateway.uploads().found(
                        run, files, progress=progress, on_result=lambda _: callback.relative_update(1)
                    )
            finally:
                self._listings.forget(run)
            _raise_failure(report)

    async def _cp_file(self, path1: str, path2: str, **_: object) -> None:
        """Copy a file by way of this machine, since W&B has no other; a folder is nothing by itself."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        self._check_target(path2, "wb")
        if path1 == path2 or await self._isdir(path1):
            return
        attributes = await self._required(path1, refresh=True)
        file, size = self._file(path1, attributes), attributes.size_bytes
        if size is not None and size <= IN_MEMORY:
            await self._send(path2, await file.read_bytes(), existing="replace")
            return
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="wbfiles-")
        try:
            await self._send(path2, await file.fetch(path=Path(folder, "copy")), existing="replace")
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _send(
        self,
        path: str,
        content: bytes | memoryview | Path,
        *,
        existing: Existing,
        progress: Progress | None = None,
    ) -> None:
        """Upload bytes or a local file, and check what the server lists then."""
        place = self._place(path)
        uploads = self._link.api._gateway.uploads()
        try:
            with _missing_as(path):
                if isinstance(content, Path):
                    await uploads.path(place.run, place.name, content, existing=existing, progress=progress)
                else:
                    await uploads.data(place.run, place.name, content, existing=existing, progress=progress)
        finally:
            self._listings.forget(place.run)

    def _check_target(self, path: str, mode: str) -> Existing:
        """Check that a file may be written, and return what is done with one that exists."""
        self._check_writable(path)
        if place_of(path).depth < FILE:
            raise IsADirectoryError(
                errno.EISDIR,
                "the path of a file is ENTITY/PROJECT/RUN/name; runs and projects cannot be created here",
                path,
            )
        refusal = name_refusal(place_of(path).name)
        if refusal is not None:
            raise refusal
        return "error" if mode == "xb" else "replace"

    # Deleting.

    async def _rm_file(self, path: str, **_: object) -> None:
        """Delete one file."""
        await self._rm(path)

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **_: object,
    ) -> None:
        """Delete files, in batches, and check that they are gone.

        A path is the file of exactly this name, if there is one, and else may be a pattern. Runs and projects are never
        deleted, nor emptied: a path that names one is refused.

        Args:
            path: One or more; none deletes nothing.
            recursive: Whether a folder of a run is deleted with all that is in it.
            batch_size: Has no effect: W&B's server takes so many at a time as it does.
            maxdepth: Levels below a folder.

        Raises:
            PermissionError: The file system is read-only, or a path names a run or what is above one.
            IsADirectoryError: A path names a folder, and ``recursive`` is not given.
            FileNotFoundError: There is nothing of that name.
            IncompleteDeletionError: Files are left, or may be; it names them.
        """
        self._check_writable(path if isinstance(path, str) else None)
        named = [self._strip_protocol(each) for each in ([path] if isinstance(path, str) else path)]
        pending: dict[RunPath, dict[str, FileAttributes]] = {}
        for each in named:
            for run, file in await self._to_delete(each, recursive=recursive, maxdepth=maxdepth):
                pending.setdefault(run, {})[file.name] = file
        for run, files in pending.items():
            chosen = PendingDeletions(ProjectPath(run.entity, run.project))
            chosen.add(run.run_id, files.values())
            try:
                await self._link.api._gateway.deletion(f"the run {run}").carry_out(chosen)
            finally:
                self._listings.forget(run)

    async def _to_delete(
        self, path: str, *, recursive: bool, maxdepth: int | None
    ) -> list[tuple[RunPath, FileAttributes]]:
        """Return the files that a path means, as the server lists them now."""
        place = self._place(path)
        if place.depth < FILE:
            raise PermissionError(
                errno.EPERM,
                "only files and folders of runs can be deleted here, not a run, a project or all files of a run; for "
                "the latter use AsyncRun.files().delete(all=True)",
                path,
            )
        with _missing_as(path):
            names_one_run = HAS_MAGIC.isdisjoint(str(place.run))
            file = await self._find_file(place, refresh=True) if names_one_run else None
            if file is not None:  # of this very name, whatever characters it has
                return [(place.run, file)]
            if HAS_MAGIC.isdisjoint(path):
                return await self._to_delete_below(place, path, recursive=recursive, maxdepth=maxdepth)
            matches = [self._place(each) for each in await self._glob(path, maxdepth=maxdepth, refresh=True)]
            if not matches:
                raise _not_found(path)
            found = await asyncio.gather(*(self._find_file(match, refresh=True) for match in matches))
            chosen = []
            for match, one in zip(matches, found, strict=True):
                if one is not None:
                    chosen.append((match.run, one))
                else:
                    below = f"{match.run}/{match.name}"
                    chosen += await self._to_delete_below(match, below, recursive=recursive, maxdepth=maxdepth)
            return chosen

    async def _to_delete_below(
        self, place: Place, path: str, *, recursive: bool, maxdepth: int | None
    ) -> list[tuple[RunPath, FileAttributes]]:
        tree = await self._tree(place.run, place.name, refresh=True)
        if place.name not in tree.folders:
            raise _not_found(path)
        if not recursive:
            raise IsADirectoryError(errno.EISDIR, "recursive=True deletes a folder with all that is in it", path)
        level = place.name.count("/") + 1
        return [
            (place.run, file)
            for file in tree.below(place.name)
            if maxdepth is None or file.name.count("/") < level + maxdepth
        ]

    # What the methods share.

    @property
    def _link(self) -> Link:
        return self._clients.current()

    @property
    def _api(self) -> WandbApi:
        return self._link.api._gateway.api

    def _place(self, path: str) -> Place:
        place = place_of(path)
        if not place.is_possible:
            raise _not_found(path)
        return place

    def _check_sync(self) -> None:
        if self.asynchronous:
            raise ConfigurationError(
                "This file system was made with asynchronous=True, so its methods are awaited: use open_async, or "
                "make one without asynchronous=True."
            )

    def _check_writable(self, path: str | None) -> None:
        if self.read_only:
            raise PermissionError(errno.EROFS, "this file system was made with read_only=True", path)

    async def _find_file(self, place: Place, *, refresh: bool = False) -> FileAttributes | None:
        """Return a file by its name; ``None`` if there is none. One that was not listed before is looked up."""
        if place.depth < FILE:
            return None
        if not refresh:
            tree = self._listings.tree(place.run, place.name.rpartition("/")[0])
            if tree is not None and (file := tree.files.get(place.name)) is not None:
                return file
        return await self._link.lookups.find(place.run, place.name)

    async def _required(self, path: str, *, refresh: bool = False) -> FileAttributes:
        """Return a file by its path.

        Raises:
            FileNotFoundError: There is nothing of that name.
            IsADirectoryError: It is a folder.
        """
        path = self._strip_protocol(path)
        place = self._place(path)
        with _missing_as(path):
            file = await self._find_file(place, refresh=refresh)
        if file is not None:
            return file
        if await self._isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise _not_found(path)

    def _file(self, path: str, attributes: FileAttributes) -> AsyncFile:
        api = self._link.api
        return AsyncFile._of(api, attributes, AsyncRun(api, place_of(path).run))

    async def _access(self, path: str) -> tuple[RandomAccess, Info]:
        """Open a file, as it is now, unless its run had ended when it was listed."""
        path = self._strip_protocol(path)
        run = self._place(path).run
        attributes = await self._required(path, refresh=not self._listings.has_ended(run))
        access = self._link.api._gateway.random_access(attributes, run)
        await access.open()
        return access, file_info(run, attributes)

    def _pages(
        self, run: RunPath, like: str | None, *, per_page: int = PER_PAGE
    ) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        return self._api.pages(run, pattern=like, per_page=per_page)

    async def _tree(self, run: RunPath, folder: str, *, refresh: bool = False) -> Tree:
        """Return all files of a run below a folder, listed if they were not before."""
        if not refresh and (known := self._listings.tree(run, folder)) is not None:
            return known
        files: list[FileAttributes] = []
        async with aclosing(self._pages(run, like_of(prefix_of(folder)) if folder else None)) as pages:
            async for page in pages:
                files += [file for file in page if file.name.startswith(prefix_of(folder))]
        tree = Tree(files)
        self._listings.keep_tree(run, folder, tree)
        return tree


def _raise_failure(report: DownloadReport | UploadReport) -> None:
    if report.stopped is not None:
        raise report.stopped
    if report.failures and (error := report.failures[0].error) is not None:
        raise error


def _run_info(path: str, name: str | None, state: str | None, created_at: str | None) -> Info:
    return folder_info(path, display_name=name, state=state, created=when(created_at))


def _runs_beginning(stem: str) -> str:
    """Return the filter for runs whose ids begin so; W&B calls the id of a run its name."""
    return json.dumps({"name": {"$regex": f"^{re.escape(stem)}"}} if stem else {})


def _limits(start: int | None, end: int | None, size: int | None) -> tuple[int, int | None]:
    """Return bytes ``[start, end)``, which count from the end if negative, as offsets from the beginning."""

    def absolute(offset: int) -> int:
        if offset >= 0:
            return offset
        if size is None:
            raise ValueError("a file of unknown length cannot be read from its end")
        return max(0, size + offset)

    return absolute(start or 0), None if end is None else absolute(end)


def _each(given: int | Iterable[int | None] | None, count: int) -> list[int | None]:
    return [given] * count if given is None or isinstance(given, int) else list(given)


@contextmanager
def _missing_as(path: str) -> Iterator[None]:
    """Raise what fsspec expects where a run, a project or an entity does not exist."""
    try:
        yield
    except RunNotFoundError as error:
        raise _not_found(path) from error


def _not_found(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _unsupported_mode(mode: str) -> NotImplementedError:
    return NotImplementedError(
        f"files of runs are opened to be read (mode 'rb') or written whole ('wb', 'xb'), not with mode {mode!r}"
    )
