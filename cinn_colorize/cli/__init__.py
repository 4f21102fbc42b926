"""The command line: parses, calls the library and prints. Commands import heavy modules when they run."""

from cinn_colorize.cli.app import main as main
