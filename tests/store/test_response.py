"""The pure decisions: which responses of a store are used, and the contiguous prefix of a file in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._retry.failure import RetryAction
from wbfiles_async._store.ranges import parse_content_range
from wbfiles_async._store.response import Body, Rejection, classify_error, strong_etag, validate_response

SIZE = 1000
number = st.integers(0, SIZE + 5)
digits = number.map(str) | st.sampled_from(["", "-1", "+5", "٣", "²", "9" * 20, "1.0", " 7", "0x10"])
content_range = st.one_of(
    st.builds(lambda a, b, c: f"bytes {a}-{b}/{c}", digits, digits, digits | st.just("*")),
    st.sampled_from(["*", "bytes */1000", "bytes 0--1/0", "bytes", "items 0-9/1000", "bytes 0-9,20-29/1000"]),
    st.text(max_size=20),
)
etag = st.sampled_from([None, '"a"', '"b"', 'W/"a"', "a", '""'])


def headers(**given: str | None) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items() if value is not None}


@pytest.mark.fault(19, 21, 24, 26, 27, 38)
@given(
    status=st.sampled_from([200, 201, 203, 204, 205, 206, 207, 226]),
    place=st.none() | content_range,
    length=st.none() | digits,
    encoding=st.sampled_from([None, "identity", "gzip", "Identity", "br"]),
    given_etag=etag,
    pinned=st.sampled_from([None, '"a"']),
    start=number,
    stop=st.none() | number,
    size=st.none() | st.just(SIZE),
)
def test_only_bytes_of_a_proven_position_are_used(
    status: int,
    place: str | None,
    length: str | None,
    encoding: str | None,
    given_etag: str | None,
    pinned: str | None,
    start: int,
    stop: int | None,
    size: int | None,
) -> None:
    answer = headers(content_range=place, content_length=length, content_encoding=encoding, etag=given_etag)
    found = validate_response(status, answer, start=start, stop=stop, size=size, etag=pinned)
    if isinstance(found, Rejection):
        assert found.reason
        assert found.action is not RetryAction.RETRY
        return
    assert found.start == start
    assert found.stop is None or stop is None or found.stop <= stop
    assert not (pinned and strong_etag(answer) not in (None, pinned))
    parsed = parse_content_range(place)
    if parsed is None:
        # Without a position only the whole can be meant, and only by a plain 200.
        assert (status, start) == (200, 0)
        assert stop is None or stop == size
        assert size is None or found.stop == size
    else:
        assert status in (200, 206)
        assert (found.start, found.stop) == (parsed.start, parsed.stop)
        assert size is None or parsed.total in (None, size)
        assert (
            length is None
            or not length.isdecimal()
            or not length.isascii()
            or int(length) == parsed.stop - parsed.start
        )


@given(st.integers(1, SIZE), st.integers(1, SIZE))
def test_valid_responses_are_used(one: int, other: int) -> None:
    start, stop = min(one, other) - 1, max(one, other)
    answer = headers(content_range=f"bytes {start}-{stop - 1}/{SIZE}", content_length=str(stop - start), etag='"a"')
    assert validate_response(206, answer, start=start, stop=stop, size=SIZE, etag='"a"') == Body(start, stop)
    assert validate_response(206, answer, start=start, stop=stop, size=None, etag=None) == Body(start, stop)
    # Some stores send 200 with a valid Content-Range.
    assert validate_response(200, answer, start=start, stop=stop, size=SIZE, etag=None) == Body(start, stop)


@pytest.mark.parametrize("length", [None, str(SIZE)])
def test_whole_body_is_used_with_and_without_a_length(length: str | None) -> None:
    answer = headers(content_length=length)
    assert validate_response(200, answer, start=0, stop=SIZE, size=SIZE, etag=None) == Body(0, SIZE)
    assert validate_response(200, answer, start=0, stop=None, size=None, etag=None) == Body(
        0, int(length) if length else None
    )


def test_response_may_be_shorter_but_never_longer() -> None:
    for stop, used in ((50, True), (100, True), (101, False)):
        answer = headers(content_range=f"bytes 10-{stop - 1}/{SIZE}")
        found = validate_response(206, answer, start=10, stop=100, size=SIZE, etag=None)
        assert isinstance(found, Body) is used


def test_response_short_of_the_end_is_not_the_rest() -> None:
    """If the size is unknown, nothing else would show that bytes are missing."""
    answer = headers(content_range=f"bytes 0-99/{SIZE}")
    assert isinstance(validate_response(206, answer, start=0, stop=None, size=None, etag=None), Rejection)
    whole = headers(content_range=f"bytes 0-{SIZE - 1}/{SIZE}")
    assert validate_response(206, whole, start=0, stop=None, size=None, etag=None) == Body(0, SIZE)


REJECTIONS = {
    "another object": (206, {"etag": '"b"', "content-range": "bytes 5-9/1000"}, RetryAction.RESTART),
    "another size": (206, {"content-range": "bytes 5-9/999"}, RetryAction.RESTART),
    "ranges ignored": (200, {"content-length": "1000"}, RetryAction.FETCH_WHOLE),
    "no position": (206, {}, RetryAction.FETCH_WHOLE),
    "another position": (206, {"content-range": "bytes 6-9/1000"}, RetryAction.FETCH_WHOLE),
    "a contradiction": (206, {"content-range": "bytes 5-9/1000", "content-length": "4"}, RetryAction.FETCH_WHOLE),
    "an encoding": (206, {"content-range": "bytes 5-9/1000", "content-encoding": "gzip"}, RetryAction.FETCH_WHOLE),
    "no content": (204, {}, RetryAction.FAIL),
}


@pytest.mark.fault(19, 21, 24, 26, 38, 40)
@pytest.mark.parametrize(("status", "answer", "found"), REJECTIONS.values(), ids=REJECTIONS.keys())
def test_rejected_response_has_a_retry_action(status: int, answer: dict[str, str], found: RetryAction) -> None:
    rejection = validate_response(status, answer, start=5, stop=10, size=SIZE, etag='"a"')
    assert isinstance(rejection, Rejection)
    assert rejection.action is found
    assert rejection.status == status


@pytest.mark.parametrize("value", [None, "", 'W/"a"', "a", "*"])
def test_weak_or_malformed_tag_identifies_nothing(value: str | None) -> None:
    assert strong_etag(headers(etag=value)) is None


def xml(code: str, message: str = "m") -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


REFUSALS = [
    (403, xml("AccessDenied", "Request has expired"), RetryAction.REFRESH),
    (400, xml("ExpiredToken"), RetryAction.REFRESH),
    (401, xml("ExpiredToken"), RetryAction.REFRESH),
    (403, b"", RetryAction.REFRESH),
    (404, xml("NoSuchKey"), RetryAction.REFRESH),
    (410, b"", RetryAction.REFRESH),
    (412, xml("PreconditionFailed"), RetryAction.RESTART),
    (416, xml("InvalidRange"), RetryAction.RESTART),
    *((status, xml("SlowDown"), RetryAction.RETRY) for status in (408, 425, 429, 500, 502, 503, 504, 522, 524)),
    *((status, b"", RetryAction.FAIL) for status in (300, 304, 400, 401, 402, 405, 411, 413, 451, 501, 505)),
    # A code decides only together with a status that fits.
    (500, xml("ExpiredToken"), RetryAction.RETRY),
    (400, xml("AccessDenied", "Request has expired"), RetryAction.REFRESH),
]


@pytest.mark.fault(41, 42, 49)
@pytest.mark.parametrize(("status", "body", "found"), REFUSALS)
def test_refusal_is_classified_by_code_and_status(status: int, body: bytes, found: RetryAction) -> None:
    assert classify_error(status, {}, body, now=0.0).action is found


@given(st.integers(100, 999), st.binary(max_size=300), st.text(max_size=30))
def test_any_refusal_is_classified(status: int, body: bytes, retry_after: str) -> None:
    rejection = classify_error(status, {"retry-after": retry_after}, body, now=0.0)
    assert str(status) in rejection.reason
    assert rejection.reason.isprintable()
    assert rejection.retry_after is None or 0 <= rejection.retry_after <= 300
