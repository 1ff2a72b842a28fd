"""Addresses that are never connected to, however they are written."""

from __future__ import annotations

import ipaddress
import pickle
import re
import socket
import sys
from contextlib import suppress

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from wbfiles_async._http.address_policy import (
    AddressPolicy,
    ForbiddenAddressError,
    literal_address,
    reach_of,
    reach_of_host,
)

FORBIDDEN = [
    *("169.254.169.254", "169.254.0.1", "169.254.42.42", "169.254.170.2", "100.100.100.200", "168.63.129.16"),
    *("192.0.0.192", "fe80::1", "fe80::1%eth0", "fe80::a9fe:a9fe", "febf::1"),
    *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
]
PRIVATE = [
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"),
    *("100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "3fff::1"),
    *("5f00::1", "4000::1", "2001:2::1", "64:ff9b:2::1", "2001:0:4137:9e76::f5ff:fffe"),
]
PUBLIC = [
    *("1.1.1.1", "93.184.215.14", "52.216.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.255.255"),
    *("169.255.0.1", "192.0.1.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2400:cb00::1"),
]


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        *((address, "forbidden") for address in FORBIDDEN),
        *((address, "private") for address in PRIVATE),
        *((address, "public") for address in PUBLIC),
    ],
)
def test_reach(address: str, reach: str) -> None:
    assert reach_of(address) == reach
    assert reach_of_host(address) == reach
    assert reach_of_host(f"[{address}]" if ":" in address else f"{address}.") == reach


def groups(address: ipaddress.IPv4Address) -> str:
    """An IPv4 address as the two groups of an IPv6 one."""
    return f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"


STRICTNESS = ("public", "private", "forbidden")
ANY_REACH = st.ip_addresses(v=4) | st.sampled_from(
    [ipaddress.IPv4Address(text) for text in FORBIDDEN + PRIVATE + PUBLIC if ":" not in text]
)


@given(ANY_REACH)
def test_address_that_stands_for_an_ipv4_address(address: ipaddress.IPv4Address) -> None:
    forms = [
        *(f"::ffff:{address}", f"::{address}", f"::ffff:0:{address}", f"64:ff9b::{address}"),
        *(f"2002:{groups(address)}::1", f"2002:{groups(address)}:1:2:3:4:5"),
    ]
    assert {reach_of(form) for form in forms} == {reach_of(str(address))}


@given(ANY_REACH)
def test_address_that_leads_to_an_ipv4_address_besides(address: ipaddress.IPv4Address) -> None:
    inverted = groups(ipaddress.IPv4Address(int(address) ^ 0xFFFF_FFFF))
    high, low = groups(address).split(":")
    number = f"{int(address):08x}"
    forms = [
        # ISATAP below public prefixes.
        *(f"2a00:1450::5efe:{address}", f"2a00:1450::200:5efe:{address}"),
        # Teredo: the server's address, and the client's.
        *(f"2001:0:{groups(address)}::f5ff:fffe", f"2001:0:4137:9e76:0:0:{inverted}"),
        # A network's own NAT64, by the length of its prefix: 48, 56, 64, 96.
        f"64:ff9b:1:{high}:{int(low, 16) >> 8:x}:{(int(low, 16) & 0xFF) << 8:x}::",
        f"64:ff9b:1:12{number[:2]}:{number[2:4]}:{number[4:8]}::",
        f"64:ff9b:1:1234:{number[:2]}:{number[2:6]}:{number[6:]}00:0",
        f"64:ff9b:1::{address}",
    ]
    expected = STRICTNESS.index(reach_of(str(address)))
    assert all(STRICTNESS.index(reach_of(form)) >= expected for form in forms)


@pytest.mark.parametrize(
    "address",
    [
        *("64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:12a9:fe:a9fe::", "64:ff9b:1:1234:a9:fea9:fe00:0"),
        *("64:ff9b:1::169.254.169.254", "64:ff9b:1:fffe::169.254.169.254", "2001:0:a9fe:a9fe::f5ff:fffe"),
        *(
            "2001:0:4137:9e76:0:0:5601:5601",
            "2a00:1450::5efe:a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "2002:101:101::5efe:a9fe:1",
        ),
        *("::ffff:0:169.254.169.254", "::169.254.169.254", "64:ff9b::100.100.100.200"),
    ],
)
def test_metadata_service_inside_of_another_address(address: str) -> None:
    assert reach_of(address) == "forbidden"


@given(st.ip_addresses())
@pytest.mark.skipif(sys.version_info < (3, 13), reason="older versions take some private networks for global")
def test_public_is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if reach_of(str(address)) == "public" and not (address.version == 6 and address.sixtofour):
        assert address.is_global


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4.5", "[::1]", "\u0663.1.1.1", "0x7f.0.0.1"])
def test_reach_of_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        reach_of(text)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.65535", "127.0.255.255"),
        ("2852039166", "169.254.169.254"),
        ("0xA9FEA9FE", "169.254.169.254"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("025177524776", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("4294967295", "255.255.255.255"),
        # No octal number: a name to the C library, an address to parsers without octal numbers.
        ("0169.254.169.254", "169.254.169.254"),
        # Characters that IDNA maps to digits and dots.
        ("\uff11\uff12\uff17\u3002\uff10.0.\u2460", "127.0.0.1"),
        ("%3127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[0:0::0001]", "::1"),
        ("[fe80::1%25eth0]", "fe80::1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
        ("example.com", None),
        ("", None),
        (".", None),
        ("1.2.3.", "1.2.0.3"),
        ("1..2", None),
        ("1.2.3.4.5", None),
        ("256.1.1.1", None),
        ("1.256.1", None),
        ("1.16777216", None),
        ("4294967296", None),
        ("0x1ffffffff", None),
        ("1.2.3.4x", None),
        ("-1", None),
        ("1e3", None),
        ("1_0", None),
        ("+1", None),
        ("face", None),
        ("[::1", "::1"),
        ("::g", None),
        ("1" * 5000, None),
    ],
)
def test_literal_address(host: str, address: str | None) -> None:
    literal = literal_address(host)
    assert (
        literal == address if address is None else ipaddress.ip_address(literal or "") == ipaddress.ip_address(address)
    )


@given(st.from_regex(re.compile(r"(0x)?[0-9a-f]{1,4}(\.(0x?)?[0-9a-f]{1,4}){0,3}", re.ASCII), fullmatch=True))
@example("0127.0.0.1")
@example("08.1")
def test_literal_address_as_the_c_library_reads_it(host: str) -> None:
    expected = None
    with suppress(OSError):
        expected = socket.inet_ntoa(socket.inet_aton(host))
    assume(expected is not None)
    assert literal_address(host) == expected


@given(st.text(max_size=40))
def test_any_host_is_judged_without_failing(host: str) -> None:
    literal = literal_address(host)
    if literal is not None:
        assert STRICTNESS.index(reach_of_host(host) or "public") >= STRICTNESS.index(reach_of(literal))


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("example.com", None),
        ("metadata.example.com", None),
        ("metadata.google.internal", "forbidden"),
        ("Metadata.Google.Internal.", "forbidden"),
        ("metadata", "forbidden"),
        ("instance-data.ec2.internal", "forbidden"),
        ("localhost", "private"),
        ("a.LOCALHOST.", "private"),
        ("notlocalhost", None),
        ("2852039166", "forbidden"),
        ("0x7f.1", "private"),
        # Octal 8.0.0.1, but 10.0.0.1 to parsers of decimal numbers; and 177.0.0.1 or 127.0.0.1.
        ("010.0.0.1", "private"),
        ("0177.0.0.1", "private"),
        ("016843009", "public"),
    ],
)
def test_reach_of_host(host: str, reach: str | None) -> None:
    assert reach_of_host(host) == reach


class TestPolicy:
    def test_addresses(self) -> None:
        AddressPolicy(allow_private=False).check_address("1.1.1.1")
        AddressPolicy(allow_private=True).check_address("10.0.0.1")
        with pytest.raises(ForbiddenAddressError, match="private network") as caught:
            AddressPolicy(allow_private=False).check_address("10.0.0.1")
        assert caught.value.reach == "private"
        with pytest.raises(ForbiddenAddressError, match="metadata") as caught:
            AddressPolicy(allow_private=True).check_address("169.254.169.254")
        assert caught.value.reach == "forbidden"

    def test_hosts(self) -> None:
        policy = AddressPolicy(allow_private=False)
        policy.check_host("example.com")
        policy.check_host("1.1.1.1")
        for host in ("127.1", "[::1]", "169.254.169.254", "metadata.google.internal"):
            with pytest.raises(ForbiddenAddressError):
                policy.check_host(host)

    def test_error_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(ForbiddenAddressError("private")))
        assert (error.reach, str(error)) == ("private", str(ForbiddenAddressError("private")))
