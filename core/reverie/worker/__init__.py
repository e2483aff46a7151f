"""One warm process per user that dreams for programs which cannot have PyTorch: docs/worker.md.

    place, lock, listening, knocking    where it lives, and how it is found and kept single
    messages, server                    connections: one job each
    order, part, upload, job            one dream, from the request to the result
    turns, outbox, pace                 what happens while it is dreamed
    answers, health                     what is installed; what is wrong

Only part, upload and job import PyTorch: the worker greets before it is there.
"""

from __future__ import annotations

from reverie.worker.health import examine

__all__ = ["examine"]
