"""`conn-data assemble` and the function behind it: users' tables, and one line for whatever is wrong with them."""

import hashlib

import numpy as np
import pytest
from typer.testing import CliRunner

from conn.data import assemble_region_files, load_region_dataset
from conn.data.cli import app

REGIONS = "label,hemisphere,network,x,y,z\na,L,Vis,-1,2,3\nb,L,Vis,-4,5,6\nc,R,Cont,7,8,9\n"
EXPRESSION = "label,SST,PVALB\nc,0.5,0.6\na,0.1,0.2\nb,0.3,0.4\n"
CONNECTOME = ",b,a,c\nb,1,0.2,0.3\na,0.2,1,0.4\nc,0.3,0.4,1\n"


@pytest.fixture
def folder(tmp_path):
    for name, body in (("regions", REGIONS), ("expression", EXPRESSION), ("connectome", CONNECTOME)):
        (tmp_path / f"{name}.csv").write_text(body)
    np.savetxt(tmp_path / "plain.csv", [[0, 5, 6], [5, 0, 7], [6, 7, 0]], delimiter=",")
    (tmp_path / "genes.txt").write_text("# two of three\nPVALB\nVIP\nSST\n")
    return tmp_path


def run(folder, *options):
    files = [
        folder / "regions.csv",
        folder / "connectome.csv",
        folder / "out.npz",
        "--expression",
        folder / "expression.csv",
    ]
    return CliRunner().invoke(app, ["assemble", *(str(word) for word in (*files, *options))])


def test_tables_become_one_file_that_says_where_it_comes_from(folder):
    result = run(
        folder, "--further", f"structural={folder / 'plain.csv'}", "--connectome-labels", folder / "regions.csv",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "has 4 lines" not in result.stderr
    assert "is not a number" in result.stderr
    (folder / "structural.csv").write_text(",a,b,c\na,0,5,6\nb,5,0,7\nc,6,7,0\n")
    result = run(
        folder, "--further", f"structural={folder / 'structural.csv'}", "--name", "mine", "--licence", "CC0",
        "--genes", folder / "genes.txt",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "3 regions, 2 genes" in result.stdout
    assert f"written    {folder / 'out.npz'}" in result.stdout
    data = load_region_dataset(folder / "out.npz")
    assert data.labels == ("a", "b", "c")
    assert data.genes == ("PVALB", "SST")
    assert data.expression.tolist() == [[0.2, 0.1], [0.4, 0.3], [0.6, 0.5]]
    assert data.connectome[0].tolist() == [1, 0.2, 0.4]
    assert data.connectomes["structural"][0].tolist() == [0, 5, 6]
    assert (data.provenance.dataset, data.provenance.licence) == ("mine", "CC0")
    digest = hashlib.sha256(REGIONS.encode()).hexdigest()
    assert data.provenance.checksums[str(folder / "regions.csv")] == digest
    assert data.provenance.notes == ("1 of 3 genes of the list have no expression: VIP",)


def test_a_matrix_without_labels_takes_them_from_the_table_that_is_named(folder):
    data = assemble_region_files(
        folder / "regions.csv", folder / "plain.csv", connectome_labels=folder / "expression.csv"
    )
    # The matrix is in the order c, a, b of the other table.
    assert data.connectome.tolist() == [[0, 7, 5], [7, 0, 6], [5, 6, 0]]
    assert data.genes == ()


@pytest.mark.parametrize(
    ("file", "old", "new", "options", "message"),
    [
        ("regions.csv", "label", "lable", (), "regions.csv, line 1: no column label"),
        ("regions.csv", "c,R", "d,R", (), "expression lacks d; connectome lacks d"),
        ("regions.csv", "b,L", "a,L", (), "regions.csv: region a is named more than once"),
        ("expression.csv", "0.3", "high", (), "expression.csv, line 4, column SST: 'high' is not a number"),
        ("expression.csv", "0.3,0.4", "NA,NA", (), "expression is missing in 1 regions: b; choose drop"),
        ("expression.csv", "0.1,0.2", "NA,NA", ("--missing-expression", "mirror"), "expression is still missing in a"),
        ("expression.csv", "0.3,0.4", "NA,NA", ("--missing-expression", "zero"), "policy 'zero' is not one of"),
        ("expression.csv", "0.3", "inf", (), "expression is infinite in region b"),
        ("expression.csv", "PVALB", "SST", (), "gene SST is named more than once"),
        ("connectome.csv", "b,1,0.2,0.3\n", "", (), "connectome.csv has b along one axis only"),
        ("connectome.csv", "0.4", "n/a", (), "connectome is NaN at a, c and 0 other edges"),
        ("connectome.csv", "0.4,1", "0.4", (), "connectome.csv, line 4: 3 fields, the first line has 4"),
        ("genes.txt", "PVALB\nVIP\nSST", "VIP", ("--genes", "genes.txt"), "has none of the 1 genes of"),
        ("genes.txt", "VIP", "VIP SST", ("--genes", "genes.txt"), "genes.txt, line 3: 'VIP SST' is not one symbol"),
        ("genes.txt", "", "", ("--further", "sc.csv"), "--further 'sc.csv' is not of the form name=file"),
        ("genes.txt", "", "", ("--further", "sc=absent.csv"), "absent.csv: No such file"),
        ("genes.txt", "", "", ("--unmatched", "guess"), "unmatched and missing_edges are 'raise' or 'drop'"),
        ("genes.txt", "", "", ("--bogus",), "No such option"),
    ],
)
def test_bad_input_is_one_line_and_status_two_and_nothing_is_written(
    folder, monkeypatch, file, old, new, options, message
):
    monkeypatch.chdir(folder)
    path = folder / file
    path.write_text(path.read_text().replace(old, new, 1))
    result = run(folder, *options)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("conn-data: error: ")
    assert message in line
    assert not (folder / "out.npz").exists()


def test_regions_are_left_out_when_told_and_named(folder):
    path = folder / "expression.csv"
    path.write_text(path.read_text().replace("b,0.3,0.4\n", "b,,\nq,1,1\n"))
    result = run(folder, "--unmatched", "drop", "--missing-expression", "drop")
    assert result.exit_code == 0, result.output
    assert "note       left out, not in every table: q" in result.stdout
    assert "note       left out, expression is missing: b" in result.stdout
    assert load_region_dataset(folder / "out.npz").labels == ("a", "c")


def test_genes_without_expression_and_a_wrong_suffix_are_refused(folder):
    files = [str(folder / name) for name in ("regions.csv", "connectome.csv")]
    result = CliRunner().invoke(app, ["assemble", *files, str(folder / "x.npz"), "--genes", str(folder / "genes.txt")])
    assert "a list of genes was given, but no expression" in result.stderr
    result = CliRunner().invoke(app, ["assemble", *files, str(folder / "x.csv")])
    assert result.exit_code == 2
    assert "the file's name must end in .npz" in result.stderr
