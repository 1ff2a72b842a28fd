"""The errors that carry no report; `errors` draws the whole tree."""

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
    """Root of all errors of this library.

    Attributes:
        message: What was wrong, what was expected, and what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle as cls(*args), which fails for keyword-only data; ours carry their state.
        return _without_init, (type(self),), self.__dict__ | {"args": self.args}


def _without_init(cls: type[WBFilesError]) -> WBFilesError:
    return cls.__new__(cls)


class ConfigurationError(WBFilesError, ValueError):
    """A setting, an argument or a run path cannot be used as given."""


class AuthenticationError(WBFilesError, PermissionError):
    """No credentials were found, or the server did not accept them."""


class PermissionDeniedError(WBFilesError, PermissionError):
    """The server or the store knows the caller and refuses."""


class RunNotFoundError(WBFilesError, LookupError):
    """The run, or its project, does not exist or is not visible to these credentials.

    Attributes:
        run: The run's path, ``entity/project/run_id``.
    """

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.run = run


class RemoteFileNotFoundError(WBFilesError, FileNotFoundError):
    """The run has no such file, or no longer.

    Attributes:
        name: The file's name in the run.
        run: The run's path, ``entity/project/run_id``; empty if unknown.
    """

    def __init__(self, message: str, *, name: str, run: str) -> None:
        super().__init__(message)
        self.name = name
        self.run = run


class RemoteFileExistsError(WBFilesError, FileExistsError):
    """The run has a file of that name already, which was not to be replaced.

    Attributes:
        name: The file's name in the run.
        run: The run's path, ``entity/project/run_id``.
    """

    def __init__(self, message: str, *, name: str, run: str) -> None:
        super().__init__(message)
        self.name = name
        self.run = run


class ApiError(WBFilesError):
    """W&B's API answered with an error, or with something that is no answer.

    Attributes:
        status: The HTTP status of the answer.
        messages: What the server said, one entry an error.
    """

    def __init__(self, message: str, *, status: int, messages: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.messages = messages


class RateLimitedError(ApiError):
    """The server asked to slow down for longer than the time budget allows.

    Attributes:
        retry_after: Seconds the server asked to wait, where it said so.
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
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class UnsafePathError(WBFilesError, ValueError):
    """A remote name cannot be written below the root without leaving it or meaning something else.

    Attributes:
        name: The remote name, as the server gave it.
    """

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class NameCollisionError(UnsafePathError):
    """Two remote names would be one local file, or one a folder that the other is a file of, on this disk.

    Attributes:
        other: The other name; empty if it was listed too long ago to be known.
    """

    def __init__(self, message: str, *, name: str, other: str = "") -> None:
        super().__init__(message, name=name)
        self.other = other


class UnsupportedReferenceError(WBFilesError, ValueError):
    """The file is a reference to something that cannot be fetched by http.

    Attributes:
        uri: Where the reference points, without any query.
    """

    def __init__(self, message: str, *, uri: str) -> None:
        super().__init__(message)
        self.uri = uri


class TransferError(WBFilesError, OSError):
    """The bytes could not be moved: network, store, or a body that ended too early.

    Attributes:
        name: The remote file, empty if the failure concerns none.
        host: The host that was spoken to, empty if none was.
        offset: How many bytes, or up to which byte, had arrived; ``None`` if it does not apply.
    """

    def __init__(self, message: str, *, name: str = "", host: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.host = host
        self.offset = offset


class IntegrityError(TransferError):
    """All bytes arrived, and they are not the file's: wrong length or wrong md5.

    Attributes:
        expected: The length in bytes or the md5 in hexadecimal that the server states.
        actual: The same, of what arrived.
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
    """The stored object was replaced while it was being read, more often than we follow."""


class StoreUnavailableError(TransferError):
    """No request was sent to the store, because many files in a row failed there and none succeeded.

    Attributes:
        retry_after: Seconds until it is asked again.
    """

    def __init__(
        self, message: str, *, name: str = "", host: str = "", offset: int | None = None, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, name=name, host=host, offset=offset)
        self.retry_after = retry_after


class _LocalError(WBFilesError, OSError):
    """The local disk refused.

    Attributes:
        errno: The operating system's number for it.
        path: The local file.
    """

    def __init__(self, message: str, *, errno: int | None, path: Path) -> None:
        super().__init__(message)
        self.errno = errno
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        # OSError keeps errno outside of the instance's dictionary.
        return _without_init, (type(self),), self.__dict__ | {"args": self.args, "errno": self.errno}


class LocalWriteError(_LocalError):
    """The local disk refused: full, read-only, no permission, not a folder.

    Attributes:
        errno: The operating system's number for it.
        path: The local file that was to be written.
    """


class LocalReadError(_LocalError):
    """A local file that was to be uploaded cannot be: it is gone, not readable, no regular file, or changed meanwhile.

    Attributes:
        errno: The operating system's number for it; ``None`` if the file changed while it was read.
        path: The local file.
    """


class ObjectStoreError(WBFilesError, OSError):
    """The object store that files are written to failed or refused.

    Attributes:
        url: The root, without any secret.
        name: The file, or its key; empty if the failure concerns none.
        code: The store's own word for it, such as ``NoSuchBucket``; empty if it has none.
        concerns_all: Whether every file would meet it, as with a bucket that is missing.
    """

    def __init__(self, message: str, *, url: str, name: str = "", code: str = "", concerns_all: bool = False) -> None:
        super().__init__(message)
        self.url = url
        self.name = name
        self.code = code
        self.concerns_all = concerns_all
