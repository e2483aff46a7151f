"""The row of the dialog in which a picture is chosen as a guide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gi.repository import GdkPixbuf, GLib, Gtk

from procedure import takes_guides

if TYPE_CHECKING:
    from gi.repository import Gimp, GObject

ENDINGS = ("png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "gif", "psd")
SIDE = 180
"""Longest side in px of the picture that the file chooser shows."""


def guide_row(config: Gimp.ProcedureConfig, spacing: int) -> Gtk.Widget:
    """Make a button that chooses a file, and one that chooses none, bound to the configuration.

    Args:
        config: has the argument "guide", where this GIMP can have it; else the row says so.
        spacing: px between the buttons.
    """
    if not takes_guides(config):
        said = "This GIMP takes files in a way that reverie does not know: upgrade one of them."
        return Gtk.Label(label=said, xalign=0, wrap=True, max_width_chars=30)
    chooser = Gtk.FileChooserButton(title="Choose a Guide", hexpand=True)
    for name, endings in (("Pictures", ENDINGS), ("All files", ())):
        chooser.add_filter(_filter(name, endings))
    shown = Gtk.Image(margin=spacing)
    chooser.set_preview_widget(shown)
    clear = Gtk.Button.new_from_icon_name("edit-clear-symbolic", Gtk.IconSize.BUTTON)
    clear.set_tooltip_text("No guide")
    chooser.connect("file-set", lambda _: config.set_property("guide", chooser.get_file()))
    chooser.connect("update-preview", _show_candidate, shown)
    clear.connect("clicked", lambda _: config.set_property("guide", None))

    def follow(_config: Gimp.ProcedureConfig, _spec: GObject.ParamSpec | None) -> None:
        """Show what is chosen: by the user, Reset, Load Settings, or the last time."""
        file = config.get_property("guide")
        if file is None:
            chooser.unselect_all()
        elif chooser.get_uri() != file.get_uri():
            chooser.set_uri(file.get_uri())
        clear.set_sensitive(file is not None)

    listening = config.connect("notify::guide", follow)
    chooser.connect("destroy", lambda _: config.disconnect(listening))
    follow(config, None)
    row = Gtk.Box(spacing=spacing)
    row.pack_start(chooser, True, True, 0)
    row.pack_start(clear, False, False, 0)
    return row


def _filter(name: str, endings: tuple[str, ...]) -> Gtk.FileFilter:
    found = Gtk.FileFilter()
    found.set_name(name)
    for ending in endings:  # not by kind: Windows and macOS have no such list
        found.add_pattern(f"*.{ending}")
        found.add_pattern(f"*.{ending.upper()}")
    if not endings:
        found.add_pattern("*")
    return found


def _show_candidate(chooser: Gtk.FileChooser, shown: Gtk.Image) -> None:
    """Show the picture that is pointed at, if GTK can read it."""
    name = chooser.get_preview_filename()
    try:
        picture = GdkPixbuf.Pixbuf.new_from_file_at_size(name, SIDE, SIDE) if name else None
    except GLib.Error:
        picture = None
    shown.set_from_pixbuf(picture)
    chooser.set_preview_widget_active(picture is not None)
