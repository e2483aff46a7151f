from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch

from reverie import Cancelled, Recipe, RecipeError, ReverieError, Step, dream
from reverie.device import choose_device, choose_precision
from reverie.engine import canvas, octaves, tiles
from reverie.engine import dream as engine
from reverie.engine.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

QUICK = Recipe(octaves=2, steps=2, precision="float32")


def test_the_objective_rises_in_every_octave(photo: Image.Image, squeezenet: str) -> None:
    values: dict[int, list[float]] = {}
    recipe = Recipe(network=squeezenet, octaves=3, steps=4, precision="float32")
    dream(photo, recipe, on_step=lambda s: values.setdefault(s.octave, []).append(s.value))
    assert [len(each) for each in values.values()] == [4, 4, 4]
    assert all(each[-1] > 1.2 * each[0] for each in values.values())


def test_bf16_climbs_as_well_as_float32(photo: Image.Image) -> None:
    reached = {}
    for precision in ("float32", "bf16"):
        steps: list[Step] = []
        recipe = Recipe(octaves=2, steps=6, precision=precision)
        dream(photo, recipe, on_step=steps.append, device="cpu")
        reached[precision] = steps[-1].value
    assert reached["bf16"] > 0.85 * reached["float32"]


@pytest.mark.parametrize("guard", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_it_dreams_alike_in_any_grad_mode(picture: torch.Tensor, guard: Callable[[], Any]) -> None:
    expected = dream(picture, QUICK)
    with guard():
        inside = dream(picture.clone(), QUICK)
    assert torch.equal(inside, expected)
    assert not inside.requires_grad


def test_a_network_loaded_inside_inference_mode_dreams(picture: torch.Tensor) -> None:
    from reverie.networks import loading

    loading._load.cache_clear()
    with torch.inference_mode():
        first = dream(picture, QUICK)
    assert torch.equal(first, dream(picture, QUICK))


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("recipe", [QUICK, QUICK.evolve(colour="palette", octaves=1)])
def test_the_callers_default_device_and_dtype_do_not_matter(
    picture: torch.Tensor, device: str, dtype: torch.dtype, recipe: Recipe
) -> None:
    from reverie.networks import loading

    expected = dream(picture, recipe)
    loading._load.cache_clear()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            ambient = dream(picture, recipe)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(ambient, expected)


def test_the_same_recipe_gives_the_same_bytes(picture: torch.Tensor) -> None:
    assert torch.equal(dream(picture, QUICK), dream(picture, QUICK))


def test_another_seed_gives_another_picture(picture: torch.Tensor) -> None:
    assert not torch.equal(dream(picture, QUICK), dream(picture, QUICK.evolve(seed=1)))


def test_ambient_state_is_neither_used_nor_changed(picture: torch.Tensor) -> None:
    from reverie.networks import loading

    expected = dream(picture, QUICK)
    before = picture.clone()
    torch.manual_seed(99)
    loading._load.cache_clear()
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            ambient = dream(picture, QUICK)
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(ambient, expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(picture, before)


def test_pictures_of_a_batch_are_dreamed_as_if_alone(picture: torch.Tensor) -> None:
    other = picture.flip(3) * 0.7
    together = dream(torch.cat([picture, other]), QUICK)
    alone = torch.cat([dream(picture, QUICK), dream(other, QUICK)])
    # Batched convolutions round differently, and a dream magnifies that: most pixels agree.
    assert float((together - alone).abs().median()) < 1 / 255


def test_one_step_moves_the_picture_by_the_step_size(picture: torch.Tensor) -> None:
    recipe = Recipe(octaves=1, steps=1, step_size=2.0, clip=False)
    moved = dream(picture, recipe)
    assert float((moved - picture).abs().mean()) * 255 == pytest.approx(2.0, rel=0.01)


def test_carrying_the_picture_is_softer_than_carrying_detail(photo: Image.Image) -> None:
    def sharpness(carry: Literal["detail", "picture"]) -> float:
        recipe = Recipe(octaves=3, steps=1, step_size=0.01, carry=carry)
        return float(np.abs(np.diff(np.asarray(dream(photo, recipe), float), axis=1)).mean())

    original = float(np.abs(np.diff(np.asarray(photo, float), axis=1)).mean())
    assert sharpness("detail") == pytest.approx(original, rel=0.05)
    assert sharpness("picture") < 0.9 * original


def test_smoothing_gives_smoother_dreams(picture: torch.Tensor) -> None:
    def roughness(smoothing: float) -> float:
        change = dream(picture, QUICK.evolve(smoothing=smoothing)) - picture
        return float(change.diff(dim=3).abs().mean() / change.abs().mean())

    assert roughness(2.0) < 0.5 * roughness(0.0)


def test_outside_a_mask_every_bit_stays(picture: torch.Tensor) -> None:
    mask = torch.zeros(71, 97)
    mask[20:50, 30:60] = 1
    mask[20:50, 60:64] = 0.1
    dreamed = dream(picture, QUICK, mask=mask)
    change = (dreamed - picture).abs().amax(dim=1)[0]
    assert float(change[mask == 0].max()) == 0
    assert float(change[mask == 1].mean()) > 4 * float(change[mask == 0.1].mean()) > 0


def test_a_faint_mask_changes_little_whatever_is_carried(photo: Image.Image) -> None:
    for carry in ("detail", "picture"):
        recipe = Recipe(octaves=3, steps=1, carry=carry)
        dreamed = dream(photo, recipe, mask=np.full((4, 4), 0.01))
        change = np.abs(np.asarray(dreamed, float) - np.asarray(photo, float))
        assert change.mean() < 0.5, carry


def test_under_a_mask_the_gradient_is_that_of_the_whole_picture() -> None:
    noise = torch.rand(1, 3, 60, 70, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(noise, size=(480, 560), mode="bicubic").clamp(0, 1)
    mask = torch.zeros(480, 560)
    mask[230:262, 301:333] = 1
    recipe = Recipe(objective="eyes", octaves=1, steps=1, jitter=0, clip=False, precision="float32")
    inside = (slice(None), slice(None), slice(230, 262), slice(301, 333))
    alone = (dream(large, recipe, mask=mask) - large)[inside].flatten()
    whole = (dream(large, recipe) - large)[inside].flatten()
    similarity = torch.nn.functional.cosine_similarity(alone, whole, dim=0)
    assert float(similarity) > 0.9999


def test_a_neuron_stands_where_it_stands_with_and_without_a_mask() -> None:
    noise = torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(
        objective="neuron(outlines.0, 3, x=0.1, y=0.1)",
        octaves=1,
        steps=1,
        jitter=0,
        precision="float32",
    )
    mask = torch.zeros(320, 320)
    mask[:160, :160] = 1
    masked, whole = (dream(noise, recipe, mask=each) != noise for each in (mask, None))
    assert torch.equal(masked, whole & (mask > 0))


def test_a_mask_of_zeros_changes_nothing_and_says_so(
    picture: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    assert torch.equal(dream(picture, QUICK, mask=torch.zeros(71, 97)), picture)
    assert "the mask is 0" in caplog.text


def test_a_silent_objective_says_so(
    picture: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = QUICK.evolve(objective="0*layer(eyes)")
    assert torch.equal(dream(picture, recipe), picture)
    assert "has no gradient" in caplog.text


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (33, 7), (64, 64)])
def test_pictures_of_any_shape_dream(size: tuple[int, int]) -> None:
    array = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    dreamed = dream(array, QUICK)
    assert dreamed.shape == array.shape
    assert not np.array_equal(dreamed, array)


def test_a_size_in_the_recipe_sets_the_longest_side(photo: Image.Image) -> None:
    dreamed = dream(photo, QUICK.evolve(size=100))
    assert dreamed.size == (100, 62)


def test_steps_tell_where_the_dream_is(picture: torch.Tensor) -> None:
    steps: list[Step] = []
    dream(picture, QUICK, on_step=steps.append)
    assert [(s.octave, s.octaves, s.step, s.steps) for s in steps] == [
        (1, 2, 1, 2),
        (1, 2, 2, 2),
        (2, 2, 1, 2),
        (2, 2, 2, 2),
    ]
    assert steps[-1].done == pytest.approx(1)
    assert 0 < steps[0].done < steps[1].done < steps[2].done
    assert steps[0].size == (51, 69)
    assert steps[-1].preview(48).shape == (35, 48, 3)
    assert steps[-1].preview().shape == (71, 97, 3)
    assert steps[-1].preview().dtype == np.uint8


def test_cancelling_keeps_the_dream_so_far(picture: torch.Tensor) -> None:
    array = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)

    def stop(step: Step) -> None:
        if step.octave == 1 and step.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled) as caught:
        dream(array, QUICK, on_step=stop)
    so_far = caught.value.image
    assert so_far.shape == array.shape
    assert so_far.dtype == np.uint8
    assert not np.array_equal(so_far, array)
    assert 0 < caught.value.done < 1


def test_other_errors_from_on_step_pass_through(picture: torch.Tensor) -> None:
    def fail(_step: Step) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dream(picture, QUICK, on_step=fail)


def test_the_result_of_the_last_step_is_the_dream(picture: torch.Tensor) -> None:
    steps: list[Step] = []
    dreamed = dream(picture, QUICK, on_step=steps.append)
    assert torch.equal(steps[-1].result(), dreamed)


def test_a_layer_that_is_not_there_is_answered_with_the_nearest(picture: torch.Tensor) -> None:
    with pytest.raises(ReverieError, match=r"layer in 'embedded' 'eyez'; did you mean 'eyes'"):
        dream(picture, Recipe(objective="eyez"))


def test_a_network_that_is_not_there_is_answered_with_the_nearest(picture: torch.Tensor) -> None:
    with pytest.raises(ReverieError, match="did you mean 'googlenet'"):
        dream(picture, Recipe(network="googelnet"))


def test_too_little_memory_is_said_in_a_sentence(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ascend(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB")

    monkeypatch.setattr(engine, "_ascend", ascend)
    with pytest.raises(ReverieError, match="not enough memory for a picture of 97 x 71 px"):
        dream(picture, QUICK)


def test_a_dream_that_leaves_the_numbers_is_said_in_a_sentence(picture: torch.Tensor) -> None:
    with pytest.raises(ReverieError, match="ran out of the range of numbers in octave 1"):
        dream(picture, QUICK.evolve(objective="1e30*layer(eyes)*1e30"))


def test_unknown_and_absent_devices_are_named() -> None:
    with pytest.raises(ReverieError, match=r"'gpu' is unknown; allowed: auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(ReverieError, match="'cuda' is not available"):
        choose_device("cuda")


def test_precision_is_what_was_asked_for() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("float32", cpu) == "float32"
    assert choose_precision("bf16", cpu) == "bf16"
    assert choose_precision("auto", cpu) in {"float32", "bf16"}


def test_what_is_no_recipe_is_refused_in_a_sentence(picture: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match=r"'classic' is not a recipe; give reverie\.Recipe"):
        dream(picture, "classic")  # type: ignore[arg-type]


@pytest.mark.gpu
def test_on_a_gpu_it_dreams_the_same_twice(picture: torch.Tensor, gpu: torch.device) -> None:
    first = dream(picture, QUICK, device=gpu)
    assert torch.equal(first, dream(picture, QUICK, device=gpu))
    assert not torch.equal(first, picture)


# -- large pictures ------------------------------------------------------------------------------

WIDE = Recipe(octaves=2, steps=1, objective="outlines", precision="float32")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a picture of a few thousand px count as large, so that a test is quick."""
    monkeypatch.setattr(octaves, "SMALL", 5000)
    monkeypatch.setattr(canvas, "SMALL", 5000)
    monkeypatch.setattr(canvas.bands, "__kwdefaults__", {"most": 2000})


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the pictures that were kept in files."""
    made: list[tuple[int, ...]] = []
    make = canvas._file

    def noted(shape: tuple[int, ...]) -> torch.Tensor:
        made.append(shape)
        return make(shape)

    monkeypatch.setattr(canvas, "_file", noted)
    return made


def enough_for(shape: tuple[int, ...], *, in_file: bool) -> int:
    needed = prepare(WIDE, torch.device("cpu")).least_memory(shape, in_file=in_file)
    return needed + 1


@pytest.mark.parametrize(
    "recipe",
    [
        WIDE,
        WIDE.evolve(carry="picture", normalization="std", smoothing=1.0),
        WIDE.evolve(size=120, clip=False),
    ],
    ids=["classic", "other settings", "enlarged"],
)
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.usefixtures("small_limits")
def test_in_files_a_dream_is_the_same_to_the_bit(
    picture: torch.Tensor,
    recipe: Recipe,
    is_masked: bool,
    files: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    array = picture[0].permute(1, 2, 0).numpy()
    mask = np.zeros((71, 97), np.float32)
    mask[20:60, 30:80] = 0.5
    where = mask if is_masked else None
    in_memory = dream(array, recipe, mask=where)
    assert not files
    monkeypatch.setattr(canvas, "taken_by", lambda _: 10**12)
    in_files = dream(array, recipe, mask=where, memory=10**10)
    assert (1, 3, 71, 97) in files
    assert len(files) >= 3
    assert np.array_equal(in_files, in_memory)


@pytest.mark.usefixtures("small_limits")
def test_steps_and_cancelling_work_in_files(
    picture: torch.Tensor, files: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "taken_by", lambda _: 10**12)
    array = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    seen: list[torch.Tensor] = []

    def stop(step: Step) -> None:
        seen.append(step.result().clone())
        assert step.preview(48).shape == (35, 48, 3)
        assert torch.equal(step.result(), seen[-1]), "asking changes nothing"
        if step.octave == 2:
            raise Cancelled

    with pytest.raises(Cancelled) as caught:
        dream(array, WIDE, memory=10**10, on_step=stop)
    assert files
    assert [each.shape for each in seen] == [(1, 3, 71, 97)] * 2
    expected = (seen[-1][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    assert np.array_equal(caught.value.image, expected)


@pytest.mark.usefixtures("small_limits")
def test_a_tensor_that_is_given_back_is_in_ordinary_memory(
    picture: torch.Tensor, files: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "taken_by", lambda _: 10**12)
    dreamed = dream(picture, WIDE, memory=10**10)
    assert files
    assert not canvas.lives_in_file(dreamed)
    assert torch.equal(dreamed, dream(picture, WIDE))


def noting(lay_in: Callable[..., None], windows: list[torch.Tensor]) -> Callable[..., None]:
    def noted(image: torch.Tensor, window: torch.Tensor, *place: Any) -> None:
        windows.append(window)
        lay_in(image, window, *place)

    return noted


def test_less_memory_means_smaller_tiles_and_nearly_the_same_picture(photo: Image.Image) -> None:
    array = np.asarray(photo.resize((640, 400)))
    recipe = Recipe(octaves=1, steps=1, objective="outlines", precision="float32")
    seen = {}
    for memory in (None, enough_for((1, 3, 400, 640), in_file=False)):
        with pytest.MonkeyPatch.context() as patch:
            windows: list[torch.Tensor] = []
            patch.setattr(tiles, "_lay_in", noting(tiles._lay_in, windows))
            seen[memory] = dream(array, recipe, memory=memory), len(windows)
    (whole, uncut), (tiled, pieces) = seen.values()
    assert uncut == 0
    assert pieces > 3
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert np.abs(whole.astype(int) - tiled).mean() < 0.001


def test_too_little_memory_is_refused_with_the_smallest_that_works(picture: torch.Tensor) -> None:
    with pytest.raises(ReverieError, match=r"1M is too little .* smallest that can work is (\d+)M"):
        dream(picture, WIDE, memory=10**6)
    least = enough_for(tuple(picture.shape), in_file=False)
    assert not torch.equal(dream(picture, WIDE, memory=least), picture)


def test_the_same_memory_gives_the_same_bytes(photo: Image.Image) -> None:
    array = np.asarray(photo.resize((480, 300)))
    memory = enough_for((1, 3, 300, 480), in_file=False)
    recipe = WIDE.evolve(octaves=1)
    assert np.array_equal(*(dream(array, recipe, memory=memory) for _ in range(2)))


def test_a_step_on_a_large_picture_can_be_ended_between_its_tiles(picture: torch.Tensor) -> None:
    large = picture.repeat(1, 1, 9, 8)  # (1, 3, 639, 776)
    steps: list[torch.Tensor] = []
    tiles: list[int] = []

    def on_tile() -> None:
        tiles.append(len(steps))
        if tiles.count(1) == 2:  # the second tile of the second step
            raise Cancelled

    recipe = Recipe(octaves=1, steps=3, precision="float32")
    least = prepare(recipe, torch.device("cpu")).least_memory(large.shape, in_file=False)
    with pytest.raises(Cancelled) as caught:
        dream(
            large,
            recipe,
            device="cpu",
            memory=least,
            on_step=lambda step: steps.append(step.result()),
            on_tile=on_tile,
        )
    assert tiles.count(0) > 2
    assert torch.equal(caught.value.image, steps[0])
    assert caught.value.done == pytest.approx(1 / 3)


def test_a_preview_of_a_masked_dream_shows_the_whole_picture(picture: torch.Tensor) -> None:
    large = picture.repeat(1, 1, 4, 4)  # (1, 3, 284, 388)
    mask = torch.zeros(284, 388)
    mask[100:140, 200:260] = 1
    before = (large[0].permute(1, 2, 0) * 255).round().byte().numpy()
    shown = []
    recipe = Recipe(octaves=2, steps=2, objective="outlines", precision="float32")
    dream(
        large, recipe, mask=mask, device="cpu", on_step=lambda step: shown.append(step.preview(388))
    )
    for one in shown:
        assert one.shape == (284, 388, 3)
        assert np.array_equal(one[:, :190], before[:, :190])
        assert not np.array_equal(one[100:140, 200:260], before[100:140, 200:260])
