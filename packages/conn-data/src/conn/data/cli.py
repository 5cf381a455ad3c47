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
from conn.data.catalogue import describe_dataset, list_datasets, load_dataset, verify_dataset
from conn.data.errors import DataError
from conn.data.expression_record import write_regional_expression
from conn.data.locations import cache_folder
from conn.data.msc import MSC_URL, fetch_msc
from conn.data.region_dataset import save_region_dataset
from conn.data.region_files import assemble_region_files
from conn.data.regional_expression import regional_expression
from conn.data.scans import ScanSet
from conn.data.selection import parse_sessions
from conn.data.storage import load_scans, save_scans
from conn.data.tables import write_tables

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
    help="List, describe, fetch, verify and convert data sets for functional connectomics; assemble your own; "
    "make regional gene expression.",
    epilog="Data are looked for in the folder named by CONN_DATA_DIR, then in the cache "
    "(CONN_CACHE_DIR names another one), then fetched, if the set can be fetched and CONN_OFFLINE is not 1. "
    "A refusal is one line and exit status 2.",
)

_Dataset = Annotated[str, typer.Argument(help="Name of the data set; `conn-data list` shows them.")]
_CacheDir = Annotated[Path | None, typer.Option(help="Folder for downloads, in place of the per-user cache.")]
_DataDir = Annotated[Path | None, typer.Option(help="Folder to look in first, in place of CONN_DATA_DIR.")]
_Offline = Annotated[bool, typer.Option("--offline", help="Never use the network (also CONN_OFFLINE=1).")]
_Registry = Annotated[
    Path | None,
    typer.Option(help="msc: table of files (path,sha256,bytes) in place of the built-in one."),
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
    """List the data sets: name, size, what is needed, what it is."""
    with _refusals(debug=debug):
        for row in list_datasets().to_dict("records"):
            typer.echo(f"{row['name']:<22}{row['megabytes']:>7.1f} MB  {row['needs']:<19} {row['summary']}")


@app.command("describe")
def _describe(dataset: _Dataset, *, debug: _Debug = False) -> None:
    """Say what a data set is, its source and terms."""
    with _refusals(debug=debug):
        typer.echo(describe_dataset(dataset))


@app.command("fetch", short_help="Bring a data set into the cache, unless it is at hand.")
def _fetch(
    dataset: _Dataset,
    *,
    sessions: Annotated[
        str | None, typer.Option(help="msc: session numbers such as 1-3,5, or all.  [default: 1-3]")
    ] = None,
    subjects: Annotated[str | None, typer.Option(help="msc: names such as MSC01,MSC02.  [default: all]")] = None,
    tasks: Annotated[str | None, typer.Option(help="msc: names such as rest,motor, or all.  [default: rest]")] = None,
    data_dir: _DataDir = None,
    cache_dir: _CacheDir = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of the files, in place of the public repository.")
    ] = None,
    registry: _Registry = None,
    offline: _Offline = False,
    nan_frames: Annotated[
        str, typer.Option(help="msc: `raise` refuses frames with NaN, `mask` leaves them out.")
    ] = "raise",
    jobs: Annotated[int, typer.Option(help="msc: files at once.")] = 4,
    out: Annotated[Path | None, typer.Option(help="msc: also write the scans to this .npz file.")] = None,
    debug: _Debug = False,
) -> None:
    """Bring a data set into the cache, unless it is at hand, and say what it is.

    Sets that need a folder are not fetched: where it is absent, the refusal says where to get it.
    """
    with _refusals(debug=debug):
        describe_dataset(dataset)
        own = {"--sessions": sessions, "--subjects": subjects, "--tasks": tasks, "--out": out}
        given = [option for option, value in own.items() if value is not None]
        if dataset == "msc":
            scans = fetch_msc(
                subjects=_names(subjects, default=None),
                sessions=None if sessions == "all" else parse_sessions(sessions or "1-3"),
                tasks=_names(tasks, default=("rest",)),
                data_dir=data_dir,
                cache_dir=cache_dir,
                base_url=base_url or MSC_URL,
                registry=registry,
                offline=offline,
                progress=sys.stderr.isatty(),
                n_jobs=jobs,
                nan_policy=nan_frames,  # pyright: ignore[reportArgumentType]  # fetch_msc checks it
            )
            typer.echo(scans.describe())
            if scans.provenance.origin in ("cache", "network"):
                typer.echo(f"kept in    {cache_folder(cache_dir)}")
            if out is not None:
                typer.echo(f"written    {save_scans(scans, out)}")
            return
        if given:
            raise DataError(f"{given[0]} has no meaning for {dataset}; `conn-data convert` writes any set of scans")
        if dataset == "schaefer2018":
            for n_regions, n_networks in SCHAEFER_FILES:
                load_schaefer(
                    n_regions,
                    n_networks,
                    data_dir=data_dir,
                    cache_dir=cache_dir,
                    base_url=base_url or SCHAEFER_URL,
                    offline=offline,
                    progress=sys.stderr.isatty(),
                )
            typer.echo(f"{len(SCHAEFER_FILES)} tables of schaefer2018 are at hand")
            return
        found = load_dataset(dataset, data_dir=data_dir, cache_dir=cache_dir)
        typer.echo(found.describe())


@app.command("verify", short_help="Hash every file of a data set anew.")
def _verify(
    dataset: _Dataset,
    *,
    data_dir: _DataDir = None,
    cache_dir: _CacheDir = None,
    registry: _Registry = None,
    debug: _Debug = False,
) -> None:
    """Hash every file of a data set anew: of msc those in the cache, of others those in their folder."""
    with _refusals(debug=debug):
        states = verify_dataset(dataset, data_dir=data_dir, cache_dir=cache_dir, registry=registry)
        counts = states["state"].value_counts()
        place = f", in {cache_folder(cache_dir)}" if dataset == "msc" else ""
        absent = "not fetched" if dataset == "msc" else "absent"
        typer.echo(
            f"{counts.get('intact', 0)} files intact, {counts.get('damaged', 0)} damaged, "
            f"{counts.get('absent', 0)} {absent}{place}"
        )
        damaged = states.loc[states["state"] == "damaged", "path"].tolist()
        if damaged:
            mend = "; the next fetch replaces them" if dataset == "msc" else ""
            raise DataError(f"{len(damaged)} damaged files, the first is {damaged[0]}{mend}")


@app.command("convert", short_help="Write scans to an .npz file or a folder of tables.")
def _convert(
    source: Annotated[str, typer.Argument(help="Name of a data set of scans, or an .npz file that holds scans.")],
    out: Annotated[Path, typer.Argument(help="A file ending in .npz, or a folder that does not exist yet.")],
    *,
    data_dir: _DataDir = None,
    cache_dir: _CacheDir = None,
    offline: _Offline = False,
    debug: _Debug = False,
) -> None:
    """Write scans to one .npz file, or to a folder of tables (.tsv and .json)."""
    with _refusals(debug=debug):
        if source.endswith(".npz"):
            scans = load_scans(source)
        else:
            describe_dataset(source)
            options = {"offline": offline} if source == "msc" else {}
            scans = load_dataset(source, data_dir=data_dir, cache_dir=cache_dir, **options)
            if not isinstance(scans, ScanSet):
                raise DataError(
                    f"{source} holds no scans; it is read in Python with conn.data.load_dataset({source!r})"
                )
        written = save_scans(scans, out) if out.suffix == ".npz" else write_tables(scans, out)
        typer.echo(f"{scans.n_scans} scans written to {written}")


@app.command("assemble", short_help="Join your own tables of regions by label.")
def _assemble(
    regions: Annotated[
        Path,
        typer.Argument(help="Table of regions: column label; hemisphere, network, x, y, z (MNI, mm) as far as known."),
    ],
    connectome: Annotated[
        Path,
        typer.Argument(help="Connectome: labels in first line and column, or a square of numbers (also .npy)."),
    ],
    out: Annotated[Path, typer.Argument(help="The .npz file to write.")],
    *,
    expression: Annotated[
        Path | None, typer.Option(help="Table of expression: labels in the first column, a gene a column.")
    ] = None,
    further: Annotated[
        list[str] | None, typer.Option(help="Another connectome as name=file, such as structural=sc.csv; repeatable.")
    ] = None,
    connectome_labels: Annotated[
        Path | None, typer.Option(help="Table with column label, in the order of connectomes that have no labels.")
    ] = None,
    genes: Annotated[Path | None, typer.Option(help="Keep the genes of this file only, one symbol a line.")] = None,
    unmatched: Annotated[
        str, typer.Option(help="Regions that not all tables have: `raise` refuses and names them, `drop`.")
    ] = "raise",
    missing_expression: Annotated[
        str,
        typer.Option(
            help="Regions without expression: `raise`, `keep`, `drop`, `mirror`, `interpolate`, `mirror_interpolate`."
        ),
    ] = "raise",
    missing_edges: Annotated[str, typer.Option(help="Regions all of whose edges are NaN: `raise`, `drop`.")] = "raise",
    name: Annotated[str, typer.Option(help="What the set is to be called.")] = "assembled",
    source: Annotated[str, typer.Option(help="Where the files come from, kept in the provenance.")] = "unknown",
    licence: Annotated[str, typer.Option(help="Terms of use, kept in the provenance.")] = "unknown",
    citation: Annotated[str, typer.Option(help="What a paper should cite, kept in the provenance.")] = "unknown",
    debug: _Debug = False,
) -> None:
    """Join your own tables of regions, connectomes and gene expression by label, into one .npz file.

    Tables are CSV, or tab-separated with the suffix .tsv. Nothing is joined by position: labels that do not match are
    named, and nothing is written.
    """
    with _refusals(debug=debug):
        data = assemble_region_files(
            regions,
            connectome,
            expression=expression,
            connectomes=dict(_named_file(text) for text in further or ()),
            connectome_labels=connectome_labels,
            genes=genes,
            unmatched=unmatched,  # pyright: ignore[reportArgumentType]  # assemble_regions checks all three
            missing_expression=missing_expression,  # pyright: ignore[reportArgumentType]
            missing_edges=missing_edges,  # pyright: ignore[reportArgumentType]
            name=name,
            source=source,
            licence=licence,
            citation=citation,
        )
        typer.echo(data.describe())
        typer.echo(f"written    {save_region_dataset(data, out)}")


@app.command("expression", short_help="Make regional expression from the Allen atlas' files.")
def _expression(
    folder: Annotated[
        Path, typer.Argument(help="Folder with normalized_microarray_donor9861 and so on, as the archives unpack.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write, which must not exist yet.")],
    *,
    atlas: Annotated[
        Path | None,
        typer.Option(
            help="Volume in MNI space (.nii, .nii.gz), or CSV of points: label, x, y, z.  [default: centroids]"
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            help="Table of regions: label, id (in the volume), hemisphere, structure, x, y, z as far as known."
        ),
    ] = None,
    donors: Annotated[str | None, typer.Option(help="Numbers such as 9861,10021.  [default: all]")] = None,
    reannotation: Annotated[
        Path | None, typer.Option(help="Table with probe_name, gene_symbol, entrez_id, in place of the source's genes.")
    ] = None,
    coordinates: Annotated[
        Path | None, typer.Option(help="Table with well_id, corrected_mni_x, _y, _z, in place of the source's.")
    ] = None,
    intensity_threshold: Annotated[
        float, typer.Option(help="Share of samples in which a probe must exceed the background.")
    ] = 0.5,
    probe_selection: Annotated[
        str,
        typer.Option(
            help="From probes to genes: `differential_stability`, `max_intensity`, `max_variance`, "
            "`correlation_variance`, `correlation_intensity`, `mean`."
        ),
    ] = "differential_stability",
    tolerance: Annotated[
        float, typer.Option(help="Millimetres from a sample to its region; some 15 for centroids.")
    ] = 2.0,
    mirror: Annotated[
        str, typer.Option(help="Copy samples to the other side: `none`, `both`, `left_to_right`, `right_to_left`.")
    ] = "none",
    sample_normalisation: Annotated[
        str, typer.Option(help="Each sample over genes: `scaled_robust_sigmoid`, `zscore`, `none` and others.")
    ] = "scaled_robust_sigmoid",
    gene_normalisation: Annotated[
        str, typer.Option(help="Each gene over a donor's samples, in the same ways.")
    ] = "scaled_robust_sigmoid",
    all_samples: Annotated[
        bool, typer.Option("--all-samples", help="Normalise over samples outside the regions too.")
    ] = False,
    by_structure: Annotated[
        bool, typer.Option("--by-structure", help="Normalise cortex, subcortex and so on apart.")
    ] = False,
    aggregation: Annotated[
        str, typer.Option(help="Average within `donors` first, or all `samples` at once.")
    ] = "donors",
    statistic: Annotated[str, typer.Option(help="`mean` or `median`.")] = "mean",
    missing: Annotated[
        str, typer.Option(help="Regions without a sample: `keep` empty, nearest to `centroids`, `interpolate`.")
    ] = "keep",
    debug: _Debug = False,
) -> None:
    """Make regional gene expression from the microarray files of the Allen Human Brain Atlas.

    Writes expression.csv (a region a line, a gene a column), the same of each donor, counts of samples, samples,
    probes, regions, the methods in words, and the provenance.
    """
    with _refusals(debug=debug):
        if out.exists():
            raise DataError(f"{out} exists already")
        found = regional_expression(
            folder,
            atlas,
            regions,
            donors=_names(donors, default=None),
            reannotation=reannotation,
            coordinates=coordinates,
            intensity_threshold=intensity_threshold,
            probe_selection=probe_selection,  # pyright: ignore[reportArgumentType]  # it checks them all
            tolerance=tolerance,
            mirror=mirror,  # pyright: ignore[reportArgumentType]
            sample_normalisation=sample_normalisation,
            gene_normalisation=gene_normalisation,
            normalise_matched=not all_samples,
            normalise_structures=by_structure,
            aggregation=aggregation,  # pyright: ignore[reportArgumentType]
            statistic=statistic,  # pyright: ignore[reportArgumentType]
            missing=missing,  # pyright: ignore[reportArgumentType]
        )
        typer.echo(found.describe())
        typer.echo(f"written    {write_regional_expression(found, out)}")


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise DataError(f"--further {text!r} is not of the form name=file")
    return name, Path(file)


def _names(text: str | None, *, default: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if text is None:
        return default
    if text == "all":
        return None
    return tuple(name.strip() for name in text.split(","))


def main() -> None:
    """Run the command line and exit with its status."""
    app()
