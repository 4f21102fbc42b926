"""Hints: given colours at places of a photo, and samples that follow them."""

import zlib
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import pyvips
from helpers import GRAY, preloaded
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.errors import LatentError
from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import pixels_to_lab
from cinn_colorize.imaging.options import Rendering
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.methods.ensemble import ensemble, follow, move
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint, Hinted
from cinn_colorize.methods.samples import likeliest

RED, BLUE = (170, 40, 50), (50, 90, 190)
POINTS = [Hint(20, 30, RED), Hint(100, 70, BLUE)]


@pytest.fixture(scope="module")
def gray(examples):
    """A small photo with things in it, (80, 120)."""
    with Image.open(examples / "coffee.png") as photo:
        return np.asarray(photo.convert("L").resize((120, 80)))


@pytest.fixture(scope="module")
def photo(gray):
    return open_photo(gray)


@pytest.fixture(scope="module")
def conditioned(colorizer, photo):
    return colorizer.condition(photo)


@pytest.fixture(scope="module")
def long(gray):
    """A 3:1 photo, in more than one window."""
    return open_photo(gray[:40])


def draw(conditioned, hints, n=1, seed=0, progress=None):
    return move(conditioned, conditioned.sample(n, seed=seed), hints, progress)


@pytest.fixture(scope="module")
def drawn(conditioned, photo):
    return draw(conditioned, HintMap.of(photo, POINTS), n=2, seed=4)


def painted(path, size, *strokes):
    image = Image.new("RGBA", size)
    for box, rgb in strokes:
        image.paste((*rgb, 255), box)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("color", "rgb"),
    [
        ("#abc", "aabbcc"),
        ("ABC", "aabbcc"),
        ("a02832", "a02832"),
        ("Red", "ff0000"),
        ("light blue", "add8e6"),
    ],
)
def test_colors_are_written_as_in_css(color, rgb):
    assert str(Hint.parse(f"3,4,{color}")) == f"3,4,#{rgb}"


def test_a_hint_is_read_as_it_is_written():
    assert Hint.parse("310,120,#A02832") == Hint(310, 120, (0xA0, 0x28, 0x32))
    assert str(Hint.parse(" 310, 120, #A02832")) == "310,120,#a02832"
    for text in (
        "",
        "1,2",
        "1,2,",
        "1,2,rod",
        "1,2,#12345",
        "1,2,#11223344",
        "-1,2,#123456",
        "1.5,2,#123456",
        "1,2,#123456,3,4",
        "1,2,#123456,x",
    ):
        with pytest.raises(ValueError, match=r"is not a (hint|colour)"):
            Hint.parse(text)


def test_hinted_pixels_get_their_colours(shipped_colorizer, photo):
    conditioned = shipped_colorizer.condition(photo)
    hinted = draw(conditioned, HintMap.of(photo, POINTS), n=2, seed=4)
    unhinted = conditioned.sample(n=2, seed=4)
    x, y = [p.x for p in POINTS], [p.y for p in POINTS]
    # A place is as colourful as its L allows, so the hint is compared at the photo's L.
    wanted = HintMap.of(photo, POINTS).ab[:, [24, 56], [10, 53]]
    for samples, near in ((hinted, True), (unhinted, False)):
        for colorization in shipped_colorizer.compose(photo, samples):
            ab = pixels_to_lab(colorization.rgb)[1:, y, x]
            assert (np.hypot(*(ab - wanted)).mean() < 8) == near


def test_hints_are_met_whatever_the_saturation(colorizer, photo):
    x, y = [p.x for p in POINTS], [p.y for p in POINTS]
    renderings = [Rendering(saturation=saturation) for saturation in (1.0, 1.6)]
    hinted = [Hinted(tuple(POINTS), temperature=0.6, seed=4, rendering=each) for each in renderings]
    found = [pixels_to_lab(method.draw(colorizer, photo).rgb)[1:, y, x] for method in hinted]
    assert np.hypot(*(found[1] - found[0])).max() < 3


def test_a_seed_gives_the_same_sample_whatever_else_is_drawn(conditioned, photo, drawn):
    (again,) = draw(conditioned, HintMap.of(photo, POINTS), seed=5)
    assert again.seed == drawn[1].seed == 5
    assert (again.ab == drawn[1].ab).all()
    assert np.abs(drawn[0].ab - drawn[1].ab).mean() > 0.5


@pytest.mark.parametrize(
    ("place", "weight", "reached", "count"),
    [
        (np.s_[20, 10], 1, np.s_[20, 10], 1),
        (np.s_[20, 10:13], 2, np.s_[20, 10:13], 6),
        (np.s_[18:22, 8:12], 1, np.s_[18:22, 8:12], 8),
        (np.s_[9:31, 1:21], 16, np.s_[9:31, 1:21], 8),
        (np.s_[20, 10], 1, np.s_[20:28, 10:26], 1 + 127 / 128),
    ],
)
def test_what_varies_together_moves_together(place, weight, reached, count):
    """By hand: two halves that vary alone, and in one of them a stroke, which counts as 8 hints at most.

    128 places that it half reaches count as one more.
    """
    generator = np.random.default_rng(0)
    halves = np.repeat([[1.0, 0.0], [0.0, 1.0]], 32, axis=1).astype(np.float32)  # (2 halves, 64 columns)
    amounts = generator.normal(0, 20, (64, 2, 2)).astype(np.float32)  # members, a or b, halves
    amounts -= amounts.mean(0)
    amounts = np.linalg.qr(amounts.reshape(64, 4))[0].reshape(64, 2, 2) * np.float32(160)  # uncorrelated
    members = np.broadcast_to((amounts @ halves)[:, :, None], (64, 2, 64, 64))
    weights, reach = np.zeros((2, 64, 64), np.float32)
    weights[place], reach[reached] = weight, 0.5
    wanted = np.array([40, -30], np.float32)[:, None, None] * (reach > 0)
    hints = HintMap(weights, reach, wanted, np.zeros((64, 64), np.float32), {})
    (moved,) = follow([np.zeros((2, 64, 64), np.float32)], members, hints)
    variance = 160**2 / 63
    update = np.zeros_like(wanted)
    update[:, :, :32] = variance / (variance + 6**2 / count) * np.array([40, -30])[:, None, None]
    (painted,) = hints.spread([wanted - update])
    assert np.abs(moved - update - painted).max() < 0.05
    assert np.abs(moved[:, 20, 10] - (40, -30)).max() < 0.1


def test_strokes_are_told_apart_by_place_and_colour(tmp_path):
    """And not joined by what they reach, which is all of this photo."""
    flat = open_photo(np.full((128, 128), 128, np.uint8))
    boxes = (10, 20, 40, 30), (10, 30, 40, 40), (90, 20, 120, 30)
    strokes = painted(tmp_path / "s.png", (128, 128), *zip(boxes, (RED, BLUE, RED), strict=True))
    labels = HintMap.of(flat, strokes=strokes).strokes()
    inside = [labels[y0 // 2 + 1 : y1 // 2 - 1, x0 // 2 + 1 : x1 // 2 - 1] for x0, y0, x1, y1 in boxes]
    assert [len(np.unique(label)) for label in inside] == [1, 1, 1]
    assert len({label[0, 0] for label in inside}) == 3


def test_members_differ_in_their_coarse_colours_alone(conditioned):
    one, other = islice(ensemble(conditioned), 2)
    same = {r: bool((one.levels[r] == other.levels[r]).all()) for r in one.levels}
    assert same == {32: True, 16: True, 8: False}


def test_members_differ_in_mood_as_in_the_coarsest_level(colorizer, photo, conditioned):
    """Or hints would hardly reach the mood of the photo where samples' moods are mild."""
    assert conditioned.temperature[1] < conditioned.temperature[8] == 0.8
    lively = colorizer.condition(photo)
    lively.temperature = {32: 0.7, 16: 0.7, 8: 0.8}
    member, expected = (next(ensemble(each)) for each in (conditioned, lively))
    assert np.array_equal(member.ab, expected.ab)


def test_members_are_as_many_as_there_should_be_however_they_are_drawn(conditioned, monkeypatch):
    monkeypatch.setattr("cinn_colorize.methods.ensemble.MEMBERS", 3)
    few, all_at_once = ([*ensemble(conditioned, at_once)] for at_once in (2, 8))
    assert [sample.seed for sample in few] == [sample.seed for sample in all_at_once]
    assert len(few) == 3


def test_nothing_moves_where_colours_agree_already(conditioned, photo):
    sample, *members = (sample.ab for sample in conditioned.sample(4))
    asked = HintMap.of(photo, POINTS)
    (moved,) = follow([sample], members, replace(asked, ab=sample))
    assert np.abs(moved - sample).max() < 1e-4


@pytest.mark.ci
def test_hints_of_no_chroma_hold_colour_back(shipped_colorizer, photo):
    conditioned = shipped_colorizer.condition(photo)
    held = HintMap.of(photo, [Hint(20, 30, (128, 128, 128))])
    (plain,), (sample,) = conditioned.sample(seed=4), draw(conditioned, held, seed=4)
    at = np.s_[:, 22:26, 9:12]
    assert np.hypot(*sample.ab[at]).mean() < 0.3 * np.hypot(*plain.ab[at]).mean()


def test_a_hinted_sample_has_no_code_of_its_own(conditioned, drawn):
    with pytest.raises(LatentError, match="encode its ab"):
        _ = drawn[0].latent
    with pytest.raises(ValueError, match="no density"):
        likeliest(drawn)
    assert np.abs(conditioned.decode(conditioned.encode(drawn[0].ab))[0] - drawn[0].ab).max() < 0.05


def test_paint_stops_at_edges():
    halves = np.full((128, 128), 70, np.uint8)
    halves[:, 64:] = 180
    hints = HintMap.of(open_photo(halves), [Hint(30, 64, BLUE)])
    (spread,) = np.hypot(*hints.spread([hints.ab]).swapaxes(0, 1))
    left, right = spread[:, :32], spread[:, 32:]
    assert spread[31:34, 14:17].max() == spread.max()
    assert left.min() > 100 * right.max()


def test_strokes_of_any_size_say_the_same(tmp_path, photo):
    box = (16, 24, 40, 48)
    large = painted(tmp_path / "large.png", (480, 320), (tuple(4 * b for b in box), RED))
    small = painted(tmp_path / "small.png", (120, 80), (box, RED))
    one, other = (HintMap.of(photo, strokes=path) for path in (large, small))
    assert np.abs(one.weight - other.weight).max() < 0.1
    assert one.weight[20:38, 9:21].min() > 0.9
    assert one.weight[:, 40:].max() < 0.1
    inside = np.s_[:, 20:38, 9:21]
    assert np.abs(one.ab[inside] - other.ab[inside]).max() < 1


@pytest.mark.parametrize("profile", ["p3", "damaged", "chunk"])
def test_strokes_are_in_the_colour_space_of_their_file(tmp_path, photo, profile):
    plain = painted(tmp_path / "plain.png", (120, 80), ((30, 10, 60, 70), BLUE))
    icc = bytes(pyvips.Operation.call("profile_load", "p3"))
    pixels = np.array(Image.open(plain))
    if profile == "p3":
        srgb = pyvips.Image.new_from_array(pixels[..., :3]).copy(interpretation="srgb")
        pixels[..., :3] = srgb.icc_transform("p3", input_profile="srgb", intent="relative").numpy()
        assert (pixels[40, 40, :3] != BLUE).any()
    else:
        icc = icc[:60] + bytes(len(icc) - 60)
    Image.fromarray(pixels).save(tmp_path / "strokes.png", icc_profile=icc)
    if profile == "chunk":
        content = (tmp_path / "strokes.png").read_bytes()
        start = content.index(b"iCCP")
        end = start + 4 + int.from_bytes(content[start - 4 : start], "big")
        chunk = content[start : start + 20] + b"\0" * (end - start - 20)
        check = zlib.crc32(chunk).to_bytes(4, "big")
        (tmp_path / "strokes.png").write_bytes(content[:start] + chunk + check + content[end + 4 :])
    one, other = (HintMap.of(photo, strokes=tmp_path / name) for name in ("plain.png", "strokes.png"))
    np.testing.assert_allclose(one.ab, other.ab, atol=1.0)


def test_thin_strokes_count(tmp_path, photo):
    strokes = painted(tmp_path / "thin.png", (1200, 800), ((300, 100, 303, 700), BLUE))
    assert HintMap.of(photo, strokes=strokes).weight[10:50, 15:17].max(axis=1).min() > 0.5


@pytest.mark.ci
def test_long_photos(colorizer, long):
    conditioned, hints = colorizer.condition(long), HintMap.of(long, [Hint(110, 20, RED)])
    (sample,) = draw(conditioned, hints)
    assert sample.ab.shape == hints.ab.shape != (2, 64, 64)
    hinted, plain = (
        (hints.weight * np.hypot(*(s.ab - hints.ab))).sum() for s in (sample, *conditioned.sample())
    )
    assert hinted < 0.3 * plain


def test_progress_ends_with_all_steps_done(conditioned, photo):
    steps = []
    draw(conditioned, HintMap.of(photo, POINTS[:1]), progress=lambda done, total: steps.append((done, total)))
    done, totals = zip(*steps, strict=True)
    assert list(done) == sorted(done)
    assert max(done) <= max(totals)
    assert done[-1] == totals[-1] == max(totals) == min(totals)


@pytest.fixture
def run(tmp_path, gray, colorizer, monkeypatch):
    """Run commands in a folder with photo.png, with a preloaded model."""
    Image.fromarray(gray).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    preloaded(monkeypatch, colorizer)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_and_its_recipe(run, tmp_path):
    painted(tmp_path / "strokes.png", (240, 160), ((160, 100, 200, 120), BLUE))
    result = run("photo.png", "--hint", "20,30,#aa2832", "--hints", "strokes.png", "-n", 2, "-s", 3, "-q")
    assert result.exit_code == 0, result.stderr
    names = [f"colorized/photo_{name}" for name in ("003.png", "004.png", "sheet.jpg")]
    assert result.stdout.split() == names
    made = tmp_path / names[1]
    recipe = read_recipe(made)
    assert (recipe["method"], recipe["hints"]) == ("hints", "20,30,#aa2832")

    lacking = run("recreate", made, "photo.png")
    assert lacking.exit_code == 1
    assert f"the picture of hints with SHA-256 {recipe['strokes'][:12]}" in lacking.stderr
    again = run("recreate", made, "photo.png", "strokes.png", "-o", "again.png")
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "again.png").read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--hint", "120,10,#aa2832"], 1, "120,10,#aa2832 lies outside its 120x80 pixels"),
        (["--hint", "10,red"], 2, "'10,red' is not a hint; write x,y,color"),
        (["--hint", "10,10,rod"], 2, "'rod' in the hint '10,10,rod' is not a colour"),
        (
            ["--hint", "10,10,#aa2832", "--rank", "typical"],
            2,
            "--rank, --pick and --white-balance exclude --hint",
        ),
        (
            ["--hint", "10,10,#aa2832", "--like", "3"],
            2,
            "--like, --rank, --pick and --white-balance exclude --hint",
        ),
        (["--hint-reach", "photo"], 2, "requires --hint or --hints"),
        (["again.png", "--hint", "10,10,#aa2832"], 2, "hints apply to one photo"),
        (["--hints", "missing.png"], 1, "missing.png: no such file of hints"),
        (["--hints", "text.png"], 1, "text.png: hints cannot be read: not a picture in a known format"),
        (["--hints", "/dev/zero"], 1, "/dev/zero: hints cannot be read: not a file"),
        (["--hints", "large.png"], 1, "large.png: hints are too large to be read; save the layer smaller"),
        (["--hints", "empty.png"], 1, "empty.png: is transparent all over"),
        (["--hints", "photo.png"], 1, "photo.png: has no transparent places"),
        (["--hints", "tall.png"], 1, "tall.png: has 80x120 pixels and does not fit the photo's 120x80"),
    ],
)
def test_bad_hints_get_one_line(run, tmp_path, monkeypatch, arguments, code, message):
    (tmp_path / "text.png").write_text("no picture")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120 * 80 // 2)  # its limit is twice this
    painted(tmp_path / "empty.png", (120, 80))
    painted(tmp_path / "large.png", (121, 81), ((10, 10, 20, 20), RED))
    painted(tmp_path / "tall.png", (80, 120), ((10, 10, 20, 20), RED))
    result = run("photo.png", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "colorized").exists()


@pytest.mark.parametrize(
    ("values", "error", "problem"),
    [
        ((-5, 3, (1, 2, 3)), ValueError, "x must be 0 or more"),
        ((5, 3.5, (1, 2, 3)), TypeError, "y must be an integer"),
        ((5, 3, (300, 2, 3)), ValueError, "from 0 to 255"),
        ((5, 3, (1, 2)), ValueError, "three numbers"),
    ],
)
def test_what_is_no_hint_is_refused_at_once(values, error, problem):
    with pytest.raises(error, match=problem):
        Hint(*values)


def test_a_hint_beside_an_edge_weighs_on_its_own_side():
    """As the upsampling takes its pixel's colour from there, though the other side is as near."""
    halves = np.full((256, 256), 70, np.uint8)
    halves[:, 128:] = 180
    for x, own in ((127, np.s_[:, :32]), (128, np.s_[:, 32:])):
        weight = HintMap.of(open_photo(halves), [Hint(x, 130, BLUE)]).weight
        assert weight[own].sum() > 0.99
        assert np.isclose(weight.sum(), 1)


def test_a_hint_in_a_corner_weighs_as_much_as_any_other():
    flat = open_photo(np.full((256, 256), 128, np.uint8))
    for x, y in ((0, 0), (255, 255), (0, 130), (130, 130)):
        weight = HintMap.of(flat, [Hint(x, y, RED)]).weight
        assert np.isclose(weight.sum(), 1)
        middle = [(weight * place).sum() for place in np.indices(weight.shape)]
        place = ((np.array([y, x]) + 0.5) / 4 - 0.5).clip(0, 63)  # on the grid
        assert np.abs(middle - place).max() < 0.3


def test_what_is_wanted_lies_in_the_gamut_once_the_saturation_is_applied():
    photo = open_photo(GRAY)
    vivid = [Hint(20, 30, (255, 0, 0)), Hint(200, 170, (0, 0, 255)), Hint(150, 60, (0, 255, 0))]
    for saturation in (0.5, 1.0, 2.0):
        hints = HintMap.of(photo, vivid, saturation=saturation)
        shown = (saturation * hints.ab).astype(np.float32)
        np.testing.assert_allclose(color.reduce_chroma(hints.guide, shown), shown, atol=0.1)
    gray = HintMap.of(photo, vivid, saturation=0.0)
    assert np.isfinite(gray.ab).all()


def test_a_hint_reaches_what_is_near():
    flat = open_photo(np.full((256, 256), 128, np.uint8))
    reach = HintMap.of(flat, [Hint(128, 128, RED)]).reach
    assert reach[32, 32] > 0.9
    assert np.all(np.diff(reach[32, 33:]) < 0)
    assert reach[32, 60] < 0.3 < 0.4 < reach[32, 38]


@pytest.mark.parametrize("size", [256, 90, 64])
@pytest.mark.parametrize("turn", [np.transpose, np.fliplr])
def test_hints_reach_as_far_whichever_way_the_photo_lies(turn, size):
    pixels, marks = np.tile(GRAY, (2, 1))[:size, :size], np.zeros((size, size), int)
    colors = dict(enumerate((RED, BLUE, RED), start=1))
    for (y, x), number in zip(((30, 200), (31, 90), (180, 60)), colors, strict=True):
        marks[y * size // 256, x * size // 256] = number

    def brought(pixels, marks):
        points = [Hint(x, y, colors[marks[y, x]]) for y, x in np.argwhere(marks).tolist()]
        return HintMap.of(open_photo(np.ascontiguousarray(pixels)), points)

    one, other = brought(pixels, marks), brought(turn(pixels), turn(marks))
    np.testing.assert_allclose(other.weight, turn(one.weight), atol=1e-4)
    np.testing.assert_allclose(other.reach, turn(one.reach), atol=1e-4)
    np.testing.assert_allclose(other.ab, [turn(plane) for plane in one.ab], atol=0.1)


def test_members_are_no_samples_that_people_draw(colorizer):
    seeds = [member.seed for member in islice(ensemble(colorizer.condition(GRAY)), 8)]
    assert len(set(seeds)) == 8
    assert min(seeds) >= 2**31
