"""Put the details of trained weights above an autoregressive level, to begin ``train --stage fine`` with.

    python scripts/training/graft.py runs/coarse/natural.safetensors weights/natural.safetensors OUTPUT

Levels 32 and 16, and the parts of the pyramid that only they read, are copied; all else stays. The details
then see features that they were not trained on, but are far nearer to their end than new ones.
"""

import argparse
from pathlib import Path

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural
from cinn_colorize.training.natural import details_of


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("coarse", type=Path, help="weights with an autoregressive level")
    parser.add_argument("details", type=Path, help="weights whose details are taken")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()

    model, others = (load_model(source=path).model for path in (arguments.coarse, arguments.details))
    assert isinstance(model, Natural)
    replaced = {id(parameter) for module in details_of(model) for parameter in module.parameters()}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in replaced}
    state, taken = model.state_dict(), others.state_dict()
    model.load_state_dict(state | {name: taken[name] for name in names})
    save_model(arguments.output, model, {"details": arguments.details.name})
    print(f"{len(names)} tensors taken")


if __name__ == "__main__":
    main()
