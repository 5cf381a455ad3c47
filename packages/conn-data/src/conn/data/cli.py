"""The command line ``conn-data``: parse, call one public function, print."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from conn.data._version import __version__
from conn.data.atlas import SCHAEFER_FILES, SCHAEFER_URL, load_schaefer
from conn.data.catalogue import describe_dataset, list_datasets
from conn.data.errors import DataError
from conn.data.locations import cache_folder
from conn.data.msc import MSC_URL, fetch_msc, verify_msc
from conn.data.selection import parse_sessions
from conn.data.storage import save_scans

__all__ = ["app", "main"]

# typer brings its own click or uses the installed one, depending on its version: the base class
# of its public exception is the right usage error either way.
_UsageError: Any = typer.BadParameter.__mro__[1]


class _OneLineErrors(TyperGroup):
    """A group whose usage errors are one line on standard error, like every other refusal."""

    def main(self, *args: Any, standalone_mode: bool = True, **kwargs: Any) -> Any:
        try:
            outcome = super().main(*args, standalone_mode=False, **kwargs)
        except _UsageError as error:
            _complain(error.format_message())
            outcome = 2
        except (typer.Abort, KeyboardInterrupt):
            _complain("interrupted; what was fetched whole is kept")
            outcome = 130
        if not standalone_mode:
            return outcome
        sys.exit(outcome if isinstance(outcome, int) else 0)


app: typer.Typer = typer.Typer(
    cls=_OneLineErrors,
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Fetch, describe and verify data sets for functional connectomics.",
    epilog="Data are looked for in the folder named by CONN_DATA_DIR, then in the cache "
    "(CONN_CACHE_DIR names another one), then fetched.",
)

_Dataset = Annotated[str, typer.Argument(help="Name of the data set; `conn-data list` shows them.")]
_CacheDir = Annotated[Path | None, typer.Option(help="Folder for downloads, in place of the per-user cache.")]
_Registry = Annotated[
    Path | None,
    typer.Option(help="Table of files (path,sha256,bytes) in place of the built-in one."),
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _complain(message: str) -> None:
    typer.echo(f"conn-data: error: {' '.join(message.split())}", err=True)


@contextmanager
def _refusals(*, debug: bool) -> Iterator[None]:
    try:
        yield
    except (DataError, OSError) as error:
        if debug:
            traceback.print_exc()
        else:
            _complain(str(error))
        raise typer.Exit(2) from None


@app.callback()
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"conn-data {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list")
def _list(*, debug: _Debug = False) -> None:
    """List the data sets."""
    with _refusals(debug=debug):
        for name, summary in list_datasets().items():
            typer.echo(f"{name:<14}{summary}")


@app.command("describe")
def _describe(dataset: _Dataset, *, debug: _Debug = False) -> None:
    """Say what a data set is, its source and terms."""
    with _refusals(debug=debug):
        typer.echo(describe_dataset(dataset))


@app.command("fetch")
def _fetch(
    dataset: _Dataset,
    *,
    sessions: Annotated[
        str | None, typer.Option(help="msc: session numbers such as 1-3,5, or all.  [default: 1-3]")
    ] = None,
    subjects: Annotated[str | None, typer.Option(help="msc: names such as MSC01,MSC02.  [default: all]")] = None,
    tasks: Annotated[str | None, typer.Option(help="msc: names such as rest,motor, or all.  [default: rest]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder to look in first, in place of CONN_DATA_DIR.")] = None,
    cache_dir: _CacheDir = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of the files, in place of the public repository.")
    ] = None,
    registry: _Registry = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    nan_frames: Annotated[
        str, typer.Option(help="msc: `raise` refuses frames with NaN, `mask` leaves them out.")
    ] = "raise",
    jobs: Annotated[int, typer.Option(help="msc: files at once.")] = 4,
    out: Annotated[Path | None, typer.Option(help="msc: also write the scans to this .npz file.")] = None,
    debug: _Debug = False,
) -> None:
    """Bring a data set into the cache, unless it is at hand."""
    with _refusals(debug=debug):
        describe_dataset(dataset)
        progress = sys.stderr.isatty()
        if dataset == "schaefer2018":
            given = {"--sessions": sessions, "--subjects": subjects, "--tasks": tasks, "--out": out}
            for option, value in given.items():
                if value is not None:
                    raise DataError(f"{option} has no meaning for schaefer2018")
            for n_regions, n_networks in SCHAEFER_FILES:
                load_schaefer(
                    n_regions,
                    n_networks,
                    data_dir=data_dir,
                    cache_dir=cache_dir,
                    base_url=base_url or SCHAEFER_URL,
                    offline=offline,
                    progress=progress,
                )
            typer.echo(f"{len(SCHAEFER_FILES)} tables of schaefer2018 are at hand")
            return
        scans = fetch_msc(
            subjects=_names(subjects, default=None),
            sessions=None if sessions == "all" else parse_sessions(sessions or "1-3"),
            tasks=_names(tasks, default=("rest",)),
            data_dir=data_dir,
            cache_dir=cache_dir,
            base_url=base_url or MSC_URL,
            registry=registry,
            offline=offline,
            progress=progress,
            n_jobs=jobs,
            nan_policy=nan_frames,  # pyright: ignore[reportArgumentType]  # fetch_msc checks it
        )
        typer.echo(scans.describe())
        if scans.provenance.origin in ("cache", "network"):
            typer.echo(f"kept in    {cache_folder(cache_dir)}")
        if out is not None:
            typer.echo(f"written    {save_scans(scans, out)}")


@app.command("verify")
def _verify(
    dataset: _Dataset,
    *,
    cache_dir: _CacheDir = None,
    registry: _Registry = None,
    debug: _Debug = False,
) -> None:
    """Check every cached file of a data set."""
    with _refusals(debug=debug):
        describe_dataset(dataset)
        if dataset != "msc":
            raise DataError(f"{dataset} is checked whenever it is loaded; only msc can be verified")
        states = verify_msc(cache_dir=cache_dir, registry=registry)
        counts = states["state"].value_counts()
        typer.echo(
            f"{counts.get('intact', 0)} files intact, {counts.get('damaged', 0)} damaged, "
            f"{counts.get('absent', 0)} not fetched, in {cache_folder(cache_dir)}"
        )
        damaged = states.loc[states["state"] == "damaged", "path"].tolist()
        if damaged:
            raise DataError(f"{len(damaged)} damaged files, the first is {damaged[0]}; the next fetch replaces them")


def _names(text: str | None, *, default: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if text is None:
        return default
    if text == "all":
        return None
    return tuple(name.strip() for name in text.split(","))


def main() -> None:
    """Run the command line and exit with its status."""
    app()
