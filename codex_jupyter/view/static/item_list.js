// The items of a turn as a list that changes in place: what is drawn stays, and is told what changed.

import { element } from "./dom.js";
import { itemView } from "./items.js";
import { repeatedMessage } from "./review.js";

/** The view of one item, told only when something about the item changed. */
class ItemSlot {
  constructor(item) {
    this.type = item.type;
    this.view = itemView(item);
    this.node = this.view.node;
    this.shown = [];
  }

  show(...now) {
    if (now.some((value, index) => value !== this.shown[index])) {
      this.shown = now;
      this.view.update(...now);
    }
  }
}

export class ItemList {
  constructor() {
    this.node = element("div", { class: "cxj-items" });
    this.views = new Map(); // item id -> slot
  }

  /**
   * @param {Record<string, any>} state of the turn
   * @param {boolean} isRunning
   * @returns {boolean} whether nothing in the list shows that the turn works
   */
  update(state, isRunning) {
    const items = shownItems(state.items, state.delegates);
    const asked = new Set(
      state.requests.filter((request) => request.outcome === null).map((request) => request.itemId),
    );
    const outcomes = new Map(state.requests.map((request) => [request.itemId, request.outcome]));
    const ids = new Set(items.map((item) => item.id));
    for (const [id, view] of this.views) {
      if (!ids.has(id)) {
        view.node.remove();
        this.views.delete(id);
      }
    }
    items.forEach((item, position) => {
      const view = this.viewOf(item);
      const isLast = position === items.length - 1;
      const isActive = isRunning && (item.status ? item.status === "inProgress" : isLast);
      if (this.node.children[position] !== view.node) {
        this.node.insertBefore(view.node, this.node.children[position] ?? null);
      }
      view.show(item, isActive, outcomes.get(item.id)); // in the page by now: only there can it scroll
      view.node.hidden = asked.has(item.id) && item.status === "inProgress"; // its card shows it
    });
    const last = items.at(-1);
    const isSilent = !last || (last.status ? last.status !== "inProgress" : last.type === "userMessage");
    return isSilent && !asked.size;
  }

  viewOf(item) {
    let view = this.views.get(item.id);
    if (!view || view.type !== item.type) {
      view?.node.remove();
      view = new ItemSlot(item);
      this.views.set(item.id, view);
    }
    return view;
  }
}

/** The items to draw: the prompt stands in the cell above, and what a row or a card shows is there. */
export function shownItems(items, delegates = []) {
  const rows = new Map(delegates.map((row) => [row.threadId, row]));
  const prompt = items.findIndex((item) => item.type === "userMessage");
  const repeated = repeatedMessage(items);
  const isShown = (item) => !isBlank(item) && !isToldByRow(item, rows) && item.id !== repeated;
  return items
    .filter((item, position) => position !== prompt && isShown(item))
    .map((item) => (item.type === "collabAgentToolCall" ? withAgents(item, rows) : item));
}

function isBlank(item) {
  return item.type === "agentMessage" && !item.text;
}

/** A call that only started agents which have rows. */
function isToldByRow(item, rows) {
  const ids = item.receiverThreadIds ?? [];
  const isSpawn = item.type === "collabAgentToolCall" && item.tool === "spawnAgent";
  return isSpawn && ids.length > 0 && ids.every((id) => rows.has(id));
}

/** The call with the names of its agents, taken from their rows if it does not say. */
function withAgents(item, rows) {
  const agents = item.agents ?? [];
  const said = new Set(agents.map((agent) => agent.threadId));
  const added = (item.receiverThreadIds ?? [])
    .filter((id) => rows.has(id) && !said.has(id))
    .map((id) => ({ threadId: id, nickname: rows.get(id).name, role: rows.get(id).role }));
  return { ...item, agents: [...agents, ...added] };
}
