// The page: one room over headgate.v1, in plain JavaScript.
//
// What people wrote is only ever set as text. What is not saved yet stays in `outbox`
// under its client_id, so that sending it again is the same message; a message counts
// as saved when the room's log brings it back.

import { Connection } from "./connection.js";
import { kept } from "./kept.js";
import { paintRow, put } from "./row.js";

const find = (id) => document.getElementById(id);
const clone = (id) => find(id).content.firstElementChild.cloneNode(true);
const page = JSON.parse(find("page").textContent);
const words = find("words")?.dataset ?? {};
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const now = () => performance.now(); // ms; unlike the time of day it only grows
const seconds = (ms) => fill(words.seconds, { n: Math.max(1, Math.ceil(ms / 1000)) });
const wellFormed = (text) => text.toWellFormed?.() ?? text; // no halves of characters

// --- who one is ---

const guest = kept("localStorage", "headgate.guest"); // {name, token}
let token = guest.get()?.token; // makes a guest the same guest again
let me = { id: null, kind: "user", name: page.name ?? guest.get()?.name ?? "" };

/** Show the guest's name, or ask for it in the composer's place. */
function introduce(asking) {
  if (!page.guest) return;
  const name = guest.get()?.name;
  if (name) put(find("my-name"), name);
  find("rename").hidden = !name;
  find("introduction").hidden = Boolean(name) && !asking;
  if (page.room) find("composer").hidden = !find("introduction").hidden;
}

function choose(event) {
  event.preventDefault();
  const name = wellFormed(find("name").value.trim());
  if (!name) return;
  guest.set({ token, ...guest.get(), name });
  introduce(false);
  if (!page.room) return;
  connection.open();
  find("text").focus();
}

// --- the connection ---

const url = page.room && new URL(page.socket, location.href);
if (url) url.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const connection = new Connection({
  url,
  hello,
  hear: (message) => pushes[message.push]?.(message),
  // What the server could not read is most likely what is being sent.
  unread: (error) => refuse?.(error),
  changed(state, why) {
    room.live = false;
    backlog.length = 0;
    typists.clear();
    show(state, why || words[state]);
  },
});

function hello() {
  const { name, token: own = token } = guest.get() ?? {};
  const here = room.epoch && {
    resume: { [page.room]: { seq: room.head, epoch: room.epoch } },
    pending: { [page.room]: outbox.filter((item) => !item.seq).map((item) => item.id) },
  };
  return { cmd: "hello", agent: "headgate-page", ...(page.guest && { guest: own, name }), ...here };
}

const here = (command) => ({ room: page.room, ...command });
const ask = (command) => connection.callPatiently(here(command));
const failed = (error) => error.lost || connection.stop(error.text);

function show(state, text) {
  find("state").dataset.state = state;
  put(find("state-words"), text);
  find("retry").hidden = state !== "waiting";
  tick();
}

/** Whatever hangs on the clock. */
function tick() {
  connection.tick();
  put(find("countdown"), connection.retryAt ? seconds(connection.retryAt - now()) : "");
  showTypists();
  pump();
  paintOutbox();
}

// --- the room ---

const room = { head: 0, epoch: null, live: false };
const rows = new Map(); // the messages that are shown, by seq
const changes = new Map(); // the last change of each that is not shown
const backlog = []; // events that wait for those before them
let draining = false;

const pushes = {
  welcome, message: take, edited: take, deleted: take, membership: take, gap: take,
  reset: load,
  typing: hearTyping,
  read: ({ author, seq }) => { if (author.id === me.id) readUpTo = Math.max(readUpTo, seq); },
  rooms: ({ left }) => { if (left?.includes(page.room)) connection.stop(words.left); },
};

function welcome({ user, guest: mine, rooms }) {
  me = user;
  if (mine) token = mine;
  if (mine && guest.get()?.name) guest.set({ name: user.name, token });
  introduce(page.guest && !find("introduction").hidden);
  const { error, landed = {}, read } = rooms[page.room] ?? {};
  connection.comeBackIn = error?.retry_after_ms ?? 0;
  if (error) return connection.comeBackIn ? connection.lose() : connection.stop(error.text);
  for (const item of outbox) {
    item.author ??= user.id;
    if (landed[item.id]) settle(item, landed[item.id]);
    else if (item.author !== user.id) item.refusal = words.changed;
  }
  return room.epoch ? goLive(read) : load();
}

/** Show the newest messages, then watch from the head that they were read at. */
async function load() {
  if (room.live) connection.post(here({ cmd: "leave" }));
  room.live = false;
  try {
    const { messages, head, epoch, more } = await ask({ cmd: "history" });
    Object.assign(room, { head, epoch });
    rows.clear();
    changes.clear();
    backlog.length = 0;
    find("messages").replaceChildren();
    insert(messages, null, more);
    goLive((await ask({ cmd: "join", after: head, epoch })).read);
  } catch (error) { failed(error); }
}

function goLive(read = 0) {
  room.live = true;
  readUpTo = Math.max(readUpTo, read);
  find("log").setAttribute("aria-busy", "false");
  show("connected", words.connected);
  sweep();
  markRead();
}

async function loadEarlier() {
  const first = find("messages").firstElementChild;
  try {
    const before = first?.message.seq ?? room.head + 1;
    const { messages, more } = await ask({ cmd: "history", before });
    const height = scroll.scrollHeight;
    following = false;
    insert(messages, first, more);
    if (first) paint(first);
    scroll.scrollTop += scroll.scrollHeight - height;
  } catch { /* the button is still there */ }
}

/** Insert a page of messages; it is there to be read, and not announced. */
function insert(messages, before, more) {
  find("log").setAttribute("aria-live", "off");
  for (const message of messages) place(message, before);
  find("earlier").hidden = !more;
  setTimeout(() => find("log").setAttribute("aria-live", "polite"), 500);
}

function take(event) {
  if (!room.live || event.room !== page.room) return;
  backlog.push(event);
  drain().catch(failed);
}

/** Apply events in the order of their seqs, fetching those that are missing. */
async function drain() {
  if (draining) return;
  draining = true;
  try {
    while (backlog.length) {
      const event = backlog.shift();
      const to = event.push === "gap" ? event.to : event.seq - 1;
      while (room.head < to) {
        const { epoch, head: after } = room;
        const missing = await ask({ cmd: "history", of: "events", after, to, limit: 200 });
        if (epoch !== room.epoch || epoch !== missing.epoch) return;
        missing.events.forEach(apply);
        if (!missing.more) room.head = Math.max(room.head, to);
      }
      apply(event);
    }
  } finally {
    draining = false;
  }
}

function apply(event) {
  if (!(event.seq > room.head)) return; // a gap has none
  room.head = event.seq;
  if (event.push === "message") add(event);
  else if (rows.has(event.target)) change(rows.get(event.target), event);
  else if (event.target) changes.set(event.target, event);
  sweep();
  markRead();
}

function add(message) {
  const others = message.author.id !== me.id;
  typists.delete(message.author.id);
  if (others && !following) fresh += 1;
  if (others && document.hidden) unseen += 1;
  place(message, null);
  for (const old of following ? [...find("messages").children].slice(0, -500) : []) {
    rows.delete(old.message.seq);
    old.remove();
    find("earlier").hidden = false;
  }
}

function change(li, { push, seq, text, format, data, deleted }) {
  if (push === "deleted" || deleted) Object.assign(li.message, { deleted: true, text: "" });
  else Object.assign(li.message, { text, format, data, edited: seq });
  paint(li);
}

// --- what is shown ---

const scroll = find("scroll");
const title = document.title;
let following = true; // whether what is new is scrolled to
let fresh = 0; // new below what is in sight
let unseen = 0; // new while the page was out of sight

function place(message, before) {
  const li = Object.assign(clone("row"), { message });
  rows.set(message.seq, li);
  find("messages").insertBefore(li, before);
  if (changes.has(message.seq)) change(li, changes.get(message.seq));
  changes.delete(message.seq);
  const item = outbox.find(({ id }) => id === message.client_id);
  if (item && message.author.id === me.id) settle(item, message.seq);
  paint(li);
}

function paint(li) {
  const last = li.parentNode.id === "unsent" ? find("messages").lastElementChild : null;
  paintRow(li, (li.previousElementSibling ?? last)?.message, me, words);
}

/** After anything came or went: the counts, and the words for an empty room. */
function recount() {
  find("empty").hidden = !room.epoch || rows.size + outbox.length > 0;
  if (following) fresh = 0;
  if (!document.hidden) unseen = 0;
  find("fresh").hidden = !fresh;
  put(find("fresh"), fresh === 1 ? words.freshOne : fill(words.fresh, { n: fresh }));
  document.title = unseen ? `(${unseen}) ${title}` : title;
}

function toBottom() {
  following = true;
  scroll.scrollTop = scroll.scrollHeight;
}

function edit(li) {
  const { seq: target, text, format, data } = li.message;
  const form = clone("editor");
  const [area, trouble] = [form.querySelector("textarea"), form.querySelector(".trouble")];
  const end = () => { form.remove(); li.querySelector(".edit").focus(); };
  area.value = text;
  area.onkeydown = submitsOnEnter;
  form.onkeydown = (event) => { if (event.key === "Escape" && !event.isComposing) end(); };
  form.querySelector("[type=button]").onclick = end;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const command = here({ cmd: "edit", target, text: wellFormed(area.value), format, data });
    put(trouble, tooLong(command));
    if (trouble.textContent) return;
    try { await connection.call(command); end(); } catch (error) {
      put(trouble, error.text ?? words.lost);
    }
  };
  li.querySelector(".editor")?.remove();
  li.querySelector(".text").after(form);
  area.focus();
}

/** Delete a message, when the button was pressed twice. */
async function erase(li, button) {
  const label = button.textContent;
  if (label !== words.sure) {
    put(button, words.sure);
    setTimeout(() => put(button, label), 4000);
    return;
  }
  try { await connection.call(here({ cmd: "delete", target: li.message.seq })); } catch (error) {
    put(li.querySelector(".why"), error.text ?? words.lost);
  }
}

// --- what is not saved yet ---

const unsent = kept("sessionStorage", `headgate.unsent.${page.room}`);
const draft = kept("sessionStorage", `headgate.draft.${page.room}`);
const outbox = unsent.get() ?? []; // {id, text, author, at, refusal, until, seq, li}
let refuse = null; // while one is being sent; one at a time, so that they keep their order

const isDue = (item) => !item.seq && !item.refusal;
const asSend = ({ id, text }) => here({ cmd: "send", client_id: id, text });

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function keepOutbox() {
  const toKeep = ({ id, text, author, at, refusal }) => ({ id, text, author, at, refusal });
  unsent.set(outbox.filter((item) => !item.seq).map(toKeep));
  paintOutbox();
}

function tooLong(command) {
  const n = connection.excess(command);
  return n > 0 ? fill(words.tooLong, { n }) : "";
}

function submit(event) {
  event.preventDefault();
  const text = wellFormed(find("text").value);
  if (!text.trim()) return;
  const item = { id: newId(), text, author: me.id, at: new Date().toISOString() };
  const full = outbox.length >= 50 ? fill(words.tooMany, { n: outbox.length }) : "";
  put(find("trouble"), full || tooLong(asSend(item)));
  if (find("trouble").textContent) return;
  outbox.push(item);
  find("text").value = "";
  draft.set("");
  keepOutbox();
  toBottom();
  pump();
}

async function pump() {
  const item = outbox.find(isDue);
  if (!item || refuse || !room.live || item.until > now()) return;
  const unread = new Promise((_, reject) => { refuse = reject; });
  try {
    settle(item, (await Promise.race([connection.call(asSend(item)), unread])).seq);
  } catch (error) {
    if (error.retry_after_ms) item.until = now() + error.retry_after_ms;
    else if (!error.lost) item.refusal = error.text;
    if (error.code === "id_conflict") item.id = newId();
    keepOutbox();
  }
  refuse = null;
  pump();
}

/** It is in the log: its row goes when the log's own is there. */
function settle(item, seq) {
  item.seq = seq;
  sweep();
  keepOutbox();
}

function sweep() {
  outbox.filter(({ seq }) => seq <= room.head).forEach(drop);
  recount();
}

function drop(item) {
  outbox.splice(outbox.indexOf(item), 1);
  item.li?.remove();
}

const itemOf = (li) => outbox.find((item) => item.li === li);

function discard(li) {
  drop(itemOf(li));
  keepOutbox();
  find("text").focus();
}

function sendAgain(li) {
  Object.assign(itemOf(li), { refusal: undefined, author: me.id });
  keepOutbox();
  pump();
}

function paintOutbox() {
  const first = outbox.find(isDue);
  const waits = room.live && first?.until > now();
  for (const item of outbox) {
    item.li ??= clone("row");
    item.li.message = { author: { ...me, id: item.author }, text: item.text, at: item.at };
    if (!item.li.parentNode) find("unsent").append(item.li);
    paint(item.li);
    const part = (name) => item.li.querySelector(`.${name}`);
    const goes = waits ? words.waits : room.live ? words.sending : words.held;
    item.li.classList.toggle("refused", Boolean(item.refusal));
    part("why").role = item.refusal ? "alert" : null;
    put(part("why"), item.refusal ?? (item.seq ? "" : goes));
    put(part("wait"), waits && item === first ? seconds(item.until - now()) : "");
    part("again").hidden = part("discard").hidden = !item.refusal;
  }
  recount();
}

// --- signals ---

const typists = new Map(); // {name, until} by id
let signalledAt = -Infinity;
let readUpTo = 0;
let marking = 0;

function hearTyping({ author, typing, room: where }) {
  if (where !== page.room) return;
  typists.set(author.id, { name: author.name, until: typing ? now() + 6000 : 0 });
  showTypists();
}

function showTypists() {
  for (const [id, { until }] of typists) if (until < now()) typists.delete(id);
  // Isolated (U+2068, U+2069), so that a name cannot turn the sentence around.
  const [a, b] = [...typists.values()].map(({ name }) => `\u2068${name}\u2069`);
  const text = ["", words.typingOne, words.typingTwo][typists.size] ?? words.typingMany;
  put(find("typing"), fill(text, { a, b }));
}

function typed() {
  const { value } = find("text");
  draft.set(value);
  put(find("trouble"), "");
  if (!room.live || !value.trim() || now() - signalledAt < 3000) return;
  signalledAt = now();
  connection.post(here({ cmd: "typing" }));
}

/** Move the read mark, a second after the newest message came into sight. */
function markRead() {
  marking ||= setTimeout(() => {
    marking = 0;
    if (!room.live || document.hidden || !following || room.head <= readUpTo) return;
    readUpTo = room.head;
    connection.post(here({ cmd: "read", seq: readUpTo }));
  }, 1000);
}

function submitsOnEnter(event) {
  // While a word is being composed, Enter belongs to the input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

// --- the start ---

if (page.guest) {
  introduce(false);
  find("introduction").onsubmit = choose;
  find("rename").onclick = () => {
    introduce(true);
    find("name").value = guest.get()?.name ?? "";
    find("name").focus();
  };
}

if (page.room) {
  const actions = { edit, delete: erase, again: sendAgain, discard };
  scroll.onclick = ({ target }) => actions[target.className]?.(target.closest("li"), target);
  scroll.onscroll = () => {
    following = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
    recount();
    markRead();
  };
  const keepAtBottom = new ResizeObserver(() => following && toBottom());
  for (const id of ["scroll", "messages", "unsent"]) keepAtBottom.observe(find(id));
  document.onvisibilitychange = () => { recount(); markRead(); };
  window.ononline = () => { if (connection.retryAt) connection.open(); };
  find("retry").onclick = () => connection.open();
  find("earlier").onclick = loadEarlier;
  find("fresh").onclick = toBottom;
  find("composer").onsubmit = submit;
  find("text").oninput = typed;
  find("text").onkeydown = submitsOnEnter;
  find("text").value = draft.get() ?? "";
  setInterval(tick, 250);
  connection.open();
}
