"""The preview: a part of the picture at the dream's own scale, dreamed anew when a setting changes.

A dream's creatures have a size in pixels. A preview of the whole picture made small would show them
far too large; this one shows a part as it will be, and the user drags it about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gi.repository import Gdk, GdkPixbuf, Gegl, GLib, Gtk

from background import Task, in_gtk
from filtering import PIXELS, named
from reports import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facts import Facts
    from filtering import Place
    from regions import Region
    from worker_client import Connection

SIDE = 320
"""Longest side of the part in px."""
DELAY = 300
"""Milliseconds to wait for the next change before dreaming."""
RGB = 3


class Preview:
    """A picture, a switch, and a line that says what it shows.

    Args:
        place: what will be dreamed on.
        facts: how to reach the worker.
    """

    def __init__(self, place: Place, facts: Facts) -> None:
        self._place, self._facts = place, facts
        self._asked: dict[str, Any] = {"recipe": {}}
        self._regions: Sequence[Region] = ()
        self._fault = ""
        self._task: Task | None = None
        self._timer = 0
        self._centre = (place.x + place.width / 2, place.y + place.height / 2)
        self._drag: tuple[float, float, float, float] | None = None
        self._scale = 1.0
        self._picture: GdkPixbuf.Pixbuf | None = None
        self._natural = (1, 1)
        self._canvas = Gtk.Image(width_request=SIDE, height_request=SIDE)
        frame = Gtk.Frame(shadow_type=Gtk.ShadowType.IN)
        frame.add(self._listening(self._canvas))
        self._switch = Gtk.CheckButton(label="Pre_view", use_underline=True, active=True)
        self._switch.set_tooltip_text("Dream on a part of the picture whenever a setting changes.")
        self._switch.connect("toggled", lambda _: self._begin())
        self._status = Gtk.Label(xalign=0, wrap=True, max_width_chars=40)
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self.widget.pack_start(frame, True, True, 0)
        self.widget.pack_start(self._switch, False, False, 0)
        self.widget.pack_start(self._status, False, False, 0)

    def dream(self, asked: dict[str, Any], regions: Sequence[Region]) -> None:
        """Dream with these settings soon; what was under way is forgotten."""
        self._asked, self._regions, self._fault = asked, regions, ""
        self._begin()

    def refuse(self, fault: str) -> None:
        """Say why these settings cannot be dreamed; what was under way is forgotten."""
        self._fault = fault
        self._begin()

    def _begin(self) -> None:
        self._cancel()
        self._timer = GLib.timeout_add(DELAY, self._start)
        if self._picture is None:
            self._show_original()

    def show(self, pixels: bytes, width: int, height: int) -> None:
        """Show pixels, 8 bits each of red, green and blue."""
        self._picture = GdkPixbuf.Pixbuf.new_from_bytes(
            GLib.Bytes.new(pixels), GdkPixbuf.Colorspace.RGB, False, 8, width, height, RGB * width
        )
        self._draw()

    def stop(self) -> None:
        """Dream no more: what `show` is given from now on is the whole of what is selected."""
        self._cancel()
        self._natural = (self._place.width, self._place.height)
        self._switch.set_sensitive(False)
        self._status.set_text("")

    def _cancel(self) -> None:
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _start(self) -> bool:
        """Begin a dream in a thread; what needs GIMP is read before."""
        self._timer = 0
        width, height = self._show_original()
        if not self._switch.get_active():
            return False
        if self._fault:
            self._fail(self._fault)
            return False
        planes = [("rows", self._read(PIXELS)), *(("region", mask) for mask in self._masks())]
        recipe = {**self._asked["recipe"], "size": 0}  # it has the dream's scale already
        request = {
            **self._asked,
            **named(self._regions),
            "recipe": recipe,
            "do": "dream",
            "width": width,
            "height": height,
            "frames": SIDE,
        }

        def job(link: Connection) -> None:
            link.ask(request)
            while "send" not in (wanted := link.receive())[0]:
                in_gtk(self._hear, task, *wanted)
            for key, values in planes:
                rows, line = wanted[0]["rows"], len(values) // height
                for top in range(0, height, rows):
                    bottom = min(top + rows, height)
                    link.send({key: [top, bottom]}, values[top * line : bottom * line])
            while "result" not in (report := link.receive())[0]:
                in_gtk(self._hear, task, *report)

        task = self._task = Task(self._facts, job, self._fail)
        self._status.set_text("Dreaming...")
        task.start()
        return False

    def _hear(self, task: Task, message: dict[str, Any], pixels: bytes) -> None:
        if task is self._task:
            if "frame" in message:
                self.show(pixels, *message["frame"])
            is_done = message.get("done") == 1
            self._status.set_text(self._caption() if is_done else sentence(message))

    def _fail(self, reason: str) -> None:
        self._status.set_text(reason)

    def _caption(self) -> str:
        whole = self._place.width * self._scale <= SIDE and self._place.height * self._scale <= SIDE
        return "" if whole else "A part as it will be; drag it to see others."

    def _part(self) -> Gegl.Rectangle:
        """The part that is shown, in the coordinates of the drawable made so small."""
        place = self._place
        longest = max(place.drawable.get_width(), place.drawable.get_height())
        size = self._asked["recipe"].get("size") or longest
        self._scale = scale = min(1.0, size / longest)
        sides = []
        for start, length, centre in (
            (place.x, place.width, self._centre[0]),
            (place.y, place.height, self._centre[1]),
        ):
            side = max(1, min(SIDE, int(length * scale)))
            most = (start + length) * scale - side
            first = min(max(centre * scale - side / 2, start * scale), most)
            sides.append((int(first), side))
        (x, width), (y, height) = sides
        return Gegl.Rectangle.new(x, y, width, height)

    def _read(self, form: str) -> bytes:
        part = self._part()
        buffer = self._place.drawable.get_buffer()
        data: bytes = buffer.get(part, self._scale, form, Gegl.AbyssPolicy.CLAMP)
        return data

    def _masks(self) -> Iterator[bytes]:
        """Read the regions' masks of the part that is shown, at its scale."""
        part, (_, left, above) = self._part(), self._place.drawable.get_offsets()
        part.x += round(left * self._scale)
        part.y += round(above * self._scale)
        for region in self._regions:
            yield region.mask.get(part, self._scale, region.form, Gegl.AbyssPolicy.NONE)

    def _show_original(self) -> tuple[int, int]:
        part = self._part()
        self._natural = (part.width, part.height)
        self.show(self._read("R'G'B' u8"), part.width, part.height)
        self._status.set_text(self._caption())
        return part.width, part.height

    def _draw(self) -> None:
        """Show the picture in the middle at its own size, or smaller to fit.

        The frames of early octaves are small, and are shown as large as the last.
        """
        if self._picture is None:
            return
        zoom = min(1.0, *(SIDE / side for side in self._natural))
        width, height = (max(1, round(zoom * side)) for side in self._natural)
        shown = self._picture.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR)
        self._canvas.set_from_pixbuf(shown)  # no cairo: GIMP's Python may not have pycairo

    def _listening(self, canvas: Gtk.Widget) -> Gtk.EventBox:
        """Let the picture be dragged."""
        box = Gtk.EventBox()
        box.add(canvas)
        box.add_events(Gdk.EventMask.BUTTON_PRESS_MASK | Gdk.EventMask.BUTTON1_MOTION_MASK)
        box.connect("button-press-event", self._grasp)
        box.connect("motion-notify-event", self._move)
        return box

    def _grasp(self, _box: Gtk.EventBox, event: Any) -> None:
        self._drag = (event.x, event.y, *self._centre)

    def _move(self, _box: Gtk.EventBox, event: Any) -> None:
        if self._drag is None or not self._switch.get_sensitive():
            return
        x, y, centre_x, centre_y = self._drag
        place = self._place
        self._centre = (
            min(max(centre_x - (event.x - x) / self._scale, place.x), place.x + place.width),
            min(max(centre_y - (event.y - y) / self._scale, place.y), place.y + place.height),
        )
        self._cancel()
        self._show_original()
        self._timer = GLib.timeout_add(DELAY, self._start)
