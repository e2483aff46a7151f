"""Regions as a text, which GIMP keeps and scripts give: a line "CHANNEL = OBJECTIVE" for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def pairs(text: str | None, names: Collection[str]) -> list[tuple[str, str]]:
    """List channel and objective of each line.

    Args:
        text: one line a region; None, as GIMP may have it, is none.
        names: of the image's channels: there may be a "=" in them.
    Returns:
        Of each the channel, which need not be one of the image's, and the objective, which is empty
        where only a channel is named.
    """
    lines = (text or "").splitlines()
    return [_pair(line.strip(), names) for line in lines if line.strip()]


def join(regions: Iterable[tuple[str, str]]) -> str:
    """Give the text of such pairs."""
    return "\n".join(f"{channel} = {objective}" for channel, objective in regions)


def _pair(line: str, names: Collection[str]) -> tuple[str, str]:
    ends = ("", "=")
    fitting = [n for n in names if line.startswith(n) and line[len(n) :].lstrip()[:1] in ends]
    name = max(fitting, key=len, default=line.partition("=")[0].rstrip())
    return name, line[len(name) :].lstrip().removeprefix("=").strip()
