"""The plug-ins in the real programs, where these are installed."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from helpers import ENVIRONMENT, EXAMPLES, ROOT
from PIL import Image

IN_GIMP = """
image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path("{photo}"))
procedure = Gimp.get_pdb().lookup_procedure("cinn-colorize")
config = procedure.create_config()
for name, value in dict(image=image, number=2, seed=3, program="{program}").items():
    config.set_property(name, value)
config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
config.set_core_object_array("drawables", image.get_layers())
result = procedure.run(config)
names = [layer.get_name() for layer in image.get_layers()]
print("LAYERS", result.index(0).value_nick, names[:-1], image.get_precision().value_nick, flush=True)
Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path("{saved}"), None)
"""
IN_DARKTABLE = """
package.path = "{folder}/?.lua;" .. package.path
local dt = require "darktable"
local colorize = require "cinn-colorize"
dt.preferences.write("cinn-colorize", "program", "string", "{program}")
dt.preferences.write("cinn-colorize", "number", "integer", 2)
local image = dt.database.import("{photo}")
colorize({{ image }})
local report = io.open("{report}.part", "w")
for _, member in ipairs(image:get_group_members()) do
  report:write(member.filename, "\\n")
end
report:close()
os.rename("{report}.part", "{report}")
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a program and a gray photo of 16 bits, whose folder needs quoting."""
    program, folder = tmp_path / "cinn-colorize", tmp_path / "Anna's photos"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cinn_colorize "$@"\n')
    program.chmod(0o755)
    folder.mkdir()
    gray = Image.open(EXAMPLES / "old/roof.jpg").convert("L").resize((320, 240)).convert("I;16")
    gray.point(lambda value: value * 257).save(folder / "roof.tif")
    monkeypatch.setitem(ENVIRONMENT, "HOME", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "PATH", "/usr/bin:/bin")  # plug-ins require the Python of Debian
    monkeypatch.setitem(ENVIRONMENT, "XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def needed(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {missing[0]}")


@pytest.mark.slow
def test_gimp_adds_colorizations_as_layers_of_the_picture(home):
    needed("gimp-console")
    plugins = home / "config/GIMP/3.0/plug-ins"
    shutil.copytree(ROOT / "examples/gimp", plugins)
    names = {
        "photo": home / "Anna's photos/roof.tif",
        "program": home / "cinn-colorize",
        "saved": home / "a.tif",
    }
    code = IN_GIMP.format(**names)
    words = ["gimp-console", "-idf", "--batch-interpreter", "python-fu-eval", "-b", code, "--quit"]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert "LAYERS success ['seed 3', 'seed 4'] u16-non-linear" in done.stdout, done.stdout + done.stderr
    with Image.open(home / "a.tif") as saved:
        assert saved.mode == "RGB"
        assert saved.size == (320, 240)


@pytest.mark.slow
def test_darktable_groups_colorizations_with_the_picture(home):
    needed("darktable", "xvfb-run")
    report = home / "report"
    photo = home / "Anna's photos/roof.tif"
    names = {"folder": ROOT / "examples/darktable", "program": home / "cinn-colorize", "report": report}
    script = home / "test.lua"
    script.write_text(IN_DARKTABLE.format(photo=photo, **names))
    words = ["xvfb-run", "-a", "darktable", "--configdir", home / "dt", "--cachedir", home / "cache"]
    words += ["--library", ":memory:", "--disable-opencl", "--luacmd", f'dofile("{script}")']
    process = subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
    )
    try:
        while not report.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, 9)
    assert report.read_text().split("\n")[:-1] == ["roof.tif", "roof_gray_000.tif", "roof_gray_001.tif"]
    assert sorted(path.name for path in photo.parent.glob("*.tif")) == report.read_text().split()
    with Image.open(photo.parent / "roof_gray_000.tif") as drawn:
        assert drawn.tag_v2[258] == (16, 16, 16)
