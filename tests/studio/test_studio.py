"""The studio itself: what it draws, saves and names, and the commands that do the same."""

import gc
import shlex
import sys
import weakref

import cv2
import numpy as np
import pytest
from helpers import COLOR, GRAY, names
from PIL import Image

from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods import things
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint
from cinn_colorize.models.registry import DEFAULT, MODELS
from cinn_colorize.request import SampleRequest, TransferRequest
from cinn_colorize.studio.library import Library
from cinn_colorize.studio.page_request import PageRequest


def test_a_command_names_the_guidance_that_the_studio_began_with(folder, new_studio):
    default = MODELS[DEFAULT].guidance
    for began, asked, said in (
        (default, None, None), (1.2, None, "1.2"), (1.2, default, None), (default, 0.8, "0.8"),
        (1.2, 0.0, "0.0"),
    ):  # fmt: skip
        library = Library([folder / "a.jpg"])
        wanted = PageRequest(photo=library.given()[0]["id"], guidance=asked)
        words = shlex.split(new_studio(library, guidance=began).command(wanted))
        named = words[words.index("--guidance") + 1] if "--guidance" in words else None
        assert named == said


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_strength_of_a_page_is_that_of_the_command_line(folder, strength):
    library = Library([folder / "a.jpg"])
    key = library.given()[0]["id"]
    wanted = PageRequest.parse({"photo": key, "reference": key, "strength": str(strength)})
    request = wanted.request(library)
    assert request == TransferRequest(reference=folder / "a.jpg", strength=strength, seed=0)
    words = shlex.split(wanted.command(library, MODELS[DEFAULT], []))
    assert float(words[words.index("--strength") + 1]) == strength


def test_a_sample_does_not_depend_on_what_was_drawn_before(folder, narrow_weights, new_studio):
    drawn = []
    for order in ((0, 5, 2), (2, 0)):
        library = Library([folder / "a.jpg"])
        studio = new_studio(library, weights=narrow_weights)
        (given,) = library.given()
        wanted = PageRequest(photo=given["id"])
        for seed in order:
            for hints in ("", "150,100,#3060c0"):
                made = studio.samples(
                    PageRequest.parse({"photo": wanted.photo, "seed": seed, "hints": hints})
                )
                drawn += [(seed, hints, made[0].ab.tobytes())]
        studio.samples(PageRequest.parse({"photo": wanted.photo, "hints": "150,100,#3060c0"}), 8)
    assert len({key[:2] for key in drawn}) == len(set(drawn)) == 6


def test_a_changed_file_is_opened_again(tmp_path, new_studio):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    library = Library([tmp_path / "a.png"])
    studio, wanted = new_studio(library), PageRequest(photo=library.given()[0]["id"])
    first = studio.samples(wanted)[0].ab
    Image.fromarray(np.rot90(GRAY)).save(tmp_path / "a.png")
    assert not np.array_equal(studio.samples(wanted)[0].ab, first)


def test_the_photo_seen_longest_ago_is_closed(tmp_path, monkeypatch, narrow_weights, new_studio):
    monkeypatch.setattr("cinn_colorize.studio.studio._OPEN", 2)
    for name in "abc":
        Image.fromarray(GRAY[:64, :80]).save(tmp_path / f"{name}.png")
    library, opened = Library(sorted(tmp_path.iterdir())), []
    studio = new_studio(library, weights=narrow_weights)
    for given in library.given():
        opened.append(weakref.ref(studio._opened(PageRequest(photo=given["id"])).photo))
    gc.collect()
    assert [photo() is None for photo in opened] == [True, False, False]


def test_the_picture_of_a_photo_that_was_sent_is_not_saved_beside_it(narrow_weights, new_studio):
    library = Library()
    sent = library.new("a.png")
    Image.fromarray(GRAY).save(sent.path)
    studio, wanted = new_studio(library, weights=narrow_weights), PageRequest(photo=library.add(sent).id)
    with pytest.raises(PhotoError, match=r"^a\.png: was sent by the page, so its pictures are downloads$"):
        studio.save(wanted)
    assert names(library.folder) == [sent.path.name]
    library.close()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such permissions")
def test_a_picture_is_no_more_readable_than_its_reference(tmp_path, narrow_weights, new_studio):
    for name, mode in (("a.jpg", 0o644), ("b.jpg", 0o600)):
        Image.fromarray(COLOR).save(tmp_path / name)
        (tmp_path / name).chmod(mode)
    library = Library([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    photo, reference = (given["id"] for given in library.given())
    wanted = PageRequest(photo=photo, reference=reference)
    (saved,) = new_studio(library, weights=narrow_weights).save(wanted)
    assert saved.stat().st_mode & 0o777 == 0o600


def test_nothing_is_replaced_and_one_picture_is_saved_once(tmp_path, new_studio):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg")
    (tmp_path / "a_000.jpg").write_text("precious")
    library = Library([tmp_path / "a.jpg"])
    studio, wanted = new_studio(library), PageRequest(photo=library.given()[0]["id"])
    assert not library.given()[0]["done"]
    for _ in range(2):
        (saved,) = studio.save(wanted)
        assert saved.name == "a_000_2.jpg"
    assert names(tmp_path) == ["a.jpg", "a_000.jpg", "a_000_2.jpg"]
    assert (tmp_path / "a_000.jpg").read_text() == "precious"
    assert library.given()[0]["done"]
    assert len(Library([tmp_path / "a.jpg", saved]).given()) == 1  # results are no photos to work on


def test_what_is_saved_beside_a_photo_is_no_more_readable_than_it(tmp_path, new_studio):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").chmod(0o600)
    library = Library([tmp_path / "a.jpg"])
    studio, key = new_studio(library), library.given()[0]["id"]
    reference = library.add(studio.keep(PageRequest(photo=key, seed=1)))
    saved = studio.save(PageRequest(photo=key, reference=reference.id))
    assert len(saved) == 2
    assert {path.stat().st_mode & 0o777 for path in saved} == {0o600}
    assert saved[1].read_bytes() == reference.path.read_bytes()


@pytest.mark.ci
def test_a_failure_among_the_members_of_an_ensemble_is_not_the_end_of_it(folder, narrow_weights, new_studio):
    library = Library([folder / "a.jpg"])
    studio = new_studio(library, weights=narrow_weights)
    wanted = PageRequest.parse({"photo": library.given()[0]["id"], "hints": "150,100,#3060c0"})
    expected = studio.samples(wanted)[0].ab
    opened = studio._opened(wanted)
    opened.samples.clear()
    opened.members, opened.coming = opened.members[:8], failing()
    with pytest.raises(MemoryError):
        studio.samples(wanted)
    np.testing.assert_array_equal(studio.samples(wanted)[0].ab, expected)
    library.close()


def failing():
    raise MemoryError("no memory left")
    yield


def test_commands_are_quoted_for_a_shell(tmp_path):
    names = ["-n.jpg", "@list.jpg", "it's; rm -rf.jpg", "a b.jpg"]
    for name in names:
        (tmp_path / name).touch()
    library = Library()
    for name in names:
        item = library.add(_written(library.new(name)))
        command = PageRequest(photo=item.id).command(library, MODELS[DEFAULT], ["--device", "cpu"])
        words = shlex.split(command)
        assert words[:2] == ["cinn-colorize", "colorize"]
        assert words[2].removeprefix("./") == name
        assert words[2][0] not in "-@"
        assert words[-2:] == ["--device", "cpu"]
    assert isinstance(PageRequest(photo=item.id).request(library), SampleRequest)


def test_a_photo_without_a_suffix_has_pictures_of_its_format(tmp_path, photo):
    (tmp_path / "scan").write_bytes(photo)
    library = Library([tmp_path / "scan"])
    sent = library.new("sent")
    sent.path.write_bytes(photo)
    for key, name in ((library.given()[0]["id"], "scan_003.jpg"), (library.add(sent).id, "sent_003.jpg")):
        assert PageRequest(photo=key).name(library, 3) == name
    library.close()


def _written(item):
    item.path.write_bytes(b"x")
    return item


def test_a_mask_is_saved_beside_its_picture_and_not_instead_of_another(tmp_path, narrow_weights, new_studio):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg")
    library, saved = Library([tmp_path / "a.jpg"]), []
    studio, photo = new_studio(library, weights=narrow_weights), library.given()[0]["id"]
    for columns in (100, 200, 100):
        mask = library.new("a_mask.png", made=True)
        Image.fromarray((np.arange(300) < columns) * np.full(GRAY.shape, 255, np.uint8)).save(mask.path)
        wanted = PageRequest(photo=photo, mask=library.add(mask).id, outside=1)
        saved.append([path.name for path in studio.save(wanted)])
    first, other = ["a_mix_000_001.jpg", "a_mask.png"], ["a_mix_000_001_2.jpg", "a_mask_2.png"]
    assert saved == [first, other, first]
    with Image.open(tmp_path / "a_mask.png") as mask:
        assert np.count_nonzero(mask) == 100 * GRAY.shape[0]


def test_the_outline_is_that_of_the_thing_which_a_hint_recolours(folder, narrow_weights, new_studio):
    """Of the first hint, and once all that tells things apart is drawn."""
    library = Library([folder / "a.jpg"])
    (given,) = library.given()
    studio = new_studio(library, weights=narrow_weights)
    for frame in ("none", "30,20,250,200"):
        hints = tuple(map(Hint.parse, ("120,100,#c02020", "200,150,#2040c0")))
        wanted = PageRequest(photo=given["id"], hints=hints, frame=frame)
        while studio.prepare(wanted) < things.MEMBERS:
            assert studio.outline(wanted)["lines"] == []
        photo = open_photo(folder / "a.jpg").framed(frame)
        box, drawn = photo.inside, things.drawn(studio._colorizer(wanted).condition(photo))
        (thing, _) = things.find(drawn, HintMap.of(photo, hints))
        assert studio.outline(wanted)["size"] == (photo.width, photo.height)  # it is small
        inside = np.zeros((photo.height, photo.width), np.uint8)
        cv2.fillPoly(inside, [np.array(line, np.int32) for line in studio.outline(wanted)["lines"]], 1)
        found = inside[box.top : box.bottom, box.left : box.right]
        assert inside.sum() == found.sum() > 20
        assert (found == (cv2.resize(thing, found.shape[::-1]) > 0.5)).mean() > 0.98
