from __future__ import annotations

import torch

from reverie.engine.footprint import bytes_per_pixel
from reverie.networks.loading import load_network


def of_embedded(layer: str, dtype: torch.dtype, *, keeps_all: bool = False) -> int:
    layers = load_network("embedded").layers
    return bytes_per_pixel(layers, [layer], dtype, keeps_all=keeps_all)


def test_it_is_near_what_was_measured() -> None:
    # In the module, the most of three runs: 506 MB a megapixel in float32, 333 in bf16.
    assert 506 < of_embedded("creatures", torch.float32) < 1.4 * 506
    assert 333 < of_embedded("creatures", torch.bfloat16) < 1.4 * 333


def test_only_what_runs_counts() -> None:
    early, late = (
        of_embedded(name, torch.float32, keeps_all=True) for name in ("outlines", "creatures")
    )
    assert early < late


def test_autograd_keeps_more() -> None:
    kept = of_embedded("creatures", torch.float32, keeps_all=True)
    assert kept > 1.3 * of_embedded("creatures", torch.float32)


def test_the_picture_itself_runs_no_layer() -> None:
    assert bytes_per_pixel({}, [], torch.float32, keeps_all=True) < 200
