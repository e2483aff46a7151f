"""One worker of a cluster: keeps a network warm, and turns a picture's file into a dream's file.

It knows nothing of the engine that runs it, and only builtins and arrays go in and out, so that a
worker with another release of reverie can still say so.
"""

from __future__ import annotations

import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie import __version__
from reverie.errors import NetworkError, ReverieError

if TYPE_CHECKING:
    from reverie.cli.dreaming import Work


class Dreamer:
    """Dreams pictures of one recipe, after `load`."""

    def __init__(self) -> None:
        self._work: Work | None = None

    def load(self, order: dict[str, Any]) -> dict[str, str]:
        """Load the network.

        Args:
            order: "version", the release of reverie that asks; "recipe", as JSON, its precision
                perhaps still open; "digest", the SHA-256 that its weights must have; "weights",
                name and bytes of the user's own weights file, or None for a network that each
                machine has or fetches; "mask", (H, W) in 0..1, or None; "guide", a picture's
                values, or None; "regions", pairs of a mask and an objective; "device", as the
                command line takes it; "threads", how many the CPU uses; "memory", bytes or None,
                as --memory says.
        Returns:
            "precision", what "auto" means here; or "fault", a sentence.
        """
        here = socket.gethostname()
        if order["version"] != __version__:
            return {
                "fault": f"{here} has reverie {__version__}, you have {order['version']}; "
                "install the same release on every machine of the cluster."
            }
        try:
            return {"precision": self._load(order)}
        except ReverieError as error:
            return {"fault": f"{here}: {error}"}

    def _load(self, order: dict[str, Any]) -> str:
        import torch

        from reverie.cli.dreaming import Work
        from reverie.device import choose_device, choose_precision
        from reverie.networks.loading import load_network
        from reverie.recipe import Recipe

        torch.set_num_threads(order["threads"])
        device = choose_device(order["device"])
        recipe = Recipe.from_json(order["recipe"])
        if order["weights"] is not None:
            file = _kept(*order["weights"], digest=order["digest"])
            recipe = recipe.evolve(network=f"{recipe.network.partition(':')[0]}:{file}")
        network = load_network(recipe.network)
        if network.digest != order["digest"]:
            raise NetworkError(
                f"{recipe.network} has other weights here than where the command was given; "
                "use the same on every machine."
            )
        self._work = Work(
            recipe=recipe,
            network=network,
            device=device,
            mask=order["mask"],
            guide=order["guide"],
            regions=order["regions"],
            quiet=True,
            memory=order["memory"],
        )
        return choose_precision(recipe.precision, device)

    def dream(self, photo: str, data: bytes, out: str, precision: str) -> dict[str, Any]:
        """Dream on one picture.

        Args:
            photo: the picture's path on the machine that asks.
            data: the content of its file.
            out: where the dream will be on that machine; its ending is the format.
            precision: the recipe's, resolved, the same on all workers.
        Returns:
            "data", the content of the dream's file, and "notes", sentences about the picture; or
            "fault", a sentence, and "for_all", whether the others would fail like this one.
        """
        from reverie.cli.dreaming import HOLDS_FOR_ALL

        assert self._work is not None, "load() comes first"  # noqa: S101 - not a user's mistake
        work = replace(self._work, recipe=self._work.recipe.evolve(precision=precision))
        with tempfile.TemporaryDirectory(prefix="reverie-") as folder:
            here, there = Path(folder) / Path(photo).name, Path(folder) / "out" / Path(out).name
            try:
                here.write_bytes(data)
                there.parent.mkdir()
                notes = _dream_file(here, there, work)
                return {"notes": notes, "data": there.read_bytes()}
            except ReverieError as error:
                fault = str(error).replace(str(there), out).replace(str(here), photo)
                return {"fault": fault, "for_all": isinstance(error, HOLDS_FOR_ALL)}
            except MemoryError:
                fault = f"{photo} does not fit into memory; set a size."
                return {"fault": fault, "for_all": False}


def _kept(name: str, data: bytes, *, digest: str) -> Path:
    """Keep a weights file where downloads are kept: all workers and runs of a machine share it."""
    from reverie.networks.weights import weights_folders
    from reverie.picture.files import save_whole

    file = weights_folders()[0] / "reverie-sent" / digest / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        save_whole(data, file, overwrite=True)
    return file


def _dream_file(photo: Path, out: Path, work: Work) -> tuple[str, ...]:
    from reverie.cli.dreaming import at_size, dream_picture
    from reverie.picture import check_output, read_picture, write_picture

    picture = read_picture(photo)
    check_output(out, overwrite=False, like=at_size(picture, work.recipe.size))
    dreamed, record, _ = dream_picture(picture, work)
    write_picture(out, dreamed.values, like=dreamed, record=record)
    return picture.notes
