"""Run the command line: ``python -m cinn_colorize``."""

from cinn_colorize.cli import main

if __name__ == "__main__":
    main()
