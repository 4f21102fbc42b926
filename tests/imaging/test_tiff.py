"""The directories of TIFFs, which may say anything."""

import io
import struct
import tracemalloc

from helpers import GRAY
from PIL import Image

from cinn_colorize.imaging import tiff

SAMPLES = 277


def test_a_claim_of_many_channels_takes_no_memory():
    file = io.BytesIO()
    Image.fromarray(GRAY).save(file, "TIFF", tiffinfo={SAMPLES: 1})
    content = file.getvalue()
    assert not tiff.is_cut_off(io.BytesIO(content))
    entry = content.index(struct.pack("<HHI", SAMPLES, 3, 1))
    claim = content[:entry] + struct.pack("<HHII", SAMPLES, 4, 1, 2**27) + content[entry + 12 :]
    tracemalloc.start()
    assert tiff.is_cut_off(io.BytesIO(claim))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
