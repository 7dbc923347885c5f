"""A seal over words in a database: unreadable without its key, and noticed where it was broken."""

from __future__ import annotations

import hmac
import secrets
import struct
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.errors import SealError

__all__ = ["Seal"]

_NONCE_BYTES: Final = 12


class Seal:
    """Encrypts what is kept, and makes marks by which it is found again.

    Encryption is AES-256-GCM (NIST SP 800-38D) with a random nonce for each text. A mark is an
    HMAC-SHA-256: the same words give the same mark, so equal ones can be looked for, and nobody
    without the key can tell the words of a mark, or try them out. Each purpose has a key of its
    own, derived from the one in the key file (HKDF, RFC 5869).

    Parameters
    ----------
    key
        32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_derived(key, b"wristmir crosswalk rows"))
        self._mark_key = _derived(key, b"wristmir crosswalk marks")

    def close(self, text: str, *bound: str) -> bytes:
        """Return nonce and ciphertext of a text, bound to words without which it does not open."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), _framed(bound))

    def open(self, sealed: bytes, *bound: str) -> str:
        """Return the text.

        Raises
        ------
        SealError
            Where it was changed, is bound to other words, or was closed with another key.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, _framed(bound)).decode()
        except (InvalidTag, ValueError):
            raise SealError from None

    def mark(self, purpose: str, *words: str) -> str:
        """Return 64 hexadecimal digits that stand for these words, for this purpose."""
        return hmac.new(self._mark_key, _framed((purpose, *words)), sha256).hexdigest()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)


def _framed(words: tuple[str, ...]) -> bytes:
    """Join words so that their borders count."""
    encoded = [word.encode() for word in words]
    return b"".join(struct.pack(">Q", len(word)) + word for word in encoded)
