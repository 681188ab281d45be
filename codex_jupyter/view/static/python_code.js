// Colours Python source: a tokenizer good enough for reading, never for judging.
// Mirrored by notebook/python_code.py.

const KEYWORDS =
  "and|as|assert|async|await|break|case|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|" +
  "lambda|match|nonlocal|not|or|pass|raise|return|try|while|with|yield|None|True|False";
const TOKEN = new RegExp(
  [
    "(#[^\\n]*)",
    `([rbfuRBFU]{0,2}(?:"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|"(?:\\\\.|[^"\\\\\\n])*"?|'(?:\\\\.|[^'\\\\\\n])*'?))`,
    "\\b(\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)\\b",
    `\\b(${KEYWORDS})\\b`,
    "([A-Za-z_]\\w*)(?=\\()",
    "[A-Za-z_]\\w*",
  ].join("|"),
  "g",
);
const STYLES = ["", "cxj-py-comment", "cxj-py-string", "cxj-py-number", "cxj-py-keyword", "cxj-py-call"];

/** @returns {Array<{text: string, style: string}>} runs that concatenate to `source` */
export function pythonRuns(source) {
  const runs = [];
  let position = 0;
  for (const match of source.matchAll(TOKEN)) {
    const kind = match.findIndex((group, index) => index > 0 && group !== undefined);
    if (kind < 1) {
      continue;
    }
    if (match.index > position) {
      runs.push({ text: source.slice(position, match.index), style: "" });
    }
    runs.push({ text: match[0], style: STYLES[kind] });
    position = match.index + match[0].length;
  }
  if (position < source.length) {
    runs.push({ text: source.slice(position), style: "" });
  }
  return runs;
}
