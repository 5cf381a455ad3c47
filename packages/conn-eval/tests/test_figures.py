import subprocess
import sys

import numpy as np
import pytest

from conn.eval import (
    MissingExtraError,
    Report,
    fingerprint_features,
    identification_null,
    plot_communities,
    plot_connectome,
    plot_dynamics,
    plot_null,
    plot_similarity,
    plot_training,
)

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

GENERATOR = np.random.default_rng(0)
MATRIX = np.corrcoef(GENERATOR.standard_normal((9, 40)))
GROUPS = ["Vis", "Default", "Vis", "Cont", "Default", "Vis", "Cont", "Cont", "Vis"]
FINGERPRINT = fingerprint_features(
    np.repeat(GENERATOR.standard_normal((4, 9)), 2, axis=0) + GENERATOR.standard_normal((8, 9)),
    list("ddaabbcc"),
    [1, 2] * 4,
)


def draw(figure):
    """Render as a report does: problems of layout and fonts come up only then."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure


FIGURES = {
    "connectome": lambda: plot_connectome(MATRIX, groups=GROUPS, title="a $ and a $"),
    "connectome without groups": lambda: plot_connectome(MATRIX),
    "similarity": lambda: plot_similarity(FINGERPRINT, title="similarity"),
    "null": lambda: plot_null(identification_null(FINGERPRINT, n_permutations=50), title="null"),
    "null of I_diff": lambda: plot_null(identification_null(FINGERPRINT, statistic="differential_identifiability")),
    "communities": lambda: plot_communities(np.abs(MATRIX[:, :3]), groups=GROUPS),
    "dynamics": lambda: plot_dynamics(np.abs(MATRIX[:3]), 2.2),
    "training": lambda: plot_training({"total $": [3, 2, 1], "b": [1.0, np.nan, -1e9]}, title="t"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_and_colour_bar_has_a_name(name):
    figure = draw(FIGURES[name]())
    assert figure.axes
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            assert axes.get_ylabel()
        else:
            assert axes.get_xlabel()
    assert any(axes.get_ylabel() for axes in figure.axes)


def test_regions_are_ordered_by_group_and_the_diagonal_is_left_out():
    figure = plot_connectome(MATRIX, groups=GROUPS)
    shown = figure.axes[0].images[0].get_array()
    order = [0, 2, 5, 8, 1, 4, 3, 6, 7]
    expected = MATRIX[np.ix_(order, order)]
    off = ~np.eye(9, dtype=bool)
    np.testing.assert_allclose(shown[off], expected[off])
    assert np.ma.getmaskarray(shown)[~off].all()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["Vis", "Default", "Cont"]
    assert figure.axes[0].get_xlabel() == "region, by group"


def test_a_directed_connectome_names_target_and_source():
    figure = plot_connectome(np.triu(MATRIX), limit=0.5)
    assert figure.axes[0].get_xlabel() == "source region"
    assert figure.axes[0].get_ylabel() == "target region"
    assert figure.axes[0].images[0].get_clim() == (-0.5, 0.5)


def test_many_small_groups_do_not_overlap():
    groups = np.repeat([f"network {i}" for i in range(30)], [1] * 15 + [20] * 15)
    figure = draw(plot_connectome(np.corrcoef(GENERATOR.standard_normal((315, 20))), groups=groups))
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    centres = np.array([(box.y0 + box.y1) / 2 for box in boxes])
    heights = np.array([box.height for box in boxes])
    assert (np.abs(np.diff(centres)) > 0.7 * heights[1:]).all()


def test_similarity_is_ordered_by_subject():
    figure = plot_similarity(FINGERPRINT)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list("abcd")
    shown = figure.axes[0].images[0].get_array()
    assert shown[0, 1] == FINGERPRINT.similarity[2, 3]


def test_many_subjects_are_not_all_named():
    people = [f"sub-{i}" for i in range(90)]
    result = fingerprint_features(
        GENERATOR.standard_normal((180, 5)), np.repeat(people, 2), [1, 2] * 90, n_bootstraps=1
    )
    assert len(plot_similarity(result).axes[0].get_xticklabels()) == 30


def test_time_is_in_seconds():
    image = plot_dynamics(np.zeros((3, 100)), 2.2).axes[0].images[0]
    assert image.get_extent() == pytest.approx((0, 220, 2.5, -0.5))


def test_figures_leave_the_global_state_alone():
    script = (
        "import sys, conn.eval\n"
        "assert 'matplotlib' not in sys.modules and 'sklearn' not in sys.modules\n"
        "figure = conn.eval.plot_training({'total': [2, 1]})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_connectome(MATRIX[:2]), ValueError, r"shape \(region, region\), got \(2, 9\)"),
        (lambda: plot_connectome(MATRIX[0]), ValueError, r"shape \(region, region\), got \(9,\)"),
        (lambda: plot_connectome(np.eye(2) * np.nan), ValueError, "no finite value"),
        (lambda: plot_connectome([[1.0]]), ValueError, "no finite value off its diagonal"),
        (lambda: plot_connectome(MATRIX, groups=["a"]), ValueError, "1 labels for 9 regions"),
        (lambda: plot_connectome(MATRIX, groups="abcdefghi"), TypeError, "got one string"),
        (lambda: plot_connectome(MATRIX, limit=0), ValueError, "limit must be positive"),
        (lambda: plot_connectome(MATRIX.astype(str)), TypeError, "real numbers"),
        (lambda: plot_communities([[1, -0.5]]), ValueError, "region 0 with community 1 is -0.5"),
        (lambda: plot_dynamics([[1, 0]], 0), ValueError, "repetition_time must be"),
        (lambda: plot_dynamics([[1, 0]], float("nan")), ValueError, "repetition_time must be"),
        (lambda: plot_training({}), ValueError, "history is empty"),
        (lambda: plot_training({"total": []}), ValueError, r"history\['total'\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_absent_libraries_name_the_extra(monkeypatch, tmp_path):
    message = r'pip install "conn-eval\[report\]"'
    figure = plot_training({"total": [1]})
    for module in ("jinja2", "matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    report = Report("title")
    with pytest.raises(MissingExtraError, match=message):
        plot_training({"total": [1]})
    with pytest.raises(MissingExtraError, match=message):
        report.add_figure("heading", figure, "", alt="a curve")
    with pytest.raises(MissingExtraError, match=message):
        report.write(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_library_is_not_called_absent(monkeypatch, tmp_path):
    from conn.eval.errors import import_extra

    (tmp_path / "brokenlibrary.py").write_text("import nowhere_to_be_found")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found") as caught:
        import_extra("brokenlibrary", extra="report")
    assert not isinstance(caught.value, MissingExtraError)
