#!/usr/bin/env python3
"""Reverie in GIMP 3: Filters > Artistic > Reverie...

GIMP runs this file to ask what it offers, and again for each dream. It needs the standard library
and gi only; the dreaming is done by reverie's worker, a process of its own.
"""

from __future__ import annotations

import sys
import traceback

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp, GLib  # noqa: E402 - after the versions are chosen

from facts import Facts, read_facts  # noqa: E402
from filtering import Place, dream_on, find_place  # noqa: E402
from procedure import add_arguments  # noqa: E402
from reports import StatusBar  # noqa: E402
from worker_client import Cancelled, WorkerError  # noqa: E402

PROCEDURE = "plug-in-reverie-dream"


class Reverie(Gimp.PlugIn):  # type: ignore[misc]  # gi has no types
    """The plug-in, as GIMP asks for it."""

    def do_set_i18n(self, _name: str) -> bool:
        """Say that there is no translation, which GIMP else complains of."""
        return False

    def do_query_procedures(self) -> list[str]:
        """List what is offered."""
        return [PROCEDURE]

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        """Describe the procedure; a broken set-up must not keep it out of the menu."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label("_Reverie...")
        procedure.add_menu_path("<Image>/Filters/Artistic")
        procedure.set_documentation(
            "Let a trained network dream on the layer",
            "DeepDream: the layer, or what is selected of it, climbs the gradient of what a "
            "trained network sees in it, until eyes, fur and creatures grow. Needs reverie on this "
            "computer; the command 'reverie doctor' finds what is wrong.",
            None,
        )
        procedure.set_attribution("The reverie authors", "MIT licence", "2026")
        add_arguments(procedure, read_facts())
        return procedure


def run(
    procedure: Gimp.Procedure,
    mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
    _data: object,
) -> Gimp.ValueArray:
    """Dream, and answer GIMP in any case: with success, a wish to cancel, or a sentence."""
    try:
        Gegl.init(None)
        facts = read_facts()
        facts.require()
        place = find_place(image, drawables)
        if mode == Gimp.RunMode.INTERACTIVE:
            from dialog import ask_and_dream  # it loads GTK, which scripts do without

            ask_and_dream(procedure, config, place, facts)
        else:
            quietly(place, config, facts)
    except Cancelled:
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
    except WorkerError as error:
        return failure(procedure, str(error))
    except Exception as error:  # noqa: BLE001 - GIMP would show no reason at all
        traceback.print_exc()
        return failure(
            procedure,
            f"Reverie's plug-in failed ({type(error).__name__}: {error}); "
            "the picture is as it was.",
        )
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def quietly(place: Place, config: Gimp.ProcedureConfig, facts: Facts) -> None:
    """Dream without a dialog, as scripts and "repeat last" do."""
    with StatusBar() as report:
        dream_on(place, config, facts, report)


def failure(procedure: Gimp.Procedure, sentence: str) -> Gimp.ValueArray:
    """Give GIMP a sentence to show, or to hand to the script that called."""
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(sentence))


Gimp.main(Reverie.__gtype__, sys.argv)
