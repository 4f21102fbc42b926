"""Requests: what the command line lists, and the words of a command line that ask for the same."""

from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cinn_colorize.cli.app import flattened
from cinn_colorize.imaging.options import Encoding, Rank, Rendering, Upsampling
from cinn_colorize.methods.recipe import differences
from cinn_colorize.models.registry import MODELS
from cinn_colorize.request import MixRequest, SampleRequest, TransferRequest, words

REQUESTS = [
    SampleRequest(),
    SampleRequest(number=3, seed=0, temperature="0.7,8:0.9", frame="5,6,70,80", pages="2-"),
    SampleRequest(rendering=Rendering(Upsampling.exact, 1.25), like=4, rank=Rank.log_prob, pick=1),
    SampleRequest(hint=["3,4,#a02832", "5,6,red"], strokes=Path("a b.png")),
    TransferRequest(number=2, strength=0.25, seed=7, temperature="1"),
    TransferRequest(levels="8:0.5", rendering=Rendering(saturation=0.0), frame="none"),
    MixRequest(seeds="3,7", mask=Path("sky.png"), temperature="0.5"),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: " ".join(words(request)) or "default")
def test_the_words_of_a_request_ask_for_it(request_):
    asked, app = [], typer.Typer()

    def command(*, request):
        asked.append(request)

    command.__annotations__["request"] = type(request_)
    app.command()(flattened(command))
    result = CliRunner().invoke(app, words(request_))
    assert result.exit_code == 0, result.output
    assert asked == [request_]


@pytest.mark.parametrize("group", [Rendering, Encoding])
def test_every_option_of_a_recipe_is_told_apart(group):
    """A new option needs its declaration alone to be kept, read back and told."""
    plain = group()
    for option in fields(group):
        bounds = option.metadata
        if isinstance(option.default, bool):
            other = not option.default
        elif isinstance(option.default, Upsampling):
            other = Upsampling.bicubic
        else:
            other = type(option.default)(bounds["max"])
        changed = group(**{option.name: other})
        assert changed != plain
        assert group.from_entries(changed.entries()) == changed
        told = differences({"model": "natural", **changed.entries()}, {"model": "natural", **plain.entries()})
        assert list(told) == [option.name]


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (SampleRequest(number=2, pick=3), "pick must be at most n, 2, not 3"),
        (SampleRequest(hint=["3,4,red"], like=3), "hints exclude like and pick"),
        (SampleRequest(seed=2**63 - 1, number=2), "no seed may exceed"),
        (SampleRequest(temperature="3"), "temperature must be a number from 0 to 2, not 3"),
        (MixRequest(seeds="3", mask=Path("m.png")), "'3' is not a pair of seeds such as 3,7"),
        (TransferRequest(levels="9:1"), "there is no level 9"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_loaded(request_, problem):
    with pytest.raises(ValueError, match=problem):
        request_.method(MODELS["natural"])
