from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from reverie import NetworkError, ReverieError, WeightsError
from reverie.device import own_grad_mode
from reverie.networks.loading import LoadedNetwork, load_network
from reverie.networks.recording import record
from reverie.networks.watching import outputs_of
from reverie.objectives import INPUT
from reverie.types import Network

if TYPE_CHECKING:
    from pathlib import Path

    from reverie.networks.prepared import PreparedNetwork

CPU = torch.device("cpu")


class Residual(nn.Module):
    """Adds to an activation in place, as torchvision's ResNet does, and counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.late = nn.Conv2d(4, 5, 3, padding=1)
        self.runs = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        early = self.act(self.first(image))
        out = self.second(early)
        out += early
        self.runs += 1
        result: torch.Tensor = self.late(out)
        return result


def loaded(module: nn.Module, window: int | None = None) -> LoadedNetwork:
    record = Network(name="test", summary="", load=lambda _: module, window=window)
    return LoadedNetwork(record, module.eval().requires_grad_(requires_grad=False))


def prepared(network: LoadedNetwork, *layers: str) -> PreparedNetwork:
    return network.prepare(layers, CPU, torch.float32)


def test_layers_give_what_their_modules_gave(picture: torch.Tensor) -> None:
    module = Residual()
    network = loaded(module)
    given = prepared(network, "second", "late", INPUT)(picture)
    normal = (picture - torch.tensor(network.record.mean).view(1, 3, 1, 1)) / torch.tensor(
        network.record.std
    ).view(1, 3, 1, 1)
    early = module.first(normal).relu()
    second = module.second(early)
    assert torch.allclose(given["second"], second, atol=1e-5)
    assert torch.allclose(given["late"], module.late(second + early), atol=1e-5)
    assert torch.equal(given[INPUT], picture)


def test_nothing_behind_the_deepest_layer_runs_or_is_kept(picture: torch.Tensor) -> None:
    module = Residual()
    ready = prepared(loaded(module), "first")
    before = module.runs
    ready(picture)
    assert module.runs == before
    program = ready.program(tuple(picture.shape))
    assert program is not None
    assert len(program.calls) == 1
    assert outputs_of(ready.module, picture, ["first"]).keys() == {"first"}
    assert ready.module.runs == before


def test_an_in_place_network_gives_the_gradient_of_what_it_computes() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 12, 12, generator=generator)
    ready = prepared(load_network("embedded"), "trunk.1.0.energy.0.0", "eyes")
    with own_grad_mode():
        image = image.requires_grad_()
        given = ready(image.repeat(1, 1, 6, 6))
        (gradient,) = torch.autograd.grad(
            given["eyes"].mean() + given["trunk.1.0.energy.0.0"].mean(), image
        )
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0


def test_bf16_activations_come_back_as_float32(picture: torch.Tensor) -> None:
    network = load_network("embedded")
    exact = network.prepare(["eyes"], CPU, torch.float32)(picture)["eyes"]
    rough = network.prepare(["eyes"], CPU, torch.bfloat16)(picture)["eyes"]
    assert rough.dtype is torch.float32
    similarity = torch.nn.functional.cosine_similarity(exact.flatten(), rough.flatten(), dim=0)
    assert float(similarity) > 0.99


def test_tokens_come_as_a_map_with_channels_first(picture: torch.Tensor) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 12, 32, 32)
            self.mix = nn.Linear(12, 7)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.mix(self.patch(image).flatten(2).mT)
            return result

    given = prepared(loaded(Tokens()), "mix")(picture)
    assert given["mix"].shape == (1, 7, 2 * 3, 1)


def test_a_network_of_one_size_sees_a_picture_in_windows(picture: torch.Tensor) -> None:
    class Strict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 8, 8)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            assert image.shape[2:] == (32, 32)
            result: torch.Tensor = self.conv(image)
            return result

    network = loaded(Strict(), window=32)
    batch = torch.cat([picture, picture.flip(3)])
    given = prepared(network, "conv")(batch)["conv"]
    windows = 3 * 4  # 71 x 97 px in windows of 32
    assert given.shape == (2, 6, windows * 4, 4)
    assert torch.allclose(given[:1], prepared(network, "conv")(picture)["conv"], atol=1e-6)


def test_a_batch_gives_what_each_picture_gives(picture: torch.Tensor) -> None:
    ready = prepared(load_network("embedded"), "eyes")
    other = picture.flip(2)
    together = ready(torch.cat([picture, other]))["eyes"]
    alone = torch.cat([ready(picture)["eyes"], ready(other)["eyes"]])
    assert torch.allclose(together, alone, atol=1e-3, rtol=1e-3)


def test_a_layer_that_never_runs_is_named() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Conv2d(3, 2, 3)
            self.idle = nn.Conv2d(3, 2, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.used(image)
            return result

    network = loaded(Idle())
    with pytest.raises(NetworkError, match="no layer in 'test' 'idle'"):
        network.layer("idle")


def test_preparing_for_one_layer_leaves_the_network_whole(picture: torch.Tensor) -> None:
    network = loaded(Residual())
    prepared(network, "first")
    given = prepared(network, "late")(picture)
    assert given["late"].shape[1] == 5


def test_two_networks_with_the_same_weights_have_the_same_digest() -> None:
    first, second = Residual(), Residual()
    second.load_state_dict(first.state_dict())
    assert loaded(first).digest == loaded(second).digest
    second.first.weight.data[0, 0, 0, 0] += 1
    assert loaded(first).digest != loaded(second).digest


def test_without_a_default_a_middle_layer_is_dreamed() -> None:
    module = nn.Sequential()
    for i in range(6):
        module.add_module(f"block{i}", nn.Conv2d(3 if i == 0 else 4, 4, 3, 2, 1))
    network = loaded(module)
    stride = network.layers[network.default_layer].stride
    assert stride is not None
    assert stride >= 16


def test_a_missing_weights_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth"):
        load_network(f"resnet18:{tmp_path / 'none.pth'}")


def test_without_a_connection_the_sentence_has_address_and_folder(tmp_path: Path) -> None:
    del tmp_path
    with pytest.raises(ReverieError, match=r"https://download\.pytorch\.org/.*checkpoints"):
        load_network("resnet18")


def test_changed_weights_are_loaded_again(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from reverie.networks.embedded import WEIGHTS

    file = tmp_path / "own.safetensors"
    state = load_file(WEIGHTS)
    save_file(state, file)
    before = load_network(f"embedded:{file}").digest
    state["eyes.0.bias"] += 1
    file.unlink()
    save_file(state, file)
    assert load_network(f"embedded:{file}").digest != before


def test_own_weights_are_found_by_their_bare_name_in_the_weights_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reverie.networks.embedded import WEIGHTS

    (tmp_path / "mine.safetensors").write_bytes(WEIGHTS.read_bytes())
    with pytest.raises(WeightsError, match="give their whole path"):
        load_network("embedded:mine.safetensors")
    monkeypatch.setenv("REVERIE_WEIGHTS", str(tmp_path))
    found = load_network("embedded:mine.safetensors")
    assert found.digest == load_network("embedded").digest


def test_a_network_that_cannot_be_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from reverie import hookimpl
    from reverie.plugins import Registry

    def load(_weights: Path | None) -> nn.Module:
        raise TypeError("no such thing")

    network = Network(name="faulty", summary="", load=load)
    plugin = SimpleNamespace(
        reverie_networks=hookimpl(specname="reverie_networks")(lambda: [network])
    )
    found = Registry([("example", plugin)], installed=())
    monkeypatch.setattr("reverie.networks.loading.registry", lambda: found)
    with pytest.raises(NetworkError, match="'faulty' cannot be built: TypeError: no such thing"):
        load_network("faulty")


def test_an_interrupted_pass_leaves_nothing_behind(
    picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = prepared(load_network("embedded"), "outlines", "creatures").module
    paths = ["outlines", "creatures"]
    expected = outputs_of(module, picture, paths)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for run in (outputs_of, record):
        with monkeypatch.context() as patch:
            patch.setattr(module.get_submodule("gazes"), "forward", interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(module, picture.flip(3), paths)
        assert not any(part._forward_hooks for part in module.modules())
        again = outputs_of(module, picture, paths)
        assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_a_released_network_leaves_memory_at_once() -> None:
    import gc
    import weakref

    from reverie.networks.loading import release

    network = weakref.ref(load_network("embedded"))
    gc.collect()
    gc.disable()
    try:
        release()
        assert network() is None
    finally:
        gc.enable()


def test_a_network_that_dreamed_leaves_memory_without_the_collector(picture: torch.Tensor) -> None:
    """A network that another one displaces is not released by anyone."""
    import gc
    import weakref

    from reverie import Recipe, dream
    from reverie.networks import loading

    loading.release()
    dream(picture, Recipe(octaves=1, steps=1, precision="float32"))
    network = weakref.ref(load_network("embedded"))
    layers = frozenset({"creatures"})
    ready = network().prepare(layers, torch.device("cpu"), torch.float32)  # type: ignore[union-attr]
    program = ready.program((1, 3, *picture.shape[2:]))
    assert program is not None
    assert program.derived, "it should have been frozen"
    del program
    prepared = weakref.ref(ready)
    del ready
    gc.disable()
    try:
        loading._load.cache_clear()
        assert network() is None
        assert prepared() is None
    finally:
        gc.enable()


class Noisy(nn.Module):
    """Draws random numbers for every picture, which no program can say."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        last: torch.Tensor = self.last(nn.functional.dropout(image))
        return last


def test_a_network_that_draws_gives_the_same_twice_and_leaves_the_callers_numbers(
    picture: torch.Tensor,
) -> None:
    ready = prepared(loaded(Noisy()), "last")
    before = torch.get_rng_state()
    with own_grad_mode():
        one, other = ready(picture)["last"], ready(picture)["last"]
    assert not ready.has_program
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
