"""Films that tests make for themselves, and colorize with colours that are given."""

import itertools
import os
import signal
import sys
import time
from fractions import Fraction

import av
import numpy as np

from cinn_colorize.film.encoding import FORMATS, Target
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.render import Renderer
from cinn_colorize.film.writing import FilmWriter

SIZE = 144, 176
RECIPE = {"seed": "2", "model": "natural", "title": 'a "quoted" höhle\n'}
AB = np.random.default_rng(0).normal(0, 12, (2, 4, 4)).astype(np.float32).repeat(16, 1).repeat(16, 2)
# Name, and what make() is given: seven containers and codecs, and what else films can be.
FILMS = {
    "h264.mp4": {"codec": "libx264", "audio": "aac"},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le", "audio": "pcm_s16le"},
    "ffv1.mkv": {"codec": "ffv1", "pixels": "yuv420p10le", "audio": "libopus"},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "audio": "libopus",
        "options": {"deadline": "realtime", "cpu-used": "8"},
    },
    "mpeg4.avi": {"codec": "mpeg4", "audio": "libmp3lame"},
    "mpeg2.ts": {"codec": "mpeg2video", "audio": "mp2", "options": {"bf": "2"}},
    "hevc10.mp4": {
        "codec": "libx265",
        "pixels": "yuv420p10le",
        "audio": "aac",
        "options": {"x265-params": "log-level=none"},
    },
    "variable.mp4": {"codec": "libx264", "rate": None},
    "turned.mp4": {"codec": "libx264", "turn": 90},
    "wide_pixels.mkv": {"codec": "libx264", "aspect": Fraction(16, 15)},
    "odd.mkv": {"codec": "ffv1", "size": (145, 177)},
    "gray.mkv": {"codec": "ffv1", "pixels": "gray"},
    "full.mp4": {"codec": "libx264", "pixels": "yuvj420p", "tags": (2, 1, 1, 1)},
    "one_frame.mp4": {"codec": "libx264", "number": 1},
}


def luma(t, size=SIZE, deep=False):
    """Return luma (H, W) of frame ``t``: hills that move, 8 bits or 10."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    hills = (118 + 60 * np.sin((x + 3 * t) / 17) + 40 * np.cos((y - 2 * t) / 23)).astype(np.uint16)
    return hills * 4 if deep else hills.astype(np.uint8)


def times(number, rate=25):
    """Return time stamps in 1/12800 seconds, at random steps for a rate of None."""
    if rate:
        return [k * 12800 // rate for k in range(number)]
    return np.cumsum(np.random.default_rng(1).integers(100, 3000, number)).tolist()


def write_planes(frame, planes):
    """Copy planes to a frame."""
    for plane, values in zip(frame.planes, planes, strict=True):
        np.frombuffer(plane, values.dtype).reshape(plane.height, -1)[:, : plane.width] = values


def gray_frame(luma, pixels):
    """Return a frame of a luma and neutral chroma."""
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pixels)
    neutral = 128 * (4 if luma.dtype == np.uint16 else 1)
    sizes = [(plane.height, plane.width) for plane in frame.planes[1:]]
    write_planes(frame, [luma, *(np.full(size, neutral, luma.dtype) for size in sizes)])
    return frame


def make(
    path,
    codec="libx264",
    pixels="yuv420p",
    number=40,
    size=SIZE,
    rate=25,
    audio=None,
    options=None,
    turn=0,
    aspect=None,
    tags=None,
    frames=None,
    metadata=None,
    chapters=(),
):
    """Write a film; ``frames`` are PyAV's, otherwise gray ones of :func:`luma`."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate or 12, options=options or {})
        context = stream.codec_context
        context.height, context.width, context.pix_fmt = *size, pixels
        context.time_base = stream.time_base = Fraction(1, 12800)
        context.gop_size = 12
        if codec in ("mpeg4", "mpeg2video"):
            context.time_base = stream.time_base = Fraction(1, 25)
        if aspect:
            context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        if tags:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        sound = out.add_stream(audio, rate=48000) if audio else None
        if sound:
            sound.codec_context.layout = "stereo"
        out.metadata.update(metadata or {})
        if chapters:
            out.set_chapters(chapters)
        deep = pixels.endswith("10le")
        frames = frames or (gray_frame(luma(t, size, deep), pixels) for t in range(number))
        for pts, frame in zip(times(number, rate), frames, strict=True):
            frame.pts, frame.time_base = pts, Fraction(1, 12800)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound:
            for frame in tone(sound.codec_context, number):
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
    return path


def tone(context, number):
    """Yield the sound of a film of 25 frames a second."""
    step = context.frame_size or 1024
    for start in range(0, 1920 * number, step):
        wave = np.sin(np.arange(start, start + step) / 20) / 3
        kind = context.format.name
        scale, dtype = {"s16": (2**15, np.int16), "s32": (2**31, np.int32)}.get(kind[:3], (1, np.float32))
        samples = np.stack([wave * scale] * 2).astype(dtype)
        if not kind.endswith("p"):
            samples = samples.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=kind, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield frame


def packets(path, kind):
    """Return times in seconds and contents of the packets of streams of a kind, one list a stream."""
    with av.open(str(path)) as container:
        found = {stream.index: [] for stream in container.streams if stream.type == kind}
        for one in container.demux():
            if one.pts is not None and one.stream.index in found:
                found[one.stream.index].append((one.pts * one.time_base, bytes(one)))
    return list(found.values())


def frame_times(path):
    """Return times in seconds of the frames of a film, as a decoder gives them."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def spans(film, parts=3):
    """Time stamps where segments start and end."""
    starts = film.times[:: -(-len(film.times) // parts)]
    return list(zip(starts, [*starts[1:], None], strict=True))


def writer_for(source, folder, codec="h264"):
    film = FilmReader(source)
    target = Target.of(film, codec)
    suffix = source.suffix if FORMATS.get(source.suffix) == target.format else ".mkv"
    return film, FilmWriter(folder / f"{source.stem}_{codec}{suffix}", film, target, RECIPE)


def write(film, writer, parts=3, ab=AB):
    writer.prepare()
    for start, end in spans(film, parts):
        number = sum(start <= one and (end is None or one < end) for one in film.times)
        write_segment(film, [ab] * number, writer, start, end)
    writer.join(spans(film, parts))
    return writer.path


def write_until(moment, source, folder):
    """Write a film; the process is killed at a moment: as colours are asked for, or a file gets its name."""
    moments = itertools.count()

    def pass_one():
        if next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda event, _: event == "os.rename" and pass_one())
    film, writer = writer_for(source, folder)
    writer.prepare()
    for start, end in spans(film, 8):
        write_segment(film, (pass_one() or AB for _ in film.frames(start, end)), writer, start, end)
    writer.join(spans(film, 8))


def write_segment(film, colours, writer, start, end):
    """Encode a segment of a film, unless it is finished."""
    if writer.has(start, end):
        return
    facts = film.facts
    renderer = Renderer(facts.coding, facts.size, film.box, writer.target.cell, facts.turns)
    with writer.segment(start, end) as write:
        for frame, ab in zip(film.frames(start, end), colours, strict=True):
            write(frame.pts, renderer.render(frame.luma, frame.L, ab))


def render_slowly(pipe, share, film, wanted, rows):
    """In place of what renders films for the studio."""
    share.value = 0.5
    if rows:
        pipe.send({"error": "what went wrong", "over": True})
    else:
        time.sleep(60)
