"""Files that several tests of commands read."""

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory, examples):
    """Small photos, readable and not."""
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(examples / "camera.png") as photo:
        gray = photo.convert("L").resize((96, 80))
    gray.save(folder / "gray.jpg")
    gray.save(folder / "train", format="png")
    (folder / "folder").mkdir()
    deep = gray.convert("I").point(lambda value: value * 257).convert("I;16")
    deep.save(folder / "folder" / "deep.png")
    (folder / "folder" / "notes.txt").write_text("no photo")
    with Image.open(examples / "coffee.png") as photo:
        photo.convert("RGB").resize((90, 60)).save(folder / "coffee.webp")
    (folder / "nothing").mkdir()
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes((folder / "gray.jpg").read_bytes()[:-1000])
    (folder / "text.jpg").write_text("This is no photo, whatever its name says.\n")
    return folder
