// The photos, what is chosen for each, and how that is asked for in the words of the command line.
// What is chosen is remembered: of photos named on the command line by the browser, without their names; of others by the tab.

import { renew } from "./server.js";

const MOST_MASK = 1024; // longer side of a mask, which may be smaller than its photo
const MOST_SAVED = 16; // pictures of a photo of which it is remembered that they are saved

/** {name, id, key, file, given, done, work}: the work is what a person has chosen, all else what the page knows. */
export const album = { facts: null, photos: [], here: null };

/** What is chosen for a photo: nothing yet. A seed of null is the typical one. */
export const untouched = () => ({
  seed: null, typical: null, first: 0, inside: 1, settings: {}, hints: [], strokes: [], isJoined: false, size: null,
  isFavourite: false, shots: null, rendering: null, saved: [], mask: null, past: [], future: [],
});

export const seedOf = (work) => work.seed ?? work.typical ?? "typical";

/** The temperature of a level. */
export const at = (levels, level) => (typeof levels === "number" ? levels : levels[level]);

/** Temperatures in a few words. */
export function shortest(levels) {
  if (typeof levels === "number") return String(levels);
  const all = [...new Set(Object.values(levels))];
  return all.length > 1 ? `${Math.min(...all)} to ${Math.max(...all)} by level` : String(all[0]);
}

function temperature({ temperature, levels = {} }) {
  const own = Object.entries(levels).map(([level, value]) => `${level}:${value}`);
  return [...(temperature ? [temperature] : []), ...own].join(",");
}

/** Hints in the words of the command line. */
export const textOfHints = (hints) => hints.map(({ x, y, color, size = 1 }) => [x, y, color, ...(size === 1 ? [] : [size])].join()).join(" ");

/** The wish for samples of a photo. */
export function wish(entry, work, more = {}) {
  const { settings, hints } = work;
  const values = { photo: entry, frame: settings.isBare ? "none" : "auto", temperature: temperature(settings) };
  if (settings.guidance) values.guidance = settings.guidance;
  values.saturation = settings.saturation ?? "1";
  if (!hints.length) values.white_balance = settings.balance ?? "0";
  if (settings.reference) {
    values.reference = settings.reference;
    if (settings.strength) values.strength = settings.strength;
  } else if (hints.length) {
    values.hints = textOfHints(hints);
  }
  return { ...values, ...more };
}

/** The wish for the chosen picture of a photo, in which a mask may join two samples. */
export async function picture(entry, work, more = {}) {
  if (work.isJoined && !work.mask) work.mask = await mask(entry, work);
  if (!work.isJoined || !work.mask) return wish(entry, work, { seed: seedOf(work), ...more });
  const { hints: _, reference: __, strength: ___, ...values } = wish(entry, work);
  return { ...values, mask: work.mask, seed: work.inside, outside: seedOf(work), ...more };
}

/** What tells the chosen pictures of a photo apart, or what is chosen for a film. */
export function pictureKey({ film, work }) {
  if (film) return JSON.stringify([work.shots, work.settings]);
  const { settings, strokes, isJoined, inside } = work, { photo: _, reference, ...values } = wish(null, work);
  const joined = isJoined && strokes.length ? { strokes, inside } : {};
  return JSON.stringify({ ...values, seed: seedOf(work), ...joined, ...(reference && { reference: settings.reference.name }) });
}

/** Whether the chosen picture is saved, or one of the command line where nothing has been chosen. */
export function isSaved(entry) {
  const { work } = entry, isJoined = work.isJoined && work.strokes.length;
  const isChosen = work.saved.length || work.seed !== null || work.hints.length || isJoined || Object.keys(work.settings).length;
  return Boolean(entry.done) && (!isChosen || work.saved.includes(pictureKey(entry)));
}

export function saved(entry, key) {
  entry.done = true;
  entry.work.saved = [...entry.work.saved.filter((other) => other !== key), key].slice(-MOST_SAVED);
  remember(entry);
}

// --- masks --------------------------------------------------------------------------------------------------

/** Give a canvas the size of a photo's mask. */
export function fit(canvas, [width, height]) {
  const scale = Math.min(1, MOST_MASK / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
}

export function trace(canvas, { points, width, erase }, size) {
  const context = canvas.getContext("2d"), scale = canvas.width / size[0];
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  context.strokeStyle = "#fff";
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = (width / 100) * Math.max(canvas.width, canvas.height);
  context.beginPath();
  context.moveTo(points[0].x * scale + 0.1, points[0].y * scale); // a dot without any length would not be drawn
  for (const { x, y } of points) context.lineTo(x * scale, y * scale);
  context.stroke();
}

/** Send the mask that is painted; null if nothing of it is seen. */
export async function mask(entry, { strokes, size }) {
  if (!strokes.length) return null;
  const painted = new OffscreenCanvas(1, 1), whole = new OffscreenCanvas(1, 1);
  [painted, whole].forEach((canvas) => fit(canvas, size));
  strokes.forEach((stroke) => trace(painted, stroke, size));
  const context = whole.getContext("2d");
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(painted, 0, 0);
  const isSeen = context.getImageData(0, 0, whole.width, whole.height).data.some((value, i) => i % 4 < 3 && value > 127);
  const stem = entry.name.split(/[\\/]/).pop().replace(/\.\w+$/, "");
  const file = new File([await whole.convertToBlob()], `${stem}_mask.png`);
  return isSeen ? renew({ file, made: "here", strokes }) : null;
}

// --- memory -------------------------------------------------------------------------------------------------

const PREFIX = "cinn-colorize "; // of names in the browser's store, which other pages of this machine may share
const SENT = `${PREFIX}sent`;
const storeOf = (entry) => (entry.key ? localStorage : sessionStorage);
const placeOf = (entry) => PREFIX + (entry.key ?? entry.id);

/** Run what uses the browser's store, which may be forbidden, or full: then the page forgets. */
function stored(work) {
  try {
    return work();
  } catch {
    return null;
  }
}

/** The text that is stored of the work on a photo: nothing of files, and nothing at all where nothing is chosen. */
function textOf(work) {
  const { reference: _, strength: __, ...settings } = work.settings, none = untouched();
  const text = (more) => JSON.stringify({ ...none, ...work, settings, mask: null, past: [], future: [], ...more });
  const { typical, size, inside, first } = none; // which are not chosen
  return text({ typical, size, inside, first }) === JSON.stringify(none) ? "" : text();
}

export function remember(entry) {
  if (!entry.key && !entry.id) return;
  const text = textOf(entry.work);
  if (text === entry.stored) return;
  entry.stored = text;
  stored(() => (text ? storeOf(entry).setItem(placeOf(entry), text) : storeOf(entry).removeItem(placeOf(entry))));
}

export function recall(entry) {
  entry.stored = stored(() => storeOf(entry).getItem(placeOf(entry))) ?? "";
  entry.work = { ...untouched(), ...(entry.stored && stored(() => JSON.parse(entry.stored))) };
  return entry;
}

/** Recall the work on a photo that another tab has changed; return its entry. */
export function recalled({ key, storageArea }) {
  const entry = storageArea === localStorage && album.photos.find((other) => other.key && placeOf(other) === key);
  return entry && entry !== album.here ? recall(entry) : null;
}

/** Let the tab remember which photos it has sent, so that they are there after it has been loaded again. */
export function rememberSent() {
  const sent = album.photos.filter(({ key, id }) => !key && id).map(({ id, name, film, done }) => ({ id, name, film, done }));
  stored(() => sessionStorage.setItem(SENT, JSON.stringify(sent)));
}

export const recallSent = () => (stored(() => JSON.parse(sessionStorage.getItem(SENT))) ?? []).map(recall);

/** Remember, for a tab that is loaded again, a value under a name; without a value, return it. */
export function ofTab(name, value) {
  if (value === undefined) return stored(() => JSON.parse(sessionStorage.getItem(PREFIX + name)));
  stored(() => sessionStorage.setItem(PREFIX + name, JSON.stringify(value)));
}
