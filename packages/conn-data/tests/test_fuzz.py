"""Files with bytes changed, cut off or added: read, or refused as `DataError`, and nothing else."""

import contextlib
import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis
from nibabel.gifti import GiftiDataArray, GiftiImage
from scipy.io import savemat

from conn.data import (
    DataError,
    assemble_regions,
    load_region_dataset,
    read_connectome,
    read_expression,
    read_gene_list,
    read_gene_positions,
    read_region_table,
    save_region_dataset,
)
from conn.data.archives import parse_npz
from conn.data.cards import CARDS
from conn.data.local import LocalSet
from conn.data.matlab import parse_matlab_matrix
from conn.data.surfaces import _gifti_arrays, read_cifti_surface


@st.composite
def damage(draw):
    """Return a function that damages bytes: a few changed, the end cut off, something put in."""
    changes = draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4))
    end = draw(st.floats(0, 1))
    extra = draw(st.binary(max_size=8))
    where = draw(st.floats(0, 1, exclude_max=True))

    def apply(body: bytes) -> bytes:
        raw = bytearray(body)
        for place, value in changes:
            raw[int(place * len(raw))] = value
        cut = raw[: int(end * len(raw))] if end < 0.7 else raw
        return bytes(cut[: int(where * len(cut))] + extra + cut[int(where * len(cut)) :])

    return apply


def packed() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, ts=np.zeros((3, 4)), names=np.array(["a", "b"]))
    return stream.getvalue()


def mesh() -> bytes:
    arrays = [np.zeros((4, 3), dtype=np.float32), np.zeros((2, 3), dtype=np.int32)]
    return GiftiImage(darrays=[GiftiDataArray(array) for array in arrays]).to_bytes()


def labels() -> bytes:
    left, right = (BrainModelAxis.from_surface(np.arange(4), 5, name=f"cortex_{side}") for side in ("left", "right"))
    table = {0: ("???", (0, 0, 0, 0)), 1: ("one", (0, 0, 0, 1))}
    header = (LabelAxis(["parcels"], [table]), left + right)
    return Cifti2Image(np.ones((1, 8), dtype=np.float32), header=header).to_bytes()


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / CARDS["fsaverage5"].folder
    folder.mkdir()
    return LocalSet(CARDS["fsaverage5"], data_dir=tmp_path)


MANY = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(damage())
def test_archives(damaged):
    with contextlib.suppress(DataError):
        parse_npz(damaged(packed()), "x")


@MANY
@given(damage())
def test_tables(files, damaged):
    body = damaged("name\tvalue\nä\t1.5\nb\tn/a\n".encode())
    (files.folder / "t.tsv").write_bytes(body)
    with contextlib.suppress(DataError):
        table = files.table("t.tsv", words=("name",), numbers=("value",))
        assert list(table.columns) == ["name", "value"]


@MANY
@given(damage())
def test_meshes(files, damaged):
    (files.folder / "m.gii").write_bytes(damaged(mesh()))
    with contextlib.suppress(DataError):
        _gifti_arrays(files, "m.gii")


@MANY
@given(damage())
def test_maps_on_grayordinates(files, damaged):
    (files.folder / "l.dlabel.nii").write_bytes(damaged(labels()))
    with contextlib.suppress(DataError):
        read_cifti_surface(files, "l.dlabel.nii")


def test_a_field_larger_than_any_table_has_is_refused(files):
    (files.folder / "t.tsv").write_text("name\tvalue\n" + "a" * (csv.field_size_limit() + 1) + "\t1\n")
    with pytest.raises(DataError, match=r"t\.tsv: field larger than field limit"):
        files.table("t.tsv", words=("name",), numbers=("value",))


TABLE = b"label,hemi,network,id,x,y,z,a\na,L,Vis,1,-1.5,2,3,4\nb,R,,2,n/a,5e-1,6,\n"
POSITIONS = b"gene,chr,start,end,strand\nSST,chr3,10,20,+\nVIP,6,5,90,-\n"


@MANY
@given(damage())
def test_tables_of_regions_genes_and_connectomes(tmp_path, damaged):
    path = tmp_path / "table.csv"
    path.write_bytes(damaged(TABLE))
    for read in (read_region_table, read_expression, read_connectome, read_gene_list):
        with contextlib.suppress(DataError):
            read(path)
    path.write_bytes(damaged(POSITIONS))
    with contextlib.suppress(DataError):
        read_gene_positions(path)


@MANY
@given(damage())
def test_sets_of_regions_in_a_file(tmp_path, damaged):
    path = tmp_path / "set.npz"
    if not path.exists():
        names = ["a", "b"]
        square = pd.DataFrame(np.eye(2), index=names, columns=names)
        save_region_dataset(assemble_regions(square, square, pd.DataFrame({"label": names})), path)
    (tmp_path / "damaged.npz").write_bytes(damaged(path.read_bytes()))
    with contextlib.suppress(DataError):
        load_region_dataset(tmp_path / "damaged.npz")


@MANY
@given(damage(), st.sampled_from([{}, {"do_compression": True}, {"format": "4"}]))
def test_a_matrix_in_a_matlab_file(damaged, options):
    stream = io.BytesIO()
    savemat(stream, {"connectivity": np.eye(3)}, **options)
    with contextlib.suppress(DataError):
        parse_matlab_matrix(damaged(stream.getvalue()), "x", "connectivity")
