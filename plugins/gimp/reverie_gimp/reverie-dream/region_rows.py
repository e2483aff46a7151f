"""The rows of the dialog in which channels get objectives of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gi.repository import Gtk, Pango

from region_lines import join, pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gi.repository import Gimp, GObject

NARROW = 8
"""Characters; the channel's and the objective's boxes share what room there is."""
NO_CHANNELS = "The image has no channels: select a part of it, and choose Select > Save to Channel."


class RegionRows:
    """A row for each region, and a button that adds one, bound to the configuration.

    Args:
        config: has the argument "regions".
        channels: the names of the image's.
        spacing: px between controls.
    """

    def __init__(self, config: Gimp.ProcedureConfig, channels: Sequence[str], spacing: int) -> None:
        self._config, self._channels, self._spacing = config, channels, spacing
        self._layers: Sequence[str] = ()
        self._default = ""
        self._rows: list[tuple[Gtk.ComboBoxText, Gtk.ComboBoxText]] = []
        self._is_filling = False
        self._box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=spacing)
        add = Gtk.Button(label="Add a region", halign=Gtk.Align.START)
        add.set_sensitive(bool(channels))
        add.connect("clicked", lambda _: self._add())
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=spacing)
        self.widget.pack_start(self._box, False, False, 0)
        self.widget.pack_start(add, False, False, 0)
        if not channels:
            add.set_tooltip_text(NO_CHANNELS)
        listening = config.connect("notify::regions", self._follow)
        self.widget.connect("destroy", lambda _: config.disconnect(listening))
        self._follow(config, None)

    def offer(self, layers: Sequence[str], default: str) -> None:
        """Offer the layers of the network that is chosen; `default` is climbed if none is named."""
        self._layers, self._default = layers, default
        self._fill(self._shown())

    def forget_objectives(self) -> None:
        """Another network has other layers: climb its default until the user chooses."""
        self._fill([(channel, "") for channel, _ in self._shown()])
        self._write()

    def _shown(self) -> list[tuple[str, str]]:
        return [
            (channel.get_active_text() or "", objective.get_child().get_text().strip())
            for channel, objective in self._rows
        ]

    def _add(self) -> None:
        taken = [channel for channel, _ in self._shown()]
        free = [name for name in self._channels if name not in taken]
        self._fill([*self._shown(), ((free or self._channels)[0], "")])
        self._write()

    def _remove(self, number: int) -> None:
        shown = self._shown()
        self._fill(shown[:number] + shown[number + 1 :])
        self._write()

    def _follow(self, _config: Gimp.ProcedureConfig, _spec: GObject.ParamSpec | None) -> None:
        """Show what Reset, Load Settings, or the last time have set."""
        wanted = pairs(self._config.get_property("regions"), self._channels)
        if wanted != self._shown():
            self._fill(wanted)

    def _write(self) -> None:
        if not self._is_filling:
            self._config.set_property("regions", join(self._shown()))

    def _fill(self, regions: Sequence[tuple[str, str]]) -> None:
        self._is_filling = True
        self._rows.clear()
        for old in self._box.get_children():
            old.destroy()
        for number, region in enumerate(regions):
            self._box.pack_start(self._row(number, *region), False, False, 0)
        self._box.show_all()
        self._is_filling = False

    def _row(self, number: int, channel: str, objective: str) -> Gtk.Widget:
        channels = Gtk.ComboBoxText(tooltip_text="Where: a channel of the image")
        names = list(dict.fromkeys([*self._channels, channel]))  # settings may name others
        for name in names:
            channels.append_text(name)
        channels.set_active(names.index(channel))
        for cell in channels.get_cells():
            cell.set_property("ellipsize", Pango.EllipsizeMode.END)
            cell.set_property("width-chars", NARROW)
        objectives = Gtk.ComboBoxText.new_with_entry()
        objectives.set_tooltip_text("What is climbed there")
        for layer in self._layers:
            objectives.append_text(layer)
        entry = objectives.get_child()
        entry.set_width_chars(NARROW)
        entry.set_placeholder_text(self._default)
        entry.set_text(objective)
        remove = Gtk.Button.new_from_icon_name("list-remove-symbolic", Gtk.IconSize.BUTTON)
        remove.set_tooltip_text("No longer a region")
        remove.connect("clicked", lambda _: self._remove(number))
        for chosen in (channels, objectives):
            chosen.connect("changed", lambda _: self._write())
        self._rows.append((channels, objectives))
        row = Gtk.Box(spacing=self._spacing)
        row.pack_start(channels, True, True, 0)
        row.pack_start(objectives, True, True, 0)
        row.pack_start(remove, False, False, 0)
        return row
