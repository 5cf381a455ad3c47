"""Directed connectomes from forecasting: which regions' pasts a region's next frame attends to."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from conn.models._attention_network import AttentionNetwork

__all__ = ["AttentionForecaster"]


class AttentionForecaster:
    r"""Forecast of each region's next frame, by attention over the recent pasts of all other regions.

    With :math:`p_j` the last lags of region :math:`j`, in units of its standard deviation, the forecast of region
    :math:`i` is

    .. math:: \hat x_i = a_i^\top p_i + g_i \sum_{j \ne i} \alpha_{ij}\, v_j^\top p_j, \qquad
              \alpha_{ij} = \mathrm{softmax}_j \frac{(e_i + Q p_i)^\top (f_j + K p_j)}{\sqrt d} ,

    so that a region's own past never competes with the others. Frames of different scans, and frames across a masked
    one, are never taken as neighbours. Written in torch: needs the extra ``conn-models[torch]``.

    Parameters
    ----------
    n_lags : int, default 3
        Frames of the past that are seen.
    n_features : int, default 16
        :math:`d`, the length of queries and keys.
    n_epochs : int, default 200
        Steps of the optimiser (Adam), each over a batch of windows.
    batch_size : int, default 1024
        Windows a step.
    learning_rate : float, default 0.02
        Of Adam.
    patience : int, default 40
        Steps without a better forecast of the last tenth of the windows of each scan, after which training ends. The
        best state is kept.
    seed : int, default 0
        Of initial values and batches. Same seed, same result on one device.
    device : str, default "cpu"
        Where torch computes.
    progress : bool, default True
        Show a bar.

    Attributes
    ----------
    connectome_ : array, shape (target, source)
        Mean attention over all windows. Rows sum to 1, the diagonal is 0. Weights tell where a forecast looked: they
        have no sign, and rows are not comparable in size.
    history_ : dict of str to array, shape (epoch,)
        Mean squared error of the training batches and of the held-out windows, in units of variance.

    Notes
    -----
    Attention is not influence. On known linear systems a ridge regression recovers directed edges at least as well, and
    band-passed scans can be forecast a frame ahead without any help from other regions: read the connectome beside
    those baselines.

    References
    ----------
    .. [1] Vaswani et al. (2017), Attention is all you need. doi:10.48550/arXiv.1706.03762
    """

    connectome_: NDArray[np.floating]
    history_: dict[str, NDArray[np.floating]]

    def __init__(
        self,
        n_lags: int = 3,
        *,
        n_features: int = 16,
        n_epochs: int = 200,
        batch_size: int = 1024,
        learning_rate: float = 0.02,
        patience: int = 40,
        seed: int = 0,
        device: str = "cpu",
        progress: bool = True,
    ):
        numbers = {
            "n_lags": n_lags,
            "n_features": n_features,
            "n_epochs": n_epochs,
            "batch_size": batch_size,
            "patience": patience,
        }
        for name, number in numbers.items():
            if number < 1:
                raise ValueError(f"{name} must be at least 1, and is {number}")
        self.n_lags = n_lags
        self.n_features = n_features
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.seed = seed
        self.device = device
        self.progress = progress

    def fit(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> Self:
        """Return the model, fitted to scans.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Signals in any unit; each region is standardised by its mean and standard deviation over all scans.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        AttentionForecaster
            This model.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If the shapes do not fit, a frame that counts is not finite, a region is constant, or no scan has
            `n_lags` + 1 neighbouring frames that count.
        """
        network = _import_network()
        series, valid = _checked(time_series, mask)
        counted = series.transpose(1, 0, 2)[:, valid]
        self._mean, self._scale = counted.mean(1), counted.std(1)
        constant = np.flatnonzero(self._scale <= 1e-6 * np.abs(counted).max(1))
        if constant.size:
            raise ValueError(f"region {constant[0]} is constant: leave it out, nothing can be forecast from it")
        train, held_out = [], []
        for past, future in self._windows_of_scans(series, valid):
            n_held = len(past) // 10
            train.append((past[: len(past) - n_held], future[: len(past) - n_held]))
            # A gap, so that no held-out window shares a frame with a training one.
            held_out.append((past[len(past) - n_held :][self.n_lags :], future[len(past) - n_held :][self.n_lags :]))
        self._network: AttentionNetwork
        self._network, self.history_ = network.train(self, _joined(train), _joined(held_out))
        self.connectome_ = network.mean_attention(self._network, _joined(train + held_out)[0], self.batch_size)
        return self

    def predict(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray[np.floating]:
        """Return the forecast of every frame from those before it.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            Scans of the regions that were fitted, in their order and unit.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        array, shape (scan, region, frame)
            In the unit of the series; NaN at frames that lack `n_lags` counting frames right before them.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        if not hasattr(self, "connectome_"):
            raise AttributeError("this model has nothing to forecast with yet: call fit first")
        network = _import_network()
        series, valid = _checked(time_series, mask)
        if series.shape[1] != len(self._mean):
            raise ValueError(f"the model knows {len(self._mean)} regions, and these scans have {series.shape[1]}")
        forecast = np.full(series.shape, np.nan)
        for scan, (x, counts) in enumerate(zip(series, valid, strict=True)):
            frames = _forecast_frames(counts, self.n_lags)
            if frames.size:
                past = _pasts(self._standardised(x), frames, self.n_lags)
                values = network.forecast(self._network, past, self.batch_size)
                forecast[scan][:, frames] = values.T * self._scale[:, None] + self._mean[:, None]
        return forecast

    def score(self, time_series: ArrayLike, *, mask: ArrayLike | None = None) -> float:
        """Return the share of variance that the forecast explains, averaged over regions.

        Parameters
        ----------
        time_series : array, shape (scan, region, frame)
            For an honest number, scans that were not fitted.
        mask : array of bool, shape (scan, frame), optional
            True where a frame counts.

        Returns
        -------
        float
            1 is perfect; 0 is as good as the mean of these frames.

        Raises
        ------
        AttributeError
            If the model was not fitted.
        ValueError
            If the shapes do not fit.
        """
        forecast = self.predict(time_series, mask=mask)
        series, _ = _checked(time_series, mask)
        truth, guess = series.transpose(1, 0, 2), forecast.transpose(1, 0, 2)
        judged = np.isfinite(guess[0])
        truth, guess = truth[:, judged], guess[:, judged]
        residual = ((truth - guess) ** 2).sum(1)
        return float((1 - residual / ((truth - truth.mean(1, keepdims=True)) ** 2).sum(1)).mean())

    def _standardised(self, scan: NDArray[np.floating]) -> NDArray[np.floating]:
        return (scan - self._mean[:, None]) / self._scale[:, None]

    def _windows_of_scans(
        self, series: NDArray[np.floating], valid: NDArray[np.bool_]
    ) -> list[tuple[NDArray[np.floating], NDArray[np.floating]]]:
        windows = []
        for x, counts in zip(series, valid, strict=True):
            frames = _forecast_frames(counts, self.n_lags)
            standard = self._standardised(x)
            windows.append((_pasts(standard, frames, self.n_lags), standard[:, frames].T))
        if not sum(len(past) for past, _ in windows):
            raise ValueError(f"no scan has {self.n_lags + 1} neighbouring frames that count: use fewer lags")
        return windows


def _import_network() -> ModuleType:
    try:
        return import_module("conn.models._attention_network")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError('AttentionForecaster needs torch: pip install "conn-models[torch]"') from error


def _checked(time_series: ArrayLike, mask: ArrayLike | None) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    series = np.asarray(time_series, dtype=np.float64)
    if series.ndim != 3:
        raise ValueError(f"scans must have shape (scan, region, frame), and have shape {series.shape}")
    if series.shape[1] < 2:
        raise ValueError("attention needs at least two regions, and there is one")
    valid = np.ones((len(series), series.shape[-1]), bool) if mask is None else np.asarray(mask, bool)
    if valid.shape != (len(series), series.shape[-1]):
        raise ValueError(f"mask must have shape {(len(series), series.shape[-1])}, and has shape {valid.shape}")
    series = np.where(valid[:, None, :], series, 0)
    if not np.isfinite(series).all():
        scan, region, frame = np.argwhere(~np.isfinite(series))[0]
        raise ValueError(f"scan {scan} is not finite in region {region} at frame {frame}: mask such frames")
    return series, valid


def _forecast_frames(counts: NDArray[np.bool_], n_lags: int) -> NDArray[np.intp]:
    """Return the frames that count and have `n_lags` counting frames right before them."""
    if len(counts) <= n_lags:
        return np.empty(0, np.intp)
    runs = np.lib.stride_tricks.sliding_window_view(counts, n_lags + 1).all(1)
    return np.flatnonzero(runs) + n_lags


def _pasts(scan: NDArray[np.floating], frames: NDArray[np.intp], n_lags: int) -> NDArray[np.floating]:
    """Return the last frames before each, latest first: (window, region, lag)."""
    lags = frames[:, None] - 1 - np.arange(n_lags)
    return scan[:, lags].transpose(1, 0, 2)


def _joined(
    windows: list[tuple[NDArray[np.floating], NDArray[np.floating]]],
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    pasts, futures = zip(*windows, strict=True)
    return np.concatenate(pasts), np.concatenate(futures)
