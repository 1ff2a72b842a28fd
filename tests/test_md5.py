from __future__ import annotations

import base64
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._md5 import LOCKED_BYTES, SHORT_BYTES, new_md5, parse_md5, short_md5


@pytest.mark.fault(11)
@given(st.binary())
def test_base64_and_hexadecimal_give_the_digest(data: bytes) -> None:
    digest = hashlib.md5(data)
    assert parse_md5(base64.b64encode(digest.digest()).decode()) == digest.digest()
    assert parse_md5(digest.hexdigest()) == digest.digest()
    assert parse_md5(digest.hexdigest().upper()) == digest.digest()


def test_new_digest_is_md5() -> None:
    digest = new_md5()
    digest.update(b"abc")
    assert digest.hexdigest() == "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize("length", [0, 1, LOCKED_BYTES, LOCKED_BYTES + 1, SHORT_BYTES, SHORT_BYTES + 1])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_short_md5_is_that_of_all_bytes(length: int, kind: type[bytes | memoryview]) -> None:
    data = os.urandom(length)
    assert short_md5(kind(data)) == hashlib.md5(data).digest()


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "0",
        0,
        ["1B2M2Y8AsgTpgAmY7PhCfg=="],
        b"1B2M2Y8AsgTpgAmY7PhCfg==",
        "1B2M2Y8AsgTpgAmY7PhCfg",
        "1B2M2Y8AsgTpgAmY7PhCfg==\n",
        " 1B2M2Y8AsgTpgAmY7PhCfg==",
        "1B2M2Y8AsgTpgAmY7PhCfh==",
        "1B2M2Y8AsgTpgAmY7PhC-_==",
        "AAAA",
        "d41d8cd98f00b204e9800998ecf8427",
        "d41d8cd98f00b204e9800998ecf8427e0",
        "g41d8cd98f00b204e9800998ecf8427e",
    ],
)
def test_invalid_md5_is_none(value: object) -> None:
    assert parse_md5(value) is None


@given(st.text())
def test_any_text_is_sixteen_bytes_or_none(value: str) -> None:
    assert parse_md5(value) is None or len(parse_md5(value) or b"") == 16
