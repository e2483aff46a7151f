from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie import ImageError, Recipe
from reverie.engine.selection import select
from reverie.worker.order import Box, Order
from reverie.worker.part import Part, find_part
from reverie.worker.upload import rows_of


def order(width: int, height: int, box: tuple[int, int, int, int], size: int = 0) -> Order:
    return Order(
        recipe=Recipe(size=size),
        width=width,
        height=height,
        select=Box(*box),
        has_mask=False,
        frames=0,
    )


@pytest.mark.parametrize("stride", [1, 8, 16])
@pytest.mark.parametrize(
    "box", [(40, 30, 5, 7), (0, 0, 1, 1), (96, 70, 1, 1), (0, 0, 90, 70), (33, 0, 20, 71)]
)
def test_the_part_is_what_the_engine_would_work_on(
    box: tuple[int, int, int, int], stride: int
) -> None:
    x, y, width, height = box
    mask = torch.zeros(1, 1, 71, 97)
    mask[:, :, y : y + height, x : x + width] = 1
    area = select(torch.zeros(1, 3, 71, 97), mask, 13, stride)
    part = find_part(order(97, 71, box), 13, stride)
    assert range(71)[area.rows] == range(71)[part.box.rows]
    assert range(97)[area.columns] == range(97)[part.box.columns]
    assert part.size == (part.box.height, part.box.width)
    assert not part.is_scaled
    assert (part.box.x + part.chosen.x, part.box.y + part.chosen.y) == (x, y)


def test_all_is_all() -> None:
    whole = Part(Box(0, 0, 97, 71), Box(0, 0, 97, 71), (71, 97))
    assert find_part(order(97, 71, (0, 0, 97, 71)), 13, 8) == whole
    assert find_part(order(97, 71, (5, 5, 1, 1)), None, 8).box == whole.box


def test_a_part_is_scaled_as_the_whole() -> None:
    part = find_part(order(6000, 4000, (3000, 2000, 600, 400), size=1500), 100, 16)
    ratio = np.array(part.size) / (part.box.height, part.box.width)
    assert ratio == pytest.approx(0.25, rel=0.01)
    assert part.size[0] < 100 + 200 + 20
    assert part.chosen.x >= 390  # 100 px at that size, less what the stride may add


@pytest.mark.parametrize(
    ("width", "height", "size"), [(20000, 20000, 0), (30000, 30000, 32768), (2000, 2000, 32768)]
)
def test_too_much_is_refused_in_a_sentence(width: int, height: int, size: int) -> None:
    with pytest.raises(ImageError, match=r"are too many: the worker takes 300 megapixels; select"):
        find_part(order(width, height, (0, 0, width, height), size), 100, 16)


def test_a_small_selection_of_a_huge_picture_is_not_too_much() -> None:
    part = find_part(order(262144, 262144, (200000, 200000, 500, 500)), 200, 16)
    assert part.area < 1000**2


def test_strips_of_wide_parts_have_few_rows() -> None:
    assert rows_of(1) == rows_of(6000) == 128
    assert rows_of(262144) == 4
    assert rows_of(2**21) == 1
