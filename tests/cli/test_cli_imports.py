"""What a call imports before it is known whether it is needed."""

import subprocess
import sys

import pytest
from helpers import ENVIRONMENT

from cinn_colorize import __version__


def imports_of(folder, *arguments):
    """The modules that a call has imported."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['cinn-colorize', *{list(arguments)!r}]\n"
        "from cinn_colorize.cli import main\n"
        "main()\n"
    )
    call = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, env=ENVIRONMENT
    )
    return call, set(call.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["colorize", "-h"], ["models"], ["--device", "tpu", "x"], ["sample", "-h"]],
)
def test_help_and_version_import_nothing_heavy(folder, arguments):
    call, modules = imports_of(folder, *arguments)
    assert not modules & {"torch", "numpy", "cv2", "pyvips", "PIL", "huggingface_hub", "rich.markdown"}
    if len(arguments) == 1:  # none of the commands, whose options are many
        assert "cinn_colorize.request" not in modules
    if arguments == ["--version"]:
        assert (call.returncode, call.stdout) == (0, f"cinn-colorize {__version__}\n")
    elif arguments[-1] not in ("x", "models"):
        assert call.returncode == 0
        assert "Usage: cinn-colorize" in call.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.jpg"],
        ["transfer", "missing.jpg", "gray.jpg"],
        ["mix", "gray.jpg", "--seeds", "1,2", "--mask", "missing.png"],
        ["temperature", "missing.jpg"],
        ["sample", "missing.jpg"],
    ],
)
def test_a_mistyped_name_does_not_wait_for_torch(folder, arguments):
    call, modules = imports_of(folder, *arguments)
    assert call.returncode == 1
    assert "torch" not in modules


def test_what_hands_out_photos_and_keeps_the_manifest_imports_nothing_heavy(folder, tmp_path):
    call, modules = imports_of(
        folder, "gray.jpg", "coffee.webp", "--manifest", str(tmp_path / "m"), "-o", str(tmp_path / "o")
    )
    assert call.returncode == 0, call.stderr
    assert len((tmp_path / "m").read_text().splitlines()) == 2
    assert not modules & {"torch", "numpy", "cv2", "pyvips"}


def test_weights_of_ones_own_do_not_wait_for_the_compiler(folder, tmp_path, narrow_weights):
    """Their shapes are checked on the meta device, where some operations import it, which takes seconds."""
    call, modules = imports_of(
        folder, "gray.jpg", "-n", "1", "--weights", str(narrow_weights), "-o", str(tmp_path)
    )
    assert call.returncode == 0, call.stderr
    assert "torch" in modules
    assert "torch._dynamo" not in modules
