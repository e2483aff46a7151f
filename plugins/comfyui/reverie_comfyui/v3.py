"""Makes ComfyUI's V3 classes of the nodes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from reverie_comfyui import program
from reverie_comfyui.description import CATEGORY

if TYPE_CHECKING:
    from reverie_comfyui.description import Input, Node, Output

_WIDGETS = {
    "INT": "Int",
    "FLOAT": "Float",
    "BOOLEAN": "Boolean",
    "COMBO": "Combo",
    "STRING": "String",
}
_LINKS = {"IMAGE": "Image", "MASK": "Mask"}


def is_supported() -> bool:
    """Whether this ComfyUI knows V3: from 0.3.48 on."""
    try:
        api = program.latest_api()
    except ImportError:
        return False
    return hasattr(api, "ComfyExtension") and hasattr(api, "io")


def comfy_entrypoint() -> Any:
    """Give the extension that ComfyUI asks for its nodes."""
    base: Any = program.latest_api().ComfyExtension

    class Reverie(base):  # type: ignore[misc] # it is known only inside ComfyUI
        """The nodes of reverie."""

        async def get_node_list(self) -> list[Any]:
            from reverie_comfyui.nodes import NODES

            return [node_class(node) for node in NODES]

    return Reverie()


def node_class(node: Node) -> Any:
    """Make a node's class."""
    io = program.latest_api().io

    def define_schema(_cls: type) -> Any:
        return schema(io, node)

    def execute(cls: Any, /, **values: Any) -> Any:
        if node.writes_files:
            values["metadata"] = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
        result = node.run(**values)
        return io.NodeOutput(*result.values, ui=result.shown)

    content: dict[str, Any] = {
        "__doc__": node.help,
        "__module__": __name__,
        "define_schema": classmethod(define_schema),
        "execute": classmethod(execute),
    }
    if (fingerprint := node.fingerprint) is not None:
        content["fingerprint_inputs"] = classmethod(lambda _cls, **values: fingerprint(**values))
    return type(node.id, (io.ComfyNode,), content)


def schema(io: Any, node: Node) -> Any:
    """Make a node's schema; ComfyUI asks for it again and again."""
    newer: dict[str, Any] = {"search_aliases": list(node.aliases)}
    known = inspect.signature(io.Schema).parameters
    return io.Schema(
        node_id=node.id,
        display_name=node.title,
        category=CATEGORY,
        description=node.help,
        inputs=[_input(io, one) for one in node.inputs()],
        outputs=[_output(io, one) for one in node.outputs],
        is_output_node=node.writes_files,
        **{key: value for key, value in newer.items() if key in known},
    )


def _input(io: Any, one: Input) -> Any:
    given: dict[str, Any] = {
        "display_name": one.label,
        "tooltip": one.help,
        "optional": one.is_optional,
    }
    if one.type not in _WIDGETS:
        return _link_type(io, one.type).Input(one.name, **given)
    given["default"] = one.default
    if one.type in {"INT", "FLOAT"}:
        as_type = int if one.type == "INT" else float
        limits = {"min": one.minimum, "max": one.maximum, "step": one.step}
        given |= {key: as_type(value) for key, value in limits.items() if value is not None}
    if one.type == "FLOAT":
        given["round"] = False  # else the page rounds to the step
    if one.type == "COMBO":
        given["options"] = list(one.choices)
    if one.type == "STRING":
        given["multiline"] = one.is_multiline
        given["dynamic_prompts"] = False  # braces are JSON here
    if one.is_seed:
        given["control_after_generate"] = True
    made = getattr(io, _WIDGETS[one.type]).Input(one.name, **given)
    if one.is_advanced and hasattr(made, "advanced"):
        made.advanced = True
    elif one.is_advanced:
        made.extra_dict["advanced"] = True
    return made


def _output(io: Any, one: Output) -> Any:
    kind = getattr(io, _WIDGETS[one.type]) if one.type in _WIDGETS else _link_type(io, one.type)
    return kind.Output(display_name=one.label, tooltip=one.help)


def _link_type(io: Any, name: str) -> Any:
    return getattr(io, _LINKS[name]) if name in _LINKS else io.Custom(name)
