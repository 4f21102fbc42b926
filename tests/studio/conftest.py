"""A studio that runs, and pages of it in a real browser."""

import base64
import io
import re
import shlex
import shutil
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import EXAMPLES, GRAY, needs, start, wait_for
from PIL import Image

from cinn_colorize.imaging.options import MAX_PIXELS
from cinn_colorize.models.registry import DEFAULT, MODELS
from cinn_colorize.studio.studio import Studio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def loading():
    """What makes a studio on the CPU, of a library that is yet to be given."""

    def new(**options):
        guidance = MODELS[DEFAULT].guidance or 0.0
        network = {
            "model": DEFAULT,
            "weights": None,
            "device": "cpu",
            "precision": "fp32",
            "guidance": guidance,
        }
        return partial(Studio, **network | {"max_pixels": MAX_PIXELS} | options)

    return new


@pytest.fixture(scope="module")
def new_server():
    """A function that makes the server of a library; both end with the module."""
    from cinn_colorize.studio.server import Server

    made = []

    def new(library, *arguments):
        made.append((Server(library, *arguments), library))
        return made[-1][0]

    yield new
    for server, library in made:
        server._jobs.end()
        library.close()


@pytest.fixture(scope="session")
def new_studio(loading):
    """A function that makes the studio of a library."""
    return lambda library, **options: loading(**options)(library)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of one photo."""
    folder = tmp_path_factory.mktemp("given")
    Image.fromarray(GRAY).save(folder / "a.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def photo():
    """The bytes of a photo."""
    file = io.BytesIO()
    Image.fromarray(GRAY).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of gray photos, and others beside it that are not given to the studio."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "given").mkdir()
    for name in ("astronaut.png", "coffee.png", "photo.jpg"):
        with Image.open(EXAMPLES / name) as photo:
            small = photo.convert("RGB")
            small.thumbnail((400, 400))
        small.save(folder / f"color-{name}")
        small.convert("L").save(folder / name)
        if name != "photo.jpg":
            small.convert("L").save(folder / "given" / name)
    (folder / "notes.jpg").write_text("This is no photo.\n")
    return folder


@pytest.fixture(scope="session")
def studio(photos, narrow_weights):
    """The URL of a studio with the given photos, and weights that draw in an eighth of the time."""
    options = ["--port", "0", "--no-browser", "--weights", narrow_weights]
    process = start(photos, "studio", "given", *options, text=True)
    line = process.stderr.readline()
    for stream in (process.stdout, process.stderr):  # which would fill up
        threading.Thread(target=stream.read, daemon=True).start()
    yield re.search(r"http://\S+", line)[0]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.fixture
def serve(narrow_weights):
    """A function that starts a studio in a folder, for photos there; it returns the process and its URL."""
    running = []

    def begin(folder, *photos, port="0"):
        options = ["--no-browser", "--weights", narrow_weights, "--port", port]
        running.append(start(folder, "studio", *photos, *options, text=True))
        return running[-1], re.search(r"http://\S+?:(\d+)/", running[-1].stderr.readline())

    yield begin
    for server in running:
        server.kill()
        server.communicate()


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.skip("needs chromium; apt-get install chromium")
    driver = needs("playwright.sync_api")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser, studio):
    """A function that opens a page; nothing may go wrong in one, and nothing may come from elsewhere."""
    tabs = []

    def new(url=studio, **options):
        tabs.append(Tab(browser, url, **options))
        return tabs[-1]

    yield new
    for tab in tabs:
        tab.context.close()
    assert not [problem for tab in tabs for problem in tab.problems]


@pytest.fixture
def tab(new_tab):
    return new_tab()


class Tab:
    """A page of the studio, and what a person does with it."""

    def __init__(self, browser, url, **options):
        options = {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True} | options
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(60_000)
        self.page, self.problems = self.context.new_page(), []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._elsewhere)
        self._url = url
        self.page.goto(url)

    def _elsewhere(self, request):
        if not request.url.startswith((self._url, "data:", "blob:")):
            self.problems.append(request.url)

    def drop(self, path, selector="main"):
        """Drop a file on a part of the page."""
        self.page.locator("#tiles li").first.wait_for(state="attached")
        content = base64.b64encode(Path(path).read_bytes()).decode()
        transfer = self.page.evaluate_handle(
            "([name, content]) => { const transfer = new DataTransfer();"
            "const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt());"
            "transfer.items.add(new File([bytes], name)); return transfer; }",
            [Path(path).name, content],
        )
        self.page.dispatch_event(selector, "drop", {"dataTransfer": transfer})

    def settle(self):
        """Wait until eight samples are there, and nothing more is to come."""
        self.page.wait_for_timeout(100)
        self.page.locator("#samples img").nth(7).wait_for()
        self.page.locator("main[aria-busy=false]").wait_for()

    def open(self, path):
        """Drop a photo, and choose its first mood."""
        self.drop(path)
        self.is_open(Path(path).name)
        self.first()

    def enter(self, name):
        """Open a photo of the wall, and choose its first mood."""
        self.page.locator(f"#wall .open[title*='{name}']").click()
        self.is_open(name)
        self.first()

    def back(self):
        """Go back to the wall."""
        self.page.click("#back")
        self.page.locator("#wall").wait_for()

    def is_open(self, name):
        self.page.locator(f"#name:has-text('{name}')").wait_for()

    def first(self):
        self.settle()
        self.page.locator("#samples button").first.click()
        self.settle()

    def details(self):
        """What the page says of the large picture to those who ask."""
        return self.page.text_content("#caption")

    def says(self, text):
        """Wait until the details of the large picture have a text."""
        self.page.locator(f"#caption:has-text('{text}')").wait_for(state="attached")

    def saved(self):
        """Whether each photo of the wall has the sign that it is saved."""
        classes = "tiles => tiles.map((tile) => tile.classList.contains('is-saved'))"
        return self.page.eval_on_selector_all("#tiles li", classes)

    def there(self, selector, number, seconds=180):
        """Wait until a number of elements are there, visible or not."""

        def all_are():
            self.page.wait_for_timeout(100)
            return self.page.eval_on_selector_all(selector, "elements => elements.length") == number

        wait_for(all_are, seconds)

    def coloured(self):
        """Wait until all photos of the wall are in colour."""
        self.page.locator("#tiles li").first.wait_for(state="attached")
        self.there("#tiles li:not(.in-colour)", 0)

    def tool(self, name):
        self.page.locator("#tools label", has_text=name).click()

    def pixels(self, selector="#after"):
        """The pixels of a picture, as floats."""
        source = self.page.eval_on_selector(selector, "image => image.src")
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as picture:
            return np.asarray(picture.convert("RGB"), float)

    def point(self, x, y):
        """Where a place of the photo, from 0 to 1, is on the screen."""
        box = self.page.locator("#sheet").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def changing(self, act):
        """Do something that changes the large picture; return its pixels before and after."""
        source = "document.querySelector('#after').src"
        old, before = self.page.evaluate(source), self.pixels()
        act()
        wait_for(lambda: self.page.evaluate(source) != old, 60)
        self.settle()
        return before, self.pixels()

    def copied(self):
        """The words of the command that the page gives, without its name."""
        self.page.click("#copy")
        self.page.locator("#command").wait_for()
        return shlex.split(self.page.inner_text("#command"))[1:]

    def joined(self):
        """Paint the left part of the open photo for another sample."""
        self.tool("Join two")
        self.page.locator("#inside").select_option("3")
        self.page.locator("#brush").fill("25")

        def paint():
            self.page.mouse.move(*self.point(0.1, 0.05))
            self.page.mouse.down()
            for x, y in ((0.1, 0.95), (0.25, 0.95), (0.25, 0.05)):
                self.page.mouse.move(*self.point(x, y), steps=8)
            self.page.mouse.up()

        pair = self.changing(paint)
        assert "seed 3 inside, 0 outside" in self.details()
        return pair

    def download(self, folder, act):
        """Return the files that the page downloads, the picture before what it was made with."""
        got = []
        self.page.on("download", lambda file: got.append(file))
        act()
        wait_for(lambda: self.page.wait_for_timeout(100) or got)
        self.page.wait_for_timeout(300)
        for file in got:
            file.save_as(folder / file.suggested_filename)
        found = [file.suggested_filename for file in got]
        return [folder / name for name in sorted(found, key=lambda name: not re.search("_mix_|_like_", name))]
