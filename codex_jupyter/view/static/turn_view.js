// Draws one turn. The server or the kernel owns the state; nothing here outlives the view.

import { DelegateList } from "./delegates.js";
import { diffChanges } from "./diff.js";
import { duration, element, setText, tokens, wholeSeconds } from "./dom.js";
import { ItemList } from "./item_list.js";
import { changeNodes } from "./items.js";
import { KernelLink, uniqueId } from "./kernel_link.js";
import { RequestCard } from "./requests.js";
import { applyOp, emptyState } from "./turn_state.js";

const HELLO_AGAIN = 2000; // milliseconds between attempts to hear which questions are open

class TurnPage {
  constructor(model, el) {
    this.model = model;
    this.link = model.link ?? new KernelLink(model);
    this.viewId = uniqueId();
    this.cards = new Map(); // request id -> card
    this.announced = new Set(); // requests that came live, not from saved state
    this.open = new Set(); // requests the kernel says it waits for
    this.isConnected = null; // null: not known yet
    this.frame = 0;
    this.isDisposed = false;
    this.buildFrame(el);
    this.adopt();
    this.hello();
    this.clock = setInterval(() => this.tick(), 1000);
  }

  buildFrame(el) {
    this.dot = element("span", { class: "cxj-dot" });
    this.facts = element("span", { class: "cxj-facts" });
    this.stopButton = element(
      "button",
      { class: "cxj-stop", type: "button", "data-lm-suppress-shortcuts": "true", onclick: () => this.stop() },
      "Stop",
    );
    this.stopNote = element("span", { class: "cxj-stop-note", role: "status" });
    this.head = element("div", { class: "cxj-head" }, this.dot, this.facts, this.stopNote, this.stopButton);
    this.notices = element("div", { class: "cxj-notices" });
    this.plan = element("div", { class: "cxj-plan", hidden: true });
    this.delegates = new DelegateList((content) => this.link.ask(content));
    this.items = new ItemList();
    this.working = element("div", { class: "cxj-working cxj-shimmer", hidden: true }, "Working");
    this.requests = element("div", { class: "cxj-requests", "aria-live": "polite" });
    this.ending = element("div", { class: "cxj-ending" });
    this.root = element(
      "div",
      { class: "cxj-turn cxj-live" },
      this.head,
      this.notices,
      this.plan,
      this.delegates.node,
      this.items.node,
      this.working,
      this.requests,
      this.ending,
    );
    el.append(this.root);
  }

  /** Start again from the model's snapshot. */
  adopt() {
    this.state = { ...emptyState(), ...structuredClone(this.model.get("snapshot") ?? {}) };
    this.seq = this.model.get("seq") ?? 0;
    this.isBehind = false;
    this.draw();
  }

  changed() {
    if (this.model.link || this.isBehind || this.model.get("seq") !== this.seq) {
      this.adopt();
    }
  }

  receive(message) {
    if (message?.kind === "reply") {
      this.link.receive(message);
    } else if (message?.kind === "ops") {
      this.receiveOps(message);
    }
  }

  receiveOps({ seq, ops }) {
    if (seq <= this.seq || this.isBehind) {
      return;
    }
    if (seq !== this.seq + 1) {
      this.isBehind = true;
      this.model.send({ kind: "resync" });
      return;
    }
    this.seq = seq;
    for (const op of ops) {
      applyOp(this.state, op);
    }
    const asked = ops.filter((op) => op.op === "ask").map((op) => op.request.requestId);
    if (asked.length) {
      asked.forEach((requestId) => this.announced.add(requestId));
      this.hello();
    }
    this.isConnected = true;
    // many deltas, one paint: however fast the model talks, we draw once per frame
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Ask which questions are open. Only an answer to this makes a button work. */
  async hello() {
    clearTimeout(this.again);
    const reply = await this.link.ask({ action: "hello", turnId: this.state.turnId, viewId: this.viewId });
    if (this.isDisposed) {
      return;
    }
    this.isLost = reply?.status === "lost";
    if (reply?.status === "ok") {
      this.isConnected = reply.running !== false;
      this.open = new Set(reply.open ?? []);
    } else if (this.isLost) {
      this.isConnected = false;
      this.open.clear();
    } else if (reply || this.isConnected === null) {
      this.isConnected = false;
    }
    const isWaiting = this.state.requests.some(
      (request) => request.outcome === null && !this.open.has(request.requestId),
    );
    if (!reply && isWaiting && this.announced.size) {
      this.again = setTimeout(() => this.hello(), HELLO_AGAIN);
    }
    this.hasGreeted = true;
    this.draw();
  }

  async stop() {
    this.stopButton.disabled = true;
    setText(this.stopButton, "Stopping…");
    const reply = await this.link.ask({ action: "interrupt", turnId: this.state.turnId });
    if (reply?.status !== "ok" && this.isRunning) {
      this.stopButton.disabled = false;
      setText(this.stopButton, "Stop");
      setText(this.stopNote, "No reply; the notebook's ■ button stops it too.");
    }
  }

  get isRunning() {
    return this.state.status === "inProgress" && this.isConnected !== false;
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.drawHead();
    this.drawNotices();
    this.drawPlan();
    this.drawDelegates();
    this.drawItems();
    this.drawRequests();
    this.drawEnding();
  }

  tick() {
    this.drawHead();
    this.delegates.tick(Date.now());
  }

  drawHead() {
    const { state } = this;
    const isLost = state.status === "inProgress" && this.isConnected === false;
    this.root.dataset.status = isLost ? "lost" : state.status;
    setText(this.facts, headFacts(state, isLost, Date.now(), this.isLost));
    this.facts.title = usageWords(state.usage);
    this.stopButton.hidden = !this.isRunning;
    if (!this.isRunning) {
      setText(this.stopNote, "");
    }
  }

  drawNotices() {
    const shown = JSON.stringify(this.state.notices);
    if (shown !== this.noticesShown) {
      this.noticesShown = shown;
      this.notices.replaceChildren(
        ...this.state.notices.map(({ level, text }) =>
          element("div", { class: `cxj-notice cxj-notice-${level}` }, text),
        ),
      );
    }
  }

  drawPlan() {
    const shown = JSON.stringify(this.state.plan);
    if (shown === this.planShown) {
      return;
    }
    this.planShown = shown;
    const { plan } = this.state;
    this.plan.hidden = !plan;
    this.plan.replaceChildren(...(plan ? planNodes(plan) : []));
  }

  drawDelegates() {
    const { delegates } = this.state;
    this.delegates.update(delegates, this.isRunning);
    this.stopButton.title = delegates.some((row) => row.status === "running") ? "Stop all" : "";
  }

  drawItems() {
    const isSilent = this.items.update(this.state, this.isRunning);
    this.working.hidden = !(this.isRunning && isSilent);
  }

  drawRequests() {
    const pending = this.state.requests.filter((request) => request.outcome === null);
    const lines = [];
    for (const request of pending) {
      const { requestId } = request;
      // a card that is there follows what is open, whichever way its question came
      if (this.open.has(requestId) || this.announced.has(requestId) || this.cards.has(requestId)) {
        this.drawCard(request);
      } else {
        // saved state alone never draws a card: it might be anybody's
        const words = this.hasGreeted ? "is no longer open." : "was waiting here. Asking whether it still is…";
        lines.push(element("div", { class: "cxj-quiet" }, `A question ${words}`));
      }
    }
    const live = new Set(pending.map((request) => request.requestId));
    for (const [id, card] of this.cards) {
      if (!live.has(id)) {
        card.dispose();
        this.cards.delete(id);
        this.open.delete(id);
      }
    }
    this.inert?.forEach((line) => line.remove());
    this.inert = lines;
    this.requests.append(...lines);
  }

  drawCard(request) {
    let card = this.cards.get(request.requestId);
    if (!card) {
      const ask = (content) => this.link.ask({ turnId: this.state.turnId, ...content });
      card = new RequestCard(request, ask);
      this.cards.set(request.requestId, card);
      this.requests.append(card.node);
    }
    const isOpen = this.open.has(request.requestId);
    if (card.isOpen !== isOpen && !card.isSent) {
      card.setOpen(isOpen);
    }
    if (!isOpen && this.hasGreeted && !this.isConnected) {
      card.say(this.unreachableWords());
    }
  }

  unreachableWords() {
    if (this.isLost) {
      return "The connection to the Jupyter server is lost. Trying again…";
    }
    return this.model.link
      ? "This question is no longer open."
      : "This page cannot reach the kernel while it is busy. Answer below the cell, or stop it.";
  }

  drawEnding() {
    const { state } = this;
    const shown = JSON.stringify([state.error, state.status, state.hold, state.diff, state.truncated]);
    if (shown === this.endingShown) {
      return;
    }
    this.endingShown = shown;
    this.ending.replaceChildren(
      ...allChanges(state),
      ...(state.error ? [errorNode(state.error)] : []),
      ...(state.status === "interrupted"
        ? [element("div", { class: "cxj-interrupted" }, "Stopped by you — the answer above is partial.")]
        : []),
      ...(state.hold ? [this.holdNode(state.hold)] : []),
      ...(state.truncated ? [element("div", { class: "cxj-quiet" }, "Shortened: long texts lost their middle.")] : []),
    );
  }

  holdNode(code) {
    const canRestart = typeof this.link.kernel?.restart === "function";
    let isSure = false;
    const restart = () => {
      if (isSure) {
        button.disabled = true;
        setText(button, "Restarting…");
        this.link.restart();
      } else {
        isSure = true;
        setText(button, "Restart and lose all variables?");
      }
    };
    const button = element(
      "button",
      { class: "cxj-button cxj-choice-cancel", type: "button", "data-lm-suppress-shortcuts": "true", onclick: restart },
      "Restart kernel",
    );
    return element(
      "div",
      { class: "cxj-banner cxj-hold", role: "status" },
      element("div", { class: "cxj-banner-title" }, "The turn has stopped, but this code still holds the kernel"),
      element("pre", null, element("code", null, code)),
      canRestart ? element("div", { class: "cxj-buttons" }, button) : null,
    );
  }

  dispose() {
    this.isDisposed = true;
    clearInterval(this.clock);
    clearTimeout(this.again);
    cancelAnimationFrame(this.frame);
    this.link.dispose();
    this.cards.forEach((card) => card.dispose());
    this.delegates.dispose();
    this.root.remove();
  }
}

/** The header's line: model, how long, how many tokens, and how it ended. */
export function headFacts(state, isLost, now, isReconnecting = false) {
  const lost = isReconnecting ? "reconnecting…" : "not connected";
  const ends = { completed: "", interrupted: "stopped", failed: "failed", inProgress: isLost ? lost : "" };
  const since = state.startedAtMs ? Math.max(0, now - state.startedAtMs) : null;
  const isRunning = state.status === "inProgress" && !isLost;
  const elapsed = isRunning
    ? since && wholeSeconds(since)
    : state.durationMs === null
      ? null
      : duration(state.durationMs);
  const used = state.usage ? state.usage.inputTokens + state.usage.outputTokens : 0;
  return [state.model ?? "Codex", elapsed, used ? tokens(used) : "", ends[state.status] ?? state.status]
    .filter(Boolean)
    .join(" · ");
}

function usageWords(usage) {
  if (!usage) {
    return "";
  }
  const context = usage.contextWindow
    ? `; context ${Math.round((100 * usage.contextTokens) / usage.contextWindow)} % full`
    : "";
  return `${usage.inputTokens} in (${usage.cachedInputTokens} cached), ${usage.outputTokens} out (${usage.reasoningOutputTokens} thinking)${context}`;
}

function planNodes({ explanation, plan }) {
  const done = plan.filter((step) => step.status === "completed").length;
  const marks = { completed: "✓", inProgress: "●", pending: "○" };
  return [
    element("div", { class: "cxj-label" }, `Plan · ${done} of ${plan.length}`),
    explanation ? element("div", { class: "cxj-plan-about" }, explanation) : null,
    element(
      "ul",
      null,
      ...plan.map(({ step, status }) =>
        element(
          "li",
          { class: `cxj-step-${status}` },
          element("span", { class: "cxj-mark", "aria-label": status }, marks[status] ?? "○"),
          element("span", null, step),
        ),
      ),
    ),
  ].filter(Boolean);
}

function errorNode({ message, details, advice }) {
  return element(
    "div",
    { class: "cxj-banner cxj-error", role: "alert" },
    element("div", { class: "cxj-banner-title" }, message),
    details ? element("div", { class: "cxj-banner-details" }, details) : null,
    advice ? element("div", null, advice) : null,
  );
}

/** The diff of the whole turn, folded, when single changes do not add up to it by themselves. */
function allChanges(state) {
  const patches = state.items.filter((item) => item.type === "fileChange").length;
  if (!state.diff || state.status === "inProgress" || patches === 1) {
    return [];
  }
  const changes = diffChanges(state.diff);
  const files = changes.length === 1 ? "1 file" : `${changes.length} files`;
  const summary = element("summary", null, `All changes of this turn · ${files}`);
  return [element("details", { class: "cxj-all-changes" }, summary, ...changeNodes(changes))];
}

/** @param {import("@anywidget/types").RenderProps} props */
export function render({ model, el }) {
  const page = new TurnPage(model, el);
  const receive = (message) => page.receive(message);
  const changed = () => page.changed();
  const greet = () => page.hello();
  const events = {
    "msg:custom": receive,
    "change:seq": changed,
    "change:snapshot": changed,
    "line:changed": greet,
  };
  for (const [name, listener] of Object.entries(events)) {
    model.on(name, listener);
  }
  return () => {
    for (const [name, listener] of Object.entries(events)) {
      model.off(name, listener);
    }
    page.dispose();
  };
}

export default { render };
