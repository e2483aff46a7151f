"""The logits of classes, by number and by word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from reverie import Network, NetworkError, ObjectiveError, Recipe, dream, registry
from reverie.grammar import parse_objective
from reverie.networks.loading import LoadedNetwork, load_network
from reverie.networks.zoo import networks
from reverie.objectives import INPUT, layer, logit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

WORDS = ("cat", "Great Dane", "crane", "crane", "house")


def classifier(
    words: Sequence[str] | None = WORDS, head: str = "", *, pools: bool = True
) -> LoadedNetwork:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    last: list[nn.Module] = (
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.Softmax(dim=1)]
        if pools
        else [nn.Conv2d(8, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    )
    module = nn.Sequential(features, *last).eval().requires_grad_(requires_grad=False)
    record = Network(
        name="small",
        summary="Five classes.",
        load=lambda _path: module,
        words=None if words is None else lambda: words,
        head=head,
    )
    return LoadedNetwork(record, module)


@pytest.mark.parametrize("word", [1, "Great Dane", " great dane "])
def test_a_class_is_named_by_number_or_word(word: int | str) -> None:
    network = classifier()
    fitted = logit(word).fit(network)
    assert fitted.layers == {"3"}, "the last linear layer, before the softmax"
    assert fitted.text == logit(word).text
    picture = torch.rand(2, 3, 40, 48)
    prepared = network.prepare(fitted.layers, torch.device("cpu"), torch.float32)
    seen = prepared(picture)
    assert torch.equal(fitted.value(seen), seen["3"][:, 1, 0, 0])


def test_a_class_that_a_network_finds_everywhere_is_a_mean_and_can_be_tiled() -> None:
    fitted = logit("house").fit(classifier(pools=False))
    assert fitted.layers == {"1"}, "the last convolution, before its ReLU"
    assert fitted.is_local
    assert not logit("house").fit(classifier()).is_local
    maps = torch.arange(2 * 5 * 6, dtype=torch.float64).view(2, 5, 2, 3)
    assert fitted.value({"1": maps}).tolist() == [26.5, 56.5]
    assert torch.autograd.gradcheck(lambda x: fitted.value({"1": x}), maps.requires_grad_())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("caat", "there is no class 'caat'; did you mean 'cat'"),
        ("crane", "'crane' is the word of the classes 2 and 3; write one of these numbers"),
        (5, r"5 is outside 0\.\.4, the classes of 'small'"),
        (-1, r"-1 is outside 0\.\.4"),
    ],
)
def test_a_class_that_is_not_there_is_told(word: int | str, said: str) -> None:
    with pytest.raises(ObjectiveError, match=said):
        logit(word).fit(classifier())


def test_other_weights_have_other_classes_without_words() -> None:
    network = classifier(words=["only", "three", "words"])
    assert network.words == ()
    with pytest.raises(ObjectiveError, match="5 classes of 'small' with these weights have no"):
        logit("only").fit(network)
    assert logit(4).fit(network).layers == {"3"}


def test_what_does_not_classify_says_so() -> None:
    with pytest.raises(NetworkError, match="'small' has no classes; choose a classifier"):
        logit("tabby").fit(classifier(words=None))
    assert logit(2).fit(classifier(words=None, head="3")).layers == {"3"}


def test_the_embedded_network_has_the_classes_of_its_teacher() -> None:
    network = load_network("embedded")
    assert logit("Bald Eagle").fit(network).layers == {network.head.name}
    assert network.words[22] == "bald eagle"


def test_logits_combine_with_other_terms() -> None:
    text = "logit(cat) - 0.5*logit(house)/2 + 0*layer('0')"
    made = parse_objective(text, registry().objectives())
    fitted = made.fit(classifier(pools=False))
    assert fitted.layers == {"0", "1"}
    assert fitted.text == made.text
    assert fitted.fitted is None
    maps = {"1": torch.ones(1, 5, 2, 2), "0": torch.ones(1, 8, 2, 2), INPUT: torch.ones(1)}
    assert float(fitted.value(maps)) == 0.75
    assert layer("0").fit(classifier()).text == 'layer("0")'


def test_the_words_of_torchvisions_networks_need_no_download() -> None:
    for record in networks():
        assert record.words is not None
        assert len(record.words()) == 1000
        assert record.words()[281] == "tabby"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("googlenet", "fc"),
        ("inception_v3", "fc"),
        ("resnet18", "fc"),
        ("vgg16", "classifier.6"),
        ("squeezenet1_1", "classifier.1"),
        ("mobilenet_v2", "classifier.1"),
        ("densenet121", "classifier"),
        ("vit_b_32", "heads.head"),
        ("swin_t", "head"),
    ],
)
def test_the_head_of_a_real_network_is_its_last_layer(name: str, head: str) -> None:
    from reverie.networks.loading import list_layers

    layers, _ = list_layers(name)
    record = registry().networks()[name]
    network = object.__new__(LoadedNetwork)
    network.record, network.layers = record, layers
    assert network.head.name == head
    assert network.head.channels == 1000


def test_a_real_network_becomes_surer_of_a_class(squeezenet: str, photo: Image.Image) -> None:
    values: list[float] = []
    recipe = Recipe(network=squeezenet, objective="logit(tabby)", octaves=1, steps=5, jitter=0)
    dream(photo, recipe, device="cpu", on_step=lambda step: values.append(step.value))
    assert values[-1] > values[0] + 1
