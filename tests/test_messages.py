from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._messages import clean


def test_line_breaks_and_control_characters_become_blanks() -> None:
    assert clean("a\r\n\x1b[31mb\x00\u202e  c\ud800", 100) == "a [31mb c"


def test_long_text_is_cut_visibly() -> None:
    assert clean("abcdef", 4) == "abc…"


def test_truncated_secret_is_not_shown_in_part() -> None:
    key = "0123456789abcdef" * 3
    for filler in (470, 16_370):
        shown = clean("x " * (filler // 2) + key, 16_384)
        assert key[:8] not in shown


def test_partial_secret_at_the_input_limit_is_removed() -> None:
    long_url = "https://h/?" + "x" * 16_360
    assert clean(f"{long_url} 0123456789abcdef0123456789abcdef01234567", 500) == "https://h/"


@given(st.text(), st.integers(1, 50))
def test_any_text_becomes_one_printable_line_within_the_bound(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
