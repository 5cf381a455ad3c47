"""Volumes of runs and images of labels, generated, against means taken by hand."""

import json

import nibabel
import numpy as np
import pytest

from conn.data import DataError, parcellate_volume

SHAPE, N_FRAMES = (4, 4, 3), 8
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


@pytest.fixture
def files(tmp_path):
    """A run, and an atlas of three regions, of which the last is half outside what was scanned."""
    values = np.random.default_rng(0).normal(100, 5, (*SHAPE, N_FRAMES)).astype(np.float32)
    numbers = np.zeros(SHAPE, dtype=np.int16)
    numbers[0], numbers[1], numbers[2] = 2, 5, 9
    values[2, :2] = 0
    run, atlas = tmp_path / "sub-01_desc-preproc_bold.nii.gz", tmp_path / "atlas.nii.gz"
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_zooms((3, 3, 3, 2.5))
    image.to_filename(run)
    nibabel.Nifti1Image(numbers, AFFINE).to_filename(atlas)
    (tmp_path / "atlas.tsv").write_text("index\tname\n2\ttwo\n5\tfive\n9\tnine\n")
    return run, atlas, values, numbers


def test_regions_of_volumes_are_means_over_voxels_with_signal(files):
    run, atlas, values, numbers = files
    found = parcellate_volume(run, atlas)
    assert found.region_labels == ("two", "five", "nine")
    assert found.coverage.tolist() == [1, 1, 0.5]
    assert found.repetition_time == pytest.approx(2.5)
    for region, number in enumerate((2, 5, 9)):
        inside = (numbers == number) & (values != 0).any(axis=-1)
        np.testing.assert_allclose(found.time_series[region], values[inside].mean(axis=0), rtol=1e-5)
    assert np.isnan(parcellate_volume(run, atlas, minimum_coverage=0.6).time_series[2]).all()


def test_the_json_file_tells_the_repetition_time_first(files):
    run, atlas, *_ = files
    run.with_name("sub-01_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": 0.8}))
    assert parcellate_volume(run, atlas).repetition_time == 0.8


def test_volumes_that_do_not_fit_are_refused_by_name(files, tmp_path):
    run, atlas, *_ = files
    with pytest.raises(DataError, match=r"atlas\.nii\.gz has shape .* four dimensions"):
        parcellate_volume(atlas, atlas)
    with pytest.raises(DataError, match=r"absent\.nii\.gz"):
        parcellate_volume(tmp_path / "absent.nii.gz", atlas)
    short = tmp_path / "short.nii.gz"
    short.write_bytes(run.read_bytes()[:300])
    with pytest.raises(DataError, match=r"short\.nii\.gz"):
        parcellate_volume(short, atlas)
    (tmp_path / "atlas.tsv").write_text("index\tname\n2\ttwo\n")
    with pytest.raises(DataError, match="has no index 5"):
        parcellate_volume(run, atlas)
    (tmp_path / "atlas.tsv").write_text("number\n2\n")
    with pytest.raises(DataError, match="no columns index and name"):
        parcellate_volume(run, atlas)
    nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), AFFINE).to_filename(atlas)
    with pytest.raises(DataError, match="has no region"):
        parcellate_volume(run, atlas)
