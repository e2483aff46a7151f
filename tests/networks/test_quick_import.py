"""In programs of their own, because a module is imported once."""

from __future__ import annotations

import subprocess
import sys

RUN = """
import sys
{before}
from reverie.networks.quick_import import import_torchvision
import_torchvision()
{after}
"""


def run(before: str = "", after: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(before=before, after=after)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_torchvision_comes_without_the_compiler() -> None:
    loaded = "print('torchvision.models' in sys.modules, 'torch._dynamo' in sys.modules)"
    assert run(after=loaded) == "True False"


def test_the_compiler_is_the_real_one_when_it_is_wanted_later() -> None:
    later = "import torch._dynamo; print(torch._dynamo.__file__ is not None)"
    assert run(after=later) == "True"
    asked = "from torchvision.ops import roi_align as r; print(r.__name__)"
    assert run(after=asked) == "roi_align"


def test_a_program_with_threads_imports_as_ever() -> None:
    thread = (
        "import threading; stop = threading.Event(); "
        "threading.Thread(target=stop.wait, daemon=True).start()"
    )
    assert run(before=thread, after="print('torchvision' in sys.modules)") == "False"


def test_a_release_that_asks_for_more_is_imported_as_ever() -> None:
    other = "from reverie.networks import quick_import; quick_import._QUESTION = 'another'"
    assert run(before=other, after="print('torchvision' in sys.modules)") == "False"
    assert run(before=other, after="import torchvision; print('fine')") == "fine"


def test_a_thread_that_python_does_not_manage_counts_too() -> None:
    thread = """
import _thread, threading, time
def wait():
    time.sleep(60)
_thread.start_new_thread(wait, ())
time.sleep(0.1)
assert threading.active_count() == 1
"""
    assert run(before=thread, after="print('torchvision' in sys.modules)") == "False"


def test_nothing_that_stands_in_is_left() -> None:
    after = "print([n for n in sys.modules if n.startswith('torch._dynamo')])"
    assert run(after=after) == "[]"
