"""What happens while a dream is computed: a bar with time left, and Ctrl-C that loses nothing."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from reverie.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from reverie.engine.dream import Step

_LAYOUT = "{desc} {percentage:3.0f}% |{bar:24}| {elapsed}, {remaining} left{postfix}"
_NAME = 28
"""Characters of a file's name to show: the rest of the line is for numbers."""
_HEARD = b"\nreverie: stopping; Ctrl-C again stops at once and writes nothing.\n"


class Interrupt:
    """Keeps Ctrl-C until it does no harm.

    Before the first step there is nothing to keep: Ctrl-C ends at once. After it, the first Ctrl-C
    is only noted in `asked`, and the second ends at once. Off the main thread, where Python hears
    no signals, and where the user's shell ignores Ctrl-C, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        """The user wants to stop."""
        self.has_begun = False
        """There is something to keep."""
        self._before: Any = None

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGINT) not in {signal.SIG_IGN, None}:
            with suppress(ValueError):  # not the main thread
                self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def obey(self) -> None:
        """Raise `Cancelled` if the user wants to stop."""
        if self.asked:
            raise Cancelled

    def _hear(self, *_: Any) -> None:
        if self.asked or not self.has_begun:
            raise KeyboardInterrupt
        self.asked = True
        with suppress(OSError):  # plain os.write: a signal may come in the middle of any print
            os.write(2, _HEARD)


@contextmanager
def progress(name: str, interrupt: Interrupt, *, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Show a bar on a terminal, and raise `Cancelled` after the step in which the user asked."""
    with tqdm(
        total=1.0,
        desc=name if len(name) <= _NAME else f"{name[: _NAME - 3]}...",
        bar_format=_LAYOUT,
        disable=quiet or None,  # None: only on a terminal
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    ) as bar:

        def on_step(step: Step) -> None:
            interrupt.has_begun = True
            if not bar.disable:  # on a GPU, asking for the value waits for it
                where = f"octave {step.octave}/{step.octaves}, objective {step.value:.4g}"
                bar.set_postfix_str(where, refresh=False)
                bar.update(step.done - bar.n)
            interrupt.obey()

        yield on_step
