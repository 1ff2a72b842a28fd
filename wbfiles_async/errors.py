"""Every error this library raises, as one tree.

::

    WBFilesError
    ├── ConfigurationError          ValueError
    ├── AuthenticationError         PermissionError
    ├── PermissionDeniedError       PermissionError
    ├── RunNotFoundError            LookupError
    ├── RemoteFileNotFoundError     FileNotFoundError
    ├── RemoteFileExistsError       FileExistsError
    ├── ApiError
    │   └── RateLimitedError
    ├── DestinationExistsError      FileExistsError, ValueError
    ├── UnsafePathError             ValueError
    │   └── NameCollisionError
    ├── UnsupportedReferenceError   ValueError
    ├── TransferError               OSError
    │   ├── IntegrityError
    │   ├── ObjectChangedError
    │   └── StoreUnavailableError
    ├── LocalWriteError             OSError
    ├── LocalReadError              OSError
    ├── ObjectStoreError            OSError
    ├── IncompleteDownloadError
    ├── IncompleteUploadError
    └── IncompleteDeletionError

Each class is also a subclass of the builtins on its right. Messages say what was wrong, what was expected and what to
do; they never contain a key, a token or the query of a signed URL. All errors can be pickled.
"""

from __future__ import annotations

from wbfiles_async._errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DestinationExistsError,
    IntegrityError,
    LocalReadError,
    LocalWriteError,
    NameCollisionError,
    ObjectChangedError,
    ObjectStoreError,
    PermissionDeniedError,
    RateLimitedError,
    RemoteFileExistsError,
    RemoteFileNotFoundError,
    RunNotFoundError,
    StoreUnavailableError,
    TransferError,
    UnsafePathError,
    UnsupportedReferenceError,
    WBFilesError,
)
from wbfiles_async._reports import IncompleteDeletionError, IncompleteDownloadError, IncompleteUploadError

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConfigurationError",
    "DestinationExistsError",
    "IncompleteDeletionError",
    "IncompleteDownloadError",
    "IncompleteUploadError",
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
