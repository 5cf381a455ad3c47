"""The command line ``conn-eval``: parse, call one public function, print."""

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from conn.eval._version import __version__
from conn.eval.connectome_runs import KINDS, ConnectomeSettings, write_connectomes
from conn.eval.errors import MissingExtraError

__all__ = ["app", "main"]

app: typer.Typer = typer.Typer(
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make connectomes of derivatives, with quality control.",
    epilog="A refusal is one line and exit status 2.",
)


@app.callback()
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"conn-eval {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("connectome")
def _connectome(
    derivatives: Annotated[Path, typer.Argument(help="Folder that fMRIPrep or XCP-D wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for connectomes and tables; finished runs in it are kept.")],
    atlas: Annotated[
        str,
        typer.Option(help="Label of parcellated series (atlas-<label>), or a .dlabel.nii or .nii.gz file of labels."),
    ],
    *,
    confounds: Annotated[
        str, typer.Option(help="none, a strategy (36p, 9p, motion24, acompcor5, ...), or an expression of confounds.")
    ] = "none",
    band: Annotated[
        str, typer.Option(help="Frequencies that pass, in hertz: 0.01-0.1, 0.01- or -0.1; or none.")
    ] = "none",
    fd_threshold: Annotated[
        float | None, typer.Option(help="Censor frames that moved more than this, in millimetres.")
    ] = None,
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")] = "correlation",
    dummy_frames: Annotated[
        int | None, typer.Option(help="Frames dropped at the beginning [default: fMRIPrep's non-steady ones].")
    ] = None,
    minimum_coverage: Annotated[float, typer.Option(help="Regions with a smaller share of signal are n/a.")] = 0.5,
    minimum_minutes: Annotated[float, typer.Option(help="Runs with less left after censoring are excluded.")] = 4.0,
    coordinates: Annotated[
        Path | None, typer.Option(help="Table with label, x, y, z (.csv or .tsv), for QC-FC by distance.")
    ] = None,
    space: Annotated[str | None, typer.Option(help="Take files of this space only.")] = None,
    task: Annotated[str | None, typer.Option(help="Take this task only.")] = None,
    subjects: Annotated[str | None, typer.Option(help="Take these people only: 01,02.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html too.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Write a labelled connectome of every run and task, with quality control."""
    try:
        settings = ConnectomeSettings(
            atlas=atlas,
            confounds=None if confounds == "none" else confounds,
            band=_band(band),
            fd_threshold=fd_threshold,
            kind=kind,  # pyright: ignore[reportArgumentType]
            dummy_frames=dummy_frames,
            minimum_coverage=minimum_coverage,
            minimum_minutes=minimum_minutes,
            space=space,
            task=task,
        )
        tables = write_connectomes(
            derivatives,
            out,
            settings,
            coordinates=None if coordinates is None else _coordinates(coordinates),
            subjects=None if subjects is None else [name.strip().removeprefix("sub-") for name in subjects.split(",")],
            report=report,
            progress=_progress if sys.stderr.isatty() else None,
        )
    except (ValueError, OSError, MissingExtraError) as error:
        if debug:
            traceback.print_exc()
        else:
            _complain(str(error))
        raise typer.Exit(2) from None
    typer.echo(f"{len(tables['runs'])} connectomes, {len(tables['excluded'])} runs excluded, in {out}")
    for row in tables["qc_fc"].to_dict("records"):
        typer.echo(f"QC-FC {row['stage']}: median |r| {row['median_absolute']:.3f}")


def _band(text: str) -> tuple[float | None, float | None] | None:
    if text == "none":
        return None
    low, dash, high = text.partition("-")
    try:
        if not dash or not (low or high):
            raise ValueError
        return float(low) if low else None, float(high) if high else None
    except ValueError:
        raise ValueError(f"band {text!r}, expected hertz as in 0.01-0.1, 0.01- or -0.1, or none") from None


def _coordinates(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t")
        places = table.reindex(columns=["x", "y", "z"]).astype(float)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error
    if "label" not in table.columns or not {"x", "y", "z"} <= set(table.columns):
        raise ValueError(f"{path} has no columns label, x, y, z")
    return places.assign(label=table["label"].astype(str))


def _progress(name: str, number: int, total: int) -> None:
    filled = 20 * number // total
    end = "\n" if number + 1 == total else ""
    typer.echo(f"\r[{'#' * filled}{'.' * (20 - filled)}] {number + 1}/{total} {name:<50.50}{end}", err=True, nl=False)


def _complain(message: str) -> None:
    typer.echo(f"conn-eval: error: {' '.join(message.split())}", err=True)


def main() -> None:
    """Run the command line and exit with its status."""
    # typer brings its own click or uses the installed one; the base of its public exception is the right error.
    usage_error: Any = typer.BadParameter.__mro__[1]
    try:
        outcome = app(standalone_mode=False)
    except usage_error as error:
        _complain(error.format_message())
        outcome = 2
    except (typer.Abort, KeyboardInterrupt):
        _complain("interrupted; finished runs are kept")
        outcome = 130
    sys.exit(outcome if isinstance(outcome, int) else 0)
