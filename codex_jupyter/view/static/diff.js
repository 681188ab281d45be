// Unified diffs as rows with line numbers. Mirrored by notebook/diff_rows.py.

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/;

/** @typedef {{ kind: "add" | "delete" | "same" | "hunk" | "note", before: number | null, after: number | null, text: string }} Row */

/**
 * Rows of one file's change as the wire has it: a whole file for add and delete, hunks for update.
 * @param {{ path: string, kind: { type: string }, diff: string }} change
 * @returns {Row[]}
 */
export function changeRows(change) {
  const lines = change.diff.replace(/\n$/, "").split("\n");
  const type = change.kind?.type;
  if ((type === "add" || type === "delete") && !lines.some((line) => HUNK.test(line))) {
    return lines.map((text, index) => ({
      kind: type,
      before: type === "delete" ? index + 1 : null,
      after: type === "add" ? index + 1 : null,
      text,
    }));
  }
  return hunkRows(lines);
}

/** @param {string[]} lines @returns {Row[]} */
function hunkRows(lines) {
  const rows = [];
  let before = 1;
  let after = 1;
  let inHunk = false;
  for (const line of lines) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      [before, after, inHunk] = [Number(hunk[1]), Number(hunk[2]), true];
      rows.push({ kind: "hunk", before: null, after: null, text: hunk[3].trim() });
    } else if (
      !inHunk &&
      /^(diff |index |--- |\+\+\+ |new file|deleted file|similarity|rename |old mode|new mode)/.test(line)
    ) {
      continue; // what the file header says already
    } else if (line.startsWith("+")) {
      rows.push({ kind: "add", before: null, after: after++, text: line.slice(1) });
    } else if (line.startsWith("-")) {
      rows.push({ kind: "delete", before: before++, after: null, text: line.slice(1) });
    } else if (line.startsWith("\\")) {
      rows.push({ kind: "note", before: null, after: null, text: line.slice(2) });
    } else {
      rows.push({ kind: "same", before: before++, after: after++, text: line.slice(1) });
    }
  }
  return rows;
}

/** @param {Row[]} rows */
export function counts(rows) {
  const count = (kind) => rows.filter((row) => row.kind === kind).length;
  return { added: count("add"), deleted: count("delete") };
}

/** Split a git-style diff of several files into changes. */
export function diffChanges(diff) {
  return diff
    .split(/^(?=diff --git )/m)
    .filter((part) => part.trim())
    .map((part) => {
      const old = /^--- (?:a\/)?(.*)$/m.exec(part)?.[1] ?? "";
      const now = /^\+\+\+ (?:b\/)?(.*)$/m.exec(part)?.[1] ?? "";
      const type = old === "/dev/null" ? "add" : now === "/dev/null" ? "delete" : "update";
      return { path: now === "/dev/null" ? old : now || old, kind: { type }, diff: part };
    });
}
