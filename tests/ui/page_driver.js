// The page's end of a view under test: a model and a kernel that only keep what they are told.

window.start = async ({ snapshot, seq = 0, open = [], running = true, control = true, replies = {} }) => {
  const { default: view } = await import("/turn_view.mjs");
  const state = { snapshot, seq };
  const handlers = {};
  window.asked = [];
  window.sent = [];
  window.restarts = 0;
  window.open = open;
  window.replies = { hello: () => ({ status: "ok", open: window.open, running }), ...replies };
  const answer = (content) => {
    const reply = window.replies[content.action] ?? { status: "ok" };
    return typeof reply === "function" ? reply(content) : reply;
  };
  const kernel = {
    clientId: "page",
    restart: () => (window.restarts += 1),
    sendControlMessage: (message) => {
      window.asked.push(message.content);
      const future = { done: Promise.resolve() };
      const reply = answer(message.content);
      if (reply !== "silence") setTimeout(() => future.onReply?.({ content: reply }), 1);
      return future;
    },
  };
  const model = {
    widget_manager: control ? { kernel } : undefined,
    get: (name) => state[name],
    on: (name, handler) => (handlers[name] = handler),
    off: (name, handler) => handlers[name] === handler && delete handlers[name],
    send: (message) => {
      window.sent.push(message);
      if (message.kind === "request") {
        window.asked.push(message.content);
        const content = answer(message.content);
        const reply = { kind: "reply", id: message.id, content };
        if (content !== "silence") setTimeout(() => handlers["msg:custom"](reply), 1);
      }
    },
  };
  window.tell = (ops, number) => handlers["msg:custom"]({ kind: "ops", seq: number, ops });
  window.settle = (next, number) => {
    Object.assign(state, { snapshot: next, seq: number });
    handlers["change:snapshot"]();
    handlers["change:seq"]();
  };
  window.handlers = handlers;
  window.stopView = view.render({ model, el: document.getElementById("out") });
};

// The worst contrast of any visible text with what is painted behind it, as WCAG counts it.
window.worstContrast = () => {
  const parse = (color) => {
    const channels = color.match(/[\d.]+/g).map(Number);
    return channels.length < 4 ? [...channels, 1] : channels;
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const linear = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const ground = (node) => {
    if (!node) return [255, 255, 255, 1];
    const color = parse(getComputedStyle(node).backgroundColor);
    return color[3] === 1 ? color : over(color, ground(node.parentElement));
  };
  let worst = { ratio: Infinity, text: "" };
  const walk = document.createTreeWalker(document.getElementById("out"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const isShown = walk.currentNode.textContent.trim() && node.checkVisibility() && !node.closest(".cxj-copy, style");
    if (!isShown) continue;
    const back = ground(node);
    const front = over(parse(getComputedStyle(node).color), back);
    const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: walk.currentNode.textContent };
  }
  return worst;
};
