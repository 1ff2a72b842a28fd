from __future__ import annotations

import ntpath
import sys
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._disk.names import collision_key, is_temporary, local_parts, temporary_name
from wbfiles_async.errors import UnsafePathError

HOSTILE = st.text(alphabet="ab./\\:~ \x00\x1fCONU1éİ\u202e\u200d\ud800", max_size=30) | st.text(max_size=300)


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "media/table/x_0_abc.table.json",
        "~",
        "-rf",
        "%2e%2e/%2e%2e/x",
        ".git/config",
        "..a/...b",
        "\uff0e\uff0e/x",
        " leading blank",
        "CONSOLE",
        "COM10",
        "my.CON",
        "naïve/日本語.txt",
        "family-👨\u200d👩\u200d👧.png",
        "a" * 255,
        "é" * 127,
    ],
)
@pytest.mark.parametrize("portable", [False, True])
def test_portable_name_is_used_literally(name: str, portable: bool) -> None:
    assert "/".join(local_parts(name, portable=portable)) == name


@pytest.mark.fault(106)
@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("..", "another folder"),
        ("a/../b", "another folder"),
        ("./a", "another folder"),
        ("a//b", "empty name"),
        ("a/", "empty name"),
        ("a\x00b", "control or invisible"),
        ("a\nb", "control or invisible"),
        ("a\x7f", "control or invisible"),
        ("a\x85", "control or invisible"),
        ("exe.\u202etxt", "control or invisible"),
        ("a\u2066b", "control or invisible"),
        ("a\u200bb", "control or invisible"),
        ("a\ufeffb", "control or invisible"),
        ("a\u2028b", "control or invisible"),
        ("a\ud800b", "control or invisible"),
        ("a" * 256, "longer than 255 bytes"),
        ("é" * 128, "longer than 255 bytes"),
        ("/".join(["a" * 99] * 41), "longer than 3072 bytes"),
        ("a/" * 256 + "b", "more than 255 folders"),
        (".x.0123456789abcdef.wbfiles-part", "unfinished downloads"),
        (".X.0123456789abcdef.WBFILES-PART", "unfinished downloads"),
        (".x.wbfiles\u200d-part/y", "unfinished downloads"),
        (".x.wbfiles-part. ", "unfinished downloads"),
        (".wbfiles-state", "remembered"),
        (".wbfiles-run", "mirror runs"),
        (".WBFILES-RUN.", "mirror runs"),
        ("a/.WBFILES-State/b", "remembered"),
        (".wbfiles\ufe0f-state", "remembered"),
    ],
)
def test_unsafe_name_is_refused_with_the_rule(name: str, reason: str, portable: bool) -> None:
    with pytest.raises(UnsafePathError, match=reason) as caught:
        local_parts(name, portable=portable)
    assert caught.value.name == name
    assert caught.value.message.isprintable()


@pytest.mark.fault(106, 116)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("C:\\x", "one of the characters"),
        ("a/C:\\x", "one of the characters"),
        ("\\\\host\\share", "one of the characters"),
        ("a:b", "one of the characters"),
        ("loss?.png", "one of the characters"),
        ('a"b', "one of the characters"),
        ("2026-01-01 12:30/P(x|y).png", "one of the characters"),
        ("a.", "ends with a dot"),
        ("dir /x", "ends with a dot or a blank"),
        ("...", "ends with a dot"),
        ("con", "device"),
        ("a/NUL.txt", "device"),
        ("Aux .tar.gz", "device"),
        ("com0", "device"),
        ("LPT¹.x", "device"),
        ("conin$", "device"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the rules of another system")
def test_windows_reserved_name_is_refused_with_portable_names(name: str, reason: str) -> None:
    assert "/".join(local_parts(name)) == name
    with pytest.raises(UnsafePathError, match=reason):
        local_parts(name, portable=True)


@pytest.mark.fault(106)
@given(HOSTILE)
def test_accepted_parts_are_plain_components(name: str) -> None:
    try:
        parts = local_parts(name)
    except UnsafePathError:
        return
    assert PurePosixPath(name).parts == parts
    assert all(0 < len(part.encode()) <= 255 for part in parts)


@pytest.mark.fault(106)
@given(HOSTILE)
def test_portable_parts_are_plain_components_on_windows_too(name: str) -> None:
    try:
        parts = local_parts(name, portable=True)
    except UnsafePathError:
        return
    assert local_parts(name) == parts
    windows = PureWindowsPath(*parts)
    assert windows.parts == parts
    assert not windows.is_absolute()
    if sys.version_info >= (3, 13):
        assert not ntpath.isreserved(name)
    else:
        assert not windows.is_reserved()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A/b", "a/B"),
        ("é", "e\u0301"),
        ("É.txt", "e\u0301.TXT"),
        ("straße", "STRASSE"),
        ("\N{KELVIN SIGN}", "k"),
        (".g\u200cit", ".git"),
        ("heart\u2764\ufe0f", "heart\u2764"),
        ("run. /a.", "run/a"),
    ],
)
def test_names_equal_on_some_system_share_a_key(one: str, other: str) -> None:
    assert collision_key(one) == collision_key(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a/b", "a-b"), ("e", "é"), ("a", ".a")])
def test_distinct_names_have_distinct_keys(one: str, other: str) -> None:
    assert collision_key(one) != collision_key(other)


@given(st.text())
def test_key_is_idempotent_and_normalized(name: str) -> None:
    key = collision_key(name)
    assert collision_key(key) == key
    assert collision_key(unicodedata.normalize("NFC", name)) == key
    assert collision_key(unicodedata.normalize("NFD", name)) == key


@given(HOSTILE, st.text(alphabet="0123456789abcdef", min_size=16, max_size=16))
def test_temporary_name_is_recognised_and_never_a_remote_file(name: str, token: str) -> None:
    try:
        final = local_parts(name)[-1]
    except UnsafePathError:
        return
    temporary = temporary_name(final, token)
    assert is_temporary(temporary)
    assert len(temporary.encode()) <= 255
    assert token in temporary
    assert not is_temporary(final)
    with pytest.raises(UnsafePathError):
        local_parts(temporary)


def test_long_name_is_shortened_between_characters() -> None:
    temporary = temporary_name("é" * 127, "0" * 16)
    assert 253 <= len(temporary.encode()) <= 255
    assert "\N{REPLACEMENT CHARACTER}" not in temporary
