"""All methods to draw, by their names in recipes. Light: does not import torch."""

from __future__ import annotations

from cinn_colorize.methods.base import Method
from cinn_colorize.methods.grid import Grid
from cinn_colorize.methods.hints import Hinted
from cinn_colorize.methods.mix import Mix
from cinn_colorize.methods.sample import Sampling
from cinn_colorize.methods.strip import Strip
from cinn_colorize.methods.transfer import Transfer
from cinn_colorize.methods.variation import Variation

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Sampling, Variation, Transfer, Mix, Hinted, Strip, Grid)
}
