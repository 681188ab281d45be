// What the page computes without a document: state, terminal text, markdown, diffs, Python colours.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { register } from "node:module";
import { test } from "node:test";

// the package has no package.json: say that its .js files are modules
register(
  "data:text/javascript," +
    encodeURIComponent(`export const load = (url, context, next) =>
      next(url, url.endsWith(".js") ? { ...context, format: "module" } : context);`),
);

const load = (name) => import(new URL(`../../codex_jupyter/view/static/${name}.js`, import.meta.url));
const { applyOp } = await load("turn_state");
const { Terminal, visible } = await load("terminal");
const { parseBlocks, parseInline, safeHref } = await load("markdown");
const { closedCount } = await load("markdown_view");
const { changeRows, counts, diffChanges } = await load("diff");
const { pythonRuns } = await load("python_code");
const { commandStatus, lastTitle, quietWords, resultText, toolLabel } = await load("items");
const { headFacts } = await load("turn_view");
const { shownItems } = await load("item_list");
const { agentWords, delegateDepths, delegateLine } = await load("delegate_words");
const { KernelLink, uniqueId } = await load("kernel_link");

const cases = process.env.CASES;

test("the bundle is one module that exports render", async () => {
  const { default: view } = await import(`${cases}/bundle.mjs`);
  assert.equal(typeof view.render, "function");
});

test("the page folds ops to the state the kernel has", () => {
  const { before, ops, after } = JSON.parse(readFileSync(`${cases}/case.json`, "utf8"));
  for (const op of ops) {
    applyOp(before, op);
  }
  assert.deepEqual(before, after);
});

test("terminal text, Python and diffs read as they do in the static output", () => {
  const mirrored = JSON.parse(readFileSync(`${cases}/mirrored.json`, "utf8"));
  const pairs = (runs) => runs.map(({ text, style }) => [text, style]);
  for (const [text, lines] of mirrored.terminal) {
    const { closed, open } = new Terminal().feed(text);
    assert.deepEqual([...closed, open].map(pairs), lines, JSON.stringify(text));
  }
  for (const [source, runs] of mirrored.python) {
    assert.deepEqual(pairs(pythonRuns(source)), runs);
  }
  for (const [change, rows] of mirrored.diff) {
    assert.deepEqual(changeRows(change).map(({ kind, before, after, text }) => [kind, after ?? before, text]), rows);
  }
});

const shown = (text) => {
  const terminal = new Terminal();
  const { closed, open } = terminal.feed(text);
  return [...closed, open].map((line) => line.map((run) => run.text).join("")).join("\n");
};

test("colours become styles and survive being split anywhere", () => {
  const text = "a\x1b[1;31mred\x1b[0m b\r\n\x1b[38;5;9mx\x1b[4mu\x1b[0m\n\x1b]0;title\x07end";
  const whole = new Terminal().feed(text);
  assert.deepEqual(whole.closed[0], [
    { text: "a", style: "" },
    { text: "red", style: "cxj-red cxj-bold" },
    { text: " b", style: "" },
  ]);
  for (let cut = 0; cut <= text.length; cut += 1) {
    const terminal = new Terminal();
    const first = terminal.feed(text.slice(0, cut));
    const second = terminal.feed(text.slice(cut));
    assert.deepEqual([...first.closed, ...second.closed], whole.closed, `cut at ${cut}`);
    assert.deepEqual(second.open, whole.open, `cut at ${cut}`);
  }
});

test("a carriage return shows the last state of its line", () => {
  assert.equal(shown("10%\r50%\r100%\ndone\r\n"), "100%\ndone\n");
});

test("no control character reaches the page", () => {
  const hostile = "\x1b]52;c;aGk=\x07a\x00b\x9b2Jc\x1bPq\x1b\\d\u202ee\x08f\x1b[?25lg\x1b]8;;http://x\x1b\\h";
  assert.equal(shown(hostile), "abcdefgh");
  assert.equal(visible("rm\u202e -rf\x1b[0m\t\n"), "rm\\u{202e} -rf\\u{1b}[0m\t\n");
});

const SAMPLE = `# Title

Some *text* with **bold**, \`code\` and a
second line.

- one
  - nested \`x\`
- two

1. first

\`\`\`python
def f(): # not a heading

    return "|"
\`\`\`

| a | b |
|--:|---|
| 1 | 2 |

> quoted
> more

---
last`;

const strip = (blocks) =>
  JSON.parse(JSON.stringify(blocks, (key, value) => (key === "start" || key === "end" ? undefined : value)));

test("markdown has the blocks it shows", () => {
  assert.deepEqual(
    parseBlocks(SAMPLE).map((block) => block.type),
    ["heading", "paragraph", "list", "list", "code", "table", "quote", "rule", "paragraph"],
  );
  const [, , list] = parseBlocks(SAMPLE);
  assert.equal(list.items[0].blocks[1].type, "list");
});

test("drawing while the text grows ends with the same blocks as drawing it whole", () => {
  for (const size of [1, 3, 7, 40]) {
    let frozen = "";
    let done = [];
    for (let end = size; ; end += size) {
      const text = SAMPLE.slice(0, end);
      const rest = text.slice(frozen.length);
      const blocks = parseBlocks(rest);
      const closed = closedCount(rest, blocks);
      if (closed > 0) {
        done = [...done, ...blocks.slice(0, closed)];
        frozen += rest.split("\n").slice(0, blocks[closed].start).join("\n") + "\n";
      }
      if (end >= SAMPLE.length) {
        assert.deepEqual(strip([...done, ...blocks.slice(closed)]), strip(parseBlocks(SAMPLE)), `size ${size}`);
        break;
      }
    }
  }
});

test("inline marks", () => {
  const text = (source) => JSON.stringify(parseInline(source));
  assert.match(text("**a *b* c**"), /strong.*em/);
  assert.match(text("snake_case_name and 2 * 3 * 4"), /^\[\{"type":"text"/);
  assert.doesNotMatch(text("snake_case_name and 2 * 3 * 4"), /em/);
  assert.match(text("`` a`b ``"), /"text":"a`b"/);
  assert.match(text("~~gone~~"), /del/);
  assert.deepEqual(parseInline("![alt](http://x/y.png)"), [{ type: "image", text: "alt" }]);
  assert.equal(parseInline("see https://a.b/c.")[1].href, "https://a.b/c");
});

test("only links of the web and of mail may be followed", () => {
  for (const href of ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "//x", "/x", "file:///x"]) {
    assert.equal(safeHref(href), null, href);
    assert.ok(!JSON.stringify(parseInline(`[x](${href})`)).includes('"href":"'), href);
  }
  assert.equal(safeHref(" https://x"), null);
  assert.equal(safeHref("HTTPS://x/y"), "HTTPS://x/y");
  assert.equal(parseInline("[x](mailto:a@b.c)")[0].href, "mailto:a@b.c");
});

// the pytest test that runs this file gives it a minute; what is quadratic or worse needs many
test("hostile markdown is read in the end", () => {
  for (const piece of ["*a ", "[", "[a](", "`", "``a`", "_a", "~~", "<http://", "> ", "- ", "|-", "![", "h"]) {
    parseBlocks(piece.repeat(6000)).forEach((block) => block.text && parseInline(block.text));
  }
  assert.equal(parseBlocks("> ".repeat(500) + "deep").length, 1);
});

test("diffs have signs and numbers", () => {
  const rows = changeRows({ path: "a", kind: { type: "update" }, diff: "@@ -3,2 +3,3 @@ def f\n a\n-b\n+c\n+--- d\n\\ No newline at end of file\n" });
  assert.deepEqual(
    rows.map(({ kind, before, after, text }) => [kind, before, after, text]),
    [
      ["hunk", null, null, "def f"],
      ["same", 3, 3, "a"],
      ["delete", 4, null, "b"],
      ["add", null, 4, "c"],
      ["add", null, 5, "--- d"],
      ["note", null, null, "No newline at end of file"],
    ],
  );
  assert.deepEqual(counts(rows), { added: 2, deleted: 1 });
  assert.equal(changeRows({ path: "n", kind: { type: "add" }, diff: "x\ny\n" }).length, 2);
});

test("a diff of several files splits into changes", () => {
  const diff = "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\ndiff --git a/m b/m\n--- a/m\n+++ b/m\n@@ -1 +1 @@\n-a\n+b\n";
  assert.deepEqual(diffChanges(diff).map((change) => [change.path, change.kind.type]), [["n", "add"], ["m", "update"]]);
});

test("Python runs concatenate to the source", () => {
  const source = 'x = f"a{b}" # c\ndef f(y): return """open';
  const runs = pythonRuns(source);
  assert.equal(runs.map((run) => run.text).join(""), source);
  assert.ok(runs.some((run) => run.style === "cxj-py-keyword" && run.text === "def"));
  assert.ok(runs.some((run) => run.style === "cxj-py-comment" && run.text === "# c"));
});

test("a tool is named with its namespace, and only the kernel's Python is the kernel's", () => {
  const python = { tool: "run_python", arguments: { code: "1" } };
  assert.equal(toolLabel({ ...python, namespace: null }), "Python in your kernel");
  assert.equal(toolLabel({ ...python, namespace: "lab" }), "lab.run_python");
  assert.equal(toolLabel({ tool: "send" }), "send");
});

test("what is no text in a result is named", () => {
  const contentItems = [{ text: "a" }, { type: "inputImage" }, { type: "inputAudio" }];
  assert.equal(resultText({ contentItems }), "a\n[image]\n[audio]");
});

test("words of items and of the header", () => {
  assert.deepEqual(commandStatus({ status: "completed", exitCode: 0 }, false), ["good", "exit 0"]);
  assert.deepEqual(commandStatus({ status: "failed", exitCode: 2 }, false), ["bad", "exit 2"]);
  assert.deepEqual(commandStatus({ status: "inProgress" }, false), ["warn", "stopped"]);
  assert.equal(lastTitle(["**One** x", "**Two**\n\ny"]), "Two");
  assert.equal(quietWords({ type: "brandNew", status: "done" }), "brandNew (done)");
  const state = { status: "inProgress", model: "m", startedAtMs: 1000, durationMs: null, usage: null };
  assert.equal(headFacts(state, false, 6400), "m · 5 s");
  assert.equal(headFacts({ ...state, status: "interrupted", durationMs: 61_000 }, false, 0), "m · 1 min 1 s · stopped");
  assert.equal(headFacts(state, true, 6400), "m · not connected");
  const prompt = { type: "userMessage", id: "u" };
  assert.deepEqual(shownItems([prompt, { type: "agentMessage", id: "e", text: "" }, { ...prompt, id: "v" }]).map((i) => i.id), ["v"]);
});

const ROW = { threadId: "a", parentThreadId: "t", status: "running", activity: null, message: null, task: "Look." };

test("delegates are a tree, whatever they name as their parents", () => {
  const rows = [ROW, { ...ROW, threadId: "b" }, { ...ROW, threadId: "c", parentThreadId: "a" }];
  const ids = (tree) => tree.map(([row, depth]) => `${row.threadId}${depth}`);
  assert.deepEqual(ids(delegateDepths(rows)), ["a0", "c1", "b0"]);
  const round = [{ ...ROW, parentThreadId: "b" }, { ...ROW, threadId: "b", parentThreadId: "a" }];
  assert.deepEqual(ids(delegateDepths(round)).sort(), ["a0", "b0"]);
});

test("the line of a delegate says what it does, or what came of it", () => {
  assert.equal(delegateLine(ROW), "Working");
  assert.equal(delegateLine({ ...ROW, activity: "$ ls" }), "$ ls");
  assert.equal(delegateLine({ ...ROW, status: "waiting" }), "Look.");
  const asks = { ...ROW, activity: "$ ls", waitsOn: "approval" };
  assert.equal(delegateLine(asks), "Waits for your approval · $ ls");
  assert.equal(delegateLine({ ...asks, status: "completed", message: "Found it" }), "Found it");
  assert.equal(delegateLine(asks, false), "was still at work");
  assert.equal(delegateLine({ ...ROW, status: "completed", message: "\n# **Found** `it`\nmore" }), "Found it");
  assert.equal(delegateLine({ ...ROW, status: "failed", message: "no quota" }), "failed · no quota");
  assert.equal(delegateLine({ ...ROW, activity: "$ ls" }, false), "was still at work");
  assert.equal(delegateLine({ ...ROW, activity: "x".repeat(500) }).length, 160);
});

test("a call to agents is a sentence, and the start of one that has a row is its row", () => {
  const call = { type: "collabAgentToolCall", id: "c", tool: "spawnAgent", receiverThreadIds: ["a"], status: "completed" };
  const row = { ...ROW, name: "Ada", role: "explorer" };
  assert.deepEqual(shownItems([call], [row]), []);
  const [wait] = shownItems([{ ...call, tool: "wait", receiverThreadIds: ["a", "12345678-9"] }], [row]);
  assert.equal(agentWords(wait), "Waited for Ada, 12345678");
  assert.equal(agentWords({ ...wait, status: "inProgress" }), "Waiting for Ada, 12345678");
  assert.equal(agentWords({ ...wait, tool: "sendInput", prompt: "do\n it" }), "Told Ada, 12345678: do it");
  assert.equal(agentWords({ ...call, status: "failed", prompt: "x" }), "Could not start an agent: x");
});

test("a page asks by control channel where it can, by comm where it must, and never waits for ever", async () => {
  const sent = [];
  const model = { send: (message) => sent.push(message), widget_manager: {} };
  const link = new KernelLink(model, 20);
  const asked = link.ask({ action: "hello" });
  link.receive({ kind: "reply", id: sent[0].id, content: { status: "ok" } });
  assert.deepEqual(await asked, { status: "ok" });
  assert.equal(await link.ask({ action: "hello" }), null);
  const messages = [];
  model.widget_manager.kernel = {
    clientId: "s",
    sendControlMessage: (message) => {
      messages.push(message);
      const future = {};
      queueMicrotask(() => future.onReply({ content: { status: "gone" } }));
      return future;
    },
  };
  assert.deepEqual(await link.ask({ action: "decide" }), { status: "gone" });
  assert.equal(messages[0].header.msg_type, "codex_jupyter_request");
  assert.equal(messages[0].channel, "control");
  assert.notEqual(uniqueId(), uniqueId());
  link.dispose();
});
