"""What is painted on the picture in the studio: hints, strokes and masks, in a real browser."""

import numpy as np
import pytest
from helpers import wait_for
from PIL import Image


def near(pixels, x, y, reach=0.04):
    """The pixels around a place of the photo, from 0 to 1."""
    height, width = pixels.shape[:2]
    rows = slice(int((y - reach) * height), int((y + reach) * height) + 1)
    return pixels[rows, int((x - reach) * width) : int((x + reach) * width) + 1]


def change(pair, x, y):
    """How much the picture has changed around a place."""
    before, after = (near(pixels, x, y) for pixels in pair)
    return np.abs(after - before).mean()


def test_a_hint_changes_the_picture_there_and_not_elsewhere(tab, photos):
    tab.open(photos / "astronaut.png")
    tab.tool("Paint hints")
    tab.page.locator("#color").fill("#1e6edc")
    place, far = (0.5, 0.8), (0.94, 0.92)  # the suit, and the model behind her
    pair = tab.changing(lambda: tab.page.mouse.click(*tab.point(*place)))
    assert tab.page.locator("#palette button").count() >= 1
    there = near(pair[1], *place).mean((0, 1))
    assert there[2] > there[0] + 10
    assert change(pair, *place) > 4 * change(pair, *far)
    thumbnails = tab.page.eval_on_selector_all("#samples img", "images => images.map(image => image.src)")
    _, undone = tab.changing(lambda: tab.page.keyboard.press("Control+z"))
    assert np.array_equal(undone, pair[0])
    assert tab.page.locator("#hints button").count() == 0
    others = tab.page.eval_on_selector_all("#samples img", "images => images.map(image => image.src)")
    assert not set(thumbnails) & set(others)


@pytest.mark.ci
def test_a_hint_has_a_colour_of_the_samples_until_one_is_chosen(tab, photos):
    tab.open(photos / "coffee.png")
    tab.tool("Paint hints")
    for x in (0.3, 0.7):
        tab.changing(lambda x=x: tab.page.mouse.click(*tab.point(x, 0.4)))
        frequent = tab.page.locator("#palette button").first.get_attribute("title")
        assert frequent.startswith(tab.page.input_value("#color"))
    tab.changing(lambda: tab.page.locator("#color").fill("#1e6edc"))
    tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.8)))
    assert [word.split(",")[2] for word in tab.copied() if ",#" in word][1:] == ["#1e6edc"] * 2


def test_a_hint_keeps_its_colour_through_a_double_click(tab, photos):
    tab.open(photos / "coffee.png")
    tab.tool("Paint hints")
    unchosen = tab.page.input_value("#color")
    tab.changing(lambda: tab.page.mouse.dblclick(*tab.point(0.3, 0.4)))
    (hint,) = [word for word in tab.copied() if ",#" in word]
    assert unchosen not in hint
    assert tab.page.locator("#palette button").first.get_attribute("title").startswith(hint.split(",")[2])


def test_a_hint_can_be_dragged_recoloured_and_removed(tab, photos):
    tab.open(photos / "coffee.png")
    tab.tool("Paint hints")
    plain, first = tab.changing(lambda: tab.page.mouse.click(*tab.point(0.3, 0.3)))

    def drag():
        tab.page.mouse.move(*tab.point(0.3, 0.3))
        tab.page.mouse.down()
        tab.page.mouse.move(*tab.point(0.6, 0.5), steps=3)
        tab.page.mouse.up()

    _, moved = tab.changing(drag)
    assert change((plain, moved), 0.6, 0.5) > change((plain, first), 0.6, 0.5)
    words = tab.copied()
    x, y, color = words[words.index("--hint") + 1].split(",")
    size = Image.open(photos / "coffee.png").size
    assert (int(x) / size[0], int(y) / size[1]) == pytest.approx((0.6, 0.5), abs=0.02)
    tab.changing(lambda: tab.page.locator("#palette button").first.click())
    assert color not in tab.copied()[words.index("--hint") + 1]
    tab.page.keyboard.press("Escape")
    _, removed = tab.changing(lambda: tab.page.click("#remove"))
    assert np.array_equal(removed, plain)


@pytest.mark.ci
def test_what_has_the_focus_never_loses_it_to_nothing(new_tab, photos):
    """Hints, and buttons that are of no use any more; all hints are large enough for a finger."""
    tab = new_tab(viewport={"width": 390, "height": 844})
    tab.open(photos / "coffee.png")
    tab.tool("Paint hints")
    for x in (0.3, 0.5, 0.7):
        tab.changing(lambda x=x: tab.page.mouse.click(*tab.point(x, 0.5)))
    sizes = tab.page.eval_on_selector_all("#hints > *", "nodes => nodes.map(node => node.offsetWidth)")
    assert min(sizes) >= 24
    label = "document.activeElement.ariaLabel ?? document.activeElement.id"
    tab.page.locator("#hints button").nth(1).focus()
    for left in (2, 1, 0):
        tab.changing(lambda: tab.page.keyboard.press("Delete"))
        assert tab.page.locator("#hints button").count() == left
        assert ("Hint" in tab.page.evaluate(label)) == (left > 0)
    assert tab.page.evaluate("document.activeElement.id") == "sheet"
    tab.page.locator("#undo").focus()
    while not tab.page.is_disabled("#undo"):
        tab.page.keyboard.press("Enter")
    tab.settle()
    assert tab.page.evaluate("document.activeElement.id") == "sheet"


@pytest.mark.ci
def test_a_stroke_is_many_hints(tab, photos):
    tab.open(photos / "coffee.png")
    tab.tool("Paint hints")
    tab.page.mouse.move(*tab.point(0.2, 0.8))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.point(0.8, 0.8), steps=30)
    tab.changing(tab.page.mouse.up)
    assert tab.page.locator("#hints > *").count() > 10
    assert tab.page.locator("#hints button").count() == 1  # to step through by Tab
    tab.page.click("#clear")
    assert tab.page.locator("#hints > *").count() == 0


def is_lost(tab):
    """Whether the page would lose something if it were left now, and has the browser ask."""
    return not tab.page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")


@pytest.mark.ci
def test_arrows_move_a_new_hint_and_do_not_leave_its_photo(new_tab):
    tab = new_tab()
    tab.enter("astronaut")
    name = tab.page.inner_text("#name")
    tab.tool("Paint hints")
    tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.5)))
    left = "document.activeElement.style.left"
    before = tab.page.evaluate(left)
    tab.changing(lambda: tab.page.keyboard.press("ArrowLeft"))
    assert float(tab.page.evaluate(left)[:-1]) < float(before[:-1])
    assert tab.page.inner_text("#name") == name


@pytest.mark.ci
def test_hints_and_masks_stay_with_their_photo_until_they_are_saved(tab, photos, tmp_path):
    tab.open(photos / "photo.jpg")
    assert not is_lost(tab)
    tab.tool("Paint hints")
    _, hinted = tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.5)))
    _, mixed = tab.joined()
    tab.open(photos / "coffee.png")
    assert tab.page.locator("#hints button").count() == 0
    assert tab.page.is_disabled("#undo")
    tab.changing(lambda: tab.page.click("#previous"))
    wait_for(lambda: np.array_equal(tab.pixels(), mixed), 60)
    assert "seed 3 inside, 0 outside" in tab.details()
    tab.download(tmp_path, lambda: tab.page.click("#save"))
    assert is_lost(tab)  # the hint, which a mix has not
    _, again = tab.changing(lambda: tab.tool("Paint hints"))
    assert np.array_equal(again, hinted)
    tab.download(tmp_path, lambda: tab.page.click("#save"))
    assert not is_lost(tab)
    tab.page.keyboard.press("Control+z")  # the mask
    tab.changing(lambda: tab.page.keyboard.press("Control+z"))
    assert tab.page.locator("#hints button").count() == 0
    assert not is_lost(tab)


def test_a_mask_joins_two_samples(tab, photos):
    tab.open(photos / "photo.jpg")
    pair = tab.joined()
    assert change(pair, 0.2, 0.3) > 2 * change(pair, 0.85, 0.3)
    _, plain = tab.changing(lambda: tab.page.click("#unmask"))
    assert np.array_equal(plain, pair[0])


@pytest.mark.ci
def test_hints_stay_when_the_frame_is_taken_with_the_photo(tab, photos):
    """Among them one in the frame, of which the page says so."""
    gray = np.asarray(Image.open(photos / "photo.jpg").convert("L"))
    Image.fromarray(np.pad(gray, 30, constant_values=250)).save(photos / "framed.png")
    tab.open(photos / "framed.png")
    assert tab.page.inner_text("#framed") == "(found)"
    assert "frame around 30,30," in tab.details()
    tab.tool("Paint hints")
    tab.page.locator("#color").fill("#c02020")
    tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.5)))
    tab.page.mouse.click(*tab.point(0.01, 0.01))
    tab.page.locator("#error").wait_for()
    assert "lies in the frame" in tab.page.inner_text("#error")
    tab.changing(lambda: tab.page.locator("#frame").uncheck())
    assert tab.page.locator("#hints button").count() == 2
    assert tab.page.locator("#error").is_hidden()
    assert tab.page.inner_text("#framed") == ""
    red, _, blue = near(tab.pixels(), 0.5, 0.5).mean((0, 1))
    assert red > blue + 10
    tab.changing(lambda: tab.page.keyboard.press("Control+z"))
    assert tab.page.locator("#hints button").count() == 1


@pytest.mark.ci
def test_hints_and_masks_are_made_by_keyboard(tab, photos):
    tab.open(photos / "photo.jpg")
    width, height = Image.open(photos / "photo.jpg").size
    tab.page.locator("#tools input").first.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.locator("#save").focus()
    tab.page.keyboard.press("Tab")
    assert "place a hint" in tab.page.evaluate("document.activeElement.ariaLabel")
    for key in ("Shift+ArrowLeft", "ArrowUp"):
        tab.page.keyboard.press(key)
    tab.changing(lambda: tab.page.keyboard.press("Enter"))
    x, y = width // 2 - width // 10, height // 2 - width // 100
    assert f"at {x}, {y}" in tab.page.evaluate("document.activeElement.ariaLabel")
    tab.page.keyboard.press("Escape")
    assert "place a hint" in tab.page.evaluate("document.activeElement.ariaLabel")
    tab.page.keyboard.press("Escape")
    assert tab.page.evaluate("document.activeElement.value") == "hint"
    tab.page.keyboard.press("ArrowRight")
    tab.settle()
    tab.page.locator("#sheet").focus()
    tab.changing(lambda: tab.page.keyboard.press("Space"))
    assert "inside" in tab.details()
    for _ in range(3):
        tab.page.keyboard.press("Shift+ArrowRight")
    pair = tab.changing(lambda: tab.page.keyboard.press("Space"))
    assert change(pair, 0.7, 0.5) > 2 * change(pair, 0.1, 0.1)


def outlined(tab):
    """The box around what is outlined on the picture, as shares of its width and height; None for nothing."""
    box = "path => { const { x, y, width, height } = path.getBBox(); return [x, y, width, height]; }"
    if tab.page.is_hidden("#thing"):
        return None
    size = tab.page.evaluate("document.querySelector('#thing svg').viewBox.baseVal.width")
    found = tab.page.eval_on_selector("#thing .under", box)
    return [value / size for value in found]


def pointed_at(tab, place):
    """What is outlined once the pointer has come to a place."""
    before = tab.page.get_attribute("#thing path", "d")
    tab.page.mouse.move(*tab.point(*place))
    wait_for(lambda: tab.page.get_attribute("#thing path", "d") != before and outlined(tab), 60)
    return tab.page.get_attribute("#thing path", "d")


def test_the_thing_under_the_pointer_is_outlined_before_a_click(tab, photos):
    tab.open(photos / "astronaut.png")
    tab.page.mouse.move(*tab.point(0.4, 0.8))
    assert outlined(tab) is None  # while one compares
    tab.tool("Paint hints")
    suit = pointed_at(tab, (0.5, 0.8))
    x, _, width, _ = outlined(tab)
    assert x < 0.5 < x + width
    assert pointed_at(tab, (0.05, 0.1)) != suit
    tab.page.mouse.move(0, 0)
    wait_for(lambda: outlined(tab) is None, 10)
    assert tab.page.is_disabled("#grow")


def test_what_is_outlined_grows_and_gets_the_colour_of_a_click(tab, photos):
    """By keys before the click, and by buttons after it; the command says how much."""
    tab.open(photos / "astronaut.png")
    tab.tool("Paint hints")
    tab.page.locator("#color").fill("#1e6edc")
    place = (0.5, 0.8)
    shapes = [pointed_at(tab, place)]
    for key in ("+", "-", "-"):
        tab.page.keyboard.press(key)
        wait_for(lambda: tab.page.get_attribute("#thing path", "d") != shapes[-1], 60)
        shapes.append(tab.page.get_attribute("#thing path", "d"))
    assert (shapes[0] == shapes[2], len(set(shapes))) == (True, 3)
    plain, small = tab.changing(lambda: tab.page.mouse.click(*tab.point(*place)))
    assert any(word.endswith("#1e6edc,0.5") for word in tab.copied())
    for _ in range(2):
        _, large = tab.changing(lambda: tab.page.click("#grow"))
    changed = [(np.abs(picture - plain).max(2) > 8).mean() for picture in (small, large)]
    assert changed[0] < changed[1]
    assert any(word.endswith("#1e6edc,2") for word in tab.copied())
    for _ in range(2):
        _, again = tab.changing(lambda: tab.page.keyboard.press("Control+z"))
    assert np.array_equal(again, small)
