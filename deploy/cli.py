"""The `wristmir` command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from deploy.errors import DeployError, InputError, ServiceUnavailableError
from deploy.settings import SHIPPED_BUNDLE, Settings, load
from listener.errors import ListenerError
from listener.receipt import InstanceState
from pipeline.errors import BundleError, DecodeError, PipelineError
from pipeline.region import Region
from pipeline.request import Mode

if TYPE_CHECKING:
    from rich.console import RenderableType

    from deploy.changeover import Changeover
    from pipeline.mining import Miner

__all__ = ["app", "main"]

app = typer.Typer(
    name="wristmir",
    help="Similar prior wrist radiographs, inside the PACS. No medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
jobs_app = typer.Typer(
    help="List, inspect and retry the work in the ledger.", no_args_is_help=False
)
app.add_typer(jobs_app, name="jobs")
bundle_app = typer.Typer(
    help="Install, compare and change bundles of models.", no_args_is_help=True
)
app.add_typer(bundle_app, name="bundle")
users_app = typer.Typer(help="Accounts that may sign in to the pages.", no_args_is_help=False)
app.add_typer(users_app, name="users")

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="WRISTMIR_CONFIG", help="The TOML configuration file."),
]
MinerConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="WRISTMIR_CONFIG",
        help="Read by what its pipeline.mining names; without it by rules.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
CONFIG = Path("/etc/wristmir/wristmir.toml")
_OWN_CONFIG = typer.Option("--config", "-c", help="As for `wristmir jobs` itself.")


def main() -> None:
    """Run the command; an expected refusal is one line on stderr and an exit status."""
    try:
        app()
    except DeployError as error:
        _stop(str(error), error.exit_status)
    except BundleError as error:
        _stop(str(error), 78)
    except DecodeError as error:
        _stop(str(error), 66)
    except (PipelineError, ListenerError) as error:
        _stop(str(error), 69)
    except SQLAlchemyError as error:
        _stop(f"the ledger cannot be used: {type(error).__name__}", 69)
    except OSError as error:
        _stop(f"{error.filename or 'the system'}: {error.strerror}", 69)


@app.command()
def serve(config: Config = CONFIG) -> None:
    """Receive, index and answer in one process: the default for one hospital."""
    from deploy import service

    service.serve(_settings(config), receive=True, work=True)


@app.command()
def listen(config: Config = CONFIG) -> None:
    """Only receive: studies and reports into the inbox and the ledger."""
    from deploy import service

    service.serve(_settings(config), receive=True, work=False)


@app.command()
def work(config: Config = CONFIG) -> None:
    """Only work: index studies, answer requests, deliver results."""
    from deploy import service

    service.serve(_settings(config), receive=False, work=True)


@app.command()
def web(config: Config = CONFIG) -> None:
    """Serve the pages: results for radiologists, the service's status for IT."""
    from deploy.service import log_to_stderr
    from deploy.web.server import serve_web

    settings = _settings(config)
    log_to_stderr(settings.log_level)
    serve_web(settings)


@app.command()
def feedback(
    export: Annotated[
        Path | None,
        typer.Option(help="Write every judgement to FILE.jsonl, under a table's pseudonyms."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The key of the exam table's pseudonyms, for --export; made if missing."),
    ] = None,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Say how relevant radiologists found the matches, or export it for training."""
    from deploy import feedback as feedback_

    settings = _settings(config)
    if (export is None) != (key is None):
        message = "--export and --key belong together"
        raise typer.BadParameter(message)
    if export is not None and key is not None:
        feedback_.export(settings, export, key)
    found = feedback_.summary(settings)
    _print(found.as_json(), (found.as_table(),), as_json)


@users_app.callback(invoke_without_command=True)
def users(context: typer.Context, as_json: Json = False, config: Config = CONFIG) -> None:
    """List the accounts that may sign in to the pages."""
    from deploy import accounts

    context.obj = config
    if context.invoked_subcommand is None:
        rows = accounts.listed(_settings(config))
        for row in rows:
            _print(accounts.as_json(row), (accounts.as_sentence(row),), as_json)


@users_app.command("add")
def users_add(
    context: typer.Context,
    name: str,
    role: Annotated[
        list[str], typer.Option("--role", "-r", help="radiologist or it; may be repeated.")
    ],
    config: Annotated[Path | None, _OWN_CONFIG] = None,
) -> None:
    """Make an account, or give one another password; it is asked for, or read from a pipe."""
    from deploy import accounts

    accounts.add(_settings(config or context.obj), name, role)


@users_app.command("remove")
def users_remove(
    context: typer.Context, name: str, config: Annotated[Path | None, _OWN_CONFIG] = None
) -> None:
    """Take an account away; who is signed in with it is signed out."""
    from deploy import accounts

    accounts.remove(_settings(config or context.obj), name)


@app.command()
def query(
    target: Annotated[str, typer.Argument(help="A DICOM file, or a StudyInstanceUID.")],
    region: Annotated[
        list[Region] | None, typer.Option("--region", "-r", help="Bone; may be repeated.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", min=1, max=50, help="Matches per bone.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="How candidates are ranked.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for a worker.")] = 60.0,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Ask the running service for the cases most similar to a study or a file."""
    from deploy.query import query as query_

    outcome = query_(_settings(config), target, tuple(region or ()), k, mode, timeout)
    _print(outcome.as_json(), (outcome.as_table(),), as_json)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of DICOM files, searched as a whole.")],
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Hand a folder of studies and reports to the service, as if a PACS had sent them."""
    from deploy.folder import index_folder

    counts = index_folder(_settings(config), folder)
    words = ", ".join(f"{value} {name}" for name, value in counts.items())
    _print(counts, (words,), as_json)


@app.command()
def optimize(as_json: Json = False, config: Config = CONFIG) -> None:
    """Build the search graph of a very large embedded index; stop the worker first."""
    from deploy.graph import build_graph

    report = build_graph(_settings(config))
    _print(report.as_json(), (report.as_sentence(),), as_json)


@app.command()
def reports(
    state: Annotated[
        list[str] | None,
        typer.Option(help="waiting, linked, quarantined or lost; by default all but linked."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 50,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """List reports that came by HL7 or the drop folder, and how they stand to their studies."""
    from deploy import reports as reports_

    rows = reports_.listed(_settings(config), state or (), limit)
    if as_json:
        for row in rows:
            _print_json(reports_.as_json(row))
    else:
        Console().print(reports_.as_table(rows))


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help="DICOM, PNG or JPEG files.")],
    bundle: Annotated[Path, typer.Option(help="Folder of the models.")] = SHIPPED_BUNDLE,
    as_json: Json = False,
) -> None:
    """Say what the pipeline sees in a file: view, side, wrist and bones."""
    from deploy.inspection import inspect_files

    with _failing_last() as failed:
        for row in inspect_files(files, bundle):
            failed.append(row.failed)
            _print(row.as_json(), (row.as_table(),), as_json)


@app.command()
def mine(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Text files, DICOM structured reports, encapsulated PDF or CDA; or folders."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Bulk: one row a report in FILE.parquet or FILE.csv; can be resumed."),
    ] = None,
    evaluate: Annotated[
        Path | None, typer.Option(help="A file of gold reports: measure the miner on it.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a language model's answer.")
    ] = False,
    as_json: Json = False,
    config: MinerConfig = None,
) -> None:
    """Say what the miner reads in reports: findings with their evidence."""
    from deploy.mining import evaluate_miner
    from pipeline.answer import answer_schema

    if schema:
        _print_json(answer_schema())
        return
    if not files and evaluate is None:
        message = "name files or folders to mine, or a gold file by --evaluate"
        raise typer.BadParameter(message)
    with _told(config, "mine", files or []), _miner(config) as (miner, at_once):
        if evaluate is not None:
            found = evaluate_miner(evaluate, miner, at_once)
            _print(found.as_json(), found.as_tables(), as_json)
        elif out is not None:
            _mine_archive(files or [], out, miner, at_once, as_json)
        else:
            _mine_files(files or [], miner, as_json)


def _mine_archive(paths: list[Path], out: Path, miner: Miner, at_once: int, as_json: bool) -> None:
    from deploy.archive import mine_archive

    summary = mine_archive(paths, out, miner, at_once)
    _print(summary.as_json(), summary.as_tables(), as_json)
    if summary.to_try_again:
        text = f"the miner failed on {summary.to_try_again} reports; start again to try just these."
        raise ServiceUnavailableError(text)
    if summary.not_read.total() == summary.reports:
        text = f"no report could be read; the reason stands with each in {out}."
        raise InputError(text)


def _mine_files(files: list[Path], miner: Miner, as_json: bool) -> None:
    from deploy.mining import mine_files

    with _failing_last() as failed:
        for row in mine_files(files, miner):
            failed.append(row.failed)
            _print(row.as_json(), (row.as_table(),), as_json)


@app.command()
def review(
    files: Annotated[
        list[Path], typer.Argument(help="Reports as for `wristmir mine`, or folders of them.")
    ],
    gold: Annotated[Path, typer.Option(help="The gold file (JSON lines) that corrections go to.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 takes a free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    config: MinerConfig = None,
) -> None:
    """Show reports beside what the miner reads in them, take corrections, write gold reports."""
    from deploy.review import review_reports

    with _told(config, "review", files), _miner(config) as (miner, at_once):
        review_reports(files, gold, miner, at_once, port=port, browser=browser)


@app.command()
def reread(as_json: Json = False, config: Config = CONFIG) -> None:
    """Have reports read anew that another miner, or another version of it, has read."""
    from deploy.rereading import reread as reread_

    found = reread_(_settings(config))
    _print(found.as_json(), (found.as_sentence(),), as_json)


@jobs_app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="ready, leased, done or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 50,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """List jobs."""
    from deploy import jobs as jobs_

    context.obj = config
    if context.invoked_subcommand is not None:
        return
    rows = jobs_.listed(_settings(config), state, limit)
    if as_json:
        for row in rows:
            _print_json(jobs_.as_json(row))
    else:
        Console().print(jobs_.as_table(rows))


@jobs_app.command("show")
def jobs_show(
    context: typer.Context, number: int, config: Annotated[Path | None, _OWN_CONFIG] = None
) -> None:
    """Show one job as JSON: its argument, last error and outcome."""
    from deploy import jobs as jobs_

    _print_json(jobs_.as_json(jobs_.one(_settings(config or context.obj), number)))


@jobs_app.command("retry")
def jobs_retry(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="A dead job; without it, all.")] = None,
    config: Annotated[Path | None, _OWN_CONFIG] = None,
) -> None:
    """Give a dead job, or every dead job, all its attempts again."""
    from deploy import jobs as jobs_

    for job in jobs_.retried(_settings(config or context.obj), number):
        _print_json(jobs_.as_json(job))


@app.command()
def receipt(
    uids: Annotated[list[str], typer.Argument(help="SOP Instance, Series or Study Instance UIDs.")],
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Say what became of received instances: kept, filtered, indexed, answered, delivered."""
    from deploy import receipts as receipts_
    from deploy.life_tree import life_tree

    lines = []
    try:
        for line in receipts_.life_lines(_settings(config), uids):
            lines.append(line)
            if as_json:
                _print_json(line.as_json())
    finally:
        if lines and not as_json:
            Console().print(life_tree(lines))


@app.command()
def receipts(
    state: Annotated[
        list[InstanceState] | None,
        typer.Option(help="Only of this state; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 50,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """List what was received last and what became of it: filtered, quarantined, lost …."""
    from deploy import receipts as receipts_
    from deploy.life_tree import receipts_table

    rows = receipts_.latest_receipts(_settings(config), state or (), limit)
    if as_json:
        for row in rows:
            _print_json(receipts_.as_json(row))
    else:
        Console().print(receipts_table(rows))


@app.command()
def reconcile(
    days: Annotated[
        int | None,
        typer.Option(min=1, help="How many days back, by the studies' dates; see the settings."),
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Ask the PACS to send what is missing.")
    ] = False,
    last: Annotated[
        bool, typer.Option("--last", help="Show the last result instead of asking the PACS.")
    ] = False,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """List what the PACS has and the index has not, and the other way round."""
    from deploy import reconcile as reconcile_

    settings = _settings(config)
    if last:
        found = reconcile_.last_reconciliation(settings)
    else:
        found = reconcile_.reconcile(settings, days, fetching=fetch)
    _print(found.as_json(), found.as_tables(), as_json)
    if last:
        return
    if not found.complete:
        text = "the PACS was not compared as a whole; the reason stands among the warnings"
        raise ServiceUnavailableError(text)
    if found.fetched is not None and found.fetched.failures:
        text = f"{len(found.fetched.failures)} series did not come; the reason stands with each"
        raise ServiceUnavailableError(text)


@bundle_app.command("verify")
def bundle_verify(
    folder: Annotated[Path, typer.Argument(help="The bundle's folder.")] = SHIPPED_BUNDLE,
    as_json: Json = False,
) -> None:
    """Check a bundle as the service would: every checksum, every model's shape."""
    from deploy.bundles import verify_bundle

    manifest = verify_bundle(folder)
    if as_json:
        _print_json(manifest.model_dump(mode="json"))
    else:
        Console().print(f"{manifest.id} {manifest.version}: whole. {manifest.intended_use}")


@bundle_app.command("compare")
def bundle_compare(
    folders: Annotated[list[Path], typer.Argument(help="Two bundles or more.")],
    as_json: Json = False,
) -> None:
    """Show what was measured of bundles side by side."""
    from deploy.bundles import compare_bundles

    comparison = compare_bundles(folders)
    _print(comparison.as_json(), (comparison.as_table(),), as_json)


@bundle_app.command("list")
def bundle_list(as_json: Json = False, config: Config = CONFIG) -> None:
    """Show which bundles are installed, and which of them is in use."""
    from deploy.bundles import installed_bundles

    rows = installed_bundles(_settings(config))
    if as_json:
        for row in rows:
            _print_json(row.as_json())
        return
    for row in rows:
        Console(soft_wrap=True).print(row.as_sentence(), highlight=False)


@bundle_app.command("install")
def bundle_install(
    folder: Annotated[Path, typer.Argument(help="The bundle's folder; it is copied.")],
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Check a bundle and copy it into state_dir; nothing changes until it is activated."""
    from deploy.bundles import install_bundle

    manifest = install_bundle(_settings(config), folder)
    if as_json:
        _print_json(manifest.model_dump(mode="json"))
    else:
        Console(soft_wrap=True).print(
            f"{manifest.id} is installed; `wristmir bundle activate {manifest.id}` takes it into "
            "use.",
            highlight=False,
        )


_BESIDE_THE_SERVICE = 10  # nicer than the service, which answers meanwhile
AtOnce = Annotated[
    bool,
    typer.Option("--at-once", help="Change first; the worker then indexes everything anew."),
]


@bundle_app.command("activate")
def bundle_activate(
    bundle: Annotated[str, typer.Argument(help="The id of an installed bundle.")],
    at_once: AtOnce = False,
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Index everything for a bundle while the old one serves, then change to it."""
    from deploy.changeover import change_bundle

    os.nice(_BESIDE_THE_SERVICE)
    _print_changeover(change_bundle(_settings(config), bundle, at_once=at_once), as_json)


@bundle_app.command("rollback")
def bundle_rollback(
    at_once: AtOnce = False, as_json: Json = False, config: Config = CONFIG
) -> None:
    """Change back to the bundle that was in use before."""
    from deploy.changeover import roll_back

    os.nice(_BESIDE_THE_SERVICE)
    _print_changeover(roll_back(_settings(config), at_once=at_once), as_json)


@app.command()
def doctor(as_json: Json = False, config: Config = CONFIG) -> None:
    """Check the installation: configuration, state, bundle, index, port, destinations."""
    from deploy import doctor as doctor_

    checks = doctor_.examine(config)
    if as_json:
        for check in checks:
            _print_json(check.as_json())
    else:
        Console().print(doctor_.as_table(checks))
    raise typer.Exit(doctor_.exit_status(checks))


@app.command()
def conformance(
    config: Annotated[
        Path | None, typer.Option(help="Of which installation; by default none in particular.")
    ] = None,
) -> None:
    """Print the DICOM conformance statement, in Markdown."""
    from deploy.conformance import conformance as statement

    sys.stdout.write(statement(None if config is None else _settings(config).listener))


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where the result objects go.")] = Path(
        "demo-output"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Studies to play with; by default those of the source's tests/data."),
    ] = None,
) -> None:
    """Play the main job on this machine: a small PACS, real wrists, a question, the answer."""
    from deploy.demo import run_demo

    run_demo(output, data)


def _settings(config: Path) -> Settings:
    return load(config)


def _told(config: Path | None, command: str, files: Sequence[Path]) -> AbstractContextManager[None]:
    """Tell the audit trail where a command reads reports that were received."""
    from deploy.look_up import reading_files

    return reading_files(None if config is None else _settings(config), command, files)


@contextmanager
def _miner(config: Path | None) -> Iterator[tuple[Miner, int]]:
    """Open what reads reports, and say how many it reads at once."""
    from deploy.miner import open_miner
    from pipeline.settings import MiningSettings

    mining = MiningSettings() if config is None else _settings(config).pipeline.mining
    with open_miner(mining) as miner:
        yield miner, mining.at_once


def _print_changeover(changeover: Changeover, as_json: bool) -> None:
    if as_json:
        _print_json(changeover.as_json())
    else:
        Console(soft_wrap=True).print(changeover.as_text(), highlight=False)


def _print(row: Mapping[str, Any], words: Sequence[RenderableType], as_json: bool) -> None:
    if as_json:
        _print_json(row)
    else:
        Console().print(*words, sep="\n")


def _print_json(row: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _failing_last() -> Iterator[list[bool]]:
    """Report on every file, then fail if one could not be read."""
    failed: list[bool] = []
    yield failed
    if any(failed):
        text = (
            f"{sum(failed)} of {len(failed)} files could not be used; the reason stands with each."
        )
        raise InputError(text)


def _stop(message: str, status: int) -> None:
    Console(stderr=True, soft_wrap=True).print(f"wristmir: {message}", style="red", markup=False)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
