// The words for delegates. Mirrors parts of view/delegate_words.py.

import { visible } from "./terminal.js";

const LINE_CHARS = 160;
const MARKUP = /^(?:#+|>|[-*])\s+|\*\*|`/g;
const DELEGATE_ENDS = { interrupted: "stopped", failed: "failed", closed: "closed" };
const WAITS = { approval: "Waits for your approval", answer: "Waits for your answer" };
const LEFT = { waiting: "had not begun", running: "was still at work" };

/** The rows as a tree is written, each with its depth: below its parent, in order. */
export function delegateDepths(rows) {
  const known = new Set(rows.map((row) => row.threadId));
  const children = new Map();
  for (const row of rows) {
    const parent = known.has(row.parentThreadId) ? row.parentThreadId : null;
    if (!children.has(parent)) {
      children.set(parent, []);
    }
    children.get(parent).push(row);
  }
  const take = (parent, depth) => {
    const below = (children.get(parent) ?? []).map((row) => [row, depth]).reverse();
    children.delete(parent);
    return below;
  };
  const placed = [];
  const waiting = take(null, 0);
  while (waiting.length) {
    const [row, depth] = waiting.pop();
    placed.push([row, depth]);
    waiting.push(...take(row.threadId, depth + 1));
  }
  // what is its own ancestor hangs from nothing
  return [...placed, ...[...children.values()].flat().map((row) => [row, 0])];
}

/** One line on what a delegate does, or what came of it. */
export function delegateLine(row, isLive = true) {
  const isOpen = row.status === "waiting" || row.status === "running";
  if (isOpen && !isLive) {
    return LEFT[row.status];
  }
  const now = row.status === "running" ? (row.activity ?? "Working") : row.message;
  const line = visible(now || row.task || (row.status === "waiting" ? "Waiting" : ""))
    .split("\n")
    .map((part) => part.trim().replace(MARKUP, ""))
    .find(Boolean);
  const first = isOpen ? WAITS[row.waitsOn] : DELEGATE_ENDS[row.status];
  const words = [first, line].filter(Boolean).join(" · ");
  return words.length <= LINE_CHARS ? words : `${words.slice(0, LINE_CHARS - 1)}…`;
}

/** What a call to agents did, as a sentence. @param {Record<string, any>} item of type `collabAgentToolCall` */
export function agentWords(item) {
  const names = agentNames(item);
  const who = names.join(", ") || "an agent";
  const prompt = (item.prompt ?? "").split(/\s+/).filter(Boolean).join(" ");
  const failed = item.status === "failed";
  const words = {
    spawnAgent: failed
      ? `Could not start an agent: ${prompt}`
      : names.length
        ? `Started ${who}`
        : `Starting an agent: ${prompt}`,
    sendInput: `Told ${who}: ${prompt}`,
    wait: item.status === "inProgress" ? `Waiting for ${who}` : `Waited for ${who}`,
    closeAgent: `Closed ${who}`,
    resumeAgent: `Opened ${who} again`,
  };
  const said = words[item.tool] ?? `${item.tool ?? "Something"} with ${who}`;
  const ending = failed && item.tool !== "spawnAgent" ? " — failed" : "";
  return (said.length <= LINE_CHARS ? said : `${said.slice(0, LINE_CHARS - 1)}…`) + ending;
}

function agentNames(item) {
  const agents = new Map((item.agents ?? []).map((agent) => [agent.threadId, agent]));
  const ids = new Set([...(item.receiverThreadIds ?? []), ...agents.keys()]);
  return [...ids].map((id) => {
    const { nickname, role } = agents.get(id) ?? {};
    const name = nickname || id.slice(0, 8);
    return item.tool === "spawnAgent" && role ? `${name} (${role})` : name;
  });
}
