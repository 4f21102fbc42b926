"""The picture inside a frame: found where there is one, and only there; colours end at it."""

import cv2
import numpy as np
import pytest
from helpers import GRAY, Uniform, deep
from PIL import Image
from skimage import data

from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging.frame import SIZE, find_picture
from cinn_colorize.imaging.options import Box
from cinn_colorize.imaging.photo import open_photo

PICTURE = data.camera()  # (512, 512); the sky has the tone of a light mount
MARGINS = 40, 52, 60, 33  # left, top, right, bottom


def framed(tone, picture=PICTURE, margins=MARGINS, noise=2.0):
    """Put a picture onto a page of one tone with some grain."""
    left, top, right, bottom = margins
    height, width = picture.shape
    page = np.random.default_rng(0).normal(tone, noise, (height + top + bottom, width + left + right))
    page[top : top + height, left : left + width] = picture
    return page.clip(0, 255).astype(np.uint8)


def found(pixels):
    return open_photo(pixels).framed("auto").frame


def assert_near(box, expected, share=0.01):
    height, width = PICTURE.shape[0] + 85, PICTURE.shape[1] + 100
    away = np.abs(np.subtract(list(vars(box).values()), expected))
    assert (away <= share * np.array([width, height, width, height])).all(), (box, expected)


def expected(margins=MARGINS, size=PICTURE.shape):
    left, top = margins[:2]
    return left, top, left + size[1], top + size[0]


@pytest.mark.parametrize("tone", [0, 12, 90, 170, 252], ids=["black", "film", "page", "card", "mount"])
def test_a_frame_of_any_tone_is_found(tone):
    assert_near(found(framed(tone)), expected())


@pytest.mark.parametrize("tones", [(235, 12), (120, 8), (240, 90)], ids=["mount", "gray mount", "board"])
def test_of_two_frames_the_inner_one_has_the_picture(tones):
    inner, outer = tones
    page = framed(outer, framed(inner), (25, 18, 25, 18))
    assert_near(found(page), [place + added for place, added in zip(expected(), (25, 18) * 2, strict=True)])


@pytest.mark.parametrize("scale", [0.4, 1, 4])
def test_a_frame_is_found_at_any_size(scale):
    page = framed(12)
    size = [round(side * scale) for side in page.shape[::-1]]
    box = found(cv2.resize(page, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    assert_near(Box(*(round(place / scale) for place in vars(box).values())), expected())


def test_writing_notches_and_perforations_do_not_hide_it():
    page = framed(10)
    cv2.putText(page, "OWI-23749-E", (120, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 250, 3)
    for x in range(20, page.shape[1], 90):
        cv2.rectangle(page, (x, page.shape[0] - 24), (x + 30, page.shape[0] - 6), 230, 2)
    for y in (150, 190):
        cv2.circle(page, (page.shape[1] - 58, y), 9, 10, -1)
    assert_near(found(page), expected())


def test_rounded_corners():
    mask = np.zeros(PICTURE.shape, np.uint8)
    cv2.rectangle(mask, (24, 0), (487, 511), 255, -1)
    cv2.rectangle(mask, (0, 24), (511, 487), 255, -1)
    for x in (24, 487):
        for y in (24, 487):
            cv2.circle(mask, (x, y), 24, 255, -1)
    picture = np.where(mask > 0, PICTURE, 8)
    assert_near(found(framed(8, picture)), expected())


@pytest.mark.parametrize("degrees", [-1.5, 0.7])
def test_a_tilted_picture_lies_inside(degrees):
    page = framed(10, margins=(60, 60, 60, 60))
    centre = page.shape[1] / 2, page.shape[0] / 2
    turn = cv2.getRotationMatrix2D(centre, degrees, 1)
    turned = cv2.warpAffine(page, turn, page.shape[::-1], flags=cv2.INTER_LINEAR, borderValue=10)
    box = found(turned)
    shift = 256 * np.sin(np.radians(abs(degrees)))  # of a corner against the middle of its side
    away = np.abs(np.subtract(list(vars(box).values()), (60, 60, 572, 572)))
    assert away.max() <= shift + 4


def test_the_film_s_own_edge_is_not_the_picture_s():
    page = framed(14)
    cv2.rectangle(page, (12, 16), (page.shape[1] - 14, page.shape[0] - 12), 90, 1)
    page = np.pad(page, 8, constant_values=0)
    box = found(page)
    assert_near(Box(*(place - 8 for place in vars(box).values())), expected())


def test_a_frame_on_fewer_sides_than_four_is_part_of_the_photo():
    assert found(framed(0, margins=(0, 60, 0, 60))) is None


def test_a_photo_in_a_photo_is_no_frame():
    """A television, or a poster: its four sides are straight, but what surrounds it is a scene."""
    around = cv2.resize(data.chelsea()[..., 1], (612, 597))
    around[52:564, 40:552] = 255
    around[60:556, 48:544] = PICTURE[:496, :496] // 2
    assert found(around) is None


def night():
    """A dark photo: lamps in the middle, and nothing at its sides."""
    L = np.random.default_rng(1).normal(8, 2, (400, 600))
    y, x = np.mgrid[:400, :600]
    for cy, cx in ((150, 200), (220, 330), (180, 420)):
        L += 200 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2000)
    return L.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "photo", [PICTURE, GRAY, night(), np.full((300, 400), 7, np.uint8), np.full((3, 5), 200, np.uint8)]
)
def test_a_photo_without_a_frame_has_none(photo):
    opened = open_photo(photo)
    assert opened.framed("auto") is opened


def test_examples_without_a_frame_have_none(examples):
    photos = [path for path in examples.iterdir() if path.suffix in (".jpg", ".png")]
    assert len(photos) > 10
    assert not [path.name for path in photos if open_photo(path).framed().frame]


def test_a_search_sees_small_and_narrow_copies():
    for shape in ((1, 1), (1, SIZE), (SIZE, 2), (9, 9), (40, SIZE)):
        assert find_picture(np.full(shape, 50, np.float32), shape) is None


def test_the_network_sees_the_picture_alone():
    page = framed(10)
    photo, alone = open_photo(page).framed(expected()), open_photo(PICTURE)
    for size in ((64, 64), (256, 256), (300, 200)):
        np.testing.assert_allclose(photo.lab(*size), alone.lab(*size), atol=1e-3)
    assert photo.inside.size == (512, 512)
    assert (photo.width, photo.height) == page.shape[::-1]
    assert photo.thumbnail(100).size == open_photo(page).thumbnail(100).size


@pytest.mark.parametrize("depth", [8, 16])
def test_the_frame_is_neutral_and_the_picture_as_without_it(depth):
    page = framed(120)
    pixels = page if depth == 8 else deep(page)
    left, top, right, bottom = expected()
    (made,) = open_photo(pixels).framed(expected()).compose([Uniform(20, -30)])
    (alone,) = open_photo(pixels[top:bottom, left:right].copy()).compose([Uniform(20, -30)])
    np.testing.assert_array_equal(made.rgb[top:bottom, left:right], alone.rgb)
    outside = np.ones(page.shape, bool)
    outside[top:bottom, left:right] = False
    assert (made.rgb[outside] == made.rgb[outside][:, :1]).all()
    assert np.abs(made.rgb[outside][:, 1].astype(int) - pixels[outside]).max() <= 2 ** (depth - 8)


def test_a_frame_is_told_in_many_ways():
    photo = open_photo(framed(10))
    box = Box(40, 52, 552, 564)
    for frame in ("40,52,552,564", "40, 52, 552, 564", (40, 52, 552, 564), np.array([40, 52, 552, 564])):
        assert photo.framed(frame).frame == box
    assert photo.framed(box_of(photo)) is photo
    assert photo.framed("auto").framed("none") is photo
    assert str(box) == "40,52,552,564"


def box_of(photo):
    return 0, 0, photo.width, photo.height


@pytest.mark.parametrize("frame", ["some", "1,2,3", "5,5,5,9", "5,9,9,5", "-1,0,9,9", (1, 2, 3), ""])
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match=r"left,top,right,bottom"):
        open_photo(GRAY).framed(frame)


def test_a_picture_larger_than_the_photo_is_refused(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "photo.png")
    with pytest.raises(PhotoError, match=r"photo\.png: .* 0,0,301,240, exceeds its 300x240 pixels"):
        open_photo(tmp_path / "photo.png").framed("0,0,301,240")


def test_a_box_at_other_sizes():
    box = Box(40, 52, 552, 564)
    assert box.scaled((597, 612), (1194, 1224)) == Box(80, 104, 1104, 1128)
    tiny = box.scaled((5970, 6120), (3, 3))
    assert tiny.size == (1, 1)
