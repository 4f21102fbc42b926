"""The description of the HTTP API, in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from cinn_colorize import __version__

OPTIONS = {  # of /colorize: type and description
    "name": ("string", "Name of the photo, after which the picture is named, if it is sent as the body."),
    "seed": ("integer", "Seed of the sample; by default, the most typical of 0 to 7."),
    "temperature": ("string", "Temperature, as --temperature takes it: 0.8, or by level, 32:0.6,16:0.7."),
    "frame": ("string", "Frame of a scan, which stays gray: auto (the default), none, or L,T,R,B in pixels."),
    "hints": ("string", "Colours wanted, each X,Y,#RRGGBB (with # as %23), separated by spaces."),
    "guidance": ("number", "Guidance, 0 to 2, with weights that can be guided."),
    "saturation": ("number", "Strength of the colours, 0 to 2; 1 by default."),
    "upsampling": ("string", "Upsampling of colours: jbu (the default), exact or bicubic."),
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"type": "string", "format": "binary", "description": "The photo, as a file."}
_LINE = {"content": {"text/plain": {"schema": {"type": "string"}}}}

OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "cinn-colorize",
        "version": __version__,
        "summary": "Many plausible colorizations of a gray photo",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "paths": {
        "/colorize": {
            "post": {
                "operationId": "colorize",
                "summary": "Colorize a photo; the picture has its size, depth, profile, metadata and format.",
                "parameters": [
                    {"name": name, "in": "query", "schema": {"type": kind}, "description": text}
                    for name, (kind, text) in OPTIONS.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "properties": {"photo": _FILE},
                                "required": ["photo"],
                            }
                        },
                        "application/octet-stream": _BINARY,
                        "image/*": _BINARY,
                    },
                },
                "responses": {
                    "200": {"description": "The picture, with its recipe.", "content": {"image/*": _BINARY}},
                    "403": {"description": "Another site, another host or no token.", **_LINE},
                    "413": {"description": "The photo is too large.", **_LINE},
                    "422": {
                        "description": "An option or the photo cannot be used; why, in one line.",
                        **_LINE,
                    },
                },
            }
        },
        "/healthz": {
            "get": {
                "operationId": "health",
                "summary": "Tell whether the network is loaded.",
                "responses": {"200": {"description": "It is."}, "503": {"description": "Not yet."}},
            }
        },
    },
}
