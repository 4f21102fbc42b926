"""A picture in a frame: every method draws what it draws of the picture alone, and the frame stays gray."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import GRAY, in_this_process, longer, names, the_line
from PIL import Image

from cinn_colorize import read_recipe
from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods.charts import Grid, Strip, Successive
from cinn_colorize.methods.contact_sheet import gray_tile, original_tile
from cinn_colorize.methods.hints import Hint, Hinted
from cinn_colorize.methods.mix import Mix
from cinn_colorize.methods.recipe import Recipe, recreate
from cinn_colorize.methods.sample import Sampling
from cinn_colorize.methods.transfer import Transfer

LEFT, TOP, RIGHT, BOTTOM = BOX = 20, 31, 320, 271
FRAME = "20,31,320,271"
PAGE = (310, 350)


def on_a_page(picture, paper):
    page = np.full((*PAGE, *picture.shape[2:]), paper, picture.dtype)
    page[TOP:BOTTOM, LEFT:RIGHT] = picture
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A picture alone and in a frame, and what is painted over both."""
    folder = tmp_path_factory.mktemp("frames")
    mask = np.zeros_like(GRAY)
    mask[:, :110] = 255
    strokes = np.zeros((*GRAY.shape, 4), np.uint8)
    strokes[100:130, 100:130] = 160, 40, 50, 255
    for name, pixels, paper in (
        ("photo", GRAY, 11),
        ("mask", mask, 255),
        ("strokes", strokes, (0, 90, 0, 255)),
    ):
        Image.fromarray(pixels).save(folder / f"{name}.png")
        Image.fromarray(on_a_page(pixels, paper)).save(folder / f"page_{name}.png")
    return folder


def methods(folder, examples):
    """Pairs of a method for the picture alone and the same in the frame."""
    hint = Hint(100, 90, (160, 40, 50))
    moved = dataclasses.replace(hint, x=hint.x + LEFT, y=hint.y + TOP)
    return {
        "sample": (Sampling(),) * 2,
        "transfer": (Transfer(examples / "coffee.png"),) * 2,
        "mix": (Mix(folder / "mask.png", 7), Mix(folder / "page_mask.png", 7)),
        "hint": (Hinted((hint,)), Hinted((moved,))),
        "strokes": (Hinted((), folder / "strokes.png"), Hinted((), folder / "page_strokes.png")),
    }


@pytest.mark.parametrize("name", ["sample", "transfer", *longer("mix", "hint", "strokes")])
def test_a_method_draws_the_picture_alone(colorizer, folder, examples, tmp_path, name):
    alone, on_page = (replace(m, temperature=0.6, seed=3) for m in methods(folder, examples)[name])
    photo, page = open_photo(folder / "photo.png"), open_photo(folder / "page_photo.png").framed(BOX)
    expected = alone.draw(colorizer, photo).rgb.astype(int)
    made = on_page.draw(colorizer, page)
    assert made.rgb.shape == (*PAGE, 3)
    inside = made.rgb[TOP:BOTTOM, LEFT:RIGHT].astype(int)
    # Bands of rows begin elsewhere, and sums round otherwise; hints multiply that in their search.
    assert np.abs(inside - expected).mean() < (0.5 if "Hinted" in repr(alone) else 0.02)
    assert np.ptp(expected, axis=2).mean() > 3
    outside = made.rgb.copy()
    outside[TOP:BOTTOM, LEFT:RIGHT] = 11
    assert (outside == 11).all()
    assert made.recipe["frame"] == FRAME
    made.save(tmp_path / "made.png")
    recipe = Recipe.read(tmp_path / "made.png")
    files = [folder / "page_mask.png", folder / "page_strokes.png", examples / "coffee.png"]
    recreate(recipe, colorizer, folder / "page_photo.png", tmp_path / "again.png", others=files)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "made.png").read_bytes()


@pytest.mark.parametrize("chart", [Strip((0.0, 0.5)), Grid(Successive(2))], ids=["strip", "grid"])
def test_charts_show_the_picture_in_its_frame(colorizer, folder, tmp_path, chart):
    method = replace(chart, temperature=0.6, seed=3)
    page = open_photo(folder / "page_photo.png")
    whole, framed = (method.draw(colorizer, photo) for photo in (page, page.framed(FRAME)))
    assert (whole.image.size, whole.recipe.get("frame")) == (framed.image.size, None)
    assert framed.recipe["frame"] == FRAME
    assert np.asarray(whole.image).tobytes() != np.asarray(framed.image).tobytes()
    framed.save(tmp_path / "made.png")
    recipe = Recipe.read(tmp_path / "made.png")
    recreate(recipe, colorizer, folder / "page_photo.png", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "made.png").read_bytes()


def test_a_panorama_in_a_frame(colorizer):
    picture = np.tile(GRAY, (1, 3))
    page = np.full((picture.shape[0] + 700, picture.shape[1] + 40), 250, np.uint8)
    box = (25, 300, 25 + picture.shape[1], 300 + picture.shape[0])
    page[box[1] : box[3], box[0] : box[2]] = picture
    (expected,) = colorizer.colorize(picture, seed=4, frame="none")
    (made,) = colorizer.colorize(page, seed=4, frame=box)
    inside = made.rgb[box[1] : box[3], box[0] : box[2]].astype(int)
    assert made.ab.shape == expected.ab.shape != (2, 64, 64)
    assert np.abs(inside - expected.rgb).mean() < 0.02


def test_a_frame_is_found_and_nothing_else_changes(colorizer, folder):
    found, told = (
        colorizer.colorize(folder / "page_photo.png", seed=2, **options)[0]
        for options in ({}, {"frame": BOX})
    )
    assert found.recipe == told.recipe
    np.testing.assert_array_equal(found.rgb, told.rgb)
    auto, none = (
        colorizer.colorize(folder / "photo.png", seed=2, frame=frame)[0] for frame in ("auto", "none")
    )
    assert auto.recipe == none.recipe
    assert "frame" not in auto.recipe
    np.testing.assert_array_equal(auto.rgb, none.rgb)
    photo = open_photo(folder / "page_photo.png").framed((30, 40, 300, 200))
    assert colorizer.colorize(photo)[0].recipe["frame"] == "30,40,300,200"


def test_the_sheet_shows_the_frame(folder):
    page = open_photo(folder / "page_photo.png").framed(FRAME)
    for make, name in ((original_tile, "original"), (gray_tile, "gray")):
        picture, label = make(page)
        assert (picture.size, label) == (PAGE[::-1], f"{name}   frame {FRAME}")
        for x, y in ((LEFT, TOP), (RIGHT - 1, BOTTOM - 1), (LEFT, 150)):
            assert np.ptp(picture.getpixel((x, y))) > 100
        assert np.ptp(picture.getpixel((LEFT - 1, TOP - 1))) < 3
        assert make(page.whole)[1] == name


def test_a_hint_in_the_frame_is_refused(colorizer, folder):
    page = open_photo(folder / "page_photo.png").framed(FRAME)
    for x, y in ((LEFT - 1, 100), (RIGHT, 100), (100, TOP - 1), (100, BOTTOM)):
        with pytest.raises(PhotoError, match=rf"page_photo\.png: the hint {x},{y},#a02832 lies in the frame"):
            Hinted((Hint(x, y, (160, 40, 50)),)).samples(colorizer, page)


def test_strokes_in_the_frame_do_not_count(colorizer, folder, tmp_path):
    strokes = np.zeros((*PAGE, 4), np.uint8)
    strokes[:10] = 160, 40, 50, 255
    Image.fromarray(strokes).save(tmp_path / "strokes.png")
    page = open_photo(folder / "page_photo.png").framed(FRAME)
    with pytest.raises(PhotoError, match=r"strokes\.png: is transparent all over the picture"):
        Hinted((), tmp_path / "strokes.png").samples(colorizer, page)


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, colorizer)


def test_the_command(run, folder):
    for frame, expected in {"auto": FRAME, "none": None, "40, 50,300,200": "40,50,300,200"}.items():
        out = Path(frame)
        result = run(folder / "page_photo.png", "-n", 2, "--frame", frame, "-q", "-o", out)
        assert result.exit_code == 0, result.stderr
        assert names(out) == ["page_photo_000.png", "page_photo_001.png", "page_photo_sheet.jpg"]
        assert read_recipe(out / "page_photo_001.png").get("frame") == expected
    result = run(
        "temperature", folder / "page_photo.png", "--temperatures", "0,1", "--files", "-q", "-o", "t"
    )
    assert result.exit_code == 0, result.stderr
    assert {read_recipe(path).get("frame") for path in Path("t").iterdir()} == {FRAME}
    result = run("sample", folder / "page_photo.png", "-n", 2, "--frame", "none", "-q", "-o", "s")
    assert result.exit_code == 0, result.stderr
    assert "frame" not in read_recipe("s/page_photo_samples.jpg")


@pytest.mark.parametrize("frame", ["outer", "1,2,3", "9,9,9,20", "1;2;3;4"])
def test_what_is_no_frame_is_a_usage_error(run, folder, frame):
    result = run(folder / "photo.png", "--frame", frame)
    assert result.exit_code == 2
    assert "--frame" in result.stderr
    assert "auto, or none" in " ".join(result.stderr.split())
    assert not Path("colorized").exists()


def test_a_frame_larger_than_a_photo_fails_for_that_photo_alone(run, folder):
    result = run(folder / "photo.png", folder / "page_photo.png", "--frame", FRAME, "-s", 0, "-q")
    assert result.exit_code == 1
    assert f"photo.png: the picture inside the frame, {FRAME}, exceeds its 300x240 pixels" in the_line(result)
    assert names(Path("colorized")) == ["page_photo_000.png"]


def test_a_manifest_knows_the_frame(run, folder):
    call = folder / "page_photo.png", "-s", 0, "--manifest", "m.jsonl", "-q"
    assert run(*call).exit_code == 0
    first = Path("colorized/page_photo_000.png").read_bytes()
    assert run(*call).exit_code == 0
    assert len(Path("m.jsonl").read_text().splitlines()) == 1
    assert "exists, made with frame " in the_line(run(*call, "--frame", "none"))
    assert Path("colorized/page_photo_000.png").read_bytes() == first
    assert run(*call, "--frame", "none", "--overwrite").exit_code == 0
    assert "frame" not in read_recipe("colorized/page_photo_000.png")
