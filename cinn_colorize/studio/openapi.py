"""The description of the HTTP API, in OpenAPI 3.1: ``page/openapi.json`` with the options declared here."""

import json
from dataclasses import fields
from pathlib import Path
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
OPENAPI: dict[str, Any] = json.loads((Path(__file__).parent / "page" / "openapi.json").read_text("utf-8"))
OPENAPI["info"]["version"] = __version__
OPENAPI["paths"]["/colorize"]["post"]["parameters"] = [
    {"name": name, "in": "query", "schema": {"type": kind}, "description": text}
    for name, (kind, text) in OPTIONS.items()
]
