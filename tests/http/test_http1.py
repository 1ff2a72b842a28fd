from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._http.http1 import ChunkedBody, MalformedError, ResponseHead, parse_head, request_head


def head(*lines: str) -> ResponseHead:
    return parse_head("\r\n".join([*lines, "", ""]).encode("latin-1"))


def chunked() -> ChunkedBody:
    return ChunkedBody(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


def test_request_is_sent_unchanged() -> None:
    fields = [(b"Host", b"store.example:8080"), (b"Range", b"bytes=0-1"), (b"Accept", b"*/*")]
    assert request_head(b"GET", b"/a%2Fb?X-Sig=~'!", fields) == (
        b"GET /a%2Fb?X-Sig=~'! HTTP/1.1\r\nHost: store.example:8080\r\nRange: bytes=0-1\r\nAccept: */*\r\n\r\n"
    )


@pytest.mark.parametrize("bad", [b"a\r\nX: 1", b"a\nb", b"a\0", b"a\r"])
def test_request_with_a_line_break_in_it_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        request_head(b"GET", b"/", [(b"Host", b"a"), (b"If-Match", bad)])
    with pytest.raises(ValueError, match="cannot be sent"):
        request_head(b"GET", b"/" + bad, [(b"Host", b"a")])


def test_request_with_a_blank_in_its_target_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        request_head(b"GET", b"/a HTTP/1.1", [(b"Host", b"a")])


def test_head_gives_status_fields_and_length() -> None:
    response = head("HTTP/1.1 206 Partial Content", 'ETag: "a"', "Content-Length:  10 ", "X: 1", "x: 2")
    assert response.status == 206
    assert response.headers == {"etag": '"a"', "content-length": "10", "x": "1, 2"}
    assert (response.length, response.chunked, response.keep_alive) == (10, False, True)


@pytest.mark.parametrize("status", [204, 304, 100])
def test_bodyless_responses_ignore_their_headers(status: int) -> None:
    assert head(f"HTTP/1.1 {status} -", "Content-Length: 10").length == 0


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["HTTP/1.1 200 OK", "Content-Length: 1"], True),
        (["HTTP/1.1 200 OK", "Content-Length: 0"], True),
        (["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"], False),
        (["HTTP/1.1 204 No Content"], True),
        (["HTTP/1.1 200 OK", "Content-Length: 1", "Connection: Close"], False),
        (["HTTP/1.1 200 OK"], False),
        (["HTTP/1.1 200", "Transfer-Encoding: chunked"], True),
        (["HTTP/1.1 200 OK", "Content-Length: 1", "Connection: te, close"], False),
        (["HTTP/1.0 200 OK", "Content-Length: 1"], False),
        (["HTTP/1.0 200 OK", "Content-Length: 1", "Connection: keep-alive"], True),
    ],
)
def test_connection_is_kept_if_the_body_end_is_known(lines: list[str], kept: bool) -> None:
    assert head(*lines).keep_alive is kept


@pytest.mark.parametrize(("method", "length"), [(b"GET", 5), (b"HEAD", 0)])
def test_response_to_head_has_no_body(method: bytes, length: int) -> None:
    assert parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method=method).length == length


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    "lines",
    [
        ["garbage"],
        ["HTTP/2 200 OK"],
        ["HTTP/1.1 20 OK"],
        ["HTTP/1.1 ²00 OK"],
        ["HTTP/1.1 200 OK", "no colon"],
        ["HTTP/1.1 200 OK", " folded: yes"],
        ["HTTP/1.1 200 OK", "A: 1", " and folded"],
        ["HTTP/1.1 200 OK", "Name : blank before the colon"],
        ["HTTP/1.1 200 OK", "A: nul\x00"],
        ["HTTP/1.1 200 OK", "A: line\nend"],
        ["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"],
        ["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"],
        ["HTTP/1.1 200 OK", "Content-Length: 5, 5"],
        ["HTTP/1.1 200 OK", "Content-Length: \x1c5"],
        ["HTTP/1.1 101 Switching", "Upgrade: h2c", "Connection: Upgrade"],
        ["HTTP/1.1 200 OK", "Content-Length: -1"],
        ["HTTP/1.1 200 OK", "Content-Length: 0x10"],
        ["HTTP/1.1 200 OK", "Content-Length: " + "9" * 20],
        ["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"],
        ["HTTP/1.1 200 OK", "Transfer-Encoding: gzip"],
        ["HTTP/1.1 200 OK", *("A: 1" for _ in range(1000))],
    ],
)
def test_ambiguous_head_is_refused(lines: list[str]) -> None:
    with pytest.raises(MalformedError):
        head(*lines)


@pytest.mark.fault(16)
@given(st.binary(max_size=300))
def test_any_head_is_parsed_or_refused(text: bytes) -> None:
    read = None
    with suppress(MalformedError):
        read = parse_head(text)
    assert read is None or 100 <= read.status <= 999


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(0, 20)), st.booleans())
def test_chunked_body_is_read_however_it_arrives(bodies: list[bytes], sizes: list[int], trailer: bool) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.next_event()
    server.next_event()
    server.send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]))
    text = b"".join(server.send(h11.Data(data=body)) or b"" for body in bodies)
    text += server.send(h11.EndOfMessage(headers=[("X", "1")] if trailer else [])) or b""
    chunks = chunked()
    pieces = cut(text, sizes)
    got = []
    for piece in pieces:
        assert not chunks.complete
        got.append(chunks.feed(piece))
    assert chunks.complete
    assert b"".join(got) == b"".join(bodies)


@pytest.mark.fault(3, 16)
@pytest.mark.parametrize(
    "text", [b"x\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"0\r\n\r\nmore", b"1" * 20 + b"\r\n", b"1;" + b"a" * 100_000]
)
def test_invalid_chunks_are_refused(text: bytes) -> None:
    with pytest.raises(MalformedError):
        chunked().feed(text)


@given(st.binary(max_size=200), st.lists(st.integers(0, 20)))
def test_any_chunks_are_parsed_or_refused(text: bytes, sizes: list[int]) -> None:
    chunks, got = chunked(), b""
    with suppress(MalformedError):
        for piece in cut(text, sizes):
            got += chunks.feed(piece)
    assert len(got) <= len(text)
