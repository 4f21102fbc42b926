"""Contact sheets of samples, to judge a run by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from cinn_colorize.colorizer import Colorizer
from cinn_colorize.data.readers import ColorReader, readable
from cinn_colorize.data.sources import Source, evenly_spaced
from cinn_colorize.files.atomic import PUBLIC, mode_like
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tiles
from cinn_colorize.models import Loaded
from cinn_colorize.models.base import PhotoFlow

SHEET_PHOTOS, SHEET_SAMPLES = 8, 3


def photo_sheet(model: PhotoFlow, photos: Sequence[Source], device: torch.device, path: Path) -> None:
    """Write a sheet of photos spread over the set, each followed by unguided samples at temperature 1."""
    colorizer = Colorizer(Loaded.of(model), device=str(device), guidance=0.0)
    chosen, shown, mode = evenly_spaced(photos, SHEET_PHOTOS), [], PUBLIC
    for k, pixels in readable(chosen, ColorReader()):
        photo, path_of_photo = open_photo(pixels), chosen[k].path
        if isinstance(path_of_photo, Path):
            mode &= mode_like(path_of_photo)
        shown += tiles(photo, colorizer.colorize(photo, SHEET_SAMPLES, temperature=1.0))
    save_sheet(contact_sheet(shown, columns=2 * (1 + SHEET_SAMPLES)), path, mode=mode)
