"""Who may use the API: the one key, and access tokens given for identity tokens. Performs no I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

import attrs

_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


@attrs.frozen
class Access:
    """Accepts the API key and the access tokens that it issued.

    Attributes:
        api_key: The key, sent as the password of basic authentication.
        secret: Key of the access tokens.
        token_lifetime: Seconds that an access token is accepted.
        clock: Tells the time, in seconds since the epoch.
    """

    api_key: str = attrs.field(repr=False)
    secret: bytes = attrs.field(repr=False)
    token_lifetime: int
    clock: Callable[[], float]

    def accepts(self, authorization: str | None) -> bool:
        """Tell whether an ``Authorization`` header names the key or a valid access token."""
        scheme, _, credentials = (authorization or "").partition(" ")
        match scheme.lower():
            case "basic":
                return self._is_api_key(credentials)
            case "bearer":
                return self._is_token(credentials)
            case _:
                return False

    def exchange(self, assertion: str) -> str | None:
        """Return an access token for an identity token; ``None`` where it has not the shape of a JWT."""
        if not _JWT.fullmatch(assertion):
            return None
        expires = str(int(self.clock()) + self.token_lifetime)
        return f"{expires}.{self._signature(expires)}"

    def _is_api_key(self, credentials: str) -> bool:
        try:
            _, _, key = base64.b64decode(credentials, validate=True).partition(b":")
        except binascii.Error:
            return False
        return hmac.compare_digest(key, self.api_key.encode())

    def _is_token(self, token: str) -> bool:
        expires, _, signature = token.partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature(expires).encode())
        return genuine and self.clock() < int(expires)

    def _signature(self, expires: str) -> str:
        return hmac.new(self.secret, expires.encode(), hashlib.sha256).hexdigest()
