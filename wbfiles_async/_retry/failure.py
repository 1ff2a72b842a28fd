"""A failed request: what is done next, and the error that is raised if nothing helps."""

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
    """What is done about a failed request."""

    RETRY = "send it again, after a while"
    REFRESH = "ask the API for the file again: its URL expired, or the object is gone"
    RESTART = "this is not the object that was begun: begin again"
    FETCH_WHOLE = "ranges are not served properly here: fetch the whole in one piece"
    DECODE = "what is stored is compressed: fetch the stored bytes and decompress them here"
    FAIL = "no other attempt can help"


class RequestFailed(Exception):  # noqa: N818  # no caller sees it
    """One request failed. Never leaves the package: either another attempt succeeds or ``error`` is raised.

    Attributes:
        action: What to do next.
        error: What is raised if nothing helps.
        retry_after: Seconds the server asked to wait.
        throttled: Whether the server asks for fewer requests, from everybody.
        pause: Seconds in which no request is sent to it, if that was decided.
        hopeless: Whether another attempt hardly ever helps, if the server has never answered before.
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
    """Take the requests from the errors of httpx and httpx2 that led to one, in place.

    Who pickles errors with what caused them, as Dask does, finds no key in a header field then, and no signed URL.
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
    """Classify what httpx raised for a request; the one table from its errors to ours.

    Args:
        error: An ``httpx.TransportError`` or ``httpx.InvalidURL``.
        name: The file, for messages; empty for the API.
        host: Where the request was sent.
        offset: The first byte that was requested, if it was a file's.
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
            text = f"{host} cannot be asked: {text}"
            if "private network" in text:
                text += ". If your store lies in your own network, use TransferOptions(private_stores=True)"
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | httpx.InvalidURL():
            action = RetryAction.FAIL
            text = f"{host or 'its URL'} cannot be asked: {text}"
        case ProxyRefusedError(status=407):
            action = RetryAction.FAIL
            text = (
                f"the proxy to {host} wants a user and a password ({text}). Write them into HTTP_PROXY or HTTPS_PROXY"
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
    """Return whether waiting hardly ever changes the reason: nobody listens, no such name, forbidden, no common TLS."""
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
