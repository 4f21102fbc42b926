"""``cinn-colorize export``."""

from dataclasses import dataclass
from pathlib import Path

from cinn_colorize.cli.common import (
    debug_option,
    folder_option,
    model_option,
    overwrite_option,
    weights_option,
)
from cinn_colorize.cli.console import fatal, print_path
from cinn_colorize.cli.summary import claim


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of ``export``."""

    output_dir: Path = folder_option(..., "Folder for the ONNX files.")
    model: str = model_option()
    weights: str | None = weights_option()
    overwrite: bool = overwrite_option()
    debug: bool = debug_option()


def export(options: ExportOptions) -> None:
    """Write a model as ONNX files for other programs and languages.

    condition.onnx maps the luminance of a photo to what all its samples share. sample.onnx maps that and a
    latent code to ab; with the default model, after coarse.onnx and the steps that docs/onnx.md explains.
    The paths go to stdout. colorize --engine onnx does not require an export.

    Examples:
        cinn-colorize export -o onnx
        cinn-colorize export -o bedrooms --model bedrooms
    """
    with fatal(options.debug):
        from cinn_colorize.engines.onnx.files import COARSE, CONDITION, SAMPLE, STEP

        before = {options.output_dir / name for name in (CONDITION, COARSE, SAMPLE)}
        steps = options.output_dir.glob(STEP.format("*"))
        before.update(path for path in steps if path.stem.removeprefix("step").isdecimal())
        claim(sorted(before), options.overwrite)
        from cinn_colorize.engines.onnx.export import export as write
        from cinn_colorize.models import load_model

        written = write(load_model(options.model, options.weights), options.output_dir)
        for other in before.difference(written):  # of another model, which these would seem to belong to
            other.unlink(missing_ok=True)
        for path in written:
            print_path(path)
