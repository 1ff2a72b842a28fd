"""Parses the responses of W&B's GraphQL API: the data, or the right error. Performs no I/O."""

from __future__ import annotations

import json
from typing import Final

from wbfiles_async._graphql.json_values import mapping, text
from wbfiles_async._messages import clean, described_page, is_markup
from wbfiles_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitedError,
)

__all__ = ["MAX_ANSWER_BYTES", "check_deleted", "parse_answer", "parse_entities", "parse_viewer"]

# A page of a thousand files with their signed URLs has about 3 MB.
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
# Parsed values may take thirty times the body (`{},` is three bytes, then 72), and the body a thousand times its
# compressed size. A listed file has 12 values; a million values take 130 MB, without their texts. Python itself
# bounds the depth.
_MOST_VALUES: Final = 1_000_000
# No meaningful number has more than 64 bits; conversion takes quadratic time.
_LONGEST_INTEGER: Final = 20  # characters
_MOST_MESSAGES: Final = 10
_LONGEST_MESSAGE: Final = 500  # characters
# More than `clean` reads, so that `clean` truncates.
_LONGEST_PLAIN: Final = 100_000  # bytes
_LONGEST_SUM: Final = 2000  # characters


def parse_answer(status: int, body: bytes, *, host: str, retry_after: float | None = None) -> dict[str, object]:
    """Return the ``data`` of a GraphQL response.

    Data with errors is never returned.

    Args:
        status: The HTTP status.
        body: The whole body.
        host: The server's host, for messages.
        retry_after: Seconds to wait according to the headers, for `RateLimitedError`.

    Raises:
        AuthenticationError: Status 401.
        PermissionDeniedError: Status 403.
        RateLimitedError: Status 429.
        ApiError: Any other failure status, an error in the response, or no GraphQL response.
    """
    answer, flaw = _decode(body)
    messages = _messages(answer)
    if not 200 <= status <= 299:
        raise _refusal(status, host, messages or _plain_message(body), retry_after)
    if flaw:
        raise ApiError(f"{host} answered HTTP {status} with {flaw}", status=status)
    if messages:
        raise ApiError(f"{host} answered with an error: {_join(messages)}", status=status, messages=messages)
    data = answer.get("data")
    if not isinstance(data, dict):
        raise ApiError(f"{host} answered HTTP {status} without data", status=status)
    return data


def check_deleted(data: dict[str, object]) -> None:
    """Check the response to a deletion.

    Raises:
        ApiError: The server does not confirm success.
    """
    outcome = data.get("deleteFiles")
    if not isinstance(outcome, dict) or outcome.get("success") is not True:
        raise ApiError("the server did not confirm that the files were deleted", status=200)


def parse_viewer(data: dict[str, object]) -> str:
    """Return the default entity of the user.

    Raises:
        ConfigurationError: The account has none.
    """
    entity = text(mapping(data.get("viewer")).get("entity"))
    if entity is not None:
        return entity
    raise ConfigurationError(
        "these credentials have no default entity: give entity/project/run_id, or set WANDB_ENTITY"
    )


def parse_entities(data: dict[str, object]) -> list[str]:
    """Return the entities of the user: the default one, and the teams."""
    viewer = mapping(data.get("viewer"))
    listed = mapping(viewer.get("teams")).get("edges")
    teams = [mapping(mapping(edge).get("node")).get("name") for edge in listed] if isinstance(listed, list) else []
    names = map(text, [viewer.get("entity"), *teams, viewer.get("username")])
    return list(dict.fromkeys(name for name in names if name is not None))


def _decode(body: bytes) -> tuple[dict[str, object], str]:
    """Return the response and ``""``, or an empty one and what is wrong with the body."""
    if len(body) > MAX_ANSWER_BYTES:
        return {}, f"more than {MAX_ANSWER_BYTES} bytes"
    if is_markup(body):
        return {}, f"{described_page(body)} instead of JSON: a proxy or a login page answered, or base_url is wrong"
    # Each value but the first follows one of these; those in texts are counted, too.
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        return {}, f"more than {_MOST_VALUES:,} values: base_url may be wrong, or per_page too large"
    try:
        answer: object = json.loads(body, parse_int=_integer)
    except RecursionError:
        return {}, "JSON that is nested too deeply"
    except ValueError:
        return {}, "what is no JSON, or only a part of it"
    if not isinstance(answer, dict):
        return {}, "JSON that is no GraphQL answer"
    return answer, ""


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _messages(answer: dict[str, object]) -> tuple[str, ...]:
    """Return the messages of all errors in a response, in any format of W&B's servers."""
    found: list[object] = []
    for key in ("errors", "error"):
        value = answer.get(key)
        found += value if isinstance(value, list) else [value] if value else []
    del found[_MOST_MESSAGES:]
    texts = [error.get("message") if isinstance(error, dict) else error for error in found]
    return tuple(
        clean(message, _LONGEST_MESSAGE)
        if isinstance(message, str) and message.strip()
        else "an error without a message"
        for message in texts
    )


def _plain_message(body: bytes) -> tuple[str, ...]:
    """Return the message of a refusal that is not from the API but from a proxy in front of it."""
    if is_markup(body):
        return (described_page(body),)
    message = clean(body[:_LONGEST_PLAIN].decode(errors="replace"), _LONGEST_MESSAGE)
    return (message,) if message else ()


def _join(messages: tuple[str, ...]) -> str:
    joined = "; ".join(messages)
    return joined if len(joined) <= _LONGEST_SUM else joined[: _LONGEST_SUM - 1] + "…"


def _refusal(
    status: int, host: str, messages: tuple[str, ...], retry_after: float | None
) -> ApiError | AuthenticationError | PermissionDeniedError:
    reason = _join(messages) or "no reason given"
    if status == 401:
        return AuthenticationError(
            f"{host} did not accept the credentials (HTTP 401: {reason}); "
            "give api_key, set WANDB_API_KEY, or run `wandb login` for this host"
        )
    if status == 403:
        return PermissionDeniedError(f"{host} refused (HTTP 403: {reason}); the account may lack access")
    if status == 429:
        return RateLimitedError(
            f"{host} asks to slow down (HTTP 429: {reason})", messages=messages, retry_after=retry_after
        )
    hint = "; base_url may be wrong" if 300 <= status <= 399 or status == 404 else ""
    return ApiError(f"{host} answered HTTP {status}: {reason}{hint}", status=status, messages=messages)
