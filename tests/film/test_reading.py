import os
import pickle
from fractions import Fraction

import numpy as np
import pytest
from helpers import needs

from cinn_colorize.errors import FilmError
from cinn_colorize.imaging import color
from cinn_colorize.imaging.options import Box
from cinn_colorize.methods.hints import Hint

av = needs("av")

import film.filmmaking as fm  # noqa: E402

from cinn_colorize.film.reading import FilmReader, find_box  # noqa: E402
from cinn_colorize.film.story import hints_at  # noqa: E402


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return {name: fm.make(folder / name, **given) for name, given in fm.FILMS.items()}


@pytest.mark.parametrize("name", fm.FILMS)
def test_frames_and_time_stamps_are_those_of_the_decoder(films, name):
    film = FilmReader(films[name])
    frames = list(film.frames())
    assert [frame.pts * film.facts.time_base for frame in frames] == fm.frame_times(films[name])
    assert len(frames) == fm.FILMS[name].get("number", 40)
    assert [frame.pts for frame in frames] == film.times


@pytest.mark.parametrize("name", fm.FILMS)
def test_frames_from_any_time_are_those_of_the_whole_film(films, name):
    film = FilmReader(films[name])
    frames = list(film.frames())
    for first in range(0, len(frames), 7):
        last = min(first + 3, len(frames) - 1)
        some = list(film.frames(frames[first].pts, frames[last].pts))
        assert [frame.pts for frame in some] == [frame.pts for frame in frames[first:last]]
        for one, same in zip(some, frames[first:last], strict=True):
            assert (one.luma == same.luma).all()
            assert (one.L == same.L).all()


@pytest.mark.parametrize("name", ["ffv1.mkv", "odd.mkv", "gray.mkv"])  # lossless
def test_luma_is_that_of_the_film(films, name):
    given = fm.FILMS[name]
    deep = given.get("pixels", "").endswith("10le")
    for t, frame in enumerate(FilmReader(films[name]).frames()):
        assert (frame.luma == fm.luma(t, given.get("size", fm.SIZE), deep)).all()


def test_lightness_is_that_of_a_photo_of_the_frame(films):
    for name, black, white in [("h264.mp4", 16, 235), ("full.mp4", 0, 255), ("prores.mov", 64, 940)]:
        frame = next(FilmReader(films[name]).frames())
        gray = np.clip((frame.luma.astype(float) - black) / (white - black), 0, 1)
        L = color.pixels_to_luminance(np.rint(gray * 65535).astype(np.uint16))
        assert abs(frame.L.mean() / 2.55 - L.mean()) < 0.2
        assert frame.L.shape == (256, 256)


def test_facts(films):
    def facts(name):
        return FilmReader(films[name]).facts

    first = facts("h264.mp4")
    assert first.size == fm.SIZE
    assert first.rate == 25
    assert first.seconds == pytest.approx(1.6)
    assert len(first.others) == 1
    assert facts("wide_pixels.mkv").aspect == Fraction(16, 15)
    assert facts("turned.mp4").turns == 1
    assert facts("full.mp4").coding.is_full
    assert facts("full.mp4").coding.matrix == 1
    assert facts("gray.mkv").coding.is_full
    assert facts("prores.mov").coding.bits == 10
    assert facts("prores.mov").cell == (1, 2)
    assert facts("odd.mkv").size == (145, 177)
    assert facts("variable.mp4").seconds > 2


def test_turned_film_is_seen_upright(films):
    upright, turned = (next(FilmReader(films[name]).frames()).L for name in ("h264.mp4", "turned.mp4"))
    assert np.abs(np.rot90(upright).astype(int) - turned).mean() < 1


def test_hints_lie_on_what_is_seen(films):
    film = FilmReader(films["turned.mp4"])
    (height, width), shown = fm.SIZE, next(film.frames()).L
    film.box = Box(11, 22, width, height)  # as it is stored
    assert str(film.picture) == f"22,0,{height},{width - 11}"
    (first, last) = hints_at(film, [Hint(22, 0, (0, 0, 0)), Hint(height - 1, width - 12, (0, 0, 0))])
    assert (first.x, first.y) == (0, 0)
    assert len(shown) - 3 <= min(last.x, last.y) <= max(last.x, last.y) < len(shown)
    for x, y in ((21, 0), (22, width - 11), (height, 0)):
        with pytest.raises(FilmError, match="lies outside its picture"):
            hints_at(film, [Hint(x, y, (0, 0, 0))])


@pytest.mark.skipif(os.name == "nt", reason="no colons in names")
def test_a_name_may_have_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fm.make(tmp_path / "Metropolis: 1927.mp4", number=3)
    assert len(FilmReader("Metropolis: 1927.mp4").times) == 3


def test_another_process_can_read_on(films):
    film = pickle.loads(pickle.dumps(FilmReader(films["h264.mp4"])))
    assert len(list(film.frames())) == 40


@pytest.mark.parametrize("pixels", ["bgr0", "yuv444p", "yuv420p"])
def test_colour_film_is_read_as_the_gray_of_its_lightness(tmp_path, pixels):
    # Colours that change slowly, so that 4:2:0 holds them.
    y, x = np.mgrid[0:128, 0:128] / 128
    rgb = np.stack([0.2 + 0.6 * x, 0.3 + 0.5 * y, 0.8 - 0.6 * x * y], -1)
    rgb = np.rint(rgb * 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=pixels, dst_colorspace=5, src_color_range=2, dst_color_range=1
    )
    path = fm.make(tmp_path / "a.mkv", "ffv1", pixels, number=1, size=(128, 128), frames=[frame])
    film = FilmReader(path)
    shown = next(film.frames())
    gray = np.clip((shown.luma.astype(float) - 16) / 219, 0, 1)
    L = color.srgb_to_lab(np.stack([gray] * 3, -1))[..., 0]
    away = np.abs(L - color.pixels_to_luminance(rgb))
    assert away.mean() < 0.4
    assert np.percentile(away, 99) < 1.2


@pytest.mark.parametrize("box", [(0, 20, 176, 124), (32, 0, 144, 144), (24, 16, 150, 130), (0, 0, 176, 144)])
def test_bars_are_found_once_for_the_film(tmp_path, box):
    left, top, right, bottom = box

    def frame(t):
        luma = np.full(fm.SIZE, 17, np.uint8)
        luma[top:bottom, left:right] = fm.luma(t)[top:bottom, left:right]
        return fm.gray_frame(luma if t else np.full_like(luma, 16), "yuv420p")  # black at first

    film = FilmReader(fm.make(tmp_path / "a.mp4", frames=(frame(t) for t in range(40))))
    assert np.abs(np.subtract(box, (film.box.left, film.box.top, film.box.right, film.box.bottom))).max() <= 1


def test_frame_that_stays_is_found_and_one_that_changes_is_none():
    def shown(t, frame):
        L = np.full((288, 352), frame, np.uint8)
        L[40:250, 50:300] = 50 + fm.luma(5 * t, (210, 250)) // 2
        return L

    box = find_box(shown(t, 200 + t) for t in range(4))
    assert np.abs(np.subtract((50, 40, 300, 250), (box.left, box.top, box.right, box.bottom))).max() <= 2
    box = find_box(shown(t, 200 + 9 * t) for t in range(4))
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 352, 288)


def test_dark_film_has_no_bars():
    box = find_box(np.full((100, 100), 8, np.uint8) for _ in range(3))
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 100, 100)


def cut(whole, share, path):
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def test_what_there_is_of_a_film_that_is_cut_off_is_read_and_said(tmp_path, caplog):
    whole = fm.make(tmp_path / "whole.mkv", "ffv1", number=100)
    film = FilmReader(cut(whole, 0.5, tmp_path / "cut.mkv"))
    assert 40 < len(list(film.frames())) < 60
    assert "cut.mkv: ends 2.1 seconds before its file says" in caplog.text


def test_damage_is_passed_over_and_said(films, tmp_path, caplog):
    content = bytearray(films["mpeg2.ts"].read_bytes())
    middle = len(content) // 2 // 188 * 188
    content[middle : middle + 188 * 6] = os.urandom(188 * 6)
    path = tmp_path / "damaged.ts"
    path.write_bytes(content)
    assert len(list(FilmReader(path).frames())) >= 30


BAD = {
    "missing.mp4": "no such file",
    "folder.mp4": "is a folder",
    "empty.mp4": "is empty",
    "pipe.mp4": "is no file",
    "text.mp4": "is no film",
    "cut.mp4": "is no film, or damaged, cut off",
    "sound.m4a": "has no video stream",
    "photo.png": "is a photo; use cinn-colorize colorize",
    "clear.mkv": "has transparency",
    "fields.ts": "is interlaced",
    "hdr.mp4": "is HDR (PQ)",
}


def make_bad(name, path, films):
    if name == "folder.mp4":
        path.mkdir()
    elif name == "empty.mp4":
        path.touch()
    elif name == "pipe.mp4":
        os.mkfifo(path)
    elif name == "text.mp4":
        path.write_text("no film\n" * 1000)
    elif name == "cut.mp4":
        cut(films["h264.mp4"], 0.5, path)
    elif name == "sound.m4a":
        with av.open(str(path), "w", format="mp4") as out:
            stream = out.add_stream("aac", rate=48000)
            for frame in fm.tone(stream.codec_context, 10):
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    elif name == "photo.png":
        av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)).to_image().save(path)
    elif name == "clear.mkv":
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 4), 100, np.uint8), format="rgba")
        frames = [frame.reformat(format="bgra")]
        fm.make(path, "ffv1", "bgra", number=1, size=(64, 64), frames=frames)
    elif name == "fields.ts":
        fm.make(path, "mpeg2video", options={"flags": "+ildct+ilme"})
    elif name == "hdr.mp4":
        options = {"x265-params": "log-level=none"}
        fm.make(path, "libx265", "yuv420p10le", tags=(1, 9, 9, 16), options=options)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_names_the_file(films, name, tmp_path):
    path = tmp_path / name
    make_bad(name, path, films)
    with pytest.raises(FilmError) as raised:
        FilmReader(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert BAD[name] in message
    assert "\n" not in message


def test_film_that_grows_is_refused(films, tmp_path):
    path = tmp_path / "a.ts"
    path.write_bytes(films["mpeg2.ts"].read_bytes())
    film = FilmReader(path)
    with path.open("ab") as file:
        file.write(b"\0" * 188)
    with pytest.raises(FilmError, match="changes while it is read"):
        list(film.frames())


def test_frames_of_another_size_are_refused(tmp_path):
    first, second = (
        fm.make(tmp_path / "a.ts", "mpeg2video"),
        fm.make(tmp_path / "b.ts", "mpeg2video", size=(96, 128)),
    )
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(FilmError, match="frames are 128x96 pixels from"):
        list(FilmReader(both).frames())
