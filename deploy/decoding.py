"""What decoding one received object may cost, as the configuration says."""

from __future__ import annotations

from deploy.settings import Settings
from pipeline.decoder import DecoderLimits, FileLimits

__all__ = ["decoder_limits"]


def decoder_limits(settings: Settings) -> DecoderLimits:
    """Return the limits of the decoding child process."""
    decoding = settings.pipeline.decoding
    file = FileLimits(max_file_bytes=decoding.max_file_mib << 20, max_pixels=decoding.max_pixels)
    return DecoderLimits(
        file=file, memory_bytes=decoding.memory_mib << 20, seconds=decoding.seconds
    )
