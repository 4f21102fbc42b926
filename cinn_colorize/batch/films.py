"""Films: what there is of each, and the processes that share the work on it, shot by shot."""

import hashlib
import json
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain, pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import cv2

from cinn_colorize import __version__
from cinn_colorize.batch.dry_run import DryRun
from cinn_colorize.batch.plan import Event, Failure, Finished, Result, SamplesPlan, State
from cinn_colorize.batch.result_files import check_names, make_folder
from cinn_colorize.batch.workers import Sender, prepare, usable_cores
from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import (
    CinnError,
    FilmError,
    OriginalError,
    WeightsError,
    WorkerError,
    counted,
    printable_name,
)
from cinn_colorize.files.atomic import TemporaryFolder, mode_like, original_at, sha256, writing
from cinn_colorize.files.processes import CONTEXT, end_with_parent
from cinn_colorize.files.signals import blocked_in_children
from cinn_colorize.film.encoding import FORMATS, Target
from cinn_colorize.film.reading import FilmReader, open_film
from cinn_colorize.film.shots import Shot, read_shots, write_shots
from cinn_colorize.film.story import SURVEYED, Part, colorize_part, hints_at, sheet_row, survey, typical
from cinn_colorize.film.writing import FilmWriter, read_recipe
from cinn_colorize.imaging.options import FilmEncoding
from cinn_colorize.imaging.photo import recipe_at
from cinn_colorize.methods.base import sha256_of
from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet
from cinn_colorize.methods.recipe import differences
from cinn_colorize.models.registry import MODELS
from cinn_colorize.request import FilmRequest

log = logging.getLogger(__name__)

_ROWS = 100  # of a contact sheet
_TRIED = 41  # frames of a film, to know how long it takes


@dataclass(frozen=True, kw_only=True)
class FilmPlan(SamplesPlan):
    """What is made of films."""

    request: FilmRequest
    encoding: FilmEncoding = FilmEncoding()
    sheet: bool = False  # whether only the shots are told, in a table and a contact sheet

    def recipe(self, network: ModelSpec, film: Path) -> dict[str, str]:
        """Return what the recipes of all versions of a film say, beside their seeds."""
        request = self.request
        shots = request.shots and sha256_of(request.shots, FilmError)
        parts = {"from": request.start, "to": request.end, "shots": shots}
        return {
            "version": __version__,
            **self.shared(network),
            **{name: str(value) for name, value in parts.items() if value is not None},
            **self.encoding.entries(),
            "original": sha256(film),
            **({"picked": self.picked} if self.picks else {}),
        }


@dataclass(frozen=True)
class _Planned:
    film: FilmReader
    target: Target  # how its versions are encoded
    outputs: Mapping[int, Path]  # where these go, by their seeds
    recipe: Mapping[str, str]  # what the recipes of all of them say
    shots: Sequence[Shot]  # as a table tells them; empty for those that are found
    states: Mapping[int, State] = field(default_factory=dict)  # empty as long as their seed is not chosen


class Films:
    """Films colorized by one plan, one after the other, by ``workers`` processes; None for one per core."""

    things, resumes = "films", True

    def __init__(self, paths: Sequence[Path], plan: FilmPlan, spec: ModelSpec, workers: int | None) -> None:
        self.inputs, self.plan, self._spec = list(dict.fromkeys(paths)), plan, spec
        self.files, self.first = plan.method.kept, printable_name(paths[0])
        self.frames = 0  # of the films that are begun
        self.workers = workers or usable_cores()
        self._steps = _Steps(spec, self.workers)
        self._owners: dict[Path, Path] = {}

    @property
    def done(self) -> float:
        """Number of frames done."""
        return float(self._steps.count.value)

    def run(self) -> Generator[Event, None, None]:
        """Colorize all films; yield each result as soon as it is written, and the end of each film."""
        try:
            for path in self.inputs:
                written = 0
                try:
                    for result in self._told(path) if self.plan.sheet else self._results(path):
                        written += not result.existed
                        yield result
                except WeightsError:
                    raise
                except Exception as error:  # whatever it is, the other films follow
                    failure = Failure.of(path, error)
                    yield failure
                    if failure.ends:
                        return
                else:
                    yield Finished(path, written)
        finally:
            self._steps.end()

    def dry_run(self) -> DryRun:
        """Find out what a call would do; nothing is written but temporary files."""
        found = DryRun()
        with TemporaryFolder() as folder:
            try:
                for path in self.inputs:
                    try:
                        self._estimate(self._planned(path), folder, found)
                    except CinnError as error:
                        found.problems.append(str(error))
            finally:
                self._steps.end()
        return found

    def _estimate(self, planned: _Planned, folder: str, found: DryRun) -> None:
        """Colorize frames from the middle of a film, and take the others to be like them."""
        film, request, states = planned.film, self.plan.request, planned.states
        found.outputs += (outputs := [planned.outputs[k] for k in states if states[k] is State.MISSING])
        found.right += sum(state is State.RIGHT for state in states.values())
        numbers, versions = film.between(request.start, request.end), len(outputs) if states else self.files
        if not versions:
            return
        some = numbers[max(0, (len(numbers) - _TRIED) // 2) :][:_TRIED]
        for tried in (some[:1], some):  # what only the first frame takes is no part of the rate
            place = Path(mkdtemp(dir=folder))
            writers = {k: FilmWriter(place / str(k), film, planned.target, {}) for k in range(versions)}
            begun, shots = time.perf_counter(), [Shot(tried[0], tried[-1] + 1)]
            self._colorize(film, survey(film, shots=shots), writers, range(versions))
            seconds = time.perf_counter() - begun
        share = len(numbers) / len(some)
        found.seconds += share * seconds / (1 - SURVEYED) / self.workers
        found.size += share * sum(path.stat().st_size for path in place.glob("*/*.segment"))
        found.files, found.originals = found.files + versions, found.originals + 1
        found.measured.append(f"{len(some)} of the {counted(len(numbers), 'frame')} of {film.name}")

    def _planned(self, path: Path) -> _Planned:
        film, plan = open_film(path), self.plan
        target = Target.of(film, **vars(plan.encoding))
        outputs, recipe = self._outputs(film, target), plan.recipe(self._spec, path)
        planned = _Planned(film, target, outputs, recipe, self._shots(film))
        if not plan.picks:
            return replace(planned, states=self._states(planned, plan.seeds))
        kept = {}
        for seed in plan.seeds:
            found = read_recipe(outputs[seed])
            if found.get("picked") == plan.picked and not differences(found, _of_seed(recipe, seed)):
                kept[seed] = State.RIGHT
        return replace(planned, states=kept) if len(kept) == plan.method.kept else planned

    def _results(self, path: Path) -> Iterator[Result]:
        planned, plan, state = self._planned(path), self.plan, path.stat()
        film, outputs, recipe = planned.film, planned.outputs, planned.recipe
        about = {"size": state.st_size, "mtime": state.st_mtime, "temperature": plan.method.temperature}

        def result(seed: int, **more: bool) -> Result:
            return Result(input=path, output=outputs[seed], seed=seed, **about, **more)  # type: ignore[arg-type]

        states, parts, seeds = planned.states, list[Part](), list(plan.seeds)
        if not states or State.MISSING in states.values():
            make_folder(outputs[plan.method.seed].parent, plan.folder)
            parts, seeds = self._surveyed(film, outputs[plan.method.seed], recipe, planned.shots)
            states = states or self._states(planned, seeds)
        right = [seed for seed in states if states[seed] is State.RIGHT]
        yield from (result(seed, existed=True) for seed in right)
        missing = [seed for seed in states if states[seed] is State.MISSING]
        if not missing:
            return
        writers = {
            seeds.index(seed): FilmWriter(outputs[seed], film, planned.target, _of_seed(recipe, seed))
            for seed in missing
        }
        self._colorize(film, parts, writers, seeds)
        segments = [segment for part in parts for segment in part.segments]
        is_part = (plan.request.start, plan.request.end) != (None, None)
        for k, writer in writers.items():
            self._steps.result_of(self._steps.begin(writer.join, segments, is_part))
            yield result(seeds[k])
        _record(outputs[plan.method.seed]).unlink(missing_ok=True)

    def _told(self, path: Path) -> Iterator[Result]:
        """Write a table of the shots of a film, and a contact sheet."""
        film, plan = open_film(path), self.plan
        table = plan.folder / f"{path.stem}_shots.tsv"
        self._claim(film, [table])
        if plan.keeps(table):
            plan.leave(film.name, table, {})
            return
        make_folder(plan.folder, plan.folder)
        recipe = plan.recipe(self._spec, path)
        parts, (first, *_) = self._surveyed(film, table, recipe)
        starts = range(0, len(parts), _ROWS)
        sheets = [table.with_suffix(f".{k // _ROWS}.jpg" if len(starts) > 1 else ".jpg") for k in starts]
        about = {"version": __version__, "sheet": "true", "original": recipe["original"]}
        for sheet in sheets:  # a call that was stopped may have left some
            if plan.keeps(sheet) and recipe_at(sheet).get("original") != about["original"]:
                plan.leave(film.name, sheet, {})
                return
        rows = [self._steps.begin(sheet_row, film, part, plan.method, own=["colorizer"]) for part in parts]
        tiles = []
        for part, begun in zip(parts, rows, strict=True):
            tiles.append(self._steps.result_of(begun))
            self._steps.add((1 - SURVEYED) * len(part.times))
        for k, sheet in zip(starts, sheets, strict=True):
            shown = contact_sheet([*chain(*tiles[k : k + _ROWS])], len(tiles[0]))
            save_sheet(shown, sheet, about, mode=mode_like(path))
            yield Result(path, sheet, path.stat().st_size, path.stat().st_mtime)
        write_shots(table, [replace(part.shot, seed=first) for part in parts], mode_like(path))
        _record(table).unlink(missing_ok=True)
        yield Result(path, table, path.stat().st_size, path.stat().st_mtime)

    def _outputs(self, film: FilmReader, target: Target) -> dict[int, Path]:
        own = film.path.suffix.lower()
        fitting = [suffix for suffix, format in FORMATS.items() if format == target.format]
        outputs = self.plan.outputs(film.path, film.path.stem, own if own in fitting else fitting[0])
        self._claim(film, outputs.values())
        return outputs

    def _claim(self, film: FilmReader, outputs: Iterable[Path]) -> None:
        """Refuse names that results of another film have, or that are too long, before anything is done."""
        for output in outputs:
            check_names([_record(output)])
            owner = self._owners.setdefault(output, film.path)
            if owner != film.path:
                problem = f"its results would have the same names as those of {printable_name(owner)}"
                raise FilmError(f"{film.name}: {problem}; colorize it in a call with another -o")

    def _shots(self, film: FilmReader) -> list[Shot]:
        """Read the table of shots, if there is one; an error if it does not fit the film."""
        if not (table := self.plan.request.shots):
            return []
        shots, name = read_shots(table, MODELS[self._spec.model].levels), printable_name(table)
        if shots[-1].end != len(film.times):
            raise FilmError(f"{name}: ends with frame {shots[-1].end}, but {film.name} has {len(film.times)}")
        hints = [hint for shot in shots for hint in hints_at(film, shot.hints)]
        if hints and self.plan.method.rendering.white_balance:
            raise FilmError(f"{name}: hints exclude white balance; leave it out")
        return shots

    def _states(self, planned: _Planned, seeds: Iterable[int]) -> dict[int, State]:
        """Return which versions are there; see :meth:`SamplesPlan.leave`."""
        states = {}
        for seed in seeds:
            output = planned.outputs[seed]
            states[seed] = State.MISSING
            if not self.plan.keeps(output):
                if original := original_at(output):
                    problem = f"its result {printable_name(output)} would replace {printable_name(original)}"
                    advice = "one of the files given; choose another --output-dir"
                    raise OriginalError(f"{planned.film.name}: {problem}, {advice}")
                continue
            found = read_recipe(output)
            different = differences(found, _of_seed(planned.recipe, seed)) if found else {}
            states[seed] = State.RIGHT
            if not found or different:
                self.plan.leave(planned.film.name, output, different)
                states[seed] = State.OTHER
        return states

    def _surveyed(
        self, film: FilmReader, output: Path, recipe: Mapping[str, str], shots: Sequence[Shot] = ()
    ) -> tuple[list[Part], list[int]]:
        """Return the shots of a film and the seeds of its versions, as a call that was stopped found them."""
        request = self.plan.request
        self.frames += len(film.between(request.start, request.end))
        key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        try:
            found = json.loads(_record(output).read_text())[key]
            shots, seeds = shots or [Shot(*ends) for ends in pairwise(found["cuts"])], found["seeds"]
            parts = survey(film, request.start, request.end, shots, self._steps.add)
        except (OSError, ValueError, LookupError):
            begun = self._steps.begin(survey, film, request.start, request.end, shots, own=["count"])
            parts = self._steps.result_of(begun)
            seeds = list(self.plan.seeds)
            if self.plan.picks:
                begun = self._steps.begin(typical, film, parts, self.plan.method, own=["colorizer"])
                seeds = self._steps.result_of(begun)
            cuts = [*(part.shot.start for part in parts), parts[-1].shot.end]
            with writing(_record(output)) as file:
                file.write(json.dumps({key: {"seeds": seeds, "cuts": cuts}}).encode())
        return parts, seeds

    def _colorize(
        self, film: FilmReader, parts: Sequence[Part], writers: Mapping[int, FilmWriter], seeds: Sequence[int]
    ) -> None:
        for writer in writers.values():
            writer.prepare()
        own, given = ["colorizer", "count"], (writers, seeds, self.plan.method)
        begun = [self._steps.begin(colorize_part, film, part, *given, own=own) for part in parts]
        try:
            for future in as_completed(begun):
                self._steps.result_of(future)
        finally:
            for future in begun:
                future.cancel()


def _record(output: Path) -> Path:
    """Return the file that keeps what a survey has found until a result is there."""
    return output.with_name(f".{output.name}.survey")


def _of_seed(recipe: Mapping[str, str], seed: int) -> dict[str, str]:
    return {**recipe, "seed": str(seed)}


class _Steps:
    """Processes that take steps; they start when there is one."""

    def __init__(self, spec: ModelSpec, workers: int) -> None:
        self._spec, self._workers = spec, workers
        self.count = CONTEXT.Value("d", 0.0)
        self._pool: ProcessPoolExecutor | None = None
        self._told = set[str]()
        self.add = partial(_add, self.count)  # counts frames as done

    def begin(self, step: Callable[..., Any], *arguments: Any, own: Sequence[str] = ()) -> Future[Any]:
        """Let a process take a step as soon as one is free; ``own`` names what it adds."""
        if not self._pool:
            threads = max(1, usable_cores() // self._workers)
            given = self._spec, threads, self.count, logging.getLogger("cinn_colorize").level
            self._pool = ProcessPoolExecutor(self._workers, CONTEXT, _start, given)
        with blocked_in_children(signal.SIGINT):
            return self._pool.submit(_do, step, arguments, own)

    def result_of(self, future: Future[Any]) -> Any:
        """Return the result of a step, when it is taken, and repeat what it logged."""
        try:
            value, records = future.result()
        except BrokenProcessPool:
            self._pool = None
            advice = "if memory ran out, use fewer --workers; the same command continues"
            raise WorkerError(f"a process was killed; {advice}") from None
        for record in records:
            if (message := record.getMessage()) not in self._told:  # several steps read a film
                self._told.add(message)
                log.handle(record)
        return value

    def end(self) -> None:
        """End the processes, whatever they do."""
        for process in multiprocessing.active_children():
            process.kill()


_logged: list[logging.LogRecord] = []  # by the step that this process takes
_own: dict[str, Callable[[], Any]] = {}  # what this process adds to the arguments of a step


def _add(count: Any, frames: float) -> None:
    with count:
        count.value += frames


def _start(spec: ModelSpec, threads: int, count: Any, level: int) -> None:
    end_with_parent()
    prepare(spec, threads)
    cv2.setNumThreads(1)  # the motion that it finds depends on their number
    Sender(_logged.append).take_log(level)
    _owns(spec, count)


def _owns(spec: ModelSpec, count: Any) -> None:
    _own["colorizer"] = cache(lambda: BaseColorizer(*spec.load()))
    _own["count"] = lambda: partial(_add, count)


def _do(step: Callable[..., Any], arguments: Iterable[Any], own: Iterable[str]) -> tuple[Any, list[Any]]:
    _logged.clear()
    result = step(*arguments, **{name: _own[name]() for name in own})
    return result, [*_logged]
