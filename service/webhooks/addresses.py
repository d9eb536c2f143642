"""Which addresses the service may send to: those of the public internet, and networks that a setting names.

A name is resolved when the connection is made, its addresses are checked, and the connection goes to one of these very
addresses: what the name means a moment later does not matter.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from recon.errors import ConfigInvalid, InputInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Of IPv6 only this part is in public use. IPv4 inside IPv6 (mapped, compatible, NAT64) lies outside of it.
PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# What the standard library, in some version, counts as global, and yet leads elsewhere: relays to IPv4 (6to4, Teredo),
# protocol assignments, documentation, and the platform address of a large cloud's machines.
CLOSED_V6 = ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
CLOSED = tuple(map(ipaddress.ip_network, (*CLOSED_V6, "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
PORTS = {"https": 443, "http": 80}


class AddressRefused(InputInvalid):
    """The service does not send to this address."""

    code = "ADDRESS_REFUSED"


class NameUnknown(Exception):
    """A name has no address."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list with commas; raises ConfigInvalid."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        hint = "Expected networks with commas, as in 10.1.0.0/16,fd00:1::/64."
        raise ConfigInvalid(str(error), where="ROADSCRIBE_WEBHOOK_NETWORKS", hint=hint) from error


class AddressGuard:
    """Decides where the service connects to on behalf of a tenant."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Allow `networks` besides the public internet, and there also http without TLS."""
        self._networks = tuple(networks)

    def check(self, url: str) -> None:
        """Refuse a URL that nothing will be sent to; raises AddressRefused. A name without an address may get one."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise AddressRefused("the URL does not parse") from error
        if parts.scheme not in PORTS or not host or parts.username is not None or parts.fragment:
            hint = "Expected https://HOST/PATH, without a user, a password or a fragment."
            raise AddressRefused("the URL has a form that is not allowed", hint=hint)
        try:
            self.resolve(host, port or PORTS[parts.scheme], plain=parts.scheme == "http")
        except NameUnknown:
            return

    def resolve(self, host: str, port: int, *, plain: bool) -> list[str]:
        """Return the allowed addresses of a host, in the resolver's order; `plain` means without TLS.

        Raises NameUnknown, or AddressRefused when it has none that is allowed.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameUnknown(host) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if self.allows(address, plain=plain)]
        if not allowed:
            hint = "Use https and a public address. The operator may allow others: ROADSCRIBE_WEBHOOK_NETWORKS."
            raise AddressRefused(hint=hint)
        return allowed

    def allows(self, text: str, *, plain: bool = False) -> bool:
        """Return whether a connection may be made to a numeric address; an address with a zone never."""
        if "%" in text:
            return False
        address = ipaddress.ip_address(text)
        if any(address in network for network in self._networks):
            return True
        return not plain and _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in PUBLIC_V6:
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_private
    return address.is_global and not special and not any(address in network for network in CLOSED)
