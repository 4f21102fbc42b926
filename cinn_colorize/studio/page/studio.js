// The page holds wishes, in the words of the command line; the server draws what they ask for.

const $ = (selector) => document.querySelector(selector);
const EIGHT = 8;
const KEYS = "Picture. Arrow keys move a cross-hair, with Shift further; Escape leaves; Enter or space: ";
const MOST_MASK = 1024; // longer side of a mask, which may be smaller than its photo

let facts; // of the model and the photos given
let photos = []; // {name, id, file, given, done}, with the work on each and what of it was saved
let photo, here; // the open one, as the server describes it, and its entry in the list
let first = 0; // seed of the first of eight
let chosen = null; // the seed of the large picture
let hints = []; // {x, y, color, group}; a stroke is a group
let group = null; // the chosen one
let mask = null, reference = null; // {id, name}, and what they can be sent again from: file, or wish
let strokes = []; // of the mask: {points, width, erase}
let spot; // {x, y} of the cross-hair
let past = []; // for undo: hints and strokes
const calls = {}; // what is being asked for, by its purpose: a new call replaces the last one

function silent(error) {
  throw error.name === "AbortError" ? error : new Error("the studio does not answer; start it again");
}

async function post(path, body, signal) {
  const answer = await fetch(path, { method: "POST", body, signal }).catch(silent);
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { gone: answer.status === 410 });
  return answer;
}

/** Call the server; files that it has forgotten, as it has all after a new start, are made known to it again. */
async function send(path, values, signal) {
  const body = () => JSON.stringify(values, (_, value) => value?.id ?? value);
  const items = [values.photo, values.mask, values.reference].filter(Boolean), ids = items.map(({ id }) => id);
  try {
    return await post(path, body(), signal);
  } catch (error) {
    if (!error.gone) throw error;
    for (const [i, item] of items.entries()) if (item.id === ids[i]) await renew(item); // else it has been, meanwhile
    return post(path, body(), signal);
  }
}

/** Make an item known to the server, once for all who ask meanwhile. */
function renew(item) {
  return (item.renewing ??= introduce(item).finally(() => delete item.renewing));
}

async function introduce(item) {
  if (item.file) return Object.assign(item, await upload(item.file, item.made));
  if (item.wish) return Object.assign(item, await (await send("keep", item.wish)).json());
  const { given } = await (await send("facts", {})).json();
  Object.assign(item, given.find(({ name }) => name === item.name));
}

/** Call the server; a later call for the same purpose ends this one. */
async function ask(path, values, purpose = path) {
  calls[purpose]?.abort();
  calls[purpose] = new AbortController();
  const answer = await send(path, values, calls[purpose].signal);
  return answer.headers.get("content-type").includes("ndjson") ? lines(answer.body) : answer.json();
}

async function* lines(body) {
  let text = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const read = () => reader.read().catch(silent);
  for (let part = await read(); !part.done; part = await read()) {
    const parts = (text + part.value).split("\n");
    text = parts.pop();
    for (const line of parts.map(JSON.parse)) {
      if (line.error) throw new Error(line.error);
      yield line;
    }
  }
}

let working = 0;

/** Run what an event starts, and say what goes wrong. */
async function attempt(work) {
  $("#error").hidden = true;
  $("main").ariaBusy = ++working > 0;
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    $("#error").textContent = error.message;
    $("#error").hidden = false;
    $("#status").textContent = "";
  } finally {
    $("main").ariaBusy = --working > 0;
  }
}

// --- wishes -----------------------------------------------------------------------------------------------

function temperature() {
  const all = $("#temperature").value;
  const levels = [...document.querySelectorAll("#levels input")].filter((input) => input.dataset.own);
  const own = levels.map((input) => `${input.name}:${input.value}`);
  if (!$("#temperature").dataset.own && !own.length) return "";
  return [...($("#temperature").dataset.own ? [all] : []), ...own].join(",");
}

function wish(more = {}) {
  const values = { photo: here, frame: $("#frame").checked ? "auto" : "none", temperature: temperature() };
  if (facts.guidance !== null && Number($("#guidance").value) !== facts.guidance) values.guidance = $("#guidance").value;
  values.saturation = $("#saturation").value;
  if (!hints.length) values.white_balance = $("#balance").value;
  if (reference && $("#use").checked) {
    values.reference = reference;
    if (!$("#mood").checked) values.strength = $("#strength").value;
  } else if (hints.length) {
    values.hints = hints.map(({ x, y, color }) => `${x},${y},${color}`).join(" ");
  }
  return { ...values, ...more };
}

/** The wish for the large picture, in which a mask may join two samples. */
function large(more = {}) {
  if (chosen === null) throw new Error("no sample of this photo has been drawn yet");
  if (!mask) return wish({ seed: chosen, ...more });
  const { hints: _, reference: __, strength: ___, ...values } = wish();
  return { ...values, mask, seed: $("#inside").value, outside: chosen, ...more };
}

// --- photos and samples -------------------------------------------------------------------------------------

/** Send a file; one that was made here is saved with what is made from it. */
async function upload(file, made = "") {
  return (await post(`photos?name=${encodeURIComponent(file.name)}&made=${made}`, file)).json();
}

async function open(entry) {
  $("#photos").selectedIndex = photos.indexOf(entry);
  await read(entry);
  calls.large?.abort();
  calls.samples?.abort();
  ({ hints, strokes, past, first, chosen } = here.work ?? { hints: [], strokes: [], past: [], first: 0, chosen: null });
  [group, mask] = [null, null];
  spot = { x: photo.width >> 1, y: photo.height >> 1 };
  $("#drop").hidden = true;
  $("#view").hidden = $("#side").hidden = false;
  document.documentElement.style.setProperty("--ratio", photo.width / photo.height);
  $("#sheet").style.setProperty("--whole", `${photo.width / devicePixelRatio}px`);
  const scale = Math.min(1, MOST_MASK / Math.max(photo.width, photo.height));
  $("#paint").width = Math.max(1, Math.round(photo.width * scale));
  $("#paint").height = Math.max(1, Math.round(photo.height * scale));
  $("#before").src = $("#after").src = photo.before;
  $("#caption").textContent = "";
  zoom(false);
  placeholders();
  offer(here.work?.inside ?? first + 1);
  update();
  savable();
  await masked();
  await draw();
  prepare().catch(() => {}); // hints do it otherwise
}

/** Keep the work on the open photo with its entry. */
function park() {
  if (here) here.work = { hints, strokes, past, first, chosen, inside: $("#inside").value };
}

async function read(entry) {
  $("#status").textContent = "opening";
  calls.prepare?.abort();
  if (!entry.id) await renew(entry);
  const opened = await ask("open", { photo: entry, frame: $("#frame").checked ? "auto" : "none" });
  park();
  [photo, here] = [opened, entry];
  const found = photo.frame ? `(found: ${photo.frame})` : "(none found)";
  $("#framed").textContent = $("#frame").checked ? found : "";
}

/** Take the photo with or without its frame; hints and the mask stay. */
async function reframe() {
  await read(here);
  await draw();
  prepare().catch(() => {});
}

/** Draw the samples that hints require, one after the other, in the background. */
async function prepare() {
  while ((await ask("prepare", wish({ hints: "", reference: "", strength: "" }))) < facts.members);
}

/** Whether the large picture is one of the eight; else it stays until the first of them is there. */
const isOfEight = (seed = chosen) => seed !== null && first <= seed && seed < first + EIGHT;

/** Draw the eight samples anew, and the large picture. */
async function draw() {
  calls.samples?.abort(); // its buttons are of other samples, or of another photo
  $("#status").textContent = "drawing";
  if (isOfEight()) await attempt(show); // which another choice may replace
  for await (const sample of await ask("samples", wish({ seed: first, number: EIGHT, size: "small" }))) {
    const button = $("#samples").children[sample.seed - first];
    button.replaceChildren(picture(sample), caption(sample));
    button.disabled = false;
    if (!isOfEight()) attempt(() => choose(sample.seed));
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
    button.ariaLabel = `Sample ${k + 1}`;
    button.ariaPressed = first + k === chosen;
    button.onclick = () => attempt(() => choose(first + k));
    return button;
  }));
  enable("#earlier", first > 0);
}

function picture(sample) {
  const image = new Image();
  image.src = sample.picture;
  image.alt = `Sample ${sample.seed - first + 1}, seed ${sample.seed}`;
  return image;
}

function caption(sample) {
  const text = document.createElement("span");
  text.textContent = `${sample.seed - first + 1} · seed ${sample.seed}`;
  return text;
}

async function choose(seed) {
  chosen = seed;
  [...$("#samples").children].forEach((button, k) => (button.ariaPressed = first + k === seed));
  const inside = Number($("#inside").value);
  offer(isOfEight(inside) && inside !== seed ? inside : first + ((seed - first + 1) % EIGHT));
  savable();
  await show();
}

/** Let the seed inside a mask be one of the eight. */
function offer(inside) {
  $("#inside").replaceChildren(...Array.from({ length: EIGHT }, (_, k) => new Option(`seed ${first + k}`, first + k)));
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
  for (const button of ["#like", "#copy", "#save"]) $(button).ariaDisabled = chosen === null;
}

async function show() {
  $("#command").hidden = true;
  const size = $("#zoom").ariaPressed === "true" ? "full" : "large";
  for await (const made of await ask("samples", large({ number: 1, size }), "large")) {
    $("#after").src = made.picture;
    const how = mask ? `mix: seed ${made.seed} inside, ${chosen} outside` : `seed ${made.seed}`;
    const density = made.log_prob === null ? "" : `, log-likelihood ${Math.round(made.log_prob).toLocaleString("en")} nats`;
    $("#caption").textContent = `${how}${density} · ${photo.width} × ${photo.height}`;
    $("#after").alt = `The colorization with ${how}`;
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
  await show();
}

async function save() {
  const entry = here, values = large(); // by the end it may be another one
  const contained = JSON.stringify(mask ? mask.strokes : values.hints ? hints : []);
  $("#status").textContent = "saving";
  const result = await (await send("save", values)).json();
  for (const file of result.files ?? []) {
    const link = Object.assign(document.createElement("a"), { href: `files/${file.id}`, download: file.name });
    link.click();
  }
  entry.done = true;
  (entry.saved ??= new Set()).add(contained);
  list();
  $("#status").textContent = result.saved ? `saved ${result.saved[0]}` : `downloading ${result.files[0].name}`;
}

// --- hints and masks ----------------------------------------------------------------------------------------

const tool = () => $("#tools :checked").value;

function remember() {
  past = [...past.slice(-19), structuredClone({ hints, strokes })];
  $("#undo").disabled = false;
}

/** Return to what was remembered last. */
function back() {
  ({ hints, strokes } = past.pop());
  group = null;
  update();
  repaint();
}

function undo() {
  if (!past.length) return;
  back();
  attempt(async () => (await masked(), await draw()));
}

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
      remember();
      group = Date.now();
      $("#use").checked = false;
      attempt(async () => palette(await ask("palette", wish({ ...spot, hints: "", reference: "" }))));
    } else {
      const last = hints.at(-1);
      if (Math.hypot(spot.x - last.x, spot.y - last.y) < Math.max(photo.width, photo.height) / 48) return;
    }
    hints.push({ ...spot, color: $("#color").value, group });
    update();
  },
  mask(spot, isFirst) {
    if (isFirst) {
      remember();
      strokes = [...strokes, { points: [], width: $("#brush").value, erase: $("#eraser").checked }];
    }
    strokes.at(-1).points.push({ ...spot });
    trace(strokes.at(-1));
  },
};

function trace({ points, width, erase }) {
  const paint = $("#paint"), context = paint.getContext("2d"), scale = paint.width / photo.width;
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  context.strokeStyle = "#fff";
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = (width / 100) * Math.max(paint.width, paint.height);
  context.beginPath();
  for (const { x, y } of [points[0], ...points]) context.lineTo(x * scale, y * scale);
  context.stroke();
}

function repaint() {
  $("#paint").getContext("2d").clearRect(0, 0, $("#paint").width, $("#paint").height);
  strokes.forEach(trace);
}

const dropped = { look() {}, hint: () => (focusHint(), draw()), mask: joined };

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
    else back();
  };
}

/** Send the mask that is painted, if it is in use. */
async function masked() {
  repaint();
  if (tool() !== "mask") return (mask = null);
  const paint = $("#paint"), whole = new OffscreenCanvas(paint.width, paint.height), painted = strokes;
  const context = whole.getContext("2d");
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(paint, 0, 0);
  const isSeen = context.getImageData(0, 0, whole.width, whole.height).data.some((value, i) => i % 4 < 3 && value > 127);
  const stem = photo.name.split(/[\\/]/).pop().replace(/\.\w+$/, "");
  const file = new File([await whole.convertToBlob()], `${stem}_mask.png`);
  const sent = isSeen ? await renew({ file, made: "here", strokes: painted }) : null;
  if (painted === strokes) mask = tool() === "mask" ? sent : null; // else that of other strokes, or of another photo, follows
}

/** Show both samples joined by the mask. */
async function joined() {
  await masked();
  await show();
}

/** How far a key moves something, in pixels of the photo. */
function step({ key, shiftKey }) {
  const far = Math.max(1, Math.round(Math.max(photo.width, photo.height) / (shiftKey ? 10 : 100)));
  return { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[key];
}

/** Do by keys on the picture what the pointer does. */
function steer(event) {
  const way = step(event), kind = tool();
  if (event.target !== event.currentTarget || kind === "look" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (way) move([spot], [spot], ...way), cross();
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
    remember();
    node.onpointermove = (moved) => {
      const now = place(moved);
      move(all, start, now.x - before.x, now.y - before.y);
      [...$("#hints").children].forEach((other, i) => put(other, hints[i]));
      if (!calls.live) calls.live = show().catch(() => {}).finally(() => (calls.live = null));
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
    const way = step(event);
    if (event.key === "Escape") return (spot = { x: hint.x, y: hint.y }), $("#sheet").focus();
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    remember();
    move(all, structuredClone(all), ...way);
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
  $("#color").value = hint.color;
  update();
  focusHint();
  attempt(async () => palette(await ask("palette", wish({ x: hint.x, y: hint.y, hints: "", reference: "" }))));
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
  $("#color").value = color;
  if (!hints.some((hint) => hint.group === group)) return;
  remember();
  hints.filter((hint) => hint.group === group).forEach((hint) => (hint.color = color));
  update();
  attempt(() => draw());
}

function removeHints(which) {
  remember();
  const next = hints[hints.findLastIndex(which) + 1] ?? hints.find((hint) => !which(hint));
  hints = hints.filter((hint) => !which(hint));
  group = next?.group ?? null;
  update();
  attempt(() => draw());
}

/** Show what the state has to show beside pictures. */
function update() {
  const kind = tool();
  $("#hinting").hidden = kind !== "hint";
  $("#joining").hidden = $("#paint").hidden = kind !== "mask";
  $("#sheet").classList.toggle("drawing", kind !== "look");
  $("#sheet").tabIndex = kind === "look" ? -1 : 0; // in Compare, the slider is for keys
  $("#sheet").role = kind === "look" ? null : "application";
  $("#sheet").ariaLabel = { look: null, hint: KEYS + "place a hint", mask: KEYS + "dab with the brush" }[kind];
  $("#compare").hidden = kind === "mask";
  const focused = $("#hints").contains(document.activeElement);
  $("#hints").replaceChildren(...(kind === "hint" ? hints.map(hintNode) : []));
  if (focused) focusHint();
  enable("#remove", hints.some((hint) => hint.group === group));
  enable("#clear", hints.length);
  enable("#undo", past.length);
  const usual = reference && $("#use").checked ? facts.transferred : facts.temperature;
  if (!$("#temperature").dataset.own) $("#temperature").value = at(usual, facts.levels[0]);
  $("#heat").textContent = temperature() || shortest(usual);
  for (const label of document.querySelectorAll("label:has(> output + input)")) {
    if (label.id !== "" || label.querySelector("#strength")) label.querySelector("output").textContent = label.querySelector("input").value;
  }
}

/** The temperature of a level. */
const at = (levels, level) => (typeof levels === "number" ? levels : levels[level]);

function shortest(levels) {
  if (typeof levels === "number") return String(levels);
  const all = [...new Set(Object.values(levels))];
  return all.length > 1 ? `${Math.min(...all)} to ${Math.max(...all)} by level` : String(all[0]);
}

function setSplit(percent) {
  $("#split").value = percent;
  $("#sheet").style.setProperty("--split", `${percent}%`);
  $("#sheet").style.setProperty("--cut", percent);
}

// --- another photo ------------------------------------------------------------------------------------------

async function showReference(item) {
  if (!item.id) await renew(item);
  reference = item;
  const image = new Image();
  image.src = await ask("before", { photo: item, frame: "none", size: "small" }, "reference");
  await image.decode();
  Object.assign($("#reference"), { width: image.width, height: image.height });
  $("#reference").getContext("2d").drawImage(image, 0, 0);
  $("#reference").hidden = $("#transfer").hidden = false;
}

async function follow(item) {
  await showReference(item);
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

function list() {
  const index = Math.max(0, $("#photos").selectedIndex);
  $("#photos").replaceChildren(...photos.map((entry, i) => new Option(`${entry.done ? "✓ " : ""}${entry.name}`, i)));
  $("#photos").selectedIndex = index;
  $("#list").hidden = photos.length < 2;
}

async function add(files) {
  const added = [...files].map((file) => ({ name: file.name, file }));
  if (!added.length) return;
  photos.push(...added);
  list();
  try {
    await open(added[0]);
  } catch (error) {
    if (here !== added[0]) photos = photos.filter((entry) => entry !== added[0]);
    list();
    $("#photos").selectedIndex = photos.indexOf(here);
    throw error;
  }
}

async function go(step) {
  const entry = photos[$("#photos").selectedIndex + step];
  if (entry) await open(entry);
}

on("#file", "change", async ({ target }) => (await add(target.files), (target.value = "")));
on("#second", "change", async ({ target }) => target.files[0] && follow({ file: target.files[0] }));
on("#photos", "change", ({ target }) => open(photos[target.selectedIndex]));
on("#previous", "click", () => go(-1));
on("#next", "click", () => go(1));
on("#more", "click", () => turn(first + EIGHT));
on("#earlier", "click", () => turn(Math.max(0, first - EIGHT)));
on("#save", "click", save);
on("#undo", "click", undo);
on("#zoom", "click", () => setZoom($("#zoom").ariaPressed !== "true"));
on("#like", "click", async () => {
  const values = large({ saturation: 1, white_balance: 0 }); // those of the page are applied to what is drawn from it
  const kept = await ask("keep", values);
  mask = null;
  await follow({ ...kept, wish: values });
  $("#use").checked = true;
  await redraw();
});
on("#copy", "click", async () => {
  const command = await ask("command", large());
  $("#command").textContent = command;
  $("#command").hidden = false;
  await navigator.clipboard?.writeText(command).catch(() => {});
});
on("#tools", "change", () => {
  update();
  if (mask || tool() === "mask") return joined();
});
on("#sheet", "pointerdown", drag);
$("#sheet").onkeydown = steer;
$("#sheet").onfocus = () => $("#sheet").matches(":focus-visible") && cross();
$("#sheet").onblur = () => ($("#cross").hidden = true);
on("#error", "click", () => {}); // which hides it
on("#split", "input", ({ target }) => setSplit(target.value));
on("#color", "change", ({ target }) => paintIn(target.value));
on("#remove", "click", () => removeHints((hint) => hint.group === group));
on("#clear", "click", () => removeHints(() => true));
on("#inside", "change", show);
on("#unmask", "click", () => {
  remember();
  strokes = [];
  return joined();
});
on("#temperature", "change", ({ target }) => ((target.dataset.own = "1"), redraw()));
on("#levels", "change", ({ target }) => ((target.dataset.own = "1"), redraw()));
for (const name of ["guidance", "saturation", "balance", "strength", "mood", "use"]) on(`#${name}`, "change", redraw);
on("#frame", "change", reframe);
on("#reset", "click", () => (settings(), redraw()));
on("#reference", "click", (event) => {
  const canvas = $("#reference"), box = canvas.getBoundingClientRect();
  const at = [(event.offsetX * canvas.width) / box.width, (event.offsetY * canvas.height) / box.height];
  const [red, green, blue] = canvas.getContext("2d").getImageData(...at, 1, 1).data;
  paintIn(`#${[red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("")}`);
});

document.addEventListener("keydown", (event) => {
  const types = event.target.closest("select, [type=color]"), steps = event.target.closest("input");
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) return event.preventDefault(), undo();
  if (!photo || types || event.ctrlKey || event.metaKey || event.altKey) return;
  if ("12345678".includes(event.key)) attempt(() => choose(first + Number(event.key) - 1));
  else if (event.key.toLowerCase() === "s") attempt(save);
  else if (event.key === "Delete" && hints.some((hint) => hint.group === group)) removeHints((hint) => hint.group === group), focusHint();
  else if (event.key === "ArrowLeft" && !steps) attempt(() => go(-1));
  else if (event.key === "ArrowRight" && !steps) attempt(() => go(1));
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

addEventListener("beforeunload", (event) => {
  park();
  const isLost = ({ saved }) => (work) => work?.length && !saved?.has(JSON.stringify(work));
  if (photos.some((entry) => [entry.work?.hints, entry.work?.strokes].some(isLost(entry)))) event.preventDefault();
});

/** Set all settings to the model's own. */
function settings() {
  delete $("#temperature").dataset.own;
  $("#temperature").value = at(facts.temperature, facts.levels[0]);
  $("#levels").replaceChildren(...facts.levels.map((level) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1.5, step: 0.05, name: level });
    input.value = at(facts.temperature, level);
    label.append(level === 0 ? "Base" : `${level} × ${level}`, input);
    return label;
  }));
  $("#guided").hidden = facts.guidance === null;
  $("#guidance").max = facts.max_guidance;
  $("#guidance").value = facts.guidance ?? 0;
  $("#saturation").value = 1;
  $("#balance").value = 0;
  $("#use").checked = false;
  $("#mood").checked = true;
}

history.replaceState(null, "", location.pathname); // a cookie has the token now, which is not for bookmarks and pictures of the screen

attempt(async () => {
  $("#status").textContent = "loading the model";
  facts = await ask("facts", {});
  $("#status").textContent = "";
  const added = photos; // meanwhile, which is being opened
  photos = [...facts.given, ...added];
  settings();
  list();
  if (added.length) $("#photos").selectedIndex = photos.indexOf(added[0]);
  else if (photos.length) await open(photos.find((entry) => !entry.done) ?? photos[0]);
});
