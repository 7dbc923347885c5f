"""Who may associate: calling AE title × address, and the titles that are answered."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from listener.settings import ListenerSettings, TitleSettings

__all__ = [
    "CALLED_TITLE_UNKNOWN",
    "CALLING_TITLE_UNKNOWN",
    "LOCAL_LIMIT_EXCEEDED",
    "TEMPORARY_CONGESTION",
    "Peers",
    "Rejection",
]


@dataclass(frozen=True)
class Rejection:
    """Result, source and reason of an A-ASSOCIATE-RJ (DICOM PS3.8 section 9.3.4)."""

    result: int
    source: int
    reason: int
    words: str


CALLING_TITLE_UNKNOWN = Rejection(1, 1, 3, "calling AE title not recognised at this address")
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
        self._peers = [(p.ae_title, p.addresses) for p in settings.peers]
        self._probe_title = probe_title

    def title(self, called: str) -> TitleSettings | None:
        """Return the settings of a called AE title."""
        return self._titles.get(called.strip(" "))

    def judge(
        self, calling: str, called: str, address: str, *, only_echo: bool
    ) -> Rejection | None:
        """Return why an association is rejected, or None where it is admitted.

        ``only_echo``: it proposes nothing but the Verification SOP class.
        """
        is_probe = only_echo and self._probe_title is not None and calling == self._probe_title
        if not is_probe and not self._is_listed(calling.strip(" "), address):
            return CALLING_TITLE_UNKNOWN
        if self.title(called) is None:
            return CALLED_TITLE_UNKNOWN
        return None

    def _is_listed(self, calling: str, address: str) -> bool:
        caller = _address(address)
        return any(
            title == calling and any(caller in network for network in networks)
            for title, networks in self._peers
        )


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return an address; one of IPv4 that came over an IPv6 socket as what it is."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
