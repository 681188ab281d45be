// Draws markdown that is still being written: closed blocks are drawn once, only the last is redrawn.

import { copyButton, element } from "./dom.js";
import { parseBlocks, parseInline } from "./markdown.js";
import { pythonRuns } from "./python_code.js";

const MAX_TEXT = 400_000; // longer is shown as plain text, and only its end

export class MarkdownView {
  constructor() {
    this.node = element("div", { class: "cxj-md" });
    this.frozen = ""; // source of the blocks that no further text can change
    this.tail = [];
    this.shown = null;
  }

  update(text) {
    if (text === this.shown) {
      return;
    }
    this.shown = text;
    if (text.length > MAX_TEXT) {
      this.reset();
      this.node.append(codeBlock({ language: "", text: `… ${text.slice(-MAX_TEXT)}` }));
      return;
    }
    if (!text.startsWith(this.frozen)) {
      this.reset();
    }
    const rest = text.slice(this.frozen.length);
    const blocks = parseBlocks(rest);
    const closed = closedCount(rest, blocks);
    for (const node of this.tail) {
      node.remove();
    }
    const nodes = blocks.map(blockNode);
    this.node.append(...nodes);
    this.tail = nodes.slice(closed);
    if (closed > 0) {
      this.frozen += rest.split("\n").slice(0, blocks[closed].start).join("\n") + "\n";
    }
  }

  reset() {
    this.frozen = "";
    this.tail = [];
    this.node.replaceChildren();
  }
}

/** How many leading blocks are final: all whose successor begins on a line that is complete. */
export function closedCount(source, blocks) {
  const complete = source.split("\n").length - 1;
  let closed = 0;
  while (closed + 1 < blocks.length && blocks[closed + 1].start < complete) {
    closed += 1;
  }
  return closed;
}

/** @returns {Node} */
export function blockNode(block) {
  switch (block.type) {
    case "heading":
      return element(`h${Math.min(6, block.level + 1)}`, null, ...inlineNodes(block.text));
    case "code":
      return codeBlock(block);
    case "rule":
      return element("hr");
    case "quote":
      return element("blockquote", null, ...block.blocks.map(blockNode));
    case "list":
      return listNode(block);
    case "table":
      return tableNode(block);
    default:
      return element("p", null, ...inlineNodes(block.text));
  }
}

/** A block of source with its language and a copy button; Python is coloured. */
export function codeBlock({ language, text }) {
  const code = element("code");
  const isPython = ["py", "python", "python3", "ipython"].includes(language);
  code.append(...(isPython ? runNodes(pythonRuns(text)) : [text]));
  return element(
    "div",
    { class: "cxj-code" },
    element("pre", null, code),
    copyButton(() => text),
  );
}

/** @param {Array<{text: string, style: string}>} runs */
export function runNodes(runs) {
  return runs.map(({ text, style }) =>
    style ? element("span", { class: style }, text) : document.createTextNode(text),
  );
}

function listNode(block) {
  const items = block.items.map(({ task, blocks }) => {
    const inner = blocks.flatMap((inside) =>
      inside.type === "paragraph" && !block.loose ? inlineNodes(inside.text) : [blockNode(inside)],
    );
    const box = task === null ? null : element("span", { class: "cxj-task" }, task ? "☑ " : "☐ ");
    return element("li", { class: task === null ? null : "cxj-task-item" }, box, ...inner);
  });
  const start = block.ordered && block.first !== 1 ? block.first : null;
  return element(block.ordered ? "ol" : "ul", { start }, ...items);
}

function tableNode({ align, head, rows }) {
  const row = (tag, cells) =>
    element(
      "tr",
      null,
      ...cells.map((cell, index) => element(tag, { style: `text-align:${align[index]}` }, ...inlineNodes(cell))),
    );
  return element(
    "div",
    { class: "cxj-table" },
    element(
      "table",
      null,
      element("thead", null, row("th", head)),
      element("tbody", null, ...rows.map((cells) => row("td", cells))),
    ),
  );
}

function inlineNodes(text) {
  return parseInline(text).map(spanNode);
}

function spanNode(span) {
  switch (span.type) {
    case "text":
      return document.createTextNode(span.text);
    case "code":
      return element("code", null, span.text);
    case "break":
      return element("br");
    case "image":
      return element("span", { class: "cxj-image" }, `[image: ${span.text || "no description"}]`);
    case "link": {
      const attributes = span.href && { href: span.href, target: "_blank", rel: "noopener noreferrer" };
      return element(span.href ? "a" : "span", attributes || null, ...span.spans.map(spanNode));
    }
    default:
      return element(span.type, null, ...span.spans.map(spanNode));
  }
}
