"""The filter: what may be dreamed on, its pixels to the worker and back, in one step of undo."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gi.repository import Gegl, Gimp

from procedure import preset_of, recipe_of
from regions import regions_of
from worker_client import Connection, WorkerError, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facts import Facts
    from regions import Region
    from reports import Report

PIXELS = "R'G'B'A float"
"""Babl's name for what the worker takes: sRGB with its curve, alpha not multiplied in."""
PIXEL = 16
"""Bytes of one."""
PARASITE = "reverie-recipe"
_ANY = bytes([0] + [255] * 255)
"""Turns a soft selection into where the dream may go at all: GIMP does the blending."""


@dataclass(frozen=True)
class Place:
    """What is dreamed on: a drawable, and the part that may change, in its own coordinates."""

    image: Gimp.Image
    drawable: Gimp.Drawable
    x: int
    y: int
    width: int
    height: int

    @property
    def is_selected(self) -> bool:
        """The user has selected something."""
        return not Gimp.Selection.is_empty(self.image)


def find_place(image: Gimp.Image, drawables: list[Gimp.Drawable]) -> Place:
    """Find out whether this can be dreamed on, before any work is done.

    Raises:
        WorkerError: it cannot; a sentence says why, and what to do.
    """
    if len(drawables) != 1:
        raise WorkerError(f"Reverie dreams on one layer, and {len(drawables)} are chosen.")
    drawable = drawables[0]
    name = drawable.get_name()
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise WorkerError("The image has a palette; choose Image > Mode > RGB first.")
    if drawable.is_group():
        raise WorkerError(f'"{name}" is a layer group; choose a layer inside it.')
    for item in _and_parents(drawable):
        if item.get_lock_content():
            raise WorkerError(f'The pixels of "{item.get_name()}" are locked; unlock them first.')
    found, x, y, width, height = drawable.mask_intersect()
    if not found:
        raise WorkerError(f'The selection lies outside of "{name}"; nothing would change.')
    place = Place(image, drawable, x, y, width, height)
    if drawable.has_alpha() and _is_transparent(place):
        raise WorkerError(f'"{name}" is empty here: there is nothing but transparency to dream on.')
    return place


def _and_parents(item: Gimp.Item) -> Iterator[Gimp.Item]:
    while item is not None:
        yield item
        item = item.get_parent()


def _is_transparent(place: Place) -> bool:
    buffer = place.drawable.get_buffer()
    strips = _strips(buffer, (place.x, place.y, place.width, place.height), 128, "A u8")
    return not any(strip.count(0) < len(strip) for _, _, strip in strips)


def _strips(
    buffer: Gegl.Buffer, part: tuple[int, int, int, int], rows: int, form: str
) -> Iterator[tuple[int, int, bytes]]:
    """Read a part of a buffer from top to bottom: first row, last but one, bytes."""
    x, y, width, height = part
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        area = Gegl.Rectangle.new(x, y + top, width, bottom - top)
        yield top, bottom, buffer.get(area, 1.0, form, Gegl.AbyssPolicy.NONE)


def dream_on(place: Place, config: Gimp.ProcedureConfig, facts: Facts, report: Report) -> None:
    """Let the worker dream, and lay the dream in when all of it is there.

    Args:
        place: from `find_place`.
        config: what the user or a script has set.
        facts: how to reach the worker.
        report: is told what happens, and raises `Cancelled` to end it.
    Raises:
        Cancelled: the report wants no more; nothing has changed.
        WorkerError: it cannot be done; nothing has changed.
    """
    asked, regions = recipe_of(config, facts), regions_of(config, place.image)
    look = asked.get("preset") or preset_of(config, facts)
    layer = _result_layer(place, config.get_property("result"))
    with connect(vars(facts), report.idle) as link:
        ask(link, place, {**asked, **named(regions)}, report.frames)
        send_picture(link, place, regions, receive_until("send", link, report))
        last = receive_until("result", link, report)
        shadow = layer.get_shadow_buffer()
        while "end" not in (answer := link.receive())[0]:
            (top, bottom), pixels = answer[0]["rows"], answer[1]
            area = Gegl.Rectangle.new(place.x, place.y + top, place.width, bottom - top)
            shadow.set(area, PIXELS, pixels)
        shadow.flush()
        del shadow
    _lay_in(place, layer, look, last["record"])


def named(regions: Sequence[Region]) -> dict[str, Any]:
    """Give what is asked for in regions."""
    return {"regions": [region.objective for region in regions]} if regions else {}


def ask(link: Connection, place: Place, asked: dict[str, Any], frames: int) -> None:
    """Ask for a dream."""
    link.ask(
        {
            "do": "dream",
            **asked,
            "width": place.drawable.get_width(),
            "height": place.drawable.get_height(),
            "select": [place.x, place.y, place.width, place.height],
            "mask": place.is_selected,
            "frames": frames,
        }
    )


def send_picture(
    link: Connection, place: Place, regions: Sequence[Region], wanted: dict[str, Any]
) -> None:
    """Send what the worker wants to see of the picture, the selection and regions."""
    part, rows = tuple(wanted["send"]), wanted["rows"]
    for top, bottom, pixels in _strips(place.drawable.get_buffer(), part, rows, PIXELS):
        link.send({"rows": [top, bottom]}, pixels)
    _, left, above = place.drawable.get_offsets()
    part = (part[0] + left, part[1] + above, *part[2:])  # selection and channels are the image's
    if place.is_selected:
        selection = place.image.get_selection().get_buffer()
        for top, bottom, mask in _strips(selection, part, rows, "Y u8"):
            link.send({"mask": [top, bottom]}, mask.translate(_ANY))
    for region in regions:
        for top, bottom, mask in _strips(region.mask, part, rows, region.form):
            link.send({"region": [top, bottom]}, mask)


def receive_until(key: str, link: Connection, report: Report) -> dict[str, Any]:
    """Hand on what the worker reports, until the message that is waited for."""
    has_asked = False
    while key not in (message_and_bytes := link.receive())[0]:
        report.hear(*message_and_bytes)
        if report.wants_stop and not has_asked:
            link.send({"stop": True})
            has_asked = True
    return message_and_bytes[0]


def _result_layer(place: Place, result: str) -> Gimp.Drawable:
    """Give the drawable to write into: itself, or a copy that is not in the image yet."""
    drawable = place.drawable
    if result == "in-place":
        return drawable
    if not isinstance(drawable, Gimp.Layer):
        raise WorkerError(
            f'"{drawable.get_name()}" is a channel or mask, which cannot become a new layer; '
            'choose "Change the layer" as result.'
        )
    return drawable.copy()


def _lay_in(place: Place, layer: Gimp.Drawable, look: str, record: str) -> None:
    image = place.image
    image.undo_group_start()
    try:
        if layer is not place.drawable:
            layer.set_name(layer_name(look, record))
            parent = place.drawable.get_parent()
            image.insert_layer(layer, parent, image.get_item_position(place.drawable))
        if not layer.merge_shadow(True):
            raise WorkerError(f'GIMP did not let the dream into "{layer.get_name()}".')
        layer.update(place.x, place.y, place.width, place.height)
        flags = 1  # Gimp.PARASITE_PERSISTENT: it is saved in XCF files
        image.attach_parasite(Gimp.Parasite.new(PARASITE, flags, record.encode()))
    finally:
        image.undo_group_end()
        Gimp.displays_flush()


def layer_name(look: str, record: str) -> str:
    """Name a dream after its preset, or else after its network and objective."""
    if look:
        return f"Reverie: {look}"
    recipe = json.loads(record)["recipe"]
    network = recipe.get("network", "embedded").partition(":")[0]  # without a file of weights
    objective = recipe["objective"]  # in a record it is always written out
    if alone := re.fullmatch(r'layer\("([^"]*)"\)', objective):
        objective = alone[1]
    return f"Reverie: {network}, {objective[:40]}"
