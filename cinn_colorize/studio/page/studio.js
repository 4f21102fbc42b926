// The page holds wishes, in the words of the command line; the server draws what they ask for.

import { album, at, fit, mask as maskOf, picture, pictureKey, recall, recalled, recallSent, remember, rememberSent, shortest, trace, textOfHints, untouched, wish as wishOf } from "./album.js";
import * as film from "./film.js";
import { $, ask, attempt, calls, hold, renew, send } from "./server.js";
import * as wall from "./wall.js";

const EIGHT = 8;
const KEYS = "Picture. Arrow keys move a cross-hair, with Shift further; Escape leaves; Enter or space: ";

let facts; // of the model and the photos given
let photo, here; // the open one, as the server describes it, and its entry
let first = 0; // seed of the first of eight
let chosen = null; // the seed of the large picture
let isTypical = true; // whether it is the typical one, which nobody has chosen
let hints = []; // {x, y, color, size, group}; a stroke is a group
let group = null; // the chosen one
let aim = null; // the hint whose thing is outlined: one of them, or one that a click would place
let size = 1; // of things of new hints
let mask = null; // {id, name}, and what it can be sent again from
let reference = null; // likewise, from a file or a wish
let strokes = []; // of the mask: {points, width, erase}
let hasColor = false; // whether a person has chosen a colour; until then, hints take the most frequent one of their place
let coloring = null; // what waits for that colour
let spot; // {x, y} of the cross-hair
let past = [], future = []; // for undo and redo: hints and strokes
let pointing; // the timer until what is aimed at is outlined
let spread = null; // [entry, seed, settings] of the photos that got the mood of the open one, as they were

// --- wishes -----------------------------------------------------------------------------------------------

const SETTINGS = { saturation: "1", balance: "0", strength: "0.6" };

/** The settings of the page that are not the model's own. */
function settings() {
  const found = {}, levels = [...document.querySelectorAll("#levels input")];
  if ($("#temperature").dataset.own) found.temperature = $("#temperature").value;
  // Left out, the mood's temperature would follow that of the coarsest level, and not be the one shown.
  const named = levels.filter(({ dataset, name }) => dataset.own || name === "1");
  if (levels.some(({ dataset }) => dataset.own)) found.levels = Object.fromEntries(named.map(({ name, value }) => [name, value]));
  if ($("#guidance").dataset.own) found.guidance = $("#guidance").value;
  for (const name of ["saturation", "balance"]) if ($(`#${name}`).value !== SETTINGS[name]) found[name] = $(`#${name}`).value;
  if (!$("#frame").checked) found.isBare = true;
  if (reference && $("#use").checked) {
    found.reference = reference;
    if (!$("#mood").checked) found.strength = $("#strength").value;
  }
  return found;
}

/** Show settings; what they do not name is the model's own. */
function showSettings(found) {
  const own = (input, value, usual) => {
    delete input.dataset.own;
    if (value !== undefined) input.dataset.own = "1";
    input.value = value ?? usual;
  };
  own($("#temperature"), found.temperature, at(facts.temperature, facts.levels[0]));
  const levels = new Set([...facts.levels, ...Object.keys(facts.temperature).map(Number)]);
  $("#levels").replaceChildren(...[...levels].map((level) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1.5, step: 0.05, name: level });
    own(input, found.levels?.[level], found.temperature ?? at(facts.temperature, level));
    label.append(["Base", "Mood"][level] ?? `${level} × ${level}`, input);
    return label;
  }));
  $("#guided").hidden = facts.guidance === null;
  $("#guidance").max = facts.max_guidance;
  own($("#guidance"), found.guidance, facts.guidance ?? 0);
  for (const [name, usual] of Object.entries(SETTINGS)) $(`#${name}`).value = found[name] ?? usual;
  $("#frame").checked = !found.isBare;
  $("#use").checked = Boolean(found.reference);
  $("#mood").checked = !found.strength;
}

/** What is chosen for the open photo. */
const work = () => ({
  ...here.work, hints, strokes, past, future, first, mask, inside: Number($("#inside").value), isJoined: Boolean(mask),
  size: [photo.width, photo.height], settings: settings(), ...(isTypical ? { seed: null } : { seed: chosen }),
});

const wish = (more) => wishOf(here, work(), more);

/** The wish for the large picture, in which a mask may join two samples. */
function large(more) {
  if (chosen === null) throw new Error("no sample of this photo has been drawn yet");
  return picture(here, { ...work(), seed: chosen }, more);
}

/** Keep the work on the open photo with its entry. */
function park() {
  if (!here) return;
  here.work = work();
  remember(here);
}

// --- photos and samples -------------------------------------------------------------------------------------

async function open(entry, isNew = true) {
  if (!entry.id) await renew(entry), rememberSent();
  const opened = entry.film ? null : await read(entry), wasOpen = album.here;
  park();
  film.close();
  for (const purpose of ["large", "samples"]) calls[purpose]?.abort();
  [photo, here, album.here] = [opened, entry.film ? null : entry, entry];
  if (isNew && !wasOpen) history.pushState({ photo: placeOf(entry), isBelow: true }, ""); // the wall, in the history
  else history.replaceState({ ...history.state, photo: placeOf(entry) }, "");
  show(entry.film ? "film" : "view");
  scrollTo(0, 0);
  $("#name").textContent = `${entry.name.split(/[\\/]/).pop()} · ${album.photos.indexOf(entry) + 1} of ${album.photos.length}`;
  $("#name").title = entry.name;
  wall.update();
  await (entry.film ? film.open(entry) : look(entry));
}

/** Show the open photo, and draw it. */
async function look(entry) {
  ({ hints, strokes, past, future, first } = here.work);
  chosen = here.work.seed ?? here.work.typical;
  isTypical = here.work.seed === null;
  [group, mask, spread, hasColor] = [null, null, null, false];
  point(null);
  spot = { x: photo.width >> 1, y: photo.height >> 1 };
  document.documentElement.style.setProperty("--ratio", photo.width / photo.height);
  $("#sheet").style.setProperty("--whole", `${photo.width / devicePixelRatio}px`);
  fit($("#paint"), [photo.width, photo.height]);
  $("#before").src = $("#after").src = photo.before;
  $("#caption").textContent = "";
  zoom(false);
  setSplit(50);
  const known = here.work.settings.reference, isOther = known && known !== reference;
  reference = known ?? reference;
  showSettings(here.work.settings);
  if (here.work.isJoined) $("#tools [value=mask]").checked = true;
  placeholders();
  offer(isOfEight(here.work.inside) ? here.work.inside : first + 1);
  update();
  savable();
  $("#sheet").focus({ preventScroll: true });
  if (isOther) await showReference(known);
  if (here === entry) await masked();
  if (here === entry) await draw();
  if (here === entry) prepare();
}

/** What tells the entry of a photo in the history of the tab. */
const placeOf = ({ key, id, name }) => key ?? id ?? name;

/** Show one part of the page. */
function show(part) {
  $("#drop").hidden = part !== "drop";
  $("#wall").hidden = part !== "wall";
  $("#view").hidden = $("#side").hidden = part !== "view";
  $("#film").hidden = $("#shot").hidden = part !== "film";
  $("#list").hidden = $("#back").hidden = !["view", "film"].includes(part) || album.photos.length < 2;
}

/** Leave the open photo for the wall. */
function leave() {
  park();
  for (const purpose of ["large", "samples", "prepare", "open"]) calls[purpose]?.abort();
  film.close();
  const left = album.here;
  photo = here = album.here = null;
  $("#status").textContent = "";
  show(album.photos.length ? "wall" : "drop");
  wall.update();
  wall.filter();
  wall.focus(left);
  wall.develop();
}

/** Go back to the wall, by the history where it leads there. */
function back() {
  if (history.state?.isBelow) history.back();
  else history.replaceState(null, ""), leave();
}

async function read(entry) {
  $("#status").textContent = "opening";
  calls.prepare?.abort();
  const isBare = entry === here ? !$("#frame").checked : entry.work.settings.isBare;
  const opened = await ask("open", { photo: entry, frame: isBare ? "none" : "auto" });
  $("#framed").textContent = isBare ? "" : opened.frame ? "(found)" : "(none found)";
  return opened;
}

/** Take the photo with or without its frame; hints and the mask stay. */
async function reframe() {
  photo = await read(here);
  await draw();
  prepare();
}

/** Draw the samples that hints require, one after the other, in the background; hints do it otherwise. */
function prepare() {
  const all = async () => {
    while ((await ask("prepare", wish({ hints: "", reference: "", strength: "" }))) < facts.members);
    point(aim);
  };
  hold(all).catch(() => {});
}

/** Whether the large picture is one of the eight; else it stays until the first of them is there. */
const isOfEight = (seed = chosen) => seed !== null && first <= seed && seed < first + EIGHT;

/** Draw the eight samples anew, and the large picture. */
async function draw() {
  const isOpen = here;
  calls.samples?.abort(); // its buttons are of other samples, or of another photo
  $("#status").textContent = "drawing";
  if (isOfEight() || (chosen === null && isTypical)) await attempt(enlarge); // which another choice may replace
  if (here !== isOpen) return;
  for await (const sample of await ask("samples", wish({ seed: first, number: EIGHT, size: "small" }))) {
    const button = $("#samples").children[sample.seed - first];
    button.replaceChildren(thumbnail(sample), `${sample.seed - first + 1}`);
    button.disabled = false;
    if (!isOfEight()) attempt(() => choose(sample.seed));
    if (sample.seed === chosen && !mask) here.work = work(), wall.put(here, sample.picture, pictureKey(here));
  }
  $("#status").textContent = "";
}

/** Draw other eight samples. */
async function turn(seed) {
  first = seed;
  placeholders();
  await draw();
}

function placeholders() {
  $("#samples").replaceChildren(...Array.from({ length: EIGHT }, (_, k) => {
    const button = document.createElement("button");
    button.innerHTML = '<span class="empty"></span>';
    button.append(`${k + 1}`);
    button.disabled = true;
    button.ariaLabel = `Mood ${k + 1}`;
    button.ariaPressed = first + k === chosen;
    button.onclick = () => attempt(() => choose(first + k));
    button.onkeydown = (event) => {
      if (event.key === " " && button.ariaPressed === "true") event.preventDefault(), event.repeat || toggle();
    };
    return button;
  }));
  enable("#earlier", first > 0);
}

function thumbnail(sample) {
  return Object.assign(new Image(), { src: sample.picture, alt: `Mood ${sample.seed - first + 1}` });
}

async function choose(seed) {
  isTypical = false;
  spread = null;
  take(seed);
  await enlarge();
}

/** Let the large picture be that of a seed. */
function take(seed) {
  chosen = seed;
  [...$("#samples").children].forEach((button, k) => (button.ariaPressed = first + k === seed));
  const inside = Number($("#inside").value);
  offer(isOfEight(inside) && inside !== seed ? inside : first + ((seed - first + 1) % EIGHT));
  savable();
}

/** Let the seed inside a mask be one of the eight. */
function offer(inside) {
  $("#inside").replaceChildren(...Array.from({ length: EIGHT }, (_, k) => new Option(`Mood ${k + 1}`, first + k)));
  $("#inside").value = inside;
}

/** Disable a button or not; where it had the focus, the picture gets it, or else nothing would have it. */
function enable(selector, isUseful) {
  const button = $(selector);
  if (!isUseful && button === document.activeElement) $("#sheet").focus({ preventScroll: true });
  button.disabled = !isUseful;
}

/** Mark what needs a picture; such a button keeps the focus, unlike a disabled one. */
function savable() {
  for (const button of ["#like", "#everywhere", "#copy", "#save"]) $(button).ariaDisabled = chosen === null;
}

/** Show the large picture, of the typical sample if none is chosen. */
async function enlarge() {
  $("#command").hidden = true;
  const size = $("#zoom").ariaPressed === "true" ? "full" : "large", isOpen = here;
  const values = await (chosen === null ? wish({ seed: "typical", number: 1, size }) : large({ number: 1, size }));
  for await (const made of await ask("samples", values, "large")) {
    if (chosen === null) take(made.seed);
    if (isTypical && !values.reference) isOpen.work.typical = made.seed;
    $("#after").src = made.picture;
    const how = mask ? `mix: seed ${made.seed} inside, ${chosen} outside` : `seed ${made.seed}`;
    const density = made.log_prob === null ? "" : `, log-likelihood ${Math.round(made.log_prob).toLocaleString("en")} nats`;
    const frame = photo.frame && ` · frame around ${photo.frame}`;
    $("#caption").textContent = `${how}${density} · ${photo.width} × ${photo.height}${frame}`;
    $("#after").alt = mask ? "The colorization, of two moods" : `The colorization, mood ${made.seed - first + 1}`;
  }
}

function zoom(whole) {
  $("#zoom").ariaPressed = whole;
  $("#sheet").classList.toggle("whole", whole);
}

async function setZoom(whole) {
  zoom(whole);
  if (chosen === null) return;
  if (whole) ask("before", wish({ size: "full" })).then((url) => ($("#before").src = url), () => {});
  await enlarge();
}

async function save() {
  if (!here) return;
  if (chosen === null) throw new Error("no sample of this photo has been drawn yet");
  park();
  const entry = here, contained = JSON.stringify(mask ? mask.strokes : settings().reference ? [] : hints);
  $("#status").textContent = "saving";
  const result = await wall.save(entry);
  (entry.contained ??= new Set()).add(contained);
  wall.update();
  $("#status").textContent = result.saved ? `saved ${result.saved[0]}` : `downloading ${result.files[0].name}`;
}

const moodOf = ({ seed, settings, first, isJoined, mask }) => ({ seed, settings, first, isJoined, mask });

/** Give the mood of the open photo to all, or to those selected; a second time, give them back theirs. */
function everywhere() {
  if (chosen === null) throw new Error("no sample of this photo has been drawn yet");
  park();
  const others = wall.meant().filter((entry) => entry !== here && !entry.film);
  const before = others.map((entry) => [entry, moodOf(entry.work)]);
  const mood = { seed: chosen, settings: here.work.settings, first: chosen - (chosen % EIGHT), isJoined: false, mask: null };
  for (const [entry, changed] of spread ?? others.map((entry) => [entry, mood])) {
    entry.work = { ...entry.work, ...changed };
    remember(entry);
  }
  $("#status").textContent = spread ? "all have their own mood again" : `${others.length} photos have this mood now`;
  spread = spread ? null : before;
  update();
  wall.update();
  wall.develop();
}

// --- hints and masks ----------------------------------------------------------------------------------------

const tool = () => $("#tools :checked").value;

function note() {
  past = [...past.slice(-19), structuredClone({ hints, strokes })];
  future = [];
  $("#undo").disabled = false;
}

/** Return to what was noted last. */
function revert() {
  ({ hints, strokes } = past.pop());
  group = null;
  update();
  repaint();
}

/** Take what was noted last from one list, and note what there is now in the other. */
function step(from, to) {
  if (!photo || !from.length) return;
  to.push(structuredClone({ hints, strokes }));
  ({ hints, strokes } = from.pop());
  group = null;
  update();
  attempt(async () => (await masked(), await draw()));
}

const undo = () => step(past, future);
const redo = () => step(future, past);

/** The pixel of the photo under the pointer. */
function place(event) {
  const box = $("#sheet").getBoundingClientRect();
  const within = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
  return {
    x: within((event.clientX - box.left) / box.width, photo.width),
    y: within((event.clientY - box.top) / box.height, photo.height),
  };
}

const draggers = {
  look({ x }) {
    setSplit((100 * x) / Math.max(1, photo.width - 1));
  },
  hint(spot, isFirst) {
    if (isFirst) {
      note();
      group = Date.now();
      $("#use").checked = false;
      attempt(() => (coloring = colored(group, spot)));
    } else {
      const last = hints.at(-1);
      if (Math.hypot(spot.x - last.x, spot.y - last.y) < Math.max(photo.width, photo.height) / 48) return;
    }
    hints.push({ ...spot, color: $("#color").value, size, group });
    update();
    point(hints.at(-1));
  },
  mask(spot, isFirst) {
    if (isFirst) {
      note();
      strokes = [...strokes, { points: [], width: $("#brush").value, erase: $("#eraser").checked }];
    }
    strokes.at(-1).points.push({ ...spot });
    trace($("#paint"), strokes.at(-1), [photo.width, photo.height]);
  },
};

function repaint() {
  $("#paint").getContext("2d").clearRect(0, 0, $("#paint").width, $("#paint").height);
  for (const stroke of strokes) trace($("#paint"), stroke, [photo.width, photo.height]);
}

const dropped = { look() {}, hint: async () => (focusHint(), await coloring, draw()), mask: joined };

function drag(event) {
  if (event.button || !event.isPrimary || event.target.closest("#hints > *")) return;
  const kind = tool(), sheet = $("#sheet"), split = $("#split").value;
  sheet.setPointerCapture(event.pointerId);
  $("#cross").hidden = true;
  draggers[kind]((spot = place(event)), true);
  sheet.onpointermove = (moved) => moved.isPrimary && draggers[kind](place(moved), false);
  sheet.onpointerup = sheet.onpointercancel = ({ type, isPrimary }) => {
    if (!isPrimary) return;
    sheet.onpointermove = sheet.onpointerup = sheet.onpointercancel = null;
    if (type === "pointerup") attempt(dropped[kind]);
    else if (kind === "look") setSplit(split); // the finger scrolls, or two of them zoom
    else revert();
  };
}

/** Outline the thing of a hint, soon, or none. */
function point(hint) {
  aim = tool() === "hint" ? hint : null;
  clearTimeout(pointing);
  calls.outline?.abort();
  for (const button of ["#grow", "#shrink"]) enable(button, aim);
  if (!aim) return ($("#thing").hidden = true);
  pointing = setTimeout(async () => {
    const all = textOfHints([hint, ...hints.filter((other) => other !== hint)]);
    const { size: box, lines } = await ask("outline", wish({ hints: all, reference: "", strength: "" })).catch(() => ({ lines: [] }));
    if (aim !== hint) return;
    $("#thing").hidden = !lines.length;
    if (box) $("#thing svg").setAttribute("viewBox", `-0.5 -0.5 ${box.join(" ")}`);
    document.querySelectorAll("#thing path").forEach((path) => path.setAttribute("d", lines.map((line) => `M${line.join(" ")}Z`).join("")));
  }, 60);
}

/** Outline what is under the pointer: the thing of a hint, or of one that a click would place. */
function hover(event) {
  if (tool() !== "hint" || event.buttons || event.pointerType === "touch") return;
  const node = event.target.closest("#hints > *");
  point(node ? hints[[...$("#hints").children].indexOf(node)] : { ...place(event), color: $("#color").value, size });
}

/** Grow or shrink what is outlined, by a factor. */
function grow(factor) {
  const sized = (hint) => (hint.size = Math.min(64, Math.max(1 / 64, (hint.size ?? 1) * factor)));
  if (!aim) return;
  if (!hints.includes(aim)) return (size = sized(aim)), point(aim);
  note();
  hints.filter((hint) => hint.group === aim.group).forEach(sized);
  point(aim);
  attempt(() => draw());
}

/** Send the mask that is painted, if it is in use. */
async function masked() {
  repaint();
  if (tool() !== "mask") return (mask = null);
  const painted = strokes, sent = await maskOf(here, { strokes, size: [photo.width, photo.height] });
  if (painted === strokes) mask = tool() === "mask" ? sent : null; // else that of other strokes, or of another photo, follows
}

/** Show both samples joined by the mask. */
async function joined() {
  await masked();
  await enlarge();
}

/** How far a key moves something, in pixels of the photo. */
function way({ key, shiftKey }) {
  const far = Math.max(1, Math.round(Math.max(photo.width, photo.height) / (shiftKey ? 10 : 100)));
  return { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[key];
}

/** Do by keys on the picture what the pointer does. */
function steer(event) {
  const path = way(event), kind = tool();
  if (event.target !== event.currentTarget || kind === "look" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (path) move([spot], [spot], ...path), cross(), point({ ...spot, color: $("#color").value, size });
  else if (event.key === "Escape") $("#tools :checked").focus();
  else if (event.key === "Enter" || event.key === " ") draggers[kind](spot, true), attempt(dropped[kind]);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Show the cross-hair, which is for keys alone. */
function cross() {
  $("#cross").hidden = tool() === "look";
  put($("#cross"), spot);
  $("#cross").scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** A hint on the picture: a button, and for the rest of its stroke a dot that is dragged with it. */
function hintNode(hint) {
  const all = hints.filter((other) => other.group === hint.group);
  const node = document.createElement(hint === all[0] ? "button" : "span");
  if (hint === all[0]) node.ariaLabel = `${all.length > 1 ? `Stroke of ${all.length} hints` : "Hint"} ${hint.color} at ${hint.x}, ${hint.y}`;
  node.style.color = hint.color;
  node.classList.toggle("chosen", hint.group === group);
  node.classList.toggle("stroke", all.length > 1);
  put(node, hint);
  node.onpointerdown = (event) => {
    const before = place(event), start = structuredClone(all);
    node.setPointerCapture(event.pointerId);
    note();
    node.onpointermove = (moved) => {
      const now = place(moved);
      move(all, start, now.x - before.x, now.y - before.y);
      [...$("#hints").children].forEach((other, i) => put(other, hints[i]));
      if (!calls.live) calls.live = enlarge().catch(() => {}).finally(() => (calls.live = null));
    };
    node.onpointerup = () => {
      node.onpointermove = null;
      select(hint);
      attempt(() => draw());
    };
    node.onpointercancel = undo; // two fingers zoom
  };
  node.onfocus = () => group !== hint.group && select(hint);
  node.onkeydown = (event) => {
    const path = way(event);
    if (event.key === "Escape") return event.stopPropagation(), (spot = { x: hint.x, y: hint.y }), $("#sheet").focus();
    if (!path || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    note();
    move(all, structuredClone(all), ...path);
    select(hint);
    attempt(() => draw());
  };
  return node;
}

function put(node, { x, y }) {
  node.style.left = `${(100 * (x + 0.5)) / photo.width}%`;
  node.style.top = `${(100 * (y + 0.5)) / photo.height}%`;
}

function move(places, start, dx, dy) {
  places.forEach((place, i) => {
    place.x = Math.min(photo.width - 1, Math.max(0, start[i].x + dx));
    place.y = Math.min(photo.height - 1, Math.max(0, start[i].y + dy));
  });
}

/** Focus the chosen hint, so that keys are for it, or else the picture. */
function focusHint() {
  ($("#hints").children[hints.findIndex((hint) => hint.group === group)] ?? $("#sheet")).focus({ preventScroll: true });
}

function select(hint) {
  group = hint.group;
  point(hint);
  $("#color").value = hint.color;
  update();
  focusHint();
  attempt(async () => palette(await ask("palette", wish({ x: hint.x, y: hint.y, hints: "", reference: "" }))));
}

/** Offer the colours of a place, and give a group the most frequent one unless a person has chosen another. */
async function colored(own, { x, y }) {
  const colors = await ask("palette", wish({ x, y, hints: "", reference: "" }), `palette of ${own}`);
  palette(colors);
  if (hasColor || !colors.length) return;
  $("#color").value = colors[0].color;
  hints.filter((hint) => hint.group === own).forEach((hint) => (hint.color = colors[0].color));
  update();
}

function palette(colors) {
  $("#palette").replaceChildren(...colors.map(({ color, share }) => {
    const button = document.createElement("button");
    button.style.background = color;
    button.title = button.ariaLabel = `${color}, in ${Math.round(100 * share)} % of the samples`;
    button.onclick = () => paintIn(color);
    return button;
  }));
}

/** Take a colour, for the chosen hint and for the next ones. */
function paintIn(color) {
  hasColor = true;
  $("#color").value = color;
  if (!hints.some((hint) => hint.group === group)) return;
  note();
  hints.filter((hint) => hint.group === group).forEach((hint) => (hint.color = color));
  update();
  attempt(() => draw());
}

function removeHints(which) {
  note();
  const next = hints[hints.findLastIndex(which) + 1] ?? hints.find((hint) => !which(hint));
  hints = hints.filter((hint) => !which(hint));
  group = next?.group ?? null;
  update();
  attempt(() => draw());
}

/** Show what the state has to show beside pictures. */
function update() {
  const kind = tool();
  if (kind !== "hint" || (aim?.group && !hints.includes(aim))) point(null);
  $("#hinting").hidden = kind !== "hint";
  $("#joining").hidden = $("#paint").hidden = kind !== "mask";
  $("#sheet").classList.toggle("drawing", kind !== "look");
  $("#sheet").tabIndex = kind === "look" ? -1 : 0; // in Compare, the slider is for keys
  $("#sheet").role = kind === "look" ? null : "application";
  $("#sheet").ariaLabel = { look: null, hint: KEYS + "place a hint", mask: KEYS + "dab with the brush" }[kind];
  const focused = $("#hints").contains(document.activeElement);
  $("#hints").replaceChildren(...(kind === "hint" ? hints.map(hintNode) : []));
  if (focused) focusHint();
  enable("#remove", hints.some((hint) => hint.group === group));
  enable("#clear", hints.length);
  enable("#undo", past.length);
  enable("#redo", future.length);
  $("#everywhere").textContent = spread ? "Give back their moods" : wall.meant().length < album.photos.length ? "This mood to those selected" : "This mood everywhere";
  $("#everywhere").hidden = album.photos.length < 2;
  const usual = reference && $("#use").checked ? facts.transferred : facts.temperature;
  if (!$("#temperature").dataset.own) $("#temperature").value = at(usual, facts.levels[0]);
  $("#heat").textContent = wish().temperature || shortest(usual);
  for (const label of document.querySelectorAll("label:has(> output + input)")) {
    if (label.id !== "" || label.querySelector("#strength")) label.querySelector("output").textContent = label.querySelector("input").value;
  }
  if (!$("#guidance").dataset.own) $("#guided output").textContent = facts.guidance; // which the slider may round
}

function setSplit(percent) {
  $("#sheet").classList.remove("gray");
  $("#split").value = percent;
  $("#sheet").style.setProperty("--split", `${percent}%`);
}

/** Show all of the photo as it is, or as much as before. */
function toggle() {
  $("#sheet").classList.toggle("gray");
}

// --- another photo ------------------------------------------------------------------------------------------

async function showReference(item) {
  const begun = here;
  if (!item.id) await renew(item);
  if (here !== begun) return; // another photo has been opened meanwhile
  reference = item;
  const image = new Image();
  image.src = await ask("before", { photo: item, frame: "none", size: "small" }, "reference");
  await image.decode();
  Object.assign($("#reference"), { width: image.width, height: image.height });
  $("#reference").getContext("2d").drawImage(image, 0, 0);
  $("#reference").hidden = $("#transfer").hidden = false;
}

async function follow(item) {
  const begun = here;
  await showReference(item);
  if (here !== begun) return;
  $("#use").checked = tool() !== "hint";
  update();
  if ($("#use").checked) await redraw();
}

/** Draw again after a setting has changed; joined samples stay joined. */
async function redraw() {
  update();
  await draw();
}

// --- events -------------------------------------------------------------------------------------------------

const on = (selector, event, work) => $(selector).addEventListener(event, (happened) => attempt(() => work(happened)));

async function add(files) {
  const added = [...files].map((file) => recall({ name: file.name, file }));
  if (!added.length) return;
  album.photos.push(...added);
  wall.update();
  if (!album.here) show("wall");
  facts = await loaded;
  try {
    if (added.length === 1) await open(added[0]);
    else if (album.here) back();
    else leave(); // also one that still opens, which would take the place of the wall
  } catch (error) {
    if (album.here !== added[0] && added.length === 1) album.photos.splice(album.photos.indexOf(added[0]), 1), rememberSent();
    wall.update();
    if (!album.here) show(album.photos.length ? "wall" : "drop");
    throw error;
  }
}

async function go(step) {
  const entry = album.here && wall.neighbour(album.here, step);
  if (entry) await open(entry);
}

on("#file", "change", async ({ target }) => (await add(target.files), (target.value = "")));
on("#second", "change", async ({ target }) => target.files[0] && follow({ file: target.files[0] }));
on("#back", "click", back);
on("#star", "click", () => wall.favour(here));
on("#everywhere", "click", everywhere);
on("#previous", "click", () => go(-1));
on("#next", "click", () => go(1));
on("#more", "click", () => turn(first + EIGHT));
on("#earlier", "click", () => turn(Math.max(0, first - EIGHT)));
on("#save", "click", save);
on("#undo", "click", undo);
on("#redo", "click", redo);
on("#zoom", "click", () => setZoom($("#zoom").ariaPressed !== "true"));
on("#like", "click", async () => {
  const values = await large({ saturation: 1, white_balance: 0 }); // those of the page are applied to what is drawn from it
  const begun = here, kept = await ask("keep", values);
  if (here !== begun) return; // another photo has been opened meanwhile
  mask = null;
  await follow({ ...kept, wish: values });
  if (here !== begun) return;
  $("#use").checked = true;
  await redraw();
});
on("#copy", "click", async () => {
  const command = await ask("command", await large());
  $("#command").textContent = command;
  $("#command").hidden = false;
  await navigator.clipboard?.writeText(command).catch(() => {});
});
on("#tools", "change", () => {
  update();
  if (mask || tool() === "mask") return joined();
});
on("#sheet", "pointerdown", drag);
$("#sheet").addEventListener("pointermove", hover);
$("#sheet").onpointerleave = () => point(hints.find((hint) => hint.group === group) ?? null);
on("#grow", "click", () => grow(2));
on("#shrink", "click", () => grow(0.5));
$("#sheet").onkeydown = steer;
$("#sheet").onfocus = () => $("#sheet").matches(":focus-visible") && cross();
$("#sheet").onblur = () => ($("#cross").hidden = true);
on("#error", "click", () => {}); // which hides it
on("#split", "input", ({ target }) => setSplit(target.value));
on("#color", "change", ({ target }) => paintIn(target.value));
on("#remove", "click", () => removeHints((hint) => hint.group === group));
on("#clear", "click", () => removeHints(() => true));
on("#inside", "change", enlarge);
on("#unmask", "click", () => {
  note();
  strokes = [];
  return joined();
});
on("#temperature", "change", ({ target }) => {
  target.dataset.own = "1";
  for (const input of document.querySelectorAll("#levels input")) if (!input.dataset.own) input.value = target.value;
  return redraw();
});
on("#levels", "change", ({ target }) => ((target.dataset.own = "1"), redraw()));
on("#guidance", "change", ({ target }) => ((target.dataset.own = "1"), redraw()));
for (const name of ["saturation", "balance", "strength", "mood", "use"]) on(`#${name}`, "change", redraw);
on("#frame", "change", reframe);
on("#reset", "click", () => (showSettings({}), redraw()));
on("#reference", "click", (event) => {
  const canvas = $("#reference"), box = canvas.getBoundingClientRect();
  const at = [(event.offsetX * canvas.width) / box.width, (event.offsetY * canvas.height) / box.height];
  const [red, green, blue] = canvas.getContext("2d").getImageData(...at, 1, 1).data;
  paintIn(`#${[red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("")}`);
});

document.addEventListener("keydown", (event) => {
  const types = event.target.closest("select, [type=color]"), steps = event.target.closest("input"), key = event.key.toLowerCase();
  if (key === "z" && (event.ctrlKey || event.metaKey)) return event.preventDefault(), event.shiftKey ? redo() : undo();
  if (!photo || event.ctrlKey || event.metaKey || event.altKey) return;
  if (tool() === "hint" && "+=-".includes(key)) return grow(key === "-" ? 0.5 : 2);
  if (types) return;
  if ("12345678".includes(key)) attempt(() => choose(first + Number(key) - 1));
  else if (key === "s") attempt(save);
  else if (key === "f") wall.favour(here);
  else if (key === "escape" && tool() !== "look" && !event.target.closest("#tools")) $("#tools :checked").focus();
  else if (key === "escape" && album.photos.length > 1) back();
  else if (key === "delete" && hints.some((hint) => hint.group === group)) removeHints((hint) => hint.group === group), focusHint();
  else if (key === " " && !event.target.closest("button, input:not([type=range]), summary")) event.preventDefault(), event.repeat || toggle();
  else if (key === "arrowleft" && !steps) attempt(() => go(-1));
  else if (key === "arrowright" && !steps) attempt(() => go(1));
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  ($(".over") ?? event.target).classList.remove("over");
  (event.target.closest("#other") ?? $("main")).classList.add("over");
});
document.addEventListener("dragleave", () => $(".over")?.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $(".over")?.classList.remove("over");
  const { files } = event.dataTransfer;
  if (photo && event.target.closest("#other")) attempt(async () => files[0] && follow({ file: files[0] }));
  else attempt(() => add(files));
});

addEventListener("attempted", () => (park(), wall.develop()));
addEventListener("pagehide", park);
addEventListener("storage", (event) => recalled(event) && (wall.update(), wall.develop()));
addEventListener("beforeunload", (event) => {
  park();
  const isLost = ({ contained }) => (work) => work.length && !contained?.has(JSON.stringify(work));
  const sent = album.photos.filter(({ key }) => !key); // work on those given is remembered
  if (sent.some((entry) => [entry.work.hints, entry.work.strokes].some(isLost(entry)))) event.preventDefault();
});
addEventListener("popstate", ({ state }) => {
  const entry = state?.photo && album.photos.find((other) => placeOf(other) === state.photo);
  if (entry && entry !== album.here) attempt(() => open(entry, false));
  else if (!entry && album.here && album.photos.length > 1) leave();
});

history.replaceState(history.state, "", location.pathname); // a cookie has the token now, which is not for bookmarks and pictures of the screen

const loaded = ask("facts", {});
loaded.catch(() => {});
attempt(async () => {
  $("#status").textContent = "loading the model";
  album.facts = facts = await loaded;
  $("#status").textContent = "";
  if (facts.films) $("#drop p").textContent = "Drop gray photos or films here.";
  const added = album.photos; // meanwhile
  album.photos = [...facts.given.map(recall), ...recallSent(), ...added];
  showSettings({});
  wall.begin((entry) => open(entry));
  film.begin(back);
  const last = album.photos.find((entry) => placeOf(entry) === history.state?.photo);
  if (added.length) return;
  if (last || album.photos.length === 1) await open(last ?? album.photos[0], false);
  else show(album.photos.length ? "wall" : "drop");
});
