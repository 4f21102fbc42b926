// A film: the sheet of its shots, a mood for each, a preview of two seconds, and rendering, which goes on behind the page.

import { album, at, pictureKey, remember, saved, shortest, wish } from "./album.js";
import { $, ask, attempt, calls, say, send } from "./server.js";
import * as wall from "./wall.js";

const EIGHT = 8;
const PAUSE = 300; // ms between two questions how far the studio is
const GRAY = "gray"; // instead of a seed, and in the table of shots
const USUAL = { saturation: "1", balance: "0" }; // settings

let here = null; // the entry of the open film
let place = 0; // number of the chosen shot
let first = 0; // seed of the first of its eight moods
let spread = null; // what was chosen for all shots before they got one mood
let leave; // goes back to the wall

const chosen = () => here.work.shots?.[place];
const isUndecided = ({ typical, seed }) => typical === null && seed === null;
const asked = (entry, { shots, settings }, more) => wish(entry, { settings, hints: [] }, { shots, ...more });
const lookOf = ({ seed }) => `${seed} ${JSON.stringify(here.work.settings)}`; // of a shot in colour
const moodOf = ({ gray, seed }) => (gray ? "gray" : isUndecided(here.work) ? "" : `mood ${seed + 1}`);

/** Show a film: its shots as they are known or found, each in colour as soon as it is drawn. */
export async function open(entry) {
  here = entry;
  [place, first, spread] = [0, 0, null];
  $("#moods").replaceChildren();
  $("#screen").hidden = true;
  sheet();
  if (!chosen()) {
    ask("film/moods", { photo: entry }, "moods").then(({ moods }) => !chosen() && picture(moods[0].picture, entry.name), () => {});
    await find();
  } else choose(0).catch(() => {});
  if (entry === here) await draw(1);
}

/** Forget the open film; what is being rendered goes on. */
export function close() {
  for (const purpose of ["sheet", "moods"]) calls[purpose]?.abort();
  $("#screen video").removeAttribute("src");
  here = null;
}

/** Ask for what takes long, again and again until it is there, and tell what is known meanwhile; as long as it is wanted. */
async function follow(path, values, isWanted, tell) {
  for (;;) {
    const found = await ask(path, values, `${path} ${values.photo.id}`);
    if (!isWanted()) throw new DOMException("no longer wanted", "AbortError");
    await tell(found);
    if (found.over) return;
    await new Promise((over) => setTimeout(over, PAUSE));
  }
}

/** Find the shots of the film, and the mood that is typical of all. */
async function find() {
  const entry = here, { work } = entry;
  await follow("film/find", { photo: entry }, () => entry === here, async ({ share, shots, seed }) => {
    if (!shots) $("#status").textContent = `looking for shots: ${Math.round(100 * share)} %`;
    else if (!work.shots) {
      work.shots = shots.map(([start, end, from, to]) => ({ start, end, from, to, seed: 0, gray: "" }));
      $("#status").textContent = "";
      sheet();
      choose(0).catch(() => {});
      await draw(0);
    }
    if (seed !== undefined) {
      if (work.seed === null) for (const shot of work.shots) shot.seed = seed;
      work.typical = seed;
      update();
      remember(entry);
    }
  });
}

/** Draw all shots on their tiles, in gray alone or in the mood that is chosen for each. */
async function draw(number) {
  const entry = here, { shots, settings } = entry.work;
  for (const [k, shot] of shots.entries()) {
    const { seed } = shot, { shown } = $("#shots").children[k].dataset;
    if (shown === (number ? lookOf(shot) : GRAY)) continue;
    const { gray, moods } = await ask("film/moods", asked(entry, { shots: [shot], settings }, { seed, number }), "sheet");
    if (entry !== here || settings !== entry.work.settings) return;
    if (shots === entry.work.shots && seed === shot.seed) show(k, gray, moods[0]);
  }
}

const time = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Make the tiles of all shots. */
function sheet() {
  $("#shots").replaceChildren(...(here.work.shots ?? []).map((shot, k) => {
    const tile = document.createElement("li");
    tile.innerHTML = '<button class="open"><img class="gray" alt=""><img class="colour" alt=""></button><p></p>';
    const button = tile.firstChild;
    button.onclick = () => attempt(() => choose(k));
    button.onkeydown = steer;
    return tile;
  }));
  update();
  if (document.activeElement === document.body) $("#shots .open")?.focus({ preventScroll: true });
}

/** Show a shot on its tile, in gray and in a mood; and large, if it is the chosen one. */
function show(k, gray, mood) {
  const tile = $("#shots").children[k], shot = here.work.shots[k];
  if (gray) {
    const image = tile.querySelector(".gray");
    image.onload = () => document.documentElement.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    image.src = gray;
  }
  if (mood) tile.querySelector(".colour").src = mood.picture;
  tile.dataset.shown = mood ? lookOf(mood) : (tile.dataset.shown ?? GRAY);
  tile.classList.toggle("in-colour", Boolean(tile.querySelector(".colour").src) && !shot.gray);
  if (k === place) enlarge();
}

/** Show the chosen shot large. */
function enlarge() {
  const tile = $("#shots").children[place], isColour = tile.matches(".in-colour");
  picture(tile.querySelector(isColour ? ".colour" : ".gray").src, `Shot ${place + 1}, ${isColour ? moodOf(chosen()) : "gray"}`);
}

function picture(src, alt) {
  $("#screen").classList.toggle("old", !src);
  if (src) Object.assign($("#screen img"), { alt, src });
  if (src) $("#screen").hidden = false;
  $("#screen video").hidden = true;
  $("#screen video").removeAttribute("src");
}

/** Choose a shot, and draw its moods. */
async function choose(k) {
  place = k;
  const { seed } = chosen();
  first = seed - (seed % EIGHT);
  enlarge();
  update();
  await moods();
}

/** Draw eight moods of the chosen shot. */
async function moods() {
  const entry = here, k = place, { shots, settings } = entry.work;
  placeholders();
  const { gray, moods } = await ask("film/moods", asked(entry, { shots: [shots[k]], settings }, { seed: first, number: EIGHT }), "moods");
  if (entry !== here || k !== place) return;
  const pictures = [...moods, { seed: GRAY, picture: gray }];
  show(k, gray, isUndecided(entry.work) ? null : moods.find(({ seed }) => seed === chosen().seed));
  [...$("#moods").children].forEach((button, i) => {
    const mood = pictures[i];
    button.firstChild.replaceWith(Object.assign(new Image(), { src: mood.picture, alt: "" }));
    button.disabled = false;
    button.onclick = () => take(mood, gray);
  });
}

function placeholders() {
  $("#moods").replaceChildren(...Array.from({ length: EIGHT + 1 }, (_, i) => {
    const button = document.createElement("button"), isGray = i === EIGHT;
    button.innerHTML = '<span class="empty"></span>';
    button.append(isGray ? "Gray" : `${first + i + 1}`);
    button.ariaLabel = isGray ? "Leave this shot gray" : `Mood ${first + i + 1}`;
    button.disabled = true;
    return button;
  }));
  update();
}

/** Let the chosen shot have a mood. */
function take({ seed, picture }, gray) {
  const shot = chosen();
  shot.gray = seed === GRAY ? GRAY : "";
  if (!shot.gray) shot.seed = seed;
  here.work.seed = shot.seed; // which says that something has been chosen
  spread = null;
  show(place, gray, shot.gray ? null : { seed, picture });
  update();
  remember(here);
}

/** Give the mood of the chosen shot to all; a second time, give them back theirs. */
async function everywhere() {
  const { work } = here, before = structuredClone(work.shots), { seed, gray } = chosen();
  work.shots = spread ?? work.shots.map((shot) => ({ ...shot, seed, gray }));
  work.seed = seed;
  spread = spread ? null : before;
  update();
  remember(here);
  await draw(1);
}

async function preview() {
  const entry = here, shot = chosen(), { seed } = shot, { settings } = here.work, video = $("#screen video"), status = $("#status");
  if (shot.gray) throw new Error("this shot stays gray; choose a mood to see two seconds of it");
  status.textContent = "drawing two seconds";
  const codec = video.canPlayType('video/mp4; codecs="avc1.640028"') ? "h264" : "av1"; // some browsers lack one of them
  const isWanted = () => entry === here && shot === chosen() && shot.seed === seed && !shot.gray && settings === here.work.settings;
  try {
    await follow("film/preview", asked(entry, { shots: [{ ...shot, codec }], settings }), isWanted, async ({ share, id }) => {
      status.textContent = `drawing two seconds: ${Math.round(100 * share)} %`;
      if (!id) return;
      Object.assign(video, { src: `files/${id}`, hidden: false });
      await video.play().catch(() => {}); // where browsers forbid it, the person starts it
    });
  } finally {
    if (status.textContent.startsWith("drawing")) status.textContent = "";
  }
}

/** Let the film have a setting, or with null the usual ones. */
async function tune(input) {
  const { [input?.name]: _, ...others } = input ? here.work.settings : {};
  here.work.settings = input && input.value !== USUAL[input.name] ? { ...others, [input.name]: input.value } : others;
  update();
  remember(here);
  await moods();
  await draw(1);
}

/** Show what is chosen. */
function update() {
  const { work } = here, { shots } = work, isRendering = work.rendering !== null;
  [...$("#shots").children].forEach((tile, k) => {
    const shot = work.shots[k], [button, label] = tile.children, told = [time(shot.from), moodOf(shot)].filter(Boolean);
    button.ariaPressed = k === place;
    button.tabIndex = k === place ? 0 : -1;
    button.ariaLabel = `Shot ${k + 1}, from ${told.join(", ")}`;
    label.textContent = told.join(" · ");
  });
  [...$("#moods").children].forEach((button, i) => {
    const { gray, seed } = chosen();
    button.ariaPressed = i === EIGHT ? gray === GRAY : !gray && !isUndecided(work) && seed === first + i;
  });
  $("#facts").textContent = shots ? `${shots.length} ${shots.length > 1 ? "shots" : "shot"} · ${time(shots.at(-1).to)}` : "";
  $("#moods-before").disabled = first === 0;
  for (const bar of document.querySelectorAll("#shot .bar")) bar.hidden = !work.shots;
  $("#all-shots").textContent = spread ? "Give back their moods" : "This mood in all shots";
  $("#all-shots").hidden = !(work.shots?.length > 1);
  $("#rendered").hidden = $("#halt").hidden = !isRendering;
  $("#render").hidden = isRendering;
  $("#rendered").value = here.share ?? 0;
  for (const button of ["#render", "#film-command", "#preview", "#all-shots"]) $(button).ariaDisabled = isUndecided(work);
  $("#film-command").hidden = !here.key;
  $("#film-settings").hidden = !shots;
  const { levels, temperature } = album.facts, usual = { ...USUAL, temperature: at(temperature, levels[0]) };
  for (const input of document.querySelectorAll("#film-settings input")) {
    const own = work.settings[input.name];
    input.value = own ?? usual[input.name];
    input.previousElementSibling.textContent = own ?? (input.name === "temperature" ? shortest(temperature) : usual[input.name]);
  }
}

function steer(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...$("#shots").children], { offsetTop: top, offsetLeft: left } = all[place];
  const column = (rows) => rows.find((tile) => tile.offsetLeft === left && tile.offsetTop !== top);
  const next = {
    ArrowLeft: all[place - 1], ArrowRight: all[place + 1], Home: all[0], End: all.at(-1),
    ArrowUp: column(all.slice(0, place).reverse()), ArrowDown: column(all.slice(place)),
  }[event.key];
  if (!next) return;
  event.preventDefault();
  next.firstChild.focus();
  attempt(() => choose(all.indexOf(next)));
}

// --- rendering ----------------------------------------------------------------------------------------------

/** Render a film, or follow that it is being rendered, until it is there; a studio that starts again goes on. */
async function render(entry) {
  const { shots, settings } = entry.work, isWanted = () => entry.work.rendering !== null;
  const wanted = entry.work.rendering ?? structuredClone({ shots, settings });
  const note = (rendering) => {
    entry.work.rendering = rendering;
    remember(entry);
    if (entry === here) update();
  };
  note(wanted);
  try {
    await wall.answered(entry, () => follow("film/render", asked(entry, wanted), isWanted, ({ share, id, name, saved: path, over }) => {
      entry.share = share;
      if (entry === here) $("#rendered").value = share;
      if (id) Object.assign(document.createElement("a"), { href: `files/${id}`, download: name }).click();
      if (path) $("#status").textContent = `saved ${path}`;
      if (over) saved(entry, pictureKey({ film: true, work: wanted }));
    }), () => !isWanted());
  } catch (error) {
    if (error.name !== "AbortError" && isWanted()) say(error);
  }
  note(null);
  wall.update();
}

async function halt() {
  const entry = here;
  entry.work.rendering = null;
  calls[`film/render ${entry.id}`]?.abort();
  await send("film/stop", { photo: entry });
  $("#status").textContent = "stopped; Render goes on from there";
  update();
}

async function copy() {
  const command = await ask("film/command", asked(here, here.work));
  $("#status").textContent = command;
  await navigator.clipboard?.writeText(command).catch(() => {});
}

const on = (selector, work) => ($(selector).onclick = (event) => event.currentTarget.ariaDisabled === "true" || attempt(work));

/** Let a function go back to the wall, and go on with what was being rendered when the page was loaded again. */
export function begin(back) {
  leave = back;
  on("#render", () => void render(here));
  on("#halt", halt);
  on("#film-command", copy);
  on("#preview", preview);
  on("#all-shots", everywhere);
  $("#film-settings").onchange = ({ target }) => attempt(() => tune(target));
  on("#film-reset", () => tune(null));
  on("#moods-after", () => ((first += EIGHT), moods()));
  on("#moods-before", () => ((first -= EIGHT), moods()));
  addEventListener("keydown", (event) => {
    if (!here || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("video")) return;
    const key = event.key.toLowerCase(), mood = key === "0" ? $("#moods").children[EIGHT] : $("#moods").children["12345678".indexOf(key)];
    if (mood && !mood.disabled) mood.click();
    else if (key === "p") $("#preview").click();
    else if (key === "f") wall.favour(here);
    else if (key === "escape" && album.photos.length > 1) leave();
  });
  for (const entry of album.photos) if (entry.work.rendering) render(entry);
}
