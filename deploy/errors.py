"""What the command line can refuse, each with its exit status (sysexits.h)."""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "DeployError",
    "InputError",
    "PictureGoneError",
    "ProviderError",
    "ServiceUnavailableError",
    "SignInError",
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


class ProviderError(DeployError):
    """The OpenID provider cannot be asked, or what it says of itself cannot be used."""

    exit_status = 69


class ServiceUnavailableError(DeployError):
    """Something the service needs is not there: a port, an engine, a folder."""

    exit_status = 69  # EX_UNAVAILABLE


class SignInError(DeployError):
    """The OpenID provider's word for somebody is not believed."""

    exit_status = 77  # EX_NOPERM


class WaitError(DeployError):
    """No worker answered in time."""

    exit_status = 75  # EX_TEMPFAIL
