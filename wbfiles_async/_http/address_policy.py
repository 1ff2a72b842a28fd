"""Classifies addresses: forbidden, private or public. Performs no I/O.

A name is classified by the addresses it resolves to when connecting. If it is resolved elsewhere (by a proxy, by an
injected client), only the URL itself can be classified: `reach_of_host`.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote

import attrs

__all__ = ["AddressPolicy", "ForbiddenAddressError", "Reach", "literal_address", "reach_of", "reach_of_host"]

Reach = Literal["public", "private", "forbidden"]
"""Public, private (a private network or this machine), or forbidden."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_STRICTNESS: Final[tuple[Reach, ...]] = ("public", "private", "forbidden")


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


# Clouds' services for a machine's credentials.
# Source: the documentation of AWS, GCP, Alibaba, Azure, Oracle and Scaleway.
_FORBIDDEN: Final = _networks(
    *("169.254.0.0/16", "fe80::/10"),  # link-local: the metadata service of nearly all clouds
    *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
)
# Not `is_global`, whose result for multicast and a dozen networks differs between Python's versions.
# Source: IANA's registries of special-purpose IPv4 and IPv6 addresses.
_NOT_PUBLIC: Final = _networks(
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
    *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    *("2001::/23", "2001:db8::/32", "3fff::/20"),
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")

# Prefixes whose last 32 bits are the IPv4 address of the peer.
# Source: RFC 4291 2.5.5 (compatible, mapped), RFC 2765 2.1 (translated), RFC 6052 2.1 (NAT64).
_IPV4_AT_THE_END: Final = tuple(
    map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")  # RFC 3056
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")  # RFC 4380
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214 6.1

# Names of metadata services, whose addresses are unknown if a proxy resolves them.
_METADATA_NAMES: Final = frozenset(
    {
        *("metadata", "metadata.google.internal", "metadata.goog"),
        *("instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com"),
    }
)

_HEX: Final = re.compile(r"0x[0-9a-f]*")
_OCTAL: Final = re.compile(r"0[0-7]*")
_DECIMAL: Final = re.compile(r"[0-9]+")
_LONGEST_NUMBER: Final = 64  # characters; longer hosts are an attack


class ForbiddenAddressError(OSError):
    """An address must not be connected to.

    The message omits the address, so that it is the same for several.

    Attributes:
        reach: Why: ``forbidden`` always, ``private`` because of the policy.
    """

    def __init__(self, reach: Literal["private", "forbidden"]) -> None:
        super().__init__(reach)
        self.reach = reach

    def __str__(self) -> str:
        if self.reach == "forbidden":
            return "its address is link-local or of a cloud's metadata service, which is never connected to"
        return "its address is of a private network or of this machine, and only public ones may be connected to"


@attrs.frozen
class AddressPolicy:
    """The policy for addresses.

    Attributes:
        allow_private: Whether private networks and this machine are among them.
    """

    allow_private: bool

    def check_address(self, address: str) -> None:
        """Check an address of a resolved name.

        Raises:
            ForbiddenAddressError: It must not be connected to. ValueError: It is no address.
        """
        self._check(reach_of(address))

    def check_host(self, host: str) -> None:
        """Check the host of a URL that is resolved elsewhere, such as by a proxy; most names pass.

        Raises:
            ForbiddenAddressError: It is an address, or a name known to lead to one, that must not be connected to.
        """
        self._check(reach_of_host(host) or "public")

    def _check(self, reach: Reach) -> None:
        if reach == "forbidden" or (reach == "private" and not self.allow_private):
            raise ForbiddenAddressError(reach)


@lru_cache(maxsize=256)  # each connection asks
def reach_of(address: str) -> Reach:
    """Classify an address, including an embedded one: the strictest class of all that it may lead to.

    A network's own NAT64 prefix, outside the reserved ones, cannot be recognised.

    Args:
        address: An IPv4 or IPv6 address; a zone (``%eth0``) is ignored.

    Raises:
        ValueError: It is no address.
    """
    return _strictest(_ends(ipaddress.ip_address(address.partition("%")[0])))


@lru_cache(maxsize=256)  # each request of a store asks
def reach_of_host(host: str) -> Reach | None:
    """Classify the host of a URL without resolving it; ``None`` for a name that must be resolved.

    An address may be written in any form that `literal_address` parses. If programs disagree about its meaning
    (``010.0.0.1``), the strictest one counts.
    """
    readings = [end for address in _readings(host) for end in _ends(address)]
    if readings:
        return _strictest(readings)
    name = _normalized(host)
    if name in _METADATA_NAMES:
        return "forbidden"
    return "private" if name == "localhost" or name.endswith(".localhost") else None


def literal_address(host: str) -> str | None:
    """Parse a URL's host as an address; ``None`` for a name.

    IPv4 in all forms that C libraries and browsers read: of one to four numbers, each decimal, octal or
    hexadecimal (``127.1``, ``0x7f.1``, ``2852039166``).

    Args:
        host: With or without brackets, zone and trailing dot.

    Source:
        inet_aton(3); the URL standard (https://url.spec.whatwg.org/#concept-ipv4-parser).
    """
    return next((str(address) for address in _readings(host)), None)


def _strictest(addresses: Iterable[_Address]) -> Reach:
    return max(map(_reach, addresses), key=_STRICTNESS.index)


def _reach(address: _Address) -> Reach:
    if any(address in network for network in _FORBIDDEN):
        return "forbidden"
    outside = isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST
    return "private" if outside or any(address in network for network in _NOT_PUBLIC) else "public"


def _ends(address: _Address) -> Iterator[_Address]:
    """Yield the addresses that packets for this one may reach."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if any(address in network for network in _IPV4_AT_THE_END):
        yield _ipv4_of(address, 0)
        return
    if address in _SIX_TO_FOUR:
        yield _ipv4_of(address, 80)
    else:
        yield address
    if address in _TEREDO:
        yield _ipv4_of(address, 64)
        yield ipaddress.IPv4Address(int(_ipv4_of(address, 0)) ^ 0xFFFF_FFFF)
    if address in _LOCAL_NAT64:
        yield from _nat64_readings(address)
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield _ipv4_of(address, 0)


def _ipv4_of(address: ipaddress.IPv6Address, shift: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFF_FFFF)


def _nat64_readings(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses of translators with prefixes of 48 bits and more.

    Source:
        RFC 6052 section 2.2: the bits 64 to 71 are left out.
    """
    number = int(address)
    without_gap = (number >> 64) << 56 | number & ((1 << 56) - 1)
    for prefix in (48, 56, 64):
        yield ipaddress.IPv4Address((without_gap >> (120 - prefix - 32)) & 0xFFFF_FFFF)
    yield _ipv4_of(address, 0)


def _normalized(host: str) -> str:
    """Return the host with lookalikes (``１``, ``。``, ``%31``) mapped, as some programs do, without a trailing dot."""
    return unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").lower().removesuffix(".")


def _readings(host: str) -> Iterator[_Address]:
    """Yield the possible addresses of a host, the C library's first."""
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare:
        with suppress(ValueError):
            yield ipaddress.IPv6Address(bare.partition("%")[0])
        return
    parts = _normalized(host).split(".")
    if len(parts) > 4 or max(map(len, parts)) > _LONGEST_NUMBER:
        return
    seen = None
    for octal in (True, False):
        number = _joined([_number(part, octal=octal) for part in parts])
        if number is not None and number != seen:
            seen = number
            yield ipaddress.IPv4Address(number)


def _number(part: str, *, octal: bool) -> int | None:
    if _HEX.fullmatch(part):
        return int(part[2:] or "0", 16)
    if octal and part.startswith("0"):
        return int(part, 8) if _OCTAL.fullmatch(part) else None
    return int(part) if _DECIMAL.fullmatch(part) else None


def _joined(numbers: list[int | None]) -> int | None:
    """Return the 32 bits of an address; the last number fills the remaining bytes."""
    total = 0
    for place, number in enumerate(numbers):
        last = place == len(numbers) - 1
        room = 8 * (4 - place) if last else 8
        if number is None or number >> room:
            return None
        total |= number if last else number << 8 * (3 - place)
    return total
