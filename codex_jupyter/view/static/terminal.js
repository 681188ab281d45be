// Terminal text as styled lines: SGR colours are kept, every other control is dropped.
// Mirrored by view/terminal_text.py.

// CSI (the final byte decides), OSC/DCS/SOS/PM/APC strings up to their end, two-byte escapes, a lone ESC
const CONTROL =
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]|\x1b/g;
const UNFINISHED = /(?:\x1b|\x1b\[[0-?]*[ -/]*|\x1b[\]PX^_][^\x07\x1b\x9c]{0,4096}\x1b?|\r)$/;
// C0 but tab, C1, and what reorders or hides text (bidi, zero width)
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** Show unseen characters by their code, so that what is displayed is what is there. */
export function visible(text) {
  return text.replace(UNSEEN, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

/** Turns chunks of output into lines of runs `{ text, style }`; escapes may be split between chunks. */
export class Terminal {
  constructor() {
    this.pending = "";
    this.style = plainStyle();
    this.line = [];
    this.overwrite = false;
  }

  /** @returns {{ closed: Array<Array<{text: string, style: string}>>, open: Array<{text: string, style: string}> }} */
  feed(chunk) {
    let text = this.pending + chunk;
    const unfinished = UNFINISHED.exec(text);
    this.pending = unfinished ? unfinished[0] : "";
    text = text.slice(0, text.length - this.pending.length).replaceAll("\r\n", "\n");
    const closed = [];
    let position = 0;
    for (const match of text.matchAll(CONTROL)) {
      this.write(text.slice(position, match.index), closed);
      if (match[2] === "m") {
        this.style = restyled(this.style, match[1]);
      }
      position = match.index + match[0].length;
    }
    this.write(text.slice(position), closed);
    return { closed, open: this.line };
  }

  write(text, closed) {
    const lines = text.split("\n");
    lines.forEach((line, index) => {
      this.put(line);
      if (index < lines.length - 1) {
        closed.push(this.line);
        this.line = [];
        this.overwrite = false;
      }
    });
  }

  // A carriage return starts the line again: progress bars show their last state only.
  put(text) {
    const segments = text.split("\r");
    segments.forEach((segment, index) => {
      if (index > 0) {
        this.overwrite = true;
      }
      const shown = segment.replace(UNSEEN, "");
      if (!shown) {
        return;
      }
      if (this.overwrite) {
        this.line = [];
        this.overwrite = false;
      }
      const style = styleName(this.style);
      const last = this.line.at(-1);
      if (last?.style === style) {
        this.line = [...this.line.slice(0, -1), { text: last.text + shown, style }];
      } else {
        this.line = [...this.line, { text: shown, style }];
      }
    });
  }
}

function plainStyle() {
  return { color: "", bold: false, dim: false, underline: false };
}

function restyled(before, parameters) {
  const style = { ...before };
  const codes = parameters.split(/[;:]/).map(Number);
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index];
    if (code === 0) {
      Object.assign(style, plainStyle());
    } else if (code === 1) {
      style.bold = true;
    } else if (code === 2) {
      style.dim = true;
    } else if (code === 4) {
      style.underline = true;
    } else if (code === 22) {
      style.bold = style.dim = false;
    } else if (code === 24) {
      style.underline = false;
    } else if (code >= 30 && code <= 37) {
      style.color = NAMES[code - 30];
    } else if (code >= 90 && code <= 97) {
      style.color = `bright-${NAMES[code - 90]}`;
    } else if (code === 39) {
      style.color = "";
    } else if (code === 38 || code === 48) {
      index += codes[index + 1] === 5 ? 2 : 4; // 256 and true colours are not among our sixteen
    }
  }
  return style;
}

function styleName({ color, bold, dim, underline }) {
  const names = [color, bold && "bold", dim && "dim", underline && "underline"].filter(Boolean);
  return names.map((name) => `cxj-${name}`).join(" ");
}
