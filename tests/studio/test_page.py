"""The page of the studio, in a real browser."""

import re
import shutil
import signal

import numpy as np
import pytest
from helpers import longer, names, process, start, the_line, wait_for
from PIL import Image


def asked(tab):
    """Those of what was asked for on the page; the weights of the studio follow."""
    words = tab.copied()
    return words[: words.index("--weights")]


def option(tab, name):
    """Return what the command of a page says of an option."""
    words = asked(tab)
    return words[words.index(name) + 1]


def test_a_photo_dropped_shows_eight_samples_of_it(tab, photos):
    tab.open(photos / "photo.jpg")
    sources = tab.page.eval_on_selector_all("#samples img", "images => images.map(image => image.src)")
    assert len(set(sources)) == 8
    assert "seed 0, log-likelihood" in tab.details()
    assert tab.pixels("#before").std(2).max() < 1
    assert tab.pixels().std(2).max() > 10
    assert abs(tab.pixels().mean() - tab.pixels("#before").mean()) < 10


@pytest.mark.ci
def test_a_photo_that_is_added_while_the_network_loads_is_kept(new_tab, photos, narrow_weights):
    options = ["--port", "0", "--no-browser", "--weights", narrow_weights]
    process = start(photos, "studio", "given", *options, text=True)
    tab = new_tab(re.search(r"http://\S+", process.stderr.readline())[0])
    tab.page.set_input_files("#file", photos / "photo.jpg")
    tab.settle()
    assert tab.page.inner_text("#name") == "photo.jpg · 3 of 3"
    tab.back()
    assert len(tab.page.locator("#tiles li").all()) == 3
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.mark.ci
def test_a_number_chooses_a_sample_and_more_draws_others(tab, photos):
    tab.open(photos / "photo.jpg")
    one, four = tab.changing(lambda: tab.page.keyboard.press("4"))
    assert "seed 3," in tab.details()
    assert np.abs(one - four).mean() > 1
    tab.changing(lambda: tab.page.click("#more"))
    assert "seed 8," in tab.details()
    _, again = tab.changing(lambda: (tab.page.click("#earlier"), tab.settle(), tab.page.keyboard.press("4")))
    assert np.array_equal(four, again)


def test_the_slider_shows_as_much_of_the_photo_as_it_says(tab, photos):
    tab.open(photos / "photo.jpg")
    shown = "getComputedStyle(document.querySelector('#before')).clipPath"
    assert "50%" in tab.page.evaluate(shown)
    assert tab.page.inner_text("#sides").split() == ["Photo", "Colours"]
    tab.page.locator("#split").fill("40")
    assert "60%" in tab.page.evaluate(shown)


@pytest.mark.ci
def test_one_to_one_has_all_pixels(tab, photos, tmp_path):
    with Image.open(photos / "photo.jpg") as photo:
        photo.resize((2000, 1125)).save(tmp_path / "wide.jpg")
    tab.open(tmp_path / "wide.jpg")
    fitted, whole = tab.changing(lambda: tab.page.click("#zoom"))
    assert (fitted.shape, whole.shape) == ((900, 1600, 3), (1125, 2000, 3))
    assert tab.page.locator("#sheet").bounding_box()["width"] == 2000


@pytest.mark.ci
def test_another_photo_gives_its_colours(tab, photos):
    tab.open(photos / "photo.jpg")
    plain, like = tab.changing(lambda: tab.drop(photos / "color-coffee.png", "#other"))
    assert np.abs(like - plain).mean() > 5
    assert "transfer" in tab.copied()
    tab.changing(lambda: tab.page.locator("#mood").uncheck())
    assert option(tab, "--strength") == "0.6"
    tab.tool("Paint hints")
    tab.page.click("#reference", position={"x": 5, "y": 5})
    corner = Image.open(photos / "color-coffee.png").getpixel((3, 3))
    picked = bytes.fromhex(tab.page.input_value("#color")[1:])
    assert np.abs(np.subtract(tuple(picked), corner)).max() < 40


@pytest.mark.ci
def test_more_like_this_draws_from_the_picture(tab, photos, narrow_weights, tmp_path):
    tab.open(photos / "photo.jpg")
    tab.changing(lambda: tab.page.click("#like"))
    assert tab.copied()[:2] == ["transfer", "photo_000.jpg"]
    picture, reference = tab.download(tmp_path, lambda: tab.page.click("#save"))
    originals = [photos / "photo.jpg", reference]
    made = process(tmp_path, "recreate", picture, *originals, "-o", "again.jpg", "--weights", narrow_weights)
    assert "the same bytes" in made.stderr


@pytest.mark.ci
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


@pytest.mark.ci
def test_temperature_and_frame(tab, photos):
    tab.open(photos / "photo.jpg")
    first, hot = tab.changing(lambda: tab.page.locator("#temperature").fill("1.4"))
    assert np.abs(hot - first).mean() > 1
    assert option(tab, "--temperature") == "1.4"
    assert {tab.page.input_value(f"#levels input[name='{r}']") for r in (32, 16, 8, 1)} == {"1.4"}
    tab.page.locator("#by-level summary").click()
    tab.changing(lambda: tab.page.locator("#levels input[name='8']").fill("0"))
    assert option(tab, "--temperature").endswith(",8:0.0,1:1.4")  # the mood as its slider shows it
    tab.changing(lambda: tab.page.locator("#guidance").fill("0.8"))
    assert asked(tab)[-2:] == ["--guidance", "0.8"]
    tab.changing(lambda: tab.page.locator("#saturation").fill("1.5"))
    assert "--saturation 1.5" in " ".join(asked(tab))
    _, reset = tab.changing(lambda: tab.page.click("#reset"))
    assert np.array_equal(reset, first)
    tab.page.locator("#frame").uncheck()
    tab.settle()
    assert asked(tab)[-2:] == ["--frame", "none"]


@pytest.mark.parametrize("how", ["sample", "hint", *longer("mask", "reference")])
def test_the_command_makes_the_same_bytes(tab, photos, tmp_path, how):
    tab.open(photos / "photo.jpg")
    others = []
    if how == "hint":
        tab.tool("Paint hints")
        tab.changing(lambda: tab.page.mouse.click(*tab.point(0.3, 0.2)))
        tab.changing(lambda: tab.page.mouse.click(*tab.point(0.6, 0.8)))
    elif how == "mask":
        tab.joined()
    elif how == "reference":
        tab.changing(lambda: tab.drop(photos / "color-coffee.png", "#other"))
        others = [photos / "color-coffee.png"]
    else:
        tab.changing(lambda: tab.page.locator("#temperature").fill("0.9"))
    files = tab.download(tmp_path, lambda: tab.page.click("#save"))
    (tmp_path / "photo.jpg").write_bytes((photos / "photo.jpg").read_bytes())
    for other in others:
        (tmp_path / other.name).write_bytes(other.read_bytes())
    command = tab.copied()
    drawn = process(tmp_path, *command)
    assert (tmp_path / drawn.stdout.strip()).read_bytes() == files[0].read_bytes(), drawn.stderr
    assert (tmp_path / drawn.stdout.strip()).name == files[0].name


def test_a_folder_is_worked_through_by_keyboard(new_tab, photos, narrow_weights):
    tab, given = new_tab(), photos / "given"
    tab.page.locator("#wall .open").first.focus()
    tab.page.keyboard.press("Enter")
    tab.is_open("astronaut")
    tab.first()
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
    tab.is_open("coffee")
    tab.settle()
    another = new_tab()
    another.coloured()
    assert another.saved() == [True, False]
    both = ["astronaut_002.png", "astronaut.png"]
    made = process(given, "recreate", *both, "-o", photos / "again.png", "--weights", narrow_weights)
    assert "the same bytes" in made.stderr
    assert names(given) == ["astronaut.png", "astronaut_002.png", "astronaut_002_2.png", "coffee.png"]


def test_what_is_saved_while_others_are_drawn_is_the_picture_on_screen(new_tab, photos):
    """While none is, nothing is saved."""
    tab, given = new_tab(), photos / "given"
    before = names(given)
    tab.enter("astronaut")
    tab.changing(lambda: tab.page.keyboard.press("5"))
    tab.page.route("**/samples", lambda route: None)  # they are held back
    tab.page.click("#more")
    words = tab.copied()
    assert words[words.index("--seed") + 1] == "4"
    tab.page.keyboard.press("s")
    wait_for(lambda: tab.page.wait_for_timeout(50) or (given / "astronaut_004.png").is_file())
    tab.page.unroute("**/samples")
    tab.says("seed 8,")
    tab.settle()
    tab.page.route("**/samples", lambda route: None)
    tab.drop(photos / "photo.jpg")
    tab.page.locator("#save[aria-disabled=true]").wait_for()
    tab.page.keyboard.press("s")
    tab.page.locator("#error:has-text('no sample')").wait_for()
    (given / "astronaut_004.png").unlink()
    assert names(given) == before


def test_two_pictures_saved_in_haste_are_both_saved_and_ticked(new_tab, photos):
    tab, given = new_tab(), photos / "given"
    tab.enter("astronaut")
    for key in ("6", "s", "7", "s", "ArrowRight"):
        tab.page.keyboard.press(key)
    tab.settle()
    made = [given / f"astronaut_00{seed}.png" for seed in (5, 6)]
    assert [path.is_file() for path in made] == [True, True]
    assert tab.saved() == [True, False]
    for path in made:
        path.unlink()


def test_what_is_saved_while_another_photo_opens_is_ticked(new_tab, photos):
    tab, given = new_tab(), photos / "given"
    tab.enter("astronaut")
    tab.page.route("**/open", lambda route: (tab.page.wait_for_timeout(300), route.continue_()))
    tab.changing(lambda: tab.page.keyboard.press("8"))
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("s")
    wait_for((given / "astronaut_007.png").is_file)
    tab.settle()
    assert tab.saved() == [True, False]
    (given / "astronaut_007.png").unlink()


@pytest.mark.ci
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


@pytest.mark.ci
def test_a_photo_that_the_studio_has_forgotten_is_sent_again(tab, photos):
    tab.open(photos / "photo.jpg")
    tab.open(photos / "coffee.png")
    tab.page.evaluate(
        """async () => {
            for (let k = 0; k < 64; k++) await fetch("photos?name=x.jpg", { method: "POST", body: "x" });
        }"""
    )
    tab.changing(lambda: tab.page.click("#previous"))
    assert not tab.page.locator("#error").is_visible()
    tab.is_open("photo.jpg")


@pytest.mark.ci
def test_a_page_stays_in_use_when_the_studio_is_started_again(new_tab, photos, narrow_weights, tmp_path):
    """What is made of a photo given and of one that made here; without a studio, a line says what to do."""
    shutil.copy(photos / "coffee.png", tmp_path)
    options = ["coffee.png", "--no-browser", "--weights", narrow_weights]
    studio = start(tmp_path, "studio", *options, "--port", "0", text=True)
    url = re.search(r"http://\S+?:(\d+)", studio.stderr.readline())
    tab = new_tab(url=url[0])
    tab.first()
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


@pytest.mark.ci
def test_two_tabs_do_not_disturb_one_another(new_tab, photos):
    one, two = new_tab(), new_tab()
    one.drop(photos / "photo.jpg")
    two.drop(photos / "coffee.png")
    for tab, name in ((one, "photo.jpg"), (two, "coffee.png")):
        tab.is_open(name)
        tab.first()
    one.tool("Paint hints")
    one.changing(lambda: one.page.mouse.click(*one.point(0.5, 0.5)))
    two.changing(lambda: two.page.keyboard.press("2"))
    assert "--hint" in one.copied()
    assert "--hint" not in two.copied()
    assert one.pixels().shape != two.pixels().shape


def test_the_address_keeps_no_token(tab):
    tab.coloured()
    address = tab.page.url
    tab.page.goto(f"{address}?token=secret")
    tab.coloured()
    assert tab.page.url == address


@pytest.mark.ci
def test_back_and_forth_draws_the_last_eight_alone(new_tab, photos):
    tab = new_tab()
    tab.open(photos / "photo.jpg")
    tab.page.click("#more")
    tab.settle()
    tab.says("seed 8,")
    tab.page.click("#earlier")
    tab.page.click("#more")
    tab.settle()
    assert tab.page.is_hidden("#error")
    tab.changing(lambda: tab.page.keyboard.press("8"))
    assert "seed 15," in tab.details()
