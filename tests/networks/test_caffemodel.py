from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
import torch

from reverie.errors import WeightsError
from reverie.networks import caffemodel
from reverie.networks.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from tests.networks.conftest import Caffe

STATE = {
    "conv1/7x7_s2.weight": torch.arange(24.0).reshape(4, 3, 2, 1) / 7,
    "conv1/7x7_s2.bias": torch.tensor([1.5, -2.0, 3e-9, 0.0]),
    "loss3/classifier.weight": torch.arange(8.0).reshape(2, 4),
    "loss3/classifier.bias": torch.tensor([0.25, -0.5]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.caffemodel"


def read_or_refused(path: Path) -> dict[str, torch.Tensor]:
    """What a file gives; nothing, where it is refused in one sentence."""
    message = ""
    try:
        return load_weights(path)
    except WeightsError as error:
        message = str(error)
    assert "\n" not in message
    return {}


def refusal(path: Path, content: bytes) -> str:
    """What reading a bad file says; it is one sentence that names the file."""
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        caffemodel.read_caffemodel(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert message.endswith("download or save it again.")
    return message


@pytest.mark.parametrize("old", [False, True])
def test_what_was_written_is_read(path: Path, caffe: type[Caffe], old: bool) -> None:
    path.write_bytes(caffe.net(STATE, name="GoogleNet", old=old))
    state = load_weights(path)
    assert list(state) == list(STATE)
    for name, values in STATE.items():
        assert torch.equal(state[name], values), name
        assert state[name].dtype == torch.float32


def test_layers_without_weights_and_unknown_fields_are_left_out(
    path: Path, caffe: type[Caffe]
) -> None:
    blob = caffe.blob(torch.ones(2, 3)) + caffe.content(6, bytes(24)) + caffe.number(99, 2**63)
    content = caffe.content(1, b"net") + caffe.number(5, 1) + caffe.layer("data", [])
    content += caffe.layer("relu", []) + caffe.layer("fc", [blob]) + caffe.content(3, b"data")
    path.write_bytes(content)
    assert {name: value.shape for name, value in load_weights(path).items()} == {
        "fc.weight": (2, 3)
    }


def test_numbers_may_be_double_or_in_parts_or_alone(path: Path, caffe: type[Caffe]) -> None:
    values = torch.tensor([0.1, 2.0, -3.0, 4.5])
    data, doubles = values.numpy().tobytes(), values.double().numpy().tobytes()
    shape = caffe.content(7, caffe.number(1, 2) + caffe.number(1, 2))
    alone = b"".join(caffe.varint(5 << 3 | 5) + data[at : at + 4] for at in (0, 4, 8, 12))
    ways = (
        caffe.content(8, doubles) + shape,
        caffe.content(5, data[:8]) + shape + caffe.content(5, data[8:]),
        shape + alone,
    )
    for way in ways:
        path.write_bytes(caffe.layer("fc", [way, caffe.blob(values)]))
        state = load_weights(path)
        assert torch.equal(state["fc.weight"], values.reshape(2, 2))
        assert torch.equal(state["fc.bias"], values)


def test_a_third_blob_is_named_by_its_number(path: Path, caffe: type[Caffe]) -> None:
    path.write_bytes(caffe.layer("norm", [caffe.blob(torch.ones(1))] * 3))
    assert list(load_weights(path)) == ["norm.weight", "norm.bias", "norm.2"]


@pytest.mark.parametrize("old", [False, True])
def test_a_file_cut_anywhere_is_refused_or_gives_whole_layers(
    path: Path, caffe: type[Caffe], old: bool
) -> None:
    content = caffe.net(STATE, old=old)
    whole = []
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if state := read_or_refused(path):
            whole.append(length)
            assert list(state) == list(STATE)[:2]
            assert all(torch.equal(state[name], STATE[name]) for name in state)
    assert len(whole) == 1  # between its two layers


def test_damage_anywhere_raises_nothing_else(path: Path, caffe: type[Caffe]) -> None:
    dice = random.Random(0)  # noqa: S311 - the same damage each time
    content = caffe.net(STATE) + caffe.net(STATE, old=True)[5:]
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(dice.choice([1, 1, 2, 8])):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged)
        state = read_or_refused(path)
        assert sum(value.numel() for value in state.values()) * 4 <= len(content)


def test_a_file_of_many_fields_is_soon_refused(path: Path, caffe: type[Caffe]) -> None:
    blob = caffe.blob(torch.ones(1))
    many = caffe.number(50, 0) * 400_000
    hostile = (
        many,
        caffe.layer("a", [blob + many]),
        caffe.content(100, caffe.number(5, 1) * 400_000),
        caffe.layer("a", [caffe.varint(5 << 3 | 5) + bytes(4) + many]),
    )
    for content in hostile:
        began = time.monotonic()
        assert "more than 200000 fields" in refusal(path, content)
        assert time.monotonic() - began < 10


def test_a_file_larger_than_any_is_refused(
    path: Path, caffe: type[Caffe], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = caffe.net(STATE)
    monkeypatch.setattr(caffemodel, "_LIMIT", len(content) - 1)
    assert "more than" in refusal(path, content)


def test_messages_inside_messages_are_not_followed(path: Path, caffe: type[Caffe]) -> None:
    nested = b""
    for _ in range(5000):
        nested = caffe.content(100, nested[-100_000:])
    assert "no layer has weights" in refusal(path, nested)


@pytest.mark.parametrize(
    ("blob", "fault"),
    [
        (b"", "0 numbers"),
        (b"\x2a\x04\0\0\0\0", "1 numbers for the shape [0, 0, 0, 0]"),
        (b"\x2a\x03\0\0\0", "cut off"),
        (b"\x2a\x04\0\0\0\0\x3a\x03\x0a\x01\x02", "1 numbers for the shape [2]"),
        (b"\x3a\x04\x0a\x02\x00\x05", "0 numbers"),
        (
            b"\x2a\x04\0\0\0\0\x3a\x0d\x0a\x0b" + b"\xff" * 9 + b"\x01\x01",
            "1 numbers for the shape",
        ),
        (b"\x2a\x04\0\0\0\0\x3a\x0d\x0a\x0b" + b"\xff" * 11, "no end"),
        (b"\x2a\x04\0\0\0\0\x3a\x24\x0a\x22" + b"\x01" * 34, "more than 32 axes"),
        (b"\x2b\x2c", "unknown kind 3"),
        (b"\x2a\xff\xff\xff\xff\x7f", "behind the end"),
    ],
)
def test_a_blob_that_makes_no_sense_is_refused(
    path: Path, caffe: type[Caffe], blob: bytes, fault: str
) -> None:
    assert fault in refusal(path, caffe.layer("conv", [blob]))


def test_a_layer_that_is_there_twice_is_refused(path: Path, caffe: type[Caffe]) -> None:
    layer = caffe.layer("a\nb", [caffe.blob(torch.ones(1))])
    assert "'a\\nb.weight' is there twice" in refusal(path, layer * 2)


def test_a_text_that_begins_like_one_is_refused(path: Path) -> None:
    path.write_bytes(b"\n\nThe requested file was moved.\n")
    with pytest.raises(WeightsError, match=r"no Caffe model|no file of weights"):
        load_weights(path)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        caffemodel.read_caffemodel(tmp_path)
