"""The errors without a report; `errors` shows the whole tree."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConfigurationError",
    "DestinationExistsError",
    "IntegrityError",
    "LocalReadError",
    "LocalWriteError",
    "NameCollisionError",
    "ObjectChangedError",
    "ObjectStoreError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RemoteFileExistsError",
    "RemoteFileNotFoundError",
    "RunNotFoundError",
    "StoreUnavailableError",
    "TransferError",
    "UnsafePathError",
    "UnsupportedReferenceError",
    "WBFilesError",
]


class WBFilesError(Exception):
    """Base class of all errors of this library.

    Attributes:
        message: What was wrong, what was expected, and what to do.

    Examples:
        ```python
        from wbfiles_async import WBFilesError

        try:
            api.run("my-team/my-project/1a2b3c4d").download("data")
        except WBFilesError as error:
            print(error)
        ```
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle as cls(*args), which fails for keyword-only arguments; these pickle their state.
        return _without_init, (type(self),), self.__dict__ | {"args": self.args}


def _without_init(cls: type[WBFilesError]) -> WBFilesError:
    return cls.__new__(cls)


class ConfigurationError(WBFilesError, ValueError):
    """A setting, an argument or a run path cannot be used as given."""


class AuthenticationError(WBFilesError, PermissionError):
    """No credentials were found, or the server did not accept them.

    Examples:
        ```python
        from wbfiles_async import Api, AuthenticationError

        try:
            Api(api_key="k" * 40).run("my-team/my-project/1a2b3c4d").file("config.yaml")
        except AuthenticationError as error:
            print(error)  # where credentials are looked for, and what to do
        ```
    """


class PermissionDeniedError(WBFilesError, PermissionError):
    """The credentials are valid, but the server or the store refuses the request."""


class RunNotFoundError(WBFilesError, LookupError):
    """The run, or its project, does not exist or is not visible to these credentials.

    Attributes:
        run: The run's path, ``entity/project/run_id``.

    Examples:
        ```python
        from wbfiles_async import RunNotFoundError

        try:
            api.run("my-team/my-project/missing").files().count()
        except RunNotFoundError as error:
            print(error.run, "does not exist, or these credentials cannot see it")
        ```
    """

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.run = run


class RemoteFileNotFoundError(WBFilesError, FileNotFoundError):
    """The run does not have the file, or no longer has it.

    Attributes:
        name: The file's name in the run.
        run: The run's path, ``entity/project/run_id``; empty if unknown.

    Examples:
        ```python
        from wbfiles_async import RemoteFileNotFoundError

        try:
            api.run("my-team/my-project/1a2b3c4d").file("missing.txt")
        except RemoteFileNotFoundError as error:  # or FileNotFoundError
            print(error.name, "is not in", error.run)
        ```
    """

    def __init__(self, message: str, *, name: str, run: str) -> None:
        super().__init__(message)
        self.name = name
        self.run = run


class RemoteFileExistsError(WBFilesError, FileExistsError):
    """The run already has a file of that name, and ``existing="error"`` was given.

    Attributes:
        name: The file's name in the run.
        run: The run's path, ``entity/project/run_id``.
    """

    def __init__(self, message: str, *, name: str, run: str) -> None:
        super().__init__(message)
        self.name = name
        self.run = run


class ApiError(WBFilesError):
    """W&B's API responded with an error, or with something that cannot be read.

    Attributes:
        status: The HTTP status of the response.
        messages: The server's messages, one per error.
    """

    def __init__(self, message: str, *, status: int, messages: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.messages = messages


class RateLimitedError(ApiError):
    """The server throttles requests for longer than the time budget allows.

    Attributes:
        status: The HTTP status of the response.
        messages: The server's messages, one per error.
        retry_after: Seconds to wait, from the server; ``None`` if it stated none.

    Examples:
        ```python
        import time

        from wbfiles_async import RateLimitedError

        try:
            print(api.runs("my-team/my-project").count())
        except RateLimitedError as error:
            time.sleep(error.retry_after or 60)
        ```
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 429,
        messages: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, messages=messages)
        self.retry_after = retry_after


class DestinationExistsError(WBFilesError, FileExistsError, ValueError):
    """The local file exists and neither ``replace`` nor ``exist_ok`` was given.

    Attributes:
        path: The local file.

    Examples:
        ```python
        from wbfiles_async import DestinationExistsError

        file = api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
        try:
            file.fetch("data")
        except DestinationExistsError as error:  # or FileExistsError
            print(error.path, "exists; pass replace=True or exist_ok=True")
        ```
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class UnsafePathError(WBFilesError, ValueError):
    """A remote name leads out of the root, is reserved, or cannot be a file on this disk.

    Attributes:
        name: The remote name, as the server states it.

    Examples:
        ```python
        from wbfiles_async import UnsafePathError

        file = api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
        try:
            file.fetch("data")
        except UnsafePathError as error:
            file.fetch(path="data/renamed")  # a name of your own
            print("renamed", error.name)
        ```
    """

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class NameCollisionError(UnsafePathError):
    """Two remote names are the same file on this disk, or one of them is a folder of the other.

    Attributes:
        name: The remote name, as the server states it.
        other: The other name; empty if it was listed too long ago to be known.
    """

    def __init__(self, message: str, *, name: str, other: str = "") -> None:
        super().__init__(message, name=name)
        self.other = other


class UnsupportedReferenceError(WBFilesError, ValueError):
    """The file is a reference to an object that cannot be downloaded over HTTP.

    Attributes:
        uri: The URI of that object, without its query.

    Examples:
        ```python
        from wbfiles_async import UnsupportedReferenceError

        file = api.run("my-team/my-project/1a2b3c4d").file("config.yaml")
        try:
            file.fetch("data")
        except UnsupportedReferenceError as error:
            print("fetch it from", error.uri)
        ```
    """

    def __init__(self, message: str, *, uri: str) -> None:
        super().__init__(message)
        self.uri = uri


class TransferError(WBFilesError, OSError):
    """The bytes could not be transferred: the network or the store failed, or a body was truncated.

    Attributes:
        name: The remote file; empty if the failure concerns none.
        host: The host that was requested from; empty if there was none.
        offset: How many bytes, or up to which byte, had arrived; ``None`` if it does not apply.

    Examples:
        ```python
        from wbfiles_async import TransferError

        file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
        try:
            file.fetch("data")
        except TransferError as error:  # or OSError
            print(error.name, "from", error.host, "failed:", error)
            file.fetch("data")  # continues with what has arrived
        ```
    """

    def __init__(self, message: str, *, name: str = "", host: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.host = host
        self.offset = offset


class IntegrityError(TransferError):
    """All bytes arrived, but their length or md5 is not what the server states.

    Attributes:
        name: The remote file; empty if the failure concerns none.
        host: The host that was requested from; empty if there was none.
        offset: How many bytes, or up to which byte, had arrived; ``None`` if it does not apply.
        expected: The length in bytes or the md5 in hexadecimal that the server states.
        actual: The length or md5 of what arrived.

    Examples:
        ```python
        from wbfiles_async import IntegrityError

        file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
        try:
            file.fetch("data")
        except IntegrityError as error:
            print("expected", error.expected, "but received", error.actual)
        ```
    """

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        host: str = "",
        offset: int | None = None,
        expected: str = "",
        actual: str = "",
    ) -> None:
        super().__init__(message, name=name, host=host, offset=offset)
        self.expected = expected
        self.actual = actual


class ObjectChangedError(TransferError):
    """The stored object was replaced repeatedly while it was read.

    Attributes:
        name: The remote file; empty if the failure concerns none.
        host: The host that was requested from; empty if there was none.
        offset: How many bytes, or up to which byte, had arrived; ``None`` if it does not apply.
    """


class StoreUnavailableError(TransferError):
    """No request was sent to the store, since many files in a row failed there and none succeeded.

    Attributes:
        name: The remote file; empty if the failure concerns none.
        host: The host that was requested from; empty if there was none.
        offset: How many bytes, or up to which byte, had arrived; ``None`` if it does not apply.
        retry_after: Seconds until a request checks whether the store is back.

    Examples:
        ```python
        import time

        from wbfiles_async import StoreUnavailableError

        file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
        try:
            file.fetch("data")
        except StoreUnavailableError as error:
            time.sleep(error.retry_after)
            file.fetch("data")
        ```
    """

    def __init__(
        self, message: str, *, name: str = "", host: str = "", offset: int | None = None, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, name=name, host=host, offset=offset)
        self.retry_after = retry_after


class _LocalError(WBFilesError, OSError):
    """A local file operation failed.

    Attributes:
        errno: The operating system's error number.
        path: The local file.
    """

    def __init__(self, message: str, *, errno: int | None, path: Path) -> None:
        super().__init__(message)
        self.errno = errno
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        # OSError does not store errno in the instance's dictionary.
        return _without_init, (type(self),), self.__dict__ | {"args": self.args, "errno": self.errno}


class LocalWriteError(_LocalError):
    """A local file cannot be written: the disk is full or read-only, a permission is missing, or a folder is a file.

    Attributes:
        errno: The operating system's error number.
        path: The local file to write.

    Examples:
        ```python
        import errno

        from wbfiles_async import LocalWriteError

        file = api.run("my-team/my-project/1a2b3c4d").file("model.bin")
        try:
            file.fetch("data")
        except LocalWriteError as error:  # or OSError
            if error.errno == errno.ENOSPC:
                print("no space left for", error.path)
        ```
    """


class LocalReadError(_LocalError):
    """A local file cannot be uploaded: it is missing, unreadable, not a regular file, or changed while it was read.

    Attributes:
        errno: The operating system's error number; ``None`` if the file changed while it was read.
        path: The local file.
    """


class ObjectStoreError(WBFilesError, OSError):
    """The object store that files are written to failed, or refused a request.

    Attributes:
        url: The root, without any secret.
        name: The file, or its key; empty if the failure concerns none.
        code: The store's error code, such as ``NoSuchBucket``; empty if it has none.
        concerns_all: Whether it affects all files, such as a missing bucket.
    """

    def __init__(self, message: str, *, url: str, name: str = "", code: str = "", concerns_all: bool = False) -> None:
        super().__init__(message)
        self.url = url
        self.name = name
        self.code = code
        self.concerns_all = concerns_all
