// What is under the row of a delegate: its task, then what it did, as far as anybody still knows it.

import { element, setText } from "./dom.js";
import { ItemList } from "./item_list.js";
import { MarkdownView } from "./markdown_view.js";
import { visible } from "./terminal.js";

export class DelegateBody {
  constructor() {
    this.isGone = false;
    this.snapshot = null;
    this.task = element("div", { class: "cxj-added-text" });
    this.given = element("div", { class: "cxj-added" }, element("span", { class: "cxj-label" }, "Task"), this.task);
    this.list = new ItemList();
    this.message = new MarkdownView();
    this.note = element("div", { class: "cxj-quiet", role: "status" });
    this.node = element(
      "div",
      { class: "cxj-delegate-body" },
      this.given,
      element("div", { class: "cxj-delegate-turn" }, this.list.node, this.message.node),
      this.note,
    );
  }

  update(row) {
    this.row = row;
    this.draw();
  }

  /** Take the answer of a look; what was seen before stays if there is none. */
  take(reply, isRunning) {
    const isSeen = reply?.status === "ok" && Array.isArray(reply.snapshot?.items);
    this.isGone = reply !== null && !isSeen;
    this.isRunning = isRunning;
    this.hasLooked = true;
    if (isSeen) {
      this.snapshot = { ...reply.snapshot, requests: reply.snapshot.requests ?? [] };
      this.list.update(this.snapshot, isRunning);
    }
    this.draw();
  }

  draw() {
    const { row, snapshot } = this;
    const prompt = snapshot?.items.find((item) => item.type === "userMessage");
    const words = prompt ? (prompt.content ?? []).map((part) => part.text ?? "").join("\n") : row.task;
    setText(this.task, visible(words || row.task));
    this.given.hidden = this.task.textContent === "";
    const isDrawn = snapshot !== null && this.list.node.childElementCount > 0;
    const isToldBySnapshot = isDrawn && row.status !== "failed";
    this.message.node.hidden = isToldBySnapshot || !row.message;
    this.message.node.classList.toggle("cxj-failure", row.status === "failed");
    this.message.update(row.message ?? "");
    setText(this.note, isDrawn || row.message ? "" : this.emptyWords());
  }

  emptyWords() {
    if (this.row.turnId === null) {
      return this.row.status === "waiting" ? "It has not begun yet." : "";
    }
    return this.hasLooked ? (this.row.status === "running" ? "Nothing to show yet." : "It said nothing.") : "Looking…";
  }
}
