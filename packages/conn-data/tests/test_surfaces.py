"""Meshes, parcels on vertices, neighbours and homologues, on an octahedron for each hemisphere."""

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, ScalarAxis
from nibabel.freesurfer import write_annot
from nibabel.gifti import GiftiDataArray, GiftiImage

from conn.data import (
    DataError,
    Provenance,
    Surface,
    SurfaceParcellation,
    SurfaceSet,
    VertexLabels,
    homologues,
    load_fsaverage5,
    load_schaefer_surface,
    parcel_adjacency,
    parcels_to_vertices,
    vertices_to_parcels,
)

CORNERS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
TRIANGLES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
PROVENANCE = Provenance(dataset="made up", source="-", version="1", licence="-", citation="-", origin="simulated")
LEFT, RIGHT = (Surface(hemisphere=side, coordinates=CORNERS, faces=TRIANGLES) for side in "LR")


def parcellation(left=(0, 0, 1, 1, 2, -1), right=(3, 3, 3, -1, 4, 4), **changes):
    labels = [f"7Networks_{side}H_Vis_{number}" for side, number in (("L", 1), ("L", 2), ("L", 3), ("R", 1), ("R", 2))]
    fields = {
        "space": "fsaverage5",
        "left": np.array(left),
        "right": np.array(right),
        "region_labels": labels,
        "regions": pd.DataFrame({"label": labels}),
        "provenance": PROVENANCE,
    }
    return SurfaceParcellation(**(fields | changes))


def test_a_mesh_has_edges_and_areas():
    assert len(LEFT.edges) == 12
    assert (LEFT.edges[:, 0] < LEFT.edges[:, 1]).all()
    assert [0, 1] not in LEFT.edges.tolist()
    # Eight equilateral triangles with sides of the square root of 2.
    assert LEFT.vertex_areas.sum() == pytest.approx(8 * np.sqrt(3) / 2)
    np.testing.assert_allclose(LEFT.vertex_areas, LEFT.vertex_areas[0])


def test_regions_are_neighbours_where_an_edge_joins_them():
    found = parcel_adjacency(parcellation(), (LEFT, RIGHT))
    # On the left 0 {±x}, 1 {±y} and 2 {+z} touch one another; on the right so do 3 and 4; hemispheres never do.
    expected = np.zeros((5, 5), dtype=bool)
    expected[:3, :3] = expected[3:, 3:] = True
    np.testing.assert_array_equal(found, expected & ~np.eye(5, dtype=bool))
    apart = parcellation(left=(0, 1, -1, -1, -1, 2))
    assert not parcel_adjacency(apart, (LEFT, RIGHT))[0, 1]


VALUES = arrays(np.float64, (2, 5), elements=st.floats(-1e6, 1e6))


@given(VALUES)
def test_what_goes_to_vertices_comes_back_to_parcels(values):
    parcels = parcellation()
    spread = parcels_to_vertices(values, parcels)
    assert spread.shape == (2, 12)
    assert np.isnan(spread[:, [5, 9]]).all()
    np.testing.assert_allclose(vertices_to_parcels(spread, parcels), values, atol=1e-9)


def test_means_are_those_of_a_loop_with_weights_and_without():
    rng = np.random.default_rng(0)
    values, weights, parcels = rng.standard_normal((3, 12)), rng.random(12), parcellation()
    for weight in (None, weights):
        expected = [
            np.average(
                values[:, parcels.vertices == region],
                axis=1,
                weights=None if weight is None else weight[parcels.vertices == region],
            )
            for region in range(5)
        ]
        np.testing.assert_allclose(vertices_to_parcels(values, parcels, weights=weight), np.transpose(expected))


def test_a_missing_vertex_is_refused_left_out_or_passed_on():
    values, parcels = np.arange(12.0), parcellation()
    values[[0, 4]] = np.nan
    with pytest.raises(DataError, match="'7Networks_LH_Vis_1' has a vertex that is NaN"):
        vertices_to_parcels(values, parcels)
    omitted = vertices_to_parcels(values, parcels, nan_policy="omit")
    np.testing.assert_array_equal(omitted, [1, 2.5, np.nan, 7, 10.5])
    passed = vertices_to_parcels(values, parcels, nan_policy="propagate")
    np.testing.assert_array_equal(passed, [np.nan, 2.5, np.nan, 7, 10.5])


def test_homologues_by_name_and_by_mirrored_centroid():
    regions = pd.DataFrame(
        {
            "label": [
                "7Networks_LH_Vis_1",
                "7Networks_LH_Vis_2",
                "7Networks_RH_Vis_1",
                "7Networks_RH_Vis_2",
                "Thalamus",
            ],
            "hemisphere": ["L", "L", "R", "R", ""],
            "x": [-10.0, -50, 50, 11, 0],
            "y": [0.0, 5, 5, 0, 0],
            "z": [0.0, 5, 5, 0, np.nan],
        }
    )
    by_name = homologues(regions)
    assert by_name[["left_place", "right_place"]].to_numpy().tolist() == [[0, 2], [1, 3]]
    by_place = homologues(regions, method="centroid")
    assert by_place[["left_place", "right_place"]].to_numpy().tolist() == [[0, 3], [1, 2]]
    assert by_place["distance"].tolist() == [1, 0]
    assert len(homologues(regions, method="centroid", largest_distance=0.5)) == 1
    assert homologues(regions[["label"]])["distance"].isna().all()
    assert homologues(pd.DataFrame({"label": ["L_V1", "R_V1", "L_MST"]}))["right"].tolist() == ["R_V1"]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: Surface(hemisphere="left", coordinates=CORNERS, faces=TRIANGLES), "neither 'L' nor 'R'"),
        (lambda: Surface(hemisphere="L", coordinates=CORNERS[:, :2], faces=TRIANGLES), "coordinates has shape"),
        (lambda: Surface(hemisphere="L", coordinates=CORNERS * np.nan, faces=TRIANGLES), "not finite"),
        (lambda: Surface(hemisphere="L", coordinates=CORNERS, faces=TRIANGLES[:, :2]), "faces has shape"),
        (lambda: Surface(hemisphere="L", coordinates=CORNERS[:5], faces=TRIANGLES), "a vertex outside 0 to 4"),
        (lambda: parcellation(left=(0, 0, 0, 1, 1, 1)), "'7Networks_LH_Vis_3' has no vertex"),
        (lambda: parcellation(left=(0, 1, 2, 3, 3, 3)), "'7Networks_RH_Vis_1' has vertices on both sides"),
        (lambda: parcellation(left=(0, 1, 2, 9, 0, 0)), "numbers from -1 to 4"),
        (lambda: parcellation(region_labels=["a"] * 5), "a region label is used twice"),
        (lambda: parcellation(region_labels=list("abcde")), "are not region_labels"),
        (lambda: parcel_adjacency(parcellation(), (RIGHT, LEFT)), "the surface for L is of hemisphere R"),
        (
            lambda: parcel_adjacency(parcellation(left=(0, 1, 2)), (LEFT, RIGHT)),
            "the L surface has 6 vertices, the parcellation has 3",
        ),
        (lambda: vertices_to_parcels(np.zeros(11), parcellation()), "the parcellation has 12 vertices"),
        (lambda: vertices_to_parcels(np.zeros(12), parcellation(), nan_policy="x"), "nan_policy 'x'"),
        (lambda: vertices_to_parcels(np.zeros(12), parcellation(), weights=-np.ones(12)), "12 finite numbers"),
        (lambda: vertices_to_parcels(np.zeros(12), parcellation(), weights=np.zeros(12)), "LH_Vis_1' sum to 0"),
        (lambda: parcels_to_vertices(np.zeros(4), parcellation()), "the parcellation has 5 regions"),
        (lambda: homologues(pd.DataFrame({"label": ["a"]}), method="centroid"), "no column hemisphere, x, y, z"),
        (lambda: homologues(pd.DataFrame({"label": ["a", "a"]})), "a region label is used twice"),
        (lambda: homologues(pd.DataFrame({"label": ["a"]}), method="near"), "method 'near' is neither"),
        (lambda: VertexLabels(left=np.array([-1]), right=np.array([0])), "has the number -1"),
        (lambda: VertexLabels(left=np.array([2]), right=np.array([1]), names={1: "a"}), "number 2, which has no name"),
        (
            lambda: SurfaceSet(
                space="x",
                surfaces={"s": (LEFT, RIGHT)},
                maps={"m": (np.zeros(6), np.zeros(5))},
                labels={},
                provenance=PROVENANCE,
            ),
            r"'m' has \(6, 5\) vertices",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(work, message):
    with pytest.raises(DataError, match=message):
        work()


def write_gifti(path, *arrays):
    image = GiftiImage(darrays=[GiftiDataArray(array) for array in arrays])
    if path.suffix == ".gz":
        import gzip

        path.write_bytes(gzip.compress(image.to_bytes()))
    else:
        path.write_bytes(image.to_bytes())


@pytest.fixture
def fsaverage(tmp_path):
    folder = tmp_path / "surfaces-fsaverage5"
    folder.mkdir()
    for side in ("left", "right"):
        for kind in ("white", "pial", "sphere"):
            write_gifti(folder / f"{kind}_{side}.gii.gz", CORNERS.astype(np.float32), TRIANGLES.astype(np.int32))
        for name in ("sulc", "thick", "curv", "area"):
            write_gifti(folder / f"{name}_{side}.gii.gz", np.arange(6, dtype=np.float32))
    return folder


def test_surfaces_are_read_from_gifti(fsaverage):
    found = load_fsaverage5(data_dir=fsaverage.parent)
    assert found.n_vertices == (6, 6)
    np.testing.assert_array_equal(found.surfaces["sphere"][1].faces, TRIANGLES)
    np.testing.assert_array_equal(found.maps["curvature"][0], np.arange(6))
    assert "surfaces   white, pial, sphere" in found.describe()


@pytest.mark.parametrize("body", [b"", b"not gzip", b"\x1f\x8b\x08\x00truncated"])
def test_a_surface_that_cannot_be_read_is_named(fsaverage, body):
    (fsaverage / "pial_left.gii.gz").write_bytes(body)
    with pytest.raises(DataError, match=r"pial_left\.gii\.gz cannot be read"):
        load_fsaverage5(data_dir=fsaverage.parent)


def test_a_surface_that_is_something_else_is_named(fsaverage):
    write_gifti(fsaverage / "pial_left.gii.gz", CORNERS.astype(np.float32))
    with pytest.raises(DataError, match=r"pial_left\.gii\.gz has 1 arrays, expected vertices and triangles"):
        load_fsaverage5(data_dir=fsaverage.parent)
    write_gifti(fsaverage / "pial_left.gii.gz", CORNERS.astype(np.float32), 9 + TRIANGLES.astype(np.int32))
    with pytest.raises(DataError, match=r"pial_left\.gii\.gz: a face names a vertex outside"):
        load_fsaverage5(data_dir=fsaverage.parent)
    write_gifti(fsaverage / "pial_left.gii.gz", CORNERS.astype(np.float32), TRIANGLES.astype(np.int32))
    write_gifti(fsaverage / "sulc_right.gii.gz", CORNERS.astype(np.float32))
    with pytest.raises(DataError, match=r"sulc_right\.gii\.gz has 1 arrays, expected one with a value a vertex"):
        load_fsaverage5(data_dir=fsaverage.parent)


N_VERTICES = 60
NAMES = [f"7Networks_{side}H_Vis_{number}" for side in "LR" for number in range(1, 51)]
# Fifty parcels a side, in a mixed order, and ten vertices of medial wall.
NUMBERS = np.concatenate([np.random.default_rng(0).permutation(np.r_[1:51, np.zeros(10, dtype=int)]) for _ in "LR"])
NUMBERS[N_VERTICES:][NUMBERS[N_VERTICES:] > 0] += 50


def write_dlabel(folder, *, wall, numbers=NUMBERS, axis=None, sides=("left", "right")):
    keep = np.ones(2 * N_VERTICES, dtype=bool) if wall else numbers > 0
    models = [
        BrainModelAxis.from_surface(
            np.flatnonzero(keep[half]), N_VERTICES, name=f"CIFTI_STRUCTURE_CORTEX_{side.upper()}"
        )
        for side, half in (("left", slice(0, N_VERTICES)), ("right", slice(N_VERTICES, None)))
        if side in sides
    ]
    columns = models[0] if len(models) == 1 else models[0] + models[1]
    table = {0: ("???", (0, 0, 0, 0))} | {number: (name, (0, 0, 0, 1)) for number, name in enumerate(NAMES, start=1)}
    rows = axis or LabelAxis(["parcels"], [table])
    values = numbers[keep][: len(columns)].astype(np.float32)[None]
    image = Cifti2Image(values, header=(rows, columns), nifti_header=None)
    folder.mkdir(exist_ok=True)
    path = folder / "Schaefer2018_100Parcels_7Networks_order.dlabel.nii"
    path.write_bytes(image.to_bytes())
    return path


@pytest.mark.parametrize("wall", [True, False])
def test_labels_are_placed_by_brain_models_with_the_medial_wall_and_without(tmp_path, wall):
    write_dlabel(tmp_path / "atlas-schaefer2018", wall=wall)
    found = load_schaefer_surface(100, 7, data_dir=tmp_path)
    np.testing.assert_array_equal(found.vertices, NUMBERS - 1)
    assert found.region_labels == tuple(NAMES)
    assert "Schaefer table was not at hand" in found.provenance.notes[0]


def test_the_same_parcels_come_from_annotations(tmp_path):
    folder = tmp_path / "atlas-schaefer2018"
    folder.mkdir()
    colours = np.zeros((51, 5), dtype=np.int64)
    colours[:, 0] = np.arange(51)
    for place, (short, side) in enumerate((("lh", "L"), ("rh", "R"))):
        numbers = NUMBERS[place * N_VERTICES : (place + 1) * N_VERTICES] - 50 * place
        write_annot(
            folder / f"{short}.Schaefer2018_100Parcels_7Networks_order.annot",
            np.maximum(numbers, 0),
            colours,
            ["wall", *(name for name in NAMES if f"_{side}H_" in name)],
            fill_ctab=True,
        )
    found = load_schaefer_surface(100, 7, space="fsaverage5", data_dir=tmp_path)
    np.testing.assert_array_equal(found.vertices, NUMBERS - 1)
    path = folder / "lh.Schaefer2018_100Parcels_7Networks_order.annot"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"order\.annot cannot be read"):
        load_schaefer_surface(100, 7, space="fsaverage5", data_dir=tmp_path)


def test_a_bad_dlabel_is_named(tmp_path):
    folder = tmp_path / "atlas-schaefer2018"
    path = write_dlabel(folder, wall=True)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"dlabel\.nii cannot be read"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
    path = write_dlabel(folder, wall=True)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"dlabel\.nii cannot be read"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
    write_dlabel(folder, wall=True, sides=("left",))
    with pytest.raises(DataError, match="has no cortex of R"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
    strange = NUMBERS.copy()
    strange[0] = 200
    write_dlabel(folder, wall=True, numbers=strange)
    with pytest.raises(DataError, match="the number 200, which has no label"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
    write_dlabel(folder, wall=True, axis=ScalarAxis(["parcels"]))
    with pytest.raises(DataError, match="has no labels"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
    nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype=np.float32), np.eye(4)).to_filename(tmp_path / "volume.nii")
    path.write_bytes((tmp_path / "volume.nii").read_bytes())
    with pytest.raises(DataError, match=r"dlabel\.nii cannot be read"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
    with pytest.raises(DataError, match="space 'mni' is neither"):
        load_schaefer_surface(100, 7, space="mni", data_dir=tmp_path)


def test_a_header_that_promises_a_mesh_without_end_is_refused_before_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("conn.data.surfaces.MOST_VERTICES", N_VERTICES - 1)
    write_dlabel(tmp_path / "atlas-schaefer2018", wall=True)
    with pytest.raises(DataError, match=r"a vertex of CIFTI_STRUCTURE_CORTEX_LEFT lies outside its 60 vertices"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)


def test_labels_that_are_not_those_of_the_table_are_refused(tmp_path):
    folder = tmp_path / "atlas-schaefer2018"
    write_dlabel(folder, wall=True)
    rows = [f"{place},{name},1,2,3" for place, name in enumerate(NAMES[::-1], start=1)]
    table = folder / "Schaefer2018_100Parcels_7Networks_order_FSLMNI152_2mm.Centroid_RAS.csv"
    table.write_text("\n".join(["ROI Label,ROI Name,R,A,S", *rows]))
    assert load_schaefer_surface(100, 7, data_dir=tmp_path).regions["label"].tolist() == NAMES
    table.write_text(table.read_text().replace("LH_Vis_7,", "LH_Vis_99,"))
    with pytest.raises(DataError, match="the first that differs is '7Networks_LH_Vis_7'"):
        load_schaefer_surface(100, 7, data_dir=tmp_path)
