"""A stranger's package, installed by pip, is as good as what reverie brings itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from reverie.picture import read_record

PACKAGE = Path(__file__).with_name("reverie_example")

LISTINGS = """
from reverie.cli import main
for kind in ("networks", "objectives", "presets", "parameterizations", "hosts"):
    assert main([kind]) == 0
"""
CHECKS = """
from PIL import Image
from reverie import testing
testing.check_network("woven")
testing.check_objective("contrast(fabric)", network="woven")
testing.check_preset("cloth")
testing.check_parameterization("logit")
grey = Image.linear_gradient("L").crop((0, 0, 37, 251))
testing.check_host("pillow", grey.convert("RGB"), Image.merge("RGBA", [grey] * 4))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip has installed the package, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options]
    subprocess.run([*command, "--target", str(folder), str(PACKAGE)], check=True)
    return folder


def python(site: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_record_is_listed_with_the_plug_in_that_brings_it(site: Path) -> None:
    lines = [line.split() for line in python(site, "-c", LISTINGS).splitlines()]
    brought = {line[0] for line in lines if "example" in line[1:3]}
    assert brought == {"woven", "contrast(layer)", "cloth", "logit", "pillow"}


def test_the_command_line_dreams_with_its_network_and_objective(site: Path, tmp_path: Path) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "dream.png"
    Image.linear_gradient("L").resize((61, 47)).convert("RGB").save(photo)
    words = ["--network", "woven", "--objective", "contrast(fabric)", "--octaves", "2"]
    python(site, "-m", "reverie", "dream", str(photo), "-o", str(out), "--quiet", *words)
    assert Image.open(out).tobytes() != Image.open(photo).tobytes()
    recipe = json.loads(read_record(out) or "")["recipe"]
    assert recipe["network"] == "woven"
    assert recipe["objective"] == 'contrast("fabric")'


def test_all_its_records_pass_the_kit_for_authors(site: Path) -> None:
    python(site, "-W", "error", "-c", CHECKS)
