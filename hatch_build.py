"""Builds only: the README of a package, whose readers have no repository to look links up in."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?\[[^\]]*\]\()(?!https?://|#)([^)\s]+)\)")


class AbsoluteLinks(MetadataHookInterface):
    """Set the README, with links and pictures at the repository's URL instead of relative ones."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README to what is known of the project."""

        def absolute(link: re.Match[str]) -> str:
            kind = "raw" if link[1].startswith("!") else "blob"
            return f"{link[1]}{metadata['urls']['Homepage']}/{kind}/main/{link[2]})"

        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": _LINK.sub(absolute, text)}
