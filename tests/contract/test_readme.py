"""What README says is run, line by line."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from reverie.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def _photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sky = Image.open(ROOT / "core/reverie/samples/sky.jpg")
    sky.resize((96, 60)).save("photo.jpg")
    sky.resize((70, 50)).rotate(90).save("flowers.jpg")
    Image.linear_gradient("L").resize((96, 60)).save("mask.png")
    # A user who has both programs, and nothing of reverie's in them yet.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REVERIE_WORKER_DIR", str(tmp_path / "worker"))
    for variable in ("GIMP3_DIRECTORY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "home" / ".config" / "GIMP" / "3.0").mkdir(parents=True)
    (tmp_path / "home" / "ComfyUI" / "custom_nodes").mkdir(parents=True)


@pytest.mark.usefixtures("_photo")
def test_the_python_blocks_run_one_after_the_other() -> None:
    names: dict[str, object] = {"__name__": "readme"}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    assert Path("dreamed.png").exists()
    assert Path("so-far.png").exists()
    assert "octave 2/2" in said.getvalue()


@pytest.mark.usefixtures("_photo")
def test_the_commands_run(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line, comments=True)
        if "--size" in words:  # the size is for real photos; this one is small
            words[words.index("--size") + 1] = "96"
        assert words[0] == "reverie", line
        status = main(words[1:])
        said = capsys.readouterr()
        # Tests have no connection: a download must end in the sentence that says so.
        is_download = "googlenet" in line or "google-deepdream" in line
        assert status == (1 if is_download else 0), f"{line}: {said.err}"
        address = "bvlc_googlenet.caffemodel" if "google-deepdream" in line else "/models/googlenet"
        assert not is_download or address in said.err


def test_every_picture_and_page_it_links_to_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
