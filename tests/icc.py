"""ICC profiles made by hand."""

import struct


def tag(curve):
    kind, values = curve
    if kind == "para":
        return b"para\0\0\0\0" + struct.pack(">HH", values[0], 0) + fixed(values[1:])
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + struct.pack(f">{len(values)}H", *values)


def fixed(values):
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def profile(curve, model=b"RGB ", pcs=b"XYZ "):
    """A profile with one curve, and for RGB the D50 primaries of sRGB."""
    tags = {b"kTRC": tag(curve)}
    if model == b"RGB ":
        primaries = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
        tags = {c + b"TRC": tag(curve) for c in (b"r", b"g", b"b")}
        tags |= {
            c + b"XYZ": b"XYZ \0\0\0\0" + fixed(p) for c, p in zip((b"r", b"g", b"b"), primaries, strict=True)
        }
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = bytearray(128)
    header[16:20], header[20:24], header[36:40] = model, pcs, b"acsp"
    return bytes(header) + struct.pack(">I", len(tags)) + table + body
