"""What the command line can refuse, each with its exit status (sysexits.h)."""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "DeployError",
    "InputError",
    "PictureGoneError",
    "ServiceUnavailableError",
    "WaitError",
]


class DeployError(Exception):
    """The command could not be carried out."""

    exit_status = 1


class ConfigurationError(DeployError):
    """The configuration cannot be used."""

    exit_status = 78  # EX_CONFIG


class InputError(DeployError):
    """A file that was named cannot be read."""

    exit_status = 66  # EX_NOINPUT


class PictureGoneError(DeployError):
    """There is no picture to show: its file is no longer kept, or it may not be shared."""

    exit_status = 66


class ServiceUnavailableError(DeployError):
    """Something the service needs is not there: a port, an engine, a folder."""

    exit_status = 69  # EX_UNAVAILABLE


class WaitError(DeployError):
    """No worker answered in time."""

    exit_status = 75  # EX_TEMPFAIL
