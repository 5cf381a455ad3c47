"""Labelled tables: wide, long, one row an edge, xarray; refusals."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from op_case import OpCase

from conn.functional import to_dataframe, to_xarray

LABELS = ["V1", "M1", "A1"]
CONNECTOME = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
_HOST = "makes a table of pandas or xarray, outside of JAX"

OP_CASES: list[OpCase] = [
    OpCase(
        name,
        lambda values, table=table: np.asarray(table(values, ("target", "source"))),
        lambda rng: (rng.normal(size=(3, 3)),),
        "numpy.asarray of the table",
        np.asarray,
        host_only=_HOST,
    )
    for name, table in (("to_dataframe", to_dataframe), ("to_xarray", to_xarray))
]


def test_a_connectome_is_a_square_with_labels_or_a_row_an_edge():
    square = to_dataframe(jnp.asarray(CONNECTOME), ("target", "source"), regions=LABELS)
    assert square.loc["M1", "A1"] == -0.3
    assert (square.index.name, square.columns.name) == ("target", "source")
    edges = to_dataframe(CONNECTOME, ("target", "source"), regions=LABELS, layout="edges", name="correlation")
    assert edges.to_numpy().tolist() == [["V1", "M1", 0.5], ["V1", "A1", 0.2], ["M1", "A1", -0.3]]
    assert list(edges.columns) == ["target", "source", "correlation"]


def test_stacks_become_rows_with_a_column_for_each_axis():
    stack = np.stack([CONNECTOME, 2 * CONNECTOME])
    edges = to_dataframe(
        stack, ("scan", "target", "source"), regions=LABELS, coordinates={"scan": ["a", "b"]}, layout="edges"
    )
    assert len(edges) == 6
    assert edges.query("scan == 'b' and source == 'M1'")["value"].tolist() == [1.0]
    entries = to_dataframe(stack, ("scan", "target", "source"), regions=LABELS, layout="long")
    assert len(entries) == 18
    assert entries.groupby("scan")["value"].sum().tolist() == pytest.approx([stack[0].sum(), stack[1].sum()])


def test_series_have_regions_in_rows_and_their_times_in_columns():
    table = to_dataframe(
        np.arange(6.0).reshape(2, 3),
        ("region", "frame"),
        regions=["V1", "M1"],
        coordinates={"frame": [0.0, 2.0, 4.0]},
    )
    assert table.loc["M1", 4.0] == 5.0
    array = to_xarray(CONNECTOME, ("target", "source"), regions=LABELS, name="correlation")
    assert float(array.sel(target="A1", source="V1")) == 0.2
    assert (array.dims, array.name) == (("target", "source"), "correlation")


@pytest.mark.parametrize(
    ("values", "dims", "settings", "message"),
    [
        (CONNECTOME, ("target",), {}, "dims must name each of the 2 axes"),
        (CONNECTOME, ("region", "region"), {}, "dims must name each of the 2 axes"),
        (CONNECTOME, ("target", "source"), {"regions": LABELS[:2]}, "has 3 entries, and 2 labels were given"),
        (CONNECTOME, ("target", "source"), {"regions": ["V1", "V1", "A1"]}, "some occur twice"),
        (CONNECTOME, ("scan", "edge"), {"regions": LABELS}, "regions label axes named"),
        (CONNECTOME, ("target", "source"), {"coordinates": {"scan": [1]}}, "coordinates name scan"),
        (CONNECTOME, ("region", "frame"), {"regions": LABELS, "coordinates": {"region": LABELS}}, "both label region"),
        (CONNECTOME[None], ("scan", "target", "source"), {}, 'layout "wide" needs two axes'),
        (CONNECTOME, ("target", "source"), {"layout": "tidy"}, "layout must be one of wide, long, edges"),
        (np.triu(CONNECTOME), ("target", "source"), {"layout": "edges"}, "are not symmetric"),
        (CONNECTOME[:2], ("target", "source"), {"layout": "edges"}, "same regions on the last two axes"),
        (
            CONNECTOME,
            ("target", "source"),
            {"layout": "long", "name": "source"},
            "name must not be the name of an axis",
        ),
    ],
)
def test_what_does_not_fit_is_refused(values, dims, settings, message):
    with pytest.raises(ValueError, match=message):
        to_dataframe(values, dims, **settings)


def test_tables_are_refused_inside_jit():
    with pytest.raises(TypeError, match="not known inside jit"):
        jax.jit(lambda x: to_dataframe(x, ("target", "source")))(CONNECTOME)


def test_an_absent_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas: install conn-functional\[frames\]"):
        to_dataframe(CONNECTOME, ("target", "source"))
