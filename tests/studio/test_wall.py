"""The wall of photos in the studio, and albums: one mood for all, favourites, all saved; in a browser."""

import io
import re
import shutil

import numpy as np
import pytest
from helpers import EXAMPLES, names, process, wait_for
from PIL import Image


@pytest.fixture
def small(tmp_path):
    """A folder of four small photos."""
    (tmp_path / "album").mkdir()
    with Image.open(EXAMPLES / "coffee.png") as photo:
        for k in range(4):
            piece = photo.convert("L").crop((60 * k, 20, 60 * k + 240, 200))
            piece.save(tmp_path / "album" / f"{k}.png")
    return tmp_path / "album"


def test_a_wall_has_the_pictures_of_the_command_line(tab, photos, narrow_weights, tmp_path):
    tab.coloured()
    shown = [tab.pixels(f".open[title$='{name}'] .colour") for name in ("astronaut.png", "coffee.png")]
    process(photos / "given", "astronaut.png", "coffee.png", "-o", tmp_path, "--weights", narrow_weights)
    for pixels, path in zip(shown, sorted(tmp_path.glob("*.png")), strict=True):
        file = io.BytesIO()
        Image.open(path).convert("RGB").save(file, "JPEG", quality=90)  # as pages get it
        typical = np.asarray(Image.open(file), float)
        assert typical.std(2).max() > 10
        assert np.abs(pixels - typical).mean() < 0.5
    seeds = [path.stem[-3:] for path in sorted(tmp_path.glob("*.png"))]
    for name, seed in zip(("astronaut", "coffee"), seeds, strict=True):
        tab.page.locator(f"#wall .open[title*='{name}']").click()
        tab.is_open(name)
        tab.settle()
        assert f"seed {int(seed)}," in tab.details()
        chosen = tab.page.locator("#samples button[aria-pressed=true]")
        assert [button.text_content() for button in chosen.all()] == [f"{int(seed) + 1}"]
        tab.back()


def test_a_photo_opens_by_key_and_three_ways_lead_back(tab):
    tab.coloured()
    tab.page.locator("#wall .open").first.focus()
    tab.page.keyboard.press("ArrowRight")
    ways = {
        "key": lambda: tab.page.keyboard.press("Escape"),
        "button": lambda: tab.page.click("#back"),
        "history": tab.page.go_back,
    }
    for back in ways.values():
        tab.page.keyboard.press("Enter")
        tab.is_open("coffee")
        assert not tab.page.locator("#wall").is_visible()
        back()
        tab.page.locator("#wall").wait_for()
        assert "coffee" in tab.page.evaluate("document.activeElement.title")
    tab.page.go_forward()
    tab.is_open("coffee")
    tab.settle()


def test_save_is_in_sight_and_space_shows_the_gray_photo(new_tab):
    tab = new_tab(viewport={"width": 1280, "height": 400})
    tab.coloured()
    tab.page.evaluate("scrollTo(0, 1e4)")
    tab.enter("coffee")
    assert tab.page.evaluate("scrollY") == 0
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    box = tab.page.locator("#save").bounding_box()
    assert box["y"] + box["height"] <= 800
    shown = "getComputedStyle(document.querySelector('#before')).clipPath"
    half = tab.page.evaluate(shown)
    tab.page.locator("#sheet").focus()
    for expected in ("none", half):
        tab.page.keyboard.press("Space")
        assert tab.page.evaluate(shown) == expected
    text = tab.page.inner_text("#view") + tab.page.inner_text("#samples")
    assert not re.search(r"seed|log p|nats", text)


def test_favourites_are_shown_alone_and_kept(tab):
    tab.coloured()
    tab.page.locator("#wall .open").first.focus()
    tab.page.keyboard.press("f")
    tab.page.locator("#filter label", has_text="Favourites").click()
    shown = "tiles => tiles.filter((tile) => !tile.hidden).map((tile) => tile.firstChild.title)"
    assert [name[-13:] for name in tab.page.eval_on_selector_all("#tiles li", shown)] == ["astronaut.png"]
    tab.page.reload()
    tab.coloured()
    stars = "buttons => buttons.map((button) => button.ariaPressed)"
    assert tab.page.eval_on_selector_all("#tiles .star", stars) == ["true", "false"]


def test_a_joined_picture_is_given_back(serve, new_tab, small):
    tab = new_tab(serve(small, ".")[1][0])
    tab.enter("1.png")
    _, joined = tab.joined()
    tab.changing(lambda: tab.page.click("#next"))
    for _ in range(2):
        tab.page.click("#everywhere")
    tab.changing(lambda: tab.page.click("#previous"))
    wait_for(lambda: np.array_equal(tab.pixels(), joined), 60)
    assert "inside" in tab.details()


@pytest.mark.ci
def test_one_mood_for_all_is_saved_once_and_survives(serve, new_tab, small):
    """A new load of the page, another tab, and a new start of the studio."""
    server, url = serve(small, ".")
    tab = new_tab(url[0])
    tab.enter("2.png")
    tab.changing(lambda: tab.page.keyboard.press("4"))
    tab.changing(lambda: tab.page.locator("#saturation").fill("1.5"))
    tab.page.click("#everywhere")
    tab.changing(lambda: tab.page.click("#next"))
    assert "seed 3," in tab.details()
    tab.changing(lambda: tab.page.keyboard.press("6"))
    tab.page.reload()
    tab.is_open("3.png")
    tab.settle()
    assert "seed 5," in tab.details()
    assert tab.page.input_value("#saturation") == "1.5"
    tab.back()
    tab.page.click("#all")
    tab.page.locator("#status:has-text('4 saved')").wait_for()
    made = [f"{k}_00{5 if k == 3 else 3}.png" for k in range(4)]
    assert [name for name in names(small) if "_" in name] == made
    server.kill()
    server.communicate()
    serve(small, ".", port=url[1])
    tab.page.reload()
    tab.page.locator("#wall").wait_for()
    assert tab.saved() == [True] * 4
    tab.page.click("#all")
    tab.page.locator("#status:has-text('0 saved')").wait_for()
    assert len(names(small)) == 8


@pytest.mark.ci
def test_all_are_saved_though_the_studio_is_killed_meanwhile(serve, new_tab, small, narrow_weights, tmp_path):
    """No picture is saved twice, and all have the bytes that they would have had."""
    server, url = serve(small, ".")
    tab = new_tab(url[0])
    tab.coloured()
    tab.page.click("#all")
    wait_for(lambda: tab.page.wait_for_timeout(20) or len(names(small)) >= 5)
    server.kill()
    server.communicate()
    assert len(names(small)) < 8
    tab.page.locator("#error:has-text('start it again')").wait_for()
    serve(small, ".", port=url[1])
    tab.page.reload()
    tab.there(".is-saved", 4)
    found = [name for name in names(small) if "_" in name]
    assert [name[0] for name in found] == [*"0123"]
    for seed in {name[2:5] for name in found}:
        own = [name for name in found if name[2:5] == seed]
        options = ["--seed", int(seed), "--weights", narrow_weights]
        process(small, *(f"{name[0]}.png" for name in own), "-o", tmp_path / "again", *options)
        for name in own:
            assert (tmp_path / "again" / name).read_bytes() == (small / name).read_bytes()


@pytest.mark.ci
def test_what_is_stopped_goes_on_where_it_was(serve, new_tab, small):
    _, url = serve(small, ".")
    tab = new_tab(url[0])
    tab.page.click("#all")
    wait_for(lambda: tab.page.wait_for_timeout(20) or len(names(small)) >= 5)
    tab.page.click("#stop")
    tab.page.locator("#all").wait_for()
    assert len(names(small)) < 8
    tab.page.click("#all")
    tab.there(".is-saved", 4)
    assert len(names(small)) == 8


def test_photos_that_are_added_while_another_opens_are_seen(serve, new_tab, small, tmp_path):
    shutil.copy(small / "0.png", tmp_path)
    _, url = serve(tmp_path, "0.png")
    tab, asked = new_tab(url[0]), []
    tab.page.route("**/open", lambda route: asked.append(route))  # and not answered
    tab.page.reload()
    wait_for(lambda: tab.page.wait_for_timeout(50) or asked)
    tab.page.set_input_files("#file", [small / "1.png", small / "2.png"])
    tab.there("#tiles li", 3)
    asked[0].continue_()
    tab.coloured()
    assert tab.page.locator("#wall").is_visible()
    assert tab.page.text_content("#status") == ""


@pytest.mark.ci
def test_many_photos_that_are_opened_while_the_network_loads_are_all_there(serve, new_tab, small, tmp_path):
    many = []
    for k in range(54):
        many.append(tmp_path / f"{k}.jpg")
        with Image.open(small / f"{k % 4}.png") as photo:
            photo.resize((64 + k, 48)).save(many[-1])
    shutil.copy(small / "0.png", tmp_path)
    _, url = serve(tmp_path, "0.png")
    tab = new_tab(url[0])
    tab.page.set_input_files("#file", many)
    tab.there("#tiles li", 55)
    tab.there("#tiles li:first-child.in-colour", 1)
    last = tab.page.locator("#tiles li").last  # what is on screen comes first
    last.scroll_into_view_if_needed()
    tab.there("#tiles li:last-child.in-colour", 1)
    assert tab.page.eval_on_selector_all(".problem:not(:empty)", "all => all.length") == 0
