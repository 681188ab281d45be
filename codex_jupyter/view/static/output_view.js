// The output of a command: appended as it arrives, followed to its end unless the reader scrolled.

import { element } from "./dom.js";
import { runNodes } from "./markdown_view.js";
import { Terminal } from "./terminal.js";

const MAX_SHOWN = 262_144; // characters kept in the page; older ones go

export class OutputView {
  constructor(label) {
    this.body = element("pre", { class: "cxj-output", tabindex: "0", role: "region", "aria-label": label });
    this.cut = element("div", { class: "cxj-cut", hidden: true }, "Earlier output is not shown.");
    this.node = element("div", { class: "cxj-output-box", hidden: true }, this.cut, this.body);
    this.reset();
  }

  update(text) {
    if (text === this.fed) {
      return;
    }
    if (!text.startsWith(this.fed)) {
      this.reset();
    }
    let added = text.slice(this.fed.length);
    this.fed = text;
    this.node.hidden = text === "";
    if (added.length > MAX_SHOWN) {
      added = added.slice(added.indexOf("\n", added.length - MAX_SHOWN) + 1 || -MAX_SHOWN);
      this.cut.hidden = false;
    }
    this.show(added);
  }

  show(added) {
    const atEnd = this.body.scrollHeight - this.body.scrollTop - this.body.clientHeight < 24;
    const { closed, open } = this.terminal.feed(added);
    if (closed.length) {
      const chunk = element("span", null, ...closed.flatMap((line) => [...runNodes(line), "\n"]));
      this.chunks.push({ chunk, size: chunk.textContent.length });
      this.size += this.chunks.at(-1).size;
      this.body.insertBefore(chunk, this.open);
    }
    this.open.replaceChildren(...runNodes(open));
    while (this.size > MAX_SHOWN && this.chunks.length > 1) {
      const oldest = this.chunks.shift();
      oldest.chunk.remove();
      this.size -= oldest.size;
      this.cut.hidden = false;
    }
    if (atEnd) {
      this.body.scrollTop = this.body.scrollHeight;
    }
  }

  reset() {
    this.terminal = new Terminal();
    this.fed = "";
    this.chunks = [];
    this.size = 0;
    this.open = element("span");
    this.cut.hidden = true;
    this.body.replaceChildren(this.open);
  }
}
