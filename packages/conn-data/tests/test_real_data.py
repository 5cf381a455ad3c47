"""The thirty real resting scans, as the data folder holds them."""

import numpy as np
import pytest

from conn.data import DataUnavailableError, fetch_msc, load_schaefer

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def scans(real_data):
    return fetch_msc(data_dir=real_data("miniMSC").parent, offline=True)


def test_thirty_scans_of_ten_people(scans):
    assert scans.time_series.shape == (30, 400, 814)
    assert scans.provenance.origin == "CONN_DATA_DIR"
    assert not scans.simulated
    assert scans.mask.all()
    assert scans.table["subject"].unique().tolist() == [f"MSC{n:02d}" for n in range(1, 11)]
    assert scans.table["session"].tolist() == [1, 2, 3] * 10
    assert set(scans.table["task"]) == {"rest"}
    assert scans.repetition_time == 2.2


def test_motion_begins_at_zero_and_is_in_millimetres(scans):
    assert (scans.motion[:, 0] == 0).all()
    assert 0.05 < scans.motion.mean() < 0.2


def test_parcels_carry_labels_of_the_seventeen_networks(scans):
    assert scans.region_labels[0] == "17Networks_LH_VisCent_ExStr_1"
    assert len(set(scans.networks)) == 17
    # The data's README: Fisher-z within minus between networks is 0.32 in this order, and 0.16
    # under the labels of the seven networks.
    connectome = np.mean([np.corrcoef(scan) for scan in scans.time_series], axis=0)
    np.fill_diagonal(connectome, 0)
    z = np.arctanh(connectome)
    networks = np.array(scans.networks)
    same = networks[:, None] == networks
    np.fill_diagonal(same, False)
    assert z[same].mean() - z[networks[:, None] != networks].mean() > 0.25


def test_sessions_beyond_the_packed_file_are_absent_offline(scans, tmp_path):
    with pytest.raises(DataUnavailableError, match="rest of sessions 1 to 3 only"):
        fetch_msc(sessions=[4], offline=True, cache_dir=tmp_path)


@pytest.mark.parametrize("n_regions", [100, 200, 400])
@pytest.mark.parametrize("n_networks", [7, 17])
def test_every_table_of_regions_is_that_of_the_data_folder(scans, n_regions, n_networks):
    table = load_schaefer(n_regions, n_networks, offline=True)
    assert len(table) == n_regions
    assert table["network"].nunique() == n_networks
    assert table["label"].is_unique
    assert (table["x"] < 0).eq(table["hemisphere"] == "L").all()
    assert table["hemisphere"].value_counts().to_dict() == {
        "L": n_regions // 2,
        "R": n_regions // 2,
    }


def test_the_tables_in_the_data_folder_have_the_registered_checksums(real_data):
    from conn.data.atlas import SCHAEFER_FILES
    from conn.data.download import is_intact

    assert all(is_intact(file, real_data("atlas-schaefer2018")) for file in SCHAEFER_FILES.values())
