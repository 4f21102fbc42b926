"""Photos, and the default model in onnxruntime."""

import numpy as np
import pytest
from helpers import GRAY, WIDE, onnx_colorizer
from PIL import Image


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(GRAY).save(folder / "gray.png")
    Image.fromarray(WIDE).save(folder / "wide.png")
    Image.fromarray(np.pad(GRAY, 20, constant_values=11)).save(folder / "framed.png")
    return folder


@pytest.fixture(scope="package")
def engine():
    return onnx_colorizer()
