"""Numbers by level, as users write them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cinn_colorize.latents.levels import (
    MEAN,
    by_level,
    format_levels,
    parse_levels,
    parse_temperature,
    short_levels,
    temperatures,
    transfer_noise,
)
from cinn_colorize.models import MODELS
from cinn_colorize.models.bedrooms import Bedrooms, BedroomsConfig
from cinn_colorize.models.mnist import Mnist, MnistConfig
from cinn_colorize.models.natural import Natural
from cinn_colorize.models.natural_config import NaturalConfig

LEVELS = (32, 16, 8, 4, 2, 1, 0)
NUMBERS = st.floats(0, 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.7", 0.7),
        ("32:0.6,0:0", {32: 0.6, 16: 0.8, 8: 0.8, 4: 0.8, 2: 0.8, 1: 0.8, 0: 0.0}),
        ("1:0.1,0.5", {32: 0.5, 16: 0.5, 8: 0.5, 4: 0.5, 2: 0.5, 1: 0.1, 0: 0.5}),
        ("0.5, 4: 0.5", 0.5),
    ],
)
def test_what_people_write(text, expected):
    assert parse_levels(text, LEVELS, 0.8) == expected


def per_level(numbers):
    return st.one_of(numbers, st.fixed_dictionaries(dict.fromkeys(LEVELS, numbers)))


@given(per_level(NUMBERS))
def test_what_is_written_is_read_again(values):
    again = parse_levels(format_levels(values), LEVELS, 1.0)
    assert by_level(again, LEVELS) == by_level(values, LEVELS)
    assert format_levels(again) == format_levels(by_level(values, LEVELS))


@given(per_level(st.sampled_from([0.0, 0.75, 0.125, 1.0, 2.5])))
def test_what_is_written_short_is_read_again(values):
    short = short_levels(values)
    assert by_level(parse_levels(short, LEVELS, 3.0), LEVELS) == by_level(values, LEVELS)
    assert len(short) <= len(format_levels(values))


@given(per_level(NUMBERS), st.randoms())
def test_the_order_of_what_is_written_says_nothing(values, random):
    parts = format_levels(values).split(",")
    random.shuffle(parts)
    assert by_level(parse_levels(",".join(parts), LEVELS, 1.0), LEVELS) == by_level(values, LEVELS)


@pytest.mark.parametrize("text", ["0.8", "0.5,2:0.7,1:0.7,0:0.7", "0,32:1"])
def test_short_is_what_people_write(text):
    assert short_levels(parse_levels(text, LEVELS, 1.0)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "''"), ("x", "'x'"), ("32:", "'32:'"), ("a:1", "'a:1'"), ("1:2:3", "'1:2:3'"),
        ("3:1", "no level 3"), ("0.5,0.6", "more than one number"),
        ("8:0.5,8:0.7", "names level 8 twice"), ("3_2:1", "'3_2:1'"),
        ("-0.1", "share must be a number from 0 to 1, not -0.1"), ("8:2", "not 2"), ("nan", "not nan"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(text, message):
    with pytest.raises(ValueError, match=message):
        parse_levels(text, LEVELS, 0.8, "share", largest=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        ("0.7,8:0.9", {32: 0.7, 16: 0.7, 8: 0.9}),  # it goes with level 8
        ("0.7,8:0.9,1:0.6", {32: 0.7, 16: 0.7, 8: 0.9, 1: 0.6}),
        ("1:0.3", {32: 0.7, 16: 0.7, 8: 0.9, 1: 0.3}),
        ("16:0.5", {32: 0.7, 16: 0.5, 8: 0.9, 1: 0.6}),
        ("1:0.9", {32: 0.7, 16: 0.7, 8: 0.9}),
        ("0.9,1:0.9", 0.9),
    ],
)
def test_a_temperature_for_the_mean(text, expected):
    assert parse_temperature(text, (32, 16, 8), {32: 0.7, 16: 0.7, 8: 0.9, 1: 0.6}) == expected


@given(st.fixed_dictionaries(dict.fromkeys((32, 16, 8, MEAN), st.sampled_from([0.0, 0.6, 0.9, 1.0]))))
def test_temperatures_are_read_again_with_that_of_the_mean(values):
    of_levels = parse_temperature(values, (32, 16, 8), 1.0)
    for write in (short_levels, format_levels):
        assert parse_temperature(write(of_levels), (32, 16, 8), 2.0) == of_levels


def test_a_level_1_of_its_own_is_no_mean():
    assert parse_temperature("0:0.5", (2, 1, 0), 0.8) == {2: 0.8, 1: 0.8, 0: 0.5}
    with pytest.raises(ValueError, match="no level 1; levels are 32, 16, 0"):
        parse_temperature("1:0.5", (32, 16, 0), 0.8)


def test_a_number_for_each_level():
    with pytest.raises(ValueError, match="temperature is missing for level 16"):
        by_level({32: 1.0}, (32, 16), "temperature")
    with pytest.raises(ValueError, match="0 or more, not inf"):
        by_level(float("inf"), LEVELS)


def test_the_coarse_levels_are_transferred():
    assert transfer_noise((4, 2, 0)) == {4: 1.0, 2: 0.0, 0: 0.0}
    assert transfer_noise((32, 16, 8)) == {32: 1.0, 16: 1.0, 8: 0.2}


def test_the_registry_names_the_levels_of_each_model():
    with torch.device("meta"):
        models = [Natural(NaturalConfig.default()), Bedrooms(BedroomsConfig.default()), Mnist(MnistConfig())]
    for model in models:
        assert tuple(model.latent_shapes) == MODELS[model.name].levels
    for info in MODELS.values():
        assert temperatures(info.temperature, info.levels)
