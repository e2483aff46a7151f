from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reverie import ImageError, Recipe, dream
from reverie.image import resized_alpha, to_mask, to_tensor

QUICK = Recipe(octaves=1, steps=1, precision="float32")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "La")
DEEP_MODES = ("RGBa", "I", "F", "I;16", "I;16B", "I;16L")


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray[Any, Any]:
    values = np.random.default_rng(7).random(shape)
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    return (values * scale).astype(dtype)


# -- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES + DEEP_MODES)
def test_every_pil_mode_comes_back_as_pil(mode: str) -> None:
    pixels, restore = to_tensor(Image.new(mode, (5, 4)))
    assert pixels.shape == (1, 3, 4, 5)
    assert pixels.dtype is torch.float32
    back = restore(pixels)
    assert isinstance(back, Image.Image)
    assert back.size == (5, 4)
    assert back.mode == ("RGBA" if mode in {"LA", "PA", "RGBA", "La", "RGBa"} else "RGB")


def test_a_pil_picture_comes_back_exactly() -> None:
    picture = Image.fromarray(noise(6, 5, 4))
    pixels, restore = to_tensor(picture)
    assert np.array_equal(np.asarray(restore(pixels)), np.asarray(picture))


def test_lab_has_a_band_named_a_but_no_transparency() -> None:
    _, restore = to_tensor(Image.new("LAB", (5, 4)))
    assert restore(torch.zeros(1, 3, 4, 5)).mode == "RGB"


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B"])
def test_deep_grey_is_not_clipped_to_white(mode: str) -> None:
    pixels, restore = to_tensor(Image.new(mode, (2, 1), 32768))
    assert pixels.flatten().tolist() == pytest.approx([0.5] * 6, abs=1e-4)
    assert restore(pixels).getpixel((0, 0)) == (128, 128, 128)


def test_floating_grey_is_read_as_0_to_1() -> None:
    pixels, _ = to_tensor(Image.new("F", (2, 1), 0.25))
    assert pixels.flatten().tolist() == [0.25] * 6


def test_transparency_of_a_palette_is_kept() -> None:
    picture = Image.new("P", (4, 4), 3)
    picture.info["transparency"] = 3
    pixels, restore = to_tensor(picture)
    assert np.asarray(restore(pixels))[..., 3].max() == 0


def test_profile_and_exif_stay_with_a_pil_picture_unless_they_no_longer_hold() -> None:
    for mode, kept in (("RGB", {"icc_profile", "exif"}), ("CMYK", {"exif"})):
        picture = Image.new(mode, (40, 40))
        picture.info |= {"icc_profile": b"profile", "exif": b"Exif\0\0", "gamma": 1}
        assert set(dream(picture, QUICK).info) == kept


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5, 4), (2, 6, 5, 3), (2, 6, 5, 4)])
def test_an_array_comes_back_exactly(dtype: str, shape: tuple[int, ...]) -> None:
    array = noise(*shape, dtype=dtype)
    pixels, restore = to_tensor(array)
    back = restore(pixels)
    assert pixels.shape == (shape[0] if len(shape) == 4 else 1, 3, 6, 5)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.allclose(back, array, rtol=0, atol=6e-8)
    assert np.array_equal(back[..., 3:], array[..., 3:])
    assert back.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_arrays_come_back_in_colour(dtype: str) -> None:
    array = noise(6, 5, dtype=dtype)
    pixels, restore = to_tensor(array)
    back = restore(pixels)
    assert back.shape == (6, 5, 3)
    assert np.array_equal(back, np.repeat(array[..., None], 3, axis=2))


@pytest.mark.parametrize("dtype", [">u2", ">f4", "<f8"])
def test_arrays_of_any_byte_order_are_read(dtype: str) -> None:
    array = noise(6, 5, 3, dtype="uint16").astype(dtype) if "u" in dtype else noise(6, 5, 3) / 255
    array = array.astype(dtype)
    pixels, restore = to_tensor(array)
    assert restore(pixels).dtype == np.dtype(dtype)
    assert np.allclose(restore(pixels), array)


def test_odd_memory_layouts_are_read_and_left_alone() -> None:
    whole = noise(12, 10, 4)
    views = (
        whole[::-1, ::-1],
        whole[::2, 1::3, :3],
        whole[..., ::-1],
        np.asfortranarray(whole),
        np.broadcast_to(noise(1, 1, 3), (4, 6, 3)),
    )
    for view in views:
        read_only = view.view()
        read_only.flags.writeable = False
        before = read_only.copy()
        back = dream(read_only, QUICK)
        assert (back.shape, back.dtype) == (before.shape, before.dtype)
        assert not np.array_equal(back[..., :3], before[..., :3])
        assert np.array_equal(back[..., 3:], before[..., 3:])
        assert np.array_equal(read_only, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 3, 40, 33), (2, 3, 40, 33)])
def test_a_tensor_comes_back_in_its_dtype_and_shape(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    image = torch.rand(shape).to(dtype)
    before = image.clone()
    dreamed = dream(image, QUICK)
    assert (dreamed.dtype, dreamed.shape) == (dtype, torch.Size(shape))
    assert not torch.equal(dreamed, before)
    assert torch.equal(image, before)
    pixels, restore = to_tensor(image)
    assert torch.equal(restore(pixels), before)


def test_tensors_in_any_state_are_dreamed_alike_and_left_alone(picture: torch.Tensor) -> None:
    expected = dream(picture, QUICK)
    with torch.inference_mode():
        inference = picture.clone()
    wanting = picture.clone().requires_grad_()
    followed = wanting * 1
    strided = picture.transpose(2, 3).contiguous().transpose(2, 3)
    for each in (inference, wanting, followed, strided, torch.nn.Parameter(picture.clone())):
        dreamed = dream(each, QUICK)
        assert torch.equal(dreamed, expected)
        assert not dreamed.requires_grad
        assert torch.equal(each, picture)
    assert wanting.grad is None


def test_what_is_given_back_shares_no_memory_with_what_was_given() -> None:
    image = torch.rand(1, 3, 8, 8)
    pixels, _ = to_tensor(image)
    pixels.zero_()
    assert image.max() > 0
    array = noise(8, 8, 3, dtype="float32")
    pixels, _ = to_tensor(array)
    pixels.zero_()
    assert array.max() > 0


def test_alpha_is_resized_with_the_picture() -> None:
    for dtype in ("uint8", "uint16", "float32"):
        picture = noise(64, 48, 4, dtype=dtype)
        picture[..., 3] = 1 if dtype == "float32" else np.iinfo(dtype).max
        picture[:, :24, 3] = 0
        dreamed = dream(picture, QUICK.evolve(size=32))
        assert dreamed.shape == (32, 24, 4)
        assert dreamed[:, :10, 3].max() == 0
        assert dreamed[:, 14:, 3].min() == picture[..., 3].max()


def test_alpha_of_the_right_size_is_not_touched() -> None:
    alpha = noise(5, 4, dtype="uint16")
    assert resized_alpha(alpha, (5, 4)) is alpha


# -- what is not a picture -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("photo.jpg", "a str is not a picture; give a PIL image"),
        (np.zeros((4, 5, 3), np.int64), "an array of int64 is not a picture; give uint8"),
        (np.zeros((4, 5, 3), np.bool_), "an array of bool is not a picture"),
        (np.zeros((4, 5, 3), np.complex64), "an array of complex64"),
        (np.zeros((4, 5, 3), "datetime64[s]"), "an array of datetime64"),
        (np.zeros((4, 5, 3), object), "an array of object"),
        (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\) is not a picture; give \(H, W\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((), np.uint8), r"shape \(\)"),
        (np.zeros((1, 1, 4, 5, 3), np.uint8), r"shape \(1, 1, 4, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), "is empty"),
        (np.zeros((0, 4, 5, 3), np.uint8), "is empty"),
        (np.full((4, 5, 3), np.nan), "holds 60 values that are not numbers"),
        (np.full((4, 5), np.inf), "not numbers"),
        (torch.zeros(4, 5), r"a tensor of shape \(4, 5\) is not a picture; give \(N, 3, H, W\)"),
        (torch.zeros(1, 4, 5, 3), r"shape \(1, 4, 5, 3\)"),
        (torch.zeros(0, 3, 4, 5), "is empty"),
        (torch.zeros(3, 0, 5), "is empty"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), r"for bytes: tensor / 255"),
        (torch.zeros(3, 4, 5, dtype=torch.complex64), "complex64"),
        (torch.full((3, 4, 5), torch.nan), "holds 60 values"),
        (Image.new("I", (2, 2), 70000), "70000 is not a picture; give 0..65535"),
        (Image.new("F", (2, 2), float("nan")), "not numbers"),
        (Image.new("RGB", (0, 2)), "is empty"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_a_picture_is_refused_in_one_sentence(image: Any, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        dream(image, QUICK)
    assert str(caught.value).endswith((".", ")."))
    assert "\n" not in str(caught.value)


def test_values_far_outside_0_to_1_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "reverie"):
        to_tensor(torch.rand(3, 8, 8) * 1.1)  # what resampling leaves
        assert not caplog.messages
        to_tensor(np.full((8, 8, 3), 255.0))
    assert "from 255 to 255; white is 1" in caplog.text


# -- masks ---------------------------------------------------------------------------------------

PIXELS = torch.zeros(2, 3, 40, 60)
LEFT = np.arange(60)[None].repeat(40, 0) < 30


def masks() -> dict[str, Any]:
    levels = LEFT.astype(np.uint8) * 255
    painted = np.full((40, 60, 4), 255, np.uint8)
    painted[..., 3] = levels
    backwards = LEFT[:, ::-1].astype(np.float32)[:, ::-1]
    read_only = LEFT.astype(np.float32)
    read_only.flags.writeable = False
    return {
        "bool array": LEFT,
        "float array": LEFT.astype(np.float64),
        "half array": LEFT.astype(np.float16),
        "uint8 array": levels,
        "uint16 array": LEFT.astype(np.uint16) * 65535,
        "big-endian array": (LEFT.astype(np.uint16) * 65535).astype(">u2"),
        "negative strides": backwards,
        "read-only": read_only,
        "bool tensor": torch.from_numpy(LEFT),
        "half tensor": torch.from_numpy(LEFT).half(),
        "uint8 tensor": torch.from_numpy(levels),
        "grad tensor": torch.from_numpy(LEFT).float().requires_grad_(),
        "one for each": torch.from_numpy(LEFT).float().expand(2, 40, 60),
        "PIL 1": Image.fromarray(LEFT),
        "PIL L": Image.fromarray(levels),
        "PIL RGB": Image.fromarray(levels).convert("RGB"),
        "PIL RGBA": Image.fromarray(painted),
        "PIL I;16": Image.fromarray(LEFT.astype(np.uint16) * 65535),
        "PIL F": Image.fromarray(LEFT.astype(np.float32)),
    }


@pytest.mark.parametrize("kind", masks())
def test_a_mask_of_any_kind_selects_the_same(kind: str) -> None:
    values = to_mask(masks()[kind], PIXELS)
    assert values.dtype is torch.float32
    assert values.shape in {(1, 1, 40, 60), (2, 1, 40, 60)}
    assert not values.requires_grad
    assert np.array_equal(values[-1, 0].numpy(), LEFT)


def test_a_mask_is_never_written_into() -> None:
    mask = torch.full((40, 60), 5.0)
    assert to_mask(mask, PIXELS).max() == 1
    assert mask.min() == 5


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (400, 600), (3000, 20)])
def test_a_mask_of_another_size_is_fitted(size: tuple[int, int]) -> None:
    left = np.zeros(size, np.float32)
    left[:, : -(-size[1] // 2)] = 1
    values = to_mask(left, PIXELS)
    assert values.shape == (1, 1, 40, 60)
    assert 0 <= values.min() <= values.max() <= 1
    assert values[0, 0, :, 0].min() > 0.999


def test_a_mask_keeps_the_picture_where_it_is_black() -> None:
    picture = noise(40, 60, 3)
    dreamed = dream(picture, QUICK, mask=LEFT)
    assert np.array_equal(dreamed[~LEFT], picture[~LEFT])
    assert not np.array_equal(dreamed[LEFT], picture[LEFT])


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ("mask.png", "a mask of str is not one"),
        ([[0, 1], [1, 0]], "a mask of list"),
        (np.ones((40, 60), np.int64), "a mask of int64 is not one; give booleans"),
        (torch.ones(40, 60, dtype=torch.int32), "torch.int32"),
        (np.ones((40, 60, 3), np.float32), r"shape \(40, 60, 3\) does not fit 2 picture"),
        (np.ones((3, 40, 60), np.float32), r"shape \(3, 40, 60\) does not fit"),
        (np.ones(40, np.float32), r"shape \(40,\)"),
        (np.ones((0, 60), np.float32), r"shape \(0, 60\)"),
        (np.float32(1), "a mask of float32 is not one"),
        (torch.tensor(1.0), r"shape \(\)"),
        (torch.full((40, 60), torch.nan), "the mask holds NaN"),
    ],
    ids=str,
)
def test_what_is_no_mask_is_refused_in_one_sentence(mask: Any, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        to_mask(mask, PIXELS)
    assert "\n" not in str(caught.value)
