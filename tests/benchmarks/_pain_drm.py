"""The DRM of the heat-pain task: a population for each network, all people and fits side by side in one network."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from _pain_data import INPUTS, TICK
from torch import Tensor, nn

from drm import DRM, BOLDReadout, DRMConnection, DRMIterator, DRMNet, LeakyRatePopulation

__all__ = ["Fits", "Parameters", "build", "parameters", "predict", "train"]

UNITS = 2
FRAME = 2000.0
"""Milliseconds."""
LEARNED_RESPONSE = ("peak_delay", "peak_undershoot_ratio")
RATES = {"readout": 0.04, "response": 0.2, "populations": 0.008}
"""Learning rates for a loss that is summed over parcels and two runs, chosen on simulated people."""
MOMENTUM = 0.9


@dataclass(frozen=True)
class Parameters:
    """What is learned, fit by fit.

    Parameters
    ----------
    drive : array, shape (fit, network, unit, input)
    coupling : array, shape (fit, network, unit, network, unit)
        From the last two to the first two; zero within a network.
    time_constant : array, shape (fit, network, unit), seconds
    readout : array, shape (fit, parcel, unit)
        Of the units of the parcel's own network.
    response : array, shape (fit, parcel, parameter)
        ``LEARNED_RESPONSE`` of each parcel.
    """

    drive: np.ndarray
    coupling: np.ndarray
    time_constant: np.ndarray
    readout: np.ndarray
    response: np.ndarray

    def take(self, fits: Sequence[int]) -> "Parameters":
        """Return the parameters of some fits, any of them more than once."""
        return Parameters(*(getattr(self, name)[list(fits)] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Fits:
    """What the fits of one call learn from.

    Parameters
    ----------
    stimulus : array, shape (people, run, tick, input)
    person : array of int, shape (fit,)
        Whose stimuli each fit is driven by.
    target : array, shape (fit, run, coefficient, parcel)
    trained_on : array of bool, shape (fit, run, parcel)
        What enters the loss; nothing else of `target` is looked at.
    basis : array, shape (run, coefficient, frame)
    network : array of int, shape (parcel,)
        The number of each parcel's network.
    """

    stimulus: np.ndarray
    person: np.ndarray
    target: np.ndarray
    trained_on: np.ndarray
    basis: np.ndarray
    network: np.ndarray

    @property
    def n_fits(self) -> int:
        """The number of fits."""
        return len(self.person)

    @property
    def n_networks(self) -> int:
        """The number of networks, each with a population."""
        return int(self.network.max()) + 1


def initial(fits: Fits, n_fits: int | None = None) -> Parameters:
    """Return the parameters that training starts from: heat and rating drive a unit each, and nothing is seen."""
    n_fits, n_networks, n_parcels = n_fits or fits.n_fits, fits.n_networks, len(fits.network)
    drive = np.zeros((n_fits, n_networks, UNITS, len(INPUTS)))
    drive[:, :, 0, INPUTS.index("heat")] = 1.0
    drive[:, :, 1, INPUTS.index("rating")] = 1.0
    response = np.broadcast_to([6.0, 6.0], (n_fits, n_parcels, len(LEARNED_RESPONSE))).copy()
    return Parameters(
        drive=drive,
        coupling=np.zeros((n_fits, n_networks, UNITS, n_networks, UNITS)),
        time_constant=np.full((n_fits, n_networks, UNITS), 2.0),
        readout=np.zeros((n_fits, n_parcels, UNITS)),
        response=response,
    )


def build(fits: Fits, start: Parameters, *, coupled: bool = True) -> DRMNet:
    """Return one network of all fits, which have nothing to do with one another.

    A population's weights to the stimuli of other people, and a parcel's weights to other populations than its own,
    are zero and stay zero.
    """
    n_fits, n_networks = fits.n_fits, fits.n_networks
    n_people, n_inputs = len(fits.stimulus), len(INPUTS)
    populations = []
    for fit in range(n_fits):
        first = int(fits.person[fit]) * n_inputs
        for one in range(n_networks):
            others = [other for other in range(n_networks) if other != one] if coupled else []
            population = LeakyRatePopulation(
                n_people * n_inputs + len(others) * UNITS,
                UNITS,
                resolution=TICK,
                time_constant=(1000 * start.time_constant[fit, one]).tolist(),
            )
            weight = torch.zeros_like(population.weight)
            used = torch.zeros_like(weight)
            used[:, first : first + n_inputs] = 1.0
            used[:, n_people * n_inputs :] = 1.0
            weight[:, first : first + n_inputs] = torch.as_tensor(start.drive[fit, one])
            for place, other in enumerate(others):
                columns = slice(n_people * n_inputs + UNITS * place, n_people * n_inputs + UNITS * (place + 1))
                weight[:, columns] = torch.as_tensor(start.coupling[fit, one, :, other])
            _set(population.weight, weight, used)
            # A constant input is not seen within the band.
            population.bias.requires_grad_(False)
            populations.append(population)
    wired: list[list[DRMConnection | None]] = [[None] * len(populations) for _ in populations]
    if coupled:
        for fit in range(n_fits):
            for one in range(n_networks):
                for other in range(n_networks):
                    if one != other:
                        wired[fit * n_networks + one][fit * n_networks + other] = DRMConnection(UNITS, UNITS)
    lines = [DRMConnection(n_people * n_inputs, n_people * n_inputs, delay=0) for _ in populations]
    with warnings.catch_warnings():
        # A tick is a frame, the shortest delay there is; the band shows nothing faster.
        warnings.filterwarnings("ignore", message=".* between cortical areas it takes milliseconds")
        return DRMNet(populations, ws=lines, Wp=wired, readout=_readout(fits, start))


def _readout(fits: Fits, start: Parameters) -> BOLDReadout:
    n_fits, n_parcels = fits.n_fits, len(fits.network)
    readout = BOLDReadout(n_fits * fits.n_networks * UNITS, n_fits * n_parcels, resolution=TICK, learn=LEARNED_RESPONSE)
    weight = torch.zeros(n_fits * n_parcels, n_fits * fits.n_networks * UNITS)
    used = torch.zeros_like(weight)
    rows = torch.arange(n_fits * n_parcels)
    first = UNITS * (rows // n_parcels * fits.n_networks + torch.as_tensor(np.tile(fits.network, n_fits)))
    for unit in range(UNITS):
        used[rows, first + unit] = 1.0
        weight[rows, first + unit] = torch.as_tensor(start.readout[..., unit].ravel(), dtype=weight.dtype)
    _set(readout.weight, weight, used)
    if readout.bias is not None:
        readout.bias.requires_grad_(False)
    with torch.no_grad():
        raw = dict(readout.raw_hrf.items())
        for name, values in zip(LEARNED_RESPONSE, np.moveaxis(start.response, -1, 0), strict=True):
            # The inverse of softplus, by which the readout keeps them positive.
            raw[name].copy_(torch.as_tensor(np.log(np.expm1(values.ravel()))))
    return readout


def _set(parameter: Tensor, value: Tensor, used: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value)
    parameter.register_hook(lambda gradient: gradient * used)


def parameters(net: DRMNet, fits: Fits) -> Parameters:
    """Return what the network has learned, fit by fit."""
    n_fits, n_networks, n_parcels = fits.n_fits, fits.n_networks, len(fits.network)
    found = initial(fits)
    n_columns = len(fits.stimulus) * len(INPUTS)
    for index, population in enumerate(_populations(net)):
        fit, one = divmod(index, n_networks)
        weight = population.weight.detach().numpy()
        first = int(fits.person[fit]) * len(INPUTS)
        found.drive[fit, one] = weight[:, first : first + len(INPUTS)]
        found.time_constant[fit, one] = population.time_constant.detach().numpy() / 1000
        if weight.shape[1] > n_columns:
            others = [other for other in range(n_networks) if other != one]
            found.coupling[fit, one][:, others] = weight[:, n_columns:].reshape(UNITS, -1, UNITS)
    readout = _bold(net)
    weight = readout.weight.detach().numpy().reshape(n_fits, n_parcels, n_fits, n_networks, UNITS)
    for fit in range(n_fits):
        found.readout[fit] = weight[fit, np.arange(n_parcels), fit, fits.network]
    for place, name in enumerate(LEARNED_RESPONSE):
        found.response[..., place] = readout.hrf[name].detach().numpy().reshape(n_fits, n_parcels)
    return found


def _populations(net: DRMNet) -> list[LeakyRatePopulation]:
    return [one for one in net.populations if isinstance(one, LeakyRatePopulation)]


def _bold(net: DRMNet) -> BOLDReadout:
    if not isinstance(net.readout, BOLDReadout):
        raise TypeError(f"the readout must be a BOLDReadout, got {type(net.readout).__name__}")
    return net.readout


class BandLoss(nn.Module):
    """Squared error within the band, a mean over each run's frames, summed over runs and parcels.

    A sum over runs: as many steps then shrink what is found as much, whether it was found in one run or in two.
    `latest` holds the coefficients of the last prediction, (run, coefficient, voxel).
    """

    def __init__(self, fits: Fits) -> None:
        super().__init__()
        measured = np.moveaxis(fits.trained_on, 0, 1).reshape(fits.trained_on.shape[1], 1, -1)
        target = np.moveaxis(fits.target, 0, 2).reshape(*fits.target.shape[1:3], -1)
        frames = (np.abs(fits.basis).sum(1) > 0).sum(1)
        weight = measured / frames[:, None, None]
        self.basis: Tensor = torch.tensor(fits.basis, dtype=torch.float32)
        self.target: Tensor = torch.as_tensor(np.where(measured, target, 0.0), dtype=torch.float32)
        self.weight: Tensor = torch.as_tensor(weight, dtype=torch.float32)
        self.every: int = round(FRAME / TICK)
        self.latest: Tensor = torch.empty(0)

    def coefficients(self, prediction: Tensor) -> Tensor:
        """Return the coefficients (run, coefficient, voxel) of a prediction (tick, run, voxel)."""
        return self.basis @ prediction[:: self.every].transpose(0, 1)

    def forward(self, prediction: Tensor, _response: Tensor) -> Tensor:
        """Return the loss; the response only says at which ticks there was a frame."""
        found = self.coefficients(prediction)
        self.latest = found.detach()
        return ((found - self.target).square() * self.weight).sum()


def train(
    fits: Fits,
    start: Parameters,
    *,
    n_epochs: int,
    every: int,
    coupled: bool = True,
    rate: float = 1.0,
    on_epoch: Callable[[], object] | None = None,
) -> tuple[np.ndarray, list[Parameters]]:
    """Return predictions of all runs as training goes on, and the parameters behind them.

    Parameters
    ----------
    fits : Fits
    start : Parameters
    n_epochs, every : int
    coupled : bool, default True
        Whether the networks' populations send to one another.
    rate : float, default 1.0
        Multiplies all learning rates.
    on_epoch : callable, optional
        Called after each epoch.

    Returns
    -------
    array, shape (checkpoint, fit, run, coefficient, parcel), float32
        After 0, `every`, 2 `every`, ... epochs.
    list of Parameters, one a checkpoint
    """
    net = build(fits, start, coupled=coupled)
    loss = BandLoss(fits)
    readout = _bold(net)
    populations = [p for one in net.populations for p in one.parameters() if p.requires_grad]
    groups = [
        {"params": [readout.weight], "lr": rate * RATES["readout"]},
        {"params": list(readout.raw_hrf.parameters()), "lr": rate * RATES["response"]},
        {"params": populations, "lr": rate * RATES["populations"]},
    ]
    model = DRM(net, loss=loss, optimizer=torch.optim.SGD(groups, lr=rate * RATES["readout"], momentum=MOMENTUM))
    kept, learned = [], [start]

    def keep(epoch: int, *_: float | None) -> None:
        # The prediction is that of before the step, the parameters are those after it.
        if epoch % every == 0:
            kept.append(_by_fit(loss.latest, fits))
        if (epoch + 1) % every == 0:
            learned.append(parameters(net, fits))
        if on_epoch is not None:
            on_epoch()

    # A window is all there is, so that nothing comes before it.
    model.estimate(_iterator(fits), n_epochs=n_epochs + 1, burn_in=0, on_epoch=keep)
    return np.stack(kept), learned[: len(kept)]


def predict(fits: Fits, given: Parameters, *, coupled: bool = True) -> np.ndarray:
    """Return predictions of all runs, shape (fit, run, coefficient, parcel)."""
    responses, _ = DRM(build(fits, given, coupled=coupled)).forward(_iterator(fits))
    return _by_fit(BandLoss(fits).coefficients(responses), fits)


def _by_fit(coefficients: Tensor, fits: Fits) -> np.ndarray:
    found = coefficients.numpy().reshape(*coefficients.shape[:2], fits.n_fits, -1)
    return np.moveaxis(found, 2, 0).copy()


def _iterator(fits: Fits) -> DRMIterator:
    """Return the stimuli of all people side by side as features, with the runs as batch items."""
    stimulus = np.moveaxis(fits.stimulus, (0, 1, 2), (2, 1, 0))
    n_ticks, n_runs = stimulus.shape[:2]
    # One measurement stands for all: which of them count, and how, the loss knows.
    n_voxels = fits.n_fits * len(fits.network)
    response = np.zeros((fits.basis.shape[2], n_runs, n_voxels), dtype=np.float32)
    return DRMIterator(
        TICK,
        stimulus.reshape(n_ticks, n_runs, -1),
        TICK * np.arange(n_ticks),
        response,
        FRAME * np.arange(len(response)),
    )
