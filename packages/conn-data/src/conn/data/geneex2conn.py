"""Group connectomes and tables of regions of the GeneEx2Conn repository."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from conn.data.cards import CARDS
from conn.data.errors import DataError
from conn.data.local import LocalSet
from conn.data.region_dataset import RegionDataset, assemble_regions
from conn.data.region_tables import region_table, rows_of_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_geneex2conn_connectomes", "regions_of_4s", "regions_of_ipa"]

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
    import dataclasses

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
