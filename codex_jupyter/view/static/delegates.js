// The threads that a turn started: one row each, which unfolds into what its thread did.

import { DelegateBody } from "./delegate_body.js";
import { delegateDepths, delegateLine } from "./delegate_words.js";
import { duration, element, setText, tokens, wholeSeconds } from "./dom.js";
import { visible } from "./terminal.js";

const FOLD_AFTER = 50; // rows; more are behind a button
const LOOK_AGAIN = 1000; // milliseconds between two looks at a delegate that works
const LONGEST_LOOK = 32_000; // the same where nobody answers: a busy kernel answers all of it later
const DELEGATE_MARKS = {
  waiting: "○",
  running: "●",
  asking: "?",
  completed: "✓",
  interrupted: "■",
  failed: "✗",
  closed: "□",
};

export class DelegateList {
  /** @param {(content: Record<string, any>) => Promise<Record<string, any> | null>} ask */
  constructor(ask) {
    this.ask = ask;
    this.views = new Map(); // thread id -> row
    this.shown = [];
    this.isWhole = false;
    this.label = element("span", { class: "cxj-label" });
    this.bad = element("span", { class: "cxj-delegates-bad cxj-is-bad" });
    this.total = element("span", { class: "cxj-delegates-total" });
    this.parts = ["completed", "failed", "stopped"].map((name) => element("span", { class: `cxj-part-${name}` }));
    this.bar = element("div", { class: "cxj-progress", role: "progressbar", "aria-valuemin": "0" }, ...this.parts);
    this.rows = element("div", { class: "cxj-delegate-list", role: "list" });
    this.more = element("button", {
      class: "cxj-more",
      type: "button",
      "data-lm-suppress-shortcuts": "true",
      onclick: () => this.showAll(),
    });
    const head = element("div", { class: "cxj-delegates-head" }, this.label, this.bad, this.total);
    this.node = element(
      "section",
      { class: "cxj-delegates", "aria-label": "Delegates", hidden: true },
      head,
      this.bar,
      this.rows,
      this.more,
    );
  }

  /** Show the rows of a state; `isLive` says whether their turn runs and can be reached. */
  update(rows, isLive) {
    const isSame = rows.length === this.shown.length && rows.every((row, at) => row === this.shown[at]);
    if (isSame && isLive === this.isLive) {
      return;
    }
    this.shown = [...rows];
    this.isLive = isLive;
    this.draw();
  }

  draw() {
    const rows = this.shown;
    this.node.hidden = rows.length === 0;
    if (rows.length) {
      this.drawHead(rows);
    }
    const tree = delegateDepths(rows);
    const drawn = this.isWhole ? tree : tree.slice(0, FOLD_AFTER);
    this.more.hidden = drawn.length === tree.length;
    setText(this.more, `Show all ${tree.length}`);
    this.drawRows(drawn);
  }

  drawHead(rows) {
    const count = (...statuses) => rows.filter((row) => statuses.includes(row.status)).length;
    const counts = [count("completed"), count("failed"), count("interrupted", "closed")];
    const [done, failed, stopped] = counts;
    const used = rows.reduce((sum, row) => sum + (row.tokens ?? 0), 0);
    setText(this.label, `Delegates · ${done} of ${rows.length} done`);
    setText(
      this.bad,
      [failed ? `${failed} failed` : "", stopped ? `${stopped} stopped` : ""].filter(Boolean).join(" · "),
    );
    this.bad.classList.toggle("cxj-is-bad", failed > 0);
    setText(this.total, used ? tokens(used) : "");
    this.bar.hidden = rows.length < 2;
    this.bar.setAttribute("aria-valuemax", String(rows.length));
    this.bar.setAttribute("aria-valuenow", String(done + failed + stopped));
    this.bar.setAttribute("aria-label", `${done + failed + stopped} of ${rows.length} delegates have ended`);
    this.parts.forEach((part, at) => (part.style.width = `${(100 * counts[at]) / rows.length}%`));
  }

  drawRows(tree) {
    const ids = new Set(tree.map(([row]) => row.threadId));
    for (const [id, view] of this.views) {
      if (!ids.has(id)) {
        view.dispose();
        this.views.delete(id);
      }
    }
    tree.forEach(([row, depth], position) => {
      let view = this.views.get(row.threadId);
      if (!view) {
        view = new DelegateRow(row, this.ask);
        this.views.set(row.threadId, view);
      }
      view.update(row, depth, this.isLive);
      if (this.rows.children[position] !== view.node) {
        this.rows.insertBefore(view.node, this.rows.children[position] ?? null);
      }
    });
  }

  showAll() {
    const first = this.views.size;
    this.isWhole = true;
    this.draw();
    this.rows.children[first]?.querySelector("button")?.focus(); // the button that had the focus is gone
  }

  /** Let the times of what works go on. */
  tick(now) {
    this.views.forEach((view) => view.tick(now));
  }

  dispose() {
    this.views.forEach((view) => view.dispose());
    this.views.clear();
  }
}

class DelegateRow {
  constructor(row, ask) {
    this.ask = ask;
    this.isAsking = false;
    this.isStopping = false;
    this.isDisposed = false;
    this.wait = LOOK_AGAIN;
    this.chevron = element("span", { class: "cxj-chevron", "aria-hidden": "true" });
    this.mark = element("span", { class: "cxj-mark", role: "img" });
    this.name = element("span", { class: "cxj-name" });
    this.role = element("span", { class: "cxj-role" });
    const keys = { type: "button", "data-lm-suppress-shortcuts": "true" };
    this.fold = element(
      "button",
      { class: "cxj-who", ...keys, "aria-expanded": "false", onclick: () => this.toggle() },
      this.chevron,
      this.mark,
      this.name,
      this.role,
    );
    this.gist = element("span", { class: "cxj-gist" });
    this.tokens = element("span", { class: "cxj-tokens" });
    this.time = element("span", { class: "cxj-time" });
    this.button = element("button", { class: "cxj-stop cxj-stop-one", ...keys, onclick: () => this.stop() }, "Stop");
    this.node = element(
      "div",
      { class: "cxj-delegate", role: "listitem" },
      this.fold,
      this.gist,
      this.tokens,
      this.time,
      this.button,
    );
    this.row = row;
  }

  get isExpanded() {
    return this.body !== undefined;
  }

  get isRunning() {
    return Boolean(this.isLive) && this.row.status === "running";
  }

  /** Whether it can be stopped: it works, or waits for its place under ids of its own. */
  get canStop() {
    const { status, turnId, startedAtMs } = this.row;
    return Boolean(this.isLive) && (status === "running" || (status === "waiting" && turnId && !startedAtMs));
  }

  update(row, depth, isLive) {
    if (row === this.row && depth === this.depth && isLive === this.isLive) {
      return;
    }
    const wasRunning = this.isRunning;
    const isNewTurn = row.turnId !== this.row.turnId;
    Object.assign(this, { row, depth, isLive });
    this.drawMark(row);
    this.node.style.setProperty("--cxj-depth", String(Math.min(depth, 6)));
    setText(this.name, visible(row.name));
    setText(this.role, visible(row.role ?? ""));
    setText(this.gist, delegateLine(row, isLive));
    this.gist.title = this.gist.textContent;
    setText(this.tokens, row.tokens === null ? "" : tokens(row.tokens));
    this.drawStop(row);
    this.tick(Date.now());
    if (this.isExpanded) {
      this.body.update(row);
      if (isNewTurn || wasRunning !== this.isRunning) {
        this.look();
      }
    }
  }

  drawMark(row) {
    const asks = this.isRunning && Boolean(row.waitsOn);
    const state = asks ? "asking" : row.status;
    this.node.dataset.state = this.isLive || row.status !== "running" ? state : "left";
    this.mark.className = `cxj-mark cxj-mark-${state}`;
    setText(this.mark, DELEGATE_MARKS[state] ?? "○");
    this.mark.setAttribute("aria-label", asks ? `waiting for ${row.waitsOn}` : row.status);
  }

  drawStop(row) {
    if (!this.canStop) {
      this.isStopping = false;
    }
    this.button.hidden = !this.canStop;
    this.button.disabled = this.isStopping;
    setText(this.button, this.isStopping ? "Stopping…" : "Stop");
    this.button.title = `Stop ${visible(row.name)}`;
    this.button.setAttribute("aria-label", `${this.isStopping ? "Stopping" : "Stop"} ${visible(row.name)}`);
  }

  tick(now) {
    const { row } = this;
    const since = row.startedAtMs ? Math.max(0, now - row.startedAtMs) : null;
    const elapsed = this.isRunning
      ? since !== null && wholeSeconds(since)
      : row.durationMs !== null && duration(row.durationMs);
    setText(this.time, elapsed || "");
  }

  async stop() {
    this.isStopping = true;
    this.drawStop(this.row);
    const { threadId, turnId } = this.row;
    const reply = await this.ask({ action: "interrupt", threadId, turnId });
    if (reply?.status !== "ok" && !this.isDisposed) {
      this.isStopping = false;
      this.drawStop(this.row);
      this.button.title = "No reply; try again.";
    }
  }

  toggle() {
    if (this.isExpanded) {
      clearTimeout(this.again);
      this.body.node.remove();
      this.body = undefined;
    } else {
      this.body = new DelegateBody();
      this.body.update(this.row);
      this.node.append(this.body.node);
      this.look();
    }
    this.fold.setAttribute("aria-expanded", String(this.isExpanded));
  }

  /** Ask what the delegate's turn looks like now, and again as long as it works and is unfolded. */
  async look() {
    clearTimeout(this.again);
    const asked = this.row;
    if (this.isAsking || asked.turnId === null) {
      return;
    }
    this.isAsking = true;
    const reply = await this.ask({ action: "delegate", threadId: asked.threadId, turnId: asked.turnId });
    this.isAsking = false;
    if (this.isDisposed || !this.isExpanded) {
      return;
    }
    const isMissed = asked.turnId !== this.row.turnId;
    if (!isMissed) {
      this.body.take(reply, this.isRunning);
    }
    if (isMissed || (asked.status === "running" && !this.isRunning && this.isLive)) {
      this.look(); // it ended, or began anew, while we waited
    } else if (this.isRunning && !this.body.isGone) {
      this.wait = reply === null ? Math.min(2 * this.wait, LONGEST_LOOK) : LOOK_AGAIN;
      this.again = setTimeout(() => this.look(), this.wait);
    }
  }

  dispose() {
    this.isDisposed = true;
    clearTimeout(this.again);
    this.node.remove();
  }
}
