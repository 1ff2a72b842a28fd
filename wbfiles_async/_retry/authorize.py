"""Credentials for a request, with their failures classified like any other."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from wbfiles_async._auth.authenticators import Authenticator
from wbfiles_async._backoff import is_transient
from wbfiles_async._retry.failure import RequestFailed, RetryAction, network_failure
from wbfiles_async.errors import ApiError, RateLimitedError

__all__ = ["api_failure", "authorization"]


async def authorization(authenticator: Authenticator, *, name: str, host: str) -> Mapping[str, str]:
    """Return the header fields that authenticate a request.

    Args:
        authenticator: Provides them; an identity token may have to be exchanged first.
        name: The file, for messages; empty for the API.
        host: The API's host.

    Raises:
        RequestFailed: There are none at the moment.
        AuthenticationError: There are none, and a retry would not help.
    """
    try:
        return await authenticator.headers()
    except httpx.TransportError as error:
        raise network_failure(error, name=name, host=host, offset=None) from error
    except ApiError as error:
        raise api_failure(error) from error


def api_failure(error: ApiError) -> RequestFailed:
    """Classify an error of the API."""
    transient = isinstance(error, RateLimitedError) or is_transient(error.status)
    retry_after = error.retry_after if isinstance(error, RateLimitedError) else None
    return RequestFailed(RetryAction.RETRY if transient else RetryAction.FAIL, error, retry_after)
