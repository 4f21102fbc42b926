import io
import zipfile
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from helpers import EXAMPLES, shared_data
from PIL import Image, ImageOps
from torch.nn import functional

from cinn_colorize.imaging import color, upsampling
from cinn_colorize.imaging.options import Upsampling
from cinn_colorize.imaging.upsampling import Upsampler, joint_bilateral


def smooth(shape, seed, sigma=1.5):
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    planes = [cv2.GaussianBlur(plane, (0, 0), sigma) for plane in noise.reshape(-1, *shape[-2:])]
    return np.stack(planes).reshape(shape)


def scene(height, width, grid=16):
    """ab on the grid, the guide at 4 times the grid, and L at full size, with common edges."""
    L = 50 + 40 * np.sign(smooth((height, width), 0, sigma=height / 12)) + smooth((height, width), 1)
    ab = np.stack([0.6 * (L - 50), 20 - 0.3 * L])
    reduced = [cv2.resize(p, (grid, grid), interpolation=cv2.INTER_AREA) for p in ab]
    guide = cv2.resize(L, (4 * grid, 4 * grid), interpolation=cv2.INTER_AREA)
    return np.stack(reduced).astype(np.float32), guide.astype(np.float32), L.astype(np.float32)


def kopf(ab, guide, L, sigma_pixels, sigma_L):
    """Kopf et al. 2007, equation 3, as printed."""
    (height, width), (h, w) = L.shape, guide.shape
    out = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            py, px = (y + 0.5) * h / height - 0.5, (x + 0.5) * w / width - 0.5
            k, total = 0.0, np.zeros(2)
            for qy in range(h):
                for qx in range(w):
                    if max(abs(py - qy), abs(px - qx)) <= 3 * sigma_pixels:
                        f = np.exp(-((py - qy) ** 2 + (px - qx) ** 2) / (2 * sigma_pixels**2))
                        g = np.exp(-((L[y, x] - guide[qy, qx]) ** 2) / (2 * sigma_L**2)) + 1e-12
                        k += f * g
                        total += f * g * ab[:, qy, qx]
            out[:, y, x] = total / k
    return out


@pytest.mark.parametrize("method", Upsampling)
def test_nothing_depends_on_how_numpy_treats_what_underflows(method):
    ab, guide, L = scene(64, 48)
    expected = Upsampler(ab, guide, L.shape, method).rows(0, 64, L)
    with np.errstate(all="raise"):
        assert np.array_equal(Upsampler(ab, guide, L.shape, method).rows(0, 64, L), expected)


@pytest.mark.parametrize("sigmas", [(0.5, 5.0), (1.5, 2.56)])
@pytest.mark.parametrize("size", [(21, 30), (17, 9)])
def test_joint_bilateral_is_the_formula(sigmas, size):
    ab, guide = 20 * smooth((2, 6, 7), 0), 50 + 10 * smooth((6, 7), 1)
    L = 50 + 10 * smooth(size, 2)
    expected = kopf(ab, guide, L, *sigmas)
    actual = joint_bilateral(ab, guide, L, sigma_pixels=sigmas[0], sigma_L=sigmas[1])
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_exact_filters_with_the_area_mean_of_the_guide():
    ab, guide, L = scene(48, 40, grid=8)
    low = guide.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    actual = Upsampler(ab, guide, L.shape, "exact").rows(0, 48, L)
    np.testing.assert_allclose(actual, kopf(ab, low, L, 0.5, 5.0), atol=1e-3)


@pytest.mark.parametrize("size", [(100, 60), (20, 30), (64, 64)])
def test_bicubic_is_that_of_torch(size):
    ab = 20 * smooth((2, 16, 12), 0)
    expected = functional.interpolate(torch.from_numpy(ab)[None], size, mode="bicubic")[0].numpy()
    actual = Upsampler(ab, np.zeros((64, 64), np.float32), size, "bicubic").rows(0, size[0], np.zeros(size))
    np.testing.assert_allclose(actual, expected, atol=1e-3)


@pytest.mark.parametrize("method", Upsampling)
@pytest.mark.parametrize("size", [(300, 200), (40, 500), (7, 5), (1, 90)])
def test_bands_agree_with_the_whole(method, size):
    ab, guide, _ = scene(128, 128)
    L = 50 + 10 * np.random.default_rng(0).standard_normal(size).astype(np.float32)
    upsampler = Upsampler(ab, guide, size, method)
    whole = upsampler.rows(0, size[0], L)
    assert whole.shape == (2, *size)
    assert whole.dtype == np.float32
    edges = sorted({0, 1, size[0] // 3, size[0]})
    bands = [upsampler.rows(y0, y1, L[y0:y1]) for y0, y1 in pairwise(edges)]
    np.testing.assert_allclose(np.concatenate(bands, axis=1), whole, atol=1e-3)


@pytest.mark.parametrize("method", Upsampling)
def test_uniform_color_stays_uniform(method):
    ab = np.ones((2, 16, 16), np.float32) * np.array([12, -30], np.float32)[:, None, None]
    _, guide, L = scene(150, 130)
    actual = Upsampler(ab, guide, L.shape, method).rows(0, 150, L)
    np.testing.assert_allclose(actual, np.broadcast_to(ab[:, :1, :1], actual.shape), atol=1e-2)


def test_colors_end_at_edges_of_luminance():
    ab, guide, L = scene(320, 320)
    truth = np.stack([0.6 * (L - 50), 20 - 0.3 * L])

    def error(method):
        return np.hypot(*(Upsampler(ab, guide, L.shape, method).rows(0, 320, L) - truth)).mean()

    assert error("exact") < 0.6 * error("bicubic")
    assert error("jbu") < 0.6 * error("bicubic")


@pytest.mark.parametrize("height", [2, 5])
def test_a_faint_edge_parts_colours_no_more_than_the_exact_filter_does(height):
    """Nor less: with another epsilon, grain would show in the colours, or they would run over edges."""
    L = np.full((256, 256), 50, np.float32)
    L[:, 128:] += height
    ab = np.stack([cv2.resize(L - 50, (16, 16), interpolation=cv2.INTER_AREA)] * 2)
    guide = cv2.resize(L, (64, 64), interpolation=cv2.INTER_AREA)
    fast, exact = (
        np.diff(Upsampler(ab, guide, L.shape, method).rows(0, 256, L)[0, 128, 127:129]) / height
        for method in ("jbu", "exact")
    )
    assert fast == pytest.approx(exact, abs=0.05)


def test_grid_that_is_not_square():
    ab, guide, L = scene(100, 300)
    wide = np.concatenate([ab, ab[:, :, ::-1]], axis=2)
    upsampler = Upsampler(wide, np.concatenate([guide, guide[:, ::-1]], axis=1), (100, 600))
    rows = upsampler.rows(0, 100, np.concatenate([L, L[:, ::-1]], axis=1))
    np.testing.assert_allclose(rows[:, :, ::-1], rows, atol=1e-2)


def test_unknown_method():
    with pytest.raises(ValueError, match="bicubic"):
        Upsampler(np.zeros((2, 4, 4), np.float32), np.zeros((16, 16), np.float32), (20, 20), "nearest")


def check_fast_is_near_exact(*photos):
    means, differences = [], []
    for photo in photos:
        image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
        image.thumbnail((900, 900), Image.Resampling.LANCZOS)
        lab = color.pixels_to_lab(np.asarray(image))
        height, width = lab.shape[1:]
        ab = np.stack([cv2.resize(p, (64, 64), interpolation=cv2.INTER_AREA) for p in lab[1:]])
        guide = cv2.resize(lab[0], (256, 256), interpolation=cv2.INTER_AREA)
        fast, exact = (
            Upsampler(ab, guide, (height, width), method).rows(0, height, lab[0])
            for method in ("jbu", "exact")
        )
        differences.append(np.hypot(*(fast - exact)).ravel())
        means.append(differences[-1].mean())
    assert np.mean(means) <= 0.5
    assert max(np.percentile(difference, 99) for difference in differences) <= 7


def test_fast_is_near_exact_on_photos():
    with zipfile.ZipFile(shared_data("bigphotos.zip")) as archive:
        check_fast_is_near_exact(*(io.BytesIO(archive.read(name)) for name in archive.namelist()))


def test_fast_is_near_exact_on_examples():
    check_fast_is_near_exact(EXAMPLES / "photo.jpg", EXAMPLES / "rocket.jpg")


def test_work_is_done_in_blocks(monkeypatch):
    """A block's result must not depend on where the block begins."""
    ab, guide, L = scene(200, 150)
    whole = Upsampler(ab, guide, L.shape).rows(0, 200, L)
    monkeypatch.setattr(upsampling, "_BLOCK", 150 * 7)
    np.testing.assert_allclose(Upsampler(ab, guide, L.shape).rows(0, 200, L), whole, atol=1e-3)
