"""The command line, a host like GIMP and ComfyUI: its options come from the Recipe's settings.

Only what a command needs is imported: `reverie --help` loads no torch.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from reverie import __version__
from reverie.cli.options import add_recipe_options, join_values
from reverie.errors import ReverieError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOREVER = 10**9
"""Seconds: 30 years; a system's clocks take no longer waits."""
DEVICE_HELP = "where to compute: auto (a GPU if there is one), cpu, cuda, cuda:1, mps, xpu"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `reverie`; by default those of this process.
    Returns:
        0 if all went well, 1 if something could not be done, 130 if the user stopped it.
    """
    # Set before torch is loaded. GNU's OpenMP lets waiting threads spin; beside a busy program
    # a dream then takes twice as long or worse: see tests/bench/neighbour.py.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(join_values(words))
    module, _, function = options.run.partition(":")
    try:
        _listen(verbose=options.verbose)
        return int(getattr(import_module(f"reverie.cli.{module}"), function)(options))
    except ReverieError as error:
        sys.stderr.write(f"reverie: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("reverie: stopped.\n")
        return 130
    except BrokenPipeError:  # `reverie networks | head`: the reader has seen enough
        with suppress(OSError, ValueError):  # else Python complains when it empties its buffer
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _listen(*, verbose: bool) -> None:
    """Say what the library logs; what it loads may keep its own details to itself."""
    from reverie.cli.speech import SpokenLog, speak_any_name

    speak_any_name()
    if not sys.warnoptions:  # Pillow's are for programmers; the pictures' faults are said as ours
        warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.basicConfig(format="reverie: %(message)s", handlers=[SpokenLog()])
    logging.getLogger("reverie").setLevel(logging.DEBUG if verbose else logging.WARNING)


def parser() -> argparse.ArgumentParser:
    """Describe all commands and options."""
    top = argparse.ArgumentParser(
        prog="reverie",
        description="DeepDream for your pictures: reverie dream photo.jpg",
    )
    top.add_argument("--version", action="version", version=f"reverie {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="say what happens, in detail")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_dream(commands)

    info = commands.add_parser("info", help="print the recipe that a picture was made with")
    info.add_argument(
        "picture", metavar="PICTURE", help="a picture that reverie wrote, or a recipe in JSON"
    )
    info.set_defaults(run="info:info")

    networks = commands.add_parser(
        "networks", help="list networks, show their layers, fetch weights"
    )
    networks.set_defaults(run="listing:networks")
    actions = networks.add_subparsers(metavar="ACTION")
    for action, words, name in (
        ("show", "list a network's layers", "a network; NAME:FILE for own weights"),
        ("fetch", "download a network's weights now", "a network"),
    ):
        command = actions.add_parser(action, help=words)
        command.add_argument("name", metavar="NAME", help=name)
        command.set_defaults(run=f"listing:{action}_network")
    classes = actions.add_parser("words", help="list the classes that logit(word) can name")
    classes.add_argument("name", metavar="NAME", help="a classifier")
    classes.add_argument("pattern", metavar="PATTERN", nargs="?", default="", help="part of a word")
    classes.set_defaults(run="listing:words_of_network")

    _add_presets(commands)
    for kind in ("objectives", "parameterizations", "hosts"):
        command = commands.add_parser(kind, help=f"list {kind}")
        command.set_defaults(run=f"listing:{kind}")
    _add_install(commands)
    _add_worker(commands)
    doctor = commands.add_parser("doctor", help="find what is wrong with this installation")
    doctor.set_defaults(run="doctor:doctor")
    return top


def _add_presets(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    presets = commands.add_parser(
        "presets",
        help="list presets, or draw them all",
        description="List the presets. With --sheet, dream each of them on PHOTO, small, and write "
        "them as one picture with their names; those whose networks are not here are left out.",
    )
    presets.add_argument("--sheet", metavar="OUT", help="the picture to write")
    presets.add_argument(
        "photo", nargs="?", metavar="PHOTO", help="what is dreamed on [default: a sky of ours]"
    )
    presets.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", help="only these presets"
    )
    presets.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    presets.add_argument("--device", default="auto", help=DEVICE_HELP)
    presets.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    presets.set_defaults(run="listing:presets")


def _add_install(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    install = commands.add_parser(
        "install",
        help="put reverie into a program: gimp, comfyui, ...",
        description="Put reverie's adapter where a program looks for it; again after an upgrade. "
        "Nothing is replaced that reverie did not put there.",
    )
    install.add_argument("host", metavar="HOST", help="which program: reverie hosts")
    install.add_argument(
        "--path", metavar="DIR", help="the program's folder; by default every one that is found"
    )
    install.add_argument("--uninstall", action="store_true", help="take it away again")
    install.set_defaults(run="install:install")


def _add_worker(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    worker = commands.add_parser(
        "worker",
        help="dream for programs such as GIMP, which start it by themselves",
        description="Dream for programs that cannot have PyTorch, such as GIMP, which start it by "
        "themselves. One lives for each user; it ends when nobody has come for a while.",
    )
    worker.add_argument("--at", metavar="DIR", help="its folder, where programs look for it")
    worker.add_argument(
        "--idle",
        type=_seconds,
        default=900.0,
        metavar="SECONDS",
        help="end after so long without a connection [default 900]",
    )
    worker.add_argument("--device", default="auto", help=DEVICE_HELP)
    worker.set_defaults(run="worker:worker")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < _FOREVER:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; give 1 or more")
    return number


def _add_dream(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    dream = commands.add_parser(
        "dream",
        help="dream on pictures",
        allow_abbrev=False,  # else a new setting could change what --oct means
        description="Dream on pictures. Each dream is written beside its picture as "
        "NAME.dream.png, with its recipe inside. Ctrl-C keeps the dream so far.",
    )
    dream.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTO",
        help="pictures, or folders of them; none with --start noise, grey or procedural: a square "
        "is dreamed from nothing, --size px wide, by default 512",
    )
    dream.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="the picture to write (.png .jpg .tif .webp), or a folder for several",
    )
    dream.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    dream.add_argument(
        "--resume",
        action="store_true",
        help="leave what the same recipe has dreamed already, and dream the rest",
    )
    dream.add_argument("--mask", metavar="PICTURE", help="dream only where this picture is white")
    dream.add_argument(
        "--guide",
        metavar="PICTURE",
        help="dream towards what this picture shows: for objectives such as guide(eyes), which is "
        "also what a layer's name alone then means",
    )
    dream.add_argument(
        "--region",
        nargs=2,
        action="append",
        default=[],
        metavar=("PICTURE", "OBJECTIVE"),
        help="climb this objective where this picture is white, and --objective elsewhere; may be "
        "given several times",
    )
    look = dream.add_mutually_exclusive_group()
    look.add_argument("--preset", metavar="NAME", help="start from a look: reverie presets")
    look.add_argument(
        "--recipe", metavar="FILE", help="start from a recipe: JSON, or a picture made with one"
    )
    dream.add_argument("--device", default="auto", help=DEVICE_HELP)
    dream.add_argument(
        "--memory",
        metavar="SIZE",
        help="most memory to take, such as 1.5G or 800M: large pictures are seen in smaller parts "
        "and kept in a temporary file; on a GPU, most of its memory",
    )
    dream.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="dream on a Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for this machine; "
        "implies --resume",
    )
    dream.add_argument(
        "--ray-cpus",
        type=_count,
        default=1,
        metavar="N",
        help="with --ray on CPUs: cores for each picture; more take less memory in all [default 1]",
    )
    dream.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    add_recipe_options(dream)
    dream.set_defaults(run="dreaming:dream")
