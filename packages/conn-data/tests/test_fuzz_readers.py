"""Every reader of users' files: whatever stands in the file, it is read, or refused as `DataError` that names the file.

One table of readers with a sound file each, and one of ways to spoil a file; the older property tests of `test_fuzz`
change single bytes at random, here whole kinds of damage are gone through, and bytes are changed at random on top.
"""

import gzip
import io
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, SeriesAxis
from scipy.io import savemat

from conn.data import (
    DataError,
    assemble_regions,
    load_confounds,
    load_lemon_eeg,
    load_region_dataset,
    load_scans,
    parcellate_cifti,
    parcellate_volume,
    read_1d,
    read_connectome,
    read_dlabel,
    read_expression,
    read_gene_list,
    read_gene_positions,
    read_hcp_behaviour,
    read_lemon_participants,
    read_motion,
    read_region_table,
    read_relmat,
    read_subject_list,
    read_timeseries,
    save_region_dataset,
    save_scans,
    simulate_cohort,
)
from conn.data.allen_donors import (
    Donor,
    read_corrected_coordinates,
    read_probe_rows,
    read_probes,
    read_samples,
)
from conn.data.archives import parse_npy
from conn.data.matlab import parse_matlab_variables
from conn.data.registry import load_registry
from conn.data.sample_regions import region_space
from conn.data.splits import load_folds, random_folds, save_folds


@dataclass(frozen=True)
class Reader:
    """A file's name, its sound content, and what reads it."""

    name: str
    file: str
    sound: Callable[[Path], bytes]
    read: Callable[[Path], Any]

    def __str__(self) -> str:
        return self.name


def text(content: str) -> Callable[[Path], bytes]:
    return lambda _: content.encode()


def written(write: Callable[[Path], object], suffix: str) -> Callable[[Path], bytes]:
    """Return a function that writes a file of our own and gives its bytes."""

    def content(folder: Path) -> bytes:
        path = folder / f"sound{suffix}"
        write(path)
        return path.read_bytes()

    return content


def a_set_of_regions(path: Path) -> None:
    square = pd.DataFrame(np.eye(2), index=["a", "b"], columns=["a", "b"])
    save_region_dataset(assemble_regions(square, square, pd.DataFrame({"label": ["a", "b"]})), path)


def grayordinates() -> BrainModelAxis:
    left, right = (BrainModelAxis.from_surface(np.arange(4), 5, name=f"cortex_{side}") for side in ("left", "right"))
    return left + right


def dlabel(_: Path) -> bytes:
    header = (LabelAxis(["parcels"], [{0: ("???", (0, 0, 0, 0)), 1: ("one", (0, 0, 0, 1))}]), grayordinates())
    return Cifti2Image(np.ones((1, 8), dtype=np.float32), header=header).to_bytes()


def dtseries(_: Path) -> bytes:
    values = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    return Cifti2Image(values, header=(SeriesAxis(0, 0.72, 6), grayordinates())).to_bytes()


def volume(_: Path) -> bytes:
    return nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4)).to_bytes()


def bold(_: Path) -> bytes:
    values = np.random.default_rng(0).normal(100, 1, (2, 2, 2, 5)).astype(np.float32)
    image = nib.Nifti1Image(values, np.eye(4))
    image.header.set_zooms((1, 1, 1, 2.0))
    return image.to_bytes()


def beside(name: str, sound: Callable[[Path], bytes], path: Path) -> Path:
    """Write a sound file beside another one."""
    path.with_name(name).write_bytes(sound(path))
    return path.with_name(name)


def eeglab(_: Path) -> bytes:
    places = np.zeros((1, 2), dtype=[("labels", object)])
    places["labels"] = ["Cz", "Oz"]
    stream = io.BytesIO()
    data = np.ones((2, 5), dtype=np.float32)
    savemat(
        stream,
        {"EEG": {"nbchan": 2.0, "pnts": 5.0, "trials": 1.0, "srate": 250.0, "chanlocs": places, "data": data}},
    )
    return stream.getvalue()


def donor_file(path: Path) -> Donor:
    """A donor whose other files are sound."""
    sound = {
        "Ontology.csv": "id,hemisphere,structure_id_path\n7,L,/4005/4008/7/\n",
        "SampleAnnot.csv": "well_id,structure_id,mni_x,mni_y,mni_z\n1,7,-1.5,2,3\n",
    }
    for name, content in sound.items():
        if not (path.parent / name).exists():
            (path.parent / name).write_text(content)
    return Donor("1", path.parent)


HASH = "0" * 64
STEM = "data/{0}/sub-MSC01_ses-func01_task-rest_run-01_{1}.1D"
FILES = (
    f"path,sha256,bytes\n{STEM.format('ts', 'schaefer400_ts')},{HASH},10\n{STEM.format('motion', 'relRMS')},{HASH},5\n"
)
READERS = [
    Reader("read_1d", "a.1D", text("# made\n1 2.5 -3e1\n4 5 6\n"), read_1d),
    Reader("read_motion", "a.1D", text("0\n0.25\n"), read_motion),
    Reader("load_scans", "a.npz", written(lambda path: save_scans(simulate_cohort(n_subjects=1, n_sessions=1,
           n_regions=4, n_communities=2, n_frames=20), path), ".npz"), load_scans),
    Reader("load_region_dataset", "a.npz", written(a_set_of_regions, ".npz"), load_region_dataset),
    Reader("load_folds", "a.json", written(lambda path: save_folds(random_folds(4, 2), path), ".json"), load_folds),
    Reader("load_registry", "a.csv", text(FILES), load_registry),
    Reader("load_registry, packed", "a.csv.gz", lambda _: gzip.compress(FILES.encode()), load_registry),
    Reader("read_subject_list", "a.csv", text("subject_id,group\n100307,a\n100408_retest,b\n"), read_subject_list),
    Reader("read_hcp_behaviour", "a.csv", text("Subject,Gender,Age,Score\n100307,F,22-25,1.5\n100408,M,36+,\n"),
           read_hcp_behaviour),
    Reader("read_lemon_participants", "a.csv", text("ID,Gender_ 1=female_2=male,Age\nsub-010002,2,20-25\n"),
           read_lemon_participants),
    Reader("load_lemon_eeg", "sub-010002_EC.set", eeglab, lambda path: load_lemon_eeg(path.parent)),
    Reader("parse_matlab_variables", "a.mat", eeglab, lambda path: parse_matlab_variables(path.read_bytes(), path)),
    Reader("parse_npy", "a.npy", written(lambda path: np.save(path, np.eye(2)), ".npy"),
           lambda path: parse_npy(path.read_bytes(), path)),
    Reader("read_timeseries", "a.tsv", text("one\ttwo\n1.5\tn/a\n2\t3\n"), read_timeseries),
    Reader("read_relmat", "a.tsv", text("Node\tone\ttwo\none\t1\t0.5\ntwo\tn/a\t1\n"), read_relmat),
    Reader("load_confounds", "sub-1_desc-confounds_timeseries.tsv", text("rot_x\tcsf\nn/a\t1\n0.5\t2\n0.1\t5\n"),
           lambda path: load_confounds(path, "dd1(rot_x + csf)^^2")),
    Reader("load_confounds, nilearn", "sub-1_desc-confounds_timeseries.tsv",
           text("\t".join([f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"] + ["cosine00"]) + "\n"
                + "\t".join(["0.5"] * 7) + "\n" + "\t".join(["0.25"] * 7) + "\n"),
           lambda path: load_confounds(path, "motion6")),
    Reader("its JSON file", "sub-1_desc-confounds_timeseries.json", text('{"a_comp_cor_00": {"Mask": "CSF"}}'),
           lambda path: (path.with_suffix(".tsv").write_text("csf\n1\n2\n"),
                         load_confounds(path.with_suffix(".tsv"), "csf"))),
    Reader("read_dlabel", "a.dlabel.nii", dlabel, read_dlabel),
    Reader("parcellate_cifti", "a.dtseries.nii", dtseries,
           lambda path: parcellate_cifti(path, read_dlabel(beside("atlas.dlabel.nii", dlabel, path)))),
    Reader("parcellate_volume", "a.nii", bold, lambda path: parcellate_volume(path, beside("b.nii", volume, path))),
    Reader("parcellate_volume, atlas", "a.nii", volume,
           lambda path: parcellate_volume(beside("b.nii", bold, path), path)),
    Reader("region_space, volume", "a.nii", volume, lambda path: region_space(path, None)),
    Reader("region_space, labels", "a.tsv", text("index\tname\n" + "".join(f"{n}\tr{n}\n" for n in range(1, 8))),
           lambda path: region_space(beside("a.nii", volume, path), None)),
    Reader("region_space, points", "a.csv", text("label,x,y,z\na,1,2,3\na,2,2,3\nb,-1,0,0.5\n"),
           lambda path: region_space(path, None)),
    Reader("read_samples", "SampleAnnot.csv", text("well_id,structure_id,mni_x,mni_y,mni_z\n1,7,-1.5,2,3\n"),
           lambda path: read_samples(donor_file(path))),
    Reader("read_samples, ontology", "Ontology.csv", text("id,hemisphere,structure_id_path\n7,L,/4005/4008/7/\n"),
           lambda path: read_samples(donor_file(path))),
    Reader("read_probes", "Probes.csv", text("probe_id,probe_name,gene_symbol,entrez_id\n1,P_1,A,7\n2,P_2,A,\n"),
           read_probes),
    Reader("read_probe_rows", "PACall.csv", text("1,0.5,2\n2,1,0\n"),
           lambda path: read_probe_rows(path, 2, pd.Index([1, 2]))),
    Reader("read_corrected_coordinates", "a.csv", text("well_id,mni_x,mni_y,mni_z\n1,2,3,4\n"),
           read_corrected_coordinates),
    Reader("read_region_table", "a.csv", text("label,hemi,id,x,y,z\na,L,1,-1.5,2,3\nb,R,2,n/a,5e-1,6\n"),
           read_region_table),
    Reader("read_expression", "a.csv", text("label,SST,VIP\na,0.5,\nb,1,2\n"), read_expression),
    Reader("read_connectome", "a.csv", text("label,a,b\na,1,0.5\nb,0.5,1\n"), read_connectome),
    Reader("read_gene_list", "a.txt", text("# made\nSST\nVIP\n"), read_gene_list),
    Reader("read_gene_positions", "a.csv", text("gene,chr,start,end,strand\nSST,chr3,10,20,+\n"), read_gene_positions),
]  # fmt: skip


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new)


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "one byte": lambda body: body[:1],
    "half": lambda body: body[: len(body) // 2],
    "all but the end": lambda body: body[: len(body) - max(1, len(body) // 8)],
    "zeros": lambda body: b"\0" * len(body),
    "zeros behind": lambda body: body + b"\0" * 64,
    "zeros inside": lambda body: body[: len(body) // 2] + b"\0" * 16 + body[len(body) // 2 :],
    "not UTF-8": lambda body: body[: len(body) // 2] + b"\xff\xfe" + body[len(body) // 2 :],
    "UTF-16": lambda body: b"\xff\xfe" + body.decode("latin-1").encode("utf-16-le"),
    "words for numbers": lambda body: body.translate(bytes.maketrans(b"123", b"xyz")),
    "a number of 5,000 digits": replaced(b"1", b"1" * 5000),
    "a number beyond all": replaced(b"1", b"1e999"),
    "a negative number": replaced(b"1", b"-7"),
    "a long field": replaced(b"1", b"1" + b"a" * 200_000),
    "a long first line": lambda body: b"a," * 100_000 + b"\n" + body,
    "an open quote": replaced(b",", b',"'),
    "no line ends": lambda body: body.replace(b"\n", b" "),
    "twice": lambda body: body + body,
    "JSON": lambda body: b'{"a": [1, {"b": null}]}',
    "deep JSON": lambda body: b"[" * 200_000,
    "a pickle": lambda body: b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
    "large sizes": lambda body: body[:40] + b"\xff\x7f" * 8 + body[56:],
}


def refused_or_read(reader: Reader, folder: Path, body: bytes) -> None:
    path = folder / reader.file
    path.write_bytes(body)
    said = None
    try:
        reader.read(path)
    except DataError as refusal:
        said = str(refusal)
    finally:
        for file in folder.iterdir():
            file.unlink()
    # The message names the file or, of a donor, another of its files.
    assert said is None or str(folder) in said or path.name in said


@pytest.mark.parametrize("reader", READERS, ids=str)
def test_sound_files_are_read(reader, tmp_path):
    body = reader.sound(tmp_path)
    (tmp_path / reader.file).write_bytes(body)
    reader.read(tmp_path / reader.file)


@pytest.mark.parametrize("reader", READERS, ids=str)
def test_spoiled_files_are_refused_by_name_or_read(reader, tmp_path):
    body = reader.sound(tmp_path)
    folder = tmp_path / "spoiled"
    folder.mkdir()
    tracemalloc.start()
    try:
        for how, spoil in SPOILED.items():
            try:
                refused_or_read(reader, folder, spoil(body))
            except Exception as error:
                raise AssertionError(f"{reader.name}, {how}: {type(error).__name__}: {error}") from error
        # The largest file here has 15 MB; nothing may take what a header promises.
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(READERS), st.data())
def test_files_with_bytes_changed_are_refused_by_name_or_read(tmp_path, reader, data):
    sound = tmp_path / f"{READERS.index(reader)}"
    if not sound.exists():
        sound.write_bytes(reader.sound(tmp_path))
    raw = bytearray(sound.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path / "changed"
    folder.mkdir(exist_ok=True)
    refused_or_read(reader, folder, bytes(raw))
