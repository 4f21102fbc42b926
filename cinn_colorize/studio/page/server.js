// Calls of the server, one after the other where they are for the same purpose, and what is said of them.

export const $ = (selector) => document.querySelector(selector);
export const calls = {}; // what is being asked for, by its purpose: a new call replaces the last one
const wakers = [];
let working = 0, held = 0;

function silent(error) {
  throw error.name === "AbortError" ? error : Object.assign(new Error("the studio does not answer; start it again"), { silent: true });
}

async function post(path, body, signal) {
  const answer = await fetch(path, { method: "POST", body, signal }).catch(silent);
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { gone: answer.status === 410 });
  return answer;
}

/** Call the server; files that it has forgotten, as it has all after a new start, are made known to it again. */
export async function send(path, values, signal) {
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
export function renew(item) {
  return (item.renewing ??= introduce(item).finally(() => delete item.renewing));
}

async function introduce(item) {
  if (item.file) return Object.assign(item, await upload(item.file, item.made));
  if (item.wish) return Object.assign(item, await (await send("keep", item.wish)).json());
  const { given } = await (await send("facts", {})).json();
  const found = given.find(({ key }) => key === item.key);
  if (!found) throw new Error(`${item.name}: is no longer open here; open it again`);
  item.id = found.id;
}

/** Send a file; one that was made here is saved with what is made from it. */
async function upload(file, made = "") {
  return (await post(`photos?name=${encodeURIComponent(file.name)}&made=${made}`, file)).json();
}

/** Call the server; a later call for the same purpose ends this one. */
export async function ask(path, values, purpose = path) {
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

/** Do something for which the wall waits. */
export async function hold(work) {
  held++;
  try {
    return await work();
  } finally {
    if (!--held) wakers.splice(0).forEach((wake) => wake());
  }
}

/** Wait until nothing is being done for the person, who comes first. */
export async function idle() {
  while (held) await new Promise((wake) => wakers.push(wake));
}

/** Run what an event starts, and say what goes wrong. */
export async function attempt(work) {
  $("#error").hidden = true;
  $("main").ariaBusy = ++working > 0;
  try {
    await hold(work);
  } catch (error) {
    if (error.name !== "AbortError") say(error);
  } finally {
    $("main").ariaBusy = --working > 0;
    dispatchEvent(new Event("attempted"));
  }
}

export function say(error) {
  $("#error").textContent = error.message;
  $("#error").hidden = false;
  $("#status").textContent = "";
}
