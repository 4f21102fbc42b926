"""The page of the studio, in a real browser."""

import re
import shlex
import shutil

import numpy as np
import pytest
from helpers import names, process, start, the_line, wait_for
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


def download(tab, folder, act):
    """Return the files that the page downloads, the picture before what it was made with."""
    got = []
    tab.page.on("download", lambda file: got.append(file))
    act()
    wait_for(lambda: tab.page.wait_for_timeout(100) or got)
    tab.page.wait_for_timeout(300)
    for file in got:
        file.save_as(folder / file.suggested_filename)
    found = [file.suggested_filename for file in got]
    return [folder / name for name in sorted(found, key=lambda name: not re.search("_mix_|_like_", name))]


def copied(tab):
    """The words of the command that the page gives, without its name."""
    tab.page.click("#copy")
    tab.page.locator("#command").wait_for()
    return shlex.split(tab.page.inner_text("#command"))[1:]


def asked(tab):
    """Those of what was asked for on the page; the weights of the studio follow."""
    words = copied(tab)
    return words[: words.index("--weights")]


def test_a_photo_dropped_shows_eight_samples_of_it(tab, photos):
    tab.open(photos / "photo.jpg")
    sources = tab.page.eval_on_selector_all("#samples img", "images => images.map(image => image.src)")
    assert len(set(sources)) == 8
    assert "seed 0, log p" in tab.page.inner_text("#caption")
    assert tab.pixels("#before").std(2).max() < 1
    assert tab.pixels().std(2).max() > 10
    assert abs(tab.pixels().mean() - tab.pixels("#before").mean()) < 10


def test_a_number_chooses_a_sample_and_more_draws_others(tab, photos):
    tab.open(photos / "photo.jpg")
    one, four = tab.changing(lambda: tab.page.keyboard.press("4"))
    assert "seed 3," in tab.page.inner_text("#caption")
    assert np.abs(one - four).mean() > 1
    tab.changing(lambda: tab.page.click("#more"))
    assert "8 · seed 15" in tab.page.inner_text("#samples")
    _, again = tab.changing(lambda: (tab.page.click("#earlier"), tab.settle(), tab.page.keyboard.press("4")))
    assert np.array_equal(four, again)


def test_the_slider_shows_as_much_of_the_photo_as_it_says(tab, photos):
    tab.open(photos / "photo.jpg")
    shown = "getComputedStyle(document.querySelector('#before')).clipPath"
    assert "100%" in tab.page.evaluate(shown)
    tab.page.locator("#split").fill("40")
    assert "60%" in tab.page.evaluate(shown)


def test_one_to_one_has_all_pixels(tab, photos, tmp_path):
    with Image.open(photos / "photo.jpg") as photo:
        photo.resize((2000, 1125)).save(tmp_path / "wide.jpg")
    tab.open(tmp_path / "wide.jpg")
    fitted, whole = tab.changing(lambda: tab.page.click("#zoom"))
    assert (fitted.shape, whole.shape) == ((900, 1600, 3), (1125, 2000, 3))
    assert tab.page.locator("#sheet").bounding_box()["width"] == 2000


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
    words = copied(tab)
    x, y, color = words[words.index("--hint") + 1].split(",")
    size = Image.open(photos / "coffee.png").size
    assert (int(x) / size[0], int(y) / size[1]) == pytest.approx((0.6, 0.5), abs=0.02)
    tab.changing(lambda: tab.page.locator("#palette button").first.click())
    assert color not in copied(tab)[words.index("--hint") + 1]
    tab.page.keyboard.press("Escape")
    _, removed = tab.changing(lambda: tab.page.click("#remove"))
    assert np.array_equal(removed, plain)


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


def test_arrows_move_a_new_hint_and_do_not_leave_its_photo(new_tab):
    tab = new_tab()
    tab.settle()
    name = tab.page.locator("#photos option:checked").inner_text()
    tab.tool("Paint hints")
    tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.5)))
    left = "document.activeElement.style.left"
    before = tab.page.evaluate(left)
    tab.changing(lambda: tab.page.keyboard.press("ArrowLeft"))
    assert float(tab.page.evaluate(left)[:-1]) < float(before[:-1])
    assert tab.page.locator("#photos option:checked").inner_text() == name


def test_hints_and_masks_stay_with_their_photo_until_they_are_saved(tab, photos, tmp_path):
    tab.open(photos / "photo.jpg")
    assert not is_lost(tab)
    tab.tool("Paint hints")
    _, hinted = tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.5)))
    _, mixed = joined(tab)
    tab.open(photos / "coffee.png")
    assert tab.page.locator("#hints button").count() == 0
    assert tab.page.is_disabled("#undo")
    tab.changing(lambda: tab.page.select_option("#photos", label="photo.jpg"))
    wait_for(lambda: np.array_equal(tab.pixels(), mixed), 60)
    assert "seed 3 inside, 0 outside" in tab.page.inner_text("#caption")
    download(tab, tmp_path, lambda: tab.page.click("#save"))
    assert is_lost(tab)  # the hint, which a mix has not
    _, again = tab.changing(lambda: tab.tool("Paint hints"))
    assert np.array_equal(again, hinted)
    download(tab, tmp_path, lambda: tab.page.click("#save"))
    assert not is_lost(tab)
    tab.page.keyboard.press("Control+z")  # the mask
    tab.changing(lambda: tab.page.keyboard.press("Control+z"))
    assert tab.page.locator("#hints button").count() == 0
    assert not is_lost(tab)


def joined(tab):
    """Paint the left part of the open photo for another sample."""
    tab.tool("Join two")
    tab.page.locator("#inside").select_option("3")
    tab.page.locator("#brush").fill("25")

    def paint():
        tab.page.mouse.move(*tab.point(0.1, 0.05))
        tab.page.mouse.down()
        for x, y in ((0.1, 0.95), (0.25, 0.95), (0.25, 0.05)):
            tab.page.mouse.move(*tab.point(x, y), steps=8)
        tab.page.mouse.up()

    pair = tab.changing(paint)
    assert "seed 3 inside, 0 outside" in tab.page.inner_text("#caption")
    return pair


def test_a_mask_joins_two_samples(tab, photos):
    tab.open(photos / "photo.jpg")
    pair = joined(tab)
    assert change(pair, 0.2, 0.3) > 2 * change(pair, 0.85, 0.3)
    _, plain = tab.changing(lambda: tab.page.click("#unmask"))
    assert np.array_equal(plain, pair[0])


def test_another_photo_gives_its_colours(tab, photos):
    tab.open(photos / "photo.jpg")
    plain, like = tab.changing(lambda: tab.drop(photos / "color-coffee.png", "#other"))
    assert np.abs(like - plain).mean() > 5
    assert "transfer" in copied(tab)
    tab.changing(lambda: tab.page.locator("#mood").uncheck())
    assert asked(tab)[-2:] == ["--strength", "0.6"]
    tab.tool("Paint hints")
    tab.page.click("#reference", position={"x": 5, "y": 5})
    corner = Image.open(photos / "color-coffee.png").getpixel((3, 3))
    picked = bytes.fromhex(tab.page.input_value("#color")[1:])
    assert np.abs(np.subtract(tuple(picked), corner)).max() < 40


def test_more_like_this_draws_from_the_picture(tab, photos, narrow_weights, tmp_path):
    tab.open(photos / "photo.jpg")
    tab.changing(lambda: tab.page.click("#like"))
    assert copied(tab)[:2] == ["transfer", "photo_000.jpg"]
    picture, reference = download(tab, tmp_path, lambda: tab.page.click("#save"))
    originals = [photos / "photo.jpg", reference]
    made = process(tmp_path, "recreate", picture, *originals, "-o", "again.jpg", "--weights", narrow_weights)
    assert "the same bytes" in made.stderr


def test_more_like_this_has_the_saturation_of_the_page_once(tab, photos):
    tab.open(photos / "photo.jpg")
    chroma = []
    for saturation in ("1.5", "0.5"):
        tab.changing(lambda saturation=saturation: tab.page.locator("#saturation").fill(saturation))
        tab.changing(lambda: tab.page.click("#like"))
        chroma.append(tab.pixels().astype(int).std(2).mean())
        assert tab.page.inner_text("#heat") == tab.page.input_value("#temperature") == "0.5"
        tab.changing(lambda: tab.page.click("#reset"))
    assert chroma[0] / chroma[1] == pytest.approx(3, abs=1.5)


def test_hints_stay_when_the_frame_is_taken_with_the_photo(tab, photos):
    """Among them one in the frame, of which the page says so."""
    gray = np.asarray(Image.open(photos / "photo.jpg").convert("L"))
    Image.fromarray(np.pad(gray, 30, constant_values=250)).save(photos / "framed.png")
    tab.open(photos / "framed.png")
    assert "(found: " in tab.page.inner_text("#framed")
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


def test_temperature_and_frame(tab, photos):
    tab.open(photos / "photo.jpg")
    first, hot = tab.changing(lambda: tab.page.locator("#temperature").fill("1.4"))
    assert np.abs(hot - first).mean() > 1
    assert asked(tab)[-2:] == ["-t", "1.4"]
    tab.page.locator("summary").click()
    tab.changing(lambda: tab.page.locator("#levels input[name='8']").fill("0"))
    assert asked(tab)[-1].endswith(",8:0.0")
    tab.changing(lambda: tab.page.locator("#guidance").fill("0.8"))
    assert asked(tab)[-2:] == ["--guidance", "0.8"]
    tab.changing(lambda: tab.page.locator("#saturation").fill("1.5"))
    assert "--saturation 1.5" in " ".join(asked(tab))
    _, reset = tab.changing(lambda: tab.page.click("#reset"))
    assert np.array_equal(reset, first)
    tab.page.locator("#frame").uncheck()
    tab.settle()
    assert asked(tab)[-2:] == ["--frame", "none"]


@pytest.mark.parametrize("how", ["sample", "hint", "mask", "reference"])
def test_the_command_makes_the_same_bytes(tab, photos, tmp_path, how):
    tab.open(photos / "photo.jpg")
    others = []
    if how == "hint":
        tab.tool("Paint hints")
        tab.changing(lambda: tab.page.mouse.click(*tab.point(0.3, 0.2)))
        tab.changing(lambda: tab.page.mouse.click(*tab.point(0.6, 0.8)))
    elif how == "mask":
        joined(tab)
    elif how == "reference":
        tab.changing(lambda: tab.drop(photos / "color-coffee.png", "#other"))
        others = [photos / "color-coffee.png"]
    else:
        tab.changing(lambda: tab.page.locator("#temperature").fill("0.9"))
    files = download(tab, tmp_path, lambda: tab.page.click("#save"))
    (tmp_path / "photo.jpg").write_bytes((photos / "photo.jpg").read_bytes())
    for other in others:
        (tmp_path / other.name).write_bytes(other.read_bytes())
    command = copied(tab)
    drawn = process(tmp_path, *command)
    assert (tmp_path / drawn.stdout.strip()).read_bytes() == files[0].read_bytes(), drawn.stderr
    assert (tmp_path / drawn.stdout.strip()).name == files[0].name


def test_a_folder_is_worked_through_by_keyboard(new_tab, photos, narrow_weights):
    tab, given = new_tab(), photos / "given"
    tab.settle()
    assert "astronaut" in tab.page.locator("#photos option:checked").inner_text()
    tab.changing(lambda: tab.page.keyboard.press("3"))
    tab.page.keyboard.press("s")
    tab.page.locator("#status:has-text('saved')").wait_for()
    assert (given / "astronaut_002.png").is_file()
    tab.page.keyboard.press("s")
    tab.changing(lambda: tab.page.locator("#temperature").fill("1.2"))
    tab.page.keyboard.press("s")
    wait_for((given / "astronaut_002_2.png").is_file)
    tab.page.click("h1")  # in a slider, arrows move it
    tab.page.keyboard.press("ArrowRight")
    tab.page.locator("#photos option:checked:has-text('coffee')").wait_for(state="attached")
    tab.settle()
    another = new_tab()
    another.settle()
    assert another.page.locator("#photos option").all_inner_texts() == [
        "✓ given/astronaut.png",
        "given/coffee.png",
    ]
    assert "coffee" in another.page.locator("#photos option:checked").inner_text()
    both = ["astronaut_002.png", "astronaut.png"]
    made = process(given, "recreate", *both, "-o", photos / "again.png", "--weights", narrow_weights)
    assert "the same bytes" in made.stderr
    assert names(given) == ["astronaut.png", "astronaut_002.png", "astronaut_002_2.png", "coffee.png"]


def test_what_is_saved_while_others_are_drawn_is_the_picture_on_screen(new_tab, photos):
    """While none is, nothing is saved."""
    tab, given = new_tab(), photos / "given"
    tab.settle()
    before = names(given)
    tab.page.locator("#photos").select_option(index=0)
    tab.settle()
    tab.changing(lambda: tab.page.keyboard.press("5"))
    tab.page.route("**/samples", lambda route: None)  # they are held back
    tab.page.click("#more")
    words = copied(tab)
    assert words[words.index("--seed") + 1] == "4"
    tab.page.keyboard.press("s")
    wait_for(lambda: tab.page.wait_for_timeout(50) or (given / "astronaut_004.png").is_file())
    tab.page.unroute("**/samples")
    tab.page.locator("#caption:has-text('seed 8,')").wait_for()
    tab.settle()
    tab.page.route("**/samples", lambda route: None)
    tab.drop(photos / "photo.jpg")
    tab.page.locator("#save[aria-disabled=true]").wait_for()
    tab.page.keyboard.press("s")
    tab.page.locator("#error:has-text('no sample')").wait_for()
    (given / "astronaut_004.png").unlink()
    assert names(given) == before


def test_hints_and_masks_are_made_by_keyboard(tab, photos):
    tab.open(photos / "photo.jpg")
    width, height = Image.open(photos / "photo.jpg").size
    tab.page.locator("#tools input").first.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.locator("#zoom").focus()
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
    assert "inside" in tab.page.inner_text("#caption")
    for _ in range(3):
        tab.page.keyboard.press("Shift+ArrowRight")
    pair = tab.changing(lambda: tab.page.keyboard.press("Space"))
    assert change(pair, 0.7, 0.5) > 2 * change(pair, 0.1, 0.1)


def test_on_a_phone_one_finger_compares_two_zoom_and_what_is_said_is_seen(new_tab, photos):
    tab = new_tab(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.open(photos / "photo.jpg")
    devtools = tab.context.new_cdp_session(tab.page)

    def finger(x, y, to_x, to_y):
        (x, y), (to_x, to_y) = tab.point(x, y), tab.point(to_x, to_y)
        devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for k in range(1, 11):
            moved = {"x": x + (to_x - x) * k / 10, "y": y + (to_y - y) * k / 10}
            devtools.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [moved]})
        devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    finger(0.2, 0.5, 0.7, 0.5)
    assert float(tab.page.input_value("#split")) == pytest.approx(70, abs=3)
    finger(0.3, 0.9, 0.3, 0.1)
    wait_for(lambda: tab.page.evaluate("scrollY") > 30, 20)
    assert float(tab.page.input_value("#split")) == pytest.approx(70, abs=3)
    top = "document.querySelector('#sheet').getBoundingClientRect().top + scrollY"
    before = tab.page.evaluate(top)
    tab.page.locator("#save").evaluate("button => button.scrollIntoView({ block: 'start' })")
    tab.page.locator("#save").tap()
    tab.page.locator("#status:has-text('downloading')").wait_for()
    box = tab.page.locator("#status").bounding_box()
    assert 0 <= box["y"] < 800
    assert tab.page.evaluate(top) == before
    tab.page.evaluate("scrollTo(0, 0)")
    tab.page.locator("#tools label", has_text="Paint hints").tap()
    x, y = tab.point(0.5, 0.5)
    devtools.send("Input.synthesizePinchGesture", {"x": x, "y": y, "scaleFactor": 2})
    wait_for(lambda: tab.page.evaluate("visualViewport.scale") > 1.5, 20)
    assert tab.page.locator("#hints button").count() == 0


def test_two_pictures_saved_in_haste_are_both_saved_and_ticked(new_tab, photos):
    tab, given = new_tab(), photos / "given"
    tab.settle()
    tab.page.locator("#photos").select_option(index=0)
    tab.settle()
    tab.page.click("h1")  # in a list, arrows move it
    for key in ("6", "s", "7", "s", "ArrowRight"):
        tab.page.keyboard.press(key)
    tab.settle()
    made = [given / f"astronaut_00{seed}.png" for seed in (5, 6)]
    assert [path.is_file() for path in made] == [True, True]
    ticked = ["✓" in option for option in tab.page.locator("#photos option").all_inner_texts()]
    assert ticked == [True, False]
    for path in made:
        path.unlink()


def test_what_is_saved_while_another_photo_opens_is_ticked(new_tab, photos):
    tab, given = new_tab(), photos / "given"
    tab.settle()
    tab.page.locator("#photos").select_option(index=0)
    tab.settle()
    tab.page.click("h1")
    tab.page.route("**/open", lambda route: (tab.page.wait_for_timeout(300), route.continue_()))
    tab.changing(lambda: tab.page.keyboard.press("8"))
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("s")
    wait_for((given / "astronaut_007.png").is_file)
    tab.settle()
    assert [option[:1] == "✓" for option in tab.page.locator("#photos option").all_inner_texts()] == [
        True,
        False,
    ]
    (given / "astronaut_007.png").unlink()


def test_thumbnails_follow_a_setting_though_another_is_chosen_meanwhile(tab, photos):
    tab.open(photos / "photo.jpg")
    sources = "images => images.map(image => image.src)"
    before = tab.page.eval_on_selector_all("#samples img", sources)
    tab.page.locator("#temperature").fill("0.2")
    tab.page.keyboard.press("3")
    tab.settle()
    after = tab.page.eval_on_selector_all("#samples img", sources)
    assert not set(before) & set(after)
    assert tab.page.inner_text("#status") == ""


def test_a_wrong_file_says_the_same_line_as_the_command(tab, photos):
    tab.open(photos / "photo.jpg")
    before = tab.pixels()
    tab.drop(photos / "notes.jpg")
    tab.page.locator("#error").wait_for()
    line = the_line(process(photos, "notes.jpg")).strip().removeprefix("cinn-colorize: ")
    assert tab.page.inner_text("#error") == line
    assert np.array_equal(tab.pixels(), before)
    tab.changing(lambda: tab.page.keyboard.press("2"))
    assert not tab.page.locator("#error").is_visible()


def test_a_photo_that_the_studio_has_forgotten_is_sent_again(tab, photos):
    tab.open(photos / "photo.jpg")
    tab.open(photos / "coffee.png")
    tab.page.evaluate(
        """async () => {
            for (let k = 0; k < 64; k++) await fetch("photos?name=x.jpg", { method: "POST", body: "x" });
        }"""
    )
    tab.changing(lambda: tab.page.select_option("#photos", label="photo.jpg"))
    assert not tab.page.locator("#error").is_visible()
    assert "photo.jpg" in tab.page.locator("#photos option:checked").inner_text()


def test_a_page_stays_in_use_when_the_studio_is_started_again(new_tab, photos, narrow_weights, tmp_path):
    """What is made of a photo given and of one that made here; without a studio, a line says what to do."""
    shutil.copy(photos / "coffee.png", tmp_path)
    options = ["coffee.png", "--no-browser", "--weights", narrow_weights]
    studio = start(tmp_path, "studio", *options, "--port", "0", text=True)
    url = re.search(r"http://\S+?:(\d+)", studio.stderr.readline())
    tab = new_tab(url=url[0])
    tab.settle()
    _, like = tab.changing(lambda: tab.page.click("#like"))
    studio.kill()
    studio.communicate()
    tab.page.keyboard.press("2")
    tab.page.locator("#error:has-text('the studio does not answer; start it again')").wait_for()
    studio = start(tmp_path, "studio", *options, "--port", url[1], text=True)
    studio.stderr.readline()
    tab.changing(lambda: tab.page.keyboard.press("3"))
    _, again = tab.changing(lambda: tab.page.keyboard.press("1"))
    assert np.array_equal(again, like)
    tab.page.keyboard.press("s")
    tab.page.locator("#status:has-text('saved')").wait_for()
    studio.kill()
    studio.communicate()
    assert "coffee_like_coffee_000_000.png" in names(tmp_path)


def test_two_tabs_do_not_disturb_one_another(new_tab, photos):
    one, two = new_tab(), new_tab()
    one.drop(photos / "photo.jpg")
    two.drop(photos / "coffee.png")
    for tab, name in ((one, "photo.jpg"), (two, "coffee.png")):
        tab.page.locator(f"#photos option:checked:has-text('{name}')").wait_for(state="attached")
        tab.settle()
    one.tool("Paint hints")
    one.changing(lambda: one.page.mouse.click(*one.point(0.5, 0.5)))
    two.changing(lambda: two.page.keyboard.press("2"))
    assert "--hint" in copied(one)
    assert "--hint" not in copied(two)
    assert one.pixels().shape != two.pixels().shape


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 3840])
def test_every_control_has_a_name_and_every_text_a_contrast(new_tab, photos, scheme, width):
    tab = new_tab(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.open(photos / "photo.jpg")
    tab.tool("Paint hints")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    for role in ("button", "slider", "checkbox", "radio", "combobox", "img"):
        controls = tab.page.get_by_role(role).all()
        assert controls, role
        for control in controls:
            assert re.match(r'- \w+ "[^"]+"', control.aria_snapshot()), control
    for selector in ("body", "#caption", "button.main", "#tools label:has(:checked)", "fieldset p", "#more"):
        assert contrast(tab, selector) >= 4.5, selector


def test_the_chosen_tool_shows_its_focus_within_the_frame_that_cuts_it(tab, photos):
    tab.open(photos / "photo.jpg")
    tab.page.locator("#tools input").first.focus()
    tab.page.keyboard.press("ArrowRight")
    style = "getComputedStyle(document.querySelector('#tools label:has(:checked)'))"
    width, offset, ring, text = tab.page.evaluate(
        f"(({{ outlineWidth, outlineOffset, outlineColor, color }}) => "
        f"[parseFloat(outlineWidth), parseFloat(outlineOffset), outlineColor, color])({style})"
    )
    assert width >= 2
    assert offset <= -width
    assert ring == text  # of which another test measures the contrast


def test_forced_colours_leave_those_of_hints_and_mark_what_is_chosen(new_tab, photos):
    tab = new_tab(forced_colors="active")
    tab.open(photos / "photo.jpg")
    tab.tool("Paint hints")
    tab.changing(lambda: tab.page.mouse.click(*tab.point(0.5, 0.5)))

    def ground(selector, pseudo=""):
        style = f"node => getComputedStyle(node, '{pseudo}').backgroundColor"
        return tab.page.locator(selector).first.evaluate(style)

    assert ground("#hints button", "::before") == "rgb(160, 60, 50)"
    shown, named = ground("#palette button"), tab.page.locator("#palette button").first.get_attribute("title")
    assert shown == "rgb({}, {}, {})".format(*bytes.fromhex(named[1:7]))
    assert ground("#samples button[aria-pressed=true]") != ground("#samples button[aria-pressed=false]")
    assert ground("#tools label:has(:checked)") != ground("#tools label:has(:not(:checked))")


def contrast(tab, selector):
    """The contrast of text by WCAG 2."""
    shades = tab.page.eval_on_selector(
        selector,
        "element => { const own = getComputedStyle(element).color; let ground;"
        "for (let e = element; e; e = e.parentElement) { ground = getComputedStyle(e).backgroundColor;"
        "if (!ground.startsWith('rgba(0, 0, 0, 0')) break; } return [own, ground]; }",
    )
    lights = []
    for shade in shades:
        parts = np.array([float(part) / 255 for part in shade.split("(")[1].rstrip(")").split(",")[:3]])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_the_address_keeps_no_token(tab):
    tab.settle()
    address = tab.page.url
    tab.page.goto(f"{address}?token=secret")
    tab.settle()
    assert tab.page.url == address


def test_back_and_forth_draws_the_last_eight_alone(new_tab, photos):
    tab = new_tab()
    tab.open(photos / "photo.jpg")
    tab.page.click("#more")
    tab.settle()
    tab.page.locator("#caption:has-text('seed 8,')").wait_for()
    tab.page.click("#earlier")
    tab.page.click("#more")
    tab.settle()
    assert tab.page.is_hidden("#error")
    shown = [text.split()[-1] for text in tab.page.locator("#samples span").all_inner_texts()]
    assert shown == [str(seed) for seed in range(8, 16)]
