"""Reverie Network: chooses a network, and says what layers it has."""

from __future__ import annotations

from reverie_comfyui import fields, weights
from reverie_comfyui.description import NETWORK, Input, Node, Output, Result


def _inputs() -> tuple[Input, ...]:
    network = next(one for one in fields.recipe_inputs() if one.name == "network")
    return (
        network,
        Input(
            name="weights_file",
            type="COMBO",
            label="Weights file",
            help="Weights of your own for this network, from models/reverie; "
            f'"{weights.NO_FILE}" takes the network\'s own, downloaded the first time.',
            default=weights.NO_FILE,
            choices=(weights.NO_FILE, *weights.files()),
            is_optional=True,
        ),
    )


def _run(network: str, weights_file: str = weights.NO_FILE) -> Result:
    from reverie.errors import NetworkError
    from reverie.networks.loading import list_layers, load_network
    from reverie_comfyui.progress import Progress

    name = network
    if weights_file != weights.NO_FILE:
        name = f"{network}:{weights.path_of(weights_file)}"
    try:
        layers, _ = list_layers(name)
    except NetworkError:  # some show their layers only with their weights; others have no such name
        layers = load_network(name, on_progress=Progress(1).on_bytes).layers
    return Result((name, "\n".join(layers)))


def _fingerprint(network: str = "", weights_file: str = weights.NO_FILE) -> str:
    if weights_file == weights.NO_FILE:
        return network
    status = weights.path_of(weights_file).stat()
    return f"{network}:{weights_file}:{status.st_size}:{status.st_mtime_ns}"


NETWORK_NODE = Node(
    id="ReverieNetwork",
    title="Reverie Network",
    help="Chooses the network that dreams, with its own weights or yours, and lists its layers.",
    inputs=_inputs,
    outputs=(
        Output(type=NETWORK, label="network", help="The network, for a node that dreams."),
        Output(
            type="STRING",
            label="layers",
            help="The names of its layers, one in a line, in the order in which they see.",
        ),
    ),
    run=_run,
    fingerprint=_fingerprint,
    aliases=("deepdream model", "layers"),
)
