
// The browser of traces: which questions are listed, in which order, and which one is shown.

const PER_PAGE = 50;
const data = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
const state = { arm: 0, shown: new Set(data.arms.keys()), matches: [], page: 0, row: null };
const keyOf = (row) => JSON.stringify([row.index, row.question]);
const places = data.arms.map((arm) => new Map(arm.rows.map((row) => [keyOf(row), row])));

function bound(id, percent) {
  const value = part(id).valueAsNumber;
  return Number.isNaN(value) ? null : percent ? value / 100 : value;
}

function median(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  const half = sorted.length >> 1;
  if (!sorted.length) return null;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// Whether a row passes the filter by metric, as a function of the row.
function passing(rows) {
  const chosen = part("metric").value;
  if (chosen === "") return () => true;
  const i = Number(chosen);
  const relation = part("relation").value;
  if (relation === "between") {
    // What is shown rounded can be typed: a hair of tolerance keeps the typed bound itself inside.
    const low = bound("low", data.metrics[i].percent);
    const high = bound("high", data.metrics[i].percent);
    return (row) => row.values[i] !== null && (low === null || row.values[i] >= low - 1e-9) && (high === null || row.values[i] <= high + 1e-9);
  }
  const middle = median(rows.map((row) => row.values[i]));
  return (row) => row.values[i] !== null && (relation === "above" ? row.values[i] > middle : row.values[i] <= middle);
}

function sorted(rows) {
  const chosen = part("sort").value;
  const sign = part("order").value === "down" ? -1 : 1;
  const value = chosen === "" ? (row) => row.index : (row) => row.values[Number(chosen)];
  // Rows without the metric come last either way.
  return [...rows].sort((a, b) => {
    const x = value(a);
    const y = value(b);
    if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
    return sign * (x - y) || a.index - b.index;
  });
}

// The question shown stays while it matches; the list starts at its first page, or at the one that `follow` asks for.
function filter(follow) {
  const rows = data.arms[state.arm].rows;
  const wanted = part("verdict").value;
  const search = part("search").value.trim().toLowerCase();
  const passes = passing(rows);
  state.matches = sorted(rows.filter((row) =>
    (wanted === "all" || row.correct === (wanted === "right")) && row.question.toLowerCase().includes(search) && passes(row)));
  const chosen = part("metric").value;
  for (const label of document.querySelectorAll(".bound")) label.hidden = chosen === "";
  for (const label of document.querySelectorAll(".range")) label.hidden = chosen === "" || part("relation").value !== "between";
  let told = state.matches.length + " of " + rows.length + " questions";
  if (chosen !== "") {
    const metric = data.metrics[Number(chosen)];
    const middle = median(rows.map((row) => row.values[Number(chosen)]));
    told += "; median of " + metric.label + ": " + figure(middle, metric.percent) + (metric.percent ? "; bounds are in percent" : "");
  }
  part("count").textContent = told;
  const place = state.row ? state.matches.findIndex((row) => keyOf(row) === keyOf(state.row)) : -1;
  state.page = follow ? Math.max(0, Math.floor(place / PER_PAGE)) : 0;
  list();
  show(state.matches[Math.max(0, place)] || null);
}

function list() {
  const told = part("sort").value || part("metric").value;
  const start = state.page * PER_PAGE;
  const items = state.matches.slice(start, start + PER_PAGE).map((row) => {
    const button = make("button", { type: "button", class: "entry" },
      make("span", { class: "place" }, String(row.index)),
      make("span", { class: row.correct ? "good" : "bad", "aria-hidden": "true" }, row.correct === null ? "" : row.correct ? "\u2713" : "\u2717"),
      make("span", { class: "hidden" }, row.correct === null ? "" : row.correct ? "right" : "wrong"),
      make("bdi", { class: "start" }, row.question.trim().slice(0, 160)),
      told === "" ? null : make("span", { class: "told" }, figure(row.values[Number(told)], data.metrics[Number(told)].percent)));
    button.addEventListener("click", () => {
      choose(row);
      if (matchMedia("(max-width: 56rem)").matches) part("trace").scrollIntoView({ block: "start" });
    });
    button.row = row;
    return make("li", {}, button);
  });
  part("list").replaceChildren(...items);
  part("list").scrollTop = 0;
  const pages = Math.ceil(state.matches.length / PER_PAGE);
  document.querySelector(".pages").hidden = pages < 2;
  part("back").disabled = state.page === 0;
  part("on").disabled = state.page >= pages - 1;
  part("page").textContent = "Page " + (state.page + 1) + " of " + pages;
  mark();
}

function mark() {
  for (const button of document.querySelectorAll(".entry")) {
    if (button.row === state.row) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function show(row) {
  state.row = row || state.row;
  mark();
  if (!row) {
    part("trace").replaceChildren(make("p", { class: "soft" }, "No question matches."));
    return;
  }
  // The listed run first, so that it is always the one beside its list.
  const order = [state.arm, ...data.arms.keys()].filter((arm, i, all) => all.indexOf(arm) === i);
  const sides = order
    .filter((arm) => arm === state.arm || (state.shown.has(arm) && places[arm].has(keyOf(row))))
    .map((arm) => [data.arms[arm], arm === state.arm ? row : places[arm].get(keyOf(row))]);
  part("trace").replaceChildren(...traceElement(data.metrics, sides));
}

function choose(row) {
  show(row);
  try {
    history.replaceState(null, "", "#q=" + row.index);
  } catch {
    // A page in a frame without an address of its own cannot have it changed.
  }
}

function followAddress() {
  const wanted = /^#q=(\d+)$/.exec(location.hash);
  const row = wanted && data.arms[state.arm].rows.find((one) => one.index === Number(wanted[1]));
  if (!row) return false;
  if (!state.matches.includes(row)) part("filters").reset();
  state.row = row;
  filter(true);
  return true;
}

function start() {
  for (const id of ["metric", "sort"]) {
    let group = null;
    data.metrics.forEach((metric, i) => {
      if (!group || group.label !== metric.group) {
        group = make("optgroup", { label: metric.group });
        part(id).append(group);
      }
      group.append(make("option", { value: String(i) }, metric.label));
    });
  }
  if (part("shown")) {
    data.arms.forEach((arm, i) => {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => {
        if (box.checked) state.shown.add(i);
        else state.shown.delete(i);
        if (state.matches.length) show(state.row);
      });
      part("shown").append(make("label", {}, box, " ", key(arm), " ", make("bdi", {}, arm.label)));
    });
    part("list-run").addEventListener("change", () => {
      state.arm = Number(part("list-run").value);
    });
  }
  const form = part("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["input", "change"]) {
    form.addEventListener(kind, (event) => {
      // Who sorts wants to see what comes first.
      if (["sort", "order"].includes(event.target.id)) state.row = null;
      filter(false);
    });
  }
  // A form's fields are cleared only after its reset event.
  form.addEventListener("reset", () => setTimeout(() => {
    state.arm = 0;
    filter(true);
  }));
  for (const [id, step] of [["back", -1], ["on", 1]]) {
    part(id).addEventListener("click", () => {
      state.page += step;
      list();
      show(state.matches[state.page * PER_PAGE]);
    });
  }
  part("list").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const entries = [...document.querySelectorAll(".entry")];
    const next = entries[entries.indexOf(document.activeElement) + step];
    if (!step || !next) return;
    event.preventDefault();
    next.focus();
    choose(next.row);
  });
  addEventListener("hashchange", followAddress);
  part("browser").hidden = false;
  if (!followAddress()) filter(false);
}

start();
