"""Turn credentials into the headers of a request, and renew expired tokens.

Knows neither the sources of credentials nor the requests. The caller retries a failed exchange.
"""

from __future__ import annotations

import base64
import errno
import json
import logging
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, Protocol, TypeGuard

import aiofiles
import aiofiles.os
import anyio
import attrs
import httpx

from wbfiles_async._auth.credentials import ApiKey, IdentityToken
from wbfiles_async._backoff import parse_retry_after
from wbfiles_async._clock import Clock
from wbfiles_async._disk.folder import Folder, is_link
from wbfiles_async._disk.system import open_root
from wbfiles_async._messages import clean
from wbfiles_async._settings import Settings
from wbfiles_async.errors import ApiError, AuthenticationError, RateLimitedError, WBFilesError

__all__ = ["ApiKeyAuth", "Authenticator", "IdentityTokenAuth"]

logger = logging.getLogger(__name__)

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_RENEW_BEFORE = 300.0  # seconds; as in W&B's client, so that both use a cached token equally long
_REJECT_EVERY = 30.0  # seconds; longer than refusals of one token arrive one after the other
_LONGEST_LIFE = 30 * 86_400.0  # seconds; bounds the arithmetic of dates
_LONGEST_REASON = 300  # characters
_LONGEST_ASSERTION = 1 << 20  # bytes; no server accepts longer headers
_LONGEST_CACHE = 1 << 20  # bytes; about a hundred per server
_MOST_LINKS = 8
_PRIVATE = 0o600
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"  # in UTC
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


class Authenticator(Protocol):
    """Provides the header fields that authenticate a request. Safe to share between the tasks of one event loop."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers for a request that is about to be sent.

        Raises:
            AuthenticationError: There are none, and a retry would not help.
            ApiError: The server issued none, but may on a retry.
            httpx.TransportError: The server could not be reached.
        """
        ...

    async def refused(self) -> bool:
        """Record that a request received status 401.

        Returns:
            Whether the request should be repeated once, with fresh headers.
        """
        ...


@attrs.define(repr=False, eq=False)
class ApiKeyAuth:
    """Sends an API key with each request."""

    _key: ApiKey

    async def headers(self) -> Mapping[str, str]:
        """See `Authenticator.headers`; never fails."""
        encoded = base64.b64encode(f"api:{self._key.value}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}

    async def refused(self) -> bool:
        """See `Authenticator.refused`; a key never changes."""
        return False

    def __reduce__(self) -> NoReturn:
        _refuse_to_pickle()


@attrs.frozen
class _AccessToken:
    value: str = attrs.field(repr=False)
    expires_at: float  # seconds since the epoch, since the file is shared with other processes
    renew_at: float


@attrs.define(repr=False, eq=False)
class IdentityTokenAuth:
    """Exchanges a JWT for an access token that is used until shortly before it expires, and shared with W&B's client.

    If several tasks need a token, one requests it, and all receive its token or error.

    Args:
        credentials: Where the JWT is, and the file with access tokens.
        settings: The server, and the timeout for its response.
        send: Sends a request unchanged. It must not follow redirects: the request contains the JWT.
        clock: The time.
    """

    _credentials: IdentityToken
    _settings: Settings
    _send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    _clock: Clock
    _lock: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)
    _token: _AccessToken | None = attrs.field(default=None, init=False)
    _rejected: str = attrs.field(default="", init=False)
    _rejected_at: float = attrs.field(default=-math.inf, init=False)
    _failure: WBFilesError | httpx.TransportError | None = attrs.field(default=None, init=False)

    async def headers(self) -> Mapping[str, str]:
        """See `Authenticator.headers`."""
        token = self._token
        if token is None or token.renew_at <= self._clock.wall():
            token = await self._renewed()
        return {"Authorization": f"Bearer {token.value}"}

    async def refused(self) -> bool:
        """See `Authenticator.refused`."""
        # Tasks that were refused with the same token report that one after the other. The first report replaces it;
        # the others must not discard its successor.
        now = self._clock.monotonic()
        if self._token is not None and now - self._rejected_at > _REJECT_EVERY:
            self._rejected, self._rejected_at, self._token = self._token.value, now, None
        return True

    async def _renewed(self) -> _AccessToken:
        """Return a token that does not expire soon: another task's, another process's, or a new one."""
        earlier = self._failure
        async with self._lock:
            if self._token is not None and self._token.renew_at > self._clock.wall():
                return self._token
            if self._failure is not None and self._failure is not earlier:
                raise self._failure  # of the task that requested it while this one waited
            try:
                self._token = await self._cached() or await self._exchange()
            except (WBFilesError, httpx.TransportError) as failure:
                self._failure = failure
                raise
            self._failure = None  # its frames contain the JWT
            return self._token

    async def _cached(self) -> _AccessToken | None:
        """Return the token of the shared file, if it does not expire soon and was not rejected."""
        cache = self._credentials.cache
        token = await _read_cached(cache, self._settings.base_url) if cache else None
        if token is None or token.renew_at <= self._clock.wall() or token.value == self._rejected:
            return None
        return token

    async def _exchange(self) -> _AccessToken:
        """Request a new token, and share it."""
        assertion = await _read_assertion(self._credentials.path)
        requested_at = self._clock.wall()
        token = self._parse(await self._post(assertion), requested_at)
        if self._credentials.cache is not None:
            # An interrupted thread would keep writing unseen.
            with anyio.CancelScope(shield=True):
                await _write_cached(self._credentials.cache, self._settings.base_url, token)
        return token

    async def _post(self, assertion: str) -> bytes:
        """Send the exchange and return the body of its response.

        Source:
            RFC 7523 section 2.1; ``core/internal/api/credentials.go`` of W&B's client.
        """
        timeout = self._settings.timeout
        request = httpx.Request(
            "POST",
            f"{self._settings.base_url}/oidc/token",
            data={"grant_type": _GRANT_TYPE, "assertion": assertion},
            headers={"User-Agent": self._settings.user_agent, "Accept": "application/json"},
            extensions={"timeout": httpx.Timeout(timeout).as_dict()},
        )
        try:
            # Other tasks wait for this one; a trickling server must not block them all.
            with anyio.fail_after(timeout):
                response = await self._send(request)
                try:
                    body = await response.aread()
                finally:
                    with anyio.CancelScope(shield=True):
                        await response.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout(f"no access token within {timeout:g} seconds") from None
        if response.status_code != 200:
            raise self._refusal(response, body, assertion)
        return body

    def _refusal(self, response: httpx.Response, body: bytes, assertion: str) -> WBFilesError:
        status = response.status_code
        reason = _reason(body, assertion)
        answer = f"{self._settings.base_url} answered HTTP {status}" + (f" ({reason})" if reason else "")
        messages = (reason,) if reason else ()
        if status == 429:
            retry_after = parse_retry_after(response.headers.get("retry-after"), self._clock.wall())
            return RateLimitedError(
                f"{answer} to the request for an access token", messages=messages, retry_after=retry_after
            )
        if 400 <= status <= 499:
            return AuthenticationError(
                f"{answer} to the identity token in {self._credentials.path}. Check that it has not expired "
                "and that its issuer and audience are set up for your organization in W&B"
            )
        return ApiError(f"{answer} to the request for an access token", status=status, messages=messages)

    def _parse(self, body: bytes, requested_at: float) -> _AccessToken:
        answer = _json_object(body)
        value, lifetime = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not _HEADER_SAFE.fullmatch(value) or not _is_lifetime(lifetime):
            raise ApiError(
                f"{self._settings.base_url}/oidc/token gave no usable access_token with its expires_in; check "
                "that base_url is the API of W&B",
                status=200,
            )
        life = min(lifetime, _LONGEST_LIFE)
        # With the whole margin, a token with a shorter life would be exchanged for each request.
        return _AccessToken(value, requested_at + life, requested_at + life - min(_RENEW_BEFORE, life / 2))

    def __reduce__(self) -> NoReturn:
        _refuse_to_pickle()


def _refuse_to_pickle() -> NoReturn:
    raise TypeError("Credentials are not pickled, so that they do not end up in files; look them up again.")


def _is_lifetime(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _json_object(content: bytes) -> dict[str, object]:
    """Parse a JSON object; return an empty one if it is invalid."""
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _reason(body: bytes, assertion: str) -> str:
    """Return the server's error message in one line, unless it quotes the token."""
    answer = _json_object(body)
    texts = (answer.get("error"), answer.get("error_description"))
    message = ": ".join(text for text in texts if isinstance(text, str))
    if not message and not body.lstrip().startswith(b"<"):
        message = body.decode(errors="replace")
    quoted = any(part in message for part in assertion.split("."))
    return "" if quoted else clean(message, _LONGEST_REASON)


async def _read_assertion(path: Path) -> str:
    """Return the JWT that the identity provider has written to the file."""
    try:
        async with aiofiles.open(path, "rb") as file:
            content = await file.read(_LONGEST_ASSERTION)
    except OSError as error:
        flaw = f"cannot be read ({error.strerror})"
    else:
        assertion = content.decode("ascii", errors="replace").strip()
        if _HEADER_SAFE.fullmatch(assertion):
            return assertion
        flaw = "holds no token" if assertion else "is empty"
    raise AuthenticationError(
        f"The identity token file {path} {flaw}. Point WANDB_IDENTITY_TOKEN_FILE to the file with the JWT of "
        "your identity provider, or set WANDB_API_KEY instead"
    )


@aiofiles.os.wrap
def _read_cached(path: Path, base_url: str) -> _AccessToken | None:
    """Return a server's token from the file of W&B's client; ``None`` if there is no valid one."""
    try:
        with _own_file(path) as (folder, name):
            entries = _document(folder, name).get("credentials")
    except OSError:
        return None
    entry = entries.get(base_url) if isinstance(entries, dict) else None
    if not isinstance(entry, dict):
        return None
    value, expires_at = entry.get("access_token"), entry.get("expires_at")
    if not isinstance(value, str) or not _HEADER_SAFE.fullmatch(value) or not isinstance(expires_at, str):
        return None
    try:
        end = datetime.strptime(expires_at, _TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return _AccessToken(value, end, end - _RENEW_BEFORE)


@aiofiles.os.wrap
def _write_cached(path: Path, base_url: str, token: _AccessToken) -> None:
    """Write a server's token to the file of W&B's client; if that fails, only log a warning.

    Only the owner can read it. It is replaced atomically, and the entries of other servers are kept.
    """
    expires_at = datetime.fromtimestamp(token.expires_at, UTC).strftime(_TIME_FORMAT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _own_file(path) as (folder, name):
            try:
                document = _document(folder, name)
            except FileNotFoundError:
                document = {}
            entries = document.get("credentials")
            others = entries if isinstance(entries, dict) else {}
            document["credentials"] = others | {base_url: {"expires_at": expires_at, "access_token": token.value}}
            _replace(folder, name, json.dumps(document, indent=2).encode())
    except OSError as error:
        logger.warning("the access token cannot be kept in %s: %s", path, error.strerror)


def _document(folder: Folder, name: str) -> dict[str, object]:
    """Read a file that others may have written, without blocking on special files and within a bound."""
    file = folder.open_for_reading(name)
    try:
        if not stat.S_ISREG(file.status().st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(_LONGEST_CACHE + 1, 0)
    finally:
        file.close()
    if len(content) > _LONGEST_CACHE:
        raise OSError(errno.EFBIG, f"it is longer than {_LONGEST_CACHE:,} bytes")
    return _json_object(content)


@contextmanager
def _own_file(path: Path) -> Iterator[tuple[Folder, str]]:
    """Open the folder of a path, and yield it with the file's name; links at the end are followed.

    Raises:
        OSError: The file, or a link to it, belongs to another user, who could choose what is read or replaced.
    """
    for _ in range(_MOST_LINKS):
        folder = open_root(path.parent)
        try:
            if not _is_own_link(path.name, folder):
                yield folder, path.name
                return
            path = path.parent / folder.link_target(path.name)
        finally:
            folder.close()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_own_link(name: str, folder: Folder) -> bool:
    try:
        found = folder.status(name)
    except FileNotFoundError:
        return False
    if sys.platform != "win32" and found.st_uid not in (os.geteuid(), 0):
        raise OSError(errno.EPERM, f"{name} belongs to another user")
    return is_link(found)


def _replace(folder: Folder, name: str, content: bytes) -> None:
    file = folder.create(f".{name}.{secrets.token_hex(8)}")
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest, len(content) - len(rest)) :]
        file.publish(name, mode=_PRIVATE, replace=True, durable=False)
    except BaseException:
        with suppress(OSError):
            file.remove()
        raise
    file.close()
