"""Which photos the command line selects."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_colorize.batch.inputs import (
    Input,
    counts_by_suffix,
    find_inputs,
    is_linked_folder,
    read_list,
    shard,
)
from cinn_colorize.errors import PhotoError

NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=20)
FOLDERS = st.lists(NAMES, max_size=3).map(lambda parts: Path(*parts))
INPUTS = st.builds(Input, st.builds(Path, st.just("scans"), NAMES), FOLDERS)
ITEMS = st.one_of(INPUTS, st.builds(PhotoError, NAMES))


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A tree of files named like photos, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.jpg",
        "a.tif",
        "notes.txt",
        ".hidden.jpg",
        "box 1/c.PNG",
        "box 1/deep/d.webp",
        ".git/e.jpg",
    ):
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("scans")


def selected(*arguments, listed=(), output=Path("colorized"), **options):
    """Paths with the places of their results, or messages."""
    inputs = find_inputs(
        [Path(a) for a in arguments], [Path(p) for p in listed], output=Path(output), **options
    )
    return [
        str(item) if isinstance(item, PhotoError) else (item.path.as_posix(), item.below.as_posix())
        for item in inputs
    ]


def test_a_folder_is_the_photos_in_it(scans):
    assert selected("scans") == [("scans/a.tif", "."), ("scans/b.jpg", ".")]


def test_recursive_mirrors_the_tree(scans):
    tree = [
        ("scans/a.tif", "."),
        ("scans/b.jpg", "."),
        ("scans/box 1/c.PNG", "box 1"),
        ("scans/box 1/deep/d.webp", "box 1/deep"),
    ]
    assert selected("scans", recursive=True) == tree
    assert selected("scans", "scans/b.jpg", recursive=True) == tree


def test_several_trees_keep_apart(scans):
    (scans / "box 2").mkdir()
    (scans / "box 2/c.PNG").touch()
    boxes = [("scans/box 1/c.PNG", "box 1"), ("scans/box 1/deep/d.webp", "box 1/deep")]
    boxes.append(("scans/box 2/c.PNG", "box 2"))
    assert selected("scans/box 1", "scans/box 2", recursive=True) == boxes
    assert selected("scans/box*", recursive=True) == boxes


def test_patterns(scans):
    assert selected("scans/*.jpg") == [("scans/b.jpg", ".")]
    assert selected(Path("scans/**/*.[Pw]*").absolute()) == [
        ((scans.absolute() / name).as_posix(), ".") for name in ("box 1/c.PNG", "box 1/deep/d.webp")
    ]
    (line,) = selected("scans/*.gif")
    assert line == "scans/*.gif: no file matches this pattern"
    (scans / "x[1].jpg").touch()
    (scans / "x1.jpg").touch()
    assert selected("scans/x[1].jpg") == [("scans/x[1].jpg", ".")]  # a file with exactly this name


def test_photos_of_folders_are_told_from_those_named(scans):
    assert [item.named for item in find_inputs([Path("scans/b.jpg")], output=Path("o"))] == [True]
    for argument in ("scans", "scans/*.jpg"):
        assert not any(item.named for item in find_inputs([Path(argument)], output=Path("o")))
    for both in (["scans", "scans/b.jpg"], ["scans/b.jpg", "scans"]):
        named = {item.path.name: item.named for item in find_inputs([*map(Path, both)], output=Path("o"))}
        assert named == {"a.tif": False, "b.jpg": True}


def test_lists_keep_their_folders(scans):
    names = ["scans/box 1/c.PNG", "./scans/b.jpg", "../" + Path.cwd().name + "/scans/a.tif"]
    assert selected(listed=names) == [
        ("scans/box 1/c.PNG", "scans/box 1"),
        ("scans/b.jpg", "scans"),
        (names[2], f"{Path.cwd().name}/scans"),
    ]
    absolute = (scans / "b.jpg").absolute()
    assert selected(listed=[absolute]) == [(absolute.as_posix(), absolute.parent.as_posix()[1:])]


@pytest.mark.parametrize(
    ("content", "null"),
    [
        (b"a b.jpg\nc.jpg\n", False),
        (b"\xef\xbb\xbfa b.jpg\r\n\r\nc.jpg", False),
        (b"a b.jpg\0c.jpg\0", True),
        ("\ufeffa b.jpg\r\nc.jpg\r\n".encode("utf-16-le"), False),
        ("\ufeffa b.jpg\nc.jpg\n".encode("utf-16-be"), False),
    ],
)
def test_reading_lists(content, null):
    assert read_list(content, "list", null=null) == [Path("a b.jpg"), Path("c.jpg")]


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name)))
def test_lists_with_null_hold_any_names(names):
    content = b"".join(name + b"\0" for name in names)
    assert read_list(content, "list", null=True) == [Path(os.fsdecode(name)) for name in names]


def test_lists_of_lines_have_no_zero_bytes():
    with pytest.raises(PhotoError, match="add --null"):
        read_list(b"a.jpg\0b.jpg\0", "list", null=False)


def test_what_is_not_there(scans):
    (scans / "none").mkdir()
    assert selected("x.jpg") == ["x.jpg: no such file or folder"]
    assert selected("x" * 300) == [f"{'x' * 300}: no such file or folder"]
    assert selected(listed=["x" * 300]) == [f"{'x' * 300}: no such file or folder"]
    (line,) = selected("scans/none")
    assert line.startswith("scans/none: no photos in this folder")
    assert line.endswith("--recursive also searches its subfolders")


def test_the_output_folder_is_left_out(scans):
    (scans / "colorized").mkdir()
    (scans / "colorized/b_000.jpg").touch()
    assert len(selected("scans", recursive=True, output=scans / "colorized")) == 4
    assert len(selected("scans", recursive=True, output=scans / "box 1/../colorized")) == 4
    assert len(selected("scans/colorized", recursive=True, output=scans / "colorized")) == 1
    not_taken = []
    (scans / "linked").symlink_to("colorized")
    assert len(selected("scans", recursive=True, output=scans / "linked", not_taken=not_taken)) == 4
    assert not list(filter(is_linked_folder, not_taken))
    assert len(selected("scans/*", recursive=True, output=scans / "linked", not_taken=not_taken)) == 5
    assert not list(filter(is_linked_folder, not_taken))


@pytest.mark.parametrize("arguments", [["scans/[bc]o*"], ["scans/box 1", "scans/colorized"]])
def test_results_go_to_the_same_places_again(scans, arguments):
    before = selected(*arguments[:1], recursive=True, output=scans / "colorized")
    assert before == [("scans/box 1/c.PNG", "."), ("scans/box 1/deep/d.webp", "deep")]
    (scans / "colorized").mkdir()
    (scans / "colorized/c_000.png").touch()
    after = selected(*arguments, recursive=True, output=scans / "colorized")
    assert [item for item in after if "colorized" not in item[0]] == before


def test_patterns_follow_no_links_to_folders(scans, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/e.jpg").touch()
    (scans / "link").symlink_to(tmp_path / "elsewhere")
    not_taken = []
    found = find_inputs([Path("scans/*")], output=Path("o"), recursive=True, not_taken=not_taken)
    assert "e.jpg" not in [item.path.name for item in found]
    assert Path("scans/link") in not_taken


def test_loops_of_links_end(scans):
    (scans / "box 1" / "up").symlink_to("..")
    (scans / "here").symlink_to(".")
    (scans / "loop.jpg").symlink_to("loop.jpg")
    (scans / "lost.jpg").symlink_to("nowhere")
    (scans / "link.jpg").symlink_to("b.jpg")
    os.mkfifo(scans / "pipe.jpg")
    names = ["a.tif", "b.jpg", "link.jpg", "loop.jpg", "lost.jpg", "box 1/c.PNG", "box 1/deep/d.webp"]
    not_taken = []
    inputs = selected("scans", recursive=True, not_taken=not_taken)
    assert [path for path, _ in inputs] == [f"scans/{name}" for name in names]
    assert [path for path in not_taken if is_linked_folder(path)] == [
        Path("scans/here"),
        Path("scans/box 1/up"),
    ]
    assert counts_by_suffix(not_taken).endswith(", 2 linked folders, 1 pipe or device")
    assert len(selected("scans/**/*.tif")) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such rights")
def test_folders_that_cannot_be_listed(scans):
    (scans / "box 1").chmod(0)
    Path.cwd().chmod(0o755)
    euid = os.geteuid()
    try:
        if euid == 0:  # whom no file mode stops
            os.seteuid(65534)
        lines = selected("scans", recursive=True)
    finally:
        os.seteuid(euid)
        (scans / "box 1").chmod(0o755)
    assert lines[2:] == ["scans/box 1: cannot be listed (Permission denied)"]


@given(st.lists(ITEMS, max_size=30, unique_by=str), st.integers(1, 12), st.randoms())
def test_shards_share_all_photos(inputs, count, random):
    """Each photo is in exactly one share, in the order of the list, and in the same share for any order."""
    shares = [shard(inputs, index, count) for index in range(1, count + 1)]
    assert sorted(map(inputs.index, itertools.chain(*shares))) == list(range(len(inputs)))
    assert all(share == sorted(share, key=inputs.index) for share in shares)
    shuffled = random.sample(inputs, len(inputs))
    assert [set(shard(shuffled, k, count)) for k in range(1, count + 1)] == [set(share) for share in shares]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_are_alike(count):
    inputs = [Input(Path(f"{i}.jpg"), Path("box")) for i in range(1000)]
    assert min(len(shard(inputs, index, count)) for index in range(1, count + 1)) > 700 / count


def test_a_share_depends_on_the_results_alone():
    """A share depends neither on the other photos, nor on the mount point, nor on the suffix."""
    inputs = [Input(Path(f"/mnt/a/{i}.jpg"), Path("box")) for i in range(100)]
    elsewhere = [Input(Path(f"/data/{i}.png"), Path("box"), False) for i in range(100)]
    shares = [{item.path.stem for item in shard(items, 2, 3)} for items in (inputs, elsewhere, inputs[:50])]
    assert shares[0] == shares[1]
    assert shares[2] == {stem for stem in shares[0] if int(stem) < 50}


def test_other_files_of_folders_are_handed_over(scans):
    (scans / "scan").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + bytes(12))
    (scans / "README").write_text("BM and P5 begin formats, and texts.\n")
    (scans / "box 1" / "b.PDF").touch()
    os.mkfifo(scans / "fifo")
    not_taken = []
    assert ("scans/scan", ".") in selected("scans", not_taken=not_taken)
    assert sorted(path.name for path in not_taken) == ["README", "fifo", "notes.txt"]
    selected("scans", recursive=True, not_taken=not_taken)
    assert counts_by_suffix(not_taken) == "2 without suffix, 2 .txt, 1 .pdf, 2 pipes or devices"


def test_a_folder_without_photos_says_what_is_there(scans):
    (scans / "papers").mkdir()
    for name in ("a.pdf", "b.pdf", "c.doc"):
        (scans / "papers" / name).touch()
    (line,) = selected("scans/papers")
    assert line == (
        "scans/papers: no photos in this folder, but 2 .pdf, 1 .doc; --recursive also searches its subfolders"
    )
