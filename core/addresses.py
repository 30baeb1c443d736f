"""Which addresses may be called: the allow test that stands between what a tenant asks for and our own network.

What counts is the address connected to, never how it was spelled (`docs/decisions/0006-outbound-calls.md`).
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings

from core.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL = 2_000

# One sentence for refused, closed, filtered and unknown alike: nobody may map our network by its answers.
UNREACHABLE = "The host could not be reached at an address that may be called."

_DEFAULT_PORTS = {"https": 443, "http": 80}

# Printable ASCII without what parsers disagree about: spaces, quotes, brackets of other uses, backslash, fragment.
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:[/?][!$-;=?-Z_a-z~\[\]@%]*)?", re.ASCII)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
# Within what Python calls global, and yet not for us (reliability.md, section 4).
_REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # a cloud's own agent, on a public address
        "192.0.0.0/24",  # protocol assignments, metadata of a cloud among them
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo, ORCHID: addresses that embed others
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: embeds an IPv4 address
        "3fff::/20",  # documentation
    )
)


class OutboundRefused(Invalid):
    """This address may not be called."""

    code = "outbound_refused"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: what to look up, connect to, name in TLS and ask for. `internal`: the operator allows it."""

    scheme: str
    host: str
    port: int
    path: str
    internal: bool

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def literal(self) -> Address | None:
        """The address, when the URL names one instead of a host."""
        return as_address(self.host)


def target_of(url: str) -> Target:
    """The target of a URL that may be called as far as its text tells; raises `OutboundRefused`.

    HTTPS on the ports of `CORDBOARD_OUTBOUND_PORTS`; any port and plain http for hosts that the operator lists
    in `CORDBOARD_INTERNAL_HOSTS`, and for loopback in development. A name is judged again by where it leads.
    """
    if len(url) > LONGEST_URL:
        raise OutboundRefused(f"A URL has at most {LONGEST_URL} characters.")
    if not _URL.fullmatch(url):
        raise OutboundRefused(
            "A URL looks like https://agent.example.com/hook: plain ASCII, without credentials or fragment."
        )
    try:
        parts = urlsplit(url)
        host, port = _host_of(parts.hostname or ""), _port_of(parts.port, parts.scheme)
    except ValueError as malformed:
        raise OutboundRefused("The URL's host or port is not valid.") from malformed
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.scheme, host, port, path, internal=_is_internal_host(host))
    _check_text(target)
    return target


def may_connect(target: Target, address: Address) -> bool:
    """Whether this address, to which the target's name led, may be connected to."""
    if target.host in _listed(tuple(settings.INTERNAL_HOSTS))[0] or is_internal(address):
        return True
    return target.scheme == "https" and is_public(address) and not _is_our_own(address)


def is_public(address: Address) -> bool:
    """An allow test: global unicast, and none of the forms that embed or stand for another address."""
    if getattr(address, "scope_id", None) or not address.is_global or address.is_multicast:
        return False
    if address.version == 6 and address not in _GLOBAL_IPV6:
        return False
    return not any(address in network for network in _REFUSED if network.version == address.version)


def is_internal(address: Address) -> bool:
    """Whether the operator lists this address, or it is loopback and this is a development server."""
    if settings.DEVELOPMENT and address.is_loopback:
        return True
    _, networks = _listed(tuple(settings.INTERNAL_HOSTS))
    return any(address in network for network in networks if network.version == address.version)


def as_address(host: str) -> Address | None:
    """The address that `host` spells in its one normal form, or None."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _host_of(host: str) -> str:
    """Lower case, without the root's dot; raises `ValueError` for what is neither a name nor a normal address.

    A last label of digits means an address to resolvers (127.1, 0x7f000001), so it must be a whole one.
    """
    host = host.lower().removesuffix(".")
    if as_address(host) is None and (len(host) > 253 or not _NAME.fullmatch(host) or _ends_in_number(host)):
        raise ValueError(host)
    return host


def _port_of(given: int | None, scheme: str) -> int:
    if given == 0:
        raise ValueError(given)
    return given or _DEFAULT_PORTS[scheme]


def _ends_in_number(host: str) -> bool:
    last = host.rsplit(".", 1)[-1]
    return last.isdigit() or last.startswith("0x")


def _check_text(target: Target) -> None:
    own = urlsplit(settings.BASE_URL)
    own_port = own.port or _DEFAULT_PORTS[own.scheme]
    names, _ = _listed(tuple(settings.INTERNAL_HOSTS))
    if (target.host, target.port) == (own.hostname, own_port) and target.host not in names:
        raise OutboundRefused("This is our own address: calls to it would go round in a circle.")
    if target.internal:
        return
    if target.scheme != "https":
        raise OutboundRefused("The URL must begin with https://.")
    if target.port not in settings.OUTBOUND_PORTS:
        ports = ", ".join(str(port) for port in settings.OUTBOUND_PORTS)
        raise OutboundRefused(f"Only these ports may be called: {ports}.")
    literal = target.literal
    if target.host == "localhost" or target.host.endswith(".localhost") or (literal and not is_public(literal)):
        raise OutboundRefused(UNREACHABLE)


def _is_internal_host(host: str) -> bool:
    names, _ = _listed(tuple(settings.INTERNAL_HOSTS))
    address = as_address(host)
    if address is not None:
        return is_internal(address)
    return host in names or (settings.DEVELOPMENT and host == "localhost")


@lru_cache(maxsize=8)
def _listed(entries: tuple[str, ...]) -> tuple[frozenset[str], tuple[Network, ...]]:
    """The operator's list as names and networks."""
    names, networks = set(), []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            names.add(entry.lower().removesuffix("."))
    return frozenset(names), tuple(networks)


def _is_our_own(address: Address) -> bool:
    """Whether the address is one of this machine's: then the system would call it from that same address.

    Connecting a datagram socket sends nothing.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 443))
        except OSError:
            return False
        return as_address(str(probe.getsockname()[0])) == address
