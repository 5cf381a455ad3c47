"""Causal convolution of many long series, each with a response of its own, in little memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["convolved"]

_FEW_TICKS = 16

# How many numbers are transformed at once: on a CPU so many that they stay in the cache.
_CACHED = 1 << 19
_HELD = 1 << 25


def convolved(series: Tensor, response: Tensor, ticks: Tensor | None = None) -> Tensor:
    """Return the convolution of each series with its response, where all of the response is covered.

    Parameters
    ----------
    series : Tensor, shape (time, batch, voxel)
        At least as many ticks as a response has.
    response : Tensor, shape (voxel, tap)
        What a series of 1, 0, 0, ... becomes.
    ticks : Tensor of int, shape (tick,), optional
        The wanted ones of the result's times; all by default.

    Returns
    -------
    Tensor, shape (time - tap + 1, batch, voxel) or (tick, batch, voxel)
    """
    n_ticks = series.shape[0] - response.shape[1] + 1
    if n_ticks > _FEW_TICKS:
        transformed: Callable[..., Tensor] = _convolved
        if torch.compiler.is_compiling():
            transformed = torch.compiler.disable(_convolved)  # pyright: ignore[reportAssignmentType]
        return transformed(series, response, ticks)
    kernel = response.flip(1).unsqueeze(1)
    result = functional.conv1d(series.permute(1, 2, 0), kernel, groups=response.shape[0]).permute(2, 0, 1)
    return result if ticks is None else result.index_select(0, ticks)


def _convolved(series: Tensor, response: Tensor, ticks: Tensor | None) -> Tensor:
    return _Convolution.apply(series, response, ticks)  # pyright: ignore[reportReturnType]


class _Convolution(torch.autograd.Function):
    """Transforms a few voxels at a time, there and back: their spectra take several times the memory of the series."""

    @staticmethod
    def forward(ctx: Any, series: Tensor, response: Tensor, ticks: Tensor | None) -> Tensor:  # pyright: ignore
        ctx.save_for_backward(series, response, ticks)
        n_taps, length = response.shape[1], _fast_length(series.shape[0])
        n_ticks = series.shape[0] - n_taps + 1 if ticks is None else ticks.numel()
        result = series.new_empty(n_ticks, *series.shape[1:])
        for voxels in _parts(series, length):
            spectrum = _spectrum(series[..., voxels], length) * torch.fft.rfft(response[voxels, None], n=length)
            # What wraps around lands on the first ticks, those that are dropped.
            values = torch.fft.irfft(spectrum, n=length)[..., n_taps - 1 : series.shape[0]]
            result[..., voxels] = (values if ticks is None else values.index_select(-1, ticks)).permute(2, 1, 0)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        series, response, ticks = ctx.saved_tensors
        for_series, for_response, _ = ctx.needs_input_grad
        n_taps, length = response.shape[1], _fast_length(series.shape[0])
        g_series = torch.empty_like(series) if for_series else None
        g_response = torch.empty_like(response, memory_format=torch.contiguous_format) if for_response else None
        for voxels in _parts(series, length):
            rows = gradients[0][..., voxels].permute(2, 1, 0)
            spread = rows.new_zeros(*rows.shape[:2], length)
            covered = spread[..., n_taps - 1 : series.shape[0]]
            # A tick may be wanted twice.
            covered.copy_(rows) if ticks is None else covered.index_add_(-1, ticks, rows)
            spectrum = torch.fft.rfft(spread)
            if g_series is not None:
                back = spectrum * torch.fft.rfft(response[voxels, None], n=length).conj()
                g_series[..., voxels] = torch.fft.irfft(back, n=length)[..., : series.shape[0]].permute(2, 1, 0)
            if g_response is not None:
                back = (spectrum * _spectrum(series[..., voxels], length).conj()).sum(1)
                g_response[voxels] = torch.fft.irfft(back, n=length)[..., :n_taps]
        return g_series, g_response, None


def _parts(series: Tensor, length: int) -> list[slice]:
    """Return the voxels in groups that are transformed together."""
    _, batch, n_voxels = series.shape
    room = _CACHED if series.device.type == "cpu" else _HELD
    size = max(1, room // (batch * length))
    return [slice(start, min(n_voxels, start + size)) for start in range(0, n_voxels, size)]


def _spectrum(series: Tensor, length: int) -> Tensor:
    """Return the Fourier transforms of series (time, batch, voxel), as (voxel, batch, frequency)."""
    return torch.fft.rfft(series.permute(2, 1, 0), n=length)


def _fast_length(n: int) -> int:
    """Return the least number from `n` on without a prime factor above 5.

    A Fourier transform of a prime length takes several times as long.
    """
    best = 1 << max(0, n - 1).bit_length()
    fives = 1
    while fives < best:
        odd = fives
        while odd < best:
            best = min(best, odd << max(0, -(-n // odd) - 1).bit_length())
            odd *= 3
        fives *= 5
    return best
