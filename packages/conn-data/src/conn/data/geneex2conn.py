"""Group connectomes and tables of regions of the GeneEx2Conn repository."""

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.cards import CARDS
from conn.data.errors import DataError, DataUnavailableError
from conn.data.local import LocalSet
from conn.data.matlab import parse_matlab_matrix
from conn.data.provenance import Provenance, sha256_of_file
from conn.data.region_dataset import RegionDataset, assemble_regions
from conn.data.region_tables import numbers_of_rows, read_expression, read_rows, region_table, rows_of_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_geneex2conn_connectomes", "read_geneex2conn", "regions_of_4s", "regions_of_ipa"]

# (data set, parcellation): connectome, table of regions, number of regions, kind of connectome.
_LAYOUT = {
    ("UKBB", "S156"): (
        "data/UKBB/UKBB_S156_FC_mu.csv", "data/atlases/atlas-4S156Parcels_dseg_reformatted.csv", 156, "functional",
    ),
    ("HCP", "S456"): (
        "data/HCP1200/4S456_DTI_count.mat", "data/atlases/atlas-4S456Parcels_dseg_reformatted.csv", 456, "structural",
    ),
    ("HCP", "S100"): (
        "data/enigma/schaef114_functional_conn.csv", "data/enigma/schaef114_regions.txt", 114, "functional",
    ),
    **{
        ("BHA2", f"iPA_{size}"): (
            f"data/BHA2/iPA_{size}/fc/fc_mean.csv", f"data/BHA2/iPA_{size}/iPA_{size}.csv", size, "functional",
        )
        for size in (183, 391)
    },
}  # fmt: skip
_SPINS = "peer_null_spins_1000.npz"


def load_geneex2conn_connectomes(
    parcellation: Literal["S156", "iPA_183"] = "S156",
    *,
    spins: bool = False,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> RegionDataset:
    """Return a group functional connectome with its regions, without genes.

    Parameters
    ----------
    parcellation : {"S156", "iPA_183"}, default "S156"
        UK Biobank in 4S156 (Schaefer 100 and 56 regions below the cortex), or MPI-LEMON in iPA_183.
    spins : bool, default False
        Whether to read the source's 1000 spins of 4S456 too.
    data_dir, cache_dir : path, default None
        Folders to use in place of those named by ``CONN_DATA_DIR`` and ``CONN_CACHE_DIR``.

    Returns
    -------
    RegionDataset
        ``connectome`` holds mean correlations; the diagonal is 1 for S156 and 0 for iPA_183, as in the source.
        ``regions`` of S156: cortical regions have Schaefer's labels of 7 networks, so that they join with
        other tables, and the source's in ``source_label``; ten cerebellar regions have the hemisphere ``"B"``.
        ``regions`` of iPA_183, as `regions_of_ipa`. With `spins`, ``arrays["s456_cortical_spins"]`` (spin, 400) and
        ``arrays["s456_subcortical_spins"]`` (spin, 56) are permutations of the regions of 4S456, counted from 0.

    Raises
    ------
    DataError
        If there is no such parcellation, or a file is not what it should be.
    DataUnavailableError
        If the files are not at hand; the message says where to get them.
    """
    import pandas as pd

    sources = {
        "S156": ("UKBB_S156_FC_mu.npy", "atlas-4S156Parcels_dseg_reformatted.csv", 156),
        "iPA_183": ("BHA2_iPA_183_fc_mean.npy", "iPA_183.csv", 183),
    }
    if parcellation not in sources:
        raise DataError(f"no parcellation {parcellation!r}; there are {', '.join(sources)}")
    matrix, table, size = sources[parcellation]
    files = LocalSet(CARDS["geneex2conn-connectomes"], data_dir=data_dir, cache_dir=cache_dir)
    values = files.check(files.npy(matrix), matrix, "the matrix", (size, size))
    rows, where = rows_of_text(files.text(table), files.folder / table), str(files.folder / table)
    regions = regions_of_4s(rows, where) if parcellation == "S156" else regions_of_ipa(rows, where, parcellation)
    if len(regions) != size:
        raise DataError(f"{where} has {len(regions)} regions, expected {size}")
    arrays = {}
    if spins:
        read = files.npz(_SPINS, "cortical", "subcortical")
        for name, length in (("cortical", 400), ("subcortical", 56)):
            arrays[f"s456_{name}_spins"] = files.check(read[name], _SPINS, name, (None, length))
    labels = regions["label"].tolist()
    made = assemble_regions(
        None, pd.DataFrame(values, index=labels, columns=labels), regions, provenance=files.provenance()
    )
    return dataclasses.replace(made, arrays=arrays)


def read_geneex2conn(
    folder: str | Path,
    dataset: Literal["UKBB", "HCP", "BHA2"],
    parcellation: Literal["S156", "S456", "S100", "iPA_183", "iPA_391"],
    *,
    expression: str | Path | None = None,
    unmatched: Literal["raise", "drop"] = "raise",
    missing_expression: Literal["raise", "keep", "drop", "mirror", "interpolate", "mirror_interpolate"] = "raise",
) -> RegionDataset:
    """Return a connectome with its regions from a checkout of the GeneEx2Conn repository.

    Parameters
    ----------
    folder : path
        The checkout.
    dataset, parcellation : str
        ``"UKBB"`` with ``"S156"``; ``"BHA2"`` with ``"iPA_183"`` or ``"iPA_391"``; ``"HCP"`` with ``"S100"`` (114
        regions, of the ENIGMA Toolbox) or ``"S456"`` (streamline counts: the repository has no other
        connectome of it).
    expression : path, default None
        Table in the form of `read_expression`, with the labels that `regions` of the result has. None: no genes; the
        repository's own expression files are not read, since their form is not known.
    unmatched, missing_expression : str
        As for `assemble_regions`.

    Returns
    -------
    RegionDataset
        ``connectome`` as in the source, streamline counts for S456. S100 has ``connectomes["structural"]`` if the
        file is there, and neither coordinates nor networks. Regions as of `load_geneex2conn_connectomes`. A matrix
        whose file has no labels is in the order of the table of regions, as the source has it; a note says so.

    Raises
    ------
    DataError
        If there is no such pair, or a file is not what it should be; the message names it.
    DataUnavailableError
        If a file is absent, as most are in a public checkout.
    """
    import pandas as pd

    if (dataset, parcellation) not in _LAYOUT:
        known = ", ".join(" ".join(pair) for pair in _LAYOUT)
        raise DataError(f"no connectome of {dataset} in {parcellation}; there are {known}")
    matrix, table, size, kind = _LAYOUT[dataset, parcellation]
    root = Path(folder)
    paths = [root / matrix, root / table, *([Path(expression)] if expression is not None else [])]
    for path in paths:
        if not path.is_file():
            raise DataUnavailableError(f"{path} is absent; {CARDS['geneex2conn-connectomes'].source} has the layout")
    where = str(paths[1])
    rows = read_rows(paths[1], minimum=1)
    if parcellation == "S100":
        regions = region_table(["label"], rows, where)
    elif parcellation.startswith("iPA"):
        regions = regions_of_ipa(rows, where, parcellation)
    else:
        regions = regions_of_4s(rows, where)
    if len(regions) != size:
        raise DataError(f"{where} has {len(regions)} regions, expected {size}")
    labels = regions["label"].tolist()
    further = {}
    structural = root / "data/enigma/schaef114_structural_conn.csv"
    if parcellation == "S100" and structural.is_file():
        paths.append(structural)
        further["structural"] = pd.DataFrame(_square(structural, size), index=labels, columns=labels)
    return assemble_regions(
        None if expression is None else read_expression(expression),
        pd.DataFrame(_square(paths[0], size), index=labels, columns=labels),
        regions,
        connectomes=further,
        unmatched=unmatched,
        missing_expression=missing_expression,
        provenance=Provenance(
            dataset=f"geneex2conn {dataset} {parcellation}",
            source=CARDS["geneex2conn-connectomes"].source,
            version="as of the files' checksums",
            licence=CARDS["geneex2conn-connectomes"].licence,
            citation=CARDS["geneex2conn-connectomes"].citation,
            origin="files",
            checksums={str(path): sha256_of_file(path) for path in paths},
            notes=(f"{kind} connectome without labels: its order is taken to be that of {paths[1].name}",),
        ),
    )


def _square(path: Path, size: int) -> NDArray[np.float64]:
    """Return a matrix of the source: numbers with or without a line of names above, or a MATLAB file."""
    if path.suffix == ".mat":
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        values = parse_matlab_matrix(raw, path, "connectivity")
    else:
        rows = read_rows(path)
        above = len(rows) - size
        values = numbers_of_rows(rows[above:], path, first_line=above + 1) if above in (0, 1) else np.array(rows)
    if values.shape != (size, size):
        raise DataError(f"{path} has shape {values.shape}, expected ({size}, {size})")
    return values


def regions_of_4s(rows: list[list[str]], where: str) -> "pd.DataFrame":
    """Return the regions of a 4S atlas table of the source.

    Parameters
    ----------
    rows : list of list of str
        Header and fields: ``label``, ``label_7network``, ``network_label``, ``hemisphere``, ``structure``, ``mni_x``,
        ``mni_y``, ``mni_z`` and others.
    where : str
        File, for messages.

    Returns
    -------
    pandas.DataFrame
        ``label`` is that of Schaefer's 7 networks for cortical regions; ``network`` of the others is the group
        that the source names (``Subcortical``, ``ThalamusHCP``, ``SubcorticalHCP``, ``Cerebellum``).

    Raises
    ------
    DataError
        If columns are missing, or a field is not what its column holds.
    """
    header = rows[0]
    if missing := [name for name in ("label", "label_7network", "network_label", "structure") if name not in header]:
        raise DataError(f"{where}, line 1: no column {', '.join(missing)}")
    table = region_table(header, rows[1:], where)
    seven = [row[header.index("label_7network")] for row in rows[1:]]
    cortical = table["structure"] == "cortex"
    return table.assign(
        source_label=table["label"],
        label=[other if own else label for label, other, own in zip(table["label"], seven, cortical, strict=True)],
        network=[network or other for network, other in zip(table["network"], seven, strict=True)],
    )


def regions_of_ipa(rows: list[list[str]], where: str, parcellation: str) -> "pd.DataFrame":
    """Return the regions of an iPA table of the source.

    Parameters
    ----------
    rows : list of list of str
        Header and fields: ``ROI_number``, ``X_MNI``, ``Y_MNI``, ``Z_MNI``, ``VOL``, and shares of lobes such as
        ``Frontal_L``, which add up to 1.
    where : str
        File, for messages.
    parcellation : str
        Such as ``iPA_183``.

    Returns
    -------
    pandas.DataFrame
        The source has neither labels nor hemispheres. ``label`` is ``iPA_183-001`` and so on, by the number;
        ``hemisphere`` and ``lobe`` are those with the larger share, and ``right_share`` is what lies on the
        right: many regions cross the midline. ``structure`` is ``subcortex`` where ``lobe`` is ``Subcortical``.

    Raises
    ------
    DataError
        If columns are missing, or a field is not what its column holds.
    """
    import pandas as pd

    header = rows[0]
    shares = {name: header.index(name) for name in header if re.fullmatch(r"[A-Za-z]+_[LR]", name)}
    if "ROI_number" not in header or not shares:
        raise DataError(f"{where}, line 1: no column ROI_number, or no shares of lobes such as Frontal_L")
    renamed = ["id" if name == "ROI_number" else name for name in header]
    table = region_table(
        ["label", *renamed],
        [[f"{parcellation}-{row[header.index('ROI_number')].strip():0>3}", *row] for row in rows[1:]],
        where,
    )
    parts = pd.DataFrame({name: [row[place] for row in rows[1:]] for name, place in shares.items()})
    try:
        parts = parts.astype("float64")
    except ValueError as error:
        raise DataError(f"{where}: the share of a lobe is no number: {error}") from error
    names = dict.fromkeys(name[:-2] for name in shares)
    lobes = pd.DataFrame({lobe: parts[[name for name in shares if name[:-2] == lobe]].sum(axis=1) for lobe in names})
    right = parts[[name for name in parts if name.endswith("_R")]].sum(axis=1)
    lobe = [str(name) for name in lobes.idxmax(axis=1)]
    return table.assign(
        hemisphere=["R" if share > 0.5 else "L" for share in right],
        lobe=lobe,
        right_share=right,
        structure=["subcortex" if name == "Subcortical" else "cortex" for name in lobe],
    )
