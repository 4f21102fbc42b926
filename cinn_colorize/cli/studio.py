"""``cinn-colorize studio``: the same model in the browser."""

import secrets
import socket
import threading
import time
import webbrowser
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from cinn_colorize.cli.common import (
    GeneralOptions,
    ModelOptions,
    PhotoOptions,
    argument,
    device_of,
    recursive_option,
)
from cinn_colorize.cli.console import print_path, say, show_log
from cinn_colorize.errors import CinnError, PhotoError
from cinn_colorize.files.formats import is_film
from cinn_colorize.files.processes import end_with_parent
from cinn_colorize.imaging.options import option
from cinn_colorize.request import words

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from cinn_colorize.studio.guard import Guard
    from cinn_colorize.studio.library import Item, Shelf
    from cinn_colorize.studio.studio import Studio

_ANY = ("0.0.0.0", "::")  # addresses of all networks
_HOST = "Address to listen at; any but this machine's own requires the token in the URL printed."
_OFTEN = 0.5  # seconds between two reports of progress
_NEEDED = ("starlette", "uvicorn", "python_multipart")


@dataclass(frozen=True, kw_only=True)
class StudioOptions:
    """Options of ``studio``."""

    panel: ClassVar[str] = "Server"

    host: str = option("127.0.0.1", "ADDRESS", _HOST)
    port: int = option(8123, "PORT", "Port; 0 for a free one.", min=0, max=65535)
    public: bool = option(False, None, "Let anyone in who reaches the address, without a token.")
    browser: bool = option(True, None, "Open the page in a browser.", "--browser/--no-browser")
    recursive: bool = recursive_option("results are saved beside their photos")
    reading: PhotoOptions
    network: ModelOptions
    general: GeneralOptions


def studio(
    photos: Annotated[
        list[Path] | None,
        argument("PHOTO", "Photos, films and folders to choose from; results are saved beside them."),
    ] = None,
    *,
    options: StudioOptions,
) -> None:
    """Colorize in the browser: look at samples, paint hints, save.

    The page is on this machine and needs no internet. Choose among samples, say which colours you know, join
    two samples by a mask or take the colours of another photo. What you save has the same recipe as
    on the command line. POST /colorize does the same for programs; /openapi.json describes it.

    Examples:
        cinn-colorize studio
        cinn-colorize studio scans --port 8000 --no-browser
    """
    if missing := [name for name in _NEEDED if not find_spec(name)]:
        raise typer.BadParameter(f"studio requires {missing[0]}; pip install 'cinn-colorize[studio]'")
    if options.public and photos:
        raise typer.BadParameter("anyone could save beside these photos; name none", param_hint="--public")
    guidance = options.network.chosen_guidance
    with options.general.reporting():
        from cinn_colorize.batch.inputs import find_inputs, is_photo
        from cinn_colorize.studio.library import Library
        from cinn_colorize.studio.server import Server

        has_films = bool(find_spec("av")) and not options.public
        inputs = find_inputs(
            photos or [],
            recursive=options.recursive,
            output=Path(),
            takes=lambda path: is_photo(path) or (has_films and is_film(path.suffix)),
        )
        if errors := [item for item in inputs if isinstance(item, PhotoError)]:
            raise errors[0]
        paths = [item.path for item in inputs if not isinstance(item, PhotoError)]
        if not has_films and any(is_film(path.suffix) for path in paths):
            raise CinnError("films require PyAV; pip install 'cinn-colorize[film]'")
        if options.network.device not in ("auto", "cpu"):
            device_of(options.network.device)  # otherwise torch is imported after the page is there
        options.network.spec()  # reports weights that cannot be used before a page is there
        listening = _listen(options.host, options.port)
        url, guard = _doors(options, listening)
        library = Library(paths, options.reading.limit)

        try:
            with listening:
                elsewhere = ", elsewhere with the name of this machine" if options.host in _ANY else ""
                say(f"open {url} in a browser{elsewhere}; Ctrl-C ends")
                if options.browser:
                    webbrowser.open(url)
                render = partial(_render, options) if has_films else None
                load = partial(_load, options, guidance)
                Server(library, load, print_path, render).run(listening, guard)
        finally:
            library.close()


def _load(options: StudioOptions, guidance: float, library: "Shelf") -> "Studio":
    from cinn_colorize.studio.studio import Studio

    show_log(options.general.quiet, options.general.verbose)
    network = vars(options.network) | {"guidance": guidance}
    return Studio(library, options.reading.limit, words(options.network, without=["guidance"]), **network)


def _render(options: StudioOptions, pipe: "Connection", share: Any, film: "Item", *asked: Any) -> None:
    """Colorize a film as ``cinn-colorize film`` does, and tell how far it is."""
    end_with_parent()
    from cinn_colorize.batch.films import FilmPlan, Films
    from cinn_colorize.batch.plan import Failure, Result
    from cinn_colorize.studio.shots import plan

    _, request, pattern = plan(film, [], *asked)
    method, folder = request.method(options.network.info), film.path.parent
    made = FilmPlan(request=request, method=method, folder=folder, pattern=pattern)
    films = Films([film.path], made, options.network.spec(), None)

    def watch() -> None:
        while True:
            time.sleep(_OFTEN)
            share.value = films.done / max(1, films.frames)

    threading.Thread(target=watch, daemon=True).start()
    for event in films.run():
        if isinstance(event, Failure):
            pipe.send({"error": event.message, "over": True})
        elif isinstance(event, Result):
            print_path(event.output)
            pipe.send({"path": event.output, "over": True})


def _doors(options: StudioOptions, listening: socket.socket) -> "tuple[str, Callable[[Any], Guard]]":
    """Return the URL of the page, and what lets in those who may see it."""
    from cinn_colorize.studio.guard import LOOPBACK, Guard

    address, port = listening.getsockname()[:2]
    is_local = address in LOOPBACK
    token = "" if is_local or options.public else secrets.token_urlsafe(16)
    host = f"[{options.host}]" if ":" in options.host else options.host
    host = "localhost" if is_local or options.host in _ANY else host
    guard = partial(
        Guard,
        max_pixels=options.reading.limit,
        hosts=LOOPBACK if is_local and not options.public else (),
        token=token,
        frames="'self' https://huggingface.co" if options.public else "'none'",
    )
    return f"http://{host}:{port}/" + (f"?token={token}" if token else ""), guard


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        problem = f"cannot listen on {host}:{port} ({reason}); choose another"
        raise typer.BadParameter(problem, param_hint="--host, --port") from error
