"""The `wristmir` command."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from deploy import bundle_commands, crosswalk_commands, jobs_commands, web_commands
from deploy.errors import DeployError, ServiceUnavailableError
from deploy.miner_commands import mine, reread, review
from deploy.options import CONFIG, Config, Json
from deploy.output import failing_last, print_json, print_row
from deploy.settings import SHIPPED_BUNDLE, load
from listener.errors import ListenerError
from listener.receipt import InstanceState
from pipeline.errors import BundleError, DecodeError, PipelineError
from pipeline.region import Region
from pipeline.request import Mode

__all__ = ["app", "main"]

app = typer.Typer(
    name="wristmir",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(jobs_commands.app, name="jobs")
app.add_typer(bundle_commands.app, name="bundle")
app.add_typer(crosswalk_commands.app, name="crosswalk")
app.add_typer(web_commands.users_app, name="users")
app.add_typer(web_commands.feedback_app, name="feedback")


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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wristmir {installed('wristmir')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Say which release this is.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Similar prior wrist radiographs, inside the PACS. No medical device."""


@app.command()
def serve(config: Config = CONFIG) -> None:
    """Receive, index and answer in one process: the default for one hospital.

    The pages are a service of their own: `wristmir web`.
    """
    from deploy import service

    service.serve(load(config), receive=True, work=True)


@app.command()
def listen(config: Config = CONFIG) -> None:
    """Only receive: studies and reports into the inbox and the ledger."""
    from deploy import service

    service.serve(load(config), receive=True, work=False)


@app.command()
def work(config: Config = CONFIG) -> None:
    """Only work: index studies, answer requests, deliver results."""
    from deploy import service

    service.serve(load(config), receive=False, work=True)


app.command()(web_commands.web)


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

    outcome = query_(load(config), target, tuple(region or ()), k, mode, timeout)
    print_row(outcome.as_json(), (outcome.as_table(),), as_json)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of DICOM files, searched as a whole.")],
    as_json: Json = False,
    config: Config = CONFIG,
) -> None:
    """Hand a folder of studies and reports to the service, as if a PACS had sent them."""
    from deploy.folder import index_folder

    counts = index_folder(load(config), folder)
    words = ", ".join(f"{value} {name}" for name, value in counts.items())
    print_row(counts, (words,), as_json)


@app.command()
def optimize(as_json: Json = False, config: Config = CONFIG) -> None:
    """Build the search graph of a very large embedded index; stop the worker first."""
    from deploy.graph import build_graph

    report = build_graph(load(config))
    print_row(report.as_json(), (report.as_sentence(),), as_json)


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

    rows = reports_.listed(load(config), state or (), limit)
    if as_json:
        for row in rows:
            print_json(reports_.as_json(row))
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

    with failing_last() as failed:
        for row in inspect_files(files, bundle):
            failed.append(row.failed)
            print_row(row.as_json(), (row.as_table(),), as_json)


app.command()(mine)
app.command()(review)
app.command()(reread)


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
        for line in receipts_.life_lines(load(config), uids):
            lines.append(line)
            if as_json:
                print_json(line.as_json())
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

    rows = receipts_.latest_receipts(load(config), state or (), limit)
    if as_json:
        for row in rows:
            print_json(receipts_.as_json(row))
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

    settings = load(config)
    if last:
        found = reconcile_.last_reconciliation(settings)
    else:
        found = reconcile_.reconcile(settings, days, fetching=fetch)
    print_row(found.as_json(), found.as_tables(), as_json)
    if last:
        return
    if not found.complete:
        text = "the PACS was not compared as a whole; the reason stands among the warnings"
        raise ServiceUnavailableError(text)
    if found.fetched is not None and found.fetched.failures:
        text = f"{len(found.fetched.failures)} series did not come; the reason stands with each"
        raise ServiceUnavailableError(text)


@app.command()
def doctor(as_json: Json = False, config: Config = CONFIG) -> None:
    """Check the installation: configuration, state, bundle, index, port, destinations."""
    from deploy import doctor as doctor_

    checks = doctor_.examine(config)
    if as_json:
        for check in checks:
            print_json(check.as_json())
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

    sys.stdout.write(statement(None if config is None else load(config).listener))


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


def _stop(message: str, status: int) -> None:
    Console(stderr=True, soft_wrap=True).print(f"wristmir: {message}", style="red", markup=False)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
