// Builds nodes. Data only ever becomes text: nothing in this view parses markup.

/**
 * @param {string} tag
 * @param {Record<string, unknown> | null} [attributes] "class", "on*" listeners, properties and attributes;
 *   false, null and undefined are left out
 * @param {...(Node | string | null | undefined)} children strings become text nodes
 */
export function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) {
      continue;
    }
    if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Change the text of a node only when it differs, so that a selection in it survives. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** A button that copies what `text()` returns; absent where the page may not write the clipboard. */
export function copyButton(text) {
  if (!globalThis.navigator?.clipboard) {
    return null;
  }
  const copy = async () => {
    await navigator.clipboard.writeText(text());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1200);
  };
  const button = element("button", { class: "cxj-copy", type: "button", onclick: copy }, "Copy");
  return button;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 950) {
    return `${Math.round(ms)} ms`;
  }
  const seconds = ms / 1000;
  if (seconds < 9.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A time that goes on, in whole seconds. @param {number} ms */
export function wholeSeconds(ms) {
  return ms < 1000 ? "0 s" : ms < 10_000 ? `${Math.floor(ms / 1000)} s` : duration(Math.floor(ms / 1000) * 1000);
}

/** @param {number} count */
export function tokens(count) {
  if (count < 1000) {
    return `${count} tokens`;
  }
  return count < 999_500
    ? `${(count / 1000).toFixed(count < 9950 ? 1 : 0)}k tokens`
    : `${(count / 1_000_000).toFixed(1)}M tokens`;
}
