"""A first look at compiled kernels, so that a bad library never spoils a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.engine.kernels.protocol import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverie.engine.kernels.protocol import Kernels

_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""Largest difference of values of about 1: bfloat16 may be rounded at each of several sums."""


def differences(left: Kernels, right: Kernels) -> str:
    """Name the first kernel whose results differ, if any; both compute a few small maps."""
    with torch.inference_mode(mode=False), torch.no_grad():
        for dtype, tolerance in _TOLERANCE.items():
            for (name, one), (_, other) in zip(
                _results(left, dtype), _results(right, dtype), strict=True
            ):
                fits = one.shape == other.shape and one.dtype == other.dtype
                if not (fits and torch.allclose(one, other, rtol=0, atol=tolerance)):
                    return f"{name} of {dtype}"
    return ""


def _results(kernels: Kernels, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    # Channels that fill neither a vector nor whole bytes, and sides that fit no stride.
    count = torch.arange(2 * 7 * 9 * 37, dtype=torch.float32, device="cpu")
    x = count.mul(0.618034).remainder(2).sub(1)
    x = x.to(dtype).view(2, 7, 9, 37).permute(0, 3, 1, 2)
    picture = x[:, :3, :6, :8].float().contiguous()
    window, size = Window((3, 3), (2, 2), (1, 1), ceil_mode=True), (7, 9)
    opened, mask = kernels.relu_positive(_copy(x))
    yield "relu_positive", opened
    yield "masked", kernels.masked(_copy(x), mask)
    yield "positive", kernels.masked(_copy(x), kernels.positive(x))
    yield "positive", kernels.masked(_copy(x), kernels.positive(x, 0.5))
    capped, mask = kernels.relu_positive(_copy(x), 0.5)
    yield "relu_positive", capped
    yield "masked", kernels.masked(_copy(x), mask)
    joined, joint = kernels.concat([_copy(x[:, :5]), _copy(x[:, 5:])], want_mask=True)
    yield "concat", joined
    for part in kernels.split(_copy(x), joint, [5, 32]):
        yield "split", part
    for closed, map_ in ((False, x), (True, opened)):
        pooled, winners = kernels.max_pool(map_, window, closed=closed)
        yield "max_pool", pooled
        yield "max_pool", winners.to(dtype)
        given = _copy(x[:, :, : pooled.shape[2], : pooled.shape[3]])
        yield "max_pool_backward", kernels.max_pool_backward(given, winners, window, size)
    yield "avg_pool", kernels.avg_pool(x, window, count_include_pad=False)
    yield (
        "avg_pool_backward",
        kernels.avg_pool_backward(given, window, size, count_include_pad=False),
    )
    energy = kernels.energy_pool(x, window, 0.1)
    yield "energy_pool", energy
    yield "energy_pool_backward", kernels.energy_pool_backward(given, x, energy, window)
    yield "silu", kernels.silu(x)
    yield "silu", kernels.silu(x, _copy(x))
    yield "silu_backward", kernels.silu_backward(x, x, keep=True)
    yield "silu_backward", kernels.silu_backward(_copy(x), x)
    entered = kernels.ingest(picture, (3, -1), (0.1, 0.2, 0.3), (1, 1, 2, 0), True, dtype)
    yield "ingest", entered
    yield "egest", kernels.egest(entered, (6, 8), (3, -1), (1, 1, 2, 0), True).to(dtype)


def _copy(map_: Tensor) -> Tensor:
    return map_.clone(memory_format=torch.channels_last)
