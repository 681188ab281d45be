// One view per item of a turn: `node`, and `update(item, active, outcome)`. Active means still working;
// the outcome is what became of the question about this item, if there was one.

import { agentWords } from "./delegate_words.js";
import { changeRows, counts } from "./diff.js";
import { copyButton, duration, element, setText } from "./dom.js";
import { codeBlock, MarkdownView } from "./markdown_view.js";
import { OutputView } from "./output_view.js";
import { ReviewResult } from "./review.js";
import { visible } from "./terminal.js";

const MAX_DIFF = 200_000; // characters of one file's change
const MAX_ROWS = 2_000;
const OPEN_ROWS = 60; // longer changes start folded
const SHELL = /^(?:\S*\/)?(?:ba|da|z|k)?sh -l?c '([^']*)'$/;

export function itemView(item) {
  const View = VIEWS[item.type] ?? QuietLine;
  return new View(item);
}

class Message {
  constructor() {
    this.markdown = new MarkdownView();
    this.node = element("div", { class: "cxj-message", "aria-live": "polite" }, this.markdown.node);
  }

  update(item, active) {
    // a screen reader hears the finished text, not every delta of it
    this.node.setAttribute("aria-busy", String(active));
    this.node.classList.toggle("cxj-writing", active);
    this.markdown.update(item.text ?? "");
  }
}

class Added {
  constructor() {
    this.text = element("div", { class: "cxj-added-text" });
    this.node = element("div", { class: "cxj-added" }, element("span", { class: "cxj-label" }, "You added"), this.text);
  }

  update(item) {
    setText(this.text, inputText(item.content));
  }
}

class Reasoning {
  constructor() {
    this.label = element("span", { class: "cxj-thought" });
    this.markdown = new MarkdownView();
    this.node = element(
      "details",
      { class: "cxj-reasoning" },
      element("summary", null, this.label),
      this.markdown.node,
    );
  }

  update(item, active) {
    const text = [...(item.summary ?? []), ...(item.content ?? [])].filter((part) => part.trim()).join("\n\n");
    const title = lastTitle(item.summary ?? []);
    setText(this.label, active ? title || "Thinking" : title ? `Thought: ${title}` : "Thought");
    this.label.classList.toggle("cxj-shimmer", active);
    this.node.classList.toggle("cxj-empty", !text);
    this.markdown.update(text);
  }
}

/** The last bold heading of the summary: what the model says it is doing. */
export function lastTitle(summary) {
  const titles = summary.flatMap((part) => [...part.matchAll(/^\s*\*\*([^*\n]+)\*\*/gm)]);
  return titles.at(-1)?.[1].trim() ?? "";
}

class Command {
  constructor() {
    this.command = element("span");
    this.status = element("span", { class: "cxj-status" });
    this.output = new OutputView("Output of the command");
    const copy = copyButton(() => this.command.textContent);
    const line = element(
      "code",
      { class: "cxj-command" },
      element("span", { class: "cxj-prompt" }, "$ "),
      this.command,
    );
    const head = element("div", { class: "cxj-block-head" }, line, copy, this.status);
    this.node = element("div", { class: "cxj-block cxj-terminal" }, head, this.output.node);
  }

  update(item, active, outcome) {
    const full = visible(item.command ?? "");
    setText(this.command, SHELL.exec(full)?.[1] ?? full);
    this.command.title = full;
    showStatus(this.status, commandStatus(item, active), item.durationMs, outcome);
    this.output.update(item.aggregatedOutput ?? "");
  }
}

/** @returns {[string, string]} class of the badge and its words */
export function commandStatus(item, active) {
  if (item.status === "declined") {
    return ["muted", "not run"];
  }
  if (item.status === "inProgress") {
    return active ? ["busy", "running"] : ["warn", "stopped"];
  }
  if (typeof item.exitCode === "number" && item.exitCode !== 0) {
    return ["bad", `exit ${item.exitCode}`];
  }
  return item.status === "failed" ? ["bad", "failed"] : ["good", item.exitCode === 0 ? "exit 0" : "done"];
}

const OUTCOMES = {
  acceptForSession: "allowed for this session",
  decline: "you said no",
  cancel: "you stopped here",
  expired: "nobody answered",
};

function showStatus(node, [kind, words], durationMs, outcome) {
  node.className = `cxj-status cxj-is-${kind}`;
  const took = typeof durationMs === "number" && durationMs >= 100 ? duration(durationMs) : "";
  setText(node, [OUTCOMES[outcome], words, took].filter(Boolean).join(" · "));
}

class ToolCall {
  constructor(item) {
    this.isPython = isKernelPython(item);
    this.label = element("span", { class: "cxj-label" });
    this.status = element("span", { class: "cxj-status" });
    this.source = element("div", { class: "cxj-source" });
    this.output = new OutputView("Result of the tool");
    const head = element("div", { class: "cxj-block-head" }, this.label, this.status);
    const kind = this.isPython ? "cxj-python" : "cxj-tool";
    this.node = element("div", { class: `cxj-block ${kind}` }, head, this.source, this.output.node);
    this.shown = null;
  }

  update(item, active, outcome) {
    const source = visible(this.isPython ? item.arguments.code : toolArguments(item));
    setText(this.label, visible(toolLabel(item)));
    if (source !== this.shown) {
      this.shown = source;
      this.source.replaceChildren(
        ...(source ? [codeBlock({ language: this.isPython ? "python" : "", text: source })] : []),
      );
    }
    const status = item.status === "completed" && item.success === false ? { ...item, status: "failed" } : item;
    showStatus(this.status, commandStatus(status, active), item.durationMs, outcome);
    this.output.update(resultText(item));
  }
}

export function isKernelPython(item) {
  return item.tool === "run_python" && !item.namespace && typeof item.arguments?.code === "string";
}

export function toolLabel(item) {
  if (isKernelPython(item)) {
    return "Python in your kernel";
  }
  if (item.server) {
    return `${item.server} · ${item.tool}`;
  }
  return item.namespace ? `${item.namespace}.${item.tool}` : String(item.tool);
}

function toolArguments(item) {
  const given = item.arguments;
  const isEmpty = given === null || given === undefined || (typeof given === "object" && !Object.keys(given).length);
  return isEmpty ? "" : typeof given === "string" ? given : JSON.stringify(given, null, 2);
}

export function resultText(item) {
  const parts = item.contentItems ?? item.result?.content ?? [];
  const texts = parts.map((part) => (typeof part.text === "string" ? part.text : named(part)));
  if (item.error?.message) {
    texts.push(item.error.message);
  }
  return texts.join("\n");
}

// An MCP server says `audio`, a client `inputAudio`.
function named(part) {
  return ["audio", "inputAudio"].includes(part.type) ? "[audio]" : "[image]";
}

class FileChange {
  constructor() {
    this.node = element("div", { class: "cxj-changes" });
  }

  update(item, active, outcome) {
    const words = { declined: "not applied", failed: "failed", inProgress: active ? "applying" : "not applied" };
    const state = [OUTCOMES[outcome], words[item.status]].filter(Boolean).join(" · ");
    this.node.replaceChildren(...changeNodes(item.changes ?? [], state));
  }
}

/** One folding block per changed file. */
export function changeNodes(changes, state = "") {
  return changes.map((change) => {
    const rows = changeRows({ ...change, diff: (change.diff ?? "").slice(0, MAX_DIFF) });
    const { added, deleted } = counts(rows);
    const head = element(
      "summary",
      { class: "cxj-block-head" },
      pathNode(change.path ?? "", change.kind?.move_path),
      element("span", { class: "cxj-count cxj-is-good" }, added ? `+${added}` : ""),
      element("span", { class: "cxj-count cxj-is-bad" }, deleted ? `-${deleted}` : ""),
      element("span", { class: "cxj-status cxj-is-muted" }, state || changeWord(change.kind?.type)),
    );
    const open = rows.length <= OPEN_ROWS;
    return element("details", { class: "cxj-block cxj-change", open }, head, diffNode(rows));
  });
}

function changeWord(type) {
  return { add: "new", delete: "deleted" }[type] ?? "changed";
}

function pathNode(path, movedTo) {
  const cut = path.lastIndexOf("/") + 1;
  return element(
    "span",
    { class: "cxj-path" },
    element("span", { class: "cxj-dim" }, visible(path.slice(0, cut))),
    visible(path.slice(cut)) + (movedTo ? ` → ${visible(movedTo)}` : ""),
  );
}

function diffNode(rows) {
  const signs = { add: "+", delete: "-", same: " ", hunk: "@@ ", note: "  " };
  const lines = rows
    .slice(0, MAX_ROWS)
    .map(({ kind, before, after, text }) =>
      element(
        "span",
        { class: `cxj-row cxj-${kind}`, "data-no": after ?? before ?? "" },
        `${signs[kind]}${visible(text)}\n`,
      ),
    );
  if (rows.length > MAX_ROWS) {
    lines.push(element("span", { class: "cxj-row cxj-note" }, `… ${rows.length - MAX_ROWS} more lines\n`));
  }
  return element("pre", { class: "cxj-diff" }, ...lines);
}

class QuietLine {
  constructor() {
    this.node = element("div", { class: "cxj-quiet" });
  }

  update(item) {
    setText(this.node, quietWords(item));
  }
}

const TOLD_CHARS = 200;

function toldWords({ name, output }) {
  const parts = typeof output === "string" ? [{ text: output }] : (output ?? []);
  const text = parts
    .map((part) => part.text ?? "[image]")
    .join(" ")
    .split(/\s+/)
    .filter(Boolean)
    .join(" ");
  return `Told by ${name ?? "a tool"}: ${text.length > TOLD_CHARS ? `${text.slice(0, TOLD_CHARS)}…` : text}`;
}

/** One line for items that need no more. */
export function quietWords(item) {
  const words = {
    contextCompaction: "Earlier conversation was summarised to make room.",
    webSearch: `Searched the web: ${item.query ?? ""}`,
    imageView: `Looked at ${item.path ?? "an image"}`,
    functionCallOutput: item.type === "functionCallOutput" ? toldWords(item) : "",
    enteredReviewMode: "Review started.",
    collabAgentToolCall: item.type === "collabAgentToolCall" ? agentWords(item) : "",
  };
  return visible(words[item.type] ?? `${item.type}${item.status ? ` (${item.status})` : ""}`);
}

function inputText(content) {
  return visible((content ?? []).map((part) => part.text ?? `[${part.type}]`).join("\n"));
}

const VIEWS = {
  agentMessage: Message,
  plan: Message,
  userMessage: Added,
  reasoning: Reasoning,
  commandExecution: Command,
  dynamicToolCall: ToolCall,
  mcpToolCall: ToolCall,
  fileChange: FileChange,
  exitedReviewMode: ReviewResult,
};
