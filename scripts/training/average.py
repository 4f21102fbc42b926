"""Average two weights files, such as those before and after their details were refit.

    python scripts/training/average.py BEFORE AFTER OUTPUT

Both must have one architecture and one origin: the average of unrelated runs means nothing.
"""

import argparse
from pathlib import Path

from cinn_colorize.errors import DataError, ending_in_a_line
from cinn_colorize.models import load_model, save_model


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()

    before, after = (load_model(source=path) for path in (arguments.before, arguments.after))
    if before.model.config != after.model.config:
        raise DataError(f"{arguments.after}: has another architecture than {arguments.before}")
    state, others = before.model.state_dict(), after.model.state_dict()
    means = {
        name: (tensor + others[name]) / 2 if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    before.model.load_state_dict(means)
    save_model(arguments.output, before.model, {"average": [before.sha256, after.sha256]})


if __name__ == "__main__":
    main()
