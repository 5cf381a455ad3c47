"""Generated CIFTI files: with and without the medial wall, of other spaces, truncated, damaged."""

import nibabel
import numpy as np
import pytest
from nibabel.cifti2 import cifti2_axes as axes

from conn.data import DataError, load_schaefer_surface, parcellate_cifti, read_dlabel
from conn.data.cifti import CiftiAtlas

N_VERTICES, N_FRAMES, REPETITION_TIME = 60, 12, 0.72
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
# Nibabel says this of files without voxels; it means nothing.
pytestmark = pytest.mark.filterwarnings("ignore:pixdim")


def models(*, wall: int = 0, n_vertices: int = N_VERTICES, sides: str = "LR", voxels: int = 0):
    """Brain models without the first `wall` vertices of either side."""
    parts = []
    for side in sides:
        there = np.arange(n_vertices) >= wall
        parts.append(axes.BrainModelAxis.from_mask(there, name={"L": "CortexLeft", "R": "CortexRight"}[side]))
    if voxels:
        there = np.zeros((4, 4, 4), dtype=bool)
        there.flat[:voxels] = True
        parts.append(axes.BrainModelAxis.from_mask(there, name="thalamus_left", affine=AFFINE))
    return sum(parts[1:], parts[0])


def truth(n_vertices: int = N_VERTICES) -> np.ndarray:
    """A value for each of both sides' vertices and frames, shape (frame, 2 * vertex)."""
    return np.random.default_rng(0).normal(100, 5, (N_FRAMES, 2 * n_vertices)).astype(np.float32)


def numbers(n_vertices: int = N_VERTICES) -> np.ndarray:
    """Labels 3, 5, 7 on the left and 9, 11, 13 on the right; the first ten vertices have none."""
    side = np.repeat([0, 3, 5, 7], [10, 10, 20, n_vertices - 40])
    return np.concatenate([side, np.where(side > 0, side + 6, 0)])


def inside(model, n_vertices: int = N_VERTICES) -> np.ndarray:
    """Where the model's surface columns stand among both sides' vertices."""
    return np.concatenate(
        [
            part.vertex + (n_vertices if name.endswith("RIGHT") else 0)
            for name, _, part in model.iter_structures()
            if name in model.nvertices
        ]
    )


def write_series(path, model, values):
    nibabel.Cifti2Image(values, header=(axes.SeriesAxis(0, REPETITION_TIME, len(values)), model)).to_filename(path)
    return path


def write_labels(path, model, values):
    table = {0: ("???", (0, 0, 0, 0))} | {int(key): (f"r{key}", (1, 0, 0, 1)) for key in (3, 5, 7, 9, 11, 13, 21)}
    header = (axes.LabelAxis(["parcels"], [table]), model)
    nibabel.Cifti2Image(values[None].astype(np.float32), header=header).to_filename(path)
    return path


def expected() -> np.ndarray:
    return np.array([truth()[:, numbers() == key].mean(axis=1, dtype=np.float64) for key in (3, 5, 7, 9, 11, 13)])


@pytest.mark.parametrize("wall_of_atlas", [0, 10])
@pytest.mark.parametrize("wall_of_series", [0, 10])
def test_medial_walls_change_nothing_whichever_file_leaves_them_out(tmp_path, wall_of_atlas, wall_of_series):
    model = models(wall=wall_of_atlas)
    atlas = read_dlabel(write_labels(tmp_path / "a.dlabel.nii", model, numbers()[inside(model)]))
    model = models(wall=wall_of_series)
    found = parcellate_cifti(write_series(tmp_path / "x.dtseries.nii", model, truth()[:, inside(model)]), atlas)
    assert atlas.region_labels == ("r3", "r5", "r7", "r9", "r11", "r13")
    assert found.repetition_time == pytest.approx(REPETITION_TIME)
    np.testing.assert_array_equal(found.coverage, 1)
    np.testing.assert_allclose(found.time_series, expected(), rtol=1e-6)
    np.testing.assert_allclose(found.temporal_snr, expected().mean(1) / expected().std(1), rtol=1e-6)


def test_the_order_of_structures_in_the_file_does_not_matter(tmp_path):
    atlas = read_dlabel(write_labels(tmp_path / "a.dlabel.nii", models(), numbers()))
    swapped = models(sides="RL", voxels=5)
    values = np.concatenate([truth()[:, inside(swapped)], np.full((N_FRAMES, 5), 1e6, np.float32)], axis=1)
    found = parcellate_cifti(write_series(tmp_path / "x.dtseries.nii", swapped, values), atlas)
    np.testing.assert_allclose(found.time_series, expected(), rtol=1e-6)


def test_voxels_of_an_atlas_are_found_by_their_indices(tmp_path):
    model = models(voxels=6)
    labels = np.concatenate([numbers(), [21, 21, 0, 0, 21, 0]])
    atlas = read_dlabel(write_labels(tmp_path / "a.dlabel.nii", model, labels))
    deep = np.arange(N_FRAMES * 5, dtype=np.float32).reshape(N_FRAMES, 5) + 1
    path = write_series(tmp_path / "x.dtseries.nii", models(voxels=5), np.hstack([truth(), deep]))
    found = parcellate_cifti(path, atlas)
    assert found.region_labels[-1] == "r21"
    np.testing.assert_allclose(found.time_series[-1], deep[:, [0, 1, 4]].mean(axis=1), rtol=1e-6)


def test_vertices_without_signal_do_not_count_and_too_few_make_a_region_nan(tmp_path):
    atlas = read_dlabel(write_labels(tmp_path / "a.dlabel.nii", models(), numbers()))
    values = truth()
    values[:, 10:14] = 0
    values[:, 14] = np.nan
    values[:, 20:35] = 0
    found = parcellate_cifti(write_series(tmp_path / "x.dtseries.nii", models(), values), atlas)
    np.testing.assert_allclose(found.coverage, [0.5, 0.25, 1, 1, 1, 1])
    np.testing.assert_allclose(found.time_series[0], values[:, 15:20].mean(axis=1), rtol=1e-6)
    assert np.isnan(found.time_series[1]).all()
    assert np.isfinite(found.time_series[[0, 2, 3, 4, 5]]).all()


def test_files_that_do_not_fit_are_refused_by_name_and_structure(tmp_path):
    atlas = read_dlabel(write_labels(tmp_path / "a.dlabel.nii", models(), numbers()))
    other = write_series(tmp_path / "other.dtseries.nii", models(n_vertices=70), truth(70))
    with pytest.raises(DataError, match=r"other\.dtseries\.nii: CIFTI_STRUCTURE_CORTEX_LEFT has 70 vertices"):
        parcellate_cifti(other, atlas)
    half = write_series(tmp_path / "half.dtseries.nii", models(sides="L"), truth()[:, :N_VERTICES])
    with pytest.raises(DataError, match=r"half.* has no CIFTI_STRUCTURE_CORTEX_RIGHT"):
        parcellate_cifti(half, atlas)
    values = truth()
    values[3, N_VERTICES + 30] = np.nan
    broken = write_series(tmp_path / "broken.dtseries.nii", models(), values)
    with pytest.raises(DataError, match=r"broken.*frame 3: .*CORTEX_RIGHT is nan"):
        parcellate_cifti(broken, atlas)
    with pytest.raises(DataError, match=r"no frames along its rows"):
        parcellate_cifti(tmp_path / "a.dlabel.nii", atlas)
    with pytest.raises(DataError, match=r"no tables of labels"):
        read_dlabel(other)
    with pytest.raises(DataError, match="there is no map 1"):
        read_dlabel(tmp_path / "a.dlabel.nii", label_map=1)
    deep = read_dlabel(write_labels(tmp_path / "d.dlabel.nii", models(voxels=2), np.concatenate([numbers(), [21, 21]])))
    with pytest.raises(DataError, match="has no voxels"):
        parcellate_cifti(broken, deep)


@pytest.mark.parametrize("kept", [10, 400, 700, -100, -1])
def test_truncated_files_are_refused_by_name(tmp_path, kept):
    atlas = read_dlabel(write_labels(tmp_path / "a.dlabel.nii", models(), numbers()))
    whole = write_series(tmp_path / "whole.dtseries.nii", models(), truth()).read_bytes()
    short = tmp_path / "short.dtseries.nii"
    short.write_bytes(whole[:kept])
    with pytest.raises(DataError, match=r"short\.dtseries\.nii"):
        parcellate_cifti(short, atlas)


# What nibabel warns of in a damaged header, and numpy of numbers read from one.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_headers_with_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path):
    model = models(voxels=4)
    path = tmp_path / "damaged.nii"
    labels = write_labels(tmp_path / "a.dlabel.nii", model, np.concatenate([numbers(), [21, 21, 0, 0]]))
    atlas = read_dlabel(labels)
    series = write_series(tmp_path / "x.dtseries.nii", model, np.hstack([truth(), np.ones((N_FRAMES, 4), np.float32)]))
    rng = np.random.default_rng(0)
    refused = 0
    for source, read in ((series, lambda: parcellate_cifti(path, atlas)), (labels, lambda: read_dlabel(path))):
        whole = source.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 6000), rng.integers(1, 6)):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                read()
            except DataError as error:
                refused += 1
                assert "damaged.nii" in str(error)  # noqa: PT017
    assert refused > 20


def test_an_atlas_that_contradicts_itself_is_refused():
    sides = {"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([0, 1, -1])}
    with pytest.raises(DataError, match="'a' is used twice"):
        CiftiAtlas(region_labels=("a", "a"), surfaces=sides)
    with pytest.raises(DataError, match="'c' has no vertex"):
        CiftiAtlas(region_labels=("a", "b", "c"), surfaces=sides)
    with pytest.raises(DataError, match="no places from -1 to 0"):
        CiftiAtlas(region_labels=("a",), surfaces=sides)


@pytest.mark.realdata
def test_the_real_atlas_is_that_of_the_surface_loader(real_data):
    folder = real_data("atlas-schaefer2018")
    atlas = read_dlabel(folder / "Schaefer2018_400Parcels_7Networks_order.dlabel.nii")
    parcels = load_schaefer_surface(400, data_dir=folder.parent)
    assert atlas.region_labels == parcels.region_labels
    for structure, side in zip(atlas.surfaces, (parcels.left, parcels.right), strict=True):
        np.testing.assert_array_equal(atlas.surfaces[structure], side)
