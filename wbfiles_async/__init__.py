"""Fast, safe, async-first access to the files of Weights & Biases runs."""

import logging
from typing import TYPE_CHECKING

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.files import AsyncFiles
from wbfiles_async._async.projects import AsyncProject, AsyncProjects
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._download.progress import Progress
from wbfiles_async._options import TransferOptions
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult, UploadReport
from wbfiles_async._sync.api import Api
from wbfiles_async._sync.file import File
from wbfiles_async._sync.files import Files
from wbfiles_async._sync.projects import Project, Projects
from wbfiles_async._sync.run import Run
from wbfiles_async._sync.runs import Runs
from wbfiles_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DestinationExistsError,
    IncompleteDeletionError,
    IncompleteDownloadError,
    IncompleteUploadError,
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

__version__ = "0.1.0"

if not TYPE_CHECKING:

    def __getattr__(name):
        # For scripts with `import wbfiles_async as wandb`.
        from wbfiles_async._async.unsupported import MODULE, raise_missing

        raise_missing(__name__, name, MODULE, "the package wandb")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)


# The application decides what is shown; without this handler, Python would print warnings.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Api",
    "ApiError",
    "AsyncApi",
    "AsyncFile",
    "AsyncFiles",
    "AsyncProject",
    "AsyncProjects",
    "AsyncRun",
    "AsyncRuns",
    "AuthenticationError",
    "ConfigurationError",
    "DeletionReport",
    "DestinationExistsError",
    "DownloadReport",
    "File",
    "FileResult",
    "Files",
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
    "Progress",
    "Project",
    "Projects",
    "RateLimitedError",
    "RemoteFileExistsError",
    "RemoteFileNotFoundError",
    "Run",
    "RunNotFoundError",
    "Runs",
    "StoreUnavailableError",
    "TransferError",
    "TransferOptions",
    "UnsafePathError",
    "UnsupportedReferenceError",
    "UploadReport",
    "WBFilesError",
    "__version__",
]
