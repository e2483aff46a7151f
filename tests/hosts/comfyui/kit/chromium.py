"""A headless Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from web_socket import WebSocket

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
STARTED_WITHIN = 30


def find_chromium() -> str | None:
    """Give the path of this machine's Chromium, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One page in a browser of its own.

    Args:
        program: path of the browser.
        profile: an empty folder.
        size: of the window, width and height in px.
    """

    def __init__(self, program: str, profile: Path, size: tuple[int, int] = (1600, 1000)) -> None:
        window = f"--window-size={size[0]},{size[1]}"
        self._process = subprocess.Popen(
            [program, *QUIET, window, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._count = 0
        self._socket = WebSocket(self._target(profile))
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, address: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=address)

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.receive())
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def evaluate(self, script: str) -> Any:
        """Compute a JavaScript expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str, patience: float = 60) -> Any:
        """Wait until an expression is true, and give its value."""
        until = time.monotonic() + patience
        while not (value := self.evaluate(script)):
            assert time.monotonic() < until, f"it did not come true: {script}"
            time.sleep(0.05)
        return value

    def screenshot(self, file: Path) -> None:
        """Save what the page shows as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _target(self, profile: Path) -> str:
        told = profile / "DevToolsActivePort"
        until = time.monotonic() + STARTED_WITHIN
        while not (told.exists() and (lines := told.read_text().split())):
            assert self._process.poll() is None, "Chromium does not start"
            assert time.monotonic() < until, "Chromium opens no DevTools port"
            time.sleep(0.05)
        with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=10) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        return str(pages[0]["webSocketDebuggerUrl"])
