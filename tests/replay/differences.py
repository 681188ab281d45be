"""Where ours goes another way than the recorded talks of the original, on purpose: what and why."""

CLOSED_ITEMS = "what is open is completed before its turn is, instead of being left open for ever"
OWN_IDS = "`threadId` and `turnId` are the caller's here, and an id of another spelling is the same"

NOT_STORED = "a thread without a first message is not stored: it has no turns and no archive"
IN_MEMORY = "an ephemeral thread is read from memory, as long as it is loaded"
UNLOADED = "whoever heard a thread is told that it is closed before it is put away"
LATER = "the original tells this when the next request has come; here it is told at once"
SPOKEN = ["item/started userMessage", "item/completed userMessage"]
ANSWERED = ["item/started agentMessage", "item/completed agentMessage"]
REVIEWING = [
    *("=review/start", "turn/started", "item/started enteredReviewMode"),
    "item/completed enteredReviewMode",
]
REVIEWED = ["item/started exitedReviewMode", "item/completed exitedReviewMode", *ANSWERED]
ONE_TURN = (
    "a review's turn is told by the id that was announced, before what happens in it; what the "
    "reviewer is asked, and what it says before that is read, is its own affair"
)
BEGUN = ["=turn/start", "turn/started", *SPOKEN]
DONE = "turn/completed completed"

ACCEPTED = [
    *("serverRequest/resolved", "item/completed commandExecution completed"),
    *(*ANSWERED, DONE),
]
COMPACTED = "the notification that the original has replaced by the item is told as well"
NO_MODES = "there are no modes here, and none is told; a question may be asked in any turn"
REVERTED = "whoever follows the thread is told, as the original does for its later `thread/revert`"
TURN_FIRST = "a turn is told before what happens in it, as the later original does"

DIFFERENT: dict[str, dict[int, tuple[str, list[str]]]] = {
    "archive_list_read": {
        33: (NOT_STORED, ["=thread/read -32600"]),
        35: (IN_MEMORY, ["=thread/read"]),
        36: (NOT_STORED, ["=thread/archive -32600"]),
        38: (UNLOADED, ["=thread/archive", "thread/closed", "thread/archived"]),
    },
    "compact": {
        4: (
            COMPACTED,
            [
                "=thread/compact/start",
                "turn/started",
                "item/started contextCompaction",
                "item/completed contextCompaction",
                "thread/compacted",
                DONE,
            ],
        ),
    },
    "dynamic_tools": {
        10: (
            "an interrupt is answered before anything ends by it",
            [
                "=turn/interrupt",
                "item/completed dynamicToolCall failed",
                "turn/completed interrupted",
            ],
        ),
        20: ("the name of a built-in tool would never be called", ["=thread/start -32600"]),
    },
    "interrupt_approval": {
        4: (
            CLOSED_ITEMS + ", and so is what was asked",
            [
                "=turn/interrupt",
                "serverRequest/resolved",
                "item/completed commandExecution declined",
                "turn/completed interrupted",
            ],
        ),
    },
    "interrupt_command": {
        4: (
            CLOSED_ITEMS,
            [
                "=turn/interrupt",
                "item/completed commandExecution failed",
                "turn/completed interrupted",
            ],
        ),
    },
    "interrupt_streaming": {
        4: (
            CLOSED_ITEMS,
            ["=turn/interrupt", "item/completed agentMessage", "turn/completed interrupted"],
        ),
    },
    "new_history": {
        12: ("an ephemeral copy may tell its turns", ["=thread/fork"]),
        14: (LATER, ["=thread/revert", "thread/reverted"]),
        15: (LATER, ["=thread/turns/list"]),
        17: (LATER, ["=thread/settings/update", "thread/settings/updated"]),
        18: (
            LATER,
            [
                "=thread/shellCommand",
                "turn/started",
                "item/started commandExecution",
                "item/completed commandExecution completed",
                DONE,
            ],
        ),
        19: ("there are no goals", ["=thread/goal/get -32600"]),
        22: (
            "a copy needs nothing of its source. " + UNLOADED,
            ["=thread/delete", "thread/closed", "thread/deleted"],
        ),
        25: (UNLOADED, ["=thread/delete", "thread/closed", "thread/deleted"]),
    },
    "policy_untrusted_vs_never": {
        5: (
            "what provably only reads is not asked about",
            [
                *BEGUN,
                "item/started commandExecution",
                "item/completed commandExecution completed",
                "item/started commandExecution",
                "?item/commandExecution/requestApproval",
            ],
        ),
        6: ("of two commands one is asked about, see step 5", ACCEPTED),
        9: (
            "nothing is sandboxed: with somebody to ask, what changes something is asked about "
            "under full access too",
            [*BEGUN, "item/started commandExecution", "?item/commandExecution/requestApproval"],
        ),
    },
    "plan_update": {
        3: ("the plan is told", [*BEGUN, "turn/plan/updated", *ANSWERED, DONE]),
    },
    "request_user_input": {
        3: (NO_MODES, [*BEGUN, "?item/tool/requestUserInput"]),
        7: (NO_MODES, [*BEGUN, "?item/tool/requestUserInput"]),
    },
    "response_failed": {
        9: (
            "an event that cannot be read may have been a part of the answer, so that the answer "
            "is not taken for whole",
            [*BEGUN, "error final", "turn/completed failed"],
        ),
        13: (
            "the message is told, as it was stored, before room is made for it. " + COMPACTED,
            [
                *BEGUN,
                "item/started contextCompaction",
                "item/completed contextCompaction",
                "thread/compacted",
                *ANSWERED,
                DONE,
            ],
        ),
    },
    "resume": {
        3: ("what is loaded can be joined, stored or not", ["=thread/resume"]),
    },
    "review_inline": {
        3: (
            ONE_TURN,
            [
                *REVIEWING,
                "item/started reasoning",
                "item/completed reasoning",
                *REVIEWED,
                DONE,
            ],
        ),
    },
    "review_interrupt": {
        3: (ONE_TURN, REVIEWING),
        4: (
            "the id that was announced stops it",
            ["=turn/interrupt", *REVIEWED, "turn/completed interrupted"],
        ),
        5: ("it was stopped in step 4", ["=turn/interrupt -32600"]),
    },
    "sandbox_workspace_write": {
        3: (
            "nothing is sandboxed: what would need it is refused where nobody may be asked",
            [
                *BEGUN,
                "item/started commandExecution",
                "item/completed commandExecution declined",
                *ANSWERED,
                DONE,
            ],
        ),
    },
    "unknown_id_fields": {
        4: (OWN_IDS, ["=turn/start -32600"]),
        5: ("nothing was said in it, see step 4", ["=thread/fork -32600"]),
    },
    "seed_review_detached": {
        3: (
            "a thread that has said nothing yet can be reviewed beside itself too",
            [*REVIEWING, *REVIEWED, DONE],
        ),
        5: (ONE_TURN, [*REVIEWING, *REVIEWED, DONE]),
    },
    "seed_rollback": {
        3: ("there is nothing to take back, which is as it was asked for", ["=thread/rollback"]),
        5: (TURN_FIRST, [*BEGUN, *ANSWERED, DONE]),
        6: (TURN_FIRST, [*BEGUN, *ANSWERED, DONE]),
        9: (REVERTED, ["=thread/rollback", "thread/reverted"]),
        11: (TURN_FIRST, [*BEGUN, *ANSWERED, DONE]),
        13: (REVERTED, ["=thread/rollback", "thread/reverted"]),
    },
    "stream_cut_then_ok": {
        3: (
            "what was shown of an answer that broke is completed before it is asked for again",
            [*BEGUN, *ANSWERED, "error again", *ANSWERED, DONE],
        ),
    },
    "steer": {
        8: (OWN_IDS, ["=turn/steer"]),
        10: (
            "the message that was being told is completed; three were said, see step 8",
            [
                "=turn/steer",
                "item/completed agentMessage",
                *SPOKEN,
                *SPOKEN,
                *SPOKEN,
                *ANSWERED,
                DONE,
            ],
        ),
    },
}
"""For each talk, for each step that differs: why, and what is heard in it here."""

UNHEARD = {"review_interrupt": {3}}
"""After which steps a model is in the middle of an answer that nobody here is told of."""

SAID_LATER = {"policy_untrusted_vs_never": {7: 9}}
"""Answers that are given after a later step, because what they answer is asked there."""
