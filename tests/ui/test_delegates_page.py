"""Delegates and the result of a review in a real browser."""

import time
from typing import Any

import pytest

from tests.ui.turn_page import IN_A_BROWSER, Page
from tests.view.delegate_stories import ADA, CARL, Family, agents_call, five_delegates
from tests.view.turn_stories import COMMAND_REQUEST, Story, review_story

NOW = int(time.time())
ZOE = "01a20352-0000-7000-8000-0000000000fa"

pytestmark = IN_A_BROWSER


EVERYWHERE = pytest.mark.parametrize(
    "page", [("light", 900), ("dark", 900), ("light", 360), ("dark", 360)], indirect=True
)


def child_turn(answer: str) -> dict[str, Any]:
    story = Story().begin(NOW).think()
    story.command(status="completed", exitCode=0, durationMs=810, aggregatedOutput="4 passed\n")
    return story.answer(answer).end().state.snapshot()


def gists(page: Page) -> list[str]:
    return page.page.locator(".cxj-gist").all_inner_texts()


def unfold(page: Page, name: str) -> Any:
    row = page.page.get_by_role("listitem").filter(has_text=name)
    row.locator(".cxj-who").click()
    return row


@EVERYWHERE
def test_five_delegates_are_a_tree_that_can_be_read(page: Page) -> None:
    page.start(five_delegates().answer("I wait for the tests."))
    page.see("Delegates · 1 of 5 done")
    page.see("1 failed")
    assert gists(page) == [
        "It is lost in load.py.",
        "$ pytest -q tests",
        "Thinking",
        "failed · You exceeded your current quota.",
        "Waiting",
    ]
    lefts = page.page.locator(".cxj-name").evaluate_all(
        "(nodes) => nodes.map((node) => node.getBoundingClientRect().left)"
    )
    assert lefts[2] > lefts[1] == lefts[0]
    unfold(page, "Finn")
    worst = page.page.evaluate("window.worstContrast()")
    assert worst["ratio"] >= 4.5, worst
    width = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.page.evaluate(width)


def test_a_row_unfolds_into_what_its_turn_did(page: Page) -> None:
    page.start(five_delegates(), replies={"delegate": {"status": "ok"}})
    page.reply("delegate", {"status": "ok", "snapshot": child_turn("The region is lost **here**.")})
    row = unfold(page, "Ada")
    page.see("The region is lost here.")
    assert page.asked("delegate") == [
        {"action": "delegate", "threadId": ADA, "turnId": f"turn-{ADA}"}
    ]
    assert row.locator(".cxj-delegate-turn .cxj-terminal").inner_text().startswith("$ python")
    assert row.get_by_role("button", expanded=True).count() == 1
    row.locator(".cxj-who").click()
    assert page.page.locator(".cxj-delegate-body").count() == 0


def test_what_works_is_looked_at_again_while_it_is_unfolded(page: Page) -> None:
    page.start(five_delegates())
    page.reply("delegate", {"status": "ok", "snapshot": child_turn("First.")})
    unfold(page, "Carl")
    page.see("First.")
    page.reply("delegate", {"status": "ok", "snapshot": child_turn("First, second.")})
    page.see("First, second.")


def test_a_delegate_nobody_knows_any_more_shows_its_last_message(page: Page) -> None:
    page.start(five_delegates(), replies={"delegate": {"status": "gone"}})
    row = unfold(page, "Ada")
    page.see("The rest is fine.")
    assert row.locator(".cxj-delegate-turn code").inner_text() == "load.py"
    assert "Find where the **region** is lost." in row.inner_text()


def test_rows_change_where_they_are(page: Page) -> None:
    family = five_delegates()
    page.start(family)
    page.see("Thinking")
    page.page.evaluate("window.kept = [...document.querySelectorAll('.cxj-delegate')]")
    tops = (
        "() => [...document.querySelectorAll('.cxj-who')].map((n) => n.getBoundingClientRect().top)"
    )
    before = page.page.evaluate(tops)
    family.ops.clear()
    family.says(CARL, "All of them pass.").ends(CARL)
    page.tell(family.ops)
    page.see("All of them pass.")
    assert page.page.evaluate("window.kept.every((node) => node.isConnected)")
    assert page.page.evaluate(tops) == before


def test_a_row_that_waits_for_a_person_says_so(page: Page) -> None:
    family = five_delegates()
    page.start(family)
    row = page.page.get_by_role("listitem").filter(has_text="Carl")
    row.get_by_role("img", name="running").wait_for()
    family.ops.clear()
    page.tell(family.waits(CARL, "waitingOnApproval").ops)
    page.see("Waits for your approval · $ pytest -q tests")
    row.get_by_role("img", name="waiting for approval").wait_for()
    family.ops.clear()
    page.tell(family.waits(CARL).ops)
    row.get_by_role("img", name="running").wait_for()
    assert "Waits" not in row.inner_text()


def test_one_delegate_is_stopped_and_the_turn_goes_on(page: Page) -> None:
    family = five_delegates()
    page.start(family)
    page.button("Stop Carl").click()
    assert page.asked("interrupt") == [
        {"action": "interrupt", "threadId": CARL, "turnId": f"turn-{CARL}"}
    ]
    assert page.button("Stopping Carl").is_disabled()
    assert page.button("Stop").get_attribute("title") == "Stop all"
    family.ops.clear()
    family.ends(CARL, "interrupted")
    page.tell(family.ops)
    page.see("1 failed · 1 stopped")
    assert page.page.locator(".cxj-stop-one:visible").count() == 1


def test_one_that_waits_for_its_place_can_be_stopped(page: Page) -> None:
    family = five_delegates()
    waits = agents_call("spawnAgent", ZOE, prompt="Look.", status="inProgress")
    waits["agents"] = [{"threadId": ZOE, "turnId": "t-5", "nickname": "Zoe"}]
    page.start(family.started(waits))
    row = page.page.get_by_role("listitem").filter(has_text="Zoe")
    row.get_by_role("button", name="Stop Zoe").click()
    assert page.asked("interrupt") == [{"action": "interrupt", "threadId": ZOE, "turnId": "t-5"}]
    # One that is only known by name has nothing to stop.
    idle = page.page.get_by_role("listitem").filter(has_text="Waiting")
    assert not idle.last.get_by_role("button", name="Stop").is_visible()


def test_the_keyboard_unfolds_and_stops(page: Page) -> None:
    page.start(five_delegates(), replies={"delegate": {"status": "gone"}})
    page.see("Thinking")
    who = page.page.locator(".cxj-who")
    who.nth(1).focus()
    page.page.keyboard.press("Enter")
    page.see("Run the tests, one file at a time.")
    assert who.nth(1).get_attribute("aria-expanded") == "true"
    page.page.keyboard.press("Space")
    assert who.nth(1).get_attribute("aria-expanded") == "false"
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    assert page.asked("interrupt")[0]["threadId"] == CARL


def test_when_the_turn_is_over_nothing_seems_to_work(page: Page) -> None:
    page.start(five_delegates().end())
    page.see("was still at work")
    assert page.page.locator("#out button:visible").filter(has_text="Stop").count() == 0


def test_a_long_list_is_folded(page: Page) -> None:
    family = Family()
    family.begin(NOW)
    for number in range(312):
        family.appears(f"{number:08}-x", f"Ada {number}")
    page.start(family)
    page.button("Show all 312").click()
    page.see("Ada 311")
    assert page.page.locator(".cxj-delegate").count() == 312


def test_a_card_begins_with_who_asks(page: Page) -> None:
    family = five_delegates()
    asking: Any = {"threadId": CARL, "name": "Carl", "role": "worker"}
    family.ask({**COMMAND_REQUEST, "delegate": asking})
    page.start(family, open=[COMMAND_REQUEST["requestId"]])
    card = page.page.get_by_role("group", name="Asked by Carl (worker) Run this command?")
    assert card.inner_text().startswith("Asked by Carl (worker)\n")


@EVERYWHERE
def test_findings_are_cards_below_the_verdict(page: Page) -> None:
    page.start(review_story())
    page.see("Patch is incorrect")
    text = page.text()
    for part in ("P1", "Keep the leading zeros", "/home/ada/sales/load.py:3-5", "90 % sure"):
        assert part in text
    assert "Full review comments" not in text
    worst = page.page.evaluate("window.worstContrast()")
    assert worst["ratio"] >= 4.5, worst


def test_a_place_asks_for_its_file_and_the_page_stays(page: Page) -> None:
    page.start(review_story())
    page.page.evaluate(
        "document.addEventListener('codex-jupyter:open-file', (e) => (window.place = e.detail))"
    )
    address = page.page.url
    page.page.get_by_role("link", name="/home/ada/sales/load.py:3-5").click()
    assert page.page.evaluate("window.place") == {"path": "/home/ada/sales/load.py", "line": 3}
    assert page.page.url == address


@pytest.mark.parametrize("text", ["<img src=x onerror=window.pwned=1>", "[x](javascript:pwned)"])
def test_hostile_words_of_a_delegate_stay_words(page: Page, text: str) -> None:
    family = Family()
    family.begin(NOW)
    family.appears(ADA, text, text).works(ADA, text).says(ADA, text).ends(ADA)
    place = {"absolute_file_path": text, "line_range": {"start": 1, "end": 1}}
    finding = {"title": text, "body": text, "priority": 0, "code_location": place}
    output = {"findings": [finding], "overall_correctness": text, "overall_explanation": text}
    family.completed({"type": "exitedReviewMode", "id": "r", "review": text, "output": output})
    page.start(family, replies={"delegate": {"status": "gone"}})
    page.page.locator(".cxj-who").click()
    page.page.locator(".cxj-delegate-turn").wait_for()
    assert page.page.locator("#out img").count() == 0
    links = page.page.locator("#out a").evaluate_all("(nodes) => nodes.map((n) => n.protocol)")
    assert set(links) <= {"http:"}
    assert page.page.evaluate("window.pwned") is None
