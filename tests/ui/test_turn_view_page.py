"""The view of a turn in a real browser; `page_driver.js` plays its model and its kernel."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.ui.turn_page import IN_A_BROWSER, Page
from tests.view.turn_stories import COMMAND_REQUEST, TEST_OUTPUT, TURN, Story, finished_story

REQUEST_ID = COMMAND_REQUEST["requestId"]
NOW = int(time.time())

pytestmark = IN_A_BROWSER

THEMES = pytest.mark.parametrize("page", [("light", 900), ("dark", 900)], indirect=True)


def approval(**changes: Any) -> Story:
    request: Any = {**COMMAND_REQUEST, **changes}
    return Story().begin(NOW).command().ask(request)


@THEMES
def test_a_whole_turn_is_drawn(page: Page, tmp_path: Path) -> None:
    page.start(finished_story())
    page.see("What changed")
    text = page.text()
    for part in (
        "14 s · 5.2k tokens",
        "Python in your kernel",
        "4 passed",
        "allowed for this session",
    ):
        assert part in text
    assert page.page.locator("[data-status=completed]").count() == 1
    assert not page.button("Stop").is_visible()
    page.page.screenshot(path=tmp_path / "finished.png", full_page=True)


@THEMES
def test_text_can_be_read_on_its_ground(page: Page) -> None:
    page.start(finished_story())
    page.see("What changed")
    worst = page.page.evaluate("window.worstContrast()")
    assert worst["ratio"] >= 4.5, worst


def test_deltas_stream_in_and_closed_blocks_are_kept(page: Page) -> None:
    story = Story().begin(NOW).answer("# Title\n\nFirst *paragraph*.\n\nSecond\nli", whole=False)
    page.start(story)
    page.see("First paragraph.")
    page.page.evaluate("window.kept = document.querySelector('.cxj-md p')")
    delta = {"op": "append", "id": "msg_1", "field": "text", "index": 0, "delta": "ne **bold**"}
    page.tell([delta])
    page.see("line bold")
    assert page.page.evaluate("window.kept.isConnected")
    assert page.page.locator(".cxj-message").get_attribute("aria-live") == "polite"
    assert page.page.locator(".cxj-message").get_attribute("aria-busy") == "true"


def test_a_missed_batch_asks_for_all_and_a_repeated_one_changes_nothing(page: Page) -> None:
    story = Story().begin(NOW).answer("one", whole=False)
    page.start(story)
    page.see("one")
    delta = {"op": "append", "id": "msg_1", "field": "text", "index": 0, "delta": " two"}
    page.page.evaluate("(op) => { window.tell([op], 1); window.tell([op], 3); }", delta)
    assert page.page.evaluate("window.sent") == [{"kind": "resync"}]
    story.tell("item/agentMessage/delta", itemId="msg_1", delta=" two three")
    page.page.evaluate("([s]) => window.settle(s, 3)", [story.state.snapshot()])
    page.see("one two three")


def test_a_click_sends_the_decision_with_its_digest_on_the_control_channel(page: Page) -> None:
    page.start(approval(), open=[REQUEST_ID])
    page.button("Run").click()
    (decided,) = page.asked("decide")
    assert decided == {
        "action": "decide",
        "turnId": TURN,
        "requestId": REQUEST_ID,
        "digest": COMMAND_REQUEST.get("digest"),
        "decision": "accept",
    }
    page.see("Sent.")
    assert page.button("Run").is_disabled()
    assert page.page.evaluate("window.sent") == []


@pytest.mark.parametrize(
    ("label", "decision"),
    [
        ("Run, and don't ask again for this exact command in this session", "acceptForSession"),
        ("Don't run", "decline"),
        ("Stop the turn", "cancel"),
    ],
)
def test_every_choice_says_what_it_means(page: Page, label: str, decision: str) -> None:
    page.start(approval(), open=[REQUEST_ID])
    page.button(label).click()
    assert [decided["decision"] for decided in page.asked("decide")] == [decision]


def test_the_card_shows_what_where_why_and_that_nothing_confines_it(page: Page) -> None:
    page.start(approval(warning="Writes outside the folder."), open=[REQUEST_ID])
    card = page.page.get_by_role("group", name="Run this command?")
    text = card.inner_text()
    for part in (
        "python -m pytest tests/test_load.py -q",
        "/home/ada/sales",
        "The tests show whether the fill is right.",
        "Writes outside the folder.",
        "not sandboxed",
    ):
        assert part in text
    assert card.get_attribute("data-lm-suppress-shortcuts") == "true"


def test_buttons_wait_until_the_kernel_says_the_question_is_open(page: Page) -> None:
    page.start(replies={"hello": "silence"}).tell(approval().ops)
    page.see("Run this command?")
    assert all(button.is_disabled() for button in page.page.locator(".cxj-button").all())
    page.page.evaluate("window.open = ['" + REQUEST_ID + "']")
    page.page.evaluate(
        "window.replies.hello = () => ({status: 'ok', open: window.open, running: true})"
    )
    page.until("() => !document.querySelector('.cxj-choice-decline').disabled")


def test_a_saved_question_that_nobody_waits_for_has_no_button(page: Page) -> None:
    page.start(snapshot=approval().state.snapshot(), open=[])
    page.see("A question is no longer open.")
    assert page.page.locator("#out button:visible").all_inner_texts() == ["Stop"]
    assert "pytest" not in page.text().replace("$ python -m pytest", "")
    assert page.page.locator(".cxj-card").count() == 0


def test_a_saved_question_without_a_kernel_is_inert(page: Page) -> None:
    page.start(snapshot=approval().state.snapshot(), control=False, replies={"hello": "silence"})
    page.see("A question was waiting here")
    page.see("not connected")
    assert page.page.locator(".cxj-card").count() == 0
    assert page.page.locator("#out button:visible").count() == 0


def test_a_late_page_can_answer_a_question_that_is_still_open(page: Page) -> None:
    page.start(snapshot=approval().state.snapshot(), open=[REQUEST_ID])
    page.button("Don't run").click()
    assert page.asked("decide")[0]["decision"] == "decline"


def test_an_answer_that_came_too_late_is_said(page: Page) -> None:
    page.start(approval(), open=[REQUEST_ID], replies={"decide": {"status": "gone"}})
    page.button("Run").click()
    page.see("Answered elsewhere, or no longer open.")
    assert page.button("Run").is_disabled()


def test_no_reply_gives_the_buttons_back(page: Page) -> None:
    page.start(approval(), open=[REQUEST_ID], replies={"decide": "silence"})
    page.button("Run").click()
    page.see("Sending…")
    page.see("The kernel did not reply. You can try again.")
    page.reply("decide", {"status": "ok"})
    page.button("Run").click()
    page.see("Sent.")


def test_a_settled_question_leaves_the_page(page: Page) -> None:
    story = approval()
    page.start(story, open=[REQUEST_ID])
    page.button("Run").wait_for()
    page.tell(story.state.settle(REQUEST_ID, "decline"))
    page.until("() => !document.querySelector('.cxj-card')")
    page.see("you said no")


def test_nothing_is_allowed_before_its_end_was_on_the_screen(page: Page) -> None:
    command = "\n".join(f"echo {number}" for number in range(200))
    page.start(approval(command=command), open=[REQUEST_ID])
    page.see("Scroll to the end of what will run to allow it.")
    assert page.button("Run").is_disabled()
    assert page.button("Don't run").is_enabled()
    page.page.locator(".cxj-subject").evaluate("(node) => (node.scrollTop = node.scrollHeight)")
    page.until("() => !document.querySelector('.cxj-choice-accept').disabled")
    assert "Scroll to the end" not in page.text()


def test_a_long_line_is_wrapped_and_not_hidden(page: Page) -> None:
    page.start(approval(command="echo " + "x" * 3000 + " && rm -rf /"), open=[REQUEST_ID])
    page.see("rm -rf /")
    subject = page.page.locator(".cxj-subject")
    assert subject.evaluate("(node) => node.scrollWidth <= node.clientWidth")


def test_the_keyboard_reaches_and_presses_the_buttons(page: Page) -> None:
    page.start(approval(), open=[REQUEST_ID])
    page.button("Run").wait_for()
    page.until("() => !document.querySelector('.cxj-choice-accept').disabled")
    for _ in range(20):
        page.page.keyboard.press("Tab")
        if page.page.evaluate("document.activeElement.textContent") == "Don't run":
            break
    outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.page.keyboard.press("Enter")
    assert page.asked("decide")[0]["decision"] == "decline"


def test_a_question_is_answered_with_an_option_a_text_and_a_secret(page: Page) -> None:
    options = [{"label": "A (Recommended)", "description": "first"}, {"label": "B"}]
    questions: Any = [
        {"id": "q1", "question": "Which?", "isOther": True, "options": options},
        {"id": "q2", "question": "Other?", "isOther": True, "options": options},
        {"id": "q3", "question": "Key?", "isSecret": True},
    ]
    story = Story().begin(NOW).ask({"requestId": "q", "kind": "question", "questions": questions})
    page.start(story, open=["q"])
    send = page.button("Send")
    send.click()
    assert page.page.evaluate("window.asked.filter((c) => c.action === 'answer')") == []
    page.page.locator("fieldset").nth(0).get_by_text("B", exact=True).click()
    page.page.locator("fieldset").nth(1).get_by_label("Another answer").fill("neither")
    secret = page.page.locator("fieldset").nth(2).locator("input")
    assert secret.get_attribute("type") == "password"
    secret.fill("s3cret")
    send.click()
    (answered,) = page.asked("answer")
    assert answered["requestId"] == "q"
    assert answered["answers"] == {
        "q1": {"answers": ["B"]},
        "q2": {"answers": ["neither"]},
        "q3": {"answers": ["s3cret"]},
    }


def test_a_patch_is_shown_unfolded_before_it_is_allowed(page: Page) -> None:
    changes = [{"path": "/w/a.py", "kind": {"type": "add"}, "diff": "x\n" * 300}]
    page.start(
        approval(kind="patch", title="Apply these changes?", changes=changes), open=[REQUEST_ID]
    )
    page.see("Scroll to the end of the changes to allow it.")
    assert page.page.locator(".cxj-subject details[open] .cxj-row").count() == 300


def test_without_a_control_channel_the_comm_carries_the_same(page: Page) -> None:
    page.start(approval(), open=[REQUEST_ID], control=False)
    page.button("Run").click()
    assert page.asked("decide")[0]["decision"] == "accept"
    sent = page.page.evaluate("window.sent")
    assert {message["kind"] for message in sent} == {"request"}
    page.see("Sent.")


def test_stop_asks_the_kernel_to_interrupt(page: Page) -> None:
    page.start(Story().begin(NOW).command().output(TEST_OUTPUT))
    page.button("Stop").click()
    assert page.asked("interrupt") == [{"action": "interrupt", "turnId": TURN}]
    page.see("Stopping…")
    story = Story().begin(NOW).answer("Half", whole=False).end("interrupted")
    page.tell(story.ops)
    page.see("Stopped by you — the answer above is partial.")
    assert not page.page.locator(".cxj-stop").is_visible()


def test_a_held_kernel_is_restarted_after_a_second_click_only(page: Page) -> None:
    story = Story().begin(NOW).end("interrupted")
    story.ops += story.state.hold("model.fit(X)")
    page.start(story)
    page.see("model.fit(X)")
    page.button("Restart kernel").click()
    assert page.page.evaluate("window.restarts") == 0
    page.button("Restart and lose all variables?").click()
    assert page.page.evaluate("window.restarts") == 1


def test_output_follows_its_end_until_the_reader_scrolls(page: Page) -> None:
    story = Story().begin(NOW).command().output("".join(f"line {n}\n" for n in range(200)))
    page.start(story)
    end = "(n) => n.scrollHeight - n.scrollTop - n.clientHeight"
    page.see("line 199")
    output = page.page.locator(".cxj-output")
    assert output.evaluate(end) < 2
    output.evaluate("(n) => (n.scrollTop = 0)")
    more = {"op": "append", "id": "call_2", "field": "aggregatedOutput", "index": 0}
    page.tell([{**more, "delta": "more\n" * 50}])
    page.until("() => document.querySelector('.cxj-output').textContent.includes('more')")
    assert output.evaluate("(n) => n.scrollTop") == 0


def test_a_huge_output_keeps_the_page_small(page: Page) -> None:
    output = "x" * 79 + "\n"
    story = Story().begin(NOW).command().output(output * 100_000 + "the end\n")
    page.start(story)
    page.until("() => document.querySelector('.cxj-output')?.textContent.includes('the end')")
    assert page.page.evaluate("document.querySelector('.cxj-output').textContent.length") < 300_000
    page.see("Earlier output is not shown.")


HOSTILE = (
    "<img src=x onerror=window.pwned=1>",
    "<script>window.pwned=1</script>",
    '"><svg onload=window.pwned=1>',
    "[x](javascript:window.pwned=1)",
    "![x](http://127.0.0.1:9/pixel.png)",
    "\x1b]8;;javascript:window.pwned=1\x07x\x1b]8;;\x07",
    "<javascript:window.pwned=1>",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(page: Page, text: str) -> None:
    requests: list[str] = []
    page.page.on("request", lambda request: requests.append(request.url))
    change = {"path": text, "kind": {"type": "update"}, "diff": f"@@ -1 +1 @@\n+{text}"}
    question: Any = [{"id": text, "header": text, "question": text, "options": [{"label": text}]}]
    story = Story(notice=text).begin(NOW).answer(text)
    story.completed({"type": "fileChange", "id": "p", "changes": [change], "status": "completed"})
    story.completed({"type": "reasoning", "id": "r", "summary": [f"**{text}**"], "content": [text]})
    story.command(status="completed", exitCode=0, aggregatedOutput=text)
    story.completed({"type": text, "id": "odd"})
    call = {"type": "dynamicToolCall", "id": "d", "tool": text, "arguments": {"a": text}}
    story.completed({**call, "status": "completed", "contentItems": [{"type": "t", "text": text}]})
    story.tell("turn/plan/updated", explanation=text, plan=[{"step": text, "status": text}])
    story.ask({**COMMAND_REQUEST, "title": text, "command": text, "reason": text, "cwd": text})
    story.ask({"requestId": "q", "kind": "question", "title": text, "questions": question})
    story.tell("error", willRetry=False, error={"message": text, "additionalDetails": text})
    page.start(story, open=[REQUEST_ID, "q"])
    page.page.locator(".cxj-error").wait_for()
    out = page.page.locator("#out")
    assert (
        out.locator("script, img, svg, iframe, object, javascript\\:window\\.pwned\\=1").count()
        == 0
    )
    assert page.page.evaluate("window.pwned") is None
    assert [url for url in requests if not url.endswith((".mjs", ".css", ".js", ".html"))] == []
    links = out.locator("a").evaluate_all("(nodes) => nodes.map((n) => n.protocol)")
    assert set(links) <= {"http:", "https:", "mailto:"}


def test_a_disposed_view_leaves_nothing_behind(page: Page) -> None:
    page.start(approval(), open=[REQUEST_ID])
    page.button("Run").wait_for()
    page.page.evaluate("window.stopView()")
    assert page.page.evaluate("Object.keys(window.handlers).length") == 0
    assert page.page.locator("#out").inner_html() == ""
