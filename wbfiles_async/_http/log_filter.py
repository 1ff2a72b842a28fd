"""Keeps signatures out of what httpx logs: the URL of each request at INFO, its transport's header fields at DEBUG.

A signed URL is a credential. Only URLs with a signature are shortened; all else is logged as it is.
"""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["install"]

# httpcore has a logger for each of its modules; a filter counts for its own logger only.
_OF_HTTPCORE: Final = ("connection", "http11", "http2", "proxy", "socks")
LOGGERS: Final = (
    *("httpx", "httpx2"),
    *(f"{core}.{name}" for core in ("httpcore", "httpcore2") for name in _OF_HTTPCORE),
)

# Of a URL that stands for itself, and of one that is relative to another, as redirects may be.
_QUERY: Final = re.compile(r"[?#]([^\s\"]*)")
_SIGNED: Final = re.compile(
    r"(?:^|[&;?])(?:sig|[\w.-]*(?:signature|credential|token|accesskeyid|accessid))=", re.IGNORECASE
)


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        shown = _QUERY.sub(_without_signature, text)
        if shown != text:
            record.msg, record.args = shown, None
        return True


def _without_signature(match: re.Match[str]) -> str:
    return "?***" if _SIGNED.search(match[1]) else match[0]


_filter: Final = _Redacting()


def install() -> None:
    """Have the loggers leave out signatures. Harmless when repeated."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)
