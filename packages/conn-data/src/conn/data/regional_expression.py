"""From the microarray files of the Allen Human Brain Atlas to expression in the regions of a parcellation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from conn.data.allen_donors import (
    Donor,
    find_donors,
    read_corrected_coordinates,
    read_probe_rows,
    read_probes,
    read_samples,
    share_above_background,
)
from conn.data.checks import probability
from conn.data.errors import DataError
from conn.data.expression_normalisation import NORMALISATIONS, normalise
from conn.data.expression_record import RegionalExpression, methods_in_words
from conn.data.labels import named
from conn.data.probe_selection import check_probe_selection, genes_from_probes, select_probes
from conn.data.provenance import Provenance, sha256_of_file
from conn.data.sample_regions import RegionSpace, region_space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["regional_expression"]

_FILES = ("MicroarrayExpression.csv", "PACall.csv", "Probes.csv", "SampleAnnot.csv", "Ontology.csv")
_MIRRORS = {"none": "", "both": "LR", "left_to_right": "L", "right_to_left": "R"}
_OTHER = {"L": "R", "R": "L", "B": "B"}


def regional_expression(
    folder: str | Path,
    atlas: "str | Path | pd.DataFrame | None" = None,
    regions: "str | Path | pd.DataFrame | None" = None,
    *,
    donors: Sequence[str] | None = None,
    reannotation: str | Path | None = None,
    coordinates: str | Path | None = None,
    intensity_threshold: float = 0.5,
    probe_selection: Literal[
        "differential_stability",
        "max_intensity",
        "max_variance",
        "correlation_variance",
        "correlation_intensity",
        "mean",
    ] = "differential_stability",
    tolerance: float = 2.0,
    mirror: Literal["none", "both", "left_to_right", "right_to_left"] = "none",
    sample_normalisation: str = "scaled_robust_sigmoid",
    gene_normalisation: str = "scaled_robust_sigmoid",
    normalise_matched: bool = True,
    normalise_structures: bool = False,
    aggregation: Literal["donors", "samples"] = "donors",
    statistic: Literal["mean", "median"] = "mean",
    missing: Literal["keep", "centroids", "interpolate"] = "keep",
) -> RegionalExpression:
    """Return expression of genes in the regions of a parcellation, from the atlas' public microarray files.

    The steps and their defaults are those that Markello et al. (2021) published and compared, after
    Arnatkevičiūtė et al. (2019): samples whose hemisphere contradicts their coordinate are dropped; probes are given
    genes, and dropped below the background; one probe is chosen a gene; samples are mirrored, if wanted, and assigned
    to regions; each sample is normalised over genes, then each gene over samples, donor by donor; and regions take the
    mean within and then over donors.

    Parameters
    ----------
    folder : path
        Holds ``normalized_microarray_donor9861`` and so on, each with ``MicroarrayExpression.csv``, ``PACall.csv``,
        ``Probes.csv``, ``SampleAnnot.csv`` and ``Ontology.csv``.
    atlas : path or pandas.DataFrame, default None
        A volume in MNI space (``.nii``, ``.nii.gz``) of whole numbers; or points, such as the vertices of a surface,
        as a table (or CSV file) with ``label``, ``x``, ``y``, ``z``. None takes the centroids of `regions`.
    regions : path or pandas.DataFrame, default None
        As of `read_region_table`: ``label``; ``id``, the number in the volume; ``hemisphere`` and ``structure``
        (``cortex``, ``subcortex``, ``brainstem``, ``cerebellum``), which keep samples from regions of another
        hemisphere or part of the brain: give them if they are known. None: all regions take grey matter of both
        hemispheres; labels are those of the table beside the volume, or its numbers.
    donors : sequence of str, default None
        ``"9861"`` and so on; None takes all.
    reannotation : path, default None
        Table with ``probe_name``, ``gene_symbol`` and ``entrez_id`` in place of the genes of ``Probes.csv``, such as
        that of Arnatkevičiūtė et al. Probes that it lacks are left out. The package brings none.
    coordinates : path, default None
        Table with ``well_id`` and ``corrected_mni_x``, ``corrected_mni_y``, ``corrected_mni_z`` in place of the
        coordinates of ``SampleAnnot.csv``, such as that of alleninf. The package brings none.
    intensity_threshold : float, default 0.5
        A probe is kept if its signal exceeds the background in at least this share of all donors' samples.
    probe_selection : str, default "differential_stability"
        How several probes of a gene become one value. ``"differential_stability"``: the probe whose map over the
        atlas' structures correlates best between donors (Spearman, mean over pairs). ``"max_intensity"``,
        ``"max_variance"``: the largest mean or variance over all samples. ``"correlation_variance"``,
        ``"correlation_intensity"``: of three or more the one with the largest mean correlation with the others, of
        two that with the larger variance or mean. ``"mean"``: their mean. RNA sequencing is not read.
    tolerance : float, default 2
        Millimetres that a sample may lie from a voxel or point of its region. Centroids need more, 15 or so;
        infinity takes the nearest.
    mirror : {"none", "both", "left_to_right", "right_to_left"}, default "none"
        Whether a copy of each sample is put at the mirrored place in the other hemisphere, after the choice of
        probes. Four of the six donors were sampled on the left only.
    sample_normalisation, gene_normalisation : str, default "scaled_robust_sigmoid"
        Or ``"robust_sigmoid"``, ``"scaled_sigmoid"``, ``"sigmoid"``, ``"zscore"``, ``"minmax"``, ``"centre"``,
        ``"none"``: each sample over genes, then each gene over a donor's samples. A gene whose values have no
        spread in a donor is left out, with a note.
    normalise_matched : bool, default True
        Whether only samples that lie in a region enter the normalisation.
    normalise_structures : bool, default False
        Whether genes are normalised within cortex, subcortex and so on apart.
    aggregation : {"donors", "samples"}, default "donors"
        Whether samples are averaged within each donor first, or all at once.
    statistic : {"mean", "median"}, default "mean"
        How they are averaged, both times.
    missing : {"keep", "centroids", "interpolate"}, default "keep"
        Regions without a sample of any donor: NaN; or of each donor the nearest sample to the region's centroid,
        averaged over donors with the inverse distance as weight; or, of each donor, to each voxel or point, averaged
        over these with the inverse distance, and then over donors. The sample must be of the region's hemisphere
        and part of the brain; a region that has none of those stays NaN. `fill_expression` works on what stays.

    Returns
    -------
    RegionalExpression
        With the defaults each donor's genes run from 0 to 1.

    Raises
    ------
    DataUnavailableError
        If the folder has no donors or a file is absent.
    DataError
        If a file or an argument cannot be used (the message names file and line), no probe is left, or no sample lies
        in a region.

    See Also
    --------
    conn.data.differential_stability : Which genes' maps agree between donors, from ``found.donors.values()``.

    Notes
    -----
    What differs from abagen 0.1.3: a sample inside a voxel of an allowed region belongs to it, and only others are
    sought nearby; samples are mirrored after, not before, the choice of probes, which then sees each once; white
    matter and ventricles are never assigned to a region of no stated structure; points have a tolerance in
    millimetres; probes are chosen over all donors together; choice by principal component is not here.

    References
    ----------
    Hawrylycz et al. 2012, Nature 489:391-399. https://doi.org/10.1038/nature11405
    Arnatkevičiūtė et al. 2019, NeuroImage 189:353-367. https://doi.org/10.1016/j.neuroimage.2019.01.011
    Markello et al. 2021, eLife 10:e72129. https://doi.org/10.7554/eLife.72129
    """
    import pandas as pd

    for name, value, known in (
        ("mirror", mirror, tuple(_MIRRORS)),
        ("sample_normalisation", sample_normalisation, tuple(NORMALISATIONS)),
        ("gene_normalisation", gene_normalisation, tuple(NORMALISATIONS)),
        ("aggregation", aggregation, ("donors", "samples")),
        ("statistic", statistic, ("mean", "median")),
        ("missing", missing, ("keep", "centroids", "interpolate")),
    ):
        if value not in known:
            raise DataError(f"{name} {value!r} is not one of {', '.join(known)}")
    intensity_threshold = probability("intensity_threshold", intensity_threshold)
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not tolerance >= 0:
        raise DataError(f"tolerance is {tolerance!r}, expected millimetres of at least 0")
    settings = {
        "reannotation": reannotation,
        "coordinates": coordinates,
        "intensity_threshold": intensity_threshold,
        "probe_selection": probe_selection,
        "tolerance": tolerance,
        "mirror": mirror,
        "sample_normalisation": sample_normalisation,
        "gene_normalisation": gene_normalisation,
        "normalise_matched": normalise_matched,
        "normalise_structures": normalise_structures,
        "aggregation": aggregation,
        "statistic": statistic,
        "missing": missing,
    }
    people = find_donors(folder, donors)
    check_probe_selection(probe_selection, len(people))
    space = region_space(atlas, regions)
    wells = None if coordinates is None else read_corrected_coordinates(coordinates)
    tables = [_placed(read_samples(donor), wells, donor, coordinates) for donor in people]
    kept = [_consistent(table) for table in tables]
    for donor, keep in zip(people, kept, strict=True):
        if not keep.any():
            raise DataError(f"{donor.file('SampleAnnot.csv')}: no sample lies in the hemisphere that its name says")
    told = read_probes(people[0].file("Probes.csv"), reannotation)
    share = share_above_background(people, tables, kept, told.index)
    probes = told[share >= intensity_threshold]
    if probes.empty:
        raise DataError(
            f"no probe exceeds the background in {intensity_threshold:.0%} of samples; the most is {share.max():.0%}"
        )
    # One donor at a time is held with all its samples; then those that count.
    raw = [
        read_probe_rows(donor.file("MicroarrayExpression.csv"), len(table), probes.index)[:, keep]
        for donor, table, keep in zip(people, tables, kept, strict=True)
    ]
    tables = [table.loc[keep].reset_index(drop=True) for table, keep in zip(tables, kept, strict=True)]
    structures = [table["structure_id"].tolist() for table in tables]
    chosen = select_probes(raw, structures, probes["gene"].tolist(), probe_selection)
    if not chosen:
        raise DataError("no gene has a probe that varies over the atlas' structures")
    genes = list(chosen)
    of_genes = [genes_from_probes(one, chosen).T for one in raw]
    del raw
    samples, places, rows_of = [], [], []
    for number, table in enumerate(tables):
        both, rows = _mirrored(table, _MIRRORS[mirror])
        place = space.assign(both, float(tolerance))
        rows_of.append(rows)
        samples.append(both.assign(donor=people[number].name, region=_labels_at(space, place)))
        places.append(place)
    if all((place < 0).all() for place in places):
        nearest = np.median(np.concatenate([space.distances(table) for table in samples]))
        raise DataError(
            f"none of {sum(map(len, samples))} samples lies within {tolerance:g} mm of a region; the median distance "
            f"to the nearest of the {space.source} is {nearest:.1f} mm"
        )
    values = [
        _normalised(
            one[rows],
            table,
            sample_normalisation,
            gene_normalisation,
            matched_only=normalise_matched,
            by_structure=normalise_structures,
        )
        for one, rows, table in zip(of_genes, rows_of, samples, strict=True)
    ]
    del of_genes
    inside = np.concatenate([one[place >= 0] for one, place in zip(values, places, strict=True)])
    flat = np.asarray(np.isnan(inside).any(axis=0))
    del inside
    if flat.all():
        raise DataError("no gene has a spread over the samples of every donor: nothing is left after normalisation")
    left_out = [gene for gene, one in zip(genes, flat, strict=True) if one]
    genes = [gene for gene, one in zip(genes, flat, strict=True) if not one]
    values = [one[:, ~flat] for one in values]

    labels = space.regions["label"].tolist()
    by_donor = [_averaged([one], [place], len(labels), statistic) for one, place in zip(values, places, strict=True)]
    if aggregation == "donors":
        whole = _over_donors(by_donor, statistic)
    else:
        whole = _averaged(values, places, len(labels), statistic)
    empty = np.flatnonzero(np.isnan(whole).all(axis=1))
    filled = []
    if missing != "keep":
        for region in empty:
            found = _stand_in(space, int(region), values, samples, missing, statistic)
            if found is not None:
                whole[region] = found
                filled.append(labels[region])
    notes = []
    if left_out:
        notes.append(f"{len(left_out)} genes have no spread over some donor's samples and are left out: "
                     f"{named(left_out)}")  # fmt: skip
    if filled:
        notes.append(f"{len(filled)} regions without a sample were filled by {missing!r}: {named(filled)}")
    if still := [labels[region] for region in empty if labels[region] not in filled]:
        notes.append(f"{len(still)} regions have no value: {named(still)}")
    every = pd.concat(samples, ignore_index=True)
    used = np.concatenate([chosen[gene] for gene in genes])
    files = [donor.file(name) for donor in people for name in _FILES]
    files += [Path(file) for file in (atlas, regions, reannotation, coordinates) if isinstance(file, (str, Path))]
    index, columns = pd.Index(labels, name="label"), pd.Index(genes, name="gene")
    return RegionalExpression(
        expression=pd.DataFrame(whole, index=index, columns=columns),
        donors={
            donor.name: pd.DataFrame(table, index=index, columns=columns)
            for donor, table in zip(people, by_donor, strict=True)
        },
        counts=pd.DataFrame(
            {
                donor.name: np.bincount(place[place >= 0], minlength=len(labels))
                for donor, place in zip(people, places, strict=True)
            },
            index=index,
        ),
        samples=every.reindex(columns=["donor", *(name for name in every.columns if name != "donor")]),
        probes=probes.iloc[used],
        regions=space.regions,
        methods=methods_in_words((len(told), len(probes)), len(genes), every, space, settings),
        provenance=Provenance(
            dataset="Allen Human Brain Atlas, microarray",
            source="https://human.brain-map.org/static/download",
            version="as of the files' checksums",
            licence="Allen Institute Terms of Use: research with citation, not commercial",
            citation="Hawrylycz et al. 2012, Nature 489:391-399, doi:10.1038/nature11405",
            origin="files",
            checksums={str(file): sha256_of_file(file) for file in files},
            notes=tuple(notes),
        ),
    )


def _placed(
    samples: "pd.DataFrame", wells: "pd.DataFrame | None", donor: Donor, path: str | Path | None
) -> "pd.DataFrame":
    """Return samples with the corrected coordinates, where there are such."""
    if wells is None:
        return samples
    if absent := [str(well) for well in samples["well"] if well not in wells.index]:
        raise DataError(f"{path} has no well {named(absent)}, which donor {donor.name} has")
    return samples.assign(**{axis: wells[axis].loc[samples["well"]].to_numpy() for axis in "xyz"})


def _consistent(samples: "pd.DataFrame") -> NDArray[np.bool_]:
    """Return which samples lie on the side that the ontology says; on none, if it says none."""
    sign = np.array([{"L": -1.0, "R": 1.0, "B": 0.0}[side] for side in samples["hemisphere"]])
    return np.sign(samples["x"].to_numpy(dtype=np.float64)) == sign


def _mirrored(samples: "pd.DataFrame", sides: str) -> tuple["pd.DataFrame", NDArray[np.intp]]:
    """Return samples followed by mirrored copies of those of some sides, and the row that each comes from."""
    import pandas as pd

    copied = np.flatnonzero(samples["hemisphere"].isin(list(sides)).to_numpy())
    copies = samples.iloc[copied]
    copies = copies.assign(x=-copies["x"], hemisphere=[_OTHER[one] for one in copies["hemisphere"]], mirrored=True)
    both = pd.concat([samples.assign(mirrored=False), copies], ignore_index=True)
    return both, np.concatenate([np.arange(len(samples)), copied])


def _labels_at(space: RegionSpace, place: NDArray[np.intp]) -> NDArray[np.object_]:
    return np.append(space.regions["label"].to_numpy(dtype=object), "")[place]


def _normalised(
    values: NDArray[np.floating],
    samples: "pd.DataFrame",
    of_samples: str,
    of_genes: str,
    *,
    matched_only: bool,
    by_structure: bool,
) -> NDArray[np.float64]:
    """Return values of a donor, shape (sample, gene); NaN in samples that do not enter."""
    taken = (samples["region"] != "").to_numpy() if matched_only else np.ones(len(samples), dtype=bool)
    structures = samples["structure"].to_numpy(dtype=object)
    result = np.full(values.shape, np.nan)
    result[taken] = normalise(values[taken], of_samples, axis=1)
    bad = taken & np.isnan(result).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"donor {samples['donor'].iloc[row]}, well {samples['well'].iloc[row]}: its {values.shape[1]} genes have "
            f"no spread, which sample_normalisation {of_samples!r} needs"
        )
    for structure in np.unique(structures[taken].astype(str)) if by_structure else [None]:
        rows = taken if structure is None else taken & (structures == structure)
        if rows.sum() == 1 and of_genes not in ("none", "centre"):
            raise DataError(
                f"donor {samples['donor'].iloc[0]} has one sample {'in a region' if structure is None else structure}: "
                f"too few for gene_normalisation {of_genes!r}; leave the donor out, or normalise over all samples"
            )
        result[rows] = normalise(result[rows], of_genes, axis=0)
    return result


def _averaged(
    values: Sequence[NDArray[np.float64]], places: Sequence[NDArray[np.intp]], n_regions: int, statistic: str
) -> NDArray[np.float64]:
    """Return the mean or median over the samples of each region, NaN where there is none."""
    import pandas as pd

    inside = [place >= 0 for place in places]
    table = pd.DataFrame(
        np.concatenate([one[rows] for one, rows in zip(values, inside, strict=True)]),
        index=np.concatenate([place[rows] for place, rows in zip(places, inside, strict=True)]),
    )
    return table.groupby(level=0).agg(statistic).reindex(range(n_regions)).to_numpy(dtype=np.float64, copy=True)


def _over_donors(tables: Sequence[NDArray[np.float64]], statistic: str) -> NDArray[np.float64]:
    """Return the mean or median over those donors that have a value."""
    stacked = np.ma.masked_invalid(np.stack(tables))
    whole = stacked.mean(axis=0) if statistic == "mean" else np.ma.median(stacked, axis=0)
    return np.ma.filled(whole, np.nan)


def _stand_in(
    space: RegionSpace,
    region: int,
    values: Sequence[NDArray[np.float64]],
    samples: Sequence["pd.DataFrame"],
    how: str,
    statistic: str,
) -> NDArray[np.float64] | None:
    """Return the value of a region without samples, from samples nearby; None where no donor has one."""
    of_donors, weights = [], []
    for one, table in zip(values, samples, strict=True):
        known = np.flatnonzero(np.isfinite(one).all(axis=1))
        near = space.nearest_samples(region, table.iloc[known], how)
        if near is None:
            continue
        rows, weight = near
        of_donors.append(weight @ one[known[rows]] / weight.sum())
        weights.append(weight.sum())
    if not of_donors:
        return None
    if how == "centroids":
        return np.average(of_donors, axis=0, weights=weights)
    return np.mean(of_donors, axis=0) if statistic == "mean" else np.median(of_donors, axis=0)
