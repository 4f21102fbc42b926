"""What users of the library give and get: the forms of arguments, pictures for notebooks, and errors."""

import inspect
import io
import pickle
from pathlib import Path
from typing import get_type_hints

import numpy as np
import PIL.Image
import pytest
import torch
from helpers import COLOR, GRAY, Uniform, in_this_process, profile, the_line
from PIL import Image

from cinn_colorize import Colorizer, load_model, read_recipe
from cinn_colorize.colorizer import BaseColorizer, ConditionedPhoto
from cinn_colorize.errors import MissingPhotoError, PhotoError
from cinn_colorize.imaging.options import Encoding, Rendering
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.levels import transfer_noise
from cinn_colorize.methods.contact_sheet import tile
from cinn_colorize.methods.hints import Hint, parse_hints
from cinn_colorize.methods.samples import Colorization, Sample, likeliest, typical

STROKE = (110, 90, 130, 100)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a gray photo, a stroke over it, and two pages."""
    PIL.Image.fromarray(GRAY).save(tmp_path / "gray.png")
    strokes = PIL.Image.new("RGBA", GRAY.shape[::-1])
    strokes.paste((160, 40, 50, 255), STROKE)
    strokes.save(tmp_path / "strokes.png")
    (tmp_path / "strokes.png").chmod(0o600)  # as the picture should be that is made with it
    pages = [PIL.Image.fromarray(GRAY), PIL.Image.fromarray(255 - GRAY)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_of(photo):
    """A colorization whose colours need no network."""
    (picture,) = photo.compose([Uniform(30, -20)])
    sample = Sample(np.zeros((2, 64, 64), np.float32), {}, 0.0, seed=2**40, temperature=0.8)
    return Colorization(picture, sample, {"model": "natural"})


def shown(colorization):
    return PIL.Image.open(io.BytesIO(colorization._repr_png_()))


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_the_image_is_the_picture_and_so_is_what_a_notebook_shows(folder, mode):
    photo = PIL.Image.fromarray(COLOR)
    photo.putalpha(PIL.Image.linear_gradient("L").resize(photo.size))
    photo.convert(mode).save("photo.png")
    made = made_of(open_photo("photo.png"))
    made.save("saved.png")
    for image in (made.image, shown(made)):
        assert image.size == photo.size
        np.testing.assert_array_equal(np.asarray(image)[..., :3], made.rgb)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(PIL.Image.open("saved.png")))


def test_the_image_has_the_profile_of_its_pixels(folder):
    wide = profile(("para", (0, 1.8)))
    PIL.Image.fromarray(COLOR).save("photo.tif", icc_profile=wide)
    made = made_of(open_photo("photo.tif"))
    assert [image.info["icc_profile"] for image in (made.image, shown(made))] == [wide, wide]
    assert "icc_profile" not in made_of(open_photo(COLOR)).image.info


def test_the_image_of_16_bits_is_rounded_to_8():
    ramp = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    made = made_of(open_photo(ramp))
    assert made.rgb.dtype == np.uint16
    for image in (made.image, shown(made)):
        np.testing.assert_array_equal(np.asarray(image), np.round(made.rgb / 257).astype(np.uint8))


def test_a_notebook_shows_a_large_picture_reduced():
    rng = np.random.default_rng(0)
    made = made_of(open_photo(rng.integers(0, 256, (960, 3200), np.uint8)))
    image = shown(made)
    assert image.size == (1600, 480)
    assert len(made._repr_png_()) < 3e6
    assert made.image.size == (3200, 960)
    expected = np.asarray(made.image.resize(image.size, PIL.Image.Resampling.BOX), np.int16)
    assert np.abs(np.asarray(image) - expected).mean() < 1


def test_reprs_are_one_line_that_says_what_it_is(colorizer, folder):
    made = made_of(open_photo(GRAY))
    assert repr(made) == f"<Colorization of 300 x 240 pixels, seed {2**40}, model natural>"
    for each in (made, [made], made.sample):
        assert len(repr(each)) < 100
        assert "array" not in repr(each)
    assert f"seed={2**40}, temperature=0.8" in repr(made.sample)
    PIL.Image.fromarray(COLOR).save("photo.png")
    reference, mask = colorizer.reference("photo.png"), colorizer.mask("photo.png")
    assert repr(reference) == f"Reference(sha256={reference.sha256!r})"
    assert repr(mask) == f"Mask(origin={mask.origin!r})"
    for given in (reference, mask):
        assert given == given


def test_a_colorization_is_pickled_as_its_pixels_and_little_more(tmp_path):
    made = made_of(open_photo(GRAY))
    again = pickle.loads(pickle.dumps(made))
    for i, each in enumerate((made, again)):
        each.save(tmp_path / f"{i}.png")
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert len(pickle.dumps(made)) < made.rgb.nbytes + made.ab.nbytes + 2000


def forms_of(path):
    """A file in all the forms that a photo may have."""
    image = PIL.Image.open(path)
    array = np.asarray(image)
    later = io.BytesIO(b"something else" + path.read_bytes())
    later.seek(14)
    first = torch.from_numpy(array.copy())
    tensor = first if array.ndim == 2 else first.movedim(2, 0)
    return {
        "path": path, "text": str(path), "bytes": path.read_bytes(), "file": path.open("rb"),
        "bytearray": bytearray(path.read_bytes()), "file in memory": later, "PIL image": image,
        "array": array, "tensor": tensor,
        "float64": array / 255, "float tensor": (tensor / 255).requires_grad_(),
    }  # fmt: skip


@pytest.mark.parametrize("color", [False, True])
def test_every_form_of_a_photo_gives_the_same_samples(colorizer, folder, color):
    PIL.Image.fromarray(COLOR if color else GRAY).save("photo.png")
    drawn = {
        form: colorizer.condition(given).sample(seed=1)[0].ab
        for form, given in forms_of(folder / "photo.png").items()
    }
    for form, ab in drawn.items():
        if "float" in form:  # which have 16 bits
            assert np.abs(ab - drawn["path"]).max() < 0.02, form
        else:
            assert ab.tobytes() == drawn["path"].tobytes(), form


def test_more_forms_of_tensors():
    array = np.ascontiguousarray(COLOR)
    with_alpha = np.dstack([array, np.full(array.shape[:2], 99, np.uint8)])
    tensor = torch.from_numpy(with_alpha).movedim(2, 0)
    assert made_of(open_photo(tensor)).image.mode == "RGBA"
    one = torch.from_numpy(GRAY.copy())
    for given in (one, one[None], (one / 255).double(), one[None].to(torch.uint16) * 257):
        assert np.abs(open_photo(given).luminance(64, 64) - open_photo(GRAY).luminance(64, 64)).max() < 0.01
    negative = torch.view_as_complex(torch.stack([one / 255, one / -255], -1)).conj().imag
    assert negative.is_neg()
    assert np.array_equal(open_photo(negative).luminance(64, 64), open_photo(one / 255).luminance(64, 64))
    half = open_photo((one / 255).bfloat16())
    assert np.abs(half.luminance(64, 64) - open_photo(GRAY).luminance(64, 64)).max() < 0.5


def test_a_file_is_named_in_messages_and_read_from_its_position(folder):
    Path("note.txt").write_text("no photo")
    with Path("note.txt").open("rb") as file:
        with pytest.raises(PhotoError, match=r"^note\.txt: is not a photo"):
            open_photo(file)
        assert not file.read()
        with pytest.raises(PhotoError, match=r"^note\.txt: has nothing left to read; seek"):
            open_photo(file)
    with Path("note.txt").open() as file, pytest.raises(TypeError, match=r"^note\.txt: is open as text"):
        open_photo(file)
    with pytest.raises(PhotoError, match=r"^note\.txt: is closed; open the photo again$"):
        open_photo(file)
    with pytest.raises(PhotoError, match=r"^note\\x00\.txt: is no path"):
        open_photo("note\0.txt")
    with pytest.raises(PhotoError, match=r"^file: is not a photo"):
        open_photo(io.BytesIO(b"no photo"))
    endless = io.BytesIO(Path("gray.png").read_bytes() + bytes(2**25))
    with pytest.raises(PhotoError, match=r"^gray: cannot be read: its file has more than"):
        open_photo(endless, name="gray", max_pixels=10**5)


@pytest.mark.filterwarnings("error")
def test_a_file_that_is_read_asynchronously_is_to_be_awaited():
    class Upload:
        async def read(self, size=-1):
            return b""

    with pytest.raises(TypeError, match=r"^file: is read asynchronously; pass await file\.read\(\)$"):
        open_photo(Upload())


def test_integers_may_be_those_of_numpy_and_torch(colorizer, folder):
    plain = colorizer.colorize("gray.png", n=3, seed=5, pick=2)
    for integer in (np.int64, np.uint8, torch.tensor):
        again = colorizer.colorize("gray.png", n=integer(3), seed=integer(5), pick=integer(2))
        assert [made.rgb.tobytes() for made in again] == [made.rgb.tobytes() for made in plain]
        assert [made.recipe for made in again] == [made.recipe for made in plain]
    second, again = open_photo("pages.tif", page=2), open_photo("pages.tif", page=np.int64(2))
    assert second.lab(64, 64).tobytes() == again.lab(64, 64).tobytes()
    assert colorizer.recipe({}, Rendering(), second) == colorizer.recipe({}, Rendering(), again)


@pytest.mark.parametrize("strip", [True, False])
def test_bools_may_be_those_of_numpy(colorizer, tmp_path, strip):
    (made,) = colorizer.colorize(GRAY, seed=0)
    for name, given in (("plain.png", strip), ("numpy.png", np.bool_(strip))):
        made.save(tmp_path / name, strip=given)
    assert (tmp_path / "numpy.png").read_bytes() == (tmp_path / "plain.png").read_bytes()
    assert Encoding.from_entries(read_recipe(tmp_path / "numpy.png")).strip is strip


def test_a_mask_may_be_bool(colorizer):
    inside = np.zeros(GRAY.shape, bool)
    inside[:100, 40:200] = True
    expected = colorizer.mask(inside.astype(np.uint8) * 255)
    for mask in (inside, torch.from_numpy(inside), PIL.Image.fromarray(inside)):
        assert colorizer.mask(mask).share.tobytes() == expected.share.tobytes()
    assert open_photo(inside).is_bilevel


# Arguments of the library, and the words of the command line that mean the same.
SAME = {
    "default": ({}, ""),
    "text": ({"temperature": "0.6,8:0.25", "seed": 1}, "-t 0.6,8:0.25 -s 1"),
    "some levels": ({"temperature": {8: 0.25, 16: 0.5}, "seed": 1}, "-t 16:0.5,8:0.25 -s 1"),
    "pick": ({"n": 6, "pick": 2, "seed": 3}, "-n 6 --pick 2 -s 3"),
    "frame": ({"frame": (20, 10, 280, 230), "seed": 1}, "--frame 20,10,280,230 -s 1"),
    "hints": (
        {"hints": [(120, 95, "#a02832"), (30, 40, "blue")], "strokes": "strokes.png", "saturation": 0.8},
        "--hint 120,95,#a02832 --hint 30,40,blue --hints strokes.png --saturation 0.8",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_the_library_makes_the_files_of_the_command_line(colorizer, folder, monkeypatch, case):
    arguments, words = SAME[case]
    made = colorizer.colorize("gray.png", **arguments)
    (folder / "library").mkdir()
    for colorization in made:
        colorization.save(f"library/gray_{colorization.seed:03d}.png")
    result = in_this_process(monkeypatch, colorizer)(
        "gray.png", "-o", "command", "--no-sheet", "--workers", 1, *words.split()
    )
    assert result.exit_code == 0, result.output
    found = [
        {path.name: (path.read_bytes(), path.stat().st_mode) for path in Path(name).iterdir()}
        for name in ("library", "command")
    ]
    assert len(found[0]) == arguments.get("pick", arguments.get("n", 1))
    assert found[0] == found[1]


def test_pick_is_typical(colorizer):
    conditioned = colorizer.condition(GRAY)
    expected = typical(conditioned.sample(8), 3)
    assert [made.seed for made in colorizer.colorize(GRAY, n=8, pick=3)] == [one.seed for one in expected]
    variations = typical(conditioned.vary(5, 8), 2)
    for picked, those, noted in (
        (conditioned.sample(8, pick=3), expected, "3 of seeds 0 to 7, typical"),
        (conditioned.vary(5, 8, pick=2), variations, "2 of seeds 6 to 13, typical"),
    ):
        for one, sample in zip(picked, those, strict=True):
            assert one.ab.tobytes() == sample.ab.tobytes()
            assert one.log_prob == sample.log_prob
            assert one.recipe == sample.recipe | {"picked": noted}
    made = colorizer.colorize(GRAY, n=8, like=5, pick=2)
    assert [(one.seed, one.ab.tobytes()) for one in made] == [(v.seed, v.ab.tobytes()) for v in variations]
    with pytest.raises(ValueError, match="pick must be 1 or more"):
        conditioned.sample(2, pick=0)


def test_forms_of_temperatures_give_the_same(colorizer):
    conditioned = colorizer.condition(GRAY)
    whole = {**conditioned.temperature, 8: 0.25, 1: 0.25}  # of which the last goes with level 8
    drawn = [
        conditioned.sample(1, temperature, 4)[0]
        for temperature in (
            whole,
            {8: 0.25},
            {np.int64(8): np.float64(0.25)},
            "8:0.25",
            dict(reversed(whole.items())),
            {8: np.float32(0.25)},
        )
    ]
    assert len({sample.ab.tobytes() for sample in drawn}) == 1
    assert len({str(sample.recipe) for sample in drawn}) == 1
    half = colorizer.mask(np.tri(240, 300) > 0)
    mixes = [conditioned.mix((1, 2), half, temperature) for temperature in (whole, {8: 0.25}, "8:0.25")]
    assert len({mix.ab.tobytes() for mix in mixes}) == 1
    reference = colorizer.reference(COLOR)
    noises = {**transfer_noise(colorizer.info.levels), 8: 0.5}, {8: 0.5}, "8:0.5"
    like = [conditioned.transfer(reference, 1, noise, "16:0.25")[0] for noise in noises]
    like += conditioned.transfer(reference, 1, noises[0], {r: 0.25 if r == 16 else 0.5 for r in whole})
    assert len({sample.ab.tobytes() for sample in like}) == 1
    assert len({str(sample.recipe) for sample in like}) == 1


def test_forms_of_hints_give_the_same():
    same = (
        ["120,95,#ff0000"],
        [(120, 95, "red")],
        [(np.int64(120), 95, np.array([255, 0, 0]))],
        " 120 ,  95,  red ",
    )
    assert {parse_hints(given) for given in same} == {(Hint(120, 95, (255, 0, 0)),)}
    assert len(parse_hints("1,2,red  3, 4, blue\n5,6,#a23")) == 3
    assert parse_hints(" ") == ()


def test_a_missing_file_is_a_file_not_found(colorizer, folder, monkeypatch):
    printed = the_line(in_this_process(monkeypatch, colorizer)("missing.png"))
    opening = (colorizer.condition, colorizer.reference, colorizer.mask, open_photo, read_recipe)
    for call in (colorizer.colorize, *opening):
        with pytest.raises(FileNotFoundError) as found:
            call("missing.png")
        assert isinstance(found.value, PhotoError)
        assert printed == f"cinn-colorize: {found.value}\n"
    with pytest.raises(FileNotFoundError, match=r"^missing\.png: no such file of hints$"):
        colorizer.colorize("gray.png", strokes="missing.png")
    again = pickle.loads(pickle.dumps(MissingPhotoError("a.png: no such file")))
    assert (type(again), str(again)) == (MissingPhotoError, "a.png: no such file")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"photo": 5}, TypeError, "must be a path, bytes, a binary file, .* or a torch tensor, not int"),
        ({"photo": [[1, 2]]}, TypeError, "must be a path, .*, not list"),
        ({"n": 2.0}, TypeError, r"n must be an integer, not 2\.0"),
        ({"n": "2"}, TypeError, "n must be an integer, not '2'"),
        ({"seed": 1.5}, TypeError, r"seed must be an integer, not 1\.5"),
        ({"seed": 2**63}, ValueError, "no seed may exceed"),
        ({"n": 2, "pick": 3}, ValueError, "pick must be at most n, 2, not 3"),
        ({"n": 2, "pick": 0}, ValueError, "pick must be 1 or more, not 0"),
        ({"temperature": [0.5]}, TypeError, r"a number from 0 to 2, a dict .*, not \[0\.5\]"),
        ({"temperature": {8: "x"}}, TypeError, "temperature must be a number .*, not 'x'"),
        ({"temperature": {3: 0.5}}, ValueError, "there is no level 3; levels are 32, 16,"),
        ({"temperature": {"1": 0.5}}, ValueError, "there is no level '1'; levels are 32, 16,"),
        ({"temperature": "warm"}, ValueError, "'warm' is neither a number nor LEVEL:NUMBER"),
        ({"saturation": "strong"}, TypeError, "saturation must be a number from 0 to 2, not 'strong'"),
        ({"strokes": GRAY}, TypeError, "strokes must be the path of a picture, not ndarray"),
        ({"frame": None}, TypeError, "frame must be 'auto', 'none' or left, top, right, bottom, not None"),
        ({"frame": "left"}, ValueError, "'left' is not a rectangle; .*; or auto, or none"),
        ({"hints": 5}, TypeError, r"hints must be a list of \(x, y, color\), not 5"),
        ({"hints": (310, 120, "red")}, TypeError, r"310 is not a hint; give \(x, y, color\)"),
        ({"hints": [(310, 120)]}, ValueError, r"\(310, 120\) is not a hint; give \(x, y, color\)"),
        ({"hints": [(1, 2, (0, 0, 300))]}, ValueError, "is not a hint; .* integers from 0 to 255"),
        ({"hints": [(1, 2, "rad")]}, ValueError, "'rad' in the hint '1,2,rad' is not a colour"),
        ({"hints": [(1, 2, "red")], "n": 2, "pick": 1}, ValueError, "hints exclude like and pick"),
        ({"hints": [(1, 2, "red")], "like": 3}, ValueError, "hints exclude like and pick"),
        ({"like": 1.5}, TypeError, "like must be an integer"),
        ({"like": 2**63}, ValueError, "no seed may exceed"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_sentence_that_says_what_is_accepted(colorizer, arguments, kind, message):
    with pytest.raises(kind, match=message) as error:
        colorizer.colorize(**{"photo": GRAY, **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"quality": 500}, ValueError, "quality must be 100 or less, not 500"),
        ({"quality": 0}, ValueError, "quality must be 1 or more, not 0"),
        ({"quality": "best"}, TypeError, "quality must be an integer, not 'best'"),
        ({"strip": "no"}, TypeError, "strip must be True or False, not 'no'"),
        ({"strip": 1}, TypeError, "strip must be True or False, not 1"),
        ({"format": "jpeg"}, ValueError, "format must be auto, jpg, png, tiff, webp or avif, not 'jpeg'"),
    ],
)
def test_no_file_is_written_in_a_wrong_way(colorizer, tmp_path, arguments, kind, message):
    (made,) = colorizer.colorize(GRAY, seed=0)
    for save in (made.save, made.picture.save):
        with pytest.raises(kind, match=message):
            save(tmp_path / "a.jpg", **arguments)
        with pytest.raises(PhotoError, match=r"a\.gif: not a format that can be written; end the name in"):
            save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"device": None}, ValueError, "unknown device None; choose auto, cpu, cuda"),
        ({"device": 2.5}, ValueError, r"unknown device 2\.5; choose auto"),
        ({"chunk": 0}, ValueError, "chunk must be 1 or more, not 0"),
        ({"chunk": "x"}, TypeError, "chunk must be an integer, not 'x'"),
        ({"guidance": "strong"}, TypeError, "guidance must be a number from 0 to 2, not 'strong'"),
        ({"guidance": 3}, ValueError, "guidance must be a number from 0 to 2, not 3"),
    ],
)
def test_a_wrong_argument_of_the_network_is_said_at_once(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Colorizer(**{"device": "cpu", **arguments})


PUBLIC = [
    value
    for space in (vars(BaseColorizer), vars(ConditionedPhoto))
    for name, value in space.items()
    if callable(value) and not name.startswith("_")
]
PUBLIC += [Colorizer.__init__, open_photo, read_recipe, load_model, likeliest, typical]


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_annotations_can_be_read_and_allow_numbers_of_any_type(function):
    hints = get_type_hints(function)
    for name in {"n", "seed", "like", "pick", "chunk", "k"} & {*inspect.signature(function).parameters}:
        assert isinstance(np.int64(3), hints[name])
    for name in {"saturation", "guidance"} & {*inspect.signature(function).parameters}:
        assert isinstance(np.float32(0.5), hints[name])


def test_arrays_of_other_byte_orders_are_photos_too(colorizer):
    deep = GRAY.astype(np.uint16) * 257
    made = [colorizer.colorize(deep.astype(kind), seed=0)[0].rgb for kind in ("<u2", ">u2")]
    assert np.array_equal(*made)


def test_tiles_show_the_density_per_dimension():
    sample = Sample(np.zeros((2, 64, 64), np.float32), {}, -1.25 * 2 * 64 * 64, seed=5, temperature=0.8)
    assert sample.log_prob_per_dimension == -1.25
    (picture,) = open_photo(GRAY).compose([Uniform(5, 5)])
    image, label = tile(Colorization(picture, sample, {"method": "sample"}))
    assert isinstance(image, Image.Image)
    assert label == "seed 5   log-likelihood -1.250"


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_a_file_is_written_as_its_recipe_says(tmp_path, suffix):
    tags = PIL.Image.Exif()
    tags[0x013B] = "Ada"
    PIL.Image.fromarray(GRAY).save(tmp_path / "gray.jpg", exif=tags)
    (picture,) = open_photo(tmp_path / "gray.jpg").compose([Uniform(30, -20)])
    sample = Sample(np.zeros((2, 64, 64), np.float32), {}, 0.0, seed=5, temperature=0.8)
    made = Colorization(picture, sample, {"model": "natural"})
    sizes = {}
    for quality in (40, 95):
        made.save(tmp_path / f"{quality}{suffix}", quality=quality, strip=quality == 40)
        recipe = read_recipe(tmp_path / f"{quality}{suffix}")
        assert (recipe["quality"], recipe["strip"]) == (str(quality), str(quality == 40).lower())
        sizes[quality] = (tmp_path / f"{quality}{suffix}").stat().st_size
        with PIL.Image.open(tmp_path / f"{quality}{suffix}") as image:
            assert (image.getexif().get(0x013B) == "Ada") == (quality == 95)
    assert sizes[95] > 1.5 * sizes[40]
