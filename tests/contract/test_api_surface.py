"""What `import reverie` offers: a change here is a change for every user."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import reverie
from reverie import errors

PUBLIC = [
    "Cancelled",
    "Host",
    "ImageError",
    "InstallError",
    "Network",
    "NetworkError",
    "Objective",
    "ObjectiveError",
    "ObjectiveFactory",
    "Parameterization",
    "PluginError",
    "Preset",
    "Recipe",
    "RecipeError",
    "ReverieError",
    "Setting",
    "Step",
    "WeightsError",
    "WorkerError",
    "dream",
    "hookimpl",
    "objective",
    "registry",
    "release",
    "settings",
]


def test_the_version_is_the_package_s() -> None:
    assert metadata.version("reverie") == reverie.__version__


def test_the_public_names_are_these() -> None:
    assert reverie.__all__ == sorted(PUBLIC)
    assert {name for names in reverie._HOMES.values() for name in names} == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is(name: str) -> None:
    assert (getattr(reverie, name).__doc__ or "").strip()


def test_every_error_raised_on_purpose_is_public_and_a_reverie_error() -> None:
    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert raised <= set(PUBLIC)
    assert all(issubclass(getattr(reverie, name), reverie.ReverieError) for name in raised)


def test_dir_lists_every_public_name_once_also_after_its_use() -> None:
    _ = reverie.Recipe
    names = dir(reverie)
    assert set(PUBLIC) <= set(names)
    assert len(names) == len(set(names))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'reverie' has no attribute 'dreem'"):
        _ = reverie.dreem


@pytest.mark.parametrize(
    "first",
    [
        "",
        "reverie.Recipe()",
        "from reverie.setting import Setting",
        "import reverie.recipe",
    ],
)
def test_settings_is_the_function_whatever_was_imported_before(first: str) -> None:
    code = f"import reverie\n{first}\nassert reverie.settings()[0].name == 'network'"
    subprocess.run([sys.executable, "-c", code], check=True)
