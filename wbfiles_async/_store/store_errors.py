"""Parses error responses of object stores.

Performs no I/O. The bodies are untrusted XML: bounded patterns match the few relevant elements, so that no entity is
ever expanded.
"""

from __future__ import annotations

import re

import attrs

from wbfiles_async._messages import clean, described_page

__all__ = ["StoreError", "is_expired", "is_throttle", "page_instead", "parse_store_error"]

# More than `clean` reads, so that `clean` truncates. S3's longest answer is below 4 KiB.
_LONGEST_BODY = 100_000  # bytes
_LONGEST_MESSAGE = 500  # characters

_CODE = re.compile(r"<Code(?:\s[^<>]{0,200})?>\s{0,20}([A-Za-z0-9._-]{1,100})\s{0,20}</Code>")
# S3; GCS adds Details, Azure AuthenticationErrorDetail.
_TEXT = re.compile(r"<(Message|Details|AuthenticationErrorDetail)(?:\s[^<>]{0,200})?>([^<]{1,4000})</\1>")
# The beginning of a web page, after blanks, comments and a declaration. Atomic: no backtracking.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>(?:\s+|<!--.*?-->|<\?[^>]*>)*)<(?:!doctype\s{1,9}html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_PAGE_NAMES = (".html", ".htm", ".xhtml")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))

# R2 and NooBaa have their own codes; STS tokens expire with status 400 on S3, signed URLs on GCS.
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredRequest", "RequestExpired"})
_EXPIRED_STATUSES = frozenset({400, 401, 403})

_THROTTLE_STATUSES = frozenset({429, 503})
# With other statuses too, on stores that speak S3 or Azure's language.
_THROTTLE_CODES = frozenset({"SlowDown", "ServerBusy", "Throttling", "ThrottlingException", "TooManyRequests"})


@attrs.frozen
class StoreError:
    """Why a store refused.

    Attributes:
        code: The store's own code, such as ``AccessDenied``; empty if the body has none.
        message: Its message, in one line and without secrets; may be empty.
    """

    code: str
    message: str


def parse_store_error(body: bytes) -> StoreError:
    """Return code and message of an error body of S3, GCS, Azure or a server like them; never fails."""
    text = body[:_LONGEST_BODY].decode("utf-8-sig", errors="replace")
    code = _CODE.search(text)
    message = " ".join(match[2].strip() for match in _TEXT.finditer(text))
    if not message and "<" not in text and "\N{REPLACEMENT CHARACTER}" not in text:
        message = text  # a proxy's plain "no healthy upstream"
    elif not message and not code and _PAGE.match(body[:_LONGEST_BODY]):
        message = described_page(body)  # of a proxy or a firewall; stores answer XML
    for entity, character in _ENTITIES:
        message = message.replace(entity, character)
    return StoreError(code=code[1] if code else "", message=clean(message, _LONGEST_MESSAGE))


def is_expired(status: int, error: StoreError) -> bool:
    """Return whether the signed URL has expired and a fresh one would be accepted.

    Decided by the store's code and message, since status 403 alone may also be a real refusal.
    """
    if status not in _EXPIRED_STATUSES:
        return False
    if error.code == "AccessDenied":
        return "request has expired" in error.message.lower()
    if error.code == "AuthenticationFailed":
        # Azure uses the first message for a valid time frame, the second for an empty one.
        message = error.message.lower()
        return "not valid in the specified time frame" in message or "signed expiry time" in message
    return error.code in _EXPIRED_CODES


def is_throttle(status: int, error: StoreError) -> bool:
    """Return whether the store throttles all requests, rather than refusing this one."""
    return status in _THROTTLE_STATUSES or error.code in _THROTTLE_CODES


def page_instead(content_type: str | None, beginning: bytes, *, name: str) -> str | None:
    """Return a description of a web page that arrived in place of a file.

    Captive portals, login pages and firewalls respond with status 200, as if their page had been requested.

    Args:
        content_type: The response's ``Content-Type``.
        beginning: The first bytes of its body; may be empty if the type suffices.
        name: The file's name: if the file is a web page itself, the result is ``None``.

    Returns:
        ``None`` if it is no web page, as far as known.
    """
    if name.lower().endswith(_PAGE_NAMES):
        return None
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in _PAGE_TYPES and not _PAGE.match(beginning[:_LONGEST_BODY]):
        return None
    return f"{described_page(beginning)} came instead of the file: a login page, a proxy or a firewall is in the way"
