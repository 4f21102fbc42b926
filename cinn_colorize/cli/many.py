"""Options of batches: the photos, this machine's share of them, and the processes that work on them."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from cinn_colorize.cli.common import BatchEngine, BatchModelOptions, recursive_option
from cinn_colorize.errors import DataError
from cinn_colorize.files.limits import read_lines, read_table
from cinn_colorize.files.messages import printable_name
from cinn_colorize.imaging.options import option

if TYPE_CHECKING:
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.plan import Plan
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.errors import PhotoError

STREAM = Path("-")
_MANIFEST = "Record results, one JSON object a line, and continue from that record."
_DRY_RUN = "Write nothing; print what would be written, and about how long and how large it is."
_ADDRESS = "Address of the cluster for --engine ray; default: one found or started on this machine."


@dataclass(frozen=True)
class BatchOptions:
    """Options that only a batch has."""

    panel: ClassVar[str] = "Many photos"

    recursive: bool = recursive_option("results go into the same tree")
    files_from: Path | None = option(
        None, "FILE|-", "Read a list of photos, one name a line; results keep their folders."
    )
    null: bool = option(False, None, "Names in lists end in zero bytes.", "-0 --null")
    manifest: Path | None = option(None, "FILE", _MANIFEST)
    shard: str | None = option(None, "I/N", "Colorize only share I of N.")
    workers: int | None = option(
        None, "N", "Number of photos colorized at a time.", min=1, show_default="cores"
    )
    dry_run: bool = option(False, None, _DRY_RUN)
    address: str | None = option(None, "HOST:PORT|auto|local", _ADDRESS, show_default=False)

    def check(self, photos: list[Path], engine: BatchEngine) -> None:
        """Refuse options that contradict each other."""
        self._check_address(engine)
        if not photos and not self.files_from:
            raise typer.BadParameter("no photos; name some, or give a list with --files-from")
        if self.null and not self.files_from and not any(map(_is_list, photos)):
            raise typer.BadParameter("--null requires a list; give one with --files-from or @FILE")
        if self.shard:
            _share(self.shard)

    @property
    def is_plain(self) -> bool:
        """Whether nothing asks for more than one photo or for records."""
        return not (self.files_from or self.manifest or self.shard or self.dry_run)

    def batch(
        self,
        inputs: list[Input | PhotoError],
        plan: Plan,
        network: BatchModelOptions,
        stack: contextlib.ExitStack,
    ) -> Batch:
        """Return the batch that does it; what must be closed afterwards goes onto the stack.

        Raises:
            WeightsError: the weights do not exist.
            DataError: the manifest cannot be used, or there is no cluster.
        """
        from cinn_colorize.batch.manifest import Manifest
        from cinn_colorize.batch.run import Batch

        spec, cluster = network.batch_spec(plan.method.encodes), None
        if network.engine is BatchEngine.ray:
            from cinn_colorize.batch.cluster import Cluster

            cluster = Cluster(self.address, self.workers)
        manifest = None
        if self.manifest and (not self.dry_run or self.manifest.exists()):
            seeds = plan.seeds[0], plan.seeds[-1]
            manifest = stack.enter_context(Manifest(self.manifest, plan.settings(spec), seeds))
        return Batch(inputs, plan, spec, self.workers, manifest, cluster)

    def inputs(self, photos: list[Path], output: Path, not_taken: list[Path]) -> list[Input | PhotoError]:
        """Return this machine's share of the photos, and the errors of names that lead to none.

        Args:
            photos: names of the command line, lists among them.
            output: folder of the results.
            not_taken: takes the files of folders that are not photos.

        Raises:
            PhotoError: the only photo does not exist.
            DataError: a list cannot be read.
        """
        from cinn_colorize.batch.inputs import find_inputs, shard

        found = checked(
            find_inputs(*self._names(photos), recursive=self.recursive, output=output, not_taken=not_taken)
        )
        return shard(found, *_share(self.shard)) if self.shard else found

    def _names(self, photos: list[Path]) -> tuple[list[Path], list[Path]]:
        """Return the names given one by one, and those in lists."""
        from cinn_colorize.batch.inputs import read_list

        named = [path for path in photos if not _is_list(path)]
        lists = [Path(str(path)[1:]) for path in photos if _is_list(path)]
        listed = []
        for path in lists + ([self.files_from] if self.files_from else []):
            name = "stdin" if path == STREAM else printable_name(path)
            try:
                content = read_lines(sys.stdin.buffer) if path == STREAM else read_table(path)
            except OSError as error:
                raise DataError(f"{name}: the list cannot be read ({error.strerror})") from error
            listed += read_list(content, name, null=self.null)
        return named, listed

    def _check_address(self, engine: BatchEngine) -> None:
        address, problem = self.address, ""
        if address is None:
            return
        if engine is not BatchEngine.ray:
            problem = "requires a Ray cluster; add --engine ray"
        elif "://" in address:
            problem = f"{address} is for Ray Client; run this on a machine of the cluster with --address auto"
        elif not re.fullmatch(r"auto|local|.+:\d+", address):
            problem = f"{address!r} is not HOST:PORT, auto or local"
        if problem:
            raise typer.BadParameter(problem, param_hint="--address")


def checked(inputs: list[Input | PhotoError]) -> list[Input | PhotoError]:
    """Return the inputs, unless the only one is an error: a mistyped name does not wait for torch.

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
