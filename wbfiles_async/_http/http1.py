"""The wire format of HTTP/1.1: request heads, response heads, chunked bodies. Performs no I/O.

llhttp parses it (httptools), in strict mode: it is fuzzed by Node, takes about as long as a few regular expressions,
and refuses ambiguous messages. What it leaves open is refused here.

Source:
    RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import attrs
import httptools

__all__ = ["MAX_HEAD_BYTES", "ChunkedBody", "MalformedError", "ResponseHead", "parse_head", "request_head"]

MAX_HEAD_BYTES: Final = 64 * 1024
"""Maximum bytes of a head, far above that of any server, so that a hostile one cannot fill the memory."""

_MOST_FIELDS: Final = 200
_MOST_FRAMING: Final = 64 * 1024
"""Maximum bytes of chunk sizes, extensions and trailers between two bytes of a body."""

_DIGITS: Final = re.compile(rb"[0-9]{1,19}")
_CANNOT_BE_SENT: Final = re.compile(rb"[\x00\r\n]")
_NO_BODY: Final = frozenset({204, 304})

Fields = Iterable[tuple[bytes, bytes]]


class MalformedError(ValueError):
    """The bytes are not valid HTTP/1.1."""


@attrs.frozen(slots=False)
class ResponseHead:
    """The head of a response.

    Attributes:
        status: The status.
        reason: The reason phrase.
        fields: The header fields as they arrived.
        length: Length of the body in bytes; ``None`` if the body ends otherwise.
        chunked: Whether the body is chunked.
        keep_alive: Whether the connection can be used again after the body.
        text: The head's own bytes.
    """

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None
    chunked: bool
    keep_alive: bool
    text: bytes = attrs.field(repr=False)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The header fields, names in lower case; repeated ones joined by a comma."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.fields:
            name, value = raw_name.lower().decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


def request_head(method: bytes, target: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request.

    Raises:
        ValueError: A part of it contains a line break or a null.
    """
    block = b"".join([b"%b: %b\r\n" % field for field in fields])
    lines = len(_CANNOT_BE_SENT.findall(block))
    if lines != 2 * len(fields) or _CANNOT_BE_SENT.search(target) or b" " in target:
        raise ValueError("a request that cannot be sent: a header field or the URL holds a line break or a blank")
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, block)


class _Parsed:
    """Receives llhttp's events."""

    __slots__ = ("body", "complete", "fields", "head_complete", "keep_alive", "messages", "parser", "reason")

    def __init__(self) -> None:
        self.parser: httptools.HttpResponseParser | None = None
        self.keep_alive = False
        self.fields: list[tuple[bytes, bytes]] = []
        self.reason = b""
        self.body: list[bytes] = []
        self.messages = 0
        self.head_complete = self.complete = False

    def on_message_begin(self) -> None:
        self.messages += 1
        if self.messages > 1:
            raise MalformedError("something follows the body")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b" \t")))
        if len(self.fields) > _MOST_FIELDS:
            raise MalformedError("too many header fields")

    def on_headers_complete(self) -> None:
        self.head_complete = True
        if self.parser is not None:  # at the end of an empty body llhttp has forgotten its length
            self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)

    def on_message_complete(self) -> None:
        self.complete = True


def parse_head(text: bytes, *, method: bytes = b"GET") -> ResponseHead:
    """Parse a response head, the empty line at its end included.

    Args:
        text: The head.
        method: The request's method: the responses to some have no body.

    Raises:
        MalformedError: It is not a valid head, or ambiguous.
    """
    parsed = _Parsed()
    parser = httptools.HttpResponseParser(parsed)
    parsed.parser = parser
    try:
        _feed(parser, text)
    finally:
        parsed.parser = None  # no cycle for the garbage collector
    if not parsed.head_complete:
        raise MalformedError("an incomplete head")
    status = parser.get_status_code()
    if status < 100:
        raise MalformedError("no valid status")
    stated, encoding = _body_fields(parsed.fields)
    if encoding is not None and encoding.strip().lower() != b"chunked":
        raise MalformedError("an unknown transfer encoding")
    if status < 200 or status in _NO_BODY or method == b"HEAD" or (method == b"CONNECT" and status < 300):
        length: int | None = 0
    elif stated is None:
        length = None
    elif _DIGITS.fullmatch(stated):
        length = int(stated)
    else:
        raise MalformedError("a malformed length")
    chunked = encoding is not None and length is None
    keep_alive = parsed.keep_alive and (chunked or length is not None)
    return ResponseHead(status, parsed.reason, parsed.fields, length, chunked, keep_alive, text)


def _body_fields(fields: Fields) -> tuple[bytes | None, bytes | None]:
    """Return the values of ``Content-Length`` and ``Transfer-Encoding``; llhttp refuses more than one length."""
    length = encoding = None
    for name, value in fields:
        if len(name) == 14 and name.lower() == b"content-length":
            length = value
        elif len(name) == 17 and name.lower() == b"transfer-encoding":
            encoding = value if encoding is None else encoding + b", " + value
    return length, encoding


def _feed(parser: httptools.HttpResponseParser, data: bytes | memoryview) -> None:
    try:
        parser.feed_data(data)
    except httptools.HttpParserCallbackError as error:
        raise MalformedError(str(error.__context__ or error)) from None
    except httptools.HttpParserUpgrade:
        raise MalformedError("an unexpected change of protocol") from None
    except httptools.HttpParserError as error:
        raise MalformedError(str(error)) from None


class ChunkedBody:
    """Decodes a chunked body, however it arrives.

    Args:
        head: The head that it follows.

    Attributes:
        complete: Whether the last chunk and the trailers have arrived.
    """

    def __init__(self, head: ResponseHead) -> None:
        self._parsed = _Parsed()
        self._parser = httptools.HttpResponseParser(self._parsed)
        self._framing = 0
        _feed(self._parser, head.text)
        self._parsed.fields.clear()

    @property
    def complete(self) -> bool:
        """Whether the whole body has arrived."""
        return self._parsed.complete

    def feed(self, data: bytes | memoryview) -> bytes:
        """Decode received bytes, and return those of the body.

        Raises:
            MalformedError: It is not a valid chunked body, or something follows it.
        """
        if self.complete:
            raise MalformedError("something follows the body")
        _feed(self._parser, data)
        body = b"".join(self._parsed.body)
        self._parsed.body.clear()
        self._framing = 0 if body else self._framing + len(data)
        if self._framing > _MOST_FRAMING:
            raise MalformedError("chunks without a body")
        return body
