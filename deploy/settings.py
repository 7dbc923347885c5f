"""One TOML file into each package's frozen settings."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.errors import ConfigurationError
from deploy.web.settings import WebSettings
from listener.settings import ListenerSettings
from pipeline.key_file import make_key
from pipeline.settings import PipelineSettings

if TYPE_CHECKING:
    from deploy.shelf import Shelf

__all__ = ["SHIPPED_BUNDLE", "Settings", "load", "site_key"]

SHIPPED_BUNDLE = Path(__file__).parent / "bundle" / "wristmir-demonstration-4"
"""The demonstration bundle that comes with the plugin."""


TITLE_JOBS = ("index", "mine", "answer")
"""What a send to an AE title can set in motion."""


class Settings(BaseModel):
    """The whole configuration: one table per package.

    `state_dir` stands at the top because receiver, worker and command line must agree on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state_dir: Path = Field(
        default=Path("/var/lib/wristmir"),
        description="everything that must survive: inbox, ledger, index, records, site key",
    )
    log_level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="debug, info, warning or error; no level prints a patient's data",
    )
    listener: ListenerSettings = Field(description="the DICOM receiver and sender")
    pipeline: PipelineSettings = Field(
        default=PipelineSettings(), description="from study to result set"
    )
    web: WebSettings = Field(
        default=WebSettings(), description="the pages of results and status: `wristmir web`"
    )

    @property
    def bundle(self) -> Path:
        """Folder of the models in use: the configured one, else the shelf's active one."""
        return self.pipeline.bundle or self.shelf.active

    @property
    def shelf(self) -> Shelf:
        """The installed bundles."""
        from deploy.shelf import Shelf  # noqa: PLC0415  the receiver alone needs no models

        return Shelf(self.state_dir / "bundles")

    @property
    def receiving(self) -> ListenerSettings:
        """The receiver's settings, with an answer to every new study where that is wanted."""
        bones = self.pipeline.answer_every_study
        if not bones:
            return self.listener
        unasked = {"regions": [bone.value for bone in bones], "unasked": True}
        titles = [
            title
            if title.is_request or "answer" in title.jobs
            else title.model_copy(update={"jobs": (*title.jobs, "answer"), "argument": unasked})
            for title in self.listener.titles
        ]
        return self.listener.model_copy(update={"titles": tuple(titles)})

    @property
    def users_file(self) -> Path:
        """Accounts that may sign in to the pages."""
        return self.web.login.users or self.state_dir / "users"

    @property
    def crosswalk_key(self) -> Path:
        """File of the key that seals the crosswalk."""
        return self.pipeline.crosswalk_key or self.state_dir / "crosswalk.key"

    @property
    def ledger_url(self) -> str:
        """Database of the durable work, its password included."""
        return self.listener.ledger_url


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read a configuration file.

    Parameters
    ----------
    path
        A TOML file like ``deploy/wristmir.example.toml``.
    overrides
        Top-level keys that take precedence, for tests and the demo.

    Raises
    ------
    ConfigurationError
        Where the file is missing or not TOML, a key is unknown (the message names it and the
        nearest right one) or a value is of the wrong kind.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = f"{path}: no such configuration file; start from deploy/wristmir.example.toml"
        raise ConfigurationError(text) from None
    except OSError as error:
        text = f"{path}: cannot be read ({error.strerror})"
        raise ConfigurationError(text) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        text = f"{path}: not valid TOML: {error}"
        raise ConfigurationError(text) from None
    return parse({**data, **(overrides or {})}, source=str(path))


def parse(data: Mapping[str, Any], source: str = "configuration") -> Settings:
    """Check a configuration given as nested tables; see `load`."""
    tables = dict(data)
    listener = dict(tables.get("listener", {}))
    state_dir = tables.get("state_dir", Settings.model_fields["state_dir"].default)
    listener.setdefault("state_dir", state_dir)
    tables["listener"] = listener
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_complaints(error, source))) from None
    _check_jobs(settings, source)
    names = {destination.name for destination in settings.listener.destinations}
    for key in ("destination", "library_destination"):
        wanted = getattr(settings.pipeline, key)
        if wanted is not None and wanted not in names:
            text = f"{source}: pipeline.{key} names a destination that listener.destinations lacks"
            raise ConfigurationError(text)
    archive = settings.listener.reconciliation.destination
    if archive is not None and archive not in names:
        text = (
            f"{source}: listener.reconciliation.destination names a destination that "
            "listener.destinations lacks"
        )
        raise ConfigurationError(text)
    return settings


def _check_jobs(settings: Settings, source: str) -> None:
    """Refuse a kind of job that no worker takes: it would wait for ever."""
    for title in settings.listener.titles:
        for kind in title.jobs:
            if kind not in TITLE_JOBS:
                text = (
                    f"{source}: listener.titles: no worker does {kind!r}; "
                    f"jobs can be {', '.join(TITLE_JOBS)}"
                )
                raise ConfigurationError(text)


def site_key(state_dir: Path) -> bytes:
    """Return the site's secret key, made at first use (32 bytes, file mode 0600).

    Patient keys, library UIDs and the hashes in the log are made with it: a backup without it
    cannot recognise its own patients.
    """
    path = state_dir / "site.key"
    try:
        if not path.exists():
            if any((state_dir / name).exists() for name in _MADE_WITH_IT):
                text = f"{path}: missing beside a ledger made with it; restore it from the backup"
                raise ConfigurationError(text)
            make_key(path)
        key = path.read_bytes()
    except OSError as error:
        text = f"{path}: cannot be made or read ({error.strerror}); set state_dir or its owner"
        raise ConfigurationError(text) from None
    if len(key) != 32:
        text = f"{path}: a site key has 32 bytes; restore it from the backup"
        raise ConfigurationError(text)
    return key


# the ledger may lie on a server
_MADE_WITH_IT = ("ledger.sqlite3", "records.sqlite3", "inbox")


def _complaints(error: ValidationError, source: str) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = list(_model_at(problem["loc"][:-1]).model_fields)
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            yield f"{source}: unknown key {place}; {hint}"
        else:
            yield f"{source}: {place}: {problem['msg']}"


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            found = _model_in(model.model_fields[part].annotation)
            model = found or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
