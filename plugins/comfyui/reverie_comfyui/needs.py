"""Says what is missing in ComfyUI's Python, before anything fails with a traceback."""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEEDED = (
    "filelock",
    "numpy",
    "packaging",
    "PIL",
    "pydantic",
    "safetensors",
    "torch",
    "torchvision",
    "tqdm",
)
"""What has to be there; ComfyUI brings all of these."""
OLDEST_PYTHON = (3, 10)
OLDEST_PYDANTIC = (2, 5)


def check() -> None:
    """Raise one sentence if a package is missing or too old.

    Raises:
        ImportError: with what to type.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise ImportError(
            f"reverie needs Python 3.10 or newer, and this ComfyUI runs on {sys.version.split()[0]}"
        )
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(_remedy(f"{', '.join(missing)} cannot be found"))
    import pydantic

    if tuple(map(int, pydantic.VERSION.split(".")[:2])) < OLDEST_PYDANTIC:
        raise ImportError(_remedy(f"pydantic is {pydantic.VERSION}, and 2.5 is needed"))


def _remedy(fault: str) -> str:
    from pathlib import Path

    pack = Path(__file__).parents[3]
    return (
        f"reverie cannot start in ComfyUI: {fault}. Run, and restart ComfyUI: "
        f'"{sys.executable}" -m pip install -r "{pack / "requirements.txt"}"'
    )
