"""ComfyUI's page in a browser: load a workflow, run it, look at it, save it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromium import Chromium
    from comfy_server import ComfyServer

SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else it greets with the template browser
    "Comfy.UseNewMenu": "Top",
    "Comfy.Queue.QPOV2": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.SnapToGrid.GridSize": 10,
}
LISTEN = """
window.seen = {ended: '', error: ''};
for (const [name, ended] of Object.entries({
  execution_success: 'success', execution_error: 'error', execution_interrupted: 'interrupted',
})) app.api.addEventListener(name, (e) => {
  window.seen.ended = ended;
  window.seen.error = e.detail?.exception_message ?? '';
});
"""


class ComfyPage:
    """The page of a server, ready to use."""

    def __init__(self, browser: Chromium, server: ComfyServer) -> None:
        self._browser = browser
        server.post("/settings", SETTINGS)
        browser.open(server.address)
        browser.wait("!!(window.app?.graph && window.app.canvas && window.app.extensionManager)")
        browser.wait("!document.querySelector('#splash-loader, .p-progress-spinner')")
        browser.evaluate(LISTEN)

    def load(self, workflow: dict[str, Any]) -> None:
        """Show a workflow in the page's own form."""
        self._browser.evaluate(f"app.loadGraphData({json.dumps(workflow)})")

    def load_graph(self, graph: dict[str, Any]) -> None:
        """Show a graph in the API's form."""
        self._browser.evaluate(f"app.loadApiJson({json.dumps(graph)}, 'graph')")

    def unknown_nodes(self) -> list[str]:
        """Name what the page does not know in the graph that it shows."""
        found: list[str] = self._browser.evaluate(
            "app.graph.nodes.filter((n) => !LiteGraph.registered_node_types[n.type])"
            ".map((n) => n.type)"
        )
        return found

    def graph(self) -> dict[str, Any]:
        """Give what the page would send to the server."""
        sent: dict[str, Any] = self._browser.evaluate(
            "app.graphToPrompt().then((made) => made.output)"
        )
        return sent

    def run(self) -> None:
        """Press Run."""
        self._browser.evaluate("window.seen.ended = ''; app.queuePrompt(0)")

    def set_value(self, node: int, widget: str, value: Any) -> None:
        """Type a value into a node."""
        self._browser.evaluate(
            f"app.graph.getNodeById({node}).widgets"
            f".find((one) => one.name === {json.dumps(widget)}).value = {json.dumps(value)}"
        )

    def wait_for_preview_in(self, node: int) -> None:
        """Wait until a node that runs shows a picture."""
        self._browser.wait(
            f"window.seen.ended || app.graph.getNodeById({node}).imgs?.[0]?.complete"
        )

    def is_running(self) -> bool:
        """Whether the run has not ended yet."""
        return not self._browser.evaluate("window.seen.ended")

    def shown_text(self) -> str:
        """Give all words on the page."""
        return str(self._browser.evaluate("document.body.innerText"))

    def wait_for_end(self, patience: float = 180) -> str:
        """Wait until the run has ended: "success", or what went wrong."""
        ended: str = self._browser.wait("window.seen.ended", patience)
        return ended if ended == "success" else self._browser.evaluate("window.seen.error") or ended

    def saved(self) -> dict[str, Any]:
        """Give the workflow as the page saves it."""
        workflow: dict[str, Any] = self._browser.evaluate(
            "JSON.parse(JSON.stringify(app.graph.serialize()))"
        )
        return workflow
