"""Lists of genes, their stability over donors, their order along the genome."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from conn.data import (
    DataError,
    DataUnavailableError,
    differential_stability,
    genome_order,
    list_gene_lists,
    load_gene_list,
    read_gene_list,
    read_gene_positions,
    stable_genes,
)

POSITIONS = pd.DataFrame(
    {
        "gene": ["A", "B", "C", "D", "E"],
        "chromosome": ["chr2", "10", "X", "2", "HSCHR1_CTG3"],
        "start": [50, 1, 1, 10, 1],
        "end": [90, 9, 9, 60, 9],
        "strand": ["+", "-", "+", "-", "+"],
    }
)


@pytest.mark.parametrize("name", list_gene_lists()["name"])
def test_a_list_that_is_not_at_hand_says_where_to_get_it(name, tmp_path):
    known = list_gene_lists().set_index("name").loc[name]
    with pytest.raises(DataUnavailableError) as caught:
        load_gene_list(name)
    assert known["source"] in str(caught.value)
    assert f"gene-lists/{known['file']}" in str(caught.value)
    path = tmp_path / "gene-lists" / known["file"]
    path.parent.mkdir()
    path.write_text("SST\n\n# a remark\nPVALB\nSST\n")
    found = load_gene_list(name, data_dir=tmp_path)
    assert found.genes == ("SST", "PVALB")
    assert (found.name, found.citation) == (name, known["citation"])


def test_what_is_no_list_of_symbols_is_refused(tmp_path):
    with pytest.raises(DataError, match="unknown gene list 'mine'; there are brain, neuron"):
        load_gene_list("mine")
    path = tmp_path / "list.txt"
    for body, message in (
        ("SST\nPVALB VIP\n", "line 2: 'PVALB VIP' is not one symbol"),
        ("SST,PVALB\n", "line 1: 'SST,PVALB' is not one symbol"),
        ("# nothing\n", "holds no symbol"),
    ):
        path.write_text(body)
        with pytest.raises(DataError, match=message):
            read_gene_list(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_gene_list(path)


def donors_with(stable, rng, n_donors=4, n_regions=30):
    """Tables of donors in which the genes named share a pattern, each donor lacking some regions."""
    shared = {gene: rng.standard_normal(n_regions) for gene in stable}
    tables = []
    for _ in range(n_donors):
        table = pd.DataFrame(rng.standard_normal((n_regions, 8)), columns=list("ABCDEFGH"))
        for gene, pattern in shared.items():
            table[gene] = np.exp(pattern + 0.3 * table[gene])
        table.iloc[rng.permutation(n_regions)[:5]] = float("nan")
        tables.append(table)
    return tables


def test_stability_is_the_mean_of_spearman_over_pairs_of_donors():
    donors = donors_with(["B", "G"], np.random.default_rng(0))
    found = differential_stability(donors)
    expected = {gene: [] for gene in found.index}
    for one in range(4):
        for two in range(one + 1, 4):
            both = donors[one].add_suffix("_1").join(donors[two].add_suffix("_2")).dropna()
            for gene in expected:
                expected[gene].append(spearmanr(both[f"{gene}_1"], both[f"{gene}_2"])[0])
    np.testing.assert_allclose(found, [np.mean(values) for values in expected.values()], atol=1e-12)


def test_the_planted_genes_are_the_stable_ones():
    """Chance correlations of 25 regions averaged over 6 pairs lie below 0.4 (standard deviation about 0.1)."""
    for seed in range(3):
        donors = donors_with(["B", "G"], np.random.default_rng(seed))
        assert stable_genes(donors, threshold=0.6) == ("B", "G")
    with pytest.raises(DataError, match=r"no gene reaches a stability of 1; the best are [BG] 0\.\d\d"):
        stable_genes(donors, threshold=1.0)


def test_genes_without_a_value_are_nan_and_donors_that_do_not_fit_are_refused():
    donors = donors_with(["B"], np.random.default_rng(0))
    flat = [table.assign(A=1.0) for table in donors]
    assert np.isnan(differential_stability(flat)["A"])
    assert "A" not in stable_genes(flat, threshold=-1.0)
    with pytest.raises(DataError, match="stability compares donors; there is 1"):
        differential_stability(donors[:1])
    with pytest.raises(DataError, match="donor 2 does not have the same genes"):
        differential_stability([donors[0], donors[1][list("HGFEDCBA")]])
    with pytest.raises(DataError, match="no two donors share three regions"):
        differential_stability([donors[0].iloc[:10], donors[1].iloc[20:]])
    with pytest.raises(DataError, match="threshold is -2"):
        stable_genes(donors, threshold=-2)


def test_genes_are_sorted_by_chromosome_and_start_of_transcription():
    # D is on the reverse strand: it begins at 60, after A.
    assert genome_order(list("EDCBA"), POSITIONS) == ("A", "D", "B", "C", "E")
    assert genome_order(list("EDCBA"), POSITIONS, start="first_base") == ("D", "A", "B", "C", "E")
    assert genome_order(["Z", "C", "A"], POSITIONS) == ("A", "C")
    assert genome_order(["Z", "C", "A"], POSITIONS, unknown="last") == ("A", "C", "Z")
    for genes, options, message in (
        (["Z"], {"unknown": "raise"}, "the table has no position of Z"),
        (["A", "A"], {}, "gene A is given more than once"),
        (["A"], {"start": "middle"}, "start is 'transcription' or 'first_base'"),
    ):
        with pytest.raises(DataError, match=message):
            genome_order(genes, POSITIONS, **options)
    with pytest.raises(DataError, match="positions has no column end, strand, which start='transcription' needs"):
        genome_order(["A"], POSITIONS[["gene", "chromosome", "start"]])


def test_positions_come_from_a_table_of_the_user(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_text("gene_symbol\tChr\tstart\tend\tstrand\nA\tchr2\t50\t90\t+\nA\t3\t1\t2\t-\nD\t2\t10\t60\t-\n")
    found = read_gene_positions(path)
    assert found.to_dict("list") == {
        "gene": ["A", "D"], "chromosome": ["2", "2"], "start": [50, 10], "end": [90, 60], "strand": ["+", "-"],
    }  # fmt: skip
    for body, message in (
        ("gene\tstart\nA\t1\n", "line 1: no column chromosome"),
        ("gene\tchr\tstart\nA\t1\t1.5\n", "line 2, column start: '1.5' is not a position"),
        ("gene\tchr\tstart\tstrand\nA\t1\t1\tforward\n", "line 2, column strand: 'forward' is neither"),
    ):
        path.write_text(body)
        with pytest.raises(DataError, match=message):
            read_gene_positions(path)
