from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._store.store_errors import StoreError, is_expired, page_instead, parse_store_error


def xml(code: str, message: str, more: str = "") -> bytes:
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return f"{head}<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()


S3_EXPIRED = xml(
    "AccessDenied",
    "Request has expired",
    "<X-Amz-Expires>60</X-Amz-Expires><Expires>2018-03-29T11:17:34Z</Expires><HostId>x</HostId>",
)
S3_TOKEN = xml("ExpiredToken", "The provided token has expired.")
S3_DENIED = xml("AccessDenied", "Access Denied")
GCS_EXPIRED = xml("ExpiredToken", "The provided token has expired.", "<Details>Request has expired: 120</Details>")


def azure(detail: str) -> bytes:
    message = (
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
        "correctly including the signature.\nRequestId:159c33a8-0001-001e-3e4c-f15ade000000\n"
        "Time:2016-08-08T08:11:13.7348778Z"
    )
    more = f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>"
    return b"\xef\xbb\xbf" + xml("AuthenticationFailed", message, more)


AZURE_FRAME = azure(
    "Signature not valid in the specified time frame: Start [Tue, 06 Aug 2019 07:52:04 GMT] - "
    "Expiry [Tue, 06 Aug 2019 15:52:04 GMT] - Current [Tue, 06 Aug 2019 15:52:05 GMT]"
)
AZURE_EMPTY_FRAME = azure(
    "Signed expiry time [Mon, 08 Aug 2016 08:08:51 GMT] must be after signed start time [Mon, 08 Aug 2016 08:11:13 GMT]"
)
AZURE_MISMATCH = azure("Signature did not match. String to sign used was r")


@pytest.mark.fault(41, 42)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, S3_EXPIRED),
        (400, S3_TOKEN),
        (403, S3_TOKEN),
        (400, GCS_EXPIRED),
        (403, AZURE_FRAME),
        (403, AZURE_EMPTY_FRAME),
        (403, xml("ExpiredRequest", "Request has expired")),
    ],
)
def test_expired_signature_is_recognised(status: int, body: bytes) -> None:
    assert is_expired(status, parse_store_error(body))


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, S3_DENIED),
        (403, AZURE_MISMATCH),
        (403, xml("SignatureDoesNotMatch", "The signature has expired or not")),
        (403, b""),
        (404, S3_EXPIRED),
        (503, S3_TOKEN),
        (403, b"Request has expired"),
    ],
)
def test_other_refusals_are_no_expired_signature(status: int, body: bytes) -> None:
    assert not is_expired(status, parse_store_error(body))


def test_code_and_message_are_parsed() -> None:
    assert parse_store_error(S3_DENIED) == StoreError("AccessDenied", "Access Denied")


def test_details_of_other_stores_are_kept() -> None:
    assert "Request has expired: 120" in parse_store_error(GCS_EXPIRED).message
    assert "Expiry [Tue, 06 Aug 2019 15:52:04 GMT]" in parse_store_error(AZURE_FRAME).message


def test_escapes_are_decoded_and_signatures_removed() -> None:
    body = xml("X", "a &lt;b&gt; at https://h/x?X-Amz-Signature=S3CRET&amp;sig=S3CRET &amp;lt;")
    assert parse_store_error(body).message == "a <b> at https://h/x &lt;"


def test_string_to_sign_is_not_read() -> None:
    body = xml("SignatureDoesNotMatch", "No match.", "<StringToSign>S3CRET</StringToSign>")
    assert parse_store_error(body) == StoreError("SignatureDoesNotMatch", "No match.")


def test_plain_text_is_the_message() -> None:
    assert parse_store_error(b"no healthy upstream\n") == StoreError("", "no healthy upstream")


@pytest.mark.parametrize("body", [b"", b"<p>Oops</p>", b"\xff\xfe\x00", b"<Code>" * 50_000])
def test_empty_body_has_no_details(body: bytes) -> None:
    assert parse_store_error(body) == StoreError("", "")


def test_entities_are_not_expanded() -> None:
    declarations = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    bomb = declarations + b"<Error><Code>X</Code><Message>&b;</Message></Error>"
    assert parse_store_error(bomb) == StoreError("X", "&b;")


def test_huge_body_is_read_in_part() -> None:
    shown = parse_store_error(b"word " * 1_000_000)
    assert len(shown.message) <= 500


@given(st.binary(max_size=2000) | st.text().map(lambda text: xml(text, text)))
def test_any_body_is_summarised_bounded_and_printable(body: bytes) -> None:
    error = parse_store_error(body)
    assert error.code.isascii()
    assert len(error.message) <= 500
    assert error.message.isprintable()


PAGE = b"<!DOCTYPE html>\n<html><head><title>Blocked by &quot;policy&quot;</title></head></html>"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (PAGE, "an HTML page titled 'Blocked by \"policy\"'"),
        (b"<html>\r\n<head><title>502 Bad Gateway</title></head>", "an HTML page titled '502 Bad Gateway'"),
        (b"<html><body>Oops</body></html>", "an HTML page"),
        (b"<html><title> </title>", "an HTML page"),
        (
            b"<html><title>at https://u:S3CRET@h/?sig=S3CRET \x1b[31m</title>",
            "an HTML page titled 'at https://h/ [31m'",
        ),
    ],
)
def test_refusal_by_a_web_page(body: bytes, message: str) -> None:
    assert parse_store_error(body) == StoreError("", message)


@pytest.mark.parametrize(
    ("content_type", "beginning"),
    [
        ("text/html", b""),
        ("text/html; charset=utf-8", b"Sign in"),
        ("Application/XHTML+XML", b""),
        (None, PAGE),
        ("", b"\xef\xbb\xbf\r\n <HTML>"),
        ("application/octet-stream", b"<?xml version='1.0'?>\n<!-- a --><!-- <b> -->\n<!doctype html>"),
        ("text/plain", b"<head>"),
    ],
)
def test_web_page_in_place_of_a_file(content_type: str | None, beginning: bytes) -> None:
    message = page_instead(content_type, beginning, name="a/model.bin")
    assert message is not None
    assert "HTML page" in message
    assert message.endswith("came instead of the file: a login page, a proxy or a firewall is in the way")
    assert page_instead(content_type, beginning, name="media/a.HTML") is None


def test_title_of_a_web_page_in_place_of_a_file() -> None:
    message = page_instead("text/html", PAGE, name="a")
    assert message is not None
    assert message.startswith("an HTML page titled 'Blocked by \"policy\"' came")


@pytest.mark.parametrize(
    ("content_type", "beginning"),
    [
        (None, b""),
        ("application/json", b'{"a": "<html>"}'),
        ("text/plain", b"text <html>"),
        (None, b"<!-- a"),
        (None, b"<Error><Code>AccessDenied</Code></Error>"),
        (None, b"<svg></svg>"),
        (None, b"<htmlx>"),
        ("x-text/html-not", b"x"),
    ],
)
def test_no_web_page(content_type: str | None, beginning: bytes) -> None:
    assert page_instead(content_type, beginning, name="a") is None


@pytest.mark.parametrize(
    "piece", [b"<!---->", b"<!--", b"-->", b"<?", b" ", b"<title>", b"<title", b"<!doctype ", b"<?>"]
)
def test_long_body_takes_time_in_proportion(piece: bytes) -> None:
    """Quadratic time would exceed the suite's time limit."""
    body = piece * ((4 << 20) // len(piece))
    page_instead(None, body, name="a")
    parse_store_error(body)


@given(st.text(), st.binary(max_size=300), st.text())
def test_any_response_is_classified(content_type: str, beginning: bytes, name: str) -> None:
    message = page_instead(content_type, beginning, name=name)
    assert message is None or message.isprintable()
