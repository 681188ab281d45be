// How a page speaks to its kernel: the control channel, which a busy cell does not block; else the comm.

export const REPLY_TIMEOUT = 3000; // milliseconds; a control message is answered in about a tenth of a second

export class KernelLink {
  /** @param {import("@anywidget/types").AnyModel & { widget_manager?: { kernel?: any } }} model */
  constructor(model, timeout = REPLY_TIMEOUT) {
    this.model = model;
    this.timeout = timeout;
    this.waiting = new Map();
  }

  get kernel() {
    return this.model.widget_manager?.kernel ?? null;
  }

  /** Whether messages arrive while a cell runs. */
  get isDirect() {
    return typeof this.kernel?.sendControlMessage === "function";
  }

  /** @returns {Promise<Record<string, any> | null>} the reply's content, null if none came in time */
  ask(content) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), this.timeout);
      const settle = (reply) => {
        clearTimeout(timer);
        resolve(reply);
      };
      if (!this.isDirect || !this.sendControl(content, settle)) {
        this.sendComm(content, settle);
      }
    });
  }

  /** A comm reply that arrived as a custom message. */
  receive(message) {
    this.waiting.get(message.id)?.(message.content);
    this.waiting.delete(message.id);
  }

  restart() {
    return this.kernel.restart();
  }

  dispose() {
    for (const settle of this.waiting.values()) {
      settle(null);
    }
    this.waiting.clear();
  }

  sendControl(content, settle) {
    const kernel = this.kernel;
    const header = {
      msg_id: uniqueId(),
      msg_type: "codex_jupyter_request",
      session: kernel.clientId,
      username: "",
      version: "5.2",
      date: new Date().toISOString(),
    };
    const message = { channel: "control", header, parent_header: {}, metadata: {}, content, buffers: [] };
    try {
      const future = kernel.sendControlMessage(message, true, true);
      future.onReply = (reply) => settle(reply.content);
      future.done?.catch?.(() => settle(null)); // a restarted or dead kernel drops its futures
      return true;
    } catch {
      return false; // the connection is gone; the comm says so in its own way
    }
  }

  sendComm(content, settle) {
    const id = uniqueId();
    this.waiting.set(id, settle);
    this.model.send({ kind: "request", id, content });
  }
}

/** `crypto.randomUUID` exists only in secure contexts, and hubs are often served over plain http. */
export function uniqueId() {
  if (globalThis.crypto?.randomUUID) {
    return crypto.randomUUID();
  }
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
