"""What is handed to others as a package."""

import re
import subprocess
import sys
import tarfile

import pytest
from helpers import ENVIRONMENT, ROOT


def test_a_source_distribution_has_all_files_of_the_repository(tmp_path):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    assert {*listed.stdout.split("\0")} - {""} <= packed


def test_the_readme_of_a_package_has_no_relative_links():
    read = [sys.executable, "-m", "hatchling", "metadata", "readme"]
    text = subprocess.run(read, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert sum("/raw/main/docs/images/" in link for link in links) >= 5
    assert not [link for link in links if not link.startswith(("https://", "#"))]
