"""Derives a file's bucket and key from its signed URL. Performs no I/O."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from wbfiles_async._urls import is_fetchable

__all__ = ["path_uri"]

# The greedy bucket also matches text that looks like an endpoint (a bucket may be called `logs.s3.archive`).
# Access points, Outposts and website endpoints name no bucket and are excluded.
# Source: Amazon S3 User Guide, "Virtual hosting of buckets", and the endpoint rules of botocore 1.43.
_HOST = re.compile(
    r"""
    (?: (?P<bucket> [a-z0-9_-][a-z0-9._-]* ) \. )?
    (?:
        s3                                                          # global
      | s3 (?:-fips)? (?:\.dualstack)? \. (?P<region> [a-z]{2}(?:-[a-z]+)+-[0-9]+ )
      | s3 (?:-fips)? - (?: [a-z]{2}(?:-[a-z]+)+-[0-9]+ | external-1 )  # legacy, with a dash
      | s3-accelerate (?:\.dualstack)?
    )
    \. amazonaws \. com (?:\.cn)?
    """,
    re.VERBOSE,
)
# As lenient as the names of the oldest buckets in us-east-1.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")


def path_uri(url: str | None, direct_url: str | None) -> str:
    """Return the URI of the file: ``s3://bucket/key``, a reference's own URI, or ``""`` if unknown.

    Args:
        url: The file's URL on the API's host.
        direct_url: The file's signed URL; equal to ``url`` for a reference file.
    """
    if not direct_url:
        return ""
    if direct_url == url:
        return direct_url
    return _s3_uri(direct_url)


def _s3_uri(signed_url: str) -> str:
    if not is_fetchable(signed_url):
        return ""
    parts = urlsplit(signed_url)
    host = _HOST.fullmatch(parts.hostname or "")
    if host is None or parts.port not in (None, 443 if parts.scheme == "https" else 80):
        return ""
    try:
        # A "+" in a path is a plus; only forms and queries write a blank so.
        path = unquote(parts.path.removeprefix("/"), errors="strict")
    except UnicodeDecodeError:
        return ""
    bucket, key = (host["bucket"], path) if host["bucket"] else path.split("/", 1) if "/" in path else ("", "")
    if not key or not _BUCKET.fullmatch(bucket):
        return ""
    return f"s3://{bucket}/{key}"
