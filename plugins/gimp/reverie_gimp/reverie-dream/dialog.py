"""The dialog: settings, a preview, and the dream as it grows, until it is done or cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gi

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GimpUi, Gtk  # noqa: E402 - after the versions are chosen

from controls import Controls  # noqa: E402
from filtering import dream_on  # noqa: E402
from preview import Preview  # noqa: E402
from procedure import apply, recipe_of  # noqa: E402
from regions import forget_others, regions_of  # noqa: E402
from reports import StatusBar, sentence  # noqa: E402
from worker_client import Cancelled, WorkerError  # noqa: E402

if TYPE_CHECKING:
    from gi.repository import Gimp

    from facts import Facts
    from filtering import Place

KEEP = 1
"""The response of the button that ends a dream early."""
SPACE = 12
"""Pixels between parts, as GNOME's guidelines have it."""


def ask_and_dream(
    procedure: Gimp.Procedure, config: Gimp.ProcedureConfig, place: Place, facts: Facts
) -> None:
    """Show the dialog, and dream if the user wants to.

    Raises:
        Cancelled: the user does not, or no more; the picture is as it was.
        WorkerError: it cannot be done.
    """
    GimpUi.init("reverie-dream")
    if named := config.get_property("preset"):  # a script left it
        known = {preset["name"]: preset["recipe"] for preset in facts.presets}
        apply(known.get(named, {}), config, facts)
        config.set_property("preset", "")
    forget_others(config, place.image)
    dialog = DreamDialog(procedure, config, place, facts)
    try:
        if not dialog.ask():
            raise Cancelled
        with StatusBar() as bar:
            dialog.show_dreaming(bar)
            dream_on(place, config, facts, dialog)
    finally:
        dialog.close()


class DreamDialog:
    """The dialog, which also is the `Report` of the dream that it starts."""

    frames = 512

    def __init__(
        self, procedure: Gimp.Procedure, config: Gimp.ProcedureConfig, place: Place, facts: Facts
    ) -> None:
        self.wants_stop = False
        self._config, self._place, self._facts = config, place, facts
        self._is_cancelled = False
        self._bar: StatusBar | None = None
        self._window = GimpUi.ProcedureDialog.new(procedure, config, "Reverie")
        self._window.set_ok_label("_Dream")
        self._preview = Preview(place, facts)
        channels = [channel.get_name() for channel in place.image.get_channels()]
        self._controls = Controls(config, facts, channels, self._refresh)
        self._progress = Gtk.ProgressBar(show_text=True, no_show_all=True, margin=SPACE)
        columns = Gtk.Box(spacing=SPACE, border_width=SPACE)
        columns.pack_start(self._preview.widget, True, True, 0)
        columns.pack_start(self._controls.widget, False, False, 0)
        content = self._window.get_content_area()
        content.pack_start(columns, True, True, 0)
        content.pack_start(self._progress, False, False, 0)
        columns.show_all()

    def ask(self) -> bool:
        """Let the user choose; true if they want to dream."""
        self._refresh()
        return bool(self._window.run())

    def show_dreaming(self, bar: StatusBar) -> None:
        """Turn from choosing to watching."""
        self._bar = bar
        self._preview.stop()
        self._controls.close()
        for response in (Gtk.ResponseType.OK, *self._own_responses()):
            self._window.set_response_sensitive(response, False)
        self._window.add_button("_Keep so far", KEEP)
        self._window.set_response_sensitive(KEEP, False)  # until there is something to keep
        self._window.connect("response", self._respond)
        self._window.connect("delete-event", lambda *_: True)  # it is closed in `close`
        self._progress.set_text("Reverie starts")
        self._progress.show()

    def idle(self) -> None:
        """Let GTK live, and end the dream when the user wants no more."""
        while Gtk.events_pending():
            Gtk.main_iteration()
        if self._is_cancelled:
            raise Cancelled

    def hear(self, message: dict[str, Any], payload: bytes) -> None:
        """Show a report of the worker here, and in GIMP's status bar."""
        if self._bar is not None:
            self._bar.hear(message, payload)
        if text := sentence(message):
            self._progress.set_text(text)
        if "done" in message:
            self._progress.set_fraction(message["done"])
            self._window.set_response_sensitive(KEEP, not self.wants_stop)
        elif "fetching" in message:
            self._progress.pulse()
        if "frame" in message:
            self._preview.show(payload, *message["frame"])
        self.idle()

    def close(self) -> None:
        """Take the dialog off the screen."""
        self._preview.stop()
        self._controls.close()
        self._window.destroy()
        while Gtk.events_pending():
            Gtk.main_iteration()

    def _refresh(self) -> None:
        try:
            regions = regions_of(self._config, self._place.image)
            self._preview.dream(recipe_of(self._config, self._facts), regions)
        except WorkerError as error:
            self._preview.refuse(str(error))

    def _respond(self, _window: Gtk.Dialog, response: int) -> None:
        if response == KEEP:
            self.wants_stop = True
            self._window.set_response_sensitive(KEEP, False)
        elif response in {Gtk.ResponseType.CANCEL, Gtk.ResponseType.DELETE_EVENT}:
            self._is_cancelled = True

    def _own_responses(self) -> list[int]:
        """GIMP's Reset, and whatever else it gives the dialog, but not Cancel."""
        buttons = self._window.get_action_area().get_children()
        responses = [self._window.get_response_for_widget(button) for button in buttons]
        return [r for r in responses if r not in {Gtk.ResponseType.CANCEL, KEEP}]
