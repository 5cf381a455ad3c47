"""Descriptions, summaries, currents, watchers and pictures of networks."""

import copy
import json
import pickle
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot

from drm import (
    DRM,
    BalloonReadout,
    BasisReadout,
    BOLDReadout,
    DRMConnection,
    DRMNet,
    DRMPopulation,
    DRMReadout,
    JansenRitPopulation,
    JointReadout,
    LeakyRatePopulation,
    LearnedDelayConnection,
    LowRankConnection,
    LSTMPopulation,
    TractConnection,
    Velocity,
    build,
    currents,
    describe,
    edges,
    load_description,
    save_description,
    summary,
    to_dot,
)
from drm.plots import plot_activity, plot_graph, plot_losses, plot_responses
from drm.training import Losses

mpl.use("Agg")


def rich_net(vectorised=None):
    """Something of nearly every kind."""
    velocity = Velocity(6.0)
    rate = LeakyRatePopulation(
        6,
        2,
        resolution=2,
        time_constant=[10.0, 20.0],
        activation="relu",
        noise=0.1,
        sign=[0, 0, 1, 1, -1, 0],
        name="V1",
        position=(0, -90, 0),
        unit="Hz",
    )
    column = JansenRitPopulation(
        3, 1, resolution=2, constants={"gain_e": 4.0}, learn=["rate_e"], name="MT", position=(45, -70, 0), unit="mV"
    )
    cell = LSTMPopulation(3, 1, name="FEF", position=(30, 0, 50))
    ws = {"picture": [DRMConnection(2, 2, delay=0), None, None], "sound": [None, None, DRMConnection(1, 1)]}
    wp = [
        [
            DRMConnection(2, 2, delay=3),
            LearnedDelayConnection(resolution=2, initial=10, minimum=4, maximum=40, width=2.0),
            TractConnection(resolution=2, length=60.0, velocity=velocity),
        ],
        [DRMConnection(2, 2), None, TractConnection(resolution=2, length=80.0, velocity=velocity)],
        [LowRankConnection(2, 1, delay=2), DRMConnection(), None],
    ]
    readout = JointReadout(
        {
            "bold": BOLDReadout(4, 2, resolution=2, hrf={"duration": 1.0, "peak_delay": 0.3}, learn=["peak_delay"]),
            "probe": DRMReadout(4, 1, units=[3], n_confounds=1, confound_lags=(0, 2)),
            "flow": BalloonReadout(4, 1, resolution=2, constants={"kappa": 0.6}, learn=["tau"], method="euler"),
            "fixed": BasisReadout(
                4, 1, resolution=2, convention="nilearn", weight=torch.ones(1, 4), mask=[[1, 1, 0, 1]]
            ),
        },
        weights={"probe": 0.5},
    )
    return DRMNet([rate, column, cell], ws, wp, readout, vectorised=vectorised)


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_net_is_built_again_from_its_description(suffix, tmp_path):
    net = rich_net()
    described = describe(net)
    path = tmp_path / f"net{suffix}"
    save_description(described, path)
    assert load_description(path) == json.loads(json.dumps(described))
    twin = build(load_description(path))
    assert describe(twin) == described
    assert twin.signature() == net.signature()
    twin.load_state_dict(net.state_dict())
    x, c = torch.randn(8, 2, 3), torch.randn(8, 2, 1)
    for ours, theirs in zip(net.run(x, c), twin.run(x, c), strict=True):
        assert torch.equal(ours, theirs)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


SMALL = {
    "stimuli": {"flash": 1},
    "populations": [{"name": "V1", "kind": "DRMPopulation"}, {"name": "V2", "kind": "DRMPopulation"}],
    "connections": [{"stimulus": "flash", "target": "V1"}, {"source": "V1", "target": "V2", "delay": 3}],
    "readout": {"kind": "DRMReadout"},
}


def test_the_settings_of_training_are_described():
    net = rich_net()
    model = DRM(net, learning_rate=0.02, clip=1.0, edge_lasso=0.1)
    described = describe(model)
    assert described == {**describe(net), "training": {"learning_rate": 0.02, "edge_lasso": 0.1, "clip": 1.0}}
    again = DRM(build(described), **described["training"])
    assert describe(again) == described
    assert describe(DRM(net))["training"] == {}
    with pytest.raises(ValueError, match="no optimiser but Adam, got SGD"):
        describe(DRM(net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1)))
    with pytest.raises(ValueError, match="no loss but DRMLoss, got L1Loss"):
        describe(DRM(net, loss=torch.nn.L1Loss()))


def test_shapes_are_known_without_values():
    # On the device that has no memory, for which torch has no sparse products: one by one.
    net = rich_net(vectorised=False).to("meta")
    responses, activity = net.run(torch.empty(8, 2, 3, device="meta"), torch.empty(8, 2, 1, device="meta"))
    assert (responses.shape, activity.shape) == ((8, 2, net.n_out), (8, 2, sum(net.sizes)))
    assert responses.is_meta


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["colour"], "red", r"A description has no \['colour'\]"),
        (["readout"], {}, "The readout needs 'kind'"),
        (["readout", "kind"], "Camera", "The readout is of unknown kind 'Camera'"),
        (["readout", "lens"], 1, "The readout cannot be made: .*lens"),
        (["populations", 1, "name"], "V1", "need names of their own"),
        (["populations", 1, "kind"], "Cloud", "'V2' is of unknown kind 'Cloud'"),
        (["populations", 1, "size"], 3, "The population 'V2' cannot be made: .*size"),
        (["populations", 1, "n_out"], -1, "n_out must be at least 1"),
        (["connections", 1, "source"], "V9", "no source 'V9'"),
        (["connections", 1, "stimulus"], "flash", "from a stimulus or a source"),
        (["connections", 0, "stimulus"], "sound", "no stimulus 'sound'"),
        (["connections", 1, "kind"], "Tunnel", "unknown kind 'Tunnel'"),
        (["connections", 1, "kind"], "TractConnection", "needs one of the velocities"),
        (["connections", 1], {"stimulus": "flash", "target": "V1"}, "two connections"),
        (["connections"], SMALL["connections"][:1], "V2 receives nothing"),
        (["stimuli"], ["flash"], "stimuli are names with their numbers of features"),
    ],
)
def test_wrong_descriptions_are_refused_by_name(path, value, message):
    wrong = copy.deepcopy(SMALL)
    *way, last = path
    place = wrong
    for key in way:
        place = place[key]
    place[last] = value
    with pytest.raises(ValueError, match=message):
        build(wrong)


def test_wrong_files_and_foreign_parts_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.json or \.toml file, not net\.yaml"):
        save_description(SMALL, tmp_path / "net.yaml")
    with pytest.raises(ValueError, match=r"not net\.yaml"):
        load_description(tmp_path / "net.yaml")
    for suffix in (".json", ".toml"):
        (tmp_path / f"net{suffix}").write_text("}{")
        with pytest.raises(ValueError, match=f"is not {suffix[1:].upper()}"):
            load_description(tmp_path / f"net{suffix}")
    (tmp_path / "net.json").write_text("[1]")
    with pytest.raises(ValueError, match="no description, but a list"):
        load_description(tmp_path / "net.json")

    class Mine(DRMPopulation):
        pass

    with pytest.raises(ValueError, match="population 0 is a Mine"):
        describe(DRMNet([Mine()], [DRMConnection()], [[None]], DRMReadout()))


def test_the_graph_has_weights_and_delays():
    net = rich_net()
    found = {(edge.source, edge.target): edge for edge in edges(net)}
    assert len(found) == 9
    assert found["V1", "V1"].milliseconds == 6.0
    assert found["MT", "V1"].milliseconds == pytest.approx(10.0, abs=1.5)
    assert found["FEF", "V1"].delay == pytest.approx(5.0, abs=0.01)
    assert found["V1", "V1"].mean > 0 > found["MT", "V1"].mean
    dot = to_dot(net)
    assert 'n2 -> n2 [label="6 ms"' in dot
    assert dot.count("->") == 9


def test_the_summary_names_what_there_is():
    text = summary(rich_net())
    for part in (
        "V1: LeakyRatePopulation, 2 units in Hz at (0, -90, 0) mm, sends both",
        "connections (9)",
        "V1 -> V1: 6 ms",
        "readout BalloonReadout",
        "update mode sync",
    ):
        assert part in text, text
    assert rich_net().summary().startswith("populations")


@pytest.mark.parametrize("vectorised", [True, False])
def test_currents_add_up_to_the_drive(vectorised):
    pair = [DRMPopulation(5, 2, name="a", negative_slope=1.0), DRMPopulation(3, 1, name="b", negative_slope=1.0)]
    line = LearnedDelayConnection(resolution=1, initial=2.4, minimum=1, maximum=5, width=2.0)
    wp = [[DRMConnection(2, 2, delay=2), line], [LowRankConnection(2, 1, delay=1), DRMConnection()]]
    ws = {"x": [DRMConnection(2, 2, delay=1), None], "y": [None, DRMConnection(1, 1, delay=0)]}
    net = DRMNet(pair, ws, wp, DRMReadout(3, 1), vectorised=vectorised).double()
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        net.populations[0].bias.fill_(0.3)
        _, activity = net.run(x)
    flows = currents(net, x, activity)
    assert set(flows) == {("a", "x"), ("a", "a"), ("a", "b"), ("b", "y"), ("b", "a"), ("b", "b")}
    for target, units in (("a", slice(0, 2)), ("b", slice(2, 3))):
        total = sum(flow for (to, _), flow in flows.items() if to == target)
        bias = net.populations[0 if target == "a" else 1].bias
        torch.testing.assert_close(total + bias, activity[..., units])
    with pytest.raises(ValueError, match=r"must have shapes \(time, batch, 3\)"):
        currents(net, x[..., :2], activity)


@pytest.mark.parametrize("vectorised", [True, False])
def test_states_can_be_watched(vectorised):
    torch.manual_seed(0)
    net = rich_net(vectorised)
    seen = []
    end = net.watch(lambda activity, states: seen.append((activity, states)))
    x, c = torch.randn(5, 2, 3), torch.randn(5, 2, 1)
    _, activity = net.run(x, c)
    ((parts, states),) = seen
    assert torch.equal(torch.cat(list(parts.values()), dim=-1), activity)
    assert {name: tuple(state.shape) for name, state in states.items()} == {
        "V1": (1, 2, 2),
        "MT": (6, 1, 2),
        "FEF": (1, 1, 2),
    }
    # The output of a column is the difference of two of its potentials.
    torch.testing.assert_close(states["MT"][1, 0] - states["MT"][2, 0], activity[-1, :, 2].detach())
    pickle.loads(pickle.dumps(net)).run(x, c)  # noqa: S301
    end()
    net.run(x, c)
    assert len(seen) == 1


def test_pictures_show_the_data():
    net = rich_net()
    ax = plot_graph(net)
    texts = {text.get_text() for text in ax.texts}
    assert {"V1", "MT", "FEF", "picture", "sound", "6 ms"} <= texts
    assert ax.get_xlabel() == "y (mm)" or ax.get_xlabel() == "x (mm)"
    ax = plot_graph(build(SMALL), label_edges=False)
    assert {text.get_text() for text in ax.texts} == {"V1", "V2", "flash", ""}
    activity = torch.randn(30, 2, 4)
    ax = plot_activity(activity, net, resolution=500, item=1)
    np.testing.assert_allclose(ax.images[0].get_array(), activity[:, 1].T)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["V1", "MT", "FEF"]
    assert ax.get_xlabel() == "time (s)"
    bold = BOLDReadout(2, 2, resolution=500)
    ax = plot_responses(bold, names=["left", "right"])
    time, height = ax.lines[0].get_data()
    assert time[np.argmax(height)] == 5.0
    assert np.trapezoid(height, time) == pytest.approx(1.0, abs=0.01)
    losses = Losses(np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0]))
    ax = plot_losses(losses)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), losses.train)
    assert ax.lines[2].get_xdata()[0] == 2
    with pytest.raises(ValueError, match=r"Activity must have shape \(time, batch, 4\)"):
        plot_activity(activity[..., :3], net)
    with pytest.raises(ValueError, match="1 names for 2 voxels"):
        plot_responses(bold, names=["left"])
    pyplot.close("all")


def test_pictures_name_the_extra_that_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"drm\[plots\]"):
        plot_losses(Losses(np.ones(1), None))
