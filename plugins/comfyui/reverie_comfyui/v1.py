"""Makes ComfyUI's V1 classes of the nodes, for a ComfyUI that has no V3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie_comfyui.description import CATEGORY

if TYPE_CHECKING:
    from reverie_comfyui.description import Input, Node


def mappings() -> dict[str, Any]:
    """Give what ComfyUI reads from a V1 pack."""
    from reverie_comfyui.nodes import NODES

    return {
        "NODE_CLASS_MAPPINGS": {node.id: node_class(node) for node in NODES},
        "NODE_DISPLAY_NAME_MAPPINGS": {node.id: node.title for node in NODES},
    }


def node_class(node: Node) -> type:
    """Make a node's class."""

    def input_types(_cls: type) -> dict[str, Any]:
        return inputs_of(node)

    def run(_self: object, **values: Any) -> Any:
        if node.writes_files:
            more = values.pop("extra_pnginfo", None) or {}
            values["metadata"] = {"prompt": values.pop("prompt", None), **more}
        result = node.run(**values)
        if result.shown is None:
            return result.values
        return {"ui": dict(result.shown), "result": result.values}

    content: dict[str, Any] = {
        "__doc__": node.help,
        "__module__": __name__,
        "INPUT_TYPES": classmethod(input_types),
        "RETURN_TYPES": tuple(output.type for output in node.outputs),
        "RETURN_NAMES": tuple(output.label for output in node.outputs),
        "OUTPUT_TOOLTIPS": tuple(output.help for output in node.outputs),
        "FUNCTION": "run",
        "CATEGORY": CATEGORY,
        "DESCRIPTION": node.help,
        "OUTPUT_NODE": node.writes_files,
        "SEARCH_ALIASES": list(node.aliases),
        "run": run,
    }
    if (fingerprint := node.fingerprint) is not None:
        content["IS_CHANGED"] = classmethod(lambda _cls, **values: fingerprint(**values))
    return type(node.id, (), content)


def inputs_of(node: Node) -> dict[str, Any]:
    """Describe a node's inputs as `INPUT_TYPES` does."""
    listed: dict[str, Any] = {"required": {}}
    for one in node.inputs():
        listed.setdefault("optional" if one.is_optional else "required", {})[one.name] = of(one)
    if node.writes_files:
        listed["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
    return listed


def of(one: Input) -> tuple[Any, dict[str, Any]]:
    """Describe one input: its type or choices, and what the page shows of it."""
    as_type = int if one.type == "INT" else float
    numbers = {"min": one.minimum, "max": one.maximum, "step": one.step}
    options: dict[str, Any] = {
        "display_name": one.label,
        "tooltip": one.help,
        "default": one.default,
        **{key: None if value is None else as_type(value) for key, value in numbers.items()},
    }
    options = {key: value for key, value in options.items() if value is not None}
    if one.type == "FLOAT":
        options["round"] = False
    if one.type == "STRING":
        options |= {"multiline": one.is_multiline, "dynamicPrompts": False}
    if one.is_seed:
        options["control_after_generate"] = True
    if one.is_advanced:
        options["advanced"] = True
    return (list(one.choices) if one.type == "COMBO" else one.type), options
