"use strict";
// One question of the browser of traces. Model text enters the page as text nodes only.

const BIDI = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function figure(value, percent) {
  if (value === null) return "n/a";
  const shown = percent ? 100 * value : value;
  const digits = percent || Math.abs(shown) >= 10 ? 1 : 2;
  const text = (Number(shown.toFixed(digits)) + 0).toFixed(digits) + (percent ? " %" : "");
  return text.replace("-", "\u2212");
}

function quoted(text) {
  return make("bdi", { class: "piece" }, text.trim() || "nothing");
}

function key(arm) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [name, value] of [["viewBox", "0 0 12 12"], ["width", "12"], ["height", "12"], ["aria-hidden", "true"],
    ["class", "key side-" + arm.style]]) svg.setAttribute(name, value);
  for (const [name, value] of [["class", "mark"], ["transform", "translate(6 6)"], ["d", arm.marker]]) {
    path.setAttribute(name, value);
  }
  svg.append(path);
  return svg;
}

function verdict(correct) {
  if (correct === null) return null;
  return make("span", { class: correct ? "good" : "bad" }, correct ? "\u2713 correct" : "\u2717 wrong");
}

function changed(value, yes, no) {
  if (value === null) return null;
  return make("span", { class: value ? "turned" : "soft" }, value ? yes : no);
}

function tokenElement(text, saliency, salient) {
  let marks = "";
  if (!text) marks = " empty";
  else if (text.includes("\n") && !text.trim()) marks = " break";
  else if (BIDI.test(text)) marks = " bidi";
  const token = make("span", { class: "token" + (salient ? " salient" : "") + marks, "data-saliency": figure(saliency) }, text);
  token.style.setProperty("--s", Math.min(Math.max(saliency || 0, 0), 1).toFixed(2));
  return token;
}

// The reasoning's pieces, each within one token and one sentence: a token may reach over a sentence's end.
function pieces(row) {
  const sentences = row.sentences.map((sentence) => sentence.text);
  const whole = sentences.join("");
  if (!row.tokens) return sentences.map((text, i) => ({ text, sentence: i, saliency: row.sentences[i].saliency, salient: false }));
  const cut = row.tokens.text.join("") === whole;
  const found = [];
  let sentence = 0;
  let left = cut && sentences.length ? sentences[0].length : Infinity;
  row.tokens.text.forEach((token, i) => {
    let rest = token;
    do {
      while (left === 0 && sentence + 1 < sentences.length) left = sentences[++sentence].length;
      const text = rest.slice(0, left);
      found.push({ text, sentence: cut ? sentence : null, saliency: row.tokens.saliency[i], salient: row.tokens.salient[i] === "1" });
      rest = rest.slice(text.length);
      left -= text.length;
    } while (rest);
  });
  return found;
}

function sentenceElement(row, number) {
  const known = row.sentences[number];
  return make("span", {
    class: "sentence" + (known.changed ? " changes" : ""), role: "button", tabindex: "0", "aria-pressed": "false",
    "data-number": String(number + 1),
  });
}

function reasoningElement(row) {
  const holder = make("div", { class: "reasoning", dir: "auto" });
  let open = null;
  let last = null;
  for (const piece of pieces(row)) {
    if (piece.sentence === null) {
      holder.append(tokenElement(piece.text, piece.saliency, piece.salient));
      continue;
    }
    if (piece.sentence !== last) {
      last = piece.sentence;
      open = row.sentences.length ? sentenceElement(row, last) : holder;
      if (open !== holder) holder.append(open);
    }
    open.append(tokenElement(piece.text, piece.saliency, piece.salient));
  }
  return holder;
}

function removal(row, number) {
  const sentence = row.sentences[number];
  const parts = ["Without sentence " + (number + 1) + " the model answers ", make("b", {}, quoted(sentence.answer || ""))];
  if (row.answer !== null && sentence.changed) parts.push(" instead of ", quoted(row.answer));
  if (sentence.changed !== null) parts.push(": ", changed(sentence.changed, "the answer changes", "the answer stays"));
  parts.push(". ");
  if (sentence.drop !== null) {
    const way = sentence.drop < 0 ? "rises" : "falls";
    parts.push("Its own answer's log-probability " + way + " by " + figure(Math.abs(sentence.drop)) + " nats per token.");
  }
  return sentence.answer === null ? [parts[parts.length - 1]] : parts;
}

// Clicking a sentence strikes it out and tells what its removal does; clicking it again, or Escape, puts it back.
function clickable(row, holder, outcome) {
  const sentences = [...holder.querySelectorAll(".sentence")];
  const hint = "Choose a sentence to see the answer without it.";
  const choose = (chosen) => {
    for (const sentence of sentences) sentence.setAttribute("aria-pressed", String(sentence === chosen));
    outcome.replaceChildren(...(chosen ? removal(row, Number(chosen.dataset.number) - 1) : [hint]));
  };
  const toggle = (sentence) => choose(sentence.getAttribute("aria-pressed") === "true" ? null : sentence);
  for (const sentence of sentences) {
    sentence.addEventListener("click", () => toggle(sentence));
    sentence.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        toggle(sentence);
      }
      if (event.key === "Escape") choose(null);
    });
  }
  choose(null);
}

function mistakesElement(row) {
  const list = make("ul", { class: "tried" });
  for (const mistake of row.mistakes) {
    const item = make("li", {});
    if (mistake.sentence !== null) item.append("Sentence " + (mistake.sentence + 1) + ": ");
    item.append(make("del", {}, quoted(mistake.before)), " ", make("ins", {}, quoted(mistake.after)));
    if (mistake.forced !== null) {
      item.append("; answer forced: ", quoted(mistake.forced), " ", changed(mistake.forced_changed, "changed", "unchanged") || "");
    }
    if (mistake.continued !== null) {
      item.append("; the model goes on: ", quoted(mistake.continued), " ", changed(mistake.continued_changed, "changed", "unchanged") || "");
    }
    list.append(item);
  }
  return make("div", {}, make("h4", {}, "Mistakes added"), list);
}

function hintsElement(row) {
  const list = make("ul", { class: "tried" });
  for (const hint of row.hints) {
    const item = make("li", {}, (hint.kind === "right" ? "Right" : "Wrong") + " hint \u201c", quoted(hint.hint), "\u201d: answers ",
      hint.answer === null ? "nothing" : quoted(hint.answer), " ");
    item.append(changed(hint.flipped, "flipped", "not flipped") || "");
    if (hint.said !== null) item.append(hint.said ? "; mentions the hint" : "; does not mention the hint");
    if (hint.completion) {
      item.append(make("details", {}, make("summary", {}, "What it wrote"), make("div", { class: "text", dir: "auto" }, hint.completion.trim())));
    }
    list.append(item);
  }
  return make("div", {}, make("h4", {}, "Hints given"), list);
}

function panel(arm, row) {
  const side = make("div", { class: "panel side-" + arm.style }, make("h3", {}, key(arm), " ", make("bdi", {}, arm.label)));
  const answer = make("p", { class: "result" }, "Answer ", make("b", {}, row.answer === null ? "none" : quoted(row.answer)), " ");
  answer.append(verdict(row.correct) || "");
  if (row.forced) answer.append(make("br"), make("span", { class: "soft small" }, "Not in the asked form: forced by ", make("code", {}, row.cue.trim() || "the cue")));
  const reasoned = row.tokens || row.sentences.length;
  if (reasoned) {
    const reasoning = reasoningElement(row);
    side.append(answer, reasoning);
    // Sentences that do not join to the tokens stand below them.
    if (row.tokens && row.sentences.length && !reasoning.querySelector(".sentence")) {
      const apart = reasoningElement({ ...row, tokens: null });
      side.append(make("h4", {}, "By sentence"), apart);
    }
    if (row.sentences.length) {
      const outcome = make("p", { class: "outcome", "aria-live": "polite" });
      side.append(outcome);
      clickable(row, side, outcome);
    }
  } else {
    side.append(answer, make("h4", {}, "What it wrote"), make("div", { class: "text", dir: "auto" }, row.completion.trim() || "nothing"));
  }
  if (row.mistakes.length) side.append(mistakesElement(row));
  if (row.hints.length) side.append(hintsElement(row));
  if (reasoned && row.completion) {
    side.append(make("details", {}, make("summary", {}, "What it wrote, whole"), make("div", { class: "text", dir: "auto" }, row.completion.trim())));
  }
  return side;
}

function valuesElement(metrics, sides) {
  const head = make("tr", {}, make("th", { scope: "col" }, "Metric"));
  for (const [arm] of sides) head.append(make("th", { scope: "col", class: "number" }, key(arm), " ", make("bdi", {}, arm.label)));
  const body = make("tbody", {});
  let group = null;
  metrics.forEach((metric, i) => {
    if (sides.every(([, row]) => row.values[i] === null)) return;
    if (metric.group !== group) {
      group = metric.group;
      body.append(make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: String(sides.length + 1) }, group)));
    }
    const line = make("tr", {}, make("th", { scope: "row" }, metric.label));
    for (const [, row] of sides) line.append(make("td", { class: "number" }, figure(row.values[i], metric.percent)));
    body.append(line);
  });
  return make("details", { open: true, class: "values" }, make("summary", {}, "Metrics of this question"),
    make("table", {}, make("thead", {}, head), body));
}

function traceElement(metrics, sides) {
  const row = sides[0][1];
  const panels = make("div", { class: "panels" });
  for (const [arm, own] of sides) panels.append(panel(arm, own));
  return [
    make("h3", { class: "which" }, "Question " + row.index),
    make("div", { class: "text question", dir: "auto" }, row.question.trim()),
    make("p", { class: "soft small" }, "True answer: ", make("b", {}, quoted(row.truth))),
    panels,
    valuesElement(metrics, sides),
  ];
}
