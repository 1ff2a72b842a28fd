"""One async file of a run."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from wbfiles_async._async.attributes import UNNAMED, FileFacts, attributes_of, without_signatures
from wbfiles_async._bucket.roots import local_root
from wbfiles_async._display.watching import watching_one
from wbfiles_async._graphql.pending_deletions import FileOfRun
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._options import BLOCK_SIZE
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from wbfiles_async._async.binary import AsyncBinaryFile
    from wbfiles_async._async.client import Client
    from wbfiles_async._async.handle import AsyncTextFile
    from wbfiles_async._async.run import AsyncRun
    from wbfiles_async._download.one_file import OneFile
    from wbfiles_async._download.progress import Progress
    from wbfiles_async._gateway import Gateway


class AsyncFile(FileFacts):
    """One file of a run: its attributes, and methods to download it.

    Immutable. Pickled without its client and without signed URLs; pass ``api=`` to methods after unpickling.

    Args:
        client: The client that downloads it.
        attrs: The server's dictionary of the file. Any key may be missing, which is an error only if a method needs it:
            ``download`` the name, ``delete`` the id.
        run: The run it belongs to. Without it the file can be read, but neither refreshed nor deleted.

    Raises:
        ConfigurationError: ``attrs`` is not a dictionary.
    """

    __slots__ = ("_client", "_run")

    _client: Client | None
    _run: AsyncRun | None

    def __init__(self, client: Client | None, attrs: Mapping[str, object], run: AsyncRun | None = None) -> None:
        self._set(client, attributes_of(attrs), run)

    @classmethod
    def _of(cls, client: Client | None, attributes: FileAttributes, run: AsyncRun | None) -> AsyncFile:
        file = cls.__new__(cls)
        file._set(client, attributes, run)
        return file

    def _set(self, client: Client | None, attributes: FileAttributes, run: AsyncRun | None) -> None:
        super().__init__(attributes, None if run is None else run._path)
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_run", run)

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncFile._of, (None, without_signatures(self._attributes), self._run)

    @property
    def run(self) -> AsyncRun | None:
        """The run it belongs to."""
        return self._run

    async def download(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        api: Client | None = None,
        *,
        progress: Progress | bool | None = None,
    ) -> AsyncTextFile:
        """Download to ``root/name`` and open it for reading as UTF-8 text.

        The file appears at its path only when it is complete and verified. Until then, and after any failure, an
        existing file stays as it was.

        Args:
            root: Local folder; created if it is missing, as are the folders of the name.
            replace: Whether to overwrite an existing file.
            exist_ok: Whether to return an existing file as it is, without a request.
            api: Client to use instead of the file's own.
            progress: Notified of the bytes as they arrive; ``True`` to show them, see ``AsyncFiles.download``.

        Returns:
            An open handle: an async context manager whose reads are awaited.

        Raises:
            DestinationExistsError: The file exists, and neither ``replace`` nor ``exist_ok`` is given.
            ConfigurationError: The file was made without a name, has no client, or ``progress=True`` on a terminal
                where rich is not installed.
            UnsafePathError: The name, or a symbolic link below the root, could lead outside of the root.
            UnsupportedReferenceError: The file is a reference that cannot be downloaded over HTTP.
            RemoteFileNotFoundError: The file no longer exists.
            AuthenticationError: The credentials are not accepted.
            PermissionDeniedError: The store refuses to send the file.
            IntegrityError: Length or md5 is not what the server states.
            ObjectChangedError: The stored object is replaced repeatedly.
            TransferError: The bytes could not be transferred.
            LocalWriteError: The local file cannot be written.

        Examples:
            ```python
            file = await api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            async with await file.download("data", replace=True) as text:
                print(await text.read())
            ```
        """
        from wbfiles_async._async.handle import open_text

        return await open_text(await self.fetch(root, replace, exist_ok, api=api, progress=progress))

    async def fetch(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        *,
        path: str | os.PathLike[str] | None = None,
        api: Client | None = None,
        progress: Progress | bool | None = None,
    ) -> Path:
        """Download to ``root/name``, as ``download`` does, or to ``path``, without opening it.

        Args:
            root: Local folder; created if it is missing, as are the folders of the name.
            replace: Whether to overwrite an existing file.
            exist_ok: Whether to return an existing file as it is, without a request.
            path: The file to write, instead of ``root/name``; its folder is created if it is missing. For names
                that the local file system does not support, or for a name of your choice.
            api: Client to use instead of the file's own.
            progress: Notified of the bytes as they arrive; ``True`` to show them, see ``AsyncFiles.download``.

        Returns:
            The local path.

        Raises:
            ConfigurationError: ``path`` names no file, or is given together with ``root``; or as for ``download``.
            WBFilesError: As ``download`` does.

        Examples:
            ```python
            file = await api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            path = await file.fetch("data", exist_ok=True)  # data/config.yaml
            path = await file.fetch(path="configs/baseline.yaml", replace=True)
            ```
        """
        target, folder = None, local_root(root)
        if path is not None:
            from wbfiles_async._disk.paths import target_at

            target = target_at(path, root)
        elif not self.name:
            raise ConfigurationError(
                "This file was made without a name, so there is no root/name to write it to. Give fetch(path=...), or "
                "use read_bytes()."
            )
        one = self._one_file(api)
        async with watching_one(progress, self.name, self.size_bytes) as reporter:
            return await one.fetch(folder, replace=replace, exist_ok=exist_ok, progress=reporter, target=target)

    async def read_bytes(self, *, api: Client | None = None) -> bytes:
        """Read the whole file into memory. Nothing touches the disk.

        Args:
            api: Client to use instead of the file's own.

        Returns:
            The file's bytes.

        Raises:
            WBFilesError: As ``download`` does.
        """
        return await self._one_file(api).read_bytes()

    async def read_text(self, encoding: str = "utf-8", errors: str = "strict", *, api: Client | None = None) -> str:
        """Read the whole file into memory as text. Nothing touches the disk.

        Args:
            encoding: The text's encoding.
            errors: What to do with invalid bytes, as for ``bytes.decode``.
            api: Client to use instead of the file's own.

        Returns:
            The file's text.

        Raises:
            UnicodeDecodeError: The bytes are not text in this encoding.
            WBFilesError: As ``download`` does.

        Examples:
            ```python
            import json

            file = await api.run("my-team/my-project/1a2b3c4d").file("wandb-summary.json")
            print(json.loads(await file.read_text()))
            ```
        """
        return (await self.read_bytes(api=api)).decode(encoding, errors)

    async def stream(
        self, start: int = 0, stop: int | None = None, *, api: Client | None = None
    ) -> AsyncGenerator[bytes]:
        """Iterate over the bytes ``[start, stop)`` as they arrive, each once and in order.

        After a broken connection, reading resumes at the next byte. If the whole file is read, its md5 is compared
        at the end; by then the bytes have been yielded.

        Args:
            start: First byte, from 0.
            stop: End, exclusive; ``None`` for the end of the file.
            api: Client to use instead of the file's own.

        Yields:
            Pieces of up to about a megabyte.

        Raises:
            ConfigurationError: ``start`` is negative, or ``stop`` is before ``start``.
            WBFilesError: As ``download`` does.

        Examples:
            ```python
            file = await api.run("my-team/my-project/1a2b3c4d").file("model.bin")
            async for piece in file.stream(start=0, stop=1024):
                print(len(piece), "bytes")
            ```
        """
        async with aclosing(self._one_file(api).stream(start, stop)) as pieces:
            async for piece in pieces:
                yield piece

    async def open(
        self, mode: str = "rb", *, block_size: int = BLOCK_SIZE, api: Client | None = None
    ) -> AsyncBinaryFile:
        """Open for random access, as a seekable binary file.

        Bytes are requested in ranges as they are read: for the contents of a zip file, the header of a safetensors
        file, some columns of a parquet file. The md5 of the whole file is not compared, but all bytes are of one
        version: if the file is replaced, reading raises ``ObjectChangedError``. Nothing touches the disk, unless the
        store does not support ranges: then the whole file is downloaded at the first read, to a temporary file above
        8 MiB.

        Args:
            mode: Only ``rb``.
            block_size: Minimum bytes per request. If the file is read in order, requests grow up to 8 MiB.
            api: Client to use instead of the file's own.

        Returns:
            An open handle: an async context manager whose ``read``, ``seek`` and ``tell`` are awaited.

        Raises:
            ConfigurationError: The mode is another one, ``block_size`` is below 1, or the file has no client.
            RemoteFileNotFoundError: The file no longer exists.
            WBFilesError: As ``download`` does.

        Examples:
            ```python
            import os

            file = await api.run("my-team/my-project/1a2b3c4d").file("model.bin")
            async with await file.open() as opened:
                await opened.seek(-16, os.SEEK_END)
                print(await opened.read())
            ```
        """
        from wbfiles_async._async.binary import AsyncBinaryFile, check_mode

        check_mode(mode, block_size)
        gateway, attributes, run = self._readable(api)
        access = gateway.random_access(attributes, run)
        await access.open()
        return AsyncBinaryFile(access, block_size)

    async def delete(self, *, api: Client | None = None) -> None:
        """Delete the file on the server. A file that no longer exists counts as deleted.

        Args:
            api: Client to use instead of the file's own.

        Raises:
            ConfigurationError: The file was made without its run or its id, or has no client.
            ApiError: The server refuses, or does not confirm the deletion and still has the file.
            TransferError: The server cannot be reached, or it is unknown whether it deleted the file.

        Examples:
            ```python
            file = await api.run("my-team/my-project/1a2b3c4d").file("model.bin")
            await file.delete()
            ```
        """
        gateway, run = self._gateway(api), self._needed_run()
        if not self.id:
            raise self._lacks("id", "which the server deletes it by")
        await gateway.deletion(f"the run {run._path}").one(FileOfRun(run._path, self._attributes))

    async def refresh(self, *, api: Client | None = None) -> AsyncFile:
        """Request the file's attributes again.

        Args:
            api: Client to use instead of the file's own, for the returned file too.

        Returns:
            The file as it is now, with fresh URLs.

        Raises:
            ConfigurationError: The file was made without its run or its name, or has no client.
            RemoteFileNotFoundError: The file no longer exists.

        Examples:
            ```python
            file = await api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            file = await file.refresh()
            print(file.updated_at)
            ```
        """
        gateway, run = self._gateway(api), self._needed_run()
        if not self.name:
            raise self._lacks("name", "which the server finds it by")
        return AsyncFile._of(api or self._client, await gateway.api.look_up(run._path, self.name), run._with(api))

    def _gateway(self, api: Client | None = None) -> Gateway:
        client = api or self._client
        if client is None:
            raise ConfigurationError(
                f"{self.name or UNNAMED}: this file has no client, since it was pickled or made without one. Pass api= "
                "to the call."
            )
        return client._gateway

    def _lacks(self, what: str, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.name or UNNAMED}: the dictionary that this file was made of has no {what!r}, {why}. Get the file "
            "with api.run(path).file(name)."
        )

    def _needed_run(self) -> AsyncRun:
        if self._run is None:
            raise ConfigurationError(
                f"{self.name or UNNAMED}: this needs the file's run, which was not given when the file was made. "
                "Get the file with api.run(path).file(name)."
            )
        return self._run

    def _one_file(self, api: Client | None) -> OneFile:
        gateway, attributes, run = self._readable(api)
        return gateway.one_file(attributes, run)

    def _readable(self, api: Client | None) -> tuple[Gateway, FileAttributes, RunPath | None]:
        """Return what is needed to read the file."""
        gateway, attributes = self._gateway(api), self._attributes
        run = self._run_path if attributes.name else None  # the server finds it by its name
        if not (attributes.url or attributes.direct_url):
            if run is None:
                raise self._lacks("url", "to read it from")
            attributes = evolve(attributes, stripped=True)  # must be looked up
        if not attributes.name:
            attributes = evolve(attributes, name=UNNAMED)
        return gateway, attributes, run
