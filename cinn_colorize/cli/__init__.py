"""The command line: parses, calls the library, prints. Heavy imports happen inside the commands."""

from cinn_colorize.cli.app import main as main
