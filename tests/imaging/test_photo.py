import io
import os
import pickle
import struct
import zipfile

import cv2
import numpy as np
import pytest
import pyvips
from helpers import COLOR, GRAY, RECIPE, Uniform, deep, shared_data, write
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from cinn_colorize.imaging import vips
from cinn_colorize.imaging.photo import PhotoError, open_photo, read_recipe
from cinn_colorize.imaging.tiff import exif_turned
from cinn_colorize.imaging.upsampling import Upsampler


def exif(orientation=6):
    tags = Image.Exif()
    tags[0x0112], tags[0x013B], tags[0x010F] = orientation, "Ada", "Agfa"
    return tags.tobytes()


def p3():
    return bytes(pyvips.Operation.call("profile_load", "p3"))


def smooth_ab(sigma=25.0):
    noise = np.random.default_rng(1).standard_normal((2, 64, 64)).astype(np.float32)
    planes = np.stack([cv2.GaussianBlur(plane, (0, 0), 6) for plane in noise])
    return planes * (sigma / planes.std())


def luminance_of(path):
    pixels = pyvips.Image.new_from_file(str(path)).numpy()
    return rgb2lab(pixels[..., :3] / np.iinfo(pixels.dtype).max)[..., 0]


@pytest.mark.parametrize("method", ["jbu", "exact", "bicubic"])
@pytest.mark.parametrize(
    ("pixels", "suffix", "tolerance"),
    [(GRAY, ".png", 0.15), (GRAY, ".jpg", 0.7), (deep(GRAY), ".png", 0.01), (deep(GRAY), ".tif", 0.01)],
    ids=["8-bit PNG", "JPEG", "16-bit PNG", "16-bit TIFF"],
)
def test_luminance_is_unchanged(tmp_path, pixels, suffix, tolerance, method):
    source = write(tmp_path / "in.png", pixels)
    photo = open_photo(source)
    upsampler = Upsampler(smooth_ab(), photo.luminance(256, 256), (photo.height, photo.width), method)
    (picture,) = photo.compose([upsampler])
    picture.save(tmp_path / f"out{suffix}")
    gray = pixels / np.iinfo(pixels.dtype).max
    difference = np.abs(
        luminance_of(tmp_path / f"out{suffix}") - rgb2lab(np.repeat(gray[..., None], 3, 2))[..., 0]
    )
    assert difference.mean() <= tolerance
    lab = rgb2lab(picture.rgb / np.iinfo(picture.rgb.dtype).max)
    assert np.hypot(lab[..., 1], lab[..., 2]).mean() > 5


@pytest.mark.parametrize("source", [COLOR, deep(COLOR)], ids=["8 bits", "16 bits"])
def test_luminance_of_a_color_photo_is_unchanged(tmp_path, source):
    photo = open_photo(write(tmp_path / "in.png", source))
    (picture,) = photo.compose([Uniform(3, 8)])
    top = np.iinfo(source.dtype).max
    difference = np.abs(rgb2lab(picture.rgb / top)[..., 0] - rgb2lab(source / top)[..., 0])
    assert difference.mean() <= (0.15 if top == 255 else 0.01)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_everything_but_color_is_kept(tmp_path, suffix, bits):
    pixels = COLOR[:200, :120] if bits == 8 else deep(COLOR[:200, :120])
    blob = pyvips.GValue.blob_type
    fields = [
        (blob, "exif-data", exif()),
        (blob, "icc-profile-data", p3()),
        (pyvips.GValue.gint_type, "orientation", 6),
    ]
    photo = open_photo(write(tmp_path / "in.png", pixels, fields))
    assert (photo.width, photo.height, photo.bit_depth, photo.suffix) == (200, 120, bits, ".png")
    (picture,) = photo.compose([Uniform(0, 0)])
    # The first row of a photo that stands on its left side is the first column from below.
    picture.save(tmp_path / f"out{suffix}", recipe=RECIPE)

    image = pyvips.Image.new_from_file(str(tmp_path / f"out{suffix}"))
    assert (image.width, image.height, image.bands) == (200, 120, 3)
    assert image.format == ("ushort" if bits == 16 and suffix in (".png", ".tif") else "uchar")
    assert not image.get_typeof("orientation") or image.get("orientation") == 1
    assert bytes(image.get("icc-profile-data")) == p3()
    if suffix != ".tif":
        assert image.get("exif-ifd0-Artist").startswith("Ada")
        assert image.get("exif-ifd0-Make").startswith("Agfa")
    if suffix != ".webp":  # the format has a resolution only in EXIF
        assert image.xres == pytest.approx(11.811, abs=0.02)
    assert read_recipe(tmp_path / f"out{suffix}") == RECIPE
    gray = rgb2lab(COLOR[:200, :120])[..., 0]
    assert np.corrcoef(np.rot90(gray, -1).ravel(), picture.rgb[..., 1].ravel())[0, 1] > 0.95
    assert np.ptp(picture.rgb.astype(int), axis=2).max() <= (1 if bits == 8 else 40)  # gray in P3 as well


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_resolution_is_kept_without_exif(tmp_path, suffix):
    (picture,) = open_photo(write(tmp_path / f"in{suffix}", GRAY)).compose([Uniform(0, 0)])
    picture.save(tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as out:
        assert out.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("strip", [False, True])
def test_a_photo_that_states_no_resolution_gets_that_of_exif(tmp_path, suffix, strip):
    """72 dpi, and not libvips' 25.4, with which programs lay out metres of picture."""
    Image.fromarray(GRAY).save(tmp_path / "none.webp")
    Image.fromarray(GRAY).save(tmp_path / "relative.tif", tiffinfo={296: 1, 282: 300.0, 283: 300.0})
    for name in ("none.webp", "relative.tif"):
        (picture,) = open_photo(tmp_path / name).compose([Uniform(0, 0)])
        picture.save(tmp_path / f"out{suffix}", strip=strip)
        with Image.open(tmp_path / f"out{suffix}") as out:
            assert out.info["dpi"] == pytest.approx((72, 72), abs=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("states", [False, True], ids=["", "resolution in EXIF"])
def test_orientation_is_applied_once(tmp_path, orientation, states):
    tags = Image.Exif()
    tags[0x0112] = orientation
    if states:
        tags[0x011A], tags[0x011B], tags[0x0128] = 300.0, 150.0, 2
    Image.fromarray(GRAY).save(tmp_path / "in.jpg", exif=tags, quality=98, dpi=(300, 150))
    (picture,) = open_photo(tmp_path / "in.jpg").compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.png")
    upright = [
        lambda x: x, lambda x: x[:, ::-1], lambda x: x[::-1, ::-1], lambda x: x[::-1], lambda x: x.T,
        lambda x: np.rot90(x, -1), lambda x: x[::-1, ::-1].T, lambda x: np.rot90(x),
    ][orientation - 1](GRAY)  # fmt: skip
    with Image.open(tmp_path / "out.png") as out:
        assert out.getexif().get(0x0112, 1) == 1
        assert out.info["dpi"] == pytest.approx((150, 300) if orientation > 4 else (300, 150), abs=0.1)
        assert np.abs(np.asarray(out)[..., 1].astype(int) - upright).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("gray", [True, False])
def test_alpha_is_carried(tmp_path, gray, suffix):
    alpha = np.tile(np.arange(240, dtype=np.uint8)[:, None], (1, 300))
    alpha[:20] = 255
    pixels = np.dstack([GRAY if gray else COLOR, alpha])
    (picture,) = open_photo(write(tmp_path / "in.png", pixels)).compose([Uniform(2, 4)])
    picture.save(tmp_path / f"out{suffix}")
    out = pyvips.Image.new_from_file(str(tmp_path / f"out{suffix}")).numpy()
    assert out.shape == (240, 300, 4)
    np.testing.assert_array_equal(out[..., 3], alpha)
    picture.save(tmp_path / "out.jpg")
    flat = pyvips.Image.new_from_file(str(tmp_path / "out.jpg")).numpy()
    assert flat.shape == (240, 300, 3)
    assert flat[20:24].min() > 200  # nearly transparent is nearly white


@pytest.mark.parametrize("kind", ["gray", "color", "deep"])
def test_what_is_transparent_is_white_and_hides_what_is_below(kind):
    pixels = {"gray": GRAY[..., None], "color": COLOR, "deep": deep(COLOR)}[kind]
    alpha = np.full((240, 300, 1), np.iinfo(pixels.dtype).max, pixels.dtype)
    alpha[:120] = 0
    one, other = (open_photo(np.dstack([below, alpha])) for below in (pixels, np.where(alpha, pixels, 7)))
    np.testing.assert_array_equal(one.lab(64, 64), other.lab(64, 64))
    white = np.array([100, 0, 0]).reshape(3, 1, 1)
    np.testing.assert_allclose(one.lab(64, 64)[:, :31] - white, 0, atol=0.01)
    assert (np.asarray(one.thumbnail(150))[:59] == 255).all()
    assert np.asarray(one.thumbnail(150))[61:].std() > 20
    (picture,) = one.compose([Uniform(20, 20)])
    assert (np.asarray(picture.thumbnail(150))[:59] == 255).all()
    assert np.asarray(picture.thumbnail(150))[61:].std() > 20
    for size in (150, 70):  # at the second, the edge lies within a row
        tiles = [each.compose([Uniform(20, 20)])[0].thumbnail(size) for each in (one, other)]
        np.testing.assert_array_equal(*map(np.asarray, tiles))


def test_jpeg_has_full_chroma_and_the_quality_asked_for(tmp_path):
    (picture,) = open_photo(GRAY).compose([Uniform(5, 5)])
    sizes = []
    for quality in (60, 95):
        picture.save(tmp_path / "out.jpg", quality=quality)
        sizes.append((tmp_path / "out.jpg").stat().st_size)
        image = pyvips.Image.new_from_file(str(tmp_path / "out.jpg"))
        assert image.get("jpeg-chroma-subsample") == "4:4:4"
    assert sizes[1] > 1.5 * sizes[0]


@pytest.mark.parametrize("size", [(256, 256), (64, 64), (16, 128), (70, 33)])
@pytest.mark.parametrize("pixels", [data.astronaut()[:300, :500], COLOR[:, :100]], ids=["large", "small"])
def test_lab_is_the_area_mean(size, pixels):
    height, width = (min(n, m) for n, m in zip(pixels.shape, size, strict=False))
    size = (height, width)  # enlarging differs
    rows, columns = (area_matrix(n, m) for n, m in zip(pixels.shape, size, strict=False))
    expected = np.stack([rows @ plane @ columns.T for plane in np.moveaxis(rgb2lab(pixels), -1, 0)])
    photo = open_photo(pixels)
    photo.lab(256, 256)  # from which the others may come
    np.testing.assert_allclose(photo.lab(*size), expected, atol=0.01)


def area_matrix(n, m):
    edges, rows = np.arange(m + 1) * n / m, np.arange(n)
    overlap = np.minimum(edges[1:, None], rows + 1) - np.maximum(edges[:-1, None], rows)
    return np.maximum(overlap, 0) * m / n


def test_lab_of_a_small_photo_is_enlarged():
    tiny = GRAY[:3, :5]
    L = open_photo(tiny).luminance(256, 256)
    assert L.shape == (256, 256)
    corners = rgb2lab(np.repeat(tiny[..., None], 3, 2))[..., 0][[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(L[[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=0.1)


def test_bands_agree_with_the_whole(monkeypatch):
    pixels = np.tile(COLOR, (3, 1, 1))
    photo = open_photo(pixels)
    upsampler = Upsampler(smooth_ab(50), photo.luminance(256, 256), pixels.shape[:2])
    lab, (picture,) = photo.lab(70, 50), photo.compose([upsampler])
    monkeypatch.setattr(vips, "_BAND", 300 * 16)
    assert np.abs(photo.lab(70, 50) - lab).max() < 1e-3
    (banded,) = photo.compose([upsampler])
    assert np.abs(banded.rgb.astype(int) - picture.rgb).max() <= 1
    assert (banded.rgb != picture.rgb).mean() < 1e-3


def test_samples_do_not_influence_each_other():
    photo = open_photo(GRAY)
    samples = [Uniform(10, 20), Uniform(-60, 60), Uniform(0, 0)]
    together = photo.compose(samples)
    for sample, picture in zip(samples, together, strict=True):
        np.testing.assert_array_equal(photo.compose([sample])[0].rgb, picture.rgb)
    assert photo.compose([]) == []


@pytest.mark.parametrize(
    ("pixels", "bits"),
    [
        (GRAY, 8), (deep(GRAY), 16), (GRAY / 255, 16), (COLOR / np.float32(255), 16),
        (np.dstack([COLOR, GRAY]), 8), (Image.fromarray(GRAY), 8), (Image.fromarray(deep(GRAY)), 16),
        (Image.fromarray(COLOR).convert("P"), 8),
        (Image.fromarray(GRAY).convert("1"), 8), (Image.fromarray(COLOR).convert("RGBA"), 8),
        (Image.fromarray(GRAY).convert("LA").convert("La"), 8),
        (Image.fromarray(COLOR).convert("CMYK"), 8), (Image.fromarray(GRAY).convert("I"), 16),
    ],
)  # fmt: skip
def test_arrays_and_images_of_pillow(tmp_path, pixels, bits):
    photo = open_photo(pixels)
    assert (photo.width, photo.height, photo.bit_depth, photo.suffix) == (300, 240, bits, "")
    (picture,) = photo.compose([Uniform(5, 10)])
    picture.save(tmp_path / "out.png")
    out = pyvips.Image.new_from_file(str(tmp_path / "out.png"))
    assert out.format == ("uchar" if bits == 8 else "ushort")


def test_floats_of_any_size():
    values = (deep(GRAY) / 65535).astype(np.float16)
    expected = open_photo(values.astype(np.float32)).luminance(64, 64)
    np.testing.assert_array_equal(open_photo(values).luminance(64, 64), expected)


def test_image_of_pillow_keeps_its_metadata(tmp_path):
    tags = Image.Exif()
    tags[0x0112], tags[0x013B] = 6, "Ada"
    Image.fromarray(COLOR).save(tmp_path / "in.jpg", exif=tags, icc_profile=p3())
    with Image.open(tmp_path / "in.jpg") as image:
        (picture,) = open_photo(image).compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.size == (240, 300)
        assert out.info["icc_profile"] == p3()
        assert out.getexif().get(0x0112, 1) == 1
        assert out.getexif()[0x013B] == "Ada"


def test_bytes_and_pipes_are_read_like_files(tmp_path):
    path = write(tmp_path / "in.jpg", GRAY)
    expected = open_photo(path).lab(64, 64)
    np.testing.assert_array_equal(open_photo(path.read_bytes()).lab(64, 64), expected)
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(path.read_bytes())
    photo = open_photo(f"/dev/fd/{reader}")
    os.close(reader)
    np.testing.assert_array_equal(photo.lab(64, 64), expected)
    assert photo.compose([Uniform(0, 0)])[0].rgb.shape == (240, 300, 3)


def test_photos_can_be_pickled(tmp_path):
    path = write(tmp_path / "in.tif", np.dstack([COLOR, GRAY]))
    image = Image.fromarray(GRAY)
    image.info["dpi"] = 300, 300
    for given in (path, path.read_bytes(), COLOR[::-1] / 255, image, io.BytesIO(path.read_bytes())):
        photo = open_photo(given).framed("20,10,280,230")
        again = pickle.loads(pickle.dumps(photo))
        assert (again.name, again.frame, again.sha256) == (photo.name, photo.frame, photo.sha256)
        assert again.lab(64, 64).tobytes() == photo.lab(64, 64).tobytes()
        for i, each in enumerate((photo, again)):
            each.compose([Uniform(5, 10)])[0].save(tmp_path / f"{i}.tif")
        assert (tmp_path / "0.tif").read_bytes() == (tmp_path / "1.tif").read_bytes()


def test_color_is_noticed(tmp_path):
    assert open_photo(COLOR).is_color
    assert not open_photo(GRAY).is_color
    gray_rgb = np.repeat(GRAY[..., None], 3, 2)
    assert not open_photo(gray_rgb).is_color
    assert not open_photo(write(tmp_path / "gray.jpg", gray_rgb, Q=60)).is_color
    patch = gray_rgb.copy()
    patch[100:130, 100:130] = (200, 40, 40)
    assert open_photo(patch).is_color


def test_the_colour_of_a_frame_is_not_the_pictures():
    mounted = np.full((*GRAY.shape, 3), (200, 160, 80), np.uint8)
    mounted[30:-30, 30:-30] = GRAY[30:-30, 30:-30, None]
    photo = open_photo(mounted)
    assert photo.is_color  # asked first, of the whole
    assert not photo.framed((30, 30, 270, 210)).is_color


def test_recipe_is_empty_where_there_is_none(tmp_path):
    assert read_recipe(write(tmp_path / "in.png", GRAY)) == {}
    with pytest.raises(PhotoError):
        read_recipe(tmp_path / "missing.png")


def test_thumbnails():
    photo = open_photo(np.dstack([COLOR, GRAY]))
    tile = photo.thumbnail(100)
    assert (tile.size, tile.mode) == ((100, 80), "RGB")
    visible = Image.composite(
        Image.fromarray(COLOR), Image.new("RGB", (300, 240), "white"), Image.fromarray(GRAY)
    )
    expected = visible.resize((100, 80), Image.Resampling.BOX)
    assert np.abs(np.asarray(tile).astype(int) - np.asarray(expected)).mean() < 8
    (picture,) = photo.compose([Uniform(20, 20)])
    assert picture.thumbnail(100).size == (100, 80)
    assert picture.thumbnail(1000).size == (300, 240)
    tiles = [open_photo(p).compose([Uniform(20, 20)])[0].thumbnail(100) for p in (COLOR, deep(COLOR))]
    assert np.abs(np.asarray(tiles[0]).astype(int) - np.asarray(tiles[1])).mean() < 2


@pytest.mark.parametrize("made", [False, True], ids=["real", "made"])
def test_a_camera_photo(tmp_path, made):
    name = "canon-eos-1000d.jpg"  # is rotated, and has a preview in EXIF
    if made:
        preview = tmp_path / "preview.jpg"
        Image.fromarray(COLOR).reduce(4).save(preview)
        text, blob = pyvips.GValue.gstr_type, pyvips.GValue.blob_type
        write(tmp_path / name, COLOR, [
            (pyvips.GValue.gint_type, "orientation", 6),
            (text, "exif-ifd0-Make", "Canon (Canon, ASCII, 6 components, 6 bytes)"),
            (text, "exif-ifd2-DateTimeOriginal", "1969:07:16 13:32:00 (, ASCII, 20 components, 20 bytes)"),
            (text, "exif-ifd2-ExposureTime", "1/60 (1/60 sec., Rational, 1 components, 8 bytes)"),
            (blob, "jpeg-thumbnail-data", preview.read_bytes()),
        ])  # fmt: skip
    else:
        with zipfile.ZipFile(shared_data("bigphotos.zip")) as archive:
            archive.extract(name, tmp_path)
    original = pyvips.Image.new_from_file(str(tmp_path / name))
    assert original.get("orientation") == 6
    assert original.get_typeof("jpeg-thumbnail-data")
    photo = open_photo(tmp_path / name)
    assert (photo.width, photo.height) == (original.height, original.width)
    assert photo.is_color
    (picture,) = photo.compose([Uniform(5, 10)])
    picture.save(tmp_path / "out.jpg")
    out = pyvips.Image.new_from_file(str(tmp_path / "out.jpg"))
    assert (out.width, out.height) == (photo.width, photo.height)
    assert out.get("orientation") == 1
    kept = ["exif-ifd0-Make", "exif-ifd2-DateTimeOriginal", "exif-ifd2-ExposureTime"]
    assert [out.get(field) for field in kept] == [original.get(field) for field in kept]
    assert not out.get_typeof("jpeg-thumbnail-data")  # it is gray
    L = rgb2lab(cv2.resize(original.autorot().numpy(), (270, 405), interpolation=cv2.INTER_AREA))[..., 0]
    out_L = rgb2lab(cv2.resize(out.numpy(), (270, 405), interpolation=cv2.INTER_AREA))[..., 0]
    assert np.abs(L - out_L).mean() < 0.7


@pytest.mark.parametrize("order", ["<", ">"], ids=["II", "MM"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_resolutions_in_exif_of_either_order_change_places(order, prefix):
    fractions = struct.pack(f"{order}4I", 300, 1, 150, 1)
    start = 8 + 2 + 3 * 12 + 4
    entries = [
        (0x0112, 3, 1, 6 << (16 if order == ">" else 0)),
        (0x011A, 5, 1, start),
        (0x011B, 5, 1, start + 8),
    ]
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    body = struct.pack(f"{order}H", 3) + b"".join(struct.pack(f"{order}HHII", *each) for each in entries)
    exif = prefix + head + body + bytes(4) + fractions
    turned = exif_turned(exif)
    first, second = (len(prefix) + 8 + 2 + 12 * k + 8 for k in (1, 2))
    places = [struct.unpack_from(f"{order}I", turned, place)[0] for place in (first, second)]
    assert places == [start + 8, start]
    assert exif_turned(turned) == exif
