import hashlib
import multiprocessing
import os
import resource
import signal
from fractions import Fraction

import numpy as np
import pytest
from helpers import longer, needs

from cinn_colorize.errors import CinnError, FilmError

av = needs("av")

import film.filmmaking as fm  # noqa: E402

from cinn_colorize.film.encoding import CODECS, Target  # noqa: E402
from cinn_colorize.film.planes import lightness  # noqa: E402
from cinn_colorize.film.reading import FilmReader  # noqa: E402
from cinn_colorize.film.writing import FilmWriter, read_recipe  # noqa: E402


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return {name: fm.make(folder / name, **given) for name, given in fm.FILMS.items()}


@pytest.fixture(scope="module")
def written(films, tmp_path_factory):
    """Films by their name, colorized in three segments with the default codec."""
    folder = tmp_path_factory.mktemp("written")
    return {name: fm.write(*fm.writer_for(path, folder)) for name, path in films.items()}


def write_until(moment, *places):
    """Write a film in a process of its own, which may be killed at a moment; return its exit code."""
    process = multiprocessing.get_context("spawn").Process(target=fm.write_until, args=(moment, *places))
    process.start()
    process.join()
    return process.exitcode


def same_times(ones, others, within):
    assert len(ones) == len(others)
    assert all(abs(one - other) <= within for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize("name", fm.FILMS)
def test_frames_time_stamps_and_sound_stay(films, written, name):
    source, path = films[name], written[name]
    # Matroska counts milliseconds.
    within = Fraction(1, 2000) if path.suffix == ".mkv" and source.suffix != ".mkv" else 0
    same_times(fm.frame_times(source), fm.frame_times(path), within)
    for before, after in zip(fm.packets(source, "audio"), fm.packets(path, "audio"), strict=True):
        same_times([one[0] for one in before], [one[0] for one in after], within)
        assert [one[1] for one in before] == [one[1] for one in after]
    assert (len(fm.packets(path, "audio")) == 1) == ("audio" in fm.FILMS[name])


@pytest.mark.parametrize("name", fm.FILMS)
def test_what_a_film_is_stays(films, written, name):
    before, after = FilmReader(films[name]).facts, FilmReader(written[name]).facts
    assert before.size == after.size
    assert before.aspect in (0, 1, after.aspect)
    assert before.matrix == after.matrix
    assert before.coding == after.coding
    assert before.tags == after.tags
    assert after.cell == ((1, 1) if name == "odd.mkv" else (2, 2))
    assert after.seconds == pytest.approx(before.seconds, abs=0.1)


def test_containers(written):
    suffixes = {name: path.suffix for name, path in written.items()}
    assert suffixes["h264.mp4"] == ".mp4"
    assert suffixes["prores.mov"] == ".mov"
    assert suffixes["mpeg2.ts"] == ".ts"
    assert suffixes["vp9.webm"] == suffixes["mpeg4.avi"] == ".mkv"


@pytest.mark.parametrize("codec", ["h264", *longer(*(codec for codec in CODECS if codec != "h264"))])
def test_codecs(films, tmp_path, codec):
    for name in ("h264.mp4", "hevc10.mp4", "full.mp4"):
        film, writer = fm.writer_for(films[name], tmp_path, codec)
        path = fm.write(film, writer)
        after = FilmReader(path)
        same_times(fm.frame_times(films[name]), fm.frame_times(path), Fraction(1, 2000))
        if codec != "prores":  # always limited, 10 bits
            assert after.facts.coding == film.facts.coding
        # L* of what was encoded, decoded again: colours are read as the gray that has it.
        for one, other in zip(film.frames(), after.frames(), strict=True):
            ours = lightness(film.facts.coding)[one.luma]
            theirs = lightness(after.facts.coding)[other.luma]
            assert np.abs(ours - theirs).mean() < 1.2
            assert np.abs(one.L.astype(int) - other.L).mean() < 2


@pytest.mark.parametrize("codec", ["h264", *longer(*(codec for codec in CODECS if codec != "h264"))])
def test_same_bytes_again(films, tmp_path, codec):
    digests = set()
    for k in range(2):
        np.full(10**6 * (k + 1), 7 * k, np.uint8)  # memory that was something else before
        film, writer = fm.writer_for(films["h264.mp4"], tmp_path, codec)
        digests.add(hashlib.sha256(fm.write(film, writer).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_unfinished_film_is_resumed_with_the_same_bytes(films, written, tmp_path):
    film, writer = fm.writer_for(films["h264.mp4"], tmp_path)
    writer.prepare()
    (start, end), *_ = fm.spans(film)
    with pytest.raises(RuntimeError), writer.segment(start, end):
        raise RuntimeError
    assert not writer.has(start, end)
    fm.write_segment(film, [fm.AB] * 14, writer, start, end)
    other = FilmWriter(writer.path, film, writer.target, {**fm.RECIPE, "seed": "3"})
    assert writer.has(start, end)
    assert not other.has(start, end)
    path = fm.write(film, writer)
    assert path.read_bytes() == written["h264.mp4"].read_bytes()
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.ci
def test_killed_film_is_resumed_with_the_same_bytes(films, tmp_path):
    """Killed inside a segment, before a segment has its name, before the film has it: 8 of 5 frames each."""
    source = films["variable.mp4"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    fm.write(*fm.writer_for(source, tmp_path / "whole"), parts=8)
    for moment, left in (3, [".part"]), (11, [".part", ".segment"]), (42, 8 * [".segment"]):
        assert write_until(moment, source, tmp_path / "killed") == -signal.SIGKILL
        assert sorted(path.suffix for path in tmp_path.glob("killed/.*.parts/*")) == left
    assert write_until(None, source, tmp_path / "killed") == 0
    (whole,), (killed,) = (list((tmp_path / name).iterdir()) for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


def test_segments_of_other_settings_are_removed(films, tmp_path):
    film, writer = fm.writer_for(films["h264.mp4"], tmp_path)
    writer.prepare()
    (start, end), *_ = fm.spans(film)
    fm.write_segment(film, [fm.AB] * 14, writer, start, end)
    FilmWriter(writer.path, film, Target.of(film, quality=10), fm.RECIPE).prepare()
    assert not writer.has(start, end)


def test_metadata_chapters_subtitles_and_recipe(tmp_path):
    chapters = [
        {"id": 1, "start": 0, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
        {"id": 2, "start": 800, "end": 1600, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
    ]
    metadata = {"title": "At the sea", "comment": "by uncle Karl"}
    for name in ("a.mp4", "a.mkv", "a.mov"):
        source = fm.make(tmp_path / name, metadata=metadata, chapters=chapters, audio="aac")
        film, writer = fm.writer_for(source, tmp_path)
        path = fm.write(film, writer)
        assert read_recipe(path) == fm.RECIPE
        assert read_recipe(source) == {}
        with av.open(str(path)) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
            assert found["title"] == "At the sea"
            assert found["comment"].startswith("by uncle Karl\n")
            assert [one["metadata"]["title"] for one in container.chapters()] == ["One", "Two"]


def add_subtitles(source, path):
    """Copy a film with a stream of subtitles in Matroska."""
    lines = path.with_suffix(".srt")
    lines.write_text(
        "1\n00:00:00,200 --> 00:00:00,900\nGood morning\n\n2\n00:00:01,000 --> 00:00:01,500\nBye\n"
    )
    with av.open(str(source)) as film, av.open(str(lines)) as text, av.open(str(path), "w") as out:
        streams = film.streams.video[0], text.streams.subtitles[0]
        copies = [out.add_stream_from_template(stream, opaque=True) for stream in streams]
        for copy in copies:
            copy.metadata["language"] = "ger"
        for copy, stream in zip(copies, streams, strict=True):
            for packet in stream.container.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    out.mux(packet)
    return path


def test_subtitles_stay(films, tmp_path):
    source = add_subtitles(films["h264.mp4"], tmp_path / "subtitled.mkv")
    film, writer = fm.writer_for(source, tmp_path)
    path = fm.write(film, writer)
    assert fm.packets(path, "subtitle") == fm.packets(source, "subtitle")
    assert len(fm.packets(path, "subtitle")[0]) == 2
    with av.open(str(path)) as container:
        assert [stream.language for stream in container.streams] == ["ger", "ger"]


def test_disk_that_is_full(films, tmp_path):
    film, writer = fm.writer_for(films["h264.mp4"], tmp_path)
    writer.prepare()
    (start, end), *_ = fm.spans(film, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(CinnError, match="cannot be written: File too large"):
            fm.write_segment(film, [fm.AB] * 40, writer, start, end)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not [*writer.folder.iterdir()]


def test_source_that_has_changed_gives_no_film(films, tmp_path):
    source = tmp_path / "a.ts"
    source.write_bytes(films["mpeg2.ts"].read_bytes())
    film, writer = fm.writer_for(source, tmp_path)
    writer.prepare()
    (start, end), *_ = fm.spans(film, 1)
    fm.write_segment(film, [fm.AB] * 40, writer, start, end)
    os.utime(source)
    with pytest.raises(FilmError, match="changes while it is read"):
        writer.join([(start, end)])
    assert not writer.path.exists()
    assert writer.has(start, end)


def test_part_of_a_film_has_its_sound(films, tmp_path):
    for name in ("h264.mp4", "ffv1.mkv"):
        film, writer = fm.writer_for(films[name], tmp_path)
        start, end = film.times[10], film.times[30]
        writer.prepare()
        fm.write_segment(film, [fm.AB] * 20, writer, start, end)
        writer.join([(start, end)], is_part=True)
        shift = start * film.facts.time_base
        assert fm.frame_times(writer.path) == [one - shift for one in fm.frame_times(films[name])[10:30]]
        (sound,), (whole,) = fm.packets(writer.path, "audio"), fm.packets(films[name], "audio")
        assert [one[1] for one in sound] == [one[1] for one in whole if 0.4 <= one[0] < 1.2]
        assert abs(sound[0][0] - min(one[0] - shift for one in whole if one[0] >= 0.4)) < 0.002
    writer.prepare()
    fm.write_segment(film, [fm.AB] * 10, writer, film.times[0], start)
    writer.join([(film.times[0], start)], is_part=True)
    assert len(fm.packets(writer.path, "audio")[0]) == sum(0 <= one[0] < 0.4 for one in whole)


def test_film_of_a_private_source_is_private(films, tmp_path):
    source = tmp_path / "a.mp4"
    source.write_bytes(films["h264.mp4"].read_bytes())
    source.chmod(0o600)
    film, writer = fm.writer_for(source, tmp_path)
    assert fm.write(film, writer).stat().st_mode & 0o77 == 0


def test_choices_that_cannot_be_kept(films):
    film = FilmReader(films["wide_pixels.mkv"])
    with pytest.raises(FilmError, match="pixels are not square"):
        Target.of(film, "ffv1")
    with pytest.raises(ValueError, match="codec must be one of h264"):
        Target.of(film, "theora")
    with pytest.raises(ValueError, match="quality must be 1 to 100"):
        Target.of(film, quality=0)


def test_quality(films, tmp_path):
    sizes = []
    for quality in (20, 65, 90):
        film = FilmReader(films["h264.mp4"])
        sizes.append(
            fm.write(film, FilmWriter(tmp_path / "a.mp4", film, Target.of(film, quality=quality), {}))
            .stat()
            .st_size
        )
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.6 * sizes[2]
