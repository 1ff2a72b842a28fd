"""A failed request: the next action, and the error to raise if nothing helps."""

from __future__ import annotations

import enum
import socket
import ssl
from contextlib import suppress

import httpx

from wbfiles_async._http.errors import (
    AddressError,
    CertificateError,
    ClientClosedError,
    EnvironmentInvalidError,
    NoThreadError,
    ProxyRefusedError,
)
from wbfiles_async.errors import ConfigurationError, TransferError, WBFilesError

__all__ = ["RequestFailed", "RetryAction", "network_failure"]


class RetryAction(enum.Enum):
    """The reaction to a failed request."""

    RETRY = "send it again after a wait"
    REFRESH = "request the file from the API again: its URL expired, or the object no longer exists"
    RESTART = "this is another object than before: start again"
    FETCH_WHOLE = "ranges are not served properly: request the whole file"
    DECODE = "the object is compressed: request its stored bytes and decompress them"
    FAIL = "retrying cannot help"


class RequestFailed(Exception):  # noqa: N818  # no caller sees it
    """A failed request. Internal: either a retry succeeds or ``error`` is raised.

    Attributes:
        action: What to do next.
        error: The error to raise if nothing helps.
        retry_after: Seconds to wait, as requested by the server.
        throttled: Whether the server throttles all requests.
        pause: Seconds without requests to it, if determined.
        hopeless: Whether a retry rarely helps, if the server has never responded before.
    """

    def __init__(
        self,
        action: RetryAction,
        error: WBFilesError,
        retry_after: float | None = None,
        *,
        throttled: bool = False,
        hopeless: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.action = action
        self.error = error
        self.retry_after = retry_after
        self.throttled = throttled
        self.hopeless = hopeless
        self.pause: float | None = None


def _forget_requests(error: BaseException) -> None:
    """Remove the requests from the errors of httpx and httpx2 that caused an error, in place.

    Pickles of errors with their causes, as in Dask, then contain no key in a header field, and no signed URL.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            if "_request" in vars(one):
                vars(one)["_request"] = None
            left += [one.__cause__, one.__context__]


def network_failure(error: Exception, *, name: str, host: str, offset: int | None) -> RequestFailed:
    """Classify an error of httpx; the only table from its errors to ours.

    Args:
        error: An ``httpx.TransportError`` or ``httpx.InvalidURL``.
        name: The file, for messages; empty for the API.
        host: The host of the request.
        offset: The first requested byte of a file.
    """
    _forget_requests(error)
    at = f" at byte {offset}" if offset else ""
    text = str(error) or type(error).__name__
    action, hopeless = RetryAction.RETRY, False
    match error:
        case ClientClosedError():
            closed = ConfigurationError("This client is closed. Make a new one, or close it later.")
            return RequestFailed(RetryAction.FAIL, closed)
        case NoThreadError():
            action = RetryAction.FAIL
        case EnvironmentInvalidError():
            return RequestFailed(RetryAction.FAIL, ConfigurationError(text))
        case CertificateError():
            action = RetryAction.FAIL
            text = (
                f"the certificate of {host} is not trusted ({text}). If it is your own authority's, set SSL_CERT_FILE "
                "to its certificate; WANDB_INSECURE_DISABLE_SSL has no effect here"
            )
        case AddressError():
            action = RetryAction.FAIL
            text = f"no request can be sent to {host}: {text}"
            if "private network" in text:
                text += ". If your store is in your own network, use TransferOptions(private_stores=True)"
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | httpx.InvalidURL():
            action = RetryAction.FAIL
            text = f"no request can be sent to {host or 'its URL'}: {text}"
        case ProxyRefusedError(status=407):
            action = RetryAction.FAIL
            text = (
                f"the proxy to {host} needs a user and a password ({text}). Write them into HTTP_PROXY or HTTPS_PROXY"
            )
        case httpx.ProxyError():
            hopeless = _is_hopeless(error)
            text = f"the proxy to {host} failed ({text}). Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        case httpx.ConnectTimeout() | httpx.ConnectError():
            hopeless = _is_hopeless(error)
            text = f"{host} cannot be reached ({text}). Check the network, the host and proxy settings"
        case httpx.ReadTimeout():
            text = f"{host} went silent{at} ({text})"
            if offset is None:
                text += ". If it needs longer, set WANDB_HTTP_TIMEOUT, or pass timeout=... to the client"
        case _:
            text = f"the connection to {host} broke{at} ({text})"
    where = f"{name}: " if name else ""
    failed = TransferError(f"{where}{text}.", name=name, host=host, offset=offset)
    return RequestFailed(action, failed, hopeless=hopeless)


def _is_hopeless(error: BaseException) -> bool:
    """Return whether the cause rarely passes: no listener, no such name, forbidden, no common TLS version."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ConnectionRefusedError() | PermissionError():
                return True
            case socket.gaierror():
                return cause.errno != socket.EAI_AGAIN
            case ssl.SSLError():
                return not isinstance(cause, ssl.SSLZeroReturnError | ssl.SSLEOFError)
        with suppress(AttributeError):
            causes = getattr(cause, "exceptions", ())
            if causes:
                return all(map(_is_hopeless, causes))
        cause = cause.__cause__
    return False
