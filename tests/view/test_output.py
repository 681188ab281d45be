import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.view.delegate_words import agent_words, delegate_depths
from codex_jupyter.view.markdown_html import markdown_html
from codex_jupyter.view.output import TURN_MIME, bundle, markdown, transcript
from codex_jupyter.view.output_html import html
from codex_jupyter.view.terminal_text import plain, visible
from codex_jupyter.view.turn_state import AskedBy
from tests.view.delegate_stories import ADA, CARL, EVE, Family, agents_call, five_delegates
from tests.view.turn_stories import COMMAND_REQUEST, Story, finished_story, review_story

TAGS = re.compile(
    "a|blockquote|br|code|del|details|div|em|h[2-6]|hr|li|ol|p|pre|span|strong|style|summary"
    "|table|tbody|td|th|thead|tr|ul"
)
ATTRIBUTES = re.compile("class|data-no|data-status|href|open|rel|start|style|target|title")
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    "![x](http://evil.example/pixel.png)",
    "[x](https://a.b/'onmouseover='alert(1))",
    '[x](https://a.b "t\\" onmouseover=alert(1)")',
    "</style><script>alert(1)</script>",
    "</pre></div><iframe src=//evil></iframe>",
    "```html\n<script>alert(1)</script>\n```",
    "`<b>`",
    "|a|\n|-|\n|<script>x</script>|",
    "# <a onclick=x>",
    "- [ ] <input autofocus onfocus=alert(1)>",
    "&lt;script&gt;",
    "\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07",
    "https://a.b/<script>",
)


class Outline(HTMLParser):
    """Every tag, attribute and text of some HTML."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.depth = 0
        self.texts: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.depth += tag not in {"br", "hr"}

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def assert_harmless(source: str) -> Outline:
    outline = Outline(source)
    assert [tag for tag in outline.tags if not TAGS.fullmatch(tag)] == []
    for name, value in outline.attributes:
        assert ATTRIBUTES.fullmatch(name), name
        if name == "href":
            assert re.match(r"(https?://|mailto:)", value, re.IGNORECASE), value
        if name == "style":
            assert re.fullmatch(r"text-align: ?(left|right|center);?", value), value
    assert outline.depth == 0
    return outline


def everywhere_in_a_review(text: str) -> dict[str, Any]:
    place = {"absolute_file_path": text, "line_range": {"start": 1, "end": 2}}
    finding = {"title": text, "body": text, "priority": 0, "code_location": place}
    return {"findings": [finding], "overall_correctness": text, "overall_explanation": text}


def everywhere(text: str) -> dict[str, Any]:
    """A snapshot that has ``text`` in every place that a model or a file can fill."""
    story = Family(notice=text)
    asking: AskedBy = {"threadId": ADA, "name": text, "role": text}
    story.begin().ask({**COMMAND_REQUEST, "title": text, "delegate": asking})
    story.appears(ADA, text, text).works(ADA, text).says(ADA, text).ends(ADA)
    story.appears(CARL, text, text).works(CARL, text).ends(CARL, "failed", text)
    story.appears(EVE, text).does(EVE, {"type": "mcpToolCall", "server": text, "tool": text})
    story.completed(agents_call("sendInput", ADA, prompt=text))
    story.tell("turn/plan/updated", explanation=text, plan=[{"step": text, "status": text}])
    story.tell(
        "turn/diff/updated", diff=f"diff --git a/x b/{text}\n+++ b/{text}\n@@ -1 +1 @@\n+{text}"
    )
    change = {
        "path": text,
        "kind": {"type": "update", "move_path": text},
        "diff": f"@@ -1 +1 @@\n+{text}",
    }
    call = {"tool": text, "arguments": {text: text}, "status": "completed", "success": True}
    result = [{"type": "inputText", "text": text}]
    items: list[dict[str, Any]] = [
        {"type": "reasoning", "summary": [f"**{text}**\n{text}"], "content": [text]},
        {
            "type": "commandExecution",
            "command": text,
            "aggregatedOutput": text,
            "status": "completed",
        },
        {"type": "fileChange", "changes": [change], "status": "completed"},
        {"type": "fileChange", "changes": [change], "status": "declined"},
        {"type": "dynamicToolCall", **call, "contentItems": result, "namespace": text},
        {"type": "dynamicToolCall", **call, "tool": "run_python", "arguments": {"code": text}},
        {"type": "mcpToolCall", **call, "server": text, "error": {"message": text}},
        {"type": "userMessage", "content": [{"type": "text", "text": text}]},
        {"type": "agentMessage", "text": text},
        {"type": "exitedReviewMode", "review": "", "output": everywhere_in_a_review(text)},
        {"type": text},
    ]
    for number, item in enumerate(items):
        story.completed({**item, "id": f"i{number}"})
    story.end("failed", {"message": text, "codexErrorInfo": text, "additionalDetails": text})
    return story.state.snapshot()


def test_the_bundle_has_one_of_each_and_no_widget() -> None:
    snapshot = finished_story().state.snapshot()
    data = bundle(snapshot)
    assert list(data) == [TURN_MIME, "text/markdown", "text/html", "text/plain"]
    assert data[TURN_MIME] == snapshot
    json.dumps(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_stands(text: str) -> None:
    outline = assert_harmless(html(everywhere(text)))
    assert "script" not in outline.tags


@given(st.text(alphabet="<>&\"'`*_[]()!#|-\n\\ ajx:/", max_size=60))
def test_any_markdown_is_harmless(text: str) -> None:
    assert_harmless(markdown_html(text))


def test_the_answer_is_drawn_as_markdown() -> None:
    source = html(finished_story().state.snapshot())
    for piece in ("<strong>sales</strong>", "<h3>What changed</h3>", "<table>", "<ol>"):
        assert piece in source
    assert '<span class="cxj-py-keyword">def</span>' in source
    assert 'href="https://pandas.pydata.org/docs/"' in source


def test_the_html_shows_every_part_of_the_turn() -> None:
    text = "".join(Outline(html(finished_story().state.snapshot())).texts)
    for part in (
        "gpt-5.5 · 14 s · 5.2k tokens",
        "Plan · 3 of 3",
        "Thought: Finding the missing rows",
        "Python in your kernel",
        "print(sales.region.isna().sum())",
        "+    sales = fill_region(sales)",
        "$ python -m pytest tests/test_load.py -q",
        "allowed for this session · exit 0 · 810 ms",
        "4 passed",
    ):
        assert part in text, part
    assert "Why does the region plot" not in text  # the cell above says it


def test_the_html_carries_no_script_and_no_address_but_links() -> None:
    source = html(finished_story().state.snapshot())
    assert "<script" not in source
    assert "url(" not in source
    assert "@import" not in source


def test_colours_of_a_command_are_styles_in_html_and_gone_elsewhere() -> None:
    data = bundle(finished_story().state.snapshot())
    assert '<span class="cxj-green cxj-bold">4 passed</span>' in data["text/html"]
    for form in ("text/markdown", "text/plain"):
        assert "\x1b" not in data[form]
        assert "4 passed in 0.31s" in data[form]


def test_a_long_output_is_short_in_every_static_form() -> None:
    output = "\n".join(f"line {number}" for number in range(50_000))
    story = Story().begin().command(status="completed", exitCode=0, aggregatedOutput=output)
    data = bundle(story.end().state.snapshot())
    for form in ("text/markdown", "text/html", "text/plain"):
        assert len(data[form]) < 40_000
        assert "line 0\n" in data[form]
        assert "line 49999" in data[form]
        assert "not kept" in data[form]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("interrupted", "Stopped by you"),
        ("failed", "out of quota"),
        ("failed", "Wait until the limit"),
    ],
)
def test_how_a_turn_ended_is_said_in_every_form(status: str, words: str) -> None:
    error = {"message": "out of quota", "codexErrorInfo": "usageLimitExceeded"}
    story = Story().begin().answer("Half an", whole=False)
    snapshot = story.end(status, error if status == "failed" else None).state.snapshot()
    for form in (html(snapshot), markdown(snapshot), transcript(snapshot)):
        assert words in form


def test_the_transcript_reads_like_a_terminal() -> None:
    story = Story().begin().run_python()
    story.command(status="completed", exitCode=0, durationMs=810, aggregatedOutput="4 passed\n")
    story.patch().answer("All **good**.").usage().end()
    assert transcript(story.state.snapshot()) == (
        "> Why does the region plot miss rows? Fix it.\n\n"
        "Python in your kernel:\n"
        ">>> import pandas as pd\n\n"
        ">>> sales = load('sales.csv')\n"
        ">>> print(sales.region.isna().sum())\n"
        "  3\n"
        "  [done · 240 ms]\n\n"
        "$ python -m pytest tests/test_load.py -q\n"
        "  4 passed\n"
        "  [exit 0 · 810 ms]\n\n"
        "± /home/ada/sales/load.py\n"
        "  @@ def load(path):\n"
        "   def load(path):\n"
        "  -    sales = pd.read_csv(path)\n"
        '  +    sales = pd.read_csv(path, dtype={"postcode": "string"})\n'
        "  +    sales = fill_region(sales)\n"
        "       return sales\n"
        "± /home/ada/sales/tests/test_load.py\n"
        "  +def test_filled():\n"
        "  +    assert load('a.csv').region.notna().all()\n\n"
        "All **good**.\n\n"
        "[gpt-5.5 · 14 s · 5.2k tokens]"
    )


def test_markdown_fences_cannot_be_broken_from_inside() -> None:
    output = "```\n# not a heading\n```"
    story = Story().command(status="completed", exitCode=0, aggregatedOutput=output)
    assert "````console\n$ python" in markdown(story.state.snapshot())


def test_a_plan_is_a_task_list_in_markdown() -> None:
    text = markdown(Story().begin().plan("completed", "inProgress", "pending").state.snapshot())
    assert "- [x] Look at the data\n- [ ] Fix the loader\n- [ ] Run the tests" in text


def test_a_turn_that_still_runs_says_so_and_shows_no_card() -> None:
    snapshot = Story().begin().command().ask().state.snapshot()
    source = html(snapshot)
    assert "still running when this was saved" in source
    assert "A question was waiting" in source
    assert "<button" not in source


def test_the_whole_diff_is_folded_behind_several_patches_only() -> None:
    diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    one = Story().begin().patch().tell("turn/diff/updated", diff=diff).end()
    none = Story().begin().tell("turn/diff/updated", diff=diff).end()
    assert "All changes of this turn" not in html(one.state.snapshot())
    assert "All changes of this turn · 1 file" in html(none.state.snapshot())


def test_a_shortened_turn_says_so() -> None:
    story = finished_story()
    snapshot = story.state.snapshot(max_bytes=2_000)
    for form in (html(snapshot), markdown(snapshot), transcript(snapshot)):
        assert "Shortened" in form


@given(st.text())
def test_terminal_text_has_no_controls(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", plain(text))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", visible(text))


def test_delegates_are_a_tree_in_every_form() -> None:
    snapshot = five_delegates().end().state.snapshot()
    assert (
        "**Delegates · 1 of 5 done · 1 failed · 11k tokens**\n\n"
        "- ✓ Ada (explorer) · 1.2k tokens · 3.4 s — It is lost in load.py.\n"
        "- ● Carl (worker) · 9.3k tokens · was still at work — $ pytest -q tests\n"
        "  - ● Eve · was still at work — Thinking\n"
        "- ✗ Finn (reviewer) · 3.4 s · failed — You exceeded your current quota.\n"
        "- ○ 01a20352 · had not begun"
    ) in markdown(snapshot)
    source = html(snapshot)
    assert '<tr class="cxj-depth-1"><td><details class="cxj-delegate"><summary>' in source
    assert "<strong>Ada</strong>" in source
    assert "<code>load.py</code>" in source
    assert "Find where the **region** is lost." in source  # a task is text, not markdown
    assert transcript(snapshot).split("\n\n")[1].splitlines()[:4] == [
        "delegates · 1 of 5 done · 1 failed · 11k tokens",
        "  ✓ Ada (explorer) · 1.2k tokens · 3.4 s — It is lost in load.py.",
        "  ● Carl (worker) · 9.3k tokens · was still at work — $ pytest -q tests",
        "    ● Eve · was still at work — Thinking",
    ]


def test_a_snapshot_of_an_older_version_has_every_form() -> None:
    snapshot = Story().begin().answer("Done.").end().state.snapshot()
    del snapshot["delegates"]
    for form in (html(snapshot), markdown(snapshot), transcript(snapshot)):
        assert "Done." in form


def test_delegates_that_name_each_other_as_parents_are_shown_once() -> None:
    rows = five_delegates().state.snapshot()["delegates"]
    for one, other in zip(rows, rows[1:] + rows[:1], strict=True):
        one["parentThreadId"] = other["threadId"]
    assert [row for row, _ in delegate_depths(rows)] == rows


@pytest.mark.parametrize(
    ("tool", "status", "words"),
    [
        ("spawnAgent", "failed", "Could not start an agent: Fix it."),
        ("sendInput", "completed", "Told Ada: Fix it."),
        ("wait", "completed", "Waited for Ada, Carl"),
        ("wait", "failed", "Waited for Ada, Carl — failed"),
        ("closeAgent", "completed", "Closed Ada"),
        ("resumeAgent", "completed", "Opened Ada again"),
    ],
)
def test_a_call_to_agents_is_a_sentence(tool: str, status: str, words: str) -> None:
    story = Family()
    story.begin()
    story.appears(ADA, "Ada", "explorer").appears(CARL, "Carl")
    ids = {"wait": (ADA, CARL), "spawnAgent": ()}.get(tool, (ADA,))
    prompt = "Fix it." if tool in {"spawnAgent", "sendInput"} else None
    story.completed(agents_call(tool, *ids, prompt=prompt, status=status))
    for form in (html(story.state.snapshot()), transcript(story.state.snapshot())):
        assert words in form


def test_the_start_of_an_agent_that_has_a_row_is_told_once() -> None:
    story = Story().begin().completed(agents_call("spawnAgent", ADA, prompt="Look."))
    assert "Started" not in transcript(story.state.snapshot())
    agents = [{"threadId": ADA, "nickname": "Ada", "role": "explorer"}]
    assert agent_words(agents_call("spawnAgent", ADA, agents=agents)) == "Started Ada (explorer)"


def test_a_question_that_waits_says_which_delegate_asks() -> None:
    asking: AskedBy = {"threadId": ADA, "name": "Ada", "role": "explorer"}
    snapshot = Story().begin().ask({**COMMAND_REQUEST, "delegate": asking}).state.snapshot()
    for form in (html(snapshot), markdown(snapshot), transcript(snapshot)):
        assert "Asked by Ada (explorer)" in form


def test_findings_are_cards_and_the_message_that_repeats_them_is_not_drawn() -> None:
    snapshot = review_story().state.snapshot()
    assert [item["id"] for item in snapshot["items"]][-1] == "r3"  # it stays in the state
    source = html(snapshot)
    assert '<strong class="cxj-verdict cxj-verdict-bad">Patch is incorrect</strong>' in source
    assert '<div class="cxj-finding cxj-finding-P1">' in source
    assert "<code>/home/ada/sales/load.py:3-5</code>" in source
    assert "<strong>numbers</strong>" in source
    text = markdown(snapshot)
    assert "**Patch is incorrect** · 80 % sure" in text
    assert (
        "- **P1** **Keep the leading zeros** — `/home/ada/sales/load.py:3-5` · 90 % sure\n\n"
        "  `read_csv` guesses **numbers**, so `01067` becomes 1067.\n\n"
        "- **P3** **Name the encoding** · 46 % sure"
    ) in text
    assert (
        "review: Patch is incorrect (80 % sure)\n"
        "  The fill is right, but it is fed wrong *postcodes*.\n"
        "  [P1] Keep the leading zeros — /home/ada/sales/load.py:3-5\n"
    ) in transcript(snapshot)
    for form in (source, text, transcript(snapshot)):
        assert "Full review comments" not in form


def test_a_review_without_a_structured_result_is_its_message() -> None:
    snapshot = review_story(None).state.snapshot()
    for form in (html(snapshot), markdown(snapshot), transcript(snapshot)):
        assert "Full review comments" in form
        assert "Review finished." in form


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = ("title", "body", "confidence_score", "priority", "code_location", "line_range", "start")


@given(st.dictionaries(st.sampled_from(NAMES), JSON), JSON)
def test_a_result_of_any_shape_can_be_drawn(finding: dict[str, Any], other: Any) -> None:
    place = {"absolute_file_path": other, "line_range": finding.get("line_range")}
    findings = [{"code_location": place, **finding}, other]
    output = {"findings": findings, "overall_correctness": other, "overall_explanation": other}
    snapshot = review_story(output).state.snapshot()
    assert_harmless(html(snapshot))
    markdown(snapshot)
    transcript(snapshot)
