"""Develops a camera raw from stdin; a program of its own, which imports nothing of this package.

LibRaw reads the formats of hundreds of cameras, writes to stderr what it finds damaged, and goes on. Here a
crafted file can neither end nor garble the process that has asked for the photo.

Usage: ``python develop.py MAX_PIXELS < RAW > PIXELS``. The first line of the output has height and width, or
only these if the photo has more pixels; then follow the pixels, RGB of 16 bits. What is wrong goes to stderr.
"""

import io
import sys

import rawpy


def main() -> None:
    """Develop in 16-bit sRGB, upright, with the camera's white balance."""
    try:
        with rawpy.imread(io.BytesIO(sys.stdin.buffer.read())) as raw:
            height, width = raw.sizes.height, raw.sizes.width
            if height * width <= int(sys.argv[1]):
                pixels = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=(2.4, 12.92))
                height, width = pixels.shape[:2]
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        reason = error.args[0] if error.args else error
        sys.exit(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason))
    sys.stdout.buffer.write(f"{height} {width}\n".encode())
    if height * width <= int(sys.argv[1]):
        sys.stdout.buffer.write(pixels.data)


if __name__ == "__main__":
    main()
