"""Recording: whatever style a network is written in, its program gives what the network gives."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

from reverie import Network
from reverie.networks.loading import LoadedNetwork
from reverie.networks.program import Reshape, flat
from reverie.networks.proving import ProvenPrograms
from reverie.networks.recording import Unrecordable, record
from reverie.networks.watching import outputs_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Net(nn.Module):
    """A convolution, a function, and a named end."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.function = function
        self.end = nn.Identity()
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for value in self.parameters():
                value.copy_(torch.randn(value.shape, generator=generator))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        end: torch.Tensor = self.end(self.function(self.first(image)))
        return end


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) - 0.3


def fits(module: nn.Module, *shape: int) -> bool:
    """Record on two pictures; tell whether the program is right for others of a shape."""
    module = module.eval().requires_grad_(requires_grad=False)
    program = record(module, noise(2, 3, 16, 24), ["first", "end"])
    picture = noise(*shape)
    expected = outputs_of(module, picture, ["first", "end"])
    found = program.up_to(["first", "end"])(picture)
    return all(torch.allclose(found[path], expected[path], atol=1e-6) for path in expected)


def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def scripted(x: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():  # deprecated, but in old networks
        warnings.simplefilter("ignore")
        found: torch.Tensor = torch.jit.script(swish)(x)
    return found


class Swish(torch.autograd.Function):
    """The memory-efficient swish of many ports, with a backward of its own."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        del ctx
        return x * torch.sigmoid(x)


def shuffled(x: torch.Tensor) -> torch.Tensor:
    count, channels, height, width = x.shape
    x = x.view(count, 2, channels // 2, height, width).transpose(1, 2).contiguous()
    return x.view(count, -1, height, width)


def changed(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    x += 1
    x.mul_(y).clamp_(min=0)
    return functional.relu_(x - 1)


def asserted(x: torch.Tensor) -> torch.Tensor:
    assert x.shape[1] == 8, f"{x.shape}"
    return x if x.shape[2] < x.shape[3] else x.mT.mT


def split(x: torch.Tensor) -> torch.Tensor:
    one, two = x.chunk(2, dim=1)
    return torch.cat([two, one.square(), x[:, ::3]], dim=1)


def masked(x: torch.Tensor) -> torch.Tensor:
    mask = torch.zeros_like(x[:1, :1, :1, :1])
    mask += 2
    return x * mask + x.new_ones(1)


with torch.inference_mode():
    INFERRED = torch.full((1,), 2.0)


STYLES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "scripted": scripted,
    "shuffled": shuffled,
    "changed in place": changed,
    "asserted": asserted,
    "split": split,
    "made constants": masked,
    "a constant of inference": lambda x: x * INFERRED,
    "flattened": lambda x: functional.adaptive_avg_pool2d(x, 2).flatten(1),
    "viewed": lambda x: functional.adaptive_avg_pool2d(x, 2).view(x.shape[0], -1),
    "squeezed": lambda x: x * torch.sigmoid(functional.adaptive_avg_pool2d(x, 1)),
    "resized": lambda x: functional.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "response": lambda x: functional.local_response_norm(x, 3),
    "grouped": lambda x: functional.group_norm(x, 2),
    "linear over channels": lambda x: functional.linear(
        x.permute(0, 2, 3, 1), torch.ones(5, 8)
    ).permute(0, 3, 1, 2),
}


def gated(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        gate = torch.sigmoid(x)
    return x * gate + x.detach()


def test_where_a_network_lets_no_gradient_back_its_program_does_not_either() -> None:
    module = Net(gated).eval().requires_grad_(requires_grad=False)
    program = record(module, noise(2, 3, 16, 24), ["end"])
    image = noise(1, 3, 18, 20).requires_grad_()
    (found,) = torch.autograd.grad(program(image)["end"].square().sum(), image)
    expected = outputs_of(module, image, ["end"])["end"].square().sum()
    (exact,) = torch.autograd.grad(expected, image)
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", STYLES)
def test_one_program_does_for_pictures_of_other_sizes_and_numbers(style: str) -> None:
    assert fits(Net(STYLES[style]), 1, 3, 21, 35)
    assert fits(Net(STYLES[style]), 3, 3, 16, 24)


def same_padding(x: torch.Tensor) -> torch.Tensor:
    """TensorFlow's, whose zeros depend on whether the side is even."""
    rows, columns = (max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in x.shape[2:])
    x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return functional.max_pool2d(x, 3, 2)


def proven(function: Callable[[torch.Tensor], torch.Tensor]) -> ProvenPrograms:
    module = Net(function).eval().requires_grad_(requires_grad=False)
    network = Network(name="mine", summary="", load=lambda _: module)
    return ProvenPrograms(network, module, ["end"])


def test_a_program_that_fits_one_size_only_is_found_out() -> None:
    programs = proven(same_padding)
    assert (programs.fits_all, programs.is_faithful) == (False, True)
    for shape in ((1, 3, 17, 25), (2, 3, 16, 24)):
        program, picture = programs.at(shape), noise(*shape)
        assert program is not None
        expected = outputs_of(programs.module, picture, ["end"])["end"]
        assert torch.allclose(program(picture)["end"], expected, atol=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_programs_that_fit_all_are_found_out_too(style: str) -> None:
    assert proven(STYLES[style]).fits_all


def hidden(x: torch.Tensor) -> torch.Tensor:
    """What leaves PyTorch and comes back is a constant to the recorder."""
    return x + torch.from_numpy(x.detach().numpy() * 2)


@pytest.mark.parametrize("function", [hidden, "asks"])
def test_a_program_that_missed_something_is_not_used(
    function: Callable[[torch.Tensor], torch.Tensor] | str,
) -> None:
    programs = proven(asks if isinstance(function, str) else function)
    assert not programs.fits_all
    assert not programs.is_faithful
    assert programs.at((1, 3, 16, 24)) is None


def asks(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.sum() > 0 else x


def counted(x: torch.Tensor) -> torch.Tensor:
    return x[x > 0].mean() * x


def through_a_view(x: torch.Tensor) -> torch.Tensor:
    x[:, 1:].zero_()
    return x


def into_its_own(x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(*x.shape)
    out[:, 1:] = x[:, 1:]
    return out


def by_swish(x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = Swish.apply(x)
    return found


@pytest.mark.parametrize(
    "function", [asks, counted, torch.rand_like, through_a_view, into_its_own, by_swish]
)
def test_what_no_program_can_say_is_refused(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    with pytest.raises(Unrecordable):
        fits(Net(function), 2, 3, 16, 24)


class Counting(nn.Module):
    """Changes a buffer of its own with each picture."""

    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.norm = nn.BatchNorm2d(3)
        self.end = nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.count += 1
        mean, variance = self.norm.running_mean, self.norm.running_var
        end: torch.Tensor = self.end(functional.batch_norm(image, mean, variance, training=True))
        return end


def test_recording_leaves_the_network_and_the_picture_as_they_were() -> None:
    module = Counting().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    picture = noise(2, 3, 8, 8)
    kept = picture.clone()
    record(module, picture, ["end"])
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before)
    assert torch.equal(picture, kept)
    assert not any(part._forward_hooks for part in module.modules())


def test_attention_is_recorded_as_it_is_trained() -> None:
    """PyTorch's short cut for attention has no gradient."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.1)
    module = Net(lambda x: layer(x.flatten(2).mT)).eval()
    layer.eval().requires_grad_(requires_grad=False)
    program = record(module, noise(2, 3, 4, 6), ["end"])
    image = noise(2, 3, 4, 6).requires_grad_()
    found = program(image)["end"]
    expected = outputs_of(module.requires_grad_(requires_grad=False), image, ["end"])["end"]
    assert torch.allclose(found, expected, atol=1e-5)
    (one,) = torch.autograd.grad(found.square().sum(), image)
    (other,) = torch.autograd.grad(expected.square().sum(), image)
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_model_in_another_thread_notices_nothing() -> None:
    other, errors, done = Net(torch.relu), [], threading.Event()
    picture = noise(1, 3, 8, 8)
    with torch.no_grad():
        expected = other(picture)

    def work() -> None:
        while not done.is_set():
            try:
                with torch.no_grad():
                    assert torch.equal(other(picture), expected)
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test below
                errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    call = nn.Module.__call__
    for style in STYLES.values():
        fits(Net(style), 1, 3, 16, 24)
        assert nn.Module.__call__ is call
    done.set()
    thread.join()
    assert not errors


def test_a_reshape_keeps_the_sides_that_stay() -> None:
    shuffle = Reshape.seen((2, 6, 5, 7), (2, 3, 2, 5, 7))
    assert shuffle(torch.zeros(9, 6, 8, 4)).shape == (9, 3, 2, 8, 4)
    assert Reshape.seen((2, 6, 1, 1), (2, 6))(torch.zeros(1, 6, 1, 1)).shape == (1, 6)
    assert Reshape.seen((2, 6, 3, 3), (2, 54))(torch.zeros(1, 6, 3, 3)).shape == (1, 54)
    assert Reshape.seen((2, 5, 6), (10, 6))(torch.zeros(3, 4, 6)).shape == (12, 6)
    assert Reshape.seen((1, 1, 1), (1,))(torch.zeros(1, 1, 1)).shape == (1,)
    assert Reshape.seen((4,), (4, 1, 1))(torch.zeros(5)).shape == (5, 1, 1)


class Windows(nn.Module):
    """Pads as TensorFlow does, so that each size has a program; with norms to fold."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.end = nn.Conv2d(8, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        end: torch.Tensor = self.end(same_padding(self.norm(self.first(image)).relu()))
        return end


def test_the_programs_of_one_network_share_their_weights() -> None:
    module = Windows().eval().requires_grad_(requires_grad=False)
    network = Network(name="mine", summary="", load=lambda _: module)
    ready = LoadedNetwork(network, module).prepare(["end"], torch.device("cpu"), torch.float32)
    one, other = ready.program((1, 3, 31, 36)), ready.program((1, 3, 48, 40))
    assert one is not None
    assert other is not None
    assert one is not other
    weights = [
        [each for each in flat(call.args) if isinstance(each, torch.Tensor)]
        for program in (one, other)
        for call in program.calls
    ]
    half = len(weights) // 2
    assert [*map(id, flat(weights[:half]))] == [*map(id, flat(weights[half:]))]
