"""Photos whose ICC profile or colour model is not sRGB."""

import io

import cv2
import numpy as np
import pyvips
from helpers import COLOR, GRAY, Uniform, deep, profile, write
from PIL import Image, ImageCms
from skimage.color import rgb2lab

from cinn_colorize.engines.interface import NetworkInput
from cinn_colorize.imaging.photo import open_photo


def test_gray_profile(tmp_path):
    """Gray at gamma 1.0 is linear light; the picture is sRGB."""
    linear = write(tmp_path / "in.tif", GRAY, [(pyvips.GValue.blob_type, "icc-profile-data", linear_gray())])
    photo = open_photo(linear)
    (picture,) = photo.compose([Uniform(0, 0)])
    expected = np.where(GRAY / 255 > 0.0031308, 1.055 * (GRAY / 255) ** (1 / 2.4) - 0.055, 12.92 * GRAY / 255)
    assert np.abs(picture.rgb[..., 0] - 255 * expected).max() <= 1
    picture.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(out.info["icc_profile"])))
    assert "sRGB" in name


def test_a_gray_profile_does_not_fit_a_photo_in_colour(tmp_path):
    """Its pixels are taken for sRGB, and its picture says that they are."""
    Image.fromarray(COLOR).save(tmp_path / "in.tif", icc_profile=linear_gray())
    photo = open_photo(tmp_path / "in.tif")
    np.testing.assert_array_equal(photo.lab(64, 64), open_photo(COLOR).lab(64, 64))
    (picture,) = photo.compose([Uniform(5, 10)])
    np.testing.assert_array_equal(picture.rgb, open_photo(COLOR).compose([Uniform(5, 10)])[0].rgb)
    picture.save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as out:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(out.info["icc_profile"])))
    assert "sRGB" in name


def linear_gray():
    return profile(("curv", []), b"GRAY")


def test_wide_gamut_photo_keeps_its_profile_and_stays_in_srgb(tmp_path):
    srgb = write(tmp_path / "srgb.png", deep(COLOR))
    wide = pyvips.Image.new_from_file(str(srgb)).icc_transform(
        "p3", input_profile="srgb", intent="relative", depth=16
    )
    wide.write_to_file(str(tmp_path / "p3.png"))
    a, b = open_photo(srgb), open_photo(tmp_path / "p3.png")
    np.testing.assert_allclose(b.lab(64, 64), a.lab(64, 64), atol=0.1)
    (plain,), (picture,) = a.compose([Uniform(10, 20)]), b.compose([Uniform(10, 20)])
    assert np.abs(plain.rgb.astype(int) - picture.rgb).mean() > 500
    picture.save(tmp_path / "out.png")
    back = pyvips.Image.new_from_file(str(tmp_path / "out.png")).icc_transform(
        "srgb", embedded=True, intent="relative", depth=16
    )
    assert np.abs(rgb2lab(back.numpy() / 65535) - rgb2lab(plain.rgb / 65535)).mean() < 0.1
    small = np.asarray(picture.thumbnail(100)).astype(int)
    assert np.abs(small - np.asarray(plain.thumbnail(100))).mean() < 0.5


def test_a_profile_whose_white_is_too_bright(tmp_path):
    """As those of some screens are, by less than one in a thousand."""
    bright = profile(("para", [0, 1.8]), luminance=1.0005)
    white = np.full((40, 60, 3), 255, np.uint8)
    source = write(tmp_path / "in.tif", white, [(pyvips.GValue.blob_type, "icc-profile-data", bright)])
    photo = open_photo(source)
    assert photo.luminance(16, 16).max() == 100
    NetworkInput.of(photo, 256)
    (picture,) = photo.compose([Uniform(20, 20)])
    assert (picture.rgb == 255).all()


def test_cmyk_jpeg(tmp_path):
    Image.fromarray(COLOR).convert("CMYK").save(tmp_path / "in.jpg", quality=95)
    photo = open_photo(tmp_path / "in.jpg")
    L = photo.luminance(64, 64)
    expected = cv2.resize(rgb2lab(COLOR)[..., 0].astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(L.ravel(), expected.ravel())[0, 1] > 0.95
    (picture,) = photo.compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.mode == "RGB"
