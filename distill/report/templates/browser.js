// The trace browser: a list of entries at the left, the selected one at the right. An entry is a training trace, or an
// evaluation problem with the answers of every model. What models wrote is hostile: it becomes text nodes and nothing
// else, and characters that hide or turn a line are spelled out.
"use strict";
(() => {

const byId = id => document.getElementById(id);
const entries = JSON.parse(byId("entries").textContent);
const [list, reader, count, section] = ["list", "reader", "count", "browser"].map(byId);
const fields = Object.fromEntries(
  ["q", "view", "group", "kind", "verdict", "model", "min", "max"].map(id => [id, byId(id)]));
const entryOf = new Map(entries.flatMap(entry => entry.answers.map(answer => [answer.id, entry])));
let shown = entries, current = null;

// ---------------------------------------------------------------- text

const HIDDEN = /((?:(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}])+)/u;  // joiners are letters' and emojis' own

// make("p", "note", "a text", node, …): an element with a class and children; strings become text.
function make(tag, kind, ...children) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  node.append(...children);
  return node;
}

// A text as nodes: what would be invisible is spelled out, what was left out of the middle is said.
function words(text, cure) {
  if (Array.isArray(text)) {
    const [start, n, end] = text;
    const cut = make("span", "cut", `… ${amount(n, "characters")} are left out here; ${cure} …`);
    return [...words(start), cut, ...words(end)];
  }
  const parts = text.replaceAll("\r\n", "\n").split(HIDDEN);
  return parts.map((part, place) => place % 2 ? make("span", "hidden-character", spelled(part)) : part);
}

const code = character => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const spelled = text => Array.from(text, character => "U+" + code(character)).join(" ");
const visible = text => text.split(HIDDEN).map((part, place) => place % 2 ? spelled(part) : part).join("");
const plain = text => Array.isArray(text) ? text[0] + text[2] : text ?? "";

// Text of a model or a data set, kept from turning the line it stands in.
function own(tag, kind, text, cure) {
  const node = make(tag, kind, ...words(text, cure));
  node.dir = "auto";
  return node;
}

// ---------------------------------------------------------------- filters

const OF_ENTRY = ["view", "group", "kind"], OF_ANSWER = ["verdict", "model"];

const folded = entries.map(entry => {
  const texts = [entry.problem, entry.prompt, entry.gold];
  for (const a of entry.answers) texts.push(a.id, a.chain, a.answer, a.text, a.extracted, a.evidence);
  return texts.map(plain).join("\n").toLowerCase();
});

// The values of a filter with how many entries have each, those of the chosen view alone.
function offer(name) {
  const counts = new Map();
  for (const entry of entries) {
    if (name !== "view" && fields.view.value && entry.view !== fields.view.value) continue;
    const values = OF_ENTRY.includes(name) ? [entry[name]] : entry.answers.map(answer => answer[name]);
    for (const value of new Set(values)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const before = fields[name].value;
  const sorted = [...counts].sort(([a], [b]) => a < b ? -1 : 1);
  const options = sorted.map(([value, n]) => option(value, `${visible(value)} (${n})`));
  fields[name].replaceChildren(option("", name === "view" ? "both" : "all"), ...options);
  fields[name].value = counts.has(before) ? before : "";
}

function option(value, label) {
  const node = make("option", "", label);
  node.value = value;
  return node;
}

function matches(entry, place) {
  const [low, high] = [fields.min.value || 0, fields.max.value || Infinity].map(Number);
  return OF_ENTRY.every(name => !fields[name].value || entry[name] === fields[name].value)
    && folded[place].includes(fields.q.value.trim().toLowerCase())
    && entry.answers.some(answer => answer.tokens >= low && answer.tokens <= high
      && OF_ANSWER.every(name => !fields[name].value || answer[name] === fields[name].value));
}

function filter() {
  shown = entries.filter(matches);
  const there = new Set(shown);
  entries.forEach((entry, place) => { list.children[place].hidden = !there.has(entry); });
  count.value = `${shown.length} of ${entries.length} entries`;
  if (!there.has(current)) select(shown[0] ?? null);
  else mark();
}

// Set every filter to what `wanted` says, else to nothing; what the filters offer depends on the view.
function set(wanted) {
  fields.view.value = wanted.get("view") ?? "";
  offerAll();
  for (const [name, field] of Object.entries(fields)) {
    field.value = wanted.get(name) ?? "";
    if (!field.value) field.value = "";  // a value that is not on offer leaves a select without any
  }
  filter();
}

const offerAll = () => [...OF_ENTRY, ...OF_ANSWER].forEach(offer);

function clear() {
  set(new Map());
  remember();
}

// ---------------------------------------------------------------- list

const SIGNS = {correct: "✓", incorrect: "✗"};

// A verdict's sign before a label; a right trace that was not kept has the colour of neither.
function sign(answer, label, spoilt = false) {
  const kind = Object.hasOwn(SIGNS, answer.verdict) && !spoilt ? answer.verdict : "abstained";
  return own("span", `verdict ${kind}`, `${SIGNS[answer.verdict] ?? "–"} ${label}`);
}

function item(entry) {
  const opening = plain(entry.prompt).replace(/\s+/g, " ").slice(0, 160);
  const marks = make("span", "marks", own("span", "group", entry.group), ...outcome(entry));
  const button = make("button", "", own("span", "opening", opening), marks);
  button.type = "button";
  button.tabIndex = -1;
  button.addEventListener("click", () => { select(entry); remember(); });
  return make("li", "", button);
}

function outcome({view, kind, answers}) {
  if (view === "evaluation") return answers.map(answer => sign(answer, answer.model));
  const [{verdict, tokens}] = answers;
  return [sign(answers[0], kind, verdict === "correct" && kind !== "kept"), make("span", "", amount(tokens, "tokens"))];
}

const amount = (n, what) => `${n.toLocaleString("en")} ${what}`;

const buttonOf = entry => list.children[entries.indexOf(entry)].firstChild;

function select(entry) {
  if (current) {
    buttonOf(current).tabIndex = -1;
    buttonOf(current).removeAttribute("aria-current");
  }
  current = entry;
  reader.replaceChildren(...(entry ? read(entry) : [make("p", "note", "No entry meets all of this.")]));
  reader.scrollTop = 0;
  mark();
  if (!entry) return;
  const button = buttonOf(entry), row = button.parentNode;
  button.tabIndex = 0;
  button.setAttribute("aria-current", "true");
  if (row.offsetTop < list.scrollTop) list.scrollTop = row.offsetTop;
  else list.scrollTop = Math.max(list.scrollTop, row.offsetTop + row.offsetHeight - list.clientHeight);
}

function step(by) {
  const place = shown.indexOf(current);
  const next = shown[Math.min(Math.max(place + by, 0), shown.length - 1)];
  if (!next) return;
  const moved = list.contains(document.activeElement);
  select(next);
  if (moved) buttonOf(next).focus({preventScroll: true});
  remember();
}

// ---------------------------------------------------------------- reader

function read(entry) {
  const cure = entry.view === "training" ? "distill show and the trace's id print them" : "data/scores holds them";
  const head = make("header", "", own("span", "group", entry.group), own("span", "", entry.kind));
  const asked = make("section", "asked", make("h3", "", "Problem"), own("pre", "", entry.prompt, cure),
    facts([["reference", entry.gold], ["problem id", entry.problem]], cure));
  return [head, asked, make("div", "answers", ...entry.answers.map(answer => said(answer, entry, cure)))];
}

function said(answer, entry, cure) {
  const link = make("a", "", answer.id);
  link.href = "#" + new URLSearchParams({trace: answer.id});
  const rest = [
    ["compared", answer.extracted],
    ["evidence", answer.evidence],
    ["decided by", answer.method],
    ["length", `${amount(answer.tokens, "tokens")}, ended by ${answer.finish}`],
    ["sample", answer.sample + (answer.right ? `; of ${answer.right[1]} samples ${answer.right[0]} right` : "")],
    ["concerns", answer.concerns], ["copy of", answer.copy], ["trace", link],
  ];
  const texts = [["Chain of thought", answer.chain], ["Answer", answer.answer], ["The whole message", answer.text]];
  return make("section", `answer ${answer.role}`,
    make("h3", "", own("bdi", "", answer.model), " ", sign(answer, answer.verdict)), facts(rest, cure),
    ...texts.filter(([, text]) => text).flatMap(([name, text]) => [make("h4", "", name), own("pre", "", text, cure)]));
}

function facts(rows, cure) {
  const there = rows.filter(([, value]) => value);
  return make("dl", "facts", ...there.map(([name, value]) => make("div", "", make("dt", "", name),
    value instanceof Node ? make("dd", "", value) : own("dd", "", value, cure))));
}

// Mark what was searched for, without touching the text.
function mark() {
  if (!CSS.highlights) return;
  CSS.highlights.delete("found");
  const wanted = fields.q.value.trim().toLowerCase();
  if (!wanted) return;
  const ranges = [], walk = document.createTreeWalker(reader, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, text = node.data.toLowerCase();
    if (text.length !== node.data.length) continue;  // a letter that folds into two would shift the places
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + wanted.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

// Printing the page prints its numbers; this prints the entry alone.
function printOne() {
  document.documentElement.classList.add("print-entry");
  window.print();
  document.documentElement.classList.remove("print-entry");
}

// ---------------------------------------------------------------- address

function remember() {
  const trace = current ? [["trace", current.answers[0].id]] : [];
  const filters = Object.entries(fields).map(([name, field]) => [name, field.value]).filter(([, value]) => value);
  history.replaceState(null, "", "#" + new URLSearchParams([...trace, ...filters]));
}

// #trace=<id> and the filters beside it; any other fragment is a heading's.
function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1)), trace = wanted.get("trace");
  if (![...wanted.keys()].some(name => name === "trace" || name in fields)) return;
  set(wanted);
  byId("reading").scrollIntoView();
  if (!trace) return;
  if (!entryOf.has(trace)) return lost(trace);
  const entry = entryOf.get(trace);
  select(entry);
  reader.querySelectorAll(".answer")[entry.answers.findIndex(answer => answer.id === trace)].classList.add("linked");
}

function lost(trace) {
  count.value = `Trace ${visible(trace)} is not among these entries; distill show prints a training trace.`;
}

// ---------------------------------------------------------------- keys

const typing = node => node.matches("input, select, textarea");

function inView() {
  const {top, bottom} = section.getBoundingClientRect(), middle = innerHeight / 2;
  return section.contains(document.activeElement) || (top < middle && bottom > middle);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrows = list.contains(event.target) ? {ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity} : {};
  const by = {j: 1, k: -1, ...arrows}[event.key];
  if (event.key === "Escape" && section.contains(event.target)) clear();
  else if (typing(event.target)) return;
  else if (event.key === "/") fields.q.focus();
  else if (by && inView()) step(by);
  else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- start

list.append(...entries.map(item));
for (const [name, field] of Object.entries(fields)) {
  field.addEventListener("input", () => {
    if (name === "view") offerAll();
    filter();
    remember();
  });
}
for (const [id, act] of [["reset", clear], ["previous", () => step(-1)], ["next", () => step(1)], ["print", printOne]])
  byId(id).addEventListener("click", act);
document.addEventListener("keydown", press);
addEventListener("hashchange", follow);
byId("reading").hidden = false;
byId("unread").hidden = true;
set(new Map());
follow();

})();
