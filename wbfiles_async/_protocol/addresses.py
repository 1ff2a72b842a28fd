"""Tell apart the addresses that a name may lead to: which are never spoken to, and which are nobody else's business.

Performs no I/O.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Literal

__all__ = ["Reach", "reach_of"]

Reach = Literal["public", "private", "forbidden"]
"""Public, of a network of one's own (or of this machine), or never to be spoken to."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds keep a machine's credentials beyond the link-local range.
# Source: the documentation of AWS, GCP, Alibaba, Azure and Oracle.
_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
# Source: RFC 6052; the network's own translator turns such an address into the IPv4 one at its end.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def reach_of(text: str) -> Reach:
    """Judge an address, also one that carries another: IPv4-mapped, 6to4, NAT64.

    Args:
        text: An IPv4 or IPv6 address; a zone (``%eth0``) is left out of account.

    Raises:
        ValueError: It is no address.
    """
    address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_link_local or address in _METADATA:
        return "forbidden"
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    # Not is_private: the shared range of carriers (100.64.0.0/10) is neither that nor global.
    return "public" if address.is_global and not site_local else "private"


def _innermost(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
