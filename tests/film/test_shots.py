import itertools

import numpy as np
import pytest
from gray_worlds import texture, view

from cinn_colorize.errors import CinnError
from cinn_colorize.film.shots import Shot, find_shots, read_shots, write_shots
from cinn_colorize.methods.hints import Hint

LEVELS = 32, 16, 8


def shot(seed, frames=15, step=4):
    world = texture(seed)
    return [view(world, step * t) for t in range(frames)]


def ends(L):
    shots = list(find_shots(L))
    assert [s.start for s in shots] == [0, *(s.end for s in shots[:-1])]
    return [s.end for s in shots]


def mixed(one, other, share):
    return np.round((1 - share) * one.astype(float) + share * other.astype(float)).astype(np.uint8)


def test_cuts_separate_shots():
    assert ends(shot(0, 15) + shot(1, 6) + shot(2, 20)) == [15, 21, 41]


def test_a_film_without_cuts_is_one_shot():
    assert ends(shot(0, 30)) == [30]


def test_a_fast_pan_is_no_cut():
    world = texture(0, 1024)
    assert ends([view(world, 32 * t) for t in range(20)]) == [
        20
    ]  # half of the picture is new after four frames


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_films(frames):
    assert ends(shot(0, frames)) == [frames]


def test_no_frames():
    assert list(find_shots([])) == []


def test_a_cut_blurred_over_a_frame_is_one_cut():
    one, other = shot(0), shot(1)
    [first, last] = ends([*one, mixed(one[-1], other[0], 0.5), *other])
    assert first in (15, 16)
    assert last == 31


def test_a_few_frames_between_two_shots_are_none():
    assert ends(shot(0) + shot(2, 3) + shot(1)) == [15, 33]


@pytest.mark.parametrize("length", [8, 16, 30])
def test_a_dissolve_parts_shots_where_it_is(length):
    one, other = shot(0, 60, 1), shot(1, 60, 1)
    mixture = [mixed(one[30 + k], other[k], (k + 1) / (length + 1)) for k in range(length)]
    [first, last] = ends([*one[:30], *mixture, *other[length:]])
    assert 30 <= first <= 30 + length
    assert last == 90


def test_a_fade_through_black_parts_shots():
    dark = [np.clip(1 - k / 12, 0, 1) for k in range(16)]
    fade = [
        np.round(frame * share).astype(np.uint8) for frame, share in zip(shot(0, 16, 1), dark, strict=True)
    ]
    rise = [
        np.round(frame * share).astype(np.uint8)
        for frame, share in zip(shot(1, 16, 1), dark[::-1], strict=True)
    ]
    [first, last] = ends(shot(0, 40, 1)[::-1] + fade + rise + shot(1, 40, 1)[15:])
    assert 40 <= first <= 72
    assert last == 97


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("strange", [0, 255, "other"])
def test_flashes_and_short_interruptions_are_no_cuts(frames, strange):
    L = shot(0, 30)
    L[12 : 12 + frames] = shot(3, frames) if strange == "other" else [np.full_like(L[0], strange)] * frames
    assert ends(L) == [30]


def test_changing_light_is_no_cut():
    L = shot(0, 24)
    L[12] = np.clip(L[12] * 0.7 + 76, 0, 255).astype(np.uint8)
    L[13:] = [(frame * 0.6).astype(np.uint8) for frame in L[13:]]
    assert ends(L) == [24]


def test_a_cut_after_an_interruption_is_found():
    L = shot(0, 14) + shot(1)
    L[9:11] = [np.zeros_like(L[0])] * 2
    assert ends(L) == [14, 29]


def test_shots_are_told_soon_after_their_end():
    taken = 0

    def stream():
        nonlocal taken
        for frame in itertools.chain(shot(0), shot(1, 60, 1)):
            taken += 1
            yield frame

    first = next(find_shots(stream()))
    assert first.end == 15
    assert taken <= 15 + 30


SHOTS = [
    Shot(0, 120),
    Shot(120, 300, seed=7, temperature="0.7,8:0.9"),
    Shot(300, 301, gray=True),
    Shot(301, 400, frame=320, hints=(Hint(3, 4, (160, 40, 50)), Hint(30, 4, (0, 0, 255)))),
]


def test_a_table_reads_as_it_was_written(tmp_path):
    write_shots(tmp_path / "shots.tsv", SHOTS)
    assert read_shots(tmp_path / "shots.tsv", LEVELS) == SHOTS


def test_a_table_may_have_been_edited(tmp_path):
    path = tmp_path / "shots.tsv"
    path.write_bytes(
        "\ufeffseed\tstart\tend\thints\tframe\r\n 5 \t0\t120\r\n\r\n\t120\t130\t3,4,red\t125\r\n".encode()
    )
    red = Hint(3, 4, (255, 0, 0))
    assert read_shots(path, LEVELS) == [Shot(0, 120, 5), Shot(120, 130, frame=125, hints=(red,))]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a\t9", "start 'a' is not the number of a frame"),
        ("0\t", "end '' is not the number of a frame"),
        ("9\t9", "ends with frame 9, before it starts with 9"),
        ("5\t9", "starts with frame 5, but the one before it ends with 0"),
        ("0\t9\t-1", "'-1' is not a seed"),
        ("0\t9\t1\t7", "temperature"),
        ("0\t9\t1\t5:0.7", "5"),
        ("0\t9\t\t\t9\t1,2,red", "hints require the number of their frame, 0 to 8"),
        ("0\t9\t\t\t\t1,2,red", "hints require the number of their frame, 0 to 8"),
        ("0\t9\t\t\t4\t1,2", "'1,2' is not a hint"),
        ("0\t9\t\t\t\t\tyes", "'yes' in the column gray"),
        ("0\t9\t\t\t\t\t\t", "has 8 columns, the first line 7"),
    ],
)
def test_all_errors_are_told_with_their_lines(tmp_path, row, problem):
    path = tmp_path / "shots.tsv"
    path.write_text(f"start\tend\tseed\ttemperature\tframe\thints\tgray\n{row}\n0\tb\n")
    with pytest.raises(CinnError) as raised:
        read_shots(path, LEVELS)
    first, second = str(raised.value).rsplit("; ", 1)
    assert first.startswith(f"{path}: line 2: ")
    assert problem in first
    assert second == "line 3: end 'b' is not the number of a frame"


@pytest.mark.parametrize(
    "content", [b"", b"start,end\n0,9\n", b"start\tend\tsead\n", b"\xff\xfe\0", b"start\tend\n"]
)
def test_what_is_no_table_is_a_line(tmp_path, content):
    path = tmp_path / "shots.tsv"
    path.write_bytes(content)
    with pytest.raises(CinnError, match=r"^[^\n]*shots\.tsv: [^\n]+$"):
        read_shots(path, LEVELS)
    with pytest.raises(CinnError, match=r"missing\.tsv"):
        read_shots(tmp_path / "missing.tsv", LEVELS)
