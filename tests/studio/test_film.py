"""Films in the studio: the sheet of shots, a mood for each, a preview, and rendering; in a browser."""

import shlex
import shutil

import numpy as np
import pytest
from helpers import GRAY, needs, process, wait_for
from PIL import Image
from starlette.testclient import TestClient

av = needs("av")

import film.filmmaking as fm  # noqa: E402

from cinn_colorize.errors import FilmError  # noqa: E402
from cinn_colorize.imaging.options import MAX_PIXELS  # noqa: E402
from cinn_colorize.studio.film import Films  # noqa: E402
from cinn_colorize.studio.guard import Guard  # noqa: E402
from cinn_colorize.studio.library import Library  # noqa: E402

SIZE = 96, 128


def make(path, number=60, cut=30):
    """A film of two shots, in which pictures move to the left."""
    wholes = [GRAY[100:196], GRAY[:96, ::-1]]
    lumas = [np.ascontiguousarray(wholes[t >= cut][:, t : t + 128]) for t in range(number)]
    return fm.make(path, size=SIZE, number=number, frames=[fm.gray_frame(one, "yuv420p") for one in lumas])


@pytest.fixture
def folder(tmp_path):
    """A folder of a photo and a film."""
    (tmp_path / "album").mkdir()
    make(tmp_path / "album" / "old.mp4")
    Image.fromarray(GRAY).save(tmp_path / "album" / "a.jpg")
    return tmp_path / "album"


def labels(tab):
    return tab.page.eval_on_selector_all("#shots p", "labels => labels.map((label) => label.textContent)")


def chroma(pixels):
    """How far apart red, green and blue are on average."""
    return pixels.std(2).mean()


def decided(tab):
    """Wait until all shots have their pictures."""
    tab.there("#shots li.in-colour", 2)
    tab.there("#moods img", 9)


@pytest.mark.ci
def test_a_film_of_a_folder_is_rendered_as_it_is_chosen(serve, new_tab, folder):
    _, url = serve(folder, ".")
    tab = new_tab(url[0])
    tab.coloured()
    assert tab.page.locator("#tiles li.film").count() == 1
    tab.page.locator(".film .open").click()
    decided(tab)
    typical = labels(tab)[0].removeprefix("0:00 · ")
    assert labels(tab) == [f"0:00 · {typical}", f"0:01 · {typical}"]
    tab.page.locator("#moods button[aria-pressed=false]").nth(2).click()
    chosen = labels(tab)[0].removeprefix("0:00 · mood ")
    assert chosen != typical.removeprefix("mood ")
    tab.page.locator("#shots .open").nth(1).click()
    tab.there("#moods img", 9)
    tab.page.locator("#moods button", has_text="Gray").click()
    assert labels(tab)[1] == "0:01 · gray"
    (folder / "old_shots.tsv").write_text("mine")
    usual = tab.pixels("#shots li:first-child .colour")
    tab.page.locator("#film-settings [name=saturation]").fill("0.5")
    wait_for(lambda: chroma(tab.pixels("#shots li:first-child .colour")) < 0.8 * chroma(usual), 60)
    tab.page.click("#film-command")
    tab.page.locator("#status:has-text('--saturation 0.5 --shots')").wait_for()
    rows = [line.split("\t") for line in (folder / "old_shots_2.tsv").read_text().splitlines()]
    assert (*rows[1][:3], rows[1][-1]) == ("0", "30", str(int(chosen) - 1), "")
    assert (*rows[2][:2], rows[2][-1]) == ("30", "60", "gray")
    tab.page.click("#render")
    tab.page.locator("#status:has-text('saved old_shots_2.mp4')").wait_for()
    film = folder / "old_shots_2.mp4"
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 60
    assert frames[10].std(2).max() > 10
    assert chroma(frames[10]) < 0.8 * chroma(usual)
    assert frames[50].std(2).max() < 2
    assert (folder / "old_shots.tsv").read_text() == "mine"
    tab.back()
    assert tab.page.locator("#tiles li.film.is-saved").count() == 1


@pytest.mark.ci
def test_two_seconds_are_played_and_moods_survive_a_new_load(serve, new_tab, folder):
    _, url = serve(folder, "old.mp4")
    tab = new_tab(url[0])
    decided(tab)
    tab.page.keyboard.press("3")
    first = tab.pixels("#screen img")
    tab.page.keyboard.press("5")
    assert np.abs(tab.pixels("#screen img") - first).mean() > 0.5
    tab.page.keyboard.press("p")
    tab.page.locator("#screen video").wait_for()
    played = (
        "(({ duration, videoWidth: w, currentTime: t }) => [duration, w, t])(document.querySelector('video'))"
    )
    wait_for(lambda: tab.page.evaluate(played)[2] or tab.page.wait_for_timeout(100), 60)
    assert tab.page.evaluate(played)[:2] == [pytest.approx(30 / 25, abs=0.05), 128]
    tab.page.locator("#shots .open").first.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.locator("#shots .open[aria-pressed=true][aria-label^='Shot 2']").wait_for()
    assert not tab.page.locator("#screen video").is_visible()
    tab.page.locator("#film-settings [name=temperature]").fill("0.5")
    before = labels(tab)
    assert before[0] == "0:00 · mood 5"
    tab.page.reload()
    decided(tab)
    assert labels(tab) == before
    assert tab.page.locator("#film-settings [name=temperature]").input_value() == "0.5"
    tab.page.click("#film-reset")
    assert tab.page.locator("#film-settings [name=temperature]").input_value() != "0.5"
    tab.page.click("#all-shots")
    assert labels(tab) == ["0:00 · mood 5", "0:01 · mood 5"]
    tab.page.click("#all-shots")
    assert labels(tab) == before


@pytest.mark.slow
def test_a_studio_that_is_killed_goes_on_rendering_what_its_command_renders(serve, new_tab, folder, tmp_path):
    make(folder / "long.mp4", 100, 20)
    server, url = serve(folder, "long.mp4")
    tab = new_tab(url[0])
    decided(tab)
    tab.page.locator("#moods button[aria-pressed=false]").nth(4).click()
    for name, value in (("saturation", "1.3"), ("balance", "0.5"), ("temperature", "0.9")):
        tab.page.locator(f"#film-settings [name={name}]").fill(value)
    tab.page.click("#film-command")
    tab.page.locator("#status:has-text('cinn-colorize film')").wait_for()
    words = shlex.split(tab.page.inner_text("#status"))[1:]
    tab.page.click("#render")
    wait_for(lambda: [*folder.glob(".long_shots.mp4.parts")], 120)
    tab.page.click("#halt")
    tab.page.locator("#status:has-text('stopped')").wait_for()
    tab.page.click("#render")
    wait_for(lambda: [*folder.glob(".long_shots.mp4.parts/*.segment")], 120)
    server.kill()
    server.communicate()
    film = folder / "long_shots.mp4"
    assert not film.exists()
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".*"))
    serve(folder, "long.mp4", port=url[1])
    tab.page.reload()
    wait_for(lambda: tab.page.wait_for_timeout(200) or film.exists(), 120)
    process(tmp_path / "copy", *words)
    assert (tmp_path / "copy" / film.name).read_bytes() == film.read_bytes()
    assert not [*folder.glob(".long*")]


@pytest.mark.slow
def test_a_film_that_is_dropped_is_downloaded(new_tab, tmp_path):
    tab = new_tab()
    tab.drop(make(tmp_path / "mine.mp4"))
    decided(tab)
    assert not tab.page.locator("#film-command").is_visible()
    (tmp_path / "got").mkdir()
    (film,) = tab.download(tmp_path / "got", lambda: tab.page.click("#render"))
    assert film.name.startswith("mine_00")
    assert len(fm.frame_times(film)) == 60


def test_films_are_rendered_one_at_a_time(tmp_path):
    library = Library([tmp_path / "a.mp4", tmp_path / "b.mp4"])
    one, other = ({"photo": film["id"]} for film in library.given())
    films = Films(library, None, fm.render_slowly)
    try:
        assert films.follow("render", one)["share"] in (0, 0.5)
        with pytest.raises(FilmError, match="another film"):
            films.follow("render", other)
        wait_for(lambda: films.follow("render", one)["share"] == 0.5)
        films.stop(one)
        with pytest.raises(FilmError, match="what went wrong"):
            wait_for(lambda: films.follow("render", other | {"shots": [{"start": 0}]}).get("over"))
        films.follow("render", one)
        films._tasks["render", one["photo"]].kill()
        with pytest.raises(FilmError, match="ended"):
            films.follow("render", one)
    finally:
        films.end()
        library.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory, loading, new_server):
    library = Library([make(tmp_path_factory.mktemp("film") / "old.mp4")])
    server = new_server(library, loading(), print, fm.render_slowly)
    return TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost:8123")


@pytest.mark.parametrize(
    ("shots", "line"),
    [
        ("all", "shots must be a list of objects"),
        ([{"start": 0, "end": 900}], "has only 60 frames; open it again"),
        ([{"start": 3, "end": 2}], "the shot ends with frame 2, before it starts with 3"),
        ([{"start": 0, "end": 9, "seed": "x"}], "'x' is not a seed"),
    ],
)
def test_what_is_no_shot_is_refused(client, shots, line):
    (film,) = client.post("/facts", json={}).json()["given"]
    answer = client.post("/film/moods", json={"photo": film["id"], "shots": shots})
    assert answer.status_code == 422
    assert line in answer.text


def test_films_are_taken_where_they_can_be_rendered(client, folder, loading, new_server):
    assert client.post("/facts", json={}).json()["films"]
    library = Library([])
    other = TestClient(
        Guard(new_server(library, loading(), print).app(), MAX_PIXELS), base_url="http://localhost:8123"
    )
    assert not other.post("/facts", json={}).json()["films"]
    assert other.post("/film/moods", json={}).status_code == 404
