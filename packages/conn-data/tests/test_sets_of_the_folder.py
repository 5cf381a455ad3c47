"""Every set of the data folder by name, and the numbers that its source or its description states."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import gamma, spearmanr

from conn.data import (
    DataError,
    fill_expression,
    homologues,
    load_conte69,
    load_dataset,
    load_eeg_visual,
    load_fsaverage5,
    load_fslr32k,
    load_gene_expression_ahba,
    load_geneex2conn_connectomes,
    load_haxby2001,
    load_hcp_aal2,
    load_hcp_schaefer100,
    load_hcp_schaefer100_group,
    load_hcp_schaefer200,
    load_nitime_events,
    load_pain_task,
    load_receptor_maps,
    load_rpn_pain_rest,
    load_schaefer_surface,
    load_stages_fep,
    parcel_adjacency,
    verify_dataset,
    vertices_to_parcels,
)
from conn.data.cards import CARDS
from conn.data.local import registered_files
from conn.data.provenance import sha256_of_file

pytestmark = pytest.mark.realdata


@pytest.fixture
def needs(real_data):
    """Give the folder of a set by the set's name, or skip."""

    def needs(name: str) -> Path:
        return real_data(CARDS[name].folder)

    return needs


def edges(series):
    """Correlations of all pairs, shape (scan, edge); flat regions are 0."""
    with np.errstate(invalid="ignore"):
        matrices = np.array([np.nan_to_num(np.corrcoef(scan)) for scan in series])
    return matrices[:, *np.triu_indices(matrices.shape[-1], 1)]


@pytest.mark.parametrize("name", list(CARDS))
def test_every_set_loads_by_name_as_registered(needs, name):
    needs(name)
    found = load_dataset(name, **({"offline": True} if CARDS[name].fetched else {}))
    if name != "schaefer2018":
        assert found.provenance.origin == "CONN_DATA_DIR"
        assert not any("differ" in note or "not at hand" in note for note in found.provenance.notes)
        assert CARDS[name].licence in found.describe()
    if name != "msc":
        assert (verify_dataset(name)["state"] == "intact").all()


def test_every_file_of_the_folder_is_registered(real_data):
    whole = real_data("miniMSC").parent
    found = {
        str(path.relative_to(whole)): sha256_of_file(path)
        for path in whole.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert found == {path: file.sha256 for path, file in registered_files().items()}


def test_scans_of_one_person_are_alike(needs):
    needs("hcp-schaefer100")
    scans = load_hcp_schaefer100()
    similarity = np.corrcoef(edges(scans.time_series))
    assert similarity[0, 1] == pytest.approx(0.76, abs=0.005)
    assert similarity[2, 3] == pytest.approx(0.87, abs=0.005)
    between = similarity[:2, 2:]
    assert 0.635 < between.min() < between.max() < 0.755
    structural = scans.scan_arrays["structural_connectome"]
    np.testing.assert_array_equal(structural, structural.transpose(0, 2, 1))
    assert scans.regions["network"].nunique() == 7


def test_the_order_of_aal2_alternates_between_hemispheres(needs):
    needs("hcp-aal2")
    scans = load_hcp_aal2()
    lengths = scans.scan_arrays["fibre_length"].mean(axis=0)
    side = scans.regions["hemisphere"].to_numpy()
    same = side[:, None] == side
    assert lengths[same & ~np.eye(94, dtype=bool)].mean() < 0.75 * lengths[~same].mean()


def test_people_are_recognised_between_runs_of_the_pain_task(needs):
    needs("pain-task")
    scans = load_pain_task(runs=[3, 7])
    assert scans.table["run"].tolist() == [3, 7] * 24
    connectomes = edges(scans.time_series[:, :, :191])
    similarity = np.corrcoef(connectomes[::2], connectomes[1::2])[:24, 24:]
    own = np.arange(24)
    assert np.mean(similarity.argmax(axis=1) == own) == pytest.approx(0.875)
    assert np.mean(similarity.argmax(axis=0) == own) == pytest.approx(23 / 24)
    assert similarity.diagonal().mean() == pytest.approx(0.62, abs=0.005)
    assert similarity[~np.eye(24, dtype=bool)].mean() == pytest.approx(0.41, abs=0.005)


def test_heat_is_felt_in_the_insula(needs):
    needs("pain-task")
    scans = load_pain_task()
    assert len(scans.table) == 71
    heat = scans.events[scans.events["trial_type"] == "heat"]
    assert len(heat) == len(scans.events) - len(heat) == 733
    assert heat["temperature"].between(40, 47).all()
    response = gamma.pdf(np.arange(0, 32, 2.0), 6) - gamma.pdf(np.arange(0, 32, 2.0), 16) / 6
    correlations = {1: [], 3: [], 7: []}
    for place, row in scans.table.iterrows():
        trials = heat[(heat["subject"] == row["subject"]) & (heat["run"] == row["run"])]
        seconds = 2.0 * np.arange(row["n_frames"])
        since = seconds[:, None] - trials["onset"].to_numpy()
        on = ((since >= 0) & (since < 12.5)).any(axis=1)
        expected = np.convolve(on, response)[: len(on)]
        series = scans.time_series[place, :, : row["n_frames"]]
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations[row["run"]].append(np.corrcoef(series, expected)[-1, :-1])
    for found in correlations.values():
        mean = np.nanmean(found, axis=0)
        assert 0.1 < mean.max() < 0.25
        assert "INSULA" in scans.regions["name"].iloc[int(mean.argmax())].upper()


def test_published_predictions_of_pain_sensitivity(needs):
    needs("rpn-pain-rest")
    scans = load_rpn_pain_rest()
    assert scans.mask.sum(axis=1).tolist() == [200] * 35 + [290] * 37
    assert scans.table["subject"].tolist() == scans.participants["subject"].tolist()
    flat = scans.flat_regions()
    assert len(flat) == 7
    assert flat["subject"].str.startswith("bochum").all()
    assert (scans.motion[:, 0] == 0).all()
    for centre, column, expected in (
        ("bochum", "rpn_prediction_published", 0.63),
        ("bochum", "rpn_nested_prediction_published", 0.45),
        ("essen", "rpn_prediction_published", 0.43),
    ):
        people = scans.participants[scans.participants["centre"] == centre]
        found = people["pain_sensitivity"].corr(people[column])
        assert found == pytest.approx(expected, abs=0.005)
    # The first frame has no displacement; the table's mean is over the others.
    mean = scans.motion.sum(axis=1) / (scans.mask.sum(axis=1) - 1)
    np.testing.assert_allclose(mean, scans.participants["mean_fd"], rtol=0.02)


def test_parcels_of_the_psychosis_set_are_in_the_order_of_seven_networks(needs):
    needs("stages-fep")
    scans = load_stages_fep()
    assert len(scans.table) == 62
    assert scans.table["session"].value_counts().to_dict() == {1: 37, 2: 25}
    assert len(scans.participants) == 37
    flat = scans.flat_regions()
    assert set(flat["subject"]) == {"sub-001"}
    assert scans.region_labels[384] in set(flat["region"])
    with np.errstate(invalid="ignore"):
        connectome = np.nanmean([np.corrcoef(scan[:400]) for scan in scans.time_series], axis=0)
    networks = np.array(scans.networks[:400])
    same, pairs = networks[:, None] == networks, ~np.eye(400, dtype=bool)
    assert connectome[same & pairs].mean() - connectome[~same].mean() == pytest.approx(0.21, abs=0.01)


def test_pictures_squares_and_events_are_counted(needs):
    for name in ("haxby2001", "eeg-visual", "nitime-events", "hcp-schaefer200"):
        needs(name)
    pictures = load_haxby2001().events
    assert pictures["trial_type"].value_counts().to_dict() == dict.fromkeys(
        ["bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe"], 12
    )
    assert load_haxby2001(voxels="slice").time_series.shape == (12, 800, 121)
    assert load_nitime_events().events["trial_type"].value_counts().to_dict() == dict.fromkeys("123456", 96)
    assert len(set(load_hcp_schaefer200().networks)) == 16
    eeg = load_eeg_visual()
    onsets = eeg.events.loc[eeg.events["trial_type"] == "square", "onset"]
    assert len(onsets) == 80
    assert (eeg.events["trial_type"] == "rt").sum() == 74
    begin = np.round(onsets.to_numpy() / eeg.repetition_time).astype(int)
    pz = eeg.time_series[0, eeg.region_labels.index("Pz")]
    # One second from each square on, against the 200 ms before it.
    epochs = [pz[first : first + 128] - pz[first - 26 : first].mean() for first in begin if first + 128 <= pz.size]
    answer = np.mean(epochs, axis=0)
    assert answer.max() == pytest.approx(31, abs=1)
    assert answer.argmax() * eeg.repetition_time == pytest.approx(0.43, abs=0.02)


def test_groups_of_the_same_study_nearly_agree(needs):
    needs("hcp-schaefer100-group")
    needs("receptor-maps")
    group, receptors = load_hcp_schaefer100_group(), load_receptor_maps()
    pairs = np.triu_indices(100, 1)
    found = np.corrcoef(group.connectomes["functional"][pairs], receptors.connectomes["functional"][pairs])[0, 1]
    assert found > 0.95
    assert tuple(group.regions["label"]) == tuple(receptors.regions["label"])
    np.testing.assert_allclose(group.values.mean(axis=1), 0, atol=0.05)
    # The source names its regions by number; the centroids say that the order is the atlas's.
    assert (receptors.regions["x"] < 0).eq(receptors.regions["hemisphere"] == "L").all()


def test_rank_correlations_of_brainspace_are_reproduced(needs):
    needs("conte69")
    found = load_conte69()
    maps = {name: np.concatenate(pair) for name, pair in found.maps.items()}
    for name, expected in (("t1wt2w", -0.595), ("thickness", 0.286)):
        cortex = np.isfinite(maps[name]) & np.isfinite(maps["fc_gradient0"])
        rho = spearmanr(maps["fc_gradient0"][cortex], maps[name][cortex])[0]
        assert rho == pytest.approx(expected, abs=1e-3)
    temporal = found.maps["temporal_lobe"][0] == 1
    assert temporal.sum() == 5291
    rho, p = spearmanr(found.maps["fc_gradient0"][0][temporal], found.maps["curvature"][0][temporal])
    assert rho == pytest.approx(0.0548, abs=1e-4)
    assert p == pytest.approx(6.63802e-05, rel=1e-4)


@pytest.mark.parametrize("space", ["fsLR-32k", "fsaverage5"])
def test_parcels_on_surfaces_have_centroids_neighbours_and_homologues(needs, space):
    needs("schaefer2018-surface")
    name = "fslr32k" if space == "fsLR-32k" else "fsaverage5"
    needs(name)
    surfaces = (load_fslr32k if name == "fslr32k" else load_fsaverage5)().surfaces
    for sphere in surfaces["sphere"]:
        np.testing.assert_allclose(np.linalg.norm(sphere.coordinates, axis=1), 100, atol=0.05)
        # Euler's formula: a closed surface without holes.
        assert sphere.n_vertices - len(sphere.edges) + len(sphere.faces) == 2
    parcels = load_schaefer_surface(400, 7, space=space)
    mesh = surfaces["midthickness" if name == "fslr32k" else "pial"]
    places = vertices_to_parcels(np.concatenate([side.coordinates for side in mesh]).T, parcels).T
    apart = np.linalg.norm(places - parcels.regions[["x", "y", "z"]].to_numpy(), axis=1)
    assert np.median(apart) < 4
    adjacency = parcel_adjacency(parcels, mesh)
    assert adjacency.sum(axis=1).min() >= 2
    assert 5 < adjacency.sum(axis=1).mean() < 6
    left = (parcels.regions["hemisphere"] == "L").to_numpy()
    assert not adjacency[np.ix_(left, ~left)].any()
    assert len(homologues(parcels.regions)) == 159
    pairs = homologues(parcels.regions, method="centroid")
    assert len(pairs) == 200
    assert pairs["distance"].median() < 8


def test_two_sources_of_one_parcellation_agree(needs):
    needs("schaefer2018-surface")
    needs("conte69")
    theirs = load_conte69().labels["schaefer_400"]
    ours = load_schaefer_surface(400, 7)
    assert np.mean(np.concatenate([theirs.left, theirs.right]) - 1 == ours.vertices) > 0.98


def test_seventeen_networks_stand_in_another_order_than_seven(needs):
    needs("schaefer2018-surface")
    for seven, seventeen in itertools.pairwise(load_schaefer_surface(100, n, space="fsaverage5") for n in (7, 17)):
        assert seven.regions["network"].nunique() == 7
        assert seventeen.regions["network"].nunique() == 17
        assert not np.array_equal(seven.left, seventeen.left)
        np.testing.assert_array_equal(seven.left < 0, seventeen.left < 0)


def test_alike_expression_goes_with_connection(needs):
    needs("gene-expression-ahba")
    data = load_gene_expression_ahba()
    assert (data.n_regions, len(data.genes), data.incomplete) == (114, 810, ())
    assert data.regions["structure"].tolist() == ["cortex"] * 100 + ["subcortex"] * 14
    assert np.isfinite(data.coordinates[:100]).all()
    upper = np.triu_indices(100, 1)
    alike = np.corrcoef(data.expression[:100])[upper]
    assert np.corrcoef(alike, data.connectome[:100, :100][upper])[0, 1] == pytest.approx(0.29, abs=0.02)


def test_regions_without_samples_are_named_and_mirroring_beats_the_mean(needs):
    needs("gene-expression-ahba")
    with pytest.raises(DataError, match="expression is missing in 49 regions: 7Networks_LH"):
        load_gene_expression_ahba(400)
    data = load_gene_expression_ahba(400, missing_expression="keep")
    assert sum(label.startswith("7Networks_RH") for label in data.incomplete) == 46
    filled = load_gene_expression_ahba(400, missing_expression="mirror_interpolate")
    known = np.isfinite(data.expression)
    np.testing.assert_array_equal(filled.expression[known], data.expression[known])
    assert filled.incomplete == ()
    assert any("expression filled (mirror_interpolate): 7Networks_LH" in note for note in filled.provenance.notes)
    # Of every second region that both hemispheres have the right value is hidden and mirrored.
    table = data.expression_table().iloc[:400].dropna()
    regions = data.regions.set_index("label", drop=False).loc[table.index].reset_index(drop=True)
    pairs = homologues(regions, method="centroid", largest_distance=20.0).iloc[::2]
    hidden = table.copy()
    hidden.loc[pairs["right"]] = float("nan")
    guess = fill_expression(hidden, regions, policy="mirror", pairs=pairs).loc[pairs["right"]]
    truth = table.loc[pairs["right"]]
    assert ((guess - truth) ** 2).to_numpy().mean() < 0.8 * ((hidden.mean() - truth) ** 2).to_numpy().mean()


def test_connectomes_of_two_studies_agree_when_joined_by_label(needs):
    needs("geneex2conn-connectomes")
    needs("gene-expression-ahba")
    british = load_geneex2conn_connectomes(spins=True)
    american = load_gene_expression_ahba()
    shared = [label for label in american.labels if label in british.labels]
    assert len(shared) == 100
    upper = np.triu_indices(100, 1)
    one, two = (data.select(shared).connectome[upper] for data in (british, american))
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(0.79, abs=0.005)
    assert (british.regions["hemisphere"] == "B").sum() == 10
    np.testing.assert_array_equal(british.connectome, british.connectome.T)
    np.testing.assert_array_equal(np.sort(british.arrays["s456_cortical_spins"][0]), np.arange(400))
    lemon = load_geneex2conn_connectomes("iPA_183")
    assert (lemon.regions["structure"] == "subcortex").sum() == 11
    assert (np.sign(lemon.coordinates[:, 0]) != np.where(lemon.regions["hemisphere"] == "R", 1, -1)).sum() == 2
