// Markdown of a model's answer as blocks and spans (plain objects).
// What is not known stays text; raw HTML is text; nothing is loaded from the network.

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const BULLET = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)/;
const DIVIDER = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const MAX_DEPTH = 8;
const MAX_INLINE = 20_000; // a longer paragraph is no prose; as plain text it costs nothing

/** Whether a link may be followed: an address of the web or of mail, nothing that runs. */
export function safeHref(href) {
  return /^(?:https?:\/\/|mailto:)[^\s\x00-\x1f]+$/i.test(href) ? href : null;
}

/** @returns {Array<Record<string, any>>} blocks with `start` and `end` line numbers */
export function parseBlocks(source, depth = 0) {
  const lines = source.split("\n");
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const block = blockAt(lines, at, depth);
    blocks.push({ ...block, start: at });
    at = block.end;
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) {
    return fencedCode(lines, at, fence);
  }
  const heading = HEADING.exec(line);
  if (heading) {
    return { type: "heading", level: heading[1].length, text: heading[2], end: at + 1 };
  }
  if (RULE.test(line)) {
    return { type: "rule", end: at + 1 };
  }
  if (QUOTE.test(line) && depth < MAX_DEPTH) {
    return quote(lines, at, depth);
  }
  if (BULLET.test(line) && depth < MAX_DEPTH) {
    return list(lines, at, depth);
  }
  if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
    const head = cells(line);
    if (head.length === cells(lines[at + 1]).length) {
      return table(lines, at, head);
    }
  }
  return paragraph(lines, at);
}

function fencedCode(lines, at, [, mark, info]) {
  const indent = lines[at].length - lines[at].trimStart().length;
  const closing = new RegExp(`^ {0,3}${mark[0] === "`" ? "`" : "~"}{${mark.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) {
    end += 1;
  }
  const unindented = new RegExp(`^ {0,${indent}}`);
  const text = lines
    .slice(at + 1, end)
    .map((line) => line.replace(unindented, ""))
    .join("\n");
  const language = info.trim().split(/[\s{]/)[0].toLowerCase();
  return { type: "code", language, text, end: Math.min(end + 1, lines.length) };
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && lines[end].trim() && (QUOTE.test(lines[end]) || !startsBlock(lines[end]))) {
    end += 1;
  }
  const inner = lines
    .slice(at, end)
    .map((line) => line.replace(QUOTE, ""))
    .join("\n");
  return { type: "quote", blocks: parseBlocks(inner, depth + 1), end };
}

function list(lines, at, depth) {
  const ordered = /\d/.test(BULLET.exec(lines[at])[2]);
  const items = [];
  let end = at;
  let loose = false;
  while (end < lines.length) {
    const marker = BULLET.exec(lines[end]);
    if (!marker || /\d/.test(marker[2]) !== ordered || RULE.test(lines[end])) {
      break;
    }
    const item = listItem(lines, end, marker);
    loose ||= item.blank && BULLET.test(lines[item.end] ?? "");
    items.push(listContent(item.text, depth));
    end = item.end;
  }
  const first = ordered ? Number.parseInt(BULLET.exec(lines[at])[2], 10) : 1;
  return { type: "list", ordered, first, loose, items, end };
}

function listItem(lines, at, marker) {
  const width = marker[1].length + marker[2].length + Math.min(Math.max(marker[3].length, 1), 4);
  const text = [lines[at].slice(Math.min(width, lines[at].length))];
  const indented = new RegExp(`^(?: {${Math.min(width, 2)},}|\\t)`);
  let end = at + 1;
  let blank = false;
  for (; end < lines.length; end += 1) {
    if (!lines[end].trim()) {
      blank = true;
    } else if (indented.test(lines[end])) {
      text.push(...(blank ? [""] : []), lines[end].replace(new RegExp(`^(?: {1,${width}}|\\t)`), ""));
      blank = false;
    } else if (blank || startsBlock(lines[end])) {
      break;
    } else {
      text.push(lines[end]);
    }
  }
  return { text: text.join("\n"), end, blank };
}

function listContent(text, depth) {
  const task = /^\[([ xX])\]\s+/.exec(text);
  const blocks = parseBlocks(task ? text.slice(task[0].length) : text, depth + 1);
  return { task: task ? task[1] !== " " : null, blocks };
}

function table(lines, at, head) {
  const align = cells(lines[at + 1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "left",
  );
  let end = at + 2;
  while (end < lines.length && lines[end].trim() && lines[end].includes("|")) {
    end += 1;
  }
  const rows = lines.slice(at + 2, end).map((line) => align.map((_, index) => cells(line)[index] ?? ""));
  return { type: "table", align, head, rows, end };
}

function cells(line) {
  return line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !startsBlock(lines[end])) {
    end += 1;
  }
  return {
    type: "paragraph",
    text: lines
      .slice(at, end)
      .map((line) => line.trimStart())
      .join("\n"),
    end,
  };
}

function startsBlock(line) {
  return [FENCE, HEADING, RULE, QUOTE, BULLET].some((start) => start.test(line));
}

/** @returns {Array<Record<string, any>>} spans: text, code, strong, em, del, link, break */
export function parseInline(text, depth = 0) {
  if (text.length > MAX_INLINE || depth > MAX_DEPTH) {
    return [{ type: "text", text }];
  }
  const spans = [];
  const unmatched = new Set(); // delimiters known to have no end further on
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const found = spanAt(text, at, depth, unmatched);
    if (found) {
      if (plain) {
        spans.push({ type: "text", text: plain });
        plain = "";
      }
      spans.push(found.span);
      at = found.end;
    } else {
      const escaped = text[at] === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "");
      plain += escaped ? text[at + 1] : text[at];
      at += escaped ? 2 : 1;
    }
  }
  return plain ? [...spans, { type: "text", text: plain }] : spans;
}

function spanAt(text, at, depth, unmatched) {
  switch (text[at]) {
    case "`":
      return codeSpan(text, at, unmatched);
    case "!":
      return text[at + 1] === "[" ? link(text, at + 1, depth, "image") : null;
    case "[":
      return link(text, at, depth, "link");
    case "*":
    case "_":
    case "~":
      return emphasis(text, at, depth, unmatched);
    case "\n":
      return { span: text.startsWith("  ", at - 2) ? { type: "break" } : { type: "text", text: "\n" }, end: at + 1 };
    case "<":
    case "h":
      return address(text, at);
    default:
      return null;
  }
}

function codeSpan(text, at, unmatched) {
  const mark = /^`+/.exec(text.slice(at, at + 64))[0];
  let end = unmatched.has(mark) ? -1 : text.indexOf(mark, at + mark.length);
  while (end >= 0 && (text[end + mark.length] === "`" || text[end - 1] === "`")) {
    end = text.indexOf(mark, end + 1);
  }
  if (end < 0) {
    unmatched.add(mark);
    return { span: { type: "text", text: mark }, end: at + mark.length };
  }
  const inner = text.slice(at + mark.length, end).replaceAll("\n", " ");
  const trimmed = /^ .* $/.test(inner) && inner.trim() ? inner.slice(1, -1) : inner;
  return { span: { type: "code", text: trimmed }, end: end + mark.length };
}

function link(text, at, depth, type) {
  const match =
    /^\[((?:\\.|[^[\]\\]|\[[^[\]]{0,200}\]){0,1000})\]\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+["'(][^\n]{0,200}?["')])?\s*\)/.exec(
      text.slice(at, at + 4000),
    );
  if (!match) {
    return null;
  }
  const end = at + match[0].length;
  if (type === "image") {
    return { span: { type: "image", text: match[1] }, end };
  }
  return { span: { type: "link", href: safeHref(match[2]), spans: parseInline(match[1], depth + 1) }, end };
}

function address(text, at) {
  if (text[at] === "h" && /[\w/]/.test(text[at - 1] ?? " ")) {
    return null;
  }
  const match = /^(?:<(https?:\/\/[^\s<>]+|mailto:[^\s<>]+)>|(https?:\/\/[^\s<>`"']*[^\s<>`"'.,;:!?*_~)\]]))/.exec(
    text.slice(at, at + 2000),
  );
  if (!match) {
    return null;
  }
  const href = match[1] ?? match[2];
  return {
    span: { type: "link", href: safeHref(href), spans: [{ type: "text", text: href }] },
    end: at + match[0].length,
  };
}

function emphasis(text, at, depth, unmatched) {
  const char = text[at];
  const mark = text[at + 1] === char ? char + char : char;
  if (mark === "~" || /[\s]|^$/.test(text[at + mark.length] ?? "") || unmatched.has(mark)) {
    return null;
  }
  if (char === "_" && /\w/.test(text[at - 1] ?? "")) {
    return null;
  }
  let end = text.indexOf(mark, at + mark.length + 1);
  while (end >= 0 && !closes(text, end, mark)) {
    end = text.indexOf(mark, end + 1);
  }
  if (end < 0) {
    unmatched.add(mark);
    return null;
  }
  const type = mark === "~~" ? "del" : mark.length === 2 ? "strong" : "em";
  return { span: { type, spans: parseInline(text.slice(at + mark.length, end), depth + 1) }, end: end + mark.length };
}

function closes(text, end, mark) {
  if (/\s/.test(text[end - 1]) || (mark[0] === "_" && /\w/.test(text[end + mark.length] ?? ""))) {
    return false;
  }
  // a single mark does not close inside a double one; of three, the outer pair closes last
  return mark.length === 2 ? text[end + 2] !== mark[0] : text[end + 1] !== mark && text[end - 1] !== mark;
}
