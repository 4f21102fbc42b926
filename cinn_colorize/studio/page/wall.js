// The wall of all photos: each is gray first and then in colour, in the order of what is on screen, one at a time.

import { album, isSaved, ofTab, picture, pictureKey, remember, rememberSent, saved, seedOf, wish } from "./album.js";
import { $, ask, attempt, idle, renew, say, send } from "./server.js";

const AHEAD = 4; // photos that are gray before the next one gets its colours; the studio keeps as many open
const PAUSE = 2000; // ms until a studio that does not answer is asked again
const pause = () => new Promise((over) => setTimeout(over, PAUSE));
const inSight = new Set();
const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) isIntersecting ? inSight.add(target) : inSight.delete(target);
  develop();
}, { rootMargin: "10%" });

let opened; // what opens a photo
let current = null; // the entry whose tile Tab leads to
let isDeveloping = false, isSaving = false, isStopped = false;

const isWanted = (entry) => ({ all: true, unsaved: !isSaved(entry), favourites: entry.work.isFavourite })[$("#filter :checked").value];
const listed = () => album.photos.filter((entry) => !entry.tile.hidden);
const picked = () => album.photos.filter((entry) => entry.isPicked);

/** The photos that an action is for: those selected, or all others. */
export const meant = (all = album.photos) => (picked().length ? picked() : all);

// --- tiles --------------------------------------------------------------------------------------------------

function newTile(entry) {
  const tile = document.createElement("li");
  tile.innerHTML = `<button class="open"><img class="gray" alt=""><img class="colour" alt=""><span class="problem"></span></button>
    <input type="checkbox" class="pick"><button class="star"></button><span class="saved" aria-hidden="true">✓</span>`;
  tile.classList.toggle("film", Boolean(entry.film));
  const [open, star, pick] = [".open", ".star", ".pick"].map((part) => tile.querySelector(part));
  open.title = entry.name;
  star.ariaLabel = `Favourite: ${entry.name}`;
  pick.ariaLabel = `Select ${entry.name}`;
  open.onclick = () => attempt(() => opened(entry));
  star.onclick = () => favour(entry);
  pick.onchange = () => ((entry.isPicked = pick.checked), update());
  tile.onfocusin = () => lead(entry);
  tile.onkeydown = (event) => steer(event, entry);
  seen.observe(tile);
  return tile;
}

/** Let Tab lead to the tile of an entry, and to no other. */
function lead(entry) {
  for (const other of new Set([current, entry])) {
    for (const part of other?.tile?.querySelectorAll("button, input") ?? []) part.tabIndex = other === entry ? 0 : -1;
  }
  current = entry;
}

function steer(event, entry) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const all = listed(), at = all.indexOf(entry), top = entry.tile.offsetTop, middle = entry.tile.offsetLeft + entry.tile.offsetWidth / 2;
  const beyond = { ArrowUp: all.slice(0, at).reverse(), ArrowDown: all.slice(at) }[event.key]?.filter(({ tile }) => tile.offsetTop !== top);
  const row = beyond?.filter(({ tile }) => tile.offsetTop === beyond[0].tile.offsetTop);
  const away = ({ tile }) => Math.abs(tile.offsetLeft + tile.offsetWidth / 2 - middle);
  const next = {
    ArrowLeft: all[at - 1], ArrowRight: all[at + 1], Home: all[0], End: all.at(-1),
    ArrowUp: row?.sort((a, b) => away(a) - away(b))[0], ArrowDown: row?.sort((a, b) => away(a) - away(b))[0],
  }[event.key];
  if (next) event.preventDefault(), next.tile.querySelector(".open").focus();
  else if (event.key.toLowerCase() === "f") favour(entry);
}

/** Show of an entry's tile all but its picture. */
function mark(entry) {
  const { tile } = entry, isDone = isSaved(entry), { isFavourite } = entry.work;
  tile.querySelector(".open").ariaLabel = `${entry.name}${isDone ? ", saved" : ""}${entry.failed ? `: ${entry.failed}` : ""}`;
  tile.querySelector(".problem").textContent = entry.failed ? `${entry.name.split(/[\\/]/).pop()} cannot be shown` : "";
  tile.querySelector(".star").ariaPressed = isFavourite;
  tile.querySelector(".pick").checked = Boolean(entry.isPicked);
  tile.classList.toggle("is-saved", isDone);
}

export function favour(entry) {
  entry.work.isFavourite = !entry.work.isFavourite;
  remember(entry);
  update();
}

/** Show which photos there are, and what of them is chosen. */
export function update() {
  const { photos } = album;
  for (const entry of photos) {
    entry.tile ??= newTile(entry);
    mark(entry);
  }
  const tiles = photos.map(({ tile }) => tile);
  if (tiles.some((tile, i) => tile !== $("#tiles").children[i]) || tiles.length !== $("#tiles").children.length) $("#tiles").replaceChildren(...tiles);
  const counts = [photos.length, photos.filter((entry) => !isSaved(entry)).length, photos.filter(({ work }) => work.isFavourite).length];
  document.querySelectorAll("#filter output").forEach((output, i) => (output.textContent = counts[i]));
  const number = picked().length, shown = $("#filter :checked").value === "all" ? "all" : "these";
  $("#all").textContent = `Save ${number ? `${number} selected` : shown}`;
  $("#deselect").hidden = !number;
  $("#tiles").classList.toggle("picking", number > 0);
  $("#star").ariaPressed = Boolean(album.here?.work.isFavourite);
  if (!photos.includes(current) && photos.length) lead(photos[0]);
  for (const entry of photos) if (entry !== current) for (const part of entry.tile.querySelectorAll("button, input")) part.tabIndex = -1;
}

/** Show the photos of the filter that is chosen; those that leave it meanwhile stay until then. */
export function filter() {
  for (const entry of album.photos) entry.tile.hidden = !isWanted(entry);
  $("#none").hidden = listed().length > 0;
  update();
  if (current?.tile.hidden && listed().length) lead(listed()[0]);
}

export const neighbour = (entry, step) => {
  const all = album.photos.filter((other) => other === entry || !other.tile.hidden);
  return all[all.indexOf(entry) + step];
};

export function focus(entry) {
  if (!entry?.tile || entry.tile.hidden) return;
  entry.tile.scrollIntoView({ block: "nearest" });
  entry.tile.querySelector(".open").focus({ preventScroll: true });
}

// --- pictures -----------------------------------------------------------------------------------------------

/** Put a picture on the tile of an entry, the gray photo or the chosen picture that a key tells. */
export async function put(entry, url, key = "") {
  const image = entry.tile.querySelector(key ? ".colour" : ".gray");
  image.src = url;
  await image.decode().catch(() => {});
  const { naturalWidth: width, naturalHeight: height } = image;
  if (width) entry.tile.style.setProperty("--ratio", Math.min(2.4, Math.max(0.6, width / height)));
  if (key) entry.shown = key;
  entry.isGray = true;
  entry.tile.classList.toggle("in-colour", Boolean(entry.shown));
}

const isStale = (entry) => !entry.failed && entry.shown !== pictureKey(entry);

/** What is to be done next: on screen, colours with some gray photos ahead of them; then all others, from the screen on. */
function next() {
  const onScreen = album.photos.filter(({ tile }) => inSight.has(tile)), from = album.photos.indexOf(onScreen[0]);
  const others = [...album.photos.slice(Math.max(0, from)), ...album.photos.slice(0, Math.max(0, from))];
  const stale = onScreen.filter(isStale), bare = stale.filter(({ isGray }) => !isGray);
  const isBehind = bare.length && stale.length - bare.length < AHEAD;
  return isBehind ? [toGray, bare[0]] : [toColour, stale.find(({ isGray }) => isGray) ?? stale[0] ?? others.find(isStale)];
}

async function toGray(entry) {
  if (entry.film) return toColour(entry);
  const { frame } = wish(entry, entry.work);
  await put(entry, await ask("before", { photo: entry, frame, size: "small" }, "wall"));
}

async function toColour(entry) {
  if (entry.film) return drawFilm(entry);
  const { work } = entry, values = await picture(entry, work, { number: 1, size: "small" }), key = pictureKey({ work });
  for await (const made of await ask("samples", values, "wall")) {
    const isTypical = values.seed === "typical" && !values.reference;
    if (isTypical) entry.work.typical = made.seed;
    await put(entry, made.picture, isTypical ? pictureKey({ work: { ...work, typical: made.seed } }) : key);
  }
}

/** Show a film by a shot from its middle. */
async function drawFilm(entry) {
  const shots = entry.work.shots ?? [], at = shots.length >> 1, key = pictureKey(entry);
  const { gray, moods } = await ask("film/moods", { photo: entry, shots: shots.slice(at, at + 1), seed: shots[at]?.seed ?? 0 }, "wall");
  await put(entry, gray);
  await put(entry, moods[0].picture, key);
}

/** Give all photos their pictures, unless that is being done. */
export async function develop() {
  if (isDeveloping || isSaving || !album.facts) return;
  isDeveloping = true;
  for (let [step, entry] = next(); entry && !isSaving; [step, entry] = next()) {
    await idle();
    try {
      await answered(entry, () => step(entry));
    } catch (error) {
      if (error.name !== "AbortError") (entry.failed = error.message), update();
    }
  }
  isDeveloping = false;
}

/** Do something for a photo, and again until the studio answers, unless that is stopped. */
export async function answered(entry, work, isOver = () => false) {
  for (let isLate = false; ; isLate = true) {
    try {
      if (!entry.id) await renew(entry), rememberSent();
      await work();
      if (isLate) $("#error").hidden = true;
      return;
    } catch (error) {
      if (!error.silent || isOver()) throw error;
      say(error);
      await pause();
    }
  }
}

// --- saving -------------------------------------------------------------------------------------------------

/** Save the chosen picture of a photo, with what else it requires. */
export async function save(entry) {
  const { work } = entry, values = await picture(entry, work), key = pictureKey({ work }); // by the end another one may be chosen
  const result = await (await send("save", values)).json();
  for (const file of result.files ?? []) {
    Object.assign(document.createElement("a"), { href: `files/${file.id}`, download: file.name }).click();
  }
  saved(entry, key);
  if (!entry.key) rememberSent();
  return result;
}

/** Save the chosen pictures of photos that are not saved, one after the other, until it is stopped. */
export async function saveAll(entries) {
  if (isSaving) return;
  entries = entries.filter(({ film }) => !film); // which are rendered one by one
  [isSaving, isStopped] = [true, false];
  ofTab("saving", entries.map(({ key, id }) => key ?? id));
  [$("#progress").max, $("#progress").hidden, $("#stop").hidden, $("#all").hidden] = [entries.length, false, false, true];
  let number = 0, problem = null;
  for (const [i, entry] of entries.entries()) {
    $("#progress").value = i;
    if (isStopped) break;
    if (entry.failed || isSaved(entry)) continue;
    $("#status").textContent = `saving ${i + 1} of ${entries.length}`;
    await idle();
    try {
      await answered(entry, () => saveOne(entry), () => isStopped);
      number++;
    } catch (error) {
      problem = error;
    }
  }
  [$("#progress").hidden, $("#stop").hidden, $("#all").hidden, isSaving] = [true, true, false, false];
  ofTab("saving", []);
  const left = entries.filter((entry) => !isSaved(entry)).length;
  if (problem) say(problem);
  $("#status").textContent = `${number} saved${left ? `, ${left} not` : ""}`;
  update();
  $("#all").focus({ preventScroll: true });
  develop();
}

async function saveOne(entry) {
  if (seedOf(entry.work) === "typical") await toColour(entry); // which tells the seed
  await save(entry);
  update();
}

// --- events -------------------------------------------------------------------------------------------------

/** Let a function open photos that are clicked, and go on with what a tab was doing when it was loaded again. */
export function begin(open) {
  opened = open;
  $("#filter").onchange = filter;
  $("#deselect").onclick = () => {
    for (const entry of album.photos) entry.isPicked = false;
    update();
    focus(current);
  };
  $("#all").onclick = () => attempt(() => void saveAll(meant(listed())));
  $("#stop").onclick = () => (isStopped = true);
  update();
  const keys = ofTab("saving") ?? [], left = album.photos.filter(({ key, id }) => keys.includes(key ?? id));
  if (left.length) saveAll(left);
}
