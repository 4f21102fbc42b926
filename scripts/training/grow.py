"""Give trained weights more to learn with, to begin ``train`` with.

    python scripts/training/grow.py weights/natural.safetensors OUTPUT --attention 16:3 --blocks 4

New transformer blocks are the identity at first.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--attention", nargs="*", default=[], metavar="R:N", help="N blocks at R px")
    parser.add_argument("--blocks", type=int, help="transformer blocks of each pass")
    arguments = parser.parse_args()

    model = load_model(source=arguments.weights).model
    assert isinstance(model, Natural)
    config = model.config
    given = {int(r): int(n) for r, n in (text.split(":") for text in arguments.attention)}
    attention = {**config.attention, **given}
    coarse = replace(config.coarse, blocks=arguments.blocks or config.coarse.blocks)
    torch.manual_seed(0)
    grown = Natural(replace(config, attention=attention, coarse=coarse))
    missing, left_over = grown.load_state_dict(model.state_dict(), strict=False)
    if left_over:
        parser.error(f"{arguments.weights}: has more already, such as {left_over[0]}")
    save_model(arguments.output, grown, {"grown from": arguments.weights.name})
    print(f"{len(missing)} tensors are new")


if __name__ == "__main__":
    main()
