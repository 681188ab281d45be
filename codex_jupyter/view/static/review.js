// What a review found: the verdict, then a card for each finding. Mirrors view/review_words.py.

import { element, setText } from "./dom.js";
import { MarkdownView } from "./markdown_view.js";
import { visible } from "./terminal.js";

/** Heard by whoever can open files; the detail is `{path, line}`. */
export const OPEN_FILE = "codex-jupyter:open-file";

const PRIORITY_TAG = /^\[[Pp]([0-3])\]\s*/; // a reviewer may write the priority into the title as well

/** The view of an item that ends a review. */
export class ReviewResult {
  constructor() {
    this.node = element("div", { class: "cxj-review" });
  }

  update(item) {
    const review = reviewOf(item);
    if (!review) {
      this.node.className = "cxj-quiet";
      setText(this.node, "Review finished.");
      return;
    }
    this.node.className = "cxj-review";
    const verdict = element("strong", { class: `cxj-verdict cxj-verdict-${review.isGood ? "good" : "bad"}` });
    verdict.append(visible(review.verdict));
    this.node.replaceChildren(
      element("div", { class: "cxj-review-head" }, verdict, sureNode(review.sure)),
      ...markdownNodes(review.explanation),
      ...review.findings.map(findingNode),
    );
  }
}

function findingNode({ title, body, priority, place, path, line, sure }) {
  const level = priority === null ? "" : `P${priority}`;
  const link = place ? fileLink(place, path, line) : null;
  return element(
    "div",
    { class: `cxj-finding cxj-finding-${level || "none"}` },
    element(
      "div",
      { class: "cxj-finding-head" },
      level ? element("strong", { class: "cxj-priority" }, level) : null,
      element("strong", { class: "cxj-finding-title" }, visible(title)),
      sureNode(sure),
    ),
    link ? element("div", null, link) : null,
    ...markdownNodes(body),
  );
}

/** A place in a file. Where nobody opens files it is text that looks like a link. */
export function fileLink(words, path, line) {
  const open = (event) => {
    event.preventDefault();
    event.stopPropagation(); // the address of the page must not change
    const detail = { path, line };
    event.currentTarget.dispatchEvent(new CustomEvent(OPEN_FILE, { detail, bubbles: true, composed: true }));
  };
  const attributes = { class: "cxj-file", href: "#", "data-path": path, "data-line": line, title: path, onclick: open };
  return element("a", { ...attributes, "data-lm-suppress-shortcuts": "true" }, visible(words));
}

function sureNode(sure) {
  return sure ? element("span", { class: "cxj-sure" }, `${sure} sure`) : null;
}

function markdownNodes(text) {
  if (!text) {
    return [];
  }
  const markdown = new MarkdownView();
  markdown.update(text);
  return [markdown.node];
}

/** The structured result in an item, null if it has none: then the text says it. */
export function reviewOf(item) {
  const { output } = item;
  if (item.type !== "exitedReviewMode" || !isObject(output)) {
    return null;
  }
  const verdict = trimmed(output.overall_correctness);
  return {
    verdict: verdict.slice(0, 1).toUpperCase() + verdict.slice(1) || "Review",
    isGood: verdict === "patch is correct",
    explanation: trimmed(output.overall_explanation),
    sure: percent(output.overall_confidence_score),
    findings: (Array.isArray(output.findings) ? output.findings : []).filter(isObject).map(findingOf),
  };
}

/** The id of the message that says again what a structured result shows. */
export function repeatedMessage(items) {
  let text = "";
  for (const item of items) {
    if (item.type === "exitedReviewMode") {
      text = isObject(item.output) ? trimmed(item.review) : "";
    } else if (item.type === "agentMessage" && text && trimmed(item.text) === text) {
      return item.id;
    }
  }
  return null;
}

function findingOf(entry) {
  const tag = PRIORITY_TAG.exec(trimmed(entry.title));
  const priority = Number.isInteger(entry.priority) ? entry.priority : tag ? Number(tag[1]) : null;
  const place = isObject(entry.code_location) ? entry.code_location : {};
  const { start, end } = isObject(place.line_range) ? place.line_range : {};
  const path = trimmed(place.absolute_file_path);
  const line = path && Number.isInteger(start) ? start : null;
  const last = Number.isInteger(end) && end !== start ? `-${end}` : "";
  return {
    title: trimmed(entry.title).replace(PRIORITY_TAG, "") || "Finding",
    body: trimmed(entry.body),
    priority: priority !== null && priority >= 0 && priority <= 3 ? priority : null,
    place: line === null ? path : `${path}:${line}${last}`,
    path,
    line,
    sure: percent(entry.confidence_score),
  };
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function trimmed(value) {
  return typeof value === "string" ? value.trim() : "";
}

function percent(value) {
  return typeof value === "number" && value >= 0 && value <= 1 ? `${Math.round(100 * value)} %` : "";
}
