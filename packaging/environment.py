"""Run before both programs: the browser that they open loads its own libraries, not those of this folder."""
# ruff: noqa: TID251

import os
import webbrowser

_open = webbrowser.open


def _open_outside(url: str, new: int = 0, autoraise: bool = True) -> bool:
    """Open a page with the environment that this program was started in; workers need the one it has now."""
    inside = dict(os.environ)
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)  # where PyInstaller keeps it
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before is not None:
        os.environ["LD_LIBRARY_PATH"] = before
    try:
        return _open(url, new, autoraise)
    finally:
        os.environ.update(inside)


webbrowser.open = _open_outside
