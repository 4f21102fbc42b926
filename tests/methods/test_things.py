"""Hints that recolour the thing they lie on, and nothing else."""

import itertools

import numpy as np
import pytest
from helpers import preloaded
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.imaging.options import HintReach
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.methods import ensemble, things
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint, Hinted

RED, BLUE, GRAY = (170, 40, 50), (50, 90, 190), (128, 128, 128)
LEFT, RIGHT = np.s_[:, :, :24], np.s_[:, :, 40:]  # of ab, away from the border of the halves


@pytest.fixture(scope="module")
def flat():
    """A photo without edges."""
    return open_photo(np.full((128, 128), 128, np.uint8))


@pytest.fixture(scope="module")
def halves():
    """Coarse colours of samples in which two halves vary alone, and the mood more than they."""
    generator = np.random.default_rng(0)
    moves, moods = generator.normal(0, 10, (48, 2, 2, 1)), generator.normal(0, 40, (48, 2, 1, 1))
    ab = np.broadcast_to(np.repeat(moves, 8, axis=2).swapaxes(2, 3) + moods, (48, 2, 16, 16))
    return list(ab.astype(np.float32))


@pytest.fixture(scope="module")
def sample():
    return np.random.default_rng(1).normal(0, 10, (2, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def photo(examples):
    """A small photo with things in it, (80, 120)."""
    with Image.open(examples / "coffee.png") as image:
        return open_photo(np.asarray(image.convert("L").resize((120, 80))))


def move(conditioned, samples, hints):
    return things.follow(samples, things.find(things.drawn(conditioned), hints), hints)


def recolored(sample, members, hints):
    return things.recolor([sample], things.find(members, hints), hints)[0]


def test_the_thing_is_recoloured_and_the_rest_is_left_alone(flat, halves, sample):
    hints = HintMap.of(flat, [Hint(30, 64, RED)])
    moved, wanted = recolored(sample, halves, hints), hints.ab[:, 32, 15]
    assert np.abs(moved[RIGHT] - sample[RIGHT]).max() < 1e-3
    assert np.hypot(*(moved[LEFT].mean((1, 2)) - wanted)) < 5
    assert np.hypot(*(moved[:, 32, 15] - wanted)) < 0.1


def test_things_end_at_edges_of_luminance():
    """Where the samples do not tell them apart."""
    pixels = np.full((128, 128), 70, np.uint8)
    pixels[:, 64:] = 180
    members = list(np.random.default_rng(2).normal(0, 10, (48, 2, 16, 16)).astype(np.float32))
    (found,) = things.find(members, HintMap.of(open_photo(pixels), [Hint(60, 64, RED)]))
    assert found[30:34, 29:32].min() > 0.3 > 30 * found[:, 32:].max()


def test_a_gray_hint_keeps_its_thing(flat, halves, sample):
    alone = recolored(sample, halves, HintMap.of(flat, [Hint(30, 64, GRAY)]))
    assert (alone == sample).all()
    red, kept = Hint(30, 64, RED), Hint(40, 90, GRAY)
    without, beside = (recolored(sample, halves, HintMap.of(flat, given)) for given in ([red], [red, kept]))
    change = [np.hypot(*(moved - sample))[43:47, 18:22].mean() for moved in (without, beside)]
    assert change[1] < 0.05 * change[0]


def test_hints_on_one_thing_compete(flat, halves):
    found = things.find(halves, HintMap.of(flat, [Hint(20, 20, RED), Hint(30, 110, BLUE)]))
    assert found.sum(0).max() < 1.001
    red, blue = (found[:, y - 1 : y + 2, 8:16].mean((1, 2)) for y in (10, 55))
    assert red[0] > 0.9 > 0.1 > red[1]
    assert blue[1] > 0.9 > 0.1 > blue[0]


def test_hints_of_one_colour_are_one_thing(flat, halves, sample):
    hints = HintMap.of(flat, [Hint(20, 20, RED), Hint(100, 110, BLUE), Hint(110, 20, RED)])
    assert len(hints.wishes) == 2
    np.testing.assert_allclose(sum(wish.weight for wish in hints.wishes), hints.weight, atol=1e-6)
    assert things.find(halves, hints)[0][[10, 10], [10, 55]].min() > 0.99


def test_strokes_are_honoured_to_their_edge(tmp_path, flat, halves, sample):
    """In a thing, across the border of two, and beside another stroke."""
    image = Image.new("RGBA", (128, 128))
    image.paste((*RED, 255), (40, 20, 100, 40))
    image.paste((*BLUE, 255), (40, 40, 100, 60))
    image.save(tmp_path / "strokes.png")
    hints = HintMap.of(flat, strokes=tmp_path / "strokes.png")
    moved = recolored(sample, halves, hints)
    for rows in (slice(11, 19), slice(21, 29)):
        inside = np.s_[:, rows, 21:49]
        assert np.hypot(*(moved[inside] - hints.ab[inside])).max() < 1


def test_a_seed_is_its_sample_but_for_the_thing(colorizer, photo):
    conditioned, hints = colorizer.condition(photo), HintMap.of(photo, [Hint(20, 30, RED)])
    plain = conditioned.sample(2, seed=4)
    one, two = move(conditioned, plain, hints)
    (again,) = move(conditioned, conditioned.sample(seed=5), hints)
    assert (two.ab == again.ab).all()
    outside = things.find(things.drawn(conditioned), hints)[0] == 0
    assert outside.any()
    for sample, own in zip((one, two), plain, strict=True):
        assert (sample.ab == own.ab)[:, outside].all()


def test_long_photos(colorizer, photo):
    long = open_photo(photo.luminance(40, 120).astype(np.uint8))
    conditioned, hints = colorizer.condition(long), HintMap.of(long, [Hint(110, 20, RED)])
    (sample,) = move(conditioned, conditioned.sample(), hints)
    assert sample.ab.shape == hints.ab.shape != (2, 64, 64)
    assert (hints.weight * np.hypot(*(sample.ab - hints.ab))).sum() < 1


def test_hints_reach_what_they_are_told_to(colorizer, photo):
    points, drawn, conditioned = (Hint(20, 30, RED),), {}, colorizer.condition(photo)
    for reach, moved in ((HintReach.photo, ensemble.move), (HintReach.thing, move)):
        (drawn[reach],) = Hinted(points, reach=reach, seed=4).samples(colorizer, photo)
        (wanted,) = moved(conditioned, conditioned.sample(1, 1.0, seed=4), HintMap.of(photo, points))
        assert (drawn[reach].ab == wanted.ab).all()
    assert "reach" not in drawn[HintReach.photo].recipe  # as before there was a choice
    assert drawn[HintReach.thing].recipe["reach"] == "thing"
    with pytest.raises(ValueError, match="unknown hint_reach 'room'; choose one of thing, photo"):
        colorizer.colorize(photo, hints=points, hint_reach="room")


def test_the_first_tile_outlines_the_things(colorizer, photo):
    plain, hinted = (Hinted((Hint(20, 30, RED),), seed=4) for _ in range(2))
    hinted.samples(colorizer, photo)
    (before, _), (after, _) = (method.first_tiles(colorizer, photo)[0] for method in (plain, hinted))
    changed = np.asarray(after)[(np.asarray(before) != np.asarray(after)).any(2)]
    assert 0 < len(changed) < 0.1 * before.width * before.height
    assert (changed == 255).all()


def test_both_kinds_are_made_again(tmp_path, photo, colorizer, monkeypatch):
    preloaded(monkeypatch, colorizer)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo.luminance(80, 120).astype(np.uint8)).save("photo.png")
    made = []
    for reach in HintReach:
        arguments = ["photo.png", "--hint", "20,30,#aa2832", "-s", "3", "--output", f"{reach}.png", "-q"]
        result = CliRunner().invoke(app, [*arguments, "--hint-reach", reach])
        assert result.exit_code == 0, result.stderr
        made.append(tmp_path / "colorized" / f"{reach}.png")
        again = CliRunner().invoke(app, ["recreate", str(made[-1]), "photo.png", "-o", f"again_{reach}.png"])
        assert again.exit_code == 0, again.stderr
        assert (tmp_path / f"again_{reach}.png").read_bytes() == made[-1].read_bytes()
    assert [read_recipe(path).get("reach") for path in made] == ["thing", None]


def test_a_larger_size_grows_a_thing_and_a_smaller_one_shrinks_it(colorizer, photo):
    """By a factor of the odds, so each contains the smaller ones, and others get what is left."""
    members, beside = things.drawn(colorizer.condition(photo)), Hint(90, 60, BLUE)

    def found(*hints):
        return things.find(members, HintMap.of(photo, hints))

    sizes = [Hint(20, 30, RED, size) for size in (0.25, 0.5, 1, 2, 4)]
    for small, large in itertools.pairwise(sizes):
        (one,), (more,) = found(small), found(large)
        assert (one <= more + 1e-6).all()
        assert one.sum() < more.sum()
        first, second = found(small, beside), found(large, beside)
        assert first[1].sum() > second[1].sum()
        assert max(first.sum(0).max(), second.sum(0).max()) <= 1 + 1e-6


def test_hints_of_one_colour_and_two_sizes_are_two_things(flat, halves):
    hints = HintMap.of(flat, [Hint(20, 64, RED, 2), Hint(40, 64, RED), Hint(40, 70, RED)])
    assert [wish.size for wish in hints.wishes] == [2, 1]
    assert len(things.find(halves, hints)) == 2


def test_a_speck_has_no_outline():
    thing = np.zeros((1, 64, 64), np.float32)
    thing[0, 5, 5] = 1
    thing[0, 20:30, 20:30] = 1
    assert len(list(things.outlines(thing, open_photo(np.zeros((64, 64), np.uint8)), (64, 64)))) == 1


@pytest.mark.parametrize("text", ["3,4,#a02832", "3,4,#a02832,2", "3,4,#a02832,0.25", "3,4,#a02832,0.015625"])
def test_the_size_of_a_hint_is_in_its_text(text):
    assert str(Hint.parse(text)) == text
    assert Hint.of(Hint.parse(text)) == Hint.parse(text)
    x, y, color, *size = text.split(",")
    assert Hint.of((int(x), int(y), color, *map(float, size))) == Hint.parse(text)


@pytest.mark.parametrize("size", ["0", "0.001", "100", "-1", "nan", "2,3"])
def test_impossible_sizes(size):
    with pytest.raises(ValueError, match=r"size of a hint must be from|is not a hint|is not a colour"):
        Hint.parse(f"1,2,red,{size}")


@pytest.mark.ci
def test_the_command_and_the_recipe_have_the_size(colorizer, examples, tmp_path, monkeypatch):
    """And the library gives the same."""
    monkeypatch.chdir(tmp_path)
    preloaded(monkeypatch, colorizer)
    with Image.open(examples / "coffee.png") as image:
        image.convert("L").resize((120, 80)).save("gray.png")
    made = []
    for hint in ("60,40,#c02020", "60,40,#c02020,4"):
        done = CliRunner().invoke(app, ["gray.png", "-s", "3", "--hint", hint, "-o", "made", "--overwrite"])
        assert done.exit_code == 0, done.stderr
        assert read_recipe("made/gray_003.png")["hints"] == hint
        made.append(np.asarray(Image.open("made/gray_003.png")))
    assert not np.array_equal(*made)
    (again,) = colorizer.colorize("gray.png", seed=3, hints=[(60, 40, "#c02020", 4)])
    assert np.array_equal(again.rgb, made[1])
