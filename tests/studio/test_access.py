"""The page of the studio on any screen, with any pointer and for any eyes, in a real browser."""

import re

import numpy as np
import pytest
from helpers import longer, wait_for


@pytest.mark.ci
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
    assert box["y"] + box["height"] <= 844
    assert tab.page.evaluate(top) == before
    tab.page.evaluate("scrollTo(0, 0)")
    tab.page.locator("#tools label", has_text="Paint hints").tap()
    x, y = tab.point(0.5, 0.5)
    devtools.send("Input.synthesizePinchGesture", {"x": x, "y": y, "scaleFactor": 2})
    wait_for(lambda: tab.page.evaluate("visualViewport.scale") > 1.5, 20)
    assert tab.page.locator("#hints button").count() == 0


@pytest.mark.parametrize("scheme", ["light", *longer("dark")])
@pytest.mark.parametrize("width", [360, 3840])
def test_every_control_has_a_name_and_every_text_a_contrast(new_tab, photos, scheme, width):
    tab = new_tab(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.open(photos / "photo.jpg")
    tab.tool("Paint hints")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    for role in ("button", "slider", "checkbox", "radio", "img", "combobox"):
        if role == "combobox":
            tab.tool("Join two")
        controls = tab.page.get_by_role(role).all()
        assert controls, role
        for control in controls:
            assert re.match(r'- \w+ "[^"]+"', control.aria_snapshot()), control
    for selector in ("body", "#status", "button.main", "#tools label:has(:checked)", "fieldset p", "#more"):
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


@pytest.mark.ci
def test_forced_colours_leave_those_of_hints_and_mark_what_is_chosen(new_tab, photos):
    tab = new_tab(forced_colors="active")
    tab.open(photos / "photo.jpg")
    tab.tool("Paint hints")
    tab.page.locator("#color").fill("#a03c32")
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
