from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_a_folder_that_others_may_enter_is_refused(cli: CommandLine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert f"chmod 700 {tmp_path}" in cli("worker", "--at", tmp_path).sentence


@pytest.mark.parametrize("idle", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(
    cli: CommandLine, capsys: pytest.CaptureFixture[str], idle: str
) -> None:
    with pytest.raises(SystemExit):
        cli("worker", f"--idle={idle}")
    assert "argument --idle" in capsys.readouterr().err
