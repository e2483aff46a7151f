"""Building the library, with and without a compiler."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from reverie.engine.kernels import build
from reverie.engine.kernels.check import differences
from reverie.engine.kernels.compiled import CompiledKernels
from reverie.engine.kernels.plain import PlainKernels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler"
)
def test_a_library_is_built_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    # One variant, hardly optimized: all of them take half a minute.
    monkeypatch.setattr(build, "_VARIANTS", {"base": ("-DCHOOSES", "-O1")})
    path = build.build(tmp_path / "built")
    assert [path] == list((tmp_path / "built").iterdir())
    assert differences(CompiledKernels(path), PlainKernels()) == ""


def test_the_name_changes_with_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.library_name()
    copied = tmp_path / "kernels.c"
    copied.write_text(build.SOURCE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(build, "SOURCE", copied)
    assert build.library_name() == before
    copied.write_text(copied.read_text("utf-8") + "\n", "utf-8")
    assert build.library_name() != before
    (tmp_path / before).touch()
    assert build.find() is None


def fake_compiler(folder: Path, body: str) -> str:
    program = folder / "compiler"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n", "utf-8")
    program.chmod(0o755)
    return str(program)


WRITES = "open(sys.argv[sys.argv.index('-o') + 1], 'w').write('library')"


def test_where_the_source_cannot_be_written_the_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "package" / "kernels.c"
    source.parent.mkdir()
    source.write_text("", "utf-8")
    monkeypatch.setattr(build, "SOURCE", source)
    monkeypatch.setenv("CC", fake_compiler(tmp_path, WRITES))
    assert build.build().parent == source.parent
    # Even root cannot make a folder in the place of a file.
    monkeypatch.setattr(build, "SOURCE", source / "kernels.c")
    monkeypatch.setattr(build, "library_name", lambda: "kernels-0.so")
    path = build.build()
    assert path == tmp_path / "cache" / "reverie" / "kernels" / "kernels-0.so"
    assert build.find() == path


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("sys.exit('kernels.c:1: error: broken')", "failed: kernels.c:1: error: broken"),
        (
            f"sys.exit(5 if '-shared' in sys.argv else {WRITES} * 0)",
            "could not link: exit status 5",
        ),
    ],
)
def test_a_compiler_that_fails_is_quoted(
    body: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CC", fake_compiler(tmp_path, body))
    with pytest.raises(build.BuildError, match=sentence):
        build.build(tmp_path / "built")
    assert not (tmp_path / "built").exists()
    assert build.main() == 1
    assert sentence in capsys.readouterr().err


def test_a_compiler_without_the_faster_variants_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f"sys.exit(1 if any('march' in a for a in sys.argv) else {WRITES} * 0)"
    monkeypatch.setenv("CC", fake_compiler(tmp_path, body))
    assert build.build(tmp_path / "built").is_file()


def test_without_a_compiler_the_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(build.BuildError, match=r"install gcc or clang, or name one in .CC"):
        build.build(tmp_path)
    monkeypatch.setenv("CC", "nothing-here -m64")
    with pytest.raises(build.BuildError, match=r"'nothing-here' of .CC was not found"):
        build.build(tmp_path)
