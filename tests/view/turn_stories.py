"""Turns as an app server tells them, for the tests of everything that shows turns."""

from typing import Any

from codex_jupyter.view.turn_state import PendingRequest, TurnState

__all__ = [
    "ADA",
    "ANSWER",
    "COMMAND_REQUEST",
    "REVIEW",
    "REVIEW_TEXT",
    "TEST_OUTPUT",
    "THREAD",
    "TURN",
    "Story",
    "finished_story",
    "review_story",
]

THREAD = "01a20351-2dc7-72e1-bd36-340553348927"
TURN = "01a20351-2e20-7f81-811e-17a44f7fb999"

ADA = "01a20352-0000-7000-8000-00000000000a"

ANSWER = """\
The **sales** table had 3 rows with a missing `region`; they are filled from the postcode now.

## What changed

1. `load.py` reads postcodes as text, so leading zeros survive
2. the fill happens in *one* place, with a test

```python
def fill_region(sales: pd.DataFrame) -> pd.DataFrame:
    # the first two digits name the region
    known = {"10": "Berlin", "20": "Hamburg"}
    return sales.assign(region=sales.postcode.str[:2].map(known))
```

| region  | rows | revenue |
|:--------|-----:|--------:|
| Berlin  |   41 | 12,300  |
| Hamburg |   17 |  4,150  |

See [the pandas guide](https://pandas.pydata.org/docs/) for `map`.
"""

COMMAND_REQUEST: PendingRequest = {
    "requestId": "c0ffee00c0ffee00c0ffee00c0ffee00",
    "kind": "command",
    "itemId": "call_2",
    "title": "Run this command?",
    "command": "python -m pytest tests/test_load.py -q",
    "cwd": "/home/ada/sales",
    "reason": "The tests show whether the fill is right.",
    "warning": None,
    "digest": "sha256:4be1",
    "sandbox": "not sandboxed",
    "choices": ["accept", "acceptForSession", "decline", "cancel"],
}

PATCH = """\
@@ -1,3 +1,4 @@ def load(path):
 def load(path):
-    sales = pd.read_csv(path)
+    sales = pd.read_csv(path, dtype={"postcode": "string"})
+    sales = fill_region(sales)
     return sales
"""


class Story:
    """A `TurnState` and the shorthand to tell it what happened; keeps every op it caused."""

    def __init__(self, **settings: Any) -> None:
        self.state = TurnState(THREAD, TURN, model="gpt-5.5", **settings)
        self.ops: list[dict[str, Any]] = []

    def tell(self, method: str, **params: Any) -> "Story":
        self.ops += self.state.apply(method, {"threadId": THREAD, "turnId": TURN, **params})
        return self

    def started(self, item: dict[str, Any]) -> "Story":
        return self.tell("item/started", item=item)

    def completed(self, item: dict[str, Any]) -> "Story":
        return self.tell("item/completed", item=item)

    def begin(self, started_at: int = 1795351981) -> "Story":
        turn = {"id": TURN, "items": [], "status": "inProgress", "startedAt": started_at}
        prompt = [{"type": "text", "text": "Why does the region plot miss rows? Fix it."}]
        self.tell("turn/started", turn=turn)
        return self.completed({"type": "userMessage", "id": "u1", "content": prompt})

    def end(self, status: str = "completed", error: dict[str, Any] | None = None) -> "Story":
        turn = {"id": TURN, "items": [], "status": status, "error": error, "durationMs": 14_230}
        return self.tell("turn/completed", turn=turn)

    def think(self) -> "Story":
        item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "content": []}
        self.started(item)
        self.tell("item/reasoning/summaryPartAdded", itemId="rs_1", summaryIndex=0)
        method = "item/reasoning/summaryTextDelta"
        for delta in ("**Finding the missing rows**\n\n", "The plot drops rows without `region`."):
            self.tell(method, itemId="rs_1", summaryIndex=0, delta=delta)
        return self

    def think_more(self) -> "Story":
        """Thinking that stays partial, its second part first."""
        for index, delta in ((1, "later "), (0, "first "), (1, "still")):
            method = "item/reasoning/summaryTextDelta"
            self.tell(method, itemId="rs_2", summaryIndex=index, delta=delta)
        return self

    def plan(self, *statuses: str) -> "Story":
        steps = ("Look at the data", "Fix the loader", "Run the tests")
        plan = [{"step": s, "status": t} for s, t in zip(steps, statuses, strict=True)]
        return self.tell("turn/plan/updated", explanation=None, plan=plan)

    def run_python(self) -> "Story":
        code = "import pandas as pd\n\nsales = load('sales.csv')\nprint(sales.region.isna().sum())"
        call = {
            "type": "dynamicToolCall",
            "id": "dyn_1",
            "tool": "run_python",
            "arguments": {"code": code},
        }
        self.started({**call, "status": "inProgress", "contentItems": None, "success": None})
        result = [{"type": "inputText", "text": "3\n"}]
        done = {"status": "completed", "contentItems": result, "success": True, "durationMs": 240}
        return self.completed({**call, **done})

    def command(self, **end: Any) -> "Story":
        item = {
            "type": "commandExecution",
            "id": "call_2",
            "command": "/bin/bash -lc 'python -m pytest tests/test_load.py -q'",
            "cwd": "/home/ada/sales",
            "status": "inProgress",
            "aggregatedOutput": None,
            "exitCode": None,
            "durationMs": None,
        }
        return self.completed({**item, **end}) if end else self.started(item)

    def output(self, delta: str) -> "Story":
        return self.tell("item/commandExecution/outputDelta", itemId="call_2", delta=delta)

    def patch(self) -> "Story":
        changes = [
            {"path": "/home/ada/sales/load.py", "kind": {"type": "update"}, "diff": PATCH},
            {
                "path": "/home/ada/sales/tests/test_load.py",
                "kind": {"type": "add"},
                "diff": "def test_filled():\n    assert load('a.csv').region.notna().all()\n",
            },
        ]
        item = {"type": "fileChange", "id": "call_p", "changes": changes}
        self.started({**item, "status": "inProgress"})
        return self.completed({**item, "status": "completed"})

    def answer(self, text: str = ANSWER, *, whole: bool = True) -> "Story":
        self.started({"type": "agentMessage", "id": "msg_1", "text": ""})
        for at in range(0, len(text), 24):
            delta = text[at : at + 24]
            self.tell("item/agentMessage/delta", itemId="msg_1", delta=delta)
        if not whole:
            return self
        return self.completed({"type": "agentMessage", "id": "msg_1", "text": text})

    def usage(self) -> "Story":
        last = {
            "totalTokens": 5_200,
            "inputTokens": 4_800,
            "cachedInputTokens": 4_000,
            "outputTokens": 400,
            "reasoningOutputTokens": 120,
        }
        usage = {"total": last, "last": last, "modelContextWindow": 258_400}
        return self.tell("thread/tokenUsage/updated", tokenUsage=usage)

    def delegate(self) -> "Story":
        """A thread that works for the turn, from its start to its last message."""
        ids = {"threadId": ADA, "turnId": f"turn-{ADA}"}
        names = {"agentNickname": "Ada", "agentRole": "explorer"}
        turn = {"id": ids["turnId"], "status": "inProgress", "startedAt": 1795351982}
        item = {"type": "agentMessage", "id": "m", "text": "No other plot drops rows."}
        told: list[tuple[str, dict[str, Any]]] = [
            ("thread/started", {"thread": {"id": ADA, "parentThreadId": THREAD, **names}}),
            ("turn/started", {**ids, "turn": turn}),
            ("item/started", {**ids, "item": {"type": "reasoning", "id": "r"}}),
            ("item/completed", {**ids, "item": item}),
            ("turn/completed", {**ids, "turn": {**turn, "status": "completed"}}),
        ]
        for method, params in told:
            self.ops += self.state.apply(method, params)
        return self

    def ask(self, request: PendingRequest = COMMAND_REQUEST) -> "Story":
        self.ops += self.state.ask(request)
        return self

    def settle(self, outcome: str, request_id: str | None = None) -> "Story":
        self.ops += self.state.settle(request_id or COMMAND_REQUEST["requestId"], outcome)
        return self


TEST_OUTPUT = (
    "\x1b[1m============ test session starts ============\x1b[0m\n"
    "collected 4 items\n\n"
    "tests/test_load.py \x1b[32m....\x1b[0m                    \x1b[32m[100%]\x1b[0m\n\n"
    "\x1b[32m============= \x1b[1m4 passed\x1b[0m\x1b[32m in 0.31s =============\x1b[0m\n"
)


REVIEW: dict[str, Any] = {
    "findings": [
        {
            "title": "[P1] Keep the leading zeros",
            "body": "`read_csv` guesses **numbers**, so `01067` becomes 1067.",
            "confidence_score": 0.9,
            "priority": 1,
            "code_location": {
                "absolute_file_path": "/home/ada/sales/load.py",
                "line_range": {"start": 3, "end": 5},
            },
        },
        {
            "title": "Name the encoding",
            "body": "It differs on Windows.",
            "confidence_score": 0.455,
            "priority": 3,
            "code_location": None,
        },
    ],
    "overall_correctness": "patch is incorrect",
    "overall_explanation": "The fill is right, but it is fed wrong *postcodes*.",
    "overall_confidence_score": 0.8,
}
REVIEW_TEXT = "The fill is right, but it is fed wrong *postcodes*.\n\nFull review comments:\n\n- …"


def review_story(output: dict[str, Any] | None = REVIEW) -> Story:
    """A review that has ended, and the message that says its result again."""
    story = Story().begin()
    story.completed({"type": "enteredReviewMode", "id": "r1", "review": "current changes"})
    story.command(status="completed", exitCode=0, aggregatedOutput="diff --git a/load.py\n")
    ended = {"type": "exitedReviewMode", "id": "r2", "review": REVIEW_TEXT, "output": output}
    story.completed(ended)
    return story.completed({"type": "agentMessage", "id": "r3", "text": REVIEW_TEXT}).end()


def finished_story() -> Story:
    """A turn with one of nearly everything."""
    story = Story().begin().plan("completed", "completed", "completed").think().run_python()
    story.completed(
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": ["**Finding the missing rows**\n\nThe plot…"],
        }
    )
    story.delegate().patch().command().ask().settle("acceptForSession").output(TEST_OUTPUT)
    done = {"status": "completed", "exitCode": 0, "durationMs": 810}
    story.command(**done, aggregatedOutput=TEST_OUTPUT)
    return story.answer().usage().end()
