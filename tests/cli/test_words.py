"""The pure parts of the command line: text formatting, and the counting behind the progress display."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._cli.amounts import parse_bytes, parse_range
from wbfiles_async._display.tally import Tally
from wbfiles_async._reports import FileResult
from wbfiles_async._text import clock, counted, local_time, printable, seconds_of, share_of, size_of

MIB = 1 << 20


class TestWords:
    @given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "L", "N"])))
    def test_printable_text_is_one_line_without_control_characters(self, text: str) -> None:
        shown = printable(text)
        assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        shown.encode("utf-8")

    @given(st.text(st.characters(categories=["L", "N", "P", "S"])))
    def test_printable_leaves_ordinary_text_alone(self, text: str) -> None:
        assert printable(text) == text

    @pytest.mark.parametrize(
        ("count", "words"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1023.96 * 1024, "1.0 MiB"),
            (64.14 * MIB, "64.1 MiB"),
            (MIB * MIB, "1.0 TiB"),
            (2**63, "8192.0 PiB"),
        ],
    )
    def test_sizes_are_shown_in_the_unit_that_fits(self, count: float, words: str) -> None:
        assert size_of(count) == words

    def test_common_unit_is_written_once(self) -> None:
        assert share_of(MIB, 2 * MIB) == "1.0 of 2.0 MiB"
        assert share_of(0, 2 * MIB) == "0 B of 2.0 MiB"

    def test_numbers_agree_with_their_noun(self) -> None:
        assert [counted(n, "file") for n in (0, 1, 5000)] == ["0 files", "1 file", "5,000 files"]

    def test_spans_of_time(self) -> None:
        assert [seconds_of(s) for s in (0.04, 99.9, 125, 3600)] == ["0.0 s", "99.9 s", "2 min 05 s", "60 min 00 s"]
        assert [clock(s) for s in (7.4, 127, 3727)] == ["0:07", "2:07", "1:02:07"]

    def test_time_stamps_are_shown_in_local_time(self) -> None:
        zoned = local_time("2026-01-31T12:00:00Z")
        assert len(zoned) == len("2026-01-31 12:00")
        assert local_time("2026-01-31T12:00:00") == zoned == local_time("2026-01-31T14:00:00+02:00")

    def test_invalid_timestamp_is_shown_unchanged(self) -> None:
        assert local_time("yester\x1bday") == "yester\\x1bday"
        assert local_time(None) == "-"


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("1", 1),
            ("1500", 1500),
            ("500k", 500 << 10),
            ("500K", 500 << 10),
            ("2M", 2 * MIB),
            ("2MiB", 2 * MIB),
            ("2MB", 2 * MIB),
            (" 1.5G ", 3 << 29),
            ("1T", 1 << 40),
            ("7b", 7),
        ],
    )
    def test_bytes_have_the_units_of_curl(self, text: str, count: int) -> None:
        assert parse_bytes(text) == count

    @pytest.mark.parametrize(
        "text", ["", "0", "0.4", "-1", "k", "1x", "1 k", "1e3", "1,5M", "nan", "inf", "²", "9" * 99]
    )
    def test_invalid_byte_count_is_refused_with_examples(self, text: str) -> None:
        with pytest.raises(ValueError, match="500k"):
            parse_bytes(text)

    @given(st.integers(0, 10**17), st.integers(0, 10**17))
    def test_ranges_are_parsed(self, start: int, length: int) -> None:
        assert parse_range(f"{start}:{start + length}") == (start, start + length)
        assert parse_range(f"{start}:") == (start, None)
        assert parse_range(f":{length}") == (0, length)

    @pytest.mark.parametrize("text", ["", "5", "5-6", "6:5", "-5:", ":-5", "1:2:3", "a:", "1k:2k"])
    def test_invalid_range_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"range|ends"):
            parse_range(text)


def result(name: str, size: int, *, status: str) -> FileResult:
    assert status in ("downloaded", "kept", "failed")
    return FileResult(name=name, size=size, status=status)  # type: ignore[arg-type]


class TestTally:
    def test_no_estimate_before_listing_ends(self) -> None:
        tally = Tally()
        tally.expect(1, MIB)
        tally.started("a", MIB)
        for now in (0.0, 1.0):
            tally.advanced("a", MIB // 4)
            tally.remember(now)
        assert tally.share is None
        assert tally.seconds_left is None
        assert tally.bytes_a_second == MIB // 4

    def test_steady_rate_gives_the_right_estimate(self) -> None:
        tally = Tally()
        tally.expect(1, 10 * MIB)
        tally.listed = True
        tally.started("a", 10 * MIB)
        tally.remember(0.0)
        tally.advanced("a", 4 * MIB)
        tally.remember(2.0)
        assert tally.share == pytest.approx(0.4)
        assert tally.bytes_a_second == 2 * MIB
        assert tally.seconds_left == pytest.approx(3.0)

    def test_all_files_count_as_finished_at_the_end(self) -> None:
        tally = Tally()
        tally.expect(2, 2 * MIB)
        tally.listed = True
        tally.started("a", MIB)
        tally.advanced("a", MIB)
        tally.finished("a")
        tally.ended(result("a", MIB, status="downloaded"))
        tally.ended(result("b", MIB, status="kept"))
        assert tally.share == 1.0
        assert tally.bytes_done == 2 * MIB
        assert tally.seconds_left is None

    def test_text_describes_the_state_without_an_estimate_at_the_end(self) -> None:
        tally = Tally()
        assert tally.words() == "Listing the files"
        tally.expect(2, 2 * MIB)
        tally.started("a", MIB)
        for now in (0.0, 1.0):
            tally.advanced("a", MIB // 4)
            tally.remember(now)
        assert tally.words() == "0 of 2 files or more, 512.0 KiB, 256.0 KiB/s"
        tally.listed = True
        tally.remember(2.0)
        tally.advanced("a", MIB // 2)
        tally.remember(3.0)
        assert tally.words() == "0 of 2 files, 1.0 of 2.0 MiB, 256.0 KiB/s, 0:04 left"
        tally.finished("a")
        tally.ended(result("a", MIB, status="downloaded"))
        tally.ended(result("b", MIB, status="failed"))
        assert tally.words() == "2 of 2 files, 1.0 of 2.0 MiB, 1 failed"
        empty = Tally()
        empty.listed = True
        assert empty.words() == "No files"

    def test_bytes_of_a_failed_file_are_subtracted(self) -> None:
        tally = Tally()
        tally.started("a", MIB)
        tally.advanced("a", 1000)
        tally.failed("a", ValueError())
        tally.ended(result("a", MIB, status="failed"))
        assert tally.bytes_done == 0
        assert tally.files_failed == 1

    def test_two_files_of_one_name_are_counted(self) -> None:
        tally = Tally()
        tally.started("a", 1)
        tally.started("a", 1)
        tally.finished("a")
        tally.advanced("a", 1)
        tally.finished("a")
        assert tally.largest(4, least=0) == []

    def test_largest_files_in_progress_come_first(self) -> None:
        tally = Tally()
        for name, total in {"s": 10, "m": 500, "l": 900, "unknown": None}.items():
            tally.started(name, total)
        tally.advanced("unknown", 700)
        assert [transfer.name for transfer in tally.largest(2, least=100)] == ["l", "unknown"]
        assert [transfer.name for transfer in tally.largest(9, least=100)] == ["l", "unknown", "m"]
