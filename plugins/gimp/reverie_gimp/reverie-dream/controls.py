"""The settings in the dialog: a row for each argument, with lists that follow the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gi.repository import GimpUi, GLib, GObject, Gtk

from background import ask_worker
from guide import guide_row
from procedure import apply, preset_of, title
from region_rows import RegionRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gi.repository import Gimp

    from facts import Facts

ROWS, COLUMNS = 6, 12
"""Pixels between rows, and between a label and its control."""
WIDTH = 360
"""Pixels of labels and controls together, for sliders that can be aimed with."""
HEIGHT = 500
"""Pixels before the settings scroll: the dialog is to fit a laptop's screen of 768."""
SLIDER = 400
"""Positions up to which a slider helps; more are typed."""
NO_PRESET = "(settings below)"


class Controls:
    """Rows of labels and controls, bound to the procedure's configuration.

    Args:
        config: what the controls show and change.
        facts: the arguments, presets and networks to begin with; the worker is asked for today's.
        channels: the names of the image's.
        changed: called when the recipe has changed.
    """

    def __init__(
        self,
        config: Gimp.ProcedureConfig,
        facts: Facts,
        channels: Sequence[str],
        changed: Callable[[], None],
    ) -> None:
        self._config, self._facts, self._changed = config, facts, changed
        self._regions = RegionRows(config, channels, ROWS)
        self._networks = {one["name"]: one for one in facts.networks}
        self._layers: dict[str, list[str]] = {}
        self._is_closed = False
        self._is_applying = False
        self.widget = Gtk.ScrolledWindow(
            hscrollbar_policy=Gtk.PolicyType.NEVER,
            propagate_natural_height=True,
            max_content_height=HEIGHT,
            overlay_scrolling=False,
        )
        self._make_rows()
        self._fill_presets()
        self._fill_networks()
        for one in facts.arguments:
            config.connect(f"notify::{one['name']}", self._notice)
        self._ask_layers()
        ask_worker(facts, {"do": "catalogue"}, self._take_catalogue)

    def close(self) -> None:
        """Let nothing be chosen any more."""
        self._is_closed = True
        self.widget.set_sensitive(False)

    def _make_rows(self) -> None:
        plain, advanced = _grid(), _grid()
        for one in _as_shown(self._facts.arguments):
            grid = advanced if one["advanced"] else plain
            _add_row(grid, one, self._control(one))
        expander = Gtk.Expander(label="_Advanced", use_underline=True)
        expander.add(advanced)
        expander.connect("notify::expanded", self._make_room)
        rows = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=COLUMNS)
        rows.set_size_request(WIDTH, -1)
        rows.pack_start(plain, False, False, 0)
        rows.pack_start(expander, False, False, 0)
        self.widget.add(rows)

    def _make_room(self, expander: Gtk.Expander, _spec: GObject.ParamSpec) -> None:
        """Let the dialog grow as far as it may, and show what has come to light."""
        if expander.get_expanded():
            self.widget.set_min_content_height(HEIGHT)
            bar = self.widget.get_vadjustment()
            # Later: GTK counts the new rows only when it lays them out. None ends the timer.
            GLib.timeout_add(100, lambda: bar.set_value(bar.get_upper()))

    def _control(self, one: dict[str, Any]) -> Gtk.Widget:
        name = one["name"]
        if name == "preset":
            self._presets = Gtk.ComboBoxText()
            self._presets.connect("changed", self._apply_preset)
            return self._presets
        if name == "network":
            self._network_store = Gtk.ListStore(str, str)
            return GimpUi.prop_string_combo_box_new(self._config, name, self._network_store, 0, 1)
        if name == "regions":
            return self._regions.widget
        if one["kind"] == "choice":
            return GimpUi.prop_choice_combo_box_new(self._config, name)
        if one["kind"] == "file":
            return guide_row(self._config, ROWS)
        makers = {"boolean": self._switch, "text": self._text}
        return makers.get(one["kind"], self._number)(one)

    def _switch(self, one: dict[str, Any]) -> Gtk.Widget:
        switch = GimpUi.prop_check_button_new(self._config, one["name"], "")
        switch.set_halign(Gtk.Align.START)
        return switch

    def _text(self, one: dict[str, Any]) -> Gtk.Widget:
        box = Gtk.ComboBoxText.new_with_entry()
        if one["name"] == "objective":
            self._objectives = box
        else:
            box.append_text(one["default"])
        self._config.bind_property(
            one["name"],
            box.get_child(),
            "text",
            GObject.BindingFlags.BIDIRECTIONAL | GObject.BindingFlags.SYNC_CREATE,
            lambda _, text: text or "",  # from its cache, GIMP gives None for an empty default
        )
        return box

    def _number(self, one: dict[str, Any]) -> Gtk.Widget:
        step = one["step"]
        digits = 0 if one["kind"] == "integer" else max(1, len(f"{step:g}".partition(".")[2]))
        spin = GimpUi.prop_spin_button_new(self._config, one["name"], step, 5 * step, digits)
        if (one["upper"] - one["lower"]) / step > SLIDER:
            spin.set_halign(Gtk.Align.START)
            return spin
        box = Gtk.Box(spacing=ROWS)
        slider = Gtk.Scale(adjustment=spin.get_adjustment(), draw_value=False, hexpand=True)
        box.pack_start(slider, True, True, 0)
        box.pack_start(spin, False, False, 0)
        return box

    def _notice(self, _config: Gimp.ProcedureConfig, spec: GObject.ParamSpec) -> None:
        """Something changed a setting: the user, a preset, Reset, or Load Settings."""
        if self._is_closed or self._is_applying:
            return
        if spec.name == "network":
            self._forget_objective()
            self._ask_layers()
        self._show_preset()
        self._changed()

    # Presets: choosing one sets all settings; what is shown is the one whose settings these are.

    def _fill_presets(self) -> None:
        self._is_applying = True
        self._presets.remove_all()
        self._presets.append("", NO_PRESET)
        for preset in self._facts.presets:
            self._presets.append(preset["name"], preset["name"])
        self._is_applying = False
        self._show_preset()

    def _show_preset(self) -> None:
        name = preset_of(self._config, self._facts)
        summaries = {one["name"]: one["summary"] for one in self._facts.presets}
        self._is_applying = True
        self._presets.set_active_id(name)
        self._is_applying = False
        self._presets.set_tooltip_text(summaries.get(name, "A look to start from."))

    def _apply_preset(self, box: Gtk.ComboBoxText) -> None:
        chosen = [one for one in self._facts.presets if one["name"] == box.get_active_id()]
        if self._is_applying or not chosen:
            return
        self._is_applying = True
        apply(chosen[0]["recipe"], self._config, self._facts)
        self._is_applying = False
        self._ask_layers()
        self._show_preset()
        self._changed()

    # Networks and their layers: those of the installation at once, the worker's when it answers.

    def _fill_networks(self) -> None:
        now = self._config.get_property("network")
        names = dict.fromkeys([*self._networks, now])
        wanted = [
            (name, _network_label(self._networks.get(name, {"name": name}))) for name in names
        ]
        if wanted == [tuple(row) for row in self._network_store]:
            return
        self._is_applying = True
        self._network_store.clear()  # which empties the setting as well
        for row in wanted:
            self._network_store.append(row)
        self._config.set_property("network", now)
        self._is_applying = False

    def _take_catalogue(self, catalogue: dict[str, Any]) -> None:
        if self._is_closed:
            return
        self._networks = {one["name"]: one for one in catalogue["networks"]}
        self._facts.presets[:] = catalogue["presets"]
        self._fill_networks()
        self._fill_presets()

    def _ask_layers(self) -> None:
        """List the layers of the network that is chosen, as soon as they are known."""
        network = self._config.get_property("network")
        self._fill_layers(network)
        if network not in self._layers:
            ask_worker(
                self._facts,
                {"do": "layers", "network": network},
                lambda answer: self._take_layers(network, answer),
            )

    def _take_layers(self, network: str, answer: dict[str, Any]) -> None:
        self._layers[network] = [layer["name"] for layer in answer["layers"]]
        self._networks.setdefault(network, {"name": network})["default_layer"] = answer["default"]
        if not self._is_closed and network == self._config.get_property("network"):
            self._fill_layers(network)

    def _fill_layers(self, network: str) -> None:
        text = self._config.get_property("objective")
        self._objectives.remove_all()
        layers = self._layers.get(network, [])
        for layer in layers:
            self._objectives.append_text(layer)
        default = self._networks.get(network, {}).get("default_layer", "")
        entry = self._objectives.get_child()
        entry.set_placeholder_text(default or "the layer that suits the network")
        entry.set_text(text or "")
        self._regions.offer(layers, default)

    def _forget_objective(self) -> None:
        """Another network has other layers: dream its default until the user chooses."""
        self._is_applying = True
        self._config.set_property("objective", "")
        self._regions.forget_objectives()
        self._is_applying = False


def _as_shown(arguments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order the rows: as the arguments, but each that says so below another."""
    shown = [one for one in arguments if "below" not in one]
    for one in arguments:
        if "below" in one:
            names = [other["name"] for other in shown]
            shown.insert(names.index(one["below"]) + 1, one)
    return shown


def _network_label(network: dict[str, Any]) -> str:
    return f"{network['name']} (download)" if network.get("download") else str(network["name"])


def _grid() -> Gtk.Grid:
    return Gtk.Grid(row_spacing=ROWS, column_spacing=COLUMNS)


def _add_row(grid: Gtk.Grid, one: dict[str, Any], control: Gtk.Widget) -> None:
    row = len(grid.get_children()) // 2
    label = Gtk.Label(label=title(one), use_underline=True, xalign=0)
    if isinstance(control, Gtk.Box) and control.get_orientation() == Gtk.Orientation.VERTICAL:
        label.set_valign(Gtk.Align.START)  # several rows belong to it
        label.set_margin_top(ROWS)
    label.set_mnemonic_widget(_focus(control))
    for widget in (label, control):
        widget.set_tooltip_text(one["help"])
    control.set_hexpand(True)
    grid.attach(label, 0, row, 1, 1)
    grid.attach(control, 1, row, 1, 1)


def _focus(control: Gtk.Widget) -> Gtk.Widget:
    """What of a control takes the keys: beside a slider the number, of a guide the file."""
    parts = control.get_children() if type(control) is Gtk.Box else []
    takes_keys = (Gtk.SpinButton, Gtk.FileChooserButton)
    return next((part for part in parts if isinstance(part, takes_keys)), control)
