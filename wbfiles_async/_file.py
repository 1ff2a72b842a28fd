"""One file of a run, to be awaited."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from wbfiles_async._display.watching import watching_one
from wbfiles_async._facts import FileFacts, read_attributes, without_signatures
from wbfiles_async._models import FileAttributes
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from wbfiles_async._api import AsyncApi
    from wbfiles_async._download.one_file import OneFile
    from wbfiles_async._download.progress import Progress
    from wbfiles_async._gateway import Gateway
    from wbfiles_async._handle import AsyncTextFile
    from wbfiles_async._run import AsyncRun


class AsyncFile(FileFacts):
    """One file of a run: its attributes, and its bytes when they are asked for.

    An immutable value. Pickles without its client and without signed URLs; give ``api=`` to download it then.

    Args:
        client: The client that fetches it.
        attrs: The server's dictionary of the file.
        run: The run it belongs to. Without it a file can be read, but neither renewed nor deleted.

    Raises:
        ConfigurationError: The dictionary has no name.
    """

    __slots__ = ("_client", "_run")

    _client: AsyncApi | None
    _run: AsyncRun | None

    def __init__(self, client: AsyncApi | None, attrs: Mapping[str, object], run: AsyncRun | None = None) -> None:
        self._set(client, read_attributes(attrs), run)

    @classmethod
    def _of(cls, client: AsyncApi | None, attributes: FileAttributes, run: AsyncRun | None) -> AsyncFile:
        file = cls.__new__(cls)
        file._set(client, attributes, run)
        return file

    def _set(self, client: AsyncApi | None, attributes: FileAttributes, run: AsyncRun | None) -> None:
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
        api: AsyncApi | None = None,
        *,
        progress: Progress | bool | None = None,
    ) -> AsyncTextFile:
        """Download to ``root/name`` and open it for reading as UTF-8 text.

        The file appears at its place only when it is whole and checked; until then, and on any failure, what was
        there stays as it was.

        Args:
            root: Local folder; made where it is missing, as are the folders of the name.
            replace: Whether to overwrite a file that is there.
            exist_ok: Whether to return a file that is there as it is, without a request.
            api: Client to use instead of the file's own.
            progress: Told of the bytes as they arrive; ``True`` to show them, see ``AsyncFiles.download``.

        Returns:
            An open handle: an async context manager whose reads are awaited.

        Raises:
            DestinationExistsError: A file is there, and neither ``replace`` nor ``exist_ok`` is given.
            UnsafePathError: The name, or a symbolic link below the root, could lead outside of the root.
            UnsupportedReferenceError: The file is a reference that cannot be fetched by http.
            RemoteFileNotFoundError: The file is gone.
            AuthenticationError: The credentials are not accepted.
            PermissionDeniedError: The store does not give the file.
            IntegrityError: What comes is not what the server states.
            ObjectChangedError: The stored object does not hold still.
            TransferError: The bytes could not be moved.
            LocalWriteError: The disk refuses.
            ConfigurationError: ``progress=True`` on a terminal, and rich is not installed.
        """
        from wbfiles_async._handle import open_text

        path = await self._fetch(root, replace, exist_ok, api, progress)
        return await open_text(path)

    async def fetch(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        *,
        progress: Progress | bool | None = None,
    ) -> Path:
        """Download to ``root/name``, as ``download`` does, without opening it.

        Args:
            root: Local folder; made where it is missing, as are the folders of the name.
            replace: Whether to overwrite a file that is there.
            exist_ok: Whether to leave a file that is there as it is, without a request.
            progress: Told of the bytes as they arrive; ``True`` to show them, see ``AsyncFiles.download``.

        Returns:
            The local path.

        Raises:
            WBFilesError: As ``download`` does.
        """
        return await self._fetch(root, replace, exist_ok, None, progress)

    async def _fetch(
        self,
        root: str | os.PathLike[str],
        replace: bool,
        exist_ok: bool,
        api: AsyncApi | None,
        progress: Progress | bool | None,
    ) -> Path:
        async with watching_one(progress, self.name, self.size_bytes) as told:
            return await self._opened(api).fetch(root, replace=replace, exist_ok=exist_ok, progress=told)

    async def read_bytes(self) -> bytes:
        """Read the whole file into memory. Nothing touches the disk.

        Raises:
            WBFilesError: As ``download`` does.
        """
        return await self._opened().read_bytes()

    async def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read the whole file into memory as text. Nothing touches the disk.

        Args:
            encoding: The text's encoding.
            errors: What to do with bytes that are none of it; as for ``bytes.decode``.

        Raises:
            UnicodeDecodeError: The bytes are no text of this encoding.
            WBFilesError: As ``download`` does.
        """
        return (await self.read_bytes()).decode(encoding, errors)

    async def stream(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Iterate over the bytes ``[start, stop)`` as they arrive, each once and in order.

        A connection that breaks is taken up again where it broke. When the whole file is read its md5 is checked
        at the end, before the iteration ends; by then the bytes have been handed out.

        Args:
            start: First byte, from 0.
            stop: End, exclusive; ``None`` for the end of the file.

        Yields:
            Pieces of up to about a megabyte.

        Raises:
            ConfigurationError: The range is none: negative, or its end before its start.
            WBFilesError: As ``download`` does.
        """
        async with aclosing(self._opened().stream(start, stop)) as pieces:
            async for piece in pieces:
                yield piece

    async def delete(self) -> None:
        """Delete the file on the server. One that has gone already counts as deleted.

        Raises:
            ConfigurationError: The file was made without its run.
            ApiError: The server refuses, or does not say that it succeeded and still has the file.
            TransferError: The server cannot be reached, or it is not known whether it carried it out.
        """
        await self._gateway().deletion(self._needed_run()._path).one(self._attributes)

    async def refresh(self) -> AsyncFile:
        """Ask the server for the file anew.

        Returns:
            The file as it is now, with fresh URLs.

        Raises:
            ConfigurationError: The file was made without its run.
            RemoteFileNotFoundError: The file is gone.
        """
        run = self._needed_run()
        attributes = await self._gateway().api.look_up(run._path, self.name)
        return AsyncFile._of(self._client, attributes, run)

    def _gateway(self, api: AsyncApi | None = None) -> Gateway:
        client = api or self._client
        if client is None:
            raise ConfigurationError(
                f"{self.name}: this file has no client, since it was pickled or made without one. Pass api= to "
                "download, or get it anew from an AsyncApi."
            )
        return client._gateway

    def _needed_run(self) -> AsyncRun:
        if self._run is None:
            raise ConfigurationError(
                f"{self.name}: this needs the file's run, which was not given when the file was made. "
                "Get the file with api.run(path).file(name)."
            )
        return self._run

    def _opened(self, api: AsyncApi | None = None) -> OneFile:
        return self._gateway(api).open(self._attributes, self._run_path)
