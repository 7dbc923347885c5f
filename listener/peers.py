"""Who may associate: calling AE title × address × certificate, and the titles that are answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from listener.settings import ListenerSettings, PeerSettings, TitleSettings
from listener.tls import PeerCertificate, certificate_name

__all__ = [
    "CALLED_TITLE_UNKNOWN",
    "CALLING_TITLE_UNKNOWN",
    "CERTIFICATE_NOT_ITS_OWN",
    "LOCAL_LIMIT_EXCEEDED",
    "TEMPORARY_CONGESTION",
    "Admission",
    "Call",
    "Peers",
    "Rejection",
]


@dataclass(frozen=True)
class Call:
    """What an association request says, and whence it came.

    ``only_echo``: it proposes nothing but the Verification SOP class. ``certificate``: what the
    peer has shown over TLS, verified; None where it has shown none, or spoke plainly.
    """

    calling: str
    called: str
    address: str
    only_echo: bool
    certificate: PeerCertificate | None = None


@dataclass(frozen=True)
class Admission:
    """An association that may be: for which title, and who shares its places.

    ``share`` holds at most ``most`` associations at once; None for the service's own probe, which
    has to get through however full the house is. ``may_retrieve``: it may ask for results.
    """

    title: TitleSettings
    share: PeerSettings | IPv4Address | IPv6Address | None
    most: int
    may_retrieve: bool = True


@dataclass(frozen=True)
class Rejection:
    """Result, source and reason of an A-ASSOCIATE-RJ (DICOM PS3.8 section 9.3.4)."""

    result: int
    source: int
    reason: int
    words: str


CALLING_TITLE_UNKNOWN = Rejection(1, 1, 3, "calling AE title not recognised at this address")
# the title is recognised, and table 9-21 has no reason for what is wrong with it: none is given
CERTIFICATE_NOT_ITS_OWN = Rejection(1, 1, 1, "it showed no certificate of this AE title")
CALLED_TITLE_UNKNOWN = Rejection(1, 1, 7, "called AE title not recognised")
TEMPORARY_CONGESTION = Rejection(2, 3, 1, "temporary congestion: disk space is short")
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2, "local limit exceeded")


class Peers:
    """The allow-list. Whoever is not on it is rejected, the machine's own addresses included.

    Parameters
    ----------
    settings
        Holds the peers and titles.
    probe_title
        A secret calling AE title for the service's own C-ECHO; it may ask for nothing else.
    """

    def __init__(self, settings: ListenerSettings, probe_title: str | None = None) -> None:
        self._titles = {t.ae_title: t for t in settings.titles}
        self._peers = settings.peers
        self._admit_anyone = settings.admit_anyone
        self._most_per_address = settings.max_associations_per_peer
        self._probe_title = probe_title

    def judge(self, call: Call) -> Admission | Rejection:
        """Return on which terms an association is admitted, or why it is rejected."""
        title = self._titles.get(call.called.strip(" "))
        if call.only_echo and self._probe_title is not None and call.calling == self._probe_title:
            return Admission(title, None, 0) if title is not None else CALLED_TITLE_UNKNOWN
        calling, caller = call.calling.strip(" "), _address(call.address)
        listed = [peer for peer in self._peers if peer.ae_title == calling]
        if not listed and self._admit_anyone:
            if title is None:
                return CALLED_TITLE_UNKNOWN
            return Admission(title, caller, self._most_per_address)
        here = [peer for peer in listed if _is_within(caller, peer)]
        if not here:
            return CALLING_TITLE_UNKNOWN
        proven = [peer for peer in here if _is_proven(call.certificate, peer)]
        if not proven:
            return CERTIFICATE_NOT_ITS_OWN
        for peer in proven:
            if title is not None and _may_call(peer, title):
                may = peer.may_retrieve
                if peer.max_associations is not None:
                    return Admission(title, peer, peer.max_associations, may)
                return Admission(title, caller, self._most_per_address, may)
        return CALLED_TITLE_UNKNOWN

    def most_from(self, address: str) -> int:
        """Return how many connections from an address may be about to ask."""
        caller = _address(address)
        here = (peer for peer in self._peers if _is_within(caller, peer))
        return max([self._most_per_address, *_own_limits(here)])


def _own_limits(peers: Iterable[PeerSettings]) -> list[int]:
    return [peer.max_associations for peer in peers if peer.max_associations is not None]


def _is_within(caller: IPv4Address | IPv6Address, peer: PeerSettings) -> bool:
    return any(caller in network for network in peer.addresses)


def _is_proven(shown: PeerCertificate | None, peer: PeerSettings) -> bool:
    """Tell whether a peer has shown the certificate that it is bound to, if it is to any."""
    if not peer.is_bound:
        return True
    if shown is None:
        return False
    wanted = {certificate_name(name) for name in peer.certificate_names}
    return shown.fingerprint in peer.certificates or not wanted.isdisjoint(shown.names)


def _may_call(peer: PeerSettings, title: TitleSettings) -> bool:
    return not peer.called_titles or title.ae_title in peer.called_titles


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return an address; one of IPv4 that came over an IPv6 socket as what it is."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
