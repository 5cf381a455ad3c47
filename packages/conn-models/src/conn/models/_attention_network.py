"""The torch side of `conn.models.attention`; imported when a model is fitted, so that torch stays optional."""

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from conn.models.attention import AttentionForecaster

Windows = tuple[NDArray[np.floating], NDArray[np.floating]]


class AttentionNetwork(nn.Module):
    """One layer of attention between regions, beside each region's own autoregression."""

    def __init__(self, n_regions: int, n_lags: int, n_features: int, generator: torch.Generator):
        super().__init__()

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(*shape, generator=generator))

        self.own = drawn(n_regions, n_lags, scale=0.01)
        self.value = drawn(n_regions, n_lags, scale=0.3)
        self.gain = nn.Parameter(torch.ones(n_regions))
        self.target = drawn(n_regions, n_features, scale=0.3)
        self.source = drawn(n_regions, n_features, scale=0.3)
        self.query = drawn(n_features, n_lags, scale=0.01)
        self.key = drawn(n_features, n_lags, scale=0.01)
        self.register_buffer("diagonal", torch.eye(n_regions, dtype=torch.bool), persistent=False)

    def attention(self, past: Tensor) -> Tensor:
        """Return the weights (window, target, source) for pasts (window, region, lag)."""
        queries = self.target + past @ self.query.T
        keys = self.source + past @ self.key.T
        scores = queries @ keys.transpose(-1, -2) / self.target.shape[-1] ** 0.5
        return scores.masked_fill(self.diagonal, -torch.inf).softmax(-1)  # pyright: ignore[reportArgumentType]

    def forward(self, past: Tensor) -> Tensor:
        """Return the next frame (window, region)."""
        values = (past * self.value).sum(-1)
        others = (self.attention(past) @ values[..., None]).squeeze(-1)
        return (past * self.own).sum(-1) + self.gain * others


def train(
    settings: "AttentionForecaster", windows: Windows, held_out: Windows
) -> tuple[AttentionNetwork, dict[str, NDArray[np.floating]]]:
    """Return the network at its best on the held-out windows, and the course of both errors."""
    generator = torch.Generator().manual_seed(settings.seed)
    past, future = (torch.as_tensor(part, dtype=torch.float32).to(settings.device) for part in windows)
    judged = held_out if len(held_out[0]) else windows
    judged_past, judged_future = (torch.as_tensor(part, dtype=torch.float32).to(settings.device) for part in judged)
    network = AttentionNetwork(past.shape[1], past.shape[2], settings.n_features, generator).to(settings.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    best, best_state, since = float("inf"), copy.deepcopy(network.state_dict()), 0
    history: dict[str, list[float]] = {"training error": [], "held-out error": []}
    for _ in (bar := tqdm(range(settings.n_epochs), desc="forecasting", unit="epoch", disable=not settings.progress)):
        batch = torch.randperm(len(past), generator=generator)[: settings.batch_size].to(past.device)
        error = nn.functional.mse_loss(network(past[batch]), future[batch])
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        with torch.no_grad():
            parts = zip(judged_past.split(4096), judged_future.split(4096), strict=True)
            squares = sum(float(((network(a) - b) ** 2).sum()) for a, b in parts)
            judged_error = squares / judged_future.numel()
        history["training error"].append(float(error.detach()))
        history["held-out error"].append(judged_error)
        bar.set_postfix(error=f"{judged_error:.4f}")
        if judged_error < best:
            best, best_state, since = judged_error, copy.deepcopy(network.state_dict()), 0
        else:
            since += 1
            if since >= settings.patience:
                break
    network.load_state_dict(best_state)
    return network, {name: np.asarray(values) for name, values in history.items()}


@torch.no_grad()
def forecast(network: AttentionNetwork, past: NDArray[np.floating], batch_size: int) -> NDArray[np.floating]:
    """Return the next frame after each past, (window, region)."""
    parts = torch.as_tensor(past, dtype=torch.float32).to(network.gain.device).split(batch_size)
    return torch.cat([network(part) for part in parts]).cpu().numpy()


@torch.no_grad()
def mean_attention(network: AttentionNetwork, past: NDArray[np.floating], batch_size: int) -> NDArray[np.floating]:
    """Return the attention averaged over windows, (target, source), without holding that of all windows."""
    total = sum(
        network.attention(part).sum(0).double()
        for part in torch.as_tensor(past, dtype=torch.float32).to(network.gain.device).split(batch_size)
    )
    return (torch.as_tensor(total) / len(past)).cpu().numpy()
