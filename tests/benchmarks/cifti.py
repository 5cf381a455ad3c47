"""Parcellating a CIFTI run of 91,282 grayordinates x 1,200 frames, against reading it.

The file is generated: 59,412 vertices of the cortex without the medial wall, and voxels. Both sides find it in the
memory of the operating system. The peer reads the whole file into memory, as a program must that parcellates it itself.
"""

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from _timing import seconds
from nibabel.cifti2 import cifti2_axes as axes

from conn.data import CiftiAtlas, parcellate_cifti

N_VERTICES, N_CORTEX, N_GRAYORDINATES, N_FRAMES, N_REGIONS = 32492, 59412, 91282, 1200, 400


def parcellation(repeats: int) -> list[dict[str, Any]]:
    """400 regions, the file read some hundred vertices at a time."""
    with tempfile.TemporaryDirectory() as folder:
        path, vertices, values = _write(Path(folder))
        atlas = _atlas()
        pairs = [(seconds(lambda: _read(path)), seconds(lambda: parcellate_cifti(path, atlas))) for _ in range(repeats)]
        found = parcellate_cifti(path, atlas)
    place = np.concatenate(list(atlas.surfaces.values()))[vertices]
    difference = max(
        float(np.abs(found.time_series[region] - values[:, :N_CORTEX][:, place == region].mean(1, dtype=float)).max())
        for region in range(0, N_REGIONS, 40)
    )
    theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [
        {
            "row": "CIFTI run 91,282 x 1,200 to 400 regions",
            "estimator": "conn.data.parcellate_cifti",
            "peer": f"nibabel {nibabel.__version__}, reading the file",
            "dtype": "float32",
            "cores": len(os.sched_getaffinity(0)),
            "peer_seconds": theirs,
            "seconds": ours,
            "ratio": theirs / ours,
            "target": 0.5,
            "largest_difference": difference,
        }
    ]


ROWS: dict[str, Callable[[int], list[dict[str, Any]]]] = {"parcellation": parcellation}


def rows(repeats: int = 5, names: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the results of the named rows, all by default."""
    return [result for name in names or ROWS for result in ROWS[name](repeats)]


def _read(path: Path) -> np.ndarray:
    # nibabel maps the file: a copy is what reads it.
    return np.array(nibabel.Cifti2Image.from_filename(path).dataobj)


def _write(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Return the file, which of both sides' vertices its columns are, and its values."""
    rng = np.random.default_rng(0)
    there = np.zeros(2 * N_VERTICES, dtype=bool)
    there[rng.permutation(2 * N_VERTICES)[:N_CORTEX]] = True
    voxels = np.zeros((91, 109, 91), dtype=bool)
    voxels.flat[: N_GRAYORDINATES - N_CORTEX] = True
    model = (
        axes.BrainModelAxis.from_mask(there[:N_VERTICES], name="CortexLeft")
        + axes.BrainModelAxis.from_mask(there[N_VERTICES:], name="CortexRight")
        + axes.BrainModelAxis.from_mask(voxels, name="thalamus_left", affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    )
    values = rng.normal(1000, 10, (N_FRAMES, len(model))).astype(np.float32)
    path = folder / "run.dtseries.nii"
    nibabel.Cifti2Image(values, header=(axes.SeriesAxis(0, 0.72, N_FRAMES), model)).to_filename(path)
    return path, np.flatnonzero(there), values


def _atlas() -> CiftiAtlas:
    places = np.arange(2 * N_VERTICES) * N_REGIONS // (2 * N_VERTICES)
    return CiftiAtlas(
        region_labels=tuple(f"region {number}" for number in range(N_REGIONS)),
        surfaces={
            "CIFTI_STRUCTURE_CORTEX_LEFT": places[:N_VERTICES],
            "CIFTI_STRUCTURE_CORTEX_RIGHT": places[N_VERTICES:],
        },
    )
