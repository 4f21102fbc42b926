"""Write the ONNX graphs that the package ships: python scripts/onnx_graphs.py.

They hold no weights, so they change only with the code, torch and the architecture of a model.
"""

import argparse
from pathlib import Path

from cinn_colorize.engines.onnx.export import export_graphs
from cinn_colorize.models import load_model

FOLDER = Path(__file__).parents[1] / "cinn_colorize" / "engines" / "onnx" / "graphs"
SHIPPED = ("natural", "bedrooms")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    for name in SHIPPED:
        for path in export_graphs(load_model(name), FOLDER / name):
            print(f"{path.relative_to(FOLDER.parent)}: {path.stat().st_size / 2**10:.0f} KiB")


if __name__ == "__main__":
    main()
