"""Translates failures of an object store, without their secrets. Performs no I/O."""

from __future__ import annotations

import re
from typing import Final

import attrs

from wbfiles_async._messages import clean
from wbfiles_async._store.store_errors import parse_store_error
from wbfiles_async.errors import ObjectStoreError

__all__ = ["is_missing", "is_refused", "store_failure"]

_BODY: Final = re.compile(r"<\?xml.*|<Error>.*", re.DOTALL)
_STATUS: Final = re.compile(r"status code: (\d{3})|status: (\d{3})")
_LONGEST: Final = 300
# From cloud metadata services for credentials, which are queried if there are no others.
_METADATA: Final = re.compile(
    r"169\.254\.169\.254|169\.254\.170\.|metadata\.google\.internal|/latest/(?:api/token|meta-data)|"
    r"/metadata/identity|security-credentials",
    re.IGNORECASE,
)

_NO_CREDENTIALS: Final = (
    "no credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3), "
    "GOOGLE_APPLICATION_CREDENTIALS (gs) or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (az), or give a "
    "store of obstore that has them"
)
_BUCKET_CODES: Final = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "ResourceNotFound"})
_KEY_CODES: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed", "ExpiredToken", "InvalidToken"}
)


@attrs.frozen
class _Meaning:
    """A classified failure.

    Attributes:
        message: What was wrong and what to do.
        concerns_all: Whether every file would meet it.
    """

    message: str
    concerns_all: bool


def store_failure(error: Exception, *, name: str, url: str) -> ObjectStoreError:
    """Translate an error of obstore.

    Args:
        error: The error.
        name: The file, for messages; empty if it concerns none.
        url: The root.
    """
    text = str(error).partition("Debug source:")[0]
    body = _BODY.search(text)
    parsed = parse_store_error((body[0] if body else "").encode())
    meaning = _meaning_of(type(error).__name__, str(error), parsed.code, parsed.message)
    where = f"{name}: " if name else ""
    return ObjectStoreError(
        f"{where}{url} cannot be written to: {meaning.message}.",
        url=url,
        name=name,
        code=parsed.code,
        concerns_all=meaning.concerns_all,
    )


def _meaning_of(kind: str, text: str, code: str, message: str) -> _Meaning:
    reason = f"{code} ({message})" if code and message else code or _first_line(text)
    if code in _BUCKET_CODES:
        return _Meaning(f"there is no such bucket, {reason}. Make it, or check its name", concerns_all=True)
    if code in _KEY_CODES or kind == "UnauthenticatedError":
        return _Meaning(f"the store did not accept the credentials, {reason}", concerns_all=True)
    if _METADATA.search(text):
        return _Meaning(_NO_CREDENTIALS, concerns_all=True)
    if is_refused(kind, text):
        return _Meaning(
            f"the store refuses, {reason}. Check that these credentials may write there and list what is there",
            concerns_all=True,
        )
    return _Meaning(reason, concerns_all=False)


def _first_line(text: str) -> str:
    return clean(text.partition("Debug source:")[0].partition("<?xml")[0].rstrip().rstrip(":. "), _LONGEST)


def is_missing(kind: str, text: str) -> bool:
    """Return whether there is no such object.

    Args:
        kind: The name of the class of what obstore raised.
        text: Its text.
    """
    return kind in ("NotFoundError", "FileNotFoundError") and not any(code in text for code in _BUCKET_CODES)


def is_refused(kind: str, text: str) -> bool:
    """Return whether the store knows the caller and refuses."""
    if _METADATA.search(text) or any(code in text for code in _KEY_CODES):
        return False
    status = _STATUS.search(text)
    return kind in ("PermissionDeniedError", "PermissionError") or (status is not None and "403" in status.groups())
