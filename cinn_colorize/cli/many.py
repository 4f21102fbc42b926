"""Options of batches: which photos are meant, which of them are this machine's, who works on them."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.options import Engine
from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name

if TYPE_CHECKING:
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.errors import PhotoError

MANY = "Many photos"
STREAM = Path("-")


@dataclass(frozen=True)
class BatchOptions:
    """What a batch has beyond one photo."""

    recursive: Annotated[
        bool,
        typer.Option(
            "-r",
            "--recursive",
            help="Folders with all below; results in the same tree.",
            rich_help_panel=MANY,
        ),
    ] = False
    files_from: Annotated[
        Path | None,
        typer.Option(
            "--files-from",
            metavar="FILE|-",
            help="Read names, one a line; results keep their folders.",
            rich_help_panel=MANY,
        ),
    ] = None
    null: Annotated[
        bool,
        typer.Option("-0", "--null", help="Names in lists end in zero bytes.", rich_help_panel=MANY),
    ] = False
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="Note results down, one JSON object a line; go on from there.",
            rich_help_panel=MANY,
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Only this machine's share.", rich_help_panel=MANY),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Photos at a time.",
            show_default="cores",
            rich_help_panel=MANY,
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT|auto|local",
            help="The Ray cluster, with --engine ray; one of this machine is found or started.",
            show_default=False,
            rich_help_panel=MANY,
        ),
    ] = None

    def check(self, photos: list[Path], engine: Engine) -> None:
        """Refuse what cannot be meant."""
        self._check_address(engine)
        if not photos and not self.files_from:
            raise typer.BadParameter("no photos; name some, or give a list with --files-from")
        if self.null and not self.files_from and not any(map(_is_list, photos)):
            raise typer.BadParameter(
                "--null says how names in a list end; give one with --files-from or @FILE"
            )
        if self.shard:
            _share(self.shard)

    def inputs(self, photos: list[Path], output: Path) -> list[Input | PhotoError]:
        """The photos that are this machine's, and what was wrong with the names.

        Args:
            photos: as they are named on the command line, lists among them.
            output: the folder of the results.

        Raises:
            PhotoError: the only photo is not there.
            DataError: a list cannot be read.
        """
        from cinn_colorize.batch.inputs import find_inputs, shard

        found = checked(find_inputs(*self._names(photos), recursive=self.recursive, output=output))
        return shard(found, *_share(self.shard)) if self.shard else found

    def _names(self, photos: list[Path]) -> tuple[list[Path], list[Path]]:
        """Names given one by one, and those in lists."""
        from cinn_colorize.batch.inputs import read_list

        named = [path for path in photos if not _is_list(path)]
        lists = [Path(str(path)[1:]) for path in photos if _is_list(path)]
        listed = []
        for path in lists + ([self.files_from] if self.files_from else []):
            name = "stdin" if path == STREAM else printable_name(path)
            try:
                content = sys.stdin.buffer.read() if path == STREAM else path.read_bytes()
            except OSError as error:
                raise DataError(f"{name}: the list cannot be read ({error.strerror})") from error
            listed += read_list(content, name, null=self.null)
        return named, listed

    def _check_address(self, engine: Engine) -> None:
        address = self.address
        if address is None:
            return
        if engine is not Engine.ray:
            raise typer.BadParameter("is that of a Ray cluster; add --engine ray", param_hint="--address")
        if "://" in address:
            problem = (
                f"{address} is a Ray Client's; run this on a machine of the cluster, with --address auto"
            )
            raise typer.BadParameter(problem, param_hint="--address")
        if not re.fullmatch(r"auto|local|.+:\d+", address):
            raise typer.BadParameter(f"{address!r} is not HOST:PORT, auto or local", param_hint="--address")


def checked(inputs: list[Input | PhotoError]) -> list[Input | PhotoError]:
    """The same inputs, unless one error is all there is: a mistyped name need not wait for torch.

    Raises:
        PhotoError: that error.
    """
    if len(inputs) == 1 and isinstance(inputs[0], Exception):
        raise inputs[0]
    return inputs


def _is_list(path: Path) -> bool:
    return str(path).startswith("@") and not os.path.lexists(path)


def _share(shard: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter(f"{shard!r} is not I/N with I from 1 to N", param_hint="--shard")
    return int(match[1]), int(match[2])
