import cv2
import numpy as np
import pytest
from helpers import COLOR

from cinn_colorize.film.planes import Coding, gray_luma, lightness
from cinn_colorize.film.render import Renderer
from cinn_colorize.imaging import color
from cinn_colorize.imaging.options import Box
from cinn_colorize.imaging.upsampling import Upsampler

SIZE = 240, 300
WHOLE = Box(0, 0, 300, 240)
CODINGS = [
    Coding(matrix, is_full, bits) for matrix in (1, 5, 9) for is_full in (False, True) for bits in (8, 10)
]
CELLS = [(2, 2), (1, 2), (1, 1)]


def scene(coding, size=SIZE):
    """Luma, L and ab (2, 64, 64) of a photo, twice as vivid as it is, so that much leaves the gamut."""
    lab = color.pixels_to_lab(cv2.resize(COLOR, size[::-1], interpolation=cv2.INTER_AREA))
    gray = color.lab_to_srgb(np.stack([lab[0], 0 * lab[0], 0 * lab[0]], -1))[..., 1]
    black, span = coding.luma
    luma = np.rint(gray.clip(0, 1) * span + black).astype(np.uint8 if coding.bits == 8 else np.uint16)
    L = cv2.resize(cv2.LUT(luma, lightness(coding)), (256, 256), interpolation=cv2.INTER_AREA)
    ab = np.stack([cv2.resize(2 * plane, (64, 64), interpolation=cv2.INTER_AREA) for plane in lab[1:]])
    return luma, np.rint(2.55 * L).astype(np.uint8), ab


def shown(coding, planes, interpolation=cv2.INTER_LINEAR):
    """Lab (3, H, W) of planes on a screen."""
    black, span = coding.luma
    neutral, width = coding.chroma
    luma = (planes[0].astype(np.float32) - black) / span
    size = luma.shape[::-1]
    even = size[0] + size[0] % 2, size[1] + size[1] % 2
    target = size if planes[1].shape == luma.shape else even if planes[1].shape[0] < luma.shape[0] else None
    cb, cr = (
        cv2.resize(plane.astype(np.float32), target or (even[0], size[1]), interpolation=interpolation)
        for plane in planes[1:]
    )
    cb, cr = ((plane[: size[1], : size[0]] - neutral) / width for plane in (cb, cr))
    red, green, blue = coding.weights
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    rgb = np.stack([r, (luma - red * r - blue * b) / green, b], -1).clip(0, 1)
    return np.moveaxis(color.srgb_to_lab(rgb), -1, 0)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_lightness_stays_that_of_the_film(coding, cell):
    luma, L, ab = scene(coding)
    planes = Renderer(coding, SIZE, WHOLE, cell).render(luma, L, ab)
    away = np.abs(shown(coding, planes)[0] - cv2.LUT(luma, lightness(coding)))
    assert away.max() < 3
    assert np.percentile(away, 99.9) < 1.1
    assert away.mean() < 0.17
    assert np.abs(planes[0].astype(int) - luma).max() > 5  # without its correction, luma would be wrong


@pytest.mark.parametrize("coding", CODINGS[:4], ids=str)
def test_colours_are_those_of_a_photo(coding):
    luma, L, ab = scene(coding)
    ab = ab / 2
    out = shown(coding, Renderer(coding, SIZE, WHOLE, (2, 2)).render(luma, L, ab))
    full = cv2.LUT(luma, lightness(coding))
    photo = Upsampler(ab, L / np.float32(2.55), SIZE).rows(0, SIZE[0], full)
    photo = color.reduce_chroma(full, photo)
    assert np.hypot(*(out[1:] - photo)).mean() < 2
    assert np.hypot(*out[1:]).mean() == pytest.approx(np.hypot(*photo).mean(), rel=0.04)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_gray_of_a_colour_is_the_gray_that_it_came_from(coding):
    luma, L, ab = scene(coding)
    planes = Renderer(coding, SIZE, WHOLE, (1, 1)).render(luma, L, ab / 2)
    away = np.abs(gray_luma(coding, *planes).astype(int) - luma)
    assert away.max() <= 1 << (coding.bits - 8)


def test_uniform_colours_of_the_whole_gamut_keep_their_lightness():
    coding = Coding(1)
    worst = 0.0
    for r, g, b in np.ndindex(6, 6, 6):
        lab = color.srgb_to_lab(np.array([[r, g, b]]) / 5)[0]
        gray = color.lab_to_srgb(np.array([[lab[0], 0, 0]]))[0, 1]
        luma = np.full((16, 16), round(float(gray.clip(0, 1)) * 219 + 16), np.uint8)
        L = cv2.LUT(luma, lightness(coding))
        ab = np.tile(lab[1:, None, None], (1, 4, 4)).astype(np.float32)
        small = np.full((256, 256), round(2.55 * float(L[0, 0])), np.uint8)
        planes = Renderer(coding, (16, 16), Box(0, 0, 16, 16), (2, 2)).render(luma, small, ab)
        out = shown(coding, planes)
        worst = max(worst, float(np.abs(out[0] - L).max()))
    assert worst < 1.2


def test_gray_frames_and_what_lies_outside_the_picture_stay_as_they_are():
    coding = Coding(5)
    luma, L, ab = scene(coding)
    renderer = Renderer(coding, SIZE, Box(51, 20, 250, 201), (2, 2))
    Y, cb, cr = renderer.render(luma, L, None)
    assert (luma == Y).all()
    assert (cb == 128).all()
    assert (cr == 128).all()
    Y, cb, cr = renderer.render(luma, L, ab)
    inside = np.zeros(SIZE, bool)
    inside[20:201, 51:250] = True
    assert (cb[~inside[::2, ::2]] == 128).all()
    assert (Y[~inside & ~np.roll(inside, 2, 0) & ~np.roll(inside, -2, 0)][:5000] == luma.flat[0]).any()
    assert (Y[:18] == luma[:18]).all()
    assert (cb[inside[::2, ::2]] != 128).mean() > 0.7


@pytest.mark.parametrize("cell", CELLS)
def test_odd_sizes(cell):
    coding, size = Coding(5), (145, 177)
    luma, L, ab = scene(coding, size)
    planes = Renderer(coding, size, Box(0, 0, 177, 145), cell).render(luma, L, ab)
    assert planes[0].shape == size
    assert planes[1].shape == planes[2].shape == (-(-145 // cell[0]), -(-177 // cell[1]))
    assert (planes[1][-1] != 128).mean() > 0.5  # the last row has colours too
    assert (planes[1][:, -1] != 128).mean() > 0.5


def test_turned_film_gets_the_colours_of_what_is_seen():
    coding = Coding(5)
    luma, L, ab = scene(coding, (240, 240))
    upright = Renderer(coding, (240, 240), Box(0, 0, 240, 240), (2, 2)).render(luma, L, ab)
    stored = np.ascontiguousarray(np.rot90(luma, -1))
    turned = Renderer(coding, (240, 240), Box(0, 0, 240, 240), (2, 2), turns=1).render(stored, L, ab)
    for one, other in zip(upright, turned, strict=True):
        assert np.abs(np.rot90(other).astype(int) - one).max() <= 1


def test_blacker_than_black_and_whiter_than_white_stay():
    coding = Coding(5)
    luma, L, ab = scene(coding)
    luma[:40], luma[40:80] = 4, 250
    Y, cb, cr = Renderer(coding, SIZE, WHOLE, (2, 2)).render(luma, L, ab)
    for rows, value in ((slice(0, 36), 4), (slice(44, 76), 250)):
        assert (Y[rows] == value).all()
        assert (cb[rows.start // 2 : rows.stop // 2] == 128).all()
        assert (cr[rows.start // 2 : rows.stop // 2] == 128).all()
