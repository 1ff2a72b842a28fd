"""Speaks HTTP/1.1 as far as a GET needs it: the request's text, the head of an answer, chunked bodies.

Performs no I/O. What could be read in two ways is refused: the other side is wrong, or hostile.

Source:
    RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import attrs

__all__ = ["MAX_HEAD_BYTES", "Chunks", "Head", "MalformedError", "fields_text", "parse_head", "request_text"]

MAX_HEAD_BYTES: Final = 64 * 1024
"""Bytes of a head, far above what any store sends, so that a hostile one cannot fill the memory."""

_MOST_FIELDS: Final = 200
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\x00]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*?)[ \t]*")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_LONGEST_CHUNK_LINE: Final = 4096
_COMMON_FIELD_BYTES: Final = 64
_NO_BODY: Final = frozenset({204, 304})


class MalformedError(ValueError):
    """What came is not HTTP/1.1 as it should be."""


@attrs.frozen
class Head:
    """The head of an answer.

    Attributes:
        status: The status.
        headers: The fields, names in lower case; repeated ones joined by a comma.
        length: Bytes of the body; ``None`` where its end is told otherwise.
        chunked: Whether the body comes in chunks.
        keep_alive: Whether the connection can be used again after the body.
    """

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunked: bool
    keep_alive: bool


def fields_text(headers: Mapping[str, str]) -> str:
    """Write header fields, for ``request_text``."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def request_text(target: str, host: str, fields: str) -> bytes:
    """Write the head of a GET.

    Args:
        target: Path and query, as they shall reach the wire.
        host: Host, and port where it is not the scheme's.
        fields: Further fields, from ``fields_text``.

    Raises:
        UnicodeEncodeError: Something is not ASCII.
    """
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode("ascii")


def parse_head(text: bytes) -> Head:
    """Read a head, without the empty line at its end.

    Raises:
        MalformedError: It can be read in no way, or in two.
    """
    first, *lines = text.split(b"\r\n")
    minor, status = _parse_status_line(first)
    if len(lines) > _MOST_FIELDS:
        raise MalformedError("too many header fields")
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _common_field(line) if len(line) <= _COMMON_FIELD_BYTES else _parse_field(line)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    chunked = "transfer-encoding" in headers
    connection = headers.get("connection", "").lower()
    keep_alive = connection != "close" if minor == b"1" else connection == "keep-alive"
    if chunked and headers["transfer-encoding"].lower() != "chunked":
        raise MalformedError("an unknown transfer encoding")
    length = 0 if status in _NO_BODY or status < 200 else _length(headers)
    if chunked and "content-length" in headers:
        raise MalformedError("both a length and chunks")
    return Head(status, headers, length, chunked and length is None, keep_alive and (chunked or length is not None))


@lru_cache(maxsize=64)
def _parse_status_line(line: bytes) -> tuple[bytes, int]:
    """Give HTTP's minor version and the status."""
    status_line = _STATUS_LINE.fullmatch(line)
    if status_line is None:
        raise MalformedError("no status line")
    return status_line[1], int(status_line[2])


def _parse_field(line: bytes) -> tuple[str, str]:
    field = _FIELD.fullmatch(line)
    if field is None:
        raise MalformedError("a malformed header field")
    return field[1].decode("ascii").lower(), field[2].decode("latin-1")


# A store sends most of its fields alike with each of thousands of files.
_common_field = lru_cache(maxsize=256)(_parse_field)


def _length(headers: Mapping[str, str]) -> int | None:
    stated = headers.get("content-length")
    if stated is None:
        return None
    length, *others = stated.split(",")
    if any(other.strip() != length.strip() for other in others) or not _DIGITS.fullmatch(length.strip()):
        raise MalformedError("contradicting or malformed lengths")
    return int(length)


@attrs.define
class Chunks:
    """Takes the chunks of a body apart, however they arrive.

    Attributes:
        ended: Whether the last chunk and all that follows it has come.
    """

    ended: bool = False
    _text: bytearray = attrs.field(factory=bytearray)
    _rest: int = 0
    _after_data: bool = False
    _in_trailer: bool = False

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take what arrived, and give the bytes of the body in it.

        Raises:
            MalformedError: It is no chunked body, or something follows it.
        """
        self._text += data
        body = bytearray()
        while self._text and not self.ended:
            if self._rest:
                piece = self._text[: self._rest]
                body += piece
                self._rest -= len(piece)
                self._after_data = not self._rest
                del self._text[: len(piece)]
                continue
            line = self._line()
            if line is None:
                break
            self._take(line)
        if self.ended and self._text:
            raise MalformedError("something follows the body")
        return bytes(body)

    def _line(self) -> bytes | None:
        end = self._text.find(b"\r\n")
        if end > _LONGEST_CHUNK_LINE or (end < 0 and len(self._text) > _LONGEST_CHUNK_LINE):
            raise MalformedError("a chunk without an end")
        if end < 0:
            return None
        line = bytes(self._text[:end])
        del self._text[: end + 2]
        return line

    def _take(self, line: bytes) -> None:
        if self._in_trailer:
            self.ended = not line
        elif self._after_data:
            if line:
                raise MalformedError("a chunk longer than it says")
            self._after_data = False
        else:
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise MalformedError("a malformed chunk")
            self._rest = int(size[1], 16)
            self._in_trailer = not self._rest
