"""Cleans a server's text for an exception's message. Performs no I/O."""

from __future__ import annotations

import html
import re

from wbfiles_async._urls import scrub

__all__ = ["clean", "described_page", "is_markup"]

# More is never shown, and unbounded scrubbing would let a server waste our time.
_LONGEST_INPUT = 16_384  # characters
_LONGEST_TITLE = 100  # characters
_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<]{1,1000})</title", re.IGNORECASE)


def clean(text: str, limit: int) -> str:
    """Return one line of printable text without secrets, of at most ``limit`` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text[:_LONGEST_INPUT])
    line = " ".join(printable.split())
    if len(text) > _LONGEST_INPUT:
        # The last word was truncated; half a key is not recognised as one.
        line = line.rpartition(" ")[0]
    line = scrub(line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def is_markup(body: bytes) -> bool:
    """Return whether a body is HTML or XML."""
    return body[:_LONGEST_INPUT].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def described_page(body: bytes) -> str:
    """Return a description of an HTML page for a message, with its title, which often names the sender."""
    match = _TITLE.search(body[:_LONGEST_INPUT])
    title = clean(html.unescape(match[1].decode(errors="replace")), _LONGEST_TITLE) if match else ""
    return f"an HTML page titled {title!r}" if title else "an HTML page"
