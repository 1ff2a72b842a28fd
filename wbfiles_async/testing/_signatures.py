"""Signed, expiring URLs of stored objects, like those of S3. Performs no I/O."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import attrs

_DATE_FORMAT = "%Y%m%dT%H%M%SZ"


class SignatureError(Exception):
    """The URL is not signed, not signed by this server, or expired.

    Attributes:
        code: S3's error code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen
class Signatures:
    """Signs the path of an object for one method, and checks signatures.

    Attributes:
        secret: The key of the signatures.
        lifetime: Seconds that a signed URL is valid.
        clock: Returns the time, in seconds since the epoch.
    """

    secret: bytes = attrs.field(repr=False)
    lifetime: int
    clock: Callable[[], float]

    def sign(self, method: str, path: str) -> str:
        """Return the path, quoted, with a signature as its query.

        Args:
            method: The HTTP method to allow.
            path: The decoded path, with the leading ``/``.
        """
        date = datetime.fromtimestamp(self.clock(), UTC).strftime(_DATE_FORMAT)
        signature = self._signature(method, path, date, str(self.lifetime))
        query = f"X-Amz-Date={date}&X-Amz-Expires={self.lifetime}&X-Amz-Signature={signature}"
        return f"{quote(path)}?{query}"

    def check(self, method: str, path: str, query: Mapping[str, str]) -> None:
        """Check that this server signed the path for this method, and that the signature has not expired.

        Raises:
            SignatureError: The signature is missing, wrong or expired.
        """
        signature = query.get("X-Amz-Signature")
        date, lifetime = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
        if signature is None:
            raise SignatureError("AccessDenied", "Access Denied")
        expected = self._signature(method, path, date, lifetime)
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise SignatureError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        signed = datetime.strptime(date, _DATE_FORMAT).replace(tzinfo=UTC)
        if self.clock() >= (signed + timedelta(seconds=int(lifetime))).timestamp():
            raise SignatureError("AccessDenied", "Request has expired")

    def _signature(self, method: str, path: str, date: str, lifetime: str) -> str:
        signed = "\n".join((method, path, date, lifetime))
        return hmac.new(self.secret, signed.encode(), hashlib.sha256).hexdigest()
