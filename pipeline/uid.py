"""UIDs that the plugin makes, and recognises without a table."""

from __future__ import annotations

import base64
import hmac
import re
import struct
from hashlib import sha256
from typing import Final

__all__ = ["KeyedUids"]

_DECIMAL: Final = re.compile(r"2\.25\.(0|[1-9][0-9]{0,38})")
_MINIMUM_KEY_BYTES: Final = 16


class KeyedUids:
    """Makes UIDs under ``2.25`` (PS3.5 B.2) that are stable, unguessable and recognisable.

    The number behind ``2.25.`` is a UUID of version 8 (RFC 9562, section 5.8): 90 bits are an HMAC
    of the parts, the last 32 bits an HMAC of the rest. The same parts give the same UID, so a job
    that runs twice makes the same object; nobody without the key can tell a copy's source, or
    pass an object off as the plugin's own. A foreign UUIDv8 is taken for an own one once in 2³².

    Parameters
    ----------
    key
        The site's secret, at least 16 bytes. Another key means other UIDs: objects made under the
        old one are no longer recognised.

    Raises
    ------
    ValueError
        Where the key is too short.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _MINIMUM_KEY_BYTES:
            message = f"the site key must have at least {_MINIMUM_KEY_BYTES} bytes"
            raise ValueError(message)
        # one key per purpose, so that no output of one can be replayed as another
        self._body_key = _mac(key, b"wristmir uid body")
        self._check_key = _mac(key, b"wristmir uid check")
        self._name_key = _mac(key, b"wristmir name")

    def make(self, *parts: str) -> str:
        """Return the UID of these parts: at most 44 characters, always the same.

        Parameters
        ----------
        parts
            At least one word that tells this object from every other; their borders count
            (``"ab", "c"`` and ``"a", "bc"`` differ).
        """
        digest = _mac(self._body_key, _framed(parts))
        rest = _with_version(int.from_bytes(digest[:12], "big"))
        return f"2.25.{rest << 32 | self._check(rest)}"

    def is_own(self, uid: str) -> bool:
        """Whether this UID was made here, under this key; False for anything malformed."""
        match = _DECIMAL.fullmatch(uid)
        if match is None:
            return False
        number = int(match[1])
        rest, check = number >> 32, number & 0xFFFF_FFFF
        if rest >> 96 or _with_version(rest) != rest:
            return False
        return hmac.compare_digest(struct.pack(">I", check), struct.pack(">I", self._check(rest)))

    def name(self, *parts: str) -> str:
        """Return 16 characters (A–Z, 2–7; 80 bits) that stand for these parts, always the same."""
        return base64.b32encode(_mac(self._name_key, _framed(parts))[:10]).decode("ascii")

    def _check(self, rest: int) -> int:
        return int.from_bytes(_mac(self._check_key, rest.to_bytes(12, "big"))[:4], "big")


def _with_version(rest: int) -> int:
    """Set version 8 and variant 10 in the upper 96 bits of a UUID."""
    version_at, variant_at = 76 - 32, 62 - 32
    rest = rest & ~(0xF << version_at) | 8 << version_at
    return rest & ~(0x3 << variant_at) | 2 << variant_at


def _framed(parts: tuple[str, ...]) -> bytes:
    if not parts:
        message = "a keyed UID needs at least one part"
        raise ValueError(message)
    encoded = [part.encode("utf-8") for part in parts]
    return b"".join(struct.pack(">Q", len(part)) + part for part in encoded)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, sha256)
