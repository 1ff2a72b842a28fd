"""Removes signatures from httpx's log: the URL of each request at INFO, the header fields at DEBUG.

A signed URL is a credential. Only URLs with a signature are shortened; everything else is logged unchanged.
"""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["install"]

# httpcore has a logger for each module, and a filter applies only to its own logger.
_OF_HTTPCORE: Final = ("connection", "http11", "http2", "proxy", "socks")
LOGGERS: Final = (
    *("httpx", "httpx2"),
    *(f"{core}.{name}" for core in ("httpcore", "httpcore2") for name in _OF_HTTPCORE),
)

# In an absolute URL, and in a relative one, as in redirects.
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
    """Install the filters. Idempotent."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)
