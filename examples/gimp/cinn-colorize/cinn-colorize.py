#!/usr/bin/env python3
"""GIMP 3 plug-in: colorizations of the open picture as layers, drawn by the program cinn-colorize.

Copy this folder, cinn-colorize/, to the plug-ins of your GIMP (Edit > Preferences > Folders > Plug-ins), and
start GIMP again: Colors > Colorizations...
"""
# ruff: noqa: ANN001, ANN201

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
from gi.repository import Gimp, GimpUi, Gio, GLib, GObject  # noqa: E402

NAME = "cinn-colorize"


class Colorizations(Gimp.PlugIn):
    """The plug-in; GIMP calls these methods."""

    def do_set_i18n(self, name):
        return False

    def do_query_procedures(self):
        return [NAME]

    def do_create_procedure(self, name):
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, self.run, None)
        procedure.set_image_types("*")
        procedure.set_menu_label("Coloriz_ations...")
        procedure.add_menu_path("<Image>/Colors")
        procedure.set_documentation("Colorize a gray photo", "Add plausible colorizations as layers.", name)
        procedure.set_attribution("the cinn-colorize authors", "the cinn-colorize authors", "2026")
        both = GObject.ParamFlags.READWRITE
        procedure.add_int_argument("number", "_Layers", "Number of colorizations", 1, 64, 8, both)
        procedure.add_int_argument("seed", "_First seed", "Other seeds, other colours", 0, 2**31 - 1, 0, both)
        found = shutil.which(NAME) or NAME
        procedure.add_string_argument("program", "_Program", "Path of the program cinn-colorize", found, both)
        return procedure

    def run(self, procedure, run_mode, image, drawables, config, data):
        """Ask for the settings, draw, and insert the layers; one step of undo takes them back."""
        if run_mode == Gimp.RunMode.INTERACTIVE:
            GimpUi.init(NAME)
            dialog = GimpUi.ProcedureDialog.new(procedure, config, "Colorizations")
            dialog.fill(None)
            wanted = dialog.run()
            dialog.destroy()
            if not wanted:
                return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, GLib.Error())
        number, seed, program = (config.get_property(name) for name in ("number", "seed", "program"))
        Gimp.progress_init(f"Drawing {number} colorizations...")
        try:
            with tempfile.TemporaryDirectory(prefix="cinn-colorize-") as folder:
                insert(image, draw(image, Path(folder), program, number, seed))
        except (OSError, RuntimeError) as error:
            failed = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), str(error), 0)
            return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, failed)
        Gimp.displays_flush()
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())


def draw(image, folder, program, number, seed):
    """Write what is visible as a PNG of the depth of the image, colorize it, and return the files."""
    photo, copy = folder / "layer.png", image.duplicate()
    copy.flatten()
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, copy, Gio.File.new_for_path(str(photo)), None)
    copy.delete()
    command = [program, photo, "-n", number, "--seed", seed, "--no-sheet", "-q", "-o", folder / "drawn"]
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, no console
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, creationflags=hidden)
    except FileNotFoundError:
        raise RuntimeError(f"{program}: there is no such program; give the path of cinn-colorize") from None
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return sorted((folder / "drawn").glob("*.png"), key=lambda path: int(path.stem.rpartition("_")[2]))


def insert(image, files):
    """Insert files as layers above all others, the first one on top."""
    image.undo_group_start()
    if image.get_base_type() != Gimp.ImageBaseType.RGB:
        image.convert_rgb()
    for file in reversed(files):
        layer = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(str(file)))
        layer.set_name(f"seed {int(file.stem.rpartition('_')[2])}")
        image.insert_layer(layer, None, 0)
    image.undo_group_end()


Gimp.main(Colorizations.__gtype__, sys.argv)
