"""The main story of the studio in Firefox.

Playwright drives only a Firefox of its own or the newest, so this speaks WebDriver BiDi to the installed one.
"""

import asyncio
import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import CI, EXAMPLES, needs
from PIL import Image

from cinn_colorize.imaging.photo import recipe_at

aiohttp = needs("aiohttp")

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


class Page:
    """A page of Firefox, through a socket of WebDriver BiDi."""

    def __init__(self, socket):
        self._socket, self._number, self.problems = socket, 0, []

    async def send(self, method, **parameters):
        """Return the answer to a command; note what goes wrong in the page meanwhile."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while (answer := await self._socket.receive_json(timeout=60)).get("id") != self._number:
            if answer["params"].get("level") == "error":
                self.problems.append(answer["params"]["text"])
        assert answer["type"] == "success", answer
        return answer["result"]

    async def open(self, url):
        await self.send("session.new", capabilities={})
        await self.send("session.subscribe", events=["log.entryAdded"])
        self._page = (await self.send("browsingContext.create", type="tab"))["context"]
        await self.send("browsingContext.navigate", context=self._page, url=url, wait="complete")

    async def reload(self):
        await self.send("browsingContext.reload", context=self._page, wait="complete")

    async def value(self, script):
        script = f"JSON.stringify({script})"
        target = {"context": self._page}
        made = await self.send("script.evaluate", expression=script, target=target, awaitPromise=False)
        return json.loads(made["result"]["value"])

    async def wait(self, script):
        """Wait until a script returns what is true."""
        for _ in range(600):
            if await self.value(f"Boolean({script})"):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(script)

    async def there(self, selector, number=1):
        await self.wait(f"document.querySelectorAll({json.dumps(selector)}).length >= {number}")

    async def click(self, selector):
        """Click in the middle of an element."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        at = await self.value(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2].map(Math.round)")
        button = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        pointer = [{"type": "pointerMove", "x": at[0], "y": at[1]}, *button]
        await self._act(type="pointer", actions=pointer)

    async def press(self, key):
        await self._act(type="key", actions=[{"type": kind, "value": key} for kind in ("keyDown", "keyUp")])

    async def _act(self, **source):
        await self.send("input.performActions", context=self._page, actions=[source | {"id": source["type"]}])


async def story(socket, url, folder):
    page = Page(socket)
    await page.open(url)
    await page.there("#tiles .in-colour", 2)
    await page.click("#tiles li:nth-child(2) .open")
    await page.there("#samples img", 8)
    await page.press("4")
    await page.there("#samples button:nth-child(4)[aria-pressed=true]")
    await page.click("#tools label:nth-of-type(2)")
    await page.click("#sheet")
    await page.there("#hints button")
    await page.there("main[aria-busy=false]")
    await page.press("s")
    await page.wait("document.querySelector('#status').textContent.startsWith('saved')")
    (saved,) = folder.glob("1_*.png")
    recipe = recipe_at(saved, 10**6)
    assert recipe["seed"] == "3"
    assert "hint" in str(recipe)
    await page.reload()
    await page.there("#samples img", 8)
    await page.there("#samples button:nth-child(4)[aria-pressed=true]")
    await page.click("#tools label:nth-of-type(2)")
    await page.there("#hints button")
    await page.click("#back")
    await page.there("#tiles li:nth-child(2).is-saved")
    assert not page.problems


@pytest.mark.ci
def test_two_photos_in_firefox(serve, tmp_path):
    if not FIREFOX:
        (pytest.fail if CI else pytest.skip)("needs Firefox; apt-get install firefox-esr")
    folder = tmp_path / "album"
    folder.mkdir()
    with Image.open(EXAMPLES / "coffee.png") as photo:
        for k in range(2):
            photo.convert("L").crop((60 * k, 20, 60 * k + 240, 200)).save(folder / f"{k}.png")
    _, url = serve(folder, ".")
    options = ["--headless", "--no-remote", "--profile", tmp_path, "--remote-debugging-port", "0"]
    browser = subprocess.Popen([FIREFOX, *options], stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in browser.stderr if "BiDi listening" in line)

        async def run():
            place = re.search(r"ws://\S+", line)[0]
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(f"{place}/session", max_msg_size=0) as socket,
            ):
                await story(socket, url[0], folder)

        with ThreadPoolExecutor(1) as pool:  # in this thread, Playwright's loop may run
            pool.submit(asyncio.run, run()).result()
    finally:
        browser.kill()
        browser.communicate()
