"""Make weights for ``train --start``: trained ones with more to learn with, with other details, or a mean.

    python scripts/training/grow.py weights/natural.safetensors OUTPUT --attention 16:3 --blocks 4
    python scripts/training/grow.py COARSE.safetensors OUTPUT --details weights/natural.safetensors

New transformer blocks are the identity at first. Details are levels 32 and 16, and the parts of the pyramid
that only they read: above an autoregressive level that they were not trained with, they are still far nearer
to their end than new ones.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural
from cinn_colorize.training.natural import details_of


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--attention", nargs="*", default=[], metavar="R:N", help="N blocks at R px")
    parser.add_argument("--blocks", type=int, help="transformer blocks of each pass")
    parser.add_argument("--details", type=Path, help="weights whose details are taken")
    parser.add_argument("--mean", type=Path, nargs="*", default=[], help="weights to average with these")
    arguments = parser.parse_args()

    model = load_model(source=arguments.weights).model
    assert isinstance(model, Natural)
    config, state = model.config, model.state_dict()
    made = {"made from": arguments.weights.name}
    averaged = [model, *(load_model(source=path).model for path in arguments.mean)]
    if any(other.config != config for other in averaged):
        parser.error("--mean: not all are weights of one network")
    states = [each.state_dict() for each in averaged]
    state = {name: sum(each[name] for each in states) / len(states) for name in state}
    if arguments.details:
        learnt = {id(parameter) for module in details_of(model) for parameter in module.parameters()}
        taken = load_model(source=arguments.details).model.state_dict()
        state |= {n: taken[n] for n, parameter in model.named_parameters() if id(parameter) in learnt}
        made["details"] = arguments.details.name
    given = {int(r): int(n) for r, n in (text.split(":") for text in arguments.attention)}
    coarse = replace(config.coarse, blocks=arguments.blocks or config.coarse.blocks)
    torch.manual_seed(0)
    grown = Natural(replace(config, attention={**config.attention, **given}, coarse=coarse))
    missing, left_over = grown.load_state_dict(state, strict=False)
    if left_over:
        parser.error(f"{arguments.weights}: has more already, such as {left_over[0]}")
    save_model(arguments.output, grown, made)
    print(f"{len(missing)} tensors are new")


if __name__ == "__main__":
    main()
