import re

import numpy as np
import pytest
import pyvips
from helpers import profile
from PIL import ImageCms
from skimage.color import rgb2lab

from cinn_colorize.imaging.color import SRGB, pixels_to_lab, pixels_to_luminance
from cinn_colorize.imaging.profiles import color_model, space_of


def test_srgb_profiles_are_srgb():
    assert space_of(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is SRGB
    assert space_of(bytes(pyvips.Operation.call("profile_load", "srgb"))) is SRGB


def test_display_p3_is_that_of_littlecms():
    icc = bytes(pyvips.Operation.call("profile_load", "p3"))
    space = space_of(icc)
    assert color_model(icc) == "RGB"
    srgb = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    image = pyvips.Image.new_from_memory(srgb.data, 30, 20, 3, "ushort").copy(interpretation="rgb16")
    pixels = image.icc_transform("p3", input_profile="srgb", intent="relative", depth=16).numpy()
    assert np.abs(pixels.astype(int) - srgb).mean() > 500
    lab = np.moveaxis(pixels_to_lab(pixels, space), 0, -1)
    np.testing.assert_allclose(lab, rgb2lab(srgb / 65535), atol=0.15)
    # White and the primaries as Display P3 defines them, in sRGB's linear light.
    linear = np.linalg.solve(SRGB.matrix, space.matrix)
    expected = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]
    np.testing.assert_allclose(linear, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (("curv", []), lambda x: x),
        (("curv", [563]), lambda x: x ** (563 / 256)),
        (("curv", [0, 16384, 65535]), lambda x: np.interp(x, [0, 0.5, 1], [0, 16384 / 65535, 1])),
        (("para", [0, 1.8]), lambda x: x**1.8),
        (("para", [1, 2.0, 1.25, -0.25]), lambda x: np.maximum(1.25 * x - 0.25, 0) ** 2),
        (("para", [2, 2.0, 0.8, -0.1, 0.125]), lambda x: np.maximum(0.8 * x - 0.1, 0) ** 2 + 0.125),
        (("para", [3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]), lambda x: SRGB.curves[0]),
        (
            ("para", [4, 2.0, 0.8, 0.1, 0.5, 0.25, 0.05, 0.01]),
            lambda x: np.where(x >= 0.25, (0.8 * x + 0.1) ** 2 + 0.05, 0.5 * x + 0.01),
        ),
    ],
)
def test_transfer_curves(curve, expected):
    x = np.linspace(0, 1, 65536)
    space = space_of(profile(curve, b"GRAY"))
    np.testing.assert_allclose(space.curves[1], expected(x), atol=1e-4)


def test_gray_profile_in_lab_makes_lightness():
    space = space_of(profile(("curv", []), b"GRAY", b"Lab "))
    L = pixels_to_luminance(np.arange(0, 256, dtype=np.uint8)[None], space)[0]
    np.testing.assert_allclose(L, np.linspace(0, 100, 256), atol=0.01)


def test_srgb_by_its_formula_is_srgb():
    curve = ("para", [3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
    assert space_of(profile(curve)) is SRGB
    assert space_of(profile(("curv", [461]))) is not SRGB  # gamma 1.8


def test_what_is_no_simple_profile():
    whole = profile(("curv", [563]))
    assert space_of(b"") is None
    assert space_of(b"junk" * 100) is None
    assert space_of(bytes(pyvips.Operation.call("profile_load", "cmyk"))) is None
    for length in range(0, len(whole), 7):
        space_of(whole[:length])  # must not raise
    assert space_of(whole[:140]) is None


def test_primaries_that_span_no_space_are_no_profile():
    icc = profile(("para", [0, 1.8]))
    red, green, _ = (found.start() for found in list(re.finditer(rb"XYZ \0{4}", icc))[-3:])
    same = icc[:green] + icc[red : red + 20] + icc[green + 20 :]
    assert space_of(icc) is not None
    assert space_of(same) is None
