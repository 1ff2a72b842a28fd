from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.json_values import whole_number
from wbfiles_async._graphql.responses import MAX_ANSWER_BYTES, check_deleted, parse_answer, parse_viewer
from wbfiles_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitedError,
    WBFilesError,
)

KEY = "0123456789abcdef0123456789abcdef01234567"


def answer(status: int, content: object, retry_after: float | None = None) -> dict[str, object]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_answer(status, body, host="api.example", retry_after=retry_after)


@pytest.mark.parametrize("extra", [{}, {"errors": None}, {"errors": []}, {"error": None}, {"error": ""}])
def test_data_without_errors_is_returned(extra: dict[str, object]) -> None:
    assert answer(200, {"data": {"a": 1}, **extra}) == {"a": 1}


@pytest.mark.fault(66)
@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ({"error": "no"}, ("no",)),
        ({"error": {"message": "no"}}, ("no",)),
        ({"errors": ["no", "way"]}, ("no", "way")),
        ({"errors": [{"message": "no", "path": ["a"], "extensions": {}}]}, ("no",)),
        ({"errors": {"message": "no"}}, ("no",)),
        ({"errors": "no"}, ("no",)),
        ({"errors": [{"message": "no"}], "data": None}, ("no",)),
        ({"errors": [{"message": "no"}], "data": {"project": {"run": None}}}, ("no",)),
        ({"errors": [None, {}, 7]}, ("an error without a message",) * 3),
    ],
)
def test_success_with_errors_is_an_error_with_all_messages(content: object, messages: tuple[str, ...]) -> None:
    with pytest.raises(ApiError) as caught:
        answer(200, content)
    assert caught.value.status == 200
    assert caught.value.messages == messages
    assert all(message in str(caught.value) for message in messages)
    assert "api.example" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!doctype html><title>Sign in</title>", "proxy.*base_url is wrong"),
        (b"\xef\xbb\xbf\r\n<html>", "proxy"),
        (b"<html><title>Sign in</title>", "an HTML page titled 'Sign in' instead of JSON"),
        (b'{"data": {"a": 1', "no JSON"),
        (b"", "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"data": ' + b"9" * 5000 + b"}", "without data"),
        (b'{"data": [' + b"{}," * 500_000 + b"{}]}", "more than 1,000,000 values.*per_page"),
        (b'{"data": ' + b"[" * 1_000_001, "more than 1,000,000 values"),
        (b'{"data": [' + b"1," * 1_000_000 + b"1]}", "more than 1,000,000 values"),
        (b" " * (MAX_ANSWER_BYTES + 1), "more than"),
        ([], "no GraphQL answer"),
        ("data", "no GraphQL answer"),
        ({}, "without data"),
        ({"data": None}, "without data"),
        ({"data": []}, "without data"),
    ],
)
def test_invalid_response_is_an_error_with_a_reason(content: object, reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as caught:
        answer(200, content)
    assert caught.value.__cause__ is None


def test_large_page_is_within_the_bounds() -> None:
    edge = {
        "node": dict.fromkeys(["id", "name", "url", "directUrl", "sizeBytes", "mimetype", "updatedAt", "md5"]),
        "cursor": 1,
    }
    data = {"project": {"run": {"files": {"edges": [edge] * 50_000}}}}
    assert answer(200, {"data": data}) == data


def test_refusal_of_too_many_values_keeps_its_status() -> None:
    with pytest.raises(ApiError, match="HTTP 500") as caught:
        answer(500, b"[" + b"{}," * 1_000_000 + b"{}]")
    assert caught.value.status == 500


@pytest.mark.parametrize("digits", [21, 400, 5000, 1_000_000])
def test_oversized_number_affects_no_other_value(digits: int) -> None:
    data = answer(200, b'{"data": {"a": 1, "b": ' + b"9" * digits + b', "c": -7}}')
    assert (data["a"], whole_number(data["b"]), data["c"]) == (1, None, -7)


@given(st.integers(-(2**63), 2**64 - 1))
def test_numbers_of_64_bits_are_exact(number: int) -> None:
    assert answer(200, {"data": {"a": number}}) == {"a": number}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (429, RateLimitedError),
        (404, ApiError),
        (500, ApiError),
    ],
)
@pytest.mark.parametrize(
    "content", [{"error": "so"}, {"errors": [{"message": "so"}]}, b"so", {"message": "so"}, b"<html>", b""]
)
def test_each_status_has_its_error(status: int, kind: type[WBFilesError], content: object) -> None:
    with pytest.raises(kind) as caught:
        answer(status, content)
    assert type(caught.value) is kind
    assert str(status) in str(caught.value)
    expected = {b"<html>": "an HTML page", b"": "no reason given"}
    assert (expected.get(content, "so") if isinstance(content, bytes) else "so") in str(caught.value)


def test_title_of_a_refusing_web_page_is_shown() -> None:
    with pytest.raises(ApiError, match=r"HTTP 502: an HTML page titled '502 Bad Gateway'"):
        answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>")


def test_refusal_data_is_not_returned() -> None:
    with pytest.raises(ApiError):
        answer(500, {"data": {"a": 1}})


def test_redirect_hints_at_the_base_url() -> None:
    with pytest.raises(ApiError, match="base_url"):
        answer(302, b"")


def test_rate_limit_carries_the_wait() -> None:
    with pytest.raises(RateLimitedError, match="rate limit exceeded") as caught:
        answer(429, {"error": "rate limit exceeded"}, retry_after=30.0)
    assert caught.value.retry_after == 30.0
    assert caught.value.status == 429


@pytest.mark.fault(110)
@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
def test_messages_are_without_secrets_and_bounded(status: int) -> None:
    texts = [f"bad key {KEY} at https://h/x?sig=S3CRET " + "x " * 5000] * 100
    with pytest.raises(WBFilesError) as caught:
        answer(status, {"errors": texts})
    assert KEY not in str(caught.value)
    assert "S3CRET" not in str(caught.value)
    assert len(str(caught.value)) < 2500
    if isinstance(caught.value, ApiError):
        assert len(caught.value.messages) == 10
        assert KEY not in "".join(caught.value.messages)


@pytest.mark.fault(67)
@given(
    st.integers(100, 599),
    st.binary() | st.recursive(st.text(), st.lists).map(lambda v: json.dumps(v).encode()),
)
def test_any_body_is_data_or_a_typed_error(status: int, body: bytes) -> None:
    with pytest.raises(WBFilesError):
        parse_answer(status, body, host="h")


def test_confirmed_deletion_passes() -> None:
    check_deleted({"deleteFiles": {"success": True}})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"deleteFiles": None},
        {"deleteFiles": {}},
        {"deleteFiles": {"success": False}},
        {"deleteFiles": {"success": "true"}},
    ],
)
def test_unconfirmed_deletion_is_an_error(data: dict[str, object]) -> None:
    with pytest.raises(ApiError, match="not confirm"):
        check_deleted(data)


def test_viewers_entity_is_the_default() -> None:
    assert parse_viewer({"viewer": {"entity": "team", "username": "me"}}) == "team"


@pytest.mark.parametrize(
    "data",
    [
        {},
        *({"viewer": viewer} for viewer in (None, {"entity": None}, {"entity": ""}, {"entity": "e\ud800"}, ["entity"])),
    ],
)
def test_missing_default_entity_is_explained(data: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="WANDB_ENTITY"):
        parse_viewer(data)
