"""The tape-free engine against autograd: gradients, not pictures, because the ascent is chaotic."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from statistics import mean, median
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

from reverie import Network, Recipe, Step, dream
from reverie.device import DTYPES, own_grad_mode
from reverie.engine import frozen as frozen_module
from reverie.engine import strips
from reverie.engine.frozen import freeze
from reverie.engine.gradient import image_gradient
from reverie.engine.kernels import choose
from reverie.engine.kernels.plain import PlainKernels
from reverie.engine.operations import Add, Convolution, Segment, Silu
from reverie.engine.prepare import prepare
from reverie.grammar import parse_objective
from reverie.networks import zoo
from reverie.networks.loading import LoadedNetwork, load_network, release
from reverie.networks.pooling import EnergyPool2d
from reverie.objectives import Objective, channel, layer, total_variation
from reverie.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CPU = torch.device("cpu")
FAMILIES = {
    "alexnet": "features.9",
    "convnext_tiny": "features.3",
    "densenet121": "features.denseblock2",
    "efficientnet_b0": "features.4",
    "googlenet": "inception4c",
    "inception_v3": "Mixed_6b",
    "mnasnet0_5": "layers.10",
    "mobilenet_v2": "features.10",
    "mobilenet_v3_small": "features.8",
    "regnet_y_400mf": "trunk_output.block2",
    "resnet18": "layer3",
    "resnext50_32x4d": "layer2",
    "shufflenet_v2_x0_5": "stage3",
    "squeezenet1_1": "features.10",
    "swin_t": "features.3",
    "vgg11_bn": "features.14",
}
"""One of each family of torchvision's that takes any size, and a layer in its middle."""


def smooth_noise(height: int, width: int, count: int = 1) -> torch.Tensor:
    noise = torch.rand(
        count, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(0)
    )
    return functional.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1)


@cache
def random_network(name: str) -> LoadedNetwork:
    """A network with random weights, its BatchNorm calibrated so that no layer is dead."""
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        quiet = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
        module: nn.Module = get_model(name, weights=None, **quiet)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 1.0
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)
        side = 299 if name == "inception_v3" else 128
        with torch.no_grad():
            module.train()(torch.randn(2, 3, side, side))
    module.eval().requires_grad_(requires_grad=False)
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
    return LoadedNetwork({n.name: n for n in zoo.networks()}[name], module)


def by_autograd(
    network: LoadedNetwork, objective: Objective, image: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    with own_grad_mode():
        prepared = network.prepare(objective.layers, CPU, dtype)
        return image_gradient(prepared, objective, image, (5, -9))[1]


def by_engine(
    network: LoadedNetwork, objective: Objective, image: torch.Tensor, precision: str
) -> tuple[torch.Tensor, torch.Tensor]:
    forth, back = DTYPES[precision]
    with own_grad_mode():
        frozen = freeze(network.prepare(objective.layers, CPU, forth), back, tuple(image.shape))
        assert frozen is not None, "it should have been traced"
        return frozen.gradient(objective, image, (5, -9))


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@dataclass(frozen=True)
class Measured:
    """Errors and cosines of one family's gradients, against autograd in float64."""

    eager_error: float
    error: float
    mixed: float
    eager_bf16: float
    bf16: float


@cache
def measured(name: str) -> Measured:
    network, objective = random_network(name), layer(FAMILIES[name])
    image = smooth_noise(128, 150)
    exact = by_autograd(network, objective, image, torch.float64)
    return Measured(
        eager_error=error(by_autograd(network, objective, image, torch.float32), exact),
        error=error(by_engine(network, objective, image, "float32")[1], exact),
        mixed=cosine(by_engine(network, objective, image, "mixed")[1], exact),
        eager_bf16=cosine(by_autograd(network, objective, image, torch.bfloat16), exact),
        bf16=cosine(by_engine(network, objective, image, "bf16")[1], exact),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gets_the_gradient_that_autograd_gives(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, where no ReLU flips on a rounding error."""
    monkeypatch.setitem(DTYPES, "float64", (torch.float64, torch.float64))
    monkeypatch.setattr(frozen_module, "choose", lambda _device: PlainKernels())
    network, objective = random_network(name), layer(FAMILIES[name])
    image = smooth_noise(128, 150)
    exact = by_autograd(network, objective, image, torch.float64)
    assert error(by_engine(network, objective, image, "float64")[1], exact) < 1e-6


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_climbs_in_every_precision(name: str) -> None:
    found = measured(name)
    # A ReLU that flips on a rounding error is worth up to 1e-2; eager float32 flips some too.
    assert found.error < max(3 * found.eager_error, 3e-2)
    assert found.mixed > 0.999
    assert found.bf16 > found.eager_bf16 - 0.03


def test_over_all_families_the_engine_is_as_exact_as_eager_pytorch() -> None:
    found = [measured(name) for name in FAMILIES]
    assert median(each.error for each in found) < 3 * median(each.eager_error for each in found)
    assert mean(each.bf16 - each.eager_bf16 for each in found) > -0.005


@pytest.mark.parametrize(
    "text",
    [
        "layer('eyes') - 0.5 * channel('outlines', 3)",
        "2 * channel('creatures', 7) - 0.01 * total_variation()",
        "neuron('eyes', 5, 0.5, 0.25) + layer('rings')",
    ],
)
def test_objectives_over_several_layers_and_the_picture(text: str) -> None:
    network, objective = load_network("embedded"), parse_objective(text, registry().objectives())
    image = smooth_noise(120, 97, count=2)
    value, found = by_engine(network, objective, image, "float32")
    with own_grad_mode():
        prepared = network.prepare(objective.layers, CPU, torch.float32)
        expected_value, expected = image_gradient(prepared, objective, image, (5, -9))
    assert torch.allclose(value, expected_value, rtol=1e-4)
    assert error(found, expected) < 1e-3


def test_the_pictures_of_a_batch_do_not_see_each_other() -> None:
    network, objective = load_network("embedded"), layer("eyes")
    images = smooth_noise(96, 110, count=3)
    _, together = by_engine(network, objective, images, "float32")
    for number in range(3):
        _, alone = by_engine(network, objective, images[number : number + 1], "float32")
        assert error(together[number : number + 1], alone) < 1e-4


@pytest.mark.parametrize("kernel", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(64, 65), (67, 66)])
def test_a_stem_that_reads_folded_pictures_sees_what_the_stem_sees(
    kernel: int, padding: int, size: tuple[int, int]
) -> None:
    if 2 * padding > kernel:
        pytest.skip("no network pads by more than half its kernel")
    module = nn.Sequential(nn.Conv2d(3, 8, kernel, 2, padding), nn.ReLU(), nn.Conv2d(8, 4, 3))
    assert same_gradient(module, "2", size) < 1e-5


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("stem", [(7, 2, 3), (3, 1, 1), (5, 1, 0)])
def test_pooling_in_strips_changes_nothing(
    stem: tuple[int, int, int],
    kernel: int,
    stride: int,
    ceil: bool,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (nn.MaxPool2d(kernel, stride, ceil_mode=ceil) for _ in range(2))
    module = nn.Sequential(
        nn.Conv2d(3, 8, *stem), nn.ReLU(), first, nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), second
    )
    monkeypatch.setattr(strips, "_STRIP", 1)
    monkeypatch.setattr(strips, "_FEWEST", rows)
    assert same_gradient(module, "5", (71, 64)) < 1e-5


class Branches(nn.Module):
    """Reads values several times, in place and not, and joins what is a ReLU with what is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, stride=2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.raw = nn.Conv2d(8, 8, 1, stride=2)
        self.join = nn.Identity()
        self.last = nn.Conv2d(24, 5, 3, dilation=2, groups=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.first(x))
        one = functional.relu(self.second(x))
        two = self.pool(x)
        three = self.raw(x) * torch.sigmoid(one)
        two = two + one
        joined: torch.Tensor = self.join(torch.cat([one, two, three], 1))
        last: torch.Tensor = self.last(joined.tanh())
        return last


class InPlace(nn.Module):
    """Changes a value that was read before, and is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.last = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        other = x * 2
        x.add_(1)
        last: torch.Tensor = self.last(other * x)
        return last


class Aliases(nn.Module):
    """Changes a part of a value through a view of it: only autograd follows that."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.last = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x[:, ::2].mul_(3)
        last: torch.Tensor = self.last(x * x)
        return last


class Asks(nn.Module):
    """Decides by the values it sees, which cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            x = x * 2
        only: torch.Tensor = self.only(x)
        return only


def loaded(module: nn.Module) -> LoadedNetwork:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
    module.eval().requires_grad_(requires_grad=False)
    return LoadedNetwork(Network(name="mine", summary="", load=lambda _: module), module)


def same_gradient(module: nn.Module, name: str, size: tuple[int, int]) -> float:
    network, image = loaded(module), smooth_noise(*size, count=2)
    exact = by_autograd(network, layer(name), image, torch.float32)
    return error(by_engine(network, layer(name), image, "float32")[1], exact)


@pytest.mark.parametrize("name", ["last", "join", "pool", "second", "first"])
def test_any_network_that_can_be_traced(name: str) -> None:
    assert same_gradient(Branches(), name, (45, 52)) < 1e-5


def test_only_what_is_unknown_is_left_to_autograd() -> None:
    network = loaded(Branches())
    frozen = freeze(network.prepare(["last"], CPU, torch.float32), torch.float32)
    assert frozen is not None
    kinds = [type(operation) for operation in frozen.operations]
    assert kinds.count(Segment) == 2, "the gate, and from the join with it to tanh"
    assert kinds.count(Convolution) == 4


def test_a_residual_sum_is_done_by_the_silu_before_it() -> None:
    network = load_network("embedded")
    frozen = freeze(network.prepare(["creatures"], CPU, torch.float32), torch.float32)
    assert frozen is not None
    kinds = Counter(type(operation) for operation in frozen.operations)
    assert kinds[Add] == 1, "only the one after a convolution"
    assert sum(len(each.inputs) == 2 for each in frozen.operations if isinstance(each, Silu)) == 6


class Sums(nn.Module):
    """Sums that a SiLU before them may do, and sums that it may not: others read what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(n, 6, 3, padding=1) for n in (3, 6, 6))
        self.last = nn.Conv2d(6, 5, 1)
        self.silu = nn.SiLU()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Add SiLUs on the left, on the right, twice, and one that is read again."""
        one = self.silu(self.first(image))
        two = self.silu(self.second(one)) + one
        three = two + self.silu(self.third(two))
        both = self.silu(three) + self.silu(two)
        again = self.silu(both)
        result: torch.Tensor = self.last((again + both) * again)
        return result


def test_sums_of_silus_have_the_gradients_of_autograd() -> None:
    assert same_gradient(Sums(), "last", (20, 23)) < 1e-5


@pytest.mark.parametrize(("kernel", "padding"), [(4, 1), (2, 0), (3, 1)])
@pytest.mark.parametrize("size", [(45, 52), (20, 21)])
def test_a_pool_of_energy_is_an_operation(kernel: int, padding: int, size: tuple[int, int]) -> None:
    pool = EnergyPool2d(kernel, 2, padding)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), pool, nn.Conv2d(8, 4, 1))
    assert same_gradient(module, "3", size) < 1e-5
    network = loaded(module)
    image = smooth_noise(*size)
    exact = by_autograd(network, layer("3"), image, torch.float32)
    for precision in ("mixed", "bf16"):
        assert cosine(by_engine(network, layer("3"), image, precision)[1], exact) > 0.99
    frozen = freeze(network.prepare(["3"], CPU, torch.float32), torch.float32)
    assert frozen is not None
    assert not any(isinstance(operation, Segment) for operation in frozen.operations)


def test_a_pool_of_energy_gives_the_root_of_the_mean_square() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    found = EnergyPool2d(2, 2, 0, quiet=0.5)(image)
    assert float(found[0, 0, 0, 0]) == pytest.approx(((0 + 1 + 16 + 25) / 4 + 0.5) ** 0.5)
    assert float(EnergyPool2d(quiet=0.0)(torch.full((1, 1, 6, 6), -3.0)).min()) == 3
    image = image.double().requires_grad_()
    assert torch.autograd.gradcheck(EnergyPool2d(), image)


@pytest.mark.parametrize(
    "name", ["alexnet", "densenet121", "googlenet", "inception_v3", "resnet18", "squeezenet1_1"]
)
def test_nothing_of_the_usual_networks_is_unknown(name: str) -> None:
    prepared = random_network(name).prepare([FAMILIES[name]], CPU, torch.float32)
    frozen = freeze(prepared, torch.float32)
    assert frozen is not None
    assert not any(isinstance(operation, Segment) for operation in frozen.operations)


def test_a_change_in_place_makes_a_new_value() -> None:
    assert same_gradient(InPlace(), "last", (45, 52)) < 1e-5
    assert same_gradient(InPlace(), "first", (45, 52)) < 1e-5


@pytest.mark.parametrize(("make", "name"), [(Aliases, "last"), (Asks, "only")])
def test_what_cannot_be_frozen_dreams_with_autograd_and_says_so_once(
    make: Callable[[], nn.Module], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = loaded(make()).prepare([name], CPU, torch.float32)
    with caplog.at_level("DEBUG", logger="reverie"), own_grad_mode():
        assert freeze(prepared, torch.float32) is None
        assert freeze(prepared, torch.float32) is None
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "mine runs with autograd"
    ]


def test_a_hooked_module_is_called_as_ever() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    module[1].register_forward_hook(lambda _m, _i, output: output * 2)
    assert same_gradient(module, "2", (40, 40)) < 1e-5


def test_mixed_precision_climbs_like_float32(picture: torch.Tensor) -> None:
    last: dict[str, float] = {}
    for precision in ("float32", "mixed"):
        recipe = Recipe(octaves=1, steps=4, precision=precision)
        steps: list[Step] = []
        dream(picture, recipe, on_step=steps.append)
        last[precision] = steps[-1].value
    assert last["mixed"] == pytest.approx(last["float32"], rel=0.01)


def test_regularizers_alone_need_no_network() -> None:
    network, image = load_network("embedded"), smooth_noise(64, 64)
    _, found = by_engine(network, total_variation(), image, "float32")
    with own_grad_mode():
        prepared = network.prepare([*total_variation().layers], CPU, torch.float32)
        _, expected = image_gradient(prepared, total_variation(), image, (5, -9))
    assert torch.allclose(found, expected)


def test_a_channel_behind_the_layer_asked_for_is_not_run() -> None:
    network = load_network("embedded")
    frozen = freeze(network.prepare(channel("rings", 3).layers, CPU, torch.float32), torch.float32)
    assert frozen is not None
    convolutions = [o for o in frozen.operations if isinstance(o, Convolution)]
    assert len(convolutions) == 13, "up to this layer's, and nothing of the deeper ones"


class Same(nn.Conv2d):
    """Pads unevenly, as TensorFlow does where the stride is 2 and the side even."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, 2, groups=groups)
        self.pads = ((kernel - 2) // 2, (kernel - 1) // 2) * 2

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(image, self.pads))


@pytest.mark.parametrize("size", [(64, 72), (65, 67)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_uneven_padding_is_the_convolutions_own(kernel: int, size: tuple[int, int]) -> None:
    module = nn.Sequential(
        *(Same(3, 8, kernel), nn.ReLU6(), Same(8, 8, kernel, groups=8), nn.SiLU()),
        nn.Conv2d(8, 4, 1),
    )
    assert same_gradient(module, "4", size) < 1e-5
    assert same_gradient(module, "0", size) < 1e-5
    assert kinds_of(module, "4") == Counter({Convolution: 3, Silu: 1})


def kinds_of(module: nn.Module, name: str) -> Counter[type]:
    frozen = freeze(loaded(module).prepare([name], CPU, torch.float32), torch.float32)
    assert frozen is not None
    return Counter(type(operation) for operation in frozen.operations)


class Loud(nn.Module):
    """Multiplies, so that what is cut off at 6 is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 8


@pytest.mark.parametrize(
    "cut",
    [
        nn.ReLU6(),
        nn.Hardtanh(0, 6),
        nn.Hardtanh(0, 2.5),
        nn.ReLU6(inplace=True),
        nn.ReLU(),
    ],
)
def test_a_relu_with_a_limit_sends_nothing_back_from_above_it(cut: nn.Module) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), Loud(), cut, nn.MaxPool2d(2), nn.Conv2d(8, 4, 3))
    assert same_gradient(module, "4", (40, 43)) < 1e-5
    module = nn.Sequential(Loud(), nn.Conv2d(3, 8, 3), cut, nn.Conv2d(8, 4, 3))
    assert same_gradient(module, "3", (40, 43)) < 1e-5
    assert same_gradient(module, "2", (40, 43)) < 1e-5
    assert kinds_of(module, "3")[Convolution] == 2


@pytest.mark.parametrize("limit", [6.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_have_the_limit_in_every_kernel(dtype: torch.dtype, limit: float) -> None:
    values = smooth_noise(36, 42).repeat(1, 13, 1, 1)[:, :37].mul(14).sub(4).to(dtype)
    values[0, :3, 0, 0] = torch.tensor([limit, 0.0, -0.0])
    values = values.contiguous(memory_format=torch.channels_last)
    expected = values.clamp(0, limit), torch.where((values > 0) & (values < limit), values, 0)
    for kernels in (PlainKernels(), choose(CPU)):
        cut, mask = kernels.relu_positive(values.clone(), limit)
        assert torch.equal(cut, expected[0])
        assert torch.equal(kernels.masked(values.clone(), mask), expected[1])
        mask = kernels.positive(values, limit)
        assert torch.equal(kernels.masked(values.clone(), mask), expected[1])


@pytest.mark.parametrize("size", [5, 4])
def test_local_response_normalisation_is_an_operation(size: int) -> None:
    norm = nn.LocalResponseNorm(size, alpha=0.3, beta=0.6, k=1.5)
    module = nn.Sequential(nn.Conv2d(3, 9, 3), nn.ReLU(), Loud(), norm, nn.Conv2d(9, 4, 1))
    assert same_gradient(module, "4", (31, 40)) < 1e-5
    network, image = loaded(module), smooth_noise(48, 54)
    exact = by_autograd(network, layer("4"), image, torch.float32)
    for precision in ("mixed", "bf16"):
        assert cosine(by_engine(network, layer("4"), image, precision)[1], exact) > 0.99


class WithoutBf16(nn.Module):
    """Pools over neighbouring channels, for which CPUs have no bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = functional.relu(self.first(image))
        image = functional.avg_pool3d(image[:, None], (3, 1, 1), 1, (1, 0, 0))[:, 0]
        last: torch.Tensor = self.last(torch.sin(image))
        return last


@pytest.mark.parametrize("engine", ["frozen", "autograd"])
def test_what_has_no_bf16_is_computed_in_float32(engine: str) -> None:
    network, image = loaded(WithoutBf16()), smooth_noise(48, 54)
    exact = by_autograd(network, layer("last"), image, torch.float32)
    for _ in range(2):  # found out, and known
        if engine == "frozen":
            found = by_engine(network, layer("last"), image, "bf16")[1]
        else:
            found = by_autograd(network, layer("last"), image, torch.bfloat16)
        assert cosine(found, exact) > 0.99


def test_asked_for_bf16_by_name_what_is_not_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    module = WithoutBf16()
    record = Network(name="mine", summary="", load=lambda _: module)
    network = loaded(module)
    object.__setattr__(network, "record", record)
    for precision, count in (("mixed", 0), ("bf16", 1)):
        with patched_network(network), own_grad_mode():
            recipe = Recipe(network="mine", objective="last").evolve(precision=precision)
            climb = prepare(recipe, CPU)
            for _ in range(2):
                climb.gradient(smooth_noise(48, 54), (0, 0))
        assert len([r for r in caplog.records if "in bf16" in r.getMessage()]) == count


@contextmanager
def patched_network(network: LoadedNetwork) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reverie.engine.prepare.load_network", lambda _name: network)
        yield


@pytest.mark.parametrize("name", ["alexnet", "mobilenet_v3_small", "resnet18"])
def test_a_class_is_climbed_through_a_linear_head(name: str) -> None:
    network = random_network(name)
    objective = parse_objective("logit(7)", registry().objectives()).fit(network)
    image = smooth_noise(128, 150)
    value, found = by_engine(network, objective, image, "float32")
    exact = by_autograd(network, objective, image, torch.float32)
    assert network.head.kind == "Linear"
    assert torch.isfinite(value).all()
    assert cosine(found, exact) > 0.999


def test_gpus_get_float32_in_the_usual_order_and_bf16_in_channels_last() -> None:
    """`meta` has no CUDA; what decides is the kind of device."""
    prepared = load_network("embedded").prepare(["rings"], CPU, torch.float32)
    assert prepared._order is torch.channels_last
    prepared.device = torch.device("cuda")
    assert prepared._order is torch.contiguous_format
    prepared.dtype = torch.bfloat16
    assert prepared._order is torch.channels_last
    release()
