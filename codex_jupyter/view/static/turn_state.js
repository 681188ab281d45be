// The state of one turn and how an op changes it. Mirrors view/turn_state.py: fold, line for line.

/** @typedef {Record<string, any>} Op */
/** @typedef {Record<string, any>} State */

/** @returns {State} */
export function emptyState() {
  return {
    schema: 1,
    threadId: "",
    turnId: "",
    status: "inProgress",
    model: null,
    sandbox: "not sandboxed",
    items: [],
    delegates: [],
    plan: null,
    diff: null,
    requests: [],
    notices: [],
    usage: null,
    error: null,
    hold: null,
    startedAtMs: null,
    durationMs: null,
    truncated: false,
  };
}

/** Change `state` by one op; ops this page does not know change nothing. */
export function applyOp(state, op) {
  switch (op.op) {
    case "item":
      dropRetries(state);
      upsert(state.items, "id", op.item);
      break;
    case "append":
      dropRetries(state);
      append(state.items, op);
      break;
    case "plan":
      state.plan = { explanation: op.explanation, plan: op.plan };
      break;
    case "diff":
    case "usage":
    case "model":
      state[op.op] = op[op.op];
      break;
    case "hold":
      state.hold = op.code;
      break;
    case "status":
      setStatus(state, op);
      break;
    case "ask":
      upsert(state.requests, "requestId", op.request);
      break;
    case "delegate":
      upsert(state.delegates, "threadId", op.delegate);
      break;
    case "settle":
      settle(state.requests, op.requestId, op.outcome);
      break;
    case "notice":
      if (op.level === "retry" || op.level === "delegates") {
        state.notices = state.notices.filter((notice) => notice.level !== op.level); // of these the last one counts
      }
      state.notices.push({ level: op.level, text: op.text });
      break;
  }
}

function upsert(entries, key, entry) {
  const position = entries.findIndex((known) => known[key] === entry[key]);
  if (position >= 0) {
    entries[position] = { ...entry };
  } else {
    entries.push({ ...entry });
  }
}

// An item that grew is a new object, so that a view can tell by identity that it has nothing to draw.
function append(items, op) {
  const position = items.findIndex((known) => known.id === op.id);
  if (position < 0) {
    return;
  }
  const before = items[position][op.field];
  if (op.field === "summary" || op.field === "content") {
    const parts = [...(before ?? [])];
    while (parts.length <= op.index) {
      parts.push("");
    }
    parts[op.index] += op.delta;
    items[position] = { ...items[position], [op.field]: parts };
  } else {
    items[position] = { ...items[position], [op.field]: (before ?? "") + op.delta };
  }
}

function setStatus(state, op) {
  dropRetries(state);
  for (const name of ["status", "error", "startedAtMs", "durationMs"]) {
    state[name] = op[name];
  }
  if (state.status !== "inProgress") {
    for (const request of [...state.requests]) {
      settle(state.requests, request.requestId, "closed");
    }
  }
}

function settle(requests, requestId, outcome) {
  requests.forEach((request, position) => {
    if (request.requestId === requestId && request.outcome === null) {
      const kept = ["requestId", "kind", "itemId", "title"].filter((name) => name in request);
      requests[position] = Object.fromEntries(kept.map((name) => [name, request[name]]));
      requests[position].outcome = outcome;
    }
  });
}

function dropRetries(state) {
  if (state.notices.length) {
    state.notices = state.notices.filter((notice) => notice.level !== "retry");
  }
}
