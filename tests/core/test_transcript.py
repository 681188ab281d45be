"""The transcript of a loaded thread: turns as clients see them, at every moment."""

from typing import Any

from codex_jupyter.core.transcript import Transcript
from codex_jupyter.ids import ItemId, ThreadId, TurnId
from codex_jupyter.protocol.events import (
    Event,
    EventMsg,
    ItemCompleted,
    ItemStarted,
    SummaryPartAdded,
    TextDelta,
    TurnCompleted,
    TurnStarted,
)

Json = dict[str, Any]


def turn(turn_id: str, status: str = "inProgress") -> Json:
    return {"id": turn_id, "items": [], "itemsView": "notLoaded", "status": status}


def message(item_id: str, text: str = "") -> Json:
    return {"type": "agentMessage", "id": item_id, "text": text, "phase": None}


def told(*messages: EventMsg, turns: tuple[Json, ...] = ()) -> Transcript:
    transcript = Transcript(turns)
    for n, msg in enumerate(messages):
        transcript.apply(Event(ThreadId("t"), TurnId("u"), n + 1, 0, msg))
    return transcript


def delta(item_id: str, text: str, kind: Any = "agentMessage", index: int = 0) -> TextDelta:
    return TextDelta(kind, ItemId(item_id), text, index)


def test_a_thread_without_turns_shows_none() -> None:
    assert told().turns() == []


def test_an_open_item_shows_the_text_it_has_so_far() -> None:
    transcript = told(TurnStarted(turn("u")), ItemStarted(message("m")), delta("m", "Hel"))
    assert transcript.turns() == [
        {**turn("u"), "itemsView": "full", "items": [message("m", "Hel")]}
    ]
    transcript.apply(Event(ThreadId("t"), TurnId("u"), 9, 0, delta("m", "lo")))
    assert transcript.turns()[0]["items"] == [message("m", "Hello")]
    assert transcript.open_items() == [message("m", "Hello")]


def test_what_was_shown_does_not_change_later() -> None:
    transcript = told(TurnStarted(turn("u")), ItemStarted(message("m")), delta("m", "Hel"))
    before = transcript.turns()
    transcript.apply(Event(ThreadId("t"), TurnId("u"), 9, 0, ItemCompleted(message("m", "x"))))
    transcript.apply(Event(ThreadId("t"), TurnId("u"), 10, 0, ItemStarted(message("n"))))
    assert before[0]["items"] == [message("m", "Hel")]


def test_a_completed_item_takes_the_place_of_the_started_one() -> None:
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(message("a")),
        ItemStarted(message("b")),
        ItemCompleted(message("b", "B")),
        ItemCompleted(message("a", "A")),
    )
    assert transcript.turns()[0]["items"] == [message("a", "A"), message("b", "B")]
    assert transcript.open_items() == []


def test_a_completed_item_that_was_never_started_is_appended() -> None:
    transcript = told(TurnStarted(turn("u")), ItemCompleted(message("a", "A")))
    assert transcript.turns()[0]["items"] == [message("a", "A")]


def test_one_id_in_two_answers_is_two_items() -> None:
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(message("a")),
        ItemCompleted(message("a", "1")),
        ItemStarted(message("a")),
        delta("a", "2"),
        ItemCompleted(message("a", "2")),
    )
    assert transcript.turns()[0]["items"] == [message("a", "1"), message("a", "2")]


def test_an_abandoned_item_is_not_shown() -> None:
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(message("a")),
        ItemCompleted({**message("a", "half"), "abandoned": True}),
        ItemStarted(message("b")),
        ItemCompleted(message("b", "whole")),
    )
    assert transcript.turns()[0]["items"] == [message("b", "whole")]


def test_abandoned_items_of_earlier_turns_are_not_shown_either() -> None:
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(message("a")),
        ItemCompleted({**message("a", "half"), "abandoned": True}),
        TurnCompleted(turn("u", "completed")),
        TurnStarted(turn("v")),
    )
    assert [shown["items"] for shown in transcript.turns()] == [[], []]


def test_output_of_a_command_is_shown_while_it_runs() -> None:
    item = {"type": "commandExecution", "id": "c", "aggregatedOutput": None}
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(item),
        delta("c", "a\n", "commandOutput"),
        delta("c", "b\n", "commandOutput"),
    )
    assert transcript.turns()[0]["items"] == [{**item, "aggregatedOutput": "a\nb\n"}]


def test_parts_of_a_reasoning_item_have_their_places() -> None:
    item: Json = {"type": "reasoning", "id": "r", "summary": [], "content": []}
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(item),
        SummaryPartAdded(ItemId("r"), 0),
        SummaryPartAdded(ItemId("r"), 1),
        delta("r", "two", "summary", 1),
        delta("r", "raw", "reasoning", 0),
    )
    shown = {**item, "summary": ["", "two"], "content": ["raw"]}
    assert transcript.turns()[0]["items"] == [shown]
    assert item["summary"] == []


def test_a_delta_of_no_open_item_is_ignored() -> None:
    transcript = told(
        TurnStarted(turn("u")),
        ItemStarted(message("a")),
        ItemCompleted(message("a", "A")),
        delta("a", "late"),
        delta("b", "who?"),
    )
    assert transcript.turns()[0]["items"] == [message("a", "A")]


def test_the_end_of_a_turn_keeps_its_items() -> None:
    transcript = told(
        TurnStarted(turn("u")),
        ItemCompleted(message("a", "A")),
        TurnCompleted(turn("u", "failed")),
        TurnStarted(turn("v")),
    )
    first, second = transcript.turns()
    assert (first["status"], first["items"]) == ("failed", [message("a", "A")])
    assert (second["status"], second["items"]) == ("inProgress", [])
    assert transcript.status_of(TurnId("u")) == "failed"
    assert transcript.status_of(TurnId("w")) is None


def test_stored_turns_come_first_and_are_left_as_they_are() -> None:
    stored = {"id": "s", "status": "completed", "items": [message("x", "X")], "error": None}
    transcript = told(TurnStarted(turn("u")), turns=(stored,))
    assert [shown["id"] for shown in transcript.turns()] == ["s", "u"]
    assert transcript.turns()[0] == {**stored, "itemsView": "full"}
    assert stored == {"id": "s", "status": "completed", "items": [message("x", "X")], "error": None}
    assert transcript.status_of(TurnId("s")) == "completed"
