"""Which tests notice which faults: python scripts/measure/mutate.py [--only WORD].

The faults of `faults.toml` are put into a copy of the repository, one at a time, and the tests that should
notice are run there. Prints a table of faults and the first test that failed of each; ends with 1 if one was
not noticed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAULTS = Path(__file__).with_name("faults.toml")
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
PASSED, SOME_FAILED, INTERRUPTED = 0, 1, 2  # of pytest, which a file that can't be imported interrupts


@dataclass(frozen=True)
class Fault:
    """A fault, and the tests that should notice it."""

    name: str
    file: str  # relative to the root
    text: str  # found once in the file
    replacement: str
    tests: list[str]  # what pytest is told to run
    equal: str = ""  # why nothing can notice it

    def put_into(self, source: str) -> str:
        """Return the file with the fault; ValueError unless the text is found there once."""
        if (count := source.count(self.text)) != 1:
            raise ValueError(f"{self.name}: {self.text!r} is found {count} times in {self.file}")
        return source.replace(self.text, self.replacement)


def faults() -> list[Fault]:
    return [Fault(**entry) for entry in tomllib.loads(FAULTS.read_text())["fault"]]


def copy_repository(folder: Path) -> Path:
    """Copy the files that git knows, with the data sets beside them."""
    root = folder / "repository"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in map(os.fsdecode, filter(None, listed.split(b"\0"))):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    return root


def failure(root: Path, tests: list[str]) -> str:
    """Return the first of the tests that fails, empty if none does; RuntimeError if they cannot be run."""
    command = [sys.executable, "-m", "pytest", "-m", "not slow", "-n0", "-x", "-q", "--tb=no"]
    # Compiled files are told by the second and by their size, which a fault may leave as they are.
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *tests], cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode == PASSED:
        return ""
    if done.returncode < 0:
        return f"{' '.join(tests)}: the process dies by signal {-done.returncode}"
    found = FAILED.search(done.stdout)
    if done.returncode not in (SOME_FAILED, INTERRUPTED) or not found:
        raise RuntimeError(f"{tests}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found.group(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="faults with this in their name")
    only = parser.parse_args().only
    chosen = [fault for fault in faults() if only in fault.name]
    if not chosen:
        parser.error(f"no fault has {only!r} in its name")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = copy_repository(Path(folder))
        if failed := failure(root, list(dict.fromkeys(test for fault in chosen for test in fault.tests))):
            raise SystemExit(f"without any fault, {failed} fails")
        print("| fault | noticed by |\n|---|---|", flush=True)
        for fault in chosen:
            path = root / fault.file
            source = path.read_text()
            path.write_text(fault.put_into(source))
            failed = failure(root, fault.tests)
            path.write_text(source)
            missed += not (failed or fault.equal)
            noticed = f"`{failed}`" if failed else f"nothing: {fault.equal}" if fault.equal else "**nothing**"
            print(f"| {fault.name} | {noticed} |", flush=True)
    raise SystemExit(missed > 0)


if __name__ == "__main__":
    main()
