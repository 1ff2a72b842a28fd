"""One file of a run, blocking."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wbfiles_async._async.attributes import FileFacts
from wbfiles_async._async.file import AsyncFile
from wbfiles_async._disk.long_paths import openable
from wbfiles_async._options import BLOCK_SIZE
from wbfiles_async._sync.binary import open_blocking
from wbfiles_async._sync.client import Client, async_of
from wbfiles_async._sync.portal import iterate_blocking, run_blocking

if TYPE_CHECKING:
    from wbfiles_async._download.progress import Progress
    from wbfiles_async._sync.run import Run


class File(FileFacts):
    """Blocking form of ``AsyncFile``. Immutable.

    Pickled without its client and without signed URLs; pass ``api=`` to methods after unpickling.

    Args:
        client: The client that downloads it.
        attrs: The server's dictionary of the file. Any key may be missing, which is an error only if a method needs it:
            ``download`` the name, ``delete`` the id.
        run: The run it belongs to. Without it the file can be read, but neither refreshed nor deleted.

    Raises:
        ConfigurationError: ``attrs`` is not a dictionary.
    """

    __slots__ = ("_client", "_file", "_run")

    _client: Client | None
    _file: AsyncFile
    _run: Run | None

    def __init__(self, client: Client | None, attrs: Mapping[str, object], run: Run | None = None) -> None:
        file = AsyncFile(async_of(client), attrs, None if run is None else run._run)
        self._set(client, file, run)

    @classmethod
    def _of(cls, client: Client | None, file: AsyncFile, run: Run | None) -> File:
        self = cls.__new__(cls)
        self._set(client, file, run)
        return self

    def _set(self, client: Client | None, file: AsyncFile, run: Run | None) -> None:
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
        api: Client | None = None,
        *,
        progress: Progress | bool | None = None,
    ) -> io.TextIOWrapper:
        """Download to ``root/name`` and open it for reading as UTF-8 text.

        The file appears at its path only when it is complete and verified. Until then, and after any failure, an
        existing file stays as it was.

        Blocking form of ``AsyncFile.download``.

        Args:
            root: Local folder; created if it is missing, as are the folders of the name.
            replace: Whether to overwrite an existing file.
            exist_ok: Whether to return an existing file as it is, without a request.
            api: Client to use instead of the file's own.
            progress: Notified of the bytes as they arrive; ``True`` to show them, see ``Files.download``.

        Returns:
            A text file, as ``open`` returns it.

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
            file = api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            with file.download("data", replace=True) as text:
                print(text.read())
            ```
        """
        path = run_blocking(self._file.fetch, root, replace, exist_ok, api=async_of(api), progress=progress)
        return openable(path).open(encoding="utf-8")

    def fetch(
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

        Blocking form of ``AsyncFile.fetch``.

        Args:
            root: Local folder; created if it is missing, as are the folders of the name.
            replace: Whether to overwrite an existing file.
            exist_ok: Whether to return an existing file as it is, without a request.
            path: The file to write, instead of ``root/name``; its folder is created if it is missing. For names
                that the local file system does not support, or for a name of your choice.
            api: Client to use instead of the file's own.
            progress: Notified of the bytes as they arrive; ``True`` to show them, see ``Files.download``.

        Returns:
            The local path.

        Raises:
            ConfigurationError: ``path`` names no file, or is given together with ``root``; or as for ``download``.
            WBFilesError: As ``download`` does.

        Examples:
            ```python
            file = api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            path = file.fetch("data", exist_ok=True)  # data/config.yaml
            path = file.fetch(path="configs/baseline.yaml", replace=True)
            ```
        """
        asynchronous = async_of(api)
        return run_blocking(self._file.fetch, root, replace, exist_ok, path=path, api=asynchronous, progress=progress)

    def read_bytes(self, *, api: Client | None = None) -> bytes:
        """Read the whole file into memory. Nothing touches the disk.

        Blocking form of ``AsyncFile.read_bytes``.

        Args:
            api: Client to use instead of the file's own.

        Returns:
            The file's bytes.

        Raises:
            WBFilesError: As ``download`` does.
        """
        return run_blocking(self._file.read_bytes, api=async_of(api))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict", *, api: Client | None = None) -> str:
        """Read the whole file into memory as text. Nothing touches the disk.

        Blocking form of ``AsyncFile.read_text``.

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

            file = api.run("my-team/my-project/1a2b3c4d").file("wandb-summary.json")
            print(json.loads(file.read_text()))
            ```
        """
        return run_blocking(self._file.read_text, encoding, errors, api=async_of(api))

    def stream(self, start: int = 0, stop: int | None = None, *, api: Client | None = None) -> Iterator[bytes]:
        """Iterate over the bytes ``[start, stop)`` as they arrive, each once and in order.

        After a broken connection, reading resumes at the next byte. If the whole file is read, its md5 is compared
        at the end; by then the bytes have been yielded.

        Blocking form of ``AsyncFile.stream``.

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
            file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
            for piece in file.stream(start=0, stop=1024):
                print(len(piece), "bytes")
            ```
        """
        # Not returned but iterated here, so that the clients are held meanwhile.
        yield from iterate_blocking(self._file.stream(start, stop, api=async_of(api)))

    def open(self, mode: str = "rb", *, block_size: int = BLOCK_SIZE, api: Client | None = None) -> io.BufferedReader:
        """Open for random access, as a seekable binary file.

        Bytes are requested in ranges as they are read: for the contents of a zip file, the header of a safetensors
        file, some columns of a parquet file. The md5 of the whole file is not compared, but all bytes are of one
        version: if the file is replaced, reading raises ``ObjectChangedError``. Nothing touches the disk, unless the
        store does not support ranges: then the whole file is downloaded at the first read, to a temporary file above
        8 MiB.

        Blocking form of ``AsyncFile.open``.

        Args:
            mode: Only ``rb``.
            block_size: Minimum bytes per request. If the file is read in order, requests grow up to 8 MiB.
            api: Client to use instead of the file's own.

        Returns:
            A binary file, as ``open`` returns it.

        Raises:
            ConfigurationError: The mode is another one, ``block_size`` is below 1, or the file has no client.
            RemoteFileNotFoundError: The file no longer exists.
            WBFilesError: As ``download`` does.

        Examples:
            ```python
            import os

            file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
            with file.open() as opened:
                opened.seek(-16, os.SEEK_END)
                print(opened.read())
            ```
        """
        file = run_blocking(self._file.open, mode, block_size=block_size, api=async_of(api))
        return open_blocking(file, api or self._client)

    def delete(self, *, api: Client | None = None) -> None:
        """Delete the file on the server. A file that no longer exists counts as deleted.

        Blocking form of ``AsyncFile.delete``.

        Args:
            api: Client to use instead of the file's own.

        Raises:
            ConfigurationError: The file was made without its run or its id, or has no client.
            ApiError: The server refuses, or does not confirm the deletion and still has the file.
            TransferError: The server cannot be reached, or it is unknown whether it deleted the file.

        Examples:
            ```python
            file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
            file.delete()
            ```
        """
        return run_blocking(self._file.delete, api=async_of(api))

    def refresh(self, *, api: Client | None = None) -> File:
        """Request the file's attributes again.

        Blocking form of ``AsyncFile.refresh``.

        Args:
            api: Client to use instead of the file's own, for the returned file too.

        Returns:
            The file as it is now, with fresh URLs.

        Raises:
            ConfigurationError: The file was made without its run or its name, or has no client.
            RemoteFileNotFoundError: The file no longer exists.

        Examples:
            ```python
            file = api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            file = file.refresh()
            print(file.updated_at)
            ```
        """
        file = run_blocking(self._file.refresh, api=async_of(api))
        return File._of(api or self._client, file, None if self._run is None else self._run._with(api))
