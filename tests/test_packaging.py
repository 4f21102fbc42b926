"""What is handed to others as a package."""

import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from helpers import ENVIRONMENT, ROOT


def build(target, source, folder):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, env=ENVIRONMENT, check=True, capture_output=True)
    (archive,) = folder.iterdir()
    return archive


@pytest.mark.ci
def test_the_wheel_is_built_from_a_source_distribution_that_pypi_takes(tmp_path):
    listed = subprocess.run(["git", "ls-files", "cinn_colorize"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone")
    archive = build("sdist", ROOT, tmp_path / "sdist")
    assert archive.stat().st_size < 80_000_000
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("cinn_colorize-*")
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= {
        path.name for path in source.iterdir()
    }
    with zipfile.ZipFile(build("wheel", source, tmp_path / "wheel")) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("cinn_colorize/")}
    weights = {f"cinn_colorize/_weights/{name}.safetensors" for name in ("bedrooms", "mnist", "natural")}
    assert packed == {*listed.stdout.splitlines()} | weights


def test_the_readme_of_a_package_has_no_relative_links():
    read = [sys.executable, "-m", "hatchling", "metadata", "readme"]
    text = subprocess.run(read, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert sum("/raw/main/docs/images/" in link for link in links) >= 5
    assert not [link for link in links if not link.startswith(("https://", "#"))]
