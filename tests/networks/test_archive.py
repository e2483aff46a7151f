"""PyTorch's zip archives: TorchScript's programs as weights, and hostile ones as a sentence."""

from __future__ import annotations

import io
import os
import random
import struct
import time
import warnings
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from reverie import Recipe, WeightsError, dream
from reverie.networks import archive as archives
from reverie.networks import zoo
from reverie.networks.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
]


class Small(nn.Module):
    """Everything that a module may keep: parts, shared parts, buffers, other attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.again = self.stem[1]
        self.register_buffer("table", torch.arange(6).view(2, 3))
        self.mean = torch.tensor([0.5])  # a tensor, but neither parameter nor buffer
        self.sizes = [1, 2]
        self.scale = 0.5
        self.word = "small"

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.again(self.stem(image)) * self.scale
        return result


def script(module: nn.Module) -> Any:
    return torch.jit.script(module)


def trace(module: nn.Module) -> Any:
    return torch.jit.trace(module, torch.rand(1, 3, 64, 64))  # type: ignore[no-untyped-call]


def torchvision(name: str, **options: Any) -> nn.Module:
    from torchvision.models import get_model

    quiet = {"init_weights": False} if name == "googlenet" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = get_model(name, weights=None, **quiet, **options).eval()
    return module


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith(".")
    assert len(message) < 500
    return message


# TorchScript


@pytest.mark.parametrize("compiled", [script, trace])
def test_a_program_is_read_as_the_state_dict_of_its_module(
    tmp_path: Path, compiled: Callable[[nn.Module], Any]
) -> None:
    module = Small().eval()
    compiled(module).save(tmp_path / "a.pt")
    found = load_weights(tmp_path / "a.pt")
    found.pop("mean", None)  # traced programs keep it, too
    assert_same(found, module.state_dict())


@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        ("squeezenet1_1", script),
        ("resnet18", trace),
        ("googlenet", script),
    ],
)
def test_programs_of_torchvision_dream_as_their_modules_do(
    tmp_path: Path, name: str, compiled: Callable[[nn.Module], Any], picture: torch.Tensor
) -> None:
    module = torchvision(name, num_classes=9)
    compiled(module).save(tmp_path / "program.pt")
    loaded = zoo._load(name, tmp_path / "program.pt")
    assert_same(loaded.state_dict(), module.state_dict())
    if name == "squeezenet1_1":
        torch.save(module.state_dict(), tmp_path / "weights.pth")
        dreams = [
            dream(
                picture,
                Recipe(network=f"{name}:{file}", octaves=1, steps=1, precision="float32"),
                device="cpu",
            )
            for file in (tmp_path / "program.pt", tmp_path / "weights.pth")
        ]
        assert torch.equal(*dreams)
        assert not torch.equal(dreams[0], picture)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_kind_come_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    module = nn.Sequential(nn.Linear(3, 4)).to(dtype)
    script(module).save(tmp_path / "a.pt")
    expected = {name: value.float() for name, value in module.state_dict().items()}
    found = load_weights(tmp_path / "a.pt")
    assert_same(found, expected)
    assert all(value.dtype is torch.float32 for value in found.values())


def test_a_wrapped_program_fits_too(tmp_path: Path) -> None:
    class Lightning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = torchvision("squeezenet1_1")
            self.loss = nn.Linear(2, 2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.model(image)
            return result

    module = Lightning().eval()
    script(module).save(tmp_path / "a.pt")
    loaded = zoo._load("squeezenet1_1", tmp_path / "a.pt")
    assert_same(loaded.state_dict(), module.model.state_dict())


def test_a_frozen_program_is_refused_with_a_remedy(tmp_path: Path) -> None:
    torch.jit.freeze(script(Small().eval())).save(tmp_path / "a.pt")
    assert "lost their names; save it before it is frozen" in refusal(tmp_path / "a.pt")


def test_no_code_of_a_program_is_compiled_or_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(Small().eval()).save(tmp_path / "a.pt")

    def forbid(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(torch.jit, "load", forbid)
    monkeypatch.setattr(torch._C, "import_ir_module", forbid)
    monkeypatch.setattr(torch._C, "import_ir_module_from_buffer", forbid)
    assert "stem.0.weight" in load_weights(tmp_path / "a.pt")


def test_quantised_weights_are_named_and_refused(tmp_path: Path) -> None:
    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer(
                "weight", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script(Quantised()).save(tmp_path / "a.pt")
    assert "torch._utils._rebuild_qtensor" in refusal(tmp_path / "a.pt")


# Pickles that PyTorch's own loader does not read


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_newer_pickles_are_read_without_a_warning(tmp_path: Path, protocol: int) -> None:
    state = OrderedDict(a=torch.arange(6.0).view(2, 3).T, n=torch.tensor(7), p=torch.ones(2, 2))
    torch.save(
        {"state_dict": state, "epoch": 3, "lr": 0.1, "name": "x" * 300, "best": None},
        tmp_path / "a.pth",
        pickle_protocol=protocol,
    )
    assert_same(load_weights(tmp_path / "a.pth"), state)


def test_parameters_in_a_newer_pickle_are_tensors(tmp_path: Path) -> None:
    torch.save({"a": nn.Parameter(torch.ones(2))}, tmp_path / "a.pth", pickle_protocol=4)
    assert torch.equal(load_weights(tmp_path / "a.pth")["a"], torch.ones(2))


# Hostile archives


def packed(content: bytes, path: Path, *, is_program: bool = True, **files: bytes) -> Path:
    """An archive around a pickle; in names, "__" stands for "/"."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content)
        if is_program:
            archive.writestr("a/constants.pkl", b"\x80\x02).")
        for name, data in files.items():
            archive.writestr(f"a/{name.replace('__', '/')}", data)
    return path


def named(text: str) -> bytes:
    module, name = text.split(" ")
    return b"c" + f"{module}\n{name}\n".encode()


PROTOCOL, END, EMPTY = b"\x80\x02", b".", b")"
TENSOR = named("torch._utils _rebuild_tensor_v2")


def number(value: int) -> bytes:
    size = max(1, (value.bit_length() + 8) // 8)
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str = "torch FloatStorage", key: str = "0", count: int = 4) -> bytes:
    pid = text("storage") + named(kind) + text(key) + text("cpu") + number(count)
    return b"(" + pid + b"tQ"


def tensor(
    numbers_of: bytes, offset: int = 0, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,)
) -> bytes:
    rest = b"\x89" + named("collections OrderedDict") + b")R"
    return (
        TENSOR
        + b"("
        + numbers_of
        + number(offset)
        + numbers(*size)
        + numbers(*stride)
        + rest
        + b"tR"
    )


def module(**attributes: bytes) -> bytes:
    pairs = b"".join(text(name) + value for name, value in attributes.items())
    return named("__torch__ Net") + b")\x81}(" + pairs + b"ub"


FOUR = struct.pack("<4f", 1, 2, 3, 4)


def test_what_these_helpers_write_is_read(tmp_path: Path) -> None:
    content = PROTOCOL + module(inner=module(w=tensor(storage()))) + END
    path = packed(content, tmp_path / "a.pt", data__0=FOUR)
    assert load_weights(path)["inner.w"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "content",
    [
        tensor(storage(), size=(5,)),
        tensor(storage(), offset=1),
        tensor(storage(), offset=-1),
        tensor(storage(), size=(2,), stride=(4,)),
        tensor(storage(), size=(2,), stride=(-1,)),
        tensor(storage(), size=(2**62, 2**62), stride=(0, 0)),
        tensor(storage(), size=(2**80,), stride=(0,)),
        tensor(storage(), size=(2, 2)),
        tensor(storage(), size=(1,) * 65, stride=(1,) * 65),
        tensor(storage(count=5)),
        tensor(storage(count=-1)),
        tensor(storage(count=2**70)),
        tensor(storage(key="../../secret")),
        tensor(storage(key="1")),
        tensor(storage("torch NoStorage")),
        tensor(storage("torch QInt8Storage")),
        tensor(storage("os FloatStorage")),
        tensor(text("no storage")),
        tensor(numbers(1, 2)),
    ],
)
def test_a_tensor_sees_its_own_numbers_only(tmp_path: Path, content: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(FOUR)
    path = packed(PROTOCOL + module(w=content) + END, tmp_path / "a.pt", data__0=FOUR)
    refusal(path)


def test_one_number_does_not_fill_the_memory(tmp_path: Path) -> None:
    huge = tensor(storage(), size=(2**40,), stride=(0,))
    path = packed(PROTOCOL + module(w=huge) + END, tmp_path / "a.pt", data__0=FOUR)
    assert "says that its weights have 4398046511104" in refusal(path)
    large = tensor(storage(count=2**20), size=(2**20,), stride=(1,))
    many = module(**{f"w{n}": large for n in range(300)})
    content = struct.pack("<f", 1) * 2**20
    assert "says that" in refusal(packed(PROTOCOL + many + END, path, data__0=content))


@pytest.mark.parametrize("is_program", [True, False])
@pytest.mark.parametrize(
    "name", ["os system", "builtins eval", "posix system", "torch.jit load", "torch._utils __doc__"]
)
def test_names_are_never_looked_up(tmp_path: Path, name: str, *, is_program: bool) -> None:
    mark = tmp_path / "it ran"
    call = named(name) + b"(" + text(f"touch '{mark}'") + b"tR"
    protocol = PROTOCOL if is_program else b"\x80\x04"
    path = packed(protocol + call + END, tmp_path / "a.pt", is_program=is_program)
    assert name.replace(" ", ".") in refusal(path)
    assert not mark.exists()


def test_what_a_file_calls_cannot_steer_a_terminal(tmp_path: Path) -> None:
    path = packed(PROTOCOL + named("os \x1b[2Jsystem\u202e\x9b") + END, tmp_path / "a.pt")
    refusal(path)
    odd = tensor(storage(key="\x1b[2J\u009b" * 1000))
    refusal(packed(PROTOCOL + module(w=odd) + END, path, data__0=FOUR))


@pytest.mark.parametrize(
    "content",
    [
        named("torch._utils _rebuild_tensor_v2") + b"}" + text("__code__") + text("x") + b"sb",
        named("__torch__ Net") + b"}" + text("state") + text("x") + b"sb",
        named("collections OrderedDict") + b"N}" + text("a") + text("x") + b"s\x86b",
        named("__torch__ Net") + b")R",
        named("collections OrderedDict") + b"(]tR",
        text("os") + text("system") + b"\x93",
        b"]" + b"q\x00h\x00a" * 3 + b"h\x00\x93",
        b"]" + b"}s",
        b"(" * 1000 + b"t",
        b"h\x05",
        b"}]Ns",
        b"N" * 10 + b"u",
        b"cos\nsystem\n.",
        b"I1\n",
        b"\x82\x01",
        b"",
    ],
)
def test_pickles_that_no_weights_have_are_refused(tmp_path: Path, content: bytes) -> None:
    before = vars(archives.Part).copy()
    refusal(packed(PROTOCOL + content + END, tmp_path / "a.pt"))
    assert vars(archives.Part) == before
    assert not hasattr(OrderedDict, "a")


@pytest.mark.parametrize(
    "content",
    [
        # A module that is its own part, twice; two that hold each other; ever more of one.
        named("__torch__ Net") + b")\x81q\x00}(" + text("a") + b"h\x00" + text("b") + b"h\x00ub",
        named("__torch__ Net") + b")\x81q\x00}" + text("a") + module(b=b"h\x00") + b"sb",
    ],
)
def test_modules_that_contain_themselves_come_to_an_end(tmp_path: Path, content: bytes) -> None:
    start = time.monotonic()
    assert "contain themselves" in refusal(packed(PROTOCOL + content + END, tmp_path / "a.pt"))
    assert time.monotonic() - start < 5


def test_modules_shared_ever_more_often_come_to_an_end(tmp_path: Path) -> None:
    content = module() + b"q\x000"
    for _ in range(60):
        content += module(a=b"h\x00", b=b"h\x00") + b"q\x000"
    refusal(packed(PROTOCOL + content + b"h\x00" + END, tmp_path / "a.pt"))


@pytest.mark.parametrize("depth", [50, 5000])
def test_a_deep_program_is_read_or_refused(tmp_path: Path, depth: int) -> None:
    start = named("__torch__ Net") + b")\x81}" + text("a")
    content = start * depth + module(w=tensor(storage())) + b"sb" * depth
    path = packed(PROTOCOL + content + END, tmp_path / "a.pt", data__0=FOUR)
    if depth < 1000:
        assert list(load_weights(path)) == ["a." * depth + "w"]
    else:
        refusal(path)


def test_a_list_nested_deeply_is_refused(tmp_path: Path) -> None:
    content = b"]" * 50_000 + b"a" * 49_999
    refusal(packed(b"\x80\x04" + content + END, tmp_path / "a.pt", is_program=False))


def test_a_claim_of_many_bytes_reserves_none(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    packed(PROTOCOL + module(w=tensor(storage(count=2**38))) + END, path, data__0=FOUR)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"a/data/0"))
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    refusal(path)


def test_compressed_numbers_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", PROTOCOL + module() + END)
        archive.writestr("a/constants.pkl", b"\x80\x02).")
    assert "compressed" in refusal(tmp_path / "a.pt")


def test_numbers_of_another_kind_of_computer_are_refused(tmp_path: Path) -> None:
    content = PROTOCOL + module(w=tensor(storage())) + END
    path = packed(content, tmp_path / "a.pt", data__0=FOUR, byteorder=b"big")
    assert "another kind of computer" in refusal(path)


def test_one_file_of_numbers_cannot_be_two_kinds(tmp_path: Path) -> None:
    content = module(a=tensor(storage()), b=tensor(storage("torch IntStorage")))
    refusal(packed(PROTOCOL + content + END, tmp_path / "a.pt", data__0=FOUR))


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_a_program_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.pt"
    script(Small().eval()).save(path)
    os.truncate(path, int(path.stat().st_size * kept))
    refusal(path)


def test_any_damage_is_refused_or_read_but_never_crashes(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    content = PROTOCOL + module(w=tensor(storage()), inner=module(n=number(5))) + END
    packed(content, path, data__0=FOUR)
    newer = io.BytesIO()
    torch.save({"a": torch.ones(3), "b": [1, 2.5, "c"]}, newer, pickle_protocol=4)
    chance = random.Random(0)  # noqa: S311 - no secret
    for whole in (path.read_bytes(), newer.getvalue()):
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(damaged)
            try:
                load_weights(path)
            except WeightsError as error:
                assert str(error).isprintable()  # noqa: PT017 - either outcome is right
