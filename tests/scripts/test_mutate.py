"""The faults that tests are tried with are still faults of this code, and one of them is tried."""

import subprocess
import sys

import pytest
from helpers import ENVIRONMENT, ROOT
from mutate import failure, faults

FAULTS = faults()


def test_there_are_forty_that_can_be_noticed():
    assert len([fault for fault in FAULTS if not fault.equal]) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_its_place_and_its_tests_are_there(fault):
    source = (ROOT / fault.file).read_text()
    changed = fault.put_into(source)
    assert changed != source
    if fault.file.endswith(".py"):
        compile(changed, fault.file, "exec")
    for test in fault.tests:
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_process_that_dies_has_noticed(tmp_path):
    (tmp_path / "test_it.py").write_text("import os\ndef test_dies(): os.kill(os.getpid(), 7)\n")
    assert failure(tmp_path, ["test_it.py"]) == "test_it.py: the process dies by signal 7"


@pytest.mark.ci
def test_a_fault_is_noticed():
    command = [sys.executable, "scripts/measure/mutate.py", "--only", "manifest forgets"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2:] == [
        "| a manifest forgets the settings | "
        "`tests/batch/test_manifest.py::test_what_was_made_in_another_way_is_not_done[change4]` |"
    ]
