"""`WandbFileSystem`: the methods of fsspec over one `AsyncApi` for each event loop."""

# pyright: reportIncompatibleMethodOverride=false
# fsspec has no type annotations, and the types inferred from methods that only raise do not fit.

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fsspec.asyn import AsyncFileSystem, get_loop
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.utils import tokenize

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._fsspec.clients import Clients
from wbfiles_async._fsspec.copies import Progress, collect_copies
from wbfiles_async._fsspec.files import GrowingCache
from wbfiles_async._fsspec.getting import get_file, get_many
from wbfiles_async._fsspec.globs import Pushed, has_magic, pushed
from wbfiles_async._fsspec.instances import KeepsKeysOut
from wbfiles_async._fsspec.keys import key_of
from wbfiles_async._fsspec.listings import Listings
from wbfiles_async._fsspec.opening import WRITING, open_awaited_reader, open_awaited_writer, open_reader, open_writer
from wbfiles_async._fsspec.places import PROJECT, RUN, Info, place_of
from wbfiles_async._fsspec.putting import check_target, copy, pipe_many, put_many, send
from wbfiles_async._fsspec.reading import cat_file, cat_ranges
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._fsspec.removing import remove
from wbfiles_async._fsspec.waiting import wait_for
from wbfiles_async._fsspec.walking import find
from wbfiles_async._models import Existing
from wbfiles_async._options import BLOCK_SIZE, TransferOptions
from wbfiles_async._urls import host_of
from wbfiles_async.errors import ConfigurationError

__all__ = ["WandbFileSystem"]


class WandbFileSystem(AsyncFileSystem, metaclass=KeepsKeysOut):
    """The files of runs, as ``ENTITY/PROJECT/RUN/name``; with the protocol ``wandb://`` or ``wbfiles://``.

    Folders are entities, projects, runs (by id), and the folders in names of files. Only files of runs can be written
    and deleted, not runs or projects.

    Each process looks up its credentials like ``AsyncApi``, in the environment and netrc. An ``api_key`` argument stays
    in the process and its forks: pickles, JSON and graphs of dask do not contain it. Works after a fork, and in several
    event loops.

    Listings are cached for 30 seconds, those of finished runs for ten minutes; a file that is not in the cache is
    looked up on the server. See ``listings_expiry_time``, ``use_listings_cache``, ``refresh=True``,
    ``invalidate_cache``.

    Args:
        base_url: URL of the API. Defaults to ``WANDB_BASE_URL`` if set, otherwise to W&B's cloud.
        api_key: W&B's API key. Defaults to the credentials of the environment.
        timeout: Seconds to wait for a response of the API.
        options: Options of transfers: ``TransferOptions``, or a mapping with some of its attributes.
        read_only: Whether writing and deleting raise ``PermissionError``. Defaults to false.
        use_listings_cache: Whether listings are cached. Defaults to true.
        listings_expiry_time: Lifetime of cached listings in seconds, instead of the times above.
        asynchronous: Whether methods are awaited, in the caller's event loop; close with ``await fs.aclose()``.
            Defaults to false.
        loop: The event loop of the blocking methods. Defaults to fsspec's own.
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
        self._remote = Remote(self._clients, self._listings)
        weakref.finalize(self, self._clients.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    @property
    def _fs_token(self) -> str:
        """Identifies the instance by its arguments, equally in all processes."""
        token: str = tokenize(type(self).__name__, self.storage_options)
        return token

    @property
    def fsid(self) -> str:
        """Identifies the server."""
        return f"wandb_{host_of(self.base_url or '')}"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the blocking methods; a forked child has another one."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
        return self._loop  # type: ignore[no-any-return]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped if isinstance(stripped, list) else stripped.lstrip("/")

    async def aclose(self) -> None:
        """Close the connections of the running event loop. Later use opens others."""
        await self._clients.aclose()

    def invalidate_cache(self, path: str | None = None) -> None:
        """Clear the cache of listings.

        Args:
            path: A path in the run whose listings are removed; ``None`` (default) for all listings.
        """
        place = place_of(self._strip_protocol(path or ""))
        self._listings.forget(place.run if place.depth >= RUN else None)
        super().invalidate_cache(path)

    # Looking up and listing.

    async def _info(self, path: str, *, refresh: bool = False, **_: object) -> Info:
        """Return the details of a path, looked up by its name, without listing its folder."""
        return await self._remote.info(self._strip_protocol(path), refresh=refresh)

    async def _isdir(self, path: str) -> bool:
        return await self._remote.is_folder(self._strip_protocol(path))

    async def _isfile(self, path: str) -> bool:
        try:
            return (await self._info(path))["type"] == "file"
        except FileNotFoundError:
            return False

    async def _ls(self, path: str, detail: bool = True, *, refresh: bool = False, **_: object) -> list[Any]:
        """List a folder: an entity's projects, a project's runs, or the contents of a folder of a run."""
        infos = await self._remote.ls(self._strip_protocol(path), refresh=refresh)
        return infos if detail else sorted(str(info["name"]) for info in infos)

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
        """Find all files below a path in one listing, regardless of the number of folders; see ``walking.find``."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        found = await find(
            self._remote,
            self._strip_protocol(path),
            maxdepth=maxdepth,
            withdirs=withdirs,
            prefix=prefix,
            pushed=pushed or Pushed(),
            refresh=refresh,
        )
        return found if detail else list(found)

    async def _walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "omit", **options: Any
    ) -> AsyncIterator[Any]:
        """Walk like fsspec; without ``maxdepth``, a run or a project is listed only once."""
        place = place_of(self._strip_protocol(path))
        if maxdepth is None and place.depth >= PROJECT:
            await self._find(path)  # fills the cache
        async for each in super()._walk(path, maxdepth, topdown, on_error, **options):
            yield each

    async def _glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Find paths that match a pattern; the server evaluates as much of it as it can."""
        stripped = self._strip_protocol(path)
        if has_magic(stripped):
            options["pushed"] = pushed(stripped)
        return await super()._glob(path, maxdepth=maxdepth, **options)

    async def _du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **options: Any
    ) -> Any:
        """Sum up the sizes of all files below a path; unknown sizes count as 0."""
        found = await self._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **options)
        sizes = {name: info["size"] or 0 for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    def modified(self, path: str) -> datetime:
        """Return the time of a file's last change.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            NotImplementedError: The server does not state the time.
        """
        moment = self.info(path).get("mtime")
        if not isinstance(moment, datetime):
            raise NotImplementedError(f"W&B does not say when {path} changed")
        return moment

    def sign(self, path: str, expiration: int = 100, **_: object) -> str:
        """Return a URL to read the file without credentials, which the server lets expire. Keep it secret.

        Args:
            path: The file.
            expiration: Has no effect: the server determines it.

        Raises:
            FileNotFoundError: There is no such file.
        """
        file = wait_for(self.loop, self._remote.required, self._strip_protocol(path), refresh=True)
        return file.direct_url or file.url or ""

    # Reading.

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        """Read a file, or its bytes ``[start, end)``; negative offsets count from the end."""
        return await cat_file(self._remote, self._strip_protocol(path), start, end)

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
        """Read ranges of files; ``max_gap`` has no effect, since the client decides which ranges share a request."""
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        named = [self._strip_protocol(path) for path in paths]
        return await cat_ranges(self._remote, named, starts, ends, return_errors=on_error == "return")

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
        """Open a file for reading, or for writing as a whole."""
        path = self._strip_protocol(path)
        self._check_sync()
        if mode in WRITING:
            existing = self._check_target(path, mode)
            return open_writer(self, self._remote, path, mode, existing, autocommit=autocommit)
        return open_reader(self, self._remote, path, mode, block_size, cache_type, cache_options)

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Mapping[str, Any] | None = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """Open a file, like ``fsspec.AbstractFileSystem.open``; written bytes are uploaded when it is closed.

        Args:
            path: The file.
            mode: ``rb`` or ``r`` to read; ``wb``, ``w``, ``xb`` or ``x`` to write the whole file. ``x`` does not
                replace an existing file.
            block_size: Minimum bytes per request. 0 opens a stream, whose md5 is compared at the end.
            cache_options: Options of fsspec's cache.
            compression: ``gzip`` and others, as for ``fsspec.open``.
            options: ``encoding``, ``errors`` and ``newline`` for text; ``cache_type`` for another cache of fsspec.

        Returns:
            The open file, seekable unless it is a stream.

        Raises:
            FileNotFoundError: The file to read does not exist.
            FileExistsError: The file exists, and the mode is ``x`` or ``xb``.
            PermissionError: The mode is one for writing, and the file system is ``read_only``.
            NotImplementedError: The mode is another one.
        """
        if compression is None or "b" not in mode or "r" in mode:
            return super().open(path, mode, block_size, cache_options, compression, **options)
        start = compr[get_compression(path, compression)]
        file: Any = super().open(path, mode, block_size, cache_options, **options)
        file.compress(start)  # unlike fsspec, whose compressor does not close the file below
        return file

    async def open_async(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """Open a file with async methods.

        Args:
            path: The file.
            mode: ``rb`` to read; ``wb`` or ``xb`` to write the whole file, which is uploaded when it is closed.
            options: ``block_size``, the minimum bytes per request.

        Returns:
            The open file, an async context manager; seekable if it is read.

        Raises:
            FileNotFoundError: The file to read does not exist.
            FileExistsError: The file exists, and the mode is ``xb``.
            PermissionError: The mode is one for writing, and the file system is ``read_only``.
            NotImplementedError: The mode is another one.
        """
        path = self._strip_protocol(path)
        if mode in WRITING:
            return await open_awaited_writer(self._remote, path, self._check_target(path, mode))
        return await open_awaited_reader(self._remote, path, mode, options.get("block_size"))

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Callback = DEFAULT_CALLBACK, outfile: Any = None, **_: object
    ) -> None:
        """Copy one file to a local path, complete and verified, or into an open file."""
        target = lpath if outfile is None else outfile
        await get_file(self._remote, self._strip_protocol(rpath), target, callback)

    async def _get(
        self,
        rpath: str | list[str],
        lpath: str | list[str],
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy many files concurrently to local paths, by fsspec's rules for targets; each is verified."""
        pairs = await collect_copies(self, rpath, lpath, recursive=recursive, maxdepth=maxdepth)
        await get_many(self._remote, pairs, callback)

    # Writing.

    async def _pipe(
        self, path: str | Mapping[str, Any], value: Any = None, batch_size: int | None = None, **options: Any
    ) -> None:
        """Write files from bytes, those of one run together; ``batch_size`` has no effect: the client has limits."""
        if isinstance(path, str):
            await self._pipe_file(path, value, **options)
            return
        mode = "xb" if options.get("mode") == "create" else "wb"
        contents = {self._strip_protocol(each): bytes(data) for each, data in path.items()}
        checked: list[Existing] = [self._check_target(each, mode) for each in contents]
        if checked:
            await pipe_many(self._remote, contents, existing=checked[0])

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: object) -> None:
        """Write a file from bytes. With the mode ``create``, an existing file is an error."""
        path = self._strip_protocol(path)
        existing = self._check_target(path, "xb" if mode == "create" else "wb")
        await send(self._remote, path, value if isinstance(value, bytes) else bytes(value), existing=existing)

    async def _put_file(
        self, lpath: Any, rpath: str, mode: str = "overwrite", callback: Callback = DEFAULT_CALLBACK, **_: object
    ) -> None:
        """Upload a local file; folders are ignored. With the mode ``create``, an existing file is an error."""
        rpath = self._strip_protocol(rpath)
        if Path(lpath).is_dir():
            return
        existing = self._check_target(rpath, "xb" if mode == "create" else "wb")
        callback.set_size(Path(lpath).stat().st_size)
        progress = None if callback is DEFAULT_CALLBACK else Progress({place_of(rpath).name: callback})
        await send(self._remote, rpath, Path(lpath), existing=existing, progress=progress)

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
        """Upload many local files, by fsspec's rules for targets; files that the run already has are not sent."""
        if options:
            put: Any = super()._put  # uploads one file after the other with these options
            await put(lpath, rpath, recursive, callback, batch_size, maxdepth, **options)
            return
        collected = await collect_copies(self, lpath, rpath, put=True, recursive=recursive, maxdepth=maxdepth)
        pairs = [(local, self._strip_protocol(remote)) for local, remote in collected if not Path(local).is_dir()]
        for _, path in pairs:
            self._check_target(path, "wb")
        await put_many(self._remote, pairs, callback)

    async def _cp_file(self, path1: str, path2: str, **_: object) -> None:
        """Copy a file via this machine, since W&B cannot copy files; folders are ignored."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        self._check_target(path2, "wb")
        await copy(self._remote, path1, path2)

    def _check_target(self, path: str, mode: str) -> Existing:
        """Check that a file may be written, and return what to do with an existing one."""
        self._check_writable(path)
        return check_target(path, mode)

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
        """Delete files; ``batch_size`` has no effect, since W&B's server has its own limit.

        A path is the exact name of a file if there is one, otherwise it may be a pattern. Runs and projects are never
        deleted or emptied: a path that names one raises an error. See ``removing.remove``.
        """
        self._check_writable(path if isinstance(path, str) else None)
        named = [self._strip_protocol(each) for each in ([path] if isinstance(path, str) else path)]
        await remove(self._remote, named, partial(self._glob, refresh=True), recursive=recursive, maxdepth=maxdepth)

    def _check_sync(self) -> None:
        if self.asynchronous:
            raise ConfigurationError(
                "This file system was made with asynchronous=True, so its methods are awaited: use open_async, or "
                "make one without asynchronous=True."
            )

    def _check_writable(self, path: str | None) -> None:
        if self.read_only:
            raise PermissionError(errno.EROFS, "this file system was made with read_only=True", path)
