"""Authenticates requests of the API: by the one key, or by access tokens. Performs no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import attrs

_HEADER = {"alg": "HS256", "typ": "JWT"}


@attrs.frozen
class Access:
    """Accepts the API key and the access tokens that it issued.

    Attributes:
        api_key: The key, sent as the password of basic authentication.
        secret: The key that signs access tokens.
        token_lifetime: Seconds that an access token is valid.
        clock: Returns the time, in seconds since the epoch.
    """

    api_key: str = attrs.field(repr=False)
    secret: bytes = attrs.field(repr=False)
    token_lifetime: int
    clock: Callable[[], float]

    def accepts(self, authorization: str | None) -> bool:
        """Return whether an ``Authorization`` header contains the key or a valid access token."""
        scheme, _, credentials = (authorization or "").partition(" ")
        match scheme.lower():
            case "basic":
                return self._is_api_key(credentials)
            case "bearer":
                return self._is_token(credentials)
            case _:
                return False

    def identity_token(self, subject: str) -> str:
        """Return an identity token that is accepted: a JWT signed with the API key (HS256), which does not expire."""
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (_HEADER, {"sub": subject}))
        return f"{signed}.{self._jwt_signature(signed)}"

    def exchange(self, assertion: str) -> str | None:
        """Return an access token for an identity token; ``None`` if it is not signed with the API key."""
        signed, _, signature = assertion.rpartition(".")
        if not signed.count(".") or not _are_equal(signature, self._jwt_signature(signed)):
            return None
        expires = str(int(self.clock()) + self.token_lifetime)
        return f"{expires}.{self._signature(expires)}"

    def _is_api_key(self, credentials: str) -> bool:
        try:
            _, _, key = base64.b64decode(credentials, validate=True).partition(b":")
        except ValueError:  # not base64, or not even ASCII
            return False
        return hmac.compare_digest(key, self.api_key.encode())

    def _is_token(self, token: str) -> bool:
        expires, _, signature = token.partition(".")
        return _are_equal(signature, self._signature(expires)) and self.clock() < int(expires)

    def _signature(self, expires: str) -> str:
        return hmac.new(self.secret, _bytes(expires), hashlib.sha256).hexdigest()

    def _jwt_signature(self, signed: str) -> str:
        return _encoded(hmac.new(self.api_key.encode(), _bytes(signed), hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    # aiohttp decodes bytes of a header that are not UTF-8 as surrogates.
    return text.encode(errors="surrogatepass")


def _are_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(_bytes(given), expected.encode())
