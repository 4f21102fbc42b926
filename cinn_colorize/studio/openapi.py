"""The description of the HTTP API, in OpenAPI 3.1."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from cinn_colorize import __version__
from cinn_colorize.imaging.options import Rendering
from cinn_colorize.request import SampleRequest, guidance_option
from cinn_colorize.studio.page_request import PageRequest

_TYPES = {float: "number", int: "integer"}
_NAME = "Name of the photo, after which the picture is named, if it is sent as the body."


def _described() -> dict[str, tuple[str, str]]:
    """Return type and description of each option of /colorize, as the command line declares them."""
    declared = {field.name: field for field in [*fields(SampleRequest), *fields(Rendering)]}
    declared |= {"hints": declared["hint"], "guidance": guidance_option()}
    described = {"name": ("string", _NAME)}
    for name, kind in (get_type_hints(PageRequest) | get_type_hints(Rendering)).items():
        option = declared[name].metadata if name in declared else {}
        if "help" in option:
            default = option.get("show_default") or declared[name].default
            text = f"{option['help']} Default: {default}." if default else option["help"]
            known = [_TYPES[each] for each in (kind, *get_args(kind)) if each in _TYPES]
            described[name] = (known or ["string"])[0], text
    return described


OPTIONS = _described()
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"type": "string", "format": "binary", "description": "The photo, as a file."}
_FORM = {"type": "object", "properties": {"photo": _FILE}, "required": ["photo"]}
_LINE = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_UNUSABLE = "An option or the photo cannot be used; why, in one line."

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
                        "multipart/form-data": {"schema": _FORM},
                        "application/octet-stream": _BINARY,
                        "image/*": _BINARY,
                    },
                },
                "responses": {
                    "200": {"description": "The picture, with its recipe.", "content": {"image/*": _BINARY}},
                    "403": {"description": "Another site, another host or no token.", **_LINE},
                    "413": {"description": "The photo is too large.", **_LINE},
                    "422": {"description": _UNUSABLE, **_LINE},
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
