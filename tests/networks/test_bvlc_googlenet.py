from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

import reverie
from reverie import Recipe, WeightsError, dream
from reverie.networks.bvlc_googlenet import NETWORK, BvlcGoogLeNet
from reverie.networks.loading import load_network
from reverie.networks.weights import WeightsSource, fetch_weights
from reverie.testing import check_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.networks.conftest import Caffe, Shop

SAMPLES = next(iter(reverie.__path__)) + "/samples"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def state(bvlc_googlenet: str) -> dict[str, torch.Tensor]:
    """The real weights under Caffe's names with "_" for "/", float32, for blue, green, red."""
    loaded = load_file(bvlc_googlenet.partition(":")[2])
    return {name: value.float() for name, value in loaded.items()}


@pytest.fixture(scope="module")
def small() -> dict[str, torch.Tensor]:
    """Random weights under Caffe's own names."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        empty = BvlcGoogLeNet().state_dict()
    return {
        name: torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        for name, value in empty.items()
    }


def caffes_pixels(picture: Image.Image) -> torch.Tensor:
    """A picture as Caffe takes it: blue, green, red, 0..255, less the mean; float64."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)[..., ::-1] - [104, 117, 123]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def caffes_norm(values: torch.Tensor) -> torch.Tensor:
    """Local response normalisation as Caffe's documentation writes it, over five channels."""
    squares = functional.pad(values**2, (0, 0, 0, 0, 2, 2))
    sums = sum(squares[:, k : k + values.shape[1]] for k in range(5))
    return values / (1 + 0.0001 / 5 * sums) ** 0.75


def caffes_pool(values: torch.Tensor) -> torch.Tensor:
    """Maxima of 3 x 3, every second one; rounds up, where Caffe cuts the last windows short."""
    sides = [-(-(length - 3) // 2) * 2 + 3 - length for length in values.shape[2:]]
    padded = functional.pad(values, (0, sides[1], 0, sides[0]), value=-torch.inf)
    return padded.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))


def forward(state: Mapping[str, torch.Tensor], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """The network written down once more, from deploy.prototxt, in float64."""

    def convolve(name: str, values: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
        padding = weight.shape[-1] // 2
        return functional.conv2d(values, weight, bias, stride, padding).relu()

    seen = {}
    values = caffes_norm(caffes_pool(convolve("conv1_7x7_s2", pixels, 2)))
    values = convolve("conv2_3x3", convolve("conv2_3x3_reduce", values))
    values = caffes_pool(caffes_norm(values))
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        name = f"inception_{module}"
        around = functional.pad(values, (1, 1, 1, 1), value=-torch.inf)
        pooled = around.unfold(2, 3, 1).unfold(3, 3, 1).amax((4, 5))
        branches = [
            convolve(f"{name}_1x1", values),
            convolve(f"{name}_3x3", convolve(f"{name}_3x3_reduce", values)),
            convolve(f"{name}_5x5", convolve(f"{name}_5x5_reduce", values)),
            convolve(f"{name}_pool_proj", pooled),
        ]
        values = seen[f"{name}/output"] = torch.cat(branches, dim=1)
        if module in {"3b", "4e"}:
            values = caffes_pool(values)
    features = values.mean((2, 3))
    weight, bias = (state[f"loss3_classifier.{kind}"].double() for kind in ("weight", "bias"))
    return seen | {"loss3/classifier": features @ weight.T + bias}


@pytest.mark.parametrize("size", [(224, 224), (175, 142)])
def test_it_computes_what_caffe_computes(
    bvlc_googlenet: str,
    state: dict[str, torch.Tensor],
    flowers: Image.Image,
    size: tuple[int, int],
) -> None:
    picture = flowers.resize(size)
    expected = forward(state, caffes_pixels(picture))
    image = torch.from_numpy(np.asarray(picture) / 255).permute(2, 0, 1)[None].float()
    network = load_network(bvlc_googlenet)
    for name in ("inception_3b/output", "inception_4c/output", "loss3/classifier"):
        seen = network.prepare([name], CPU, torch.float32)(image)[name].double()
        wanted = expected[name].reshape(seen.shape)
        assert float((seen - wanted).norm() / wanted.norm()) < 1e-5, name


def test_it_knows_what_is_in_pictures(
    bvlc_googlenet: str,
    flowers: Image.Image,
    classes_of: Callable[[str, Image.Image], list[str]],
) -> None:
    flowerlike = {"yellow lady's slipper", "daisy", "sulphur butterfly", "bee", "hip"}
    assert len(flowerlike.intersection(classes_of(bvlc_googlenet, flowers))) >= 3
    mountains = classes_of(bvlc_googlenet, Image.open(f"{SAMPLES}/mountains.jpg"))
    assert mountains[0] == "alp"
    assert "valley" in mountains


def test_it_keeps_the_contract_of_networks(bvlc_googlenet: str) -> None:
    check_network(bvlc_googlenet)


def test_its_layers_are_named_as_in_caffe(bvlc_googlenet: str) -> None:
    network = load_network(bvlc_googlenet)
    assert network.default_layer == "inception_4c/output"
    modules = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    outputs = [network.layers[f"inception_{module}/output"] for module in modules]
    assert [layer.channels for layer in outputs] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    assert [layer.stride for layer in outputs] == [8, 8, 16, 16, 16, 16, 16, 32, 32]
    assert [layer.order for layer in outputs] == sorted(layer.order for layer in outputs)
    assert outputs[0].receptive_field == 59
    for module, layer in zip(modules, outputs, strict=True):
        assert network.layer(module) is layer
    for name in network.layers:
        assert network.layer(name.replace("/", "_")).name == name
    assert set(NETWORK.aliases.values()) <= network.layers.keys()


@pytest.mark.parametrize(
    "objective",
    ['layer("4c")', "inception_4c_output", 'channel("inception_4d/3x3_reduce", 139)'],
)
def test_every_way_to_write_a_layer_dreams(bvlc_googlenet: str, objective: str) -> None:
    image = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(network=bvlc_googlenet, octaves=1, steps=1, precision="float32")
    moved = dream(image, recipe.evolve(objective=objective))
    assert float((moved - image).abs().mean()) > 0
    if "139" not in objective:
        assert torch.equal(moved, dream(image, recipe))


@pytest.mark.parametrize("old", [False, True])
def test_a_caffemodel_gives_the_same_network(
    bvlc_googlenet: str,
    state: dict[str, torch.Tensor],
    caffe: type[Caffe],
    tmp_path: Path,
    old: bool,
) -> None:
    with torch.device("meta"):
        names = list(BvlcGoogLeNet().state_dict())
    path = tmp_path / "bvlc_googlenet.caffemodel"
    spelled = {name: state[name.replace("/", "_")] for name in names}
    helpers = {
        f"loss1/conv.{kind}": torch.ones(4, 1, 1, 1)[:, 0, 0, 0] for kind in ("weight", "bias")
    }
    path.write_bytes(caffe.net(helpers | spelled, name="GoogleNet", old=old))
    loaded = load_network(f"bvlc_googlenet:{path}")
    assert loaded.digest == load_network(bvlc_googlenet).digest


def test_weights_from_converters_load(small: dict[str, torch.Tensor], tmp_path: Path) -> None:
    caffes, converted = tmp_path / "caffe.safetensors", tmp_path / "converted.pth"
    save_file(small, caffes)
    renamed = {name.replace("/", "_"): value for name, value in small.items()}
    for kind in ("weight", "bias"):
        renamed[f"loss3_classifier_1.{kind}"] = renamed.pop(f"loss3_classifier.{kind}")
    torch.save(renamed, converted)
    networks = [load_network(f"bvlc_googlenet:{path}") for path in (caffes, converted)]
    assert networks[0].digest == networks[1].digest


def test_weights_with_other_classes_load(small: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "places.safetensors"
    cut = {name: value[:365] if "loss3" in name else value for name, value in small.items()}
    save_file({name: value.contiguous() for name, value in cut.items()}, path)
    network = load_network(f"bvlc_googlenet:{path}")
    assert network.head.channels == 365
    assert network.words == ()


def refusal(name: str) -> str:
    with pytest.raises(WeightsError) as caught:
        load_network(name)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_caffemodel_of_another_network_is_refused(caffe: type[Caffe], tmp_path: Path) -> None:
    path = tmp_path / "alexnet.caffemodel"
    path.write_bytes(
        caffe.net({"conv1.weight": torch.ones(2, 3, 1, 1), "conv1.bias": torch.ones(2)})
    )
    message = refusal(f"bvlc_googlenet:{path}")
    assert "116 of 116 are missing, conv1/7x7_s2.weight" in message


def test_a_caffemodel_cut_between_layers_is_refused(
    small: dict[str, torch.Tensor], caffe: type[Caffe], tmp_path: Path
) -> None:
    path = tmp_path / "bvlc_googlenet.caffemodel"
    cut = {name: value for name, value in small.items() if "loss3" not in name}
    path.write_bytes(caffe.net(cut))
    message = refusal(f"bvlc_googlenet:{path}")
    assert "2 of 116 are missing, loss3/classifier.weight, loss3/classifier.bias" in message


def test_weights_of_another_shape_are_refused(
    small: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "wide.safetensors"
    save_file({**small, "inception_4c/1x1.weight": torch.ones(128, 512, 3, 3)}, path)
    message = refusal(f"bvlc_googlenet:{path}")
    assert "inception_4c/1x1.weight has the shape (128, 512, 3, 3), not (128, 512, 1, 1)" in message


def test_it_is_downloaded_from_caffes_model_zoo() -> None:
    assert NETWORK.weights is not None
    source = NETWORK.weights()
    assert source.url == "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel"
    assert source.sha1 == "405fc5acd08a3bb12de8ee5e23a96bec22f08204"
    assert source.file_name == "bvlc_googlenet-405fc5ac.caffemodel"


def test_what_is_downloaded_is_read(
    small: dict[str, torch.Tensor],
    caffe: type[Caffe],
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REVERIE_WEIGHTS", str(tmp_path))
    shop.content = caffe.net(small, name="GoogleNet", old=True)
    path = fetch_weights(WeightsSource(f"{shop.address}/net.caffemodel", sha1=shop.sha1))
    assert path.suffix == ".caffemodel"
    weight = NETWORK.load(path).get_parameter("loss3/classifier.weight")
    assert torch.equal(weight, small["loss3/classifier.weight"])


def test_without_its_weights_it_says_how_to_get_them() -> None:
    message = refusal("bvlc_googlenet")
    assert "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel by hand" in message
