"""What happens when the model calls tools."""

import json

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import call, custom_call, raw, say

pytestmark = pytest.mark.anyio

PATCH = """*** Begin Patch
*** Add File: note.txt
+one line
*** End Patch"""


@pytest.fixture(autouse=True)
def nobody_is_asked(lab: Lab) -> None:
    lab.configure('approval_policy = "never"', 'sandbox_mode = "danger-full-access"')


def outputs(lab: Lab, request: int = 1) -> dict[str, str]:
    """Return the tool outputs that a request carried, by call id."""
    items: list[Json] = lab.fake.requests[request]["input"]
    return {i["call_id"]: i["output"] for i in items if i["type"].endswith("_output")}


def shell(command: str, call_id: str, **arguments: object) -> Json:
    return {"name": "shell_command", "arguments": {"command": command, **arguments}} | {
        "call_id": call_id
    }


async def test_a_command_runs_and_its_output_goes_back(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call(**shell("printf 'a\\nb'; exit 3", "c1")), say("It printed a and b."))
    turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    started, done = await talk.item_started("commandExecution"), talk.items("commandExecution")[0]
    assert (started["id"], started["status"], started["exitCode"]) == ("c1", "inProgress", None)
    assert (done["status"], done["exitCode"], done["aggregatedOutput"]) == ("failed", 3, "a\nb")
    assert done["cwd"] == str(lab.workspace)
    assert done["durationMs"] >= 0
    assert talk.deltas("c1") == "a\nb"
    assert outputs(lab)["c1"].startswith("Exit code: 3\n")
    assert outputs(lab)["c1"].endswith("Output:\na\nb")


async def test_the_model_gets_its_call_and_the_output_right_after(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call(**shell("echo hi", "c1")), say("ok"))
    await talk.turn(await talk.start_thread(lab.workspace))
    said, output = lab.fake.requests[1]["input"][-2:]
    assert said == {
        "type": "function_call",
        "call_id": "c1",
        "name": "shell_command",
        "arguments": '{"command": "echo hi"}',
    }
    assert (output["type"], output["call_id"]) == ("function_call_output", "c1")


async def test_parallel_calls_run_side_by_side_and_answer_in_order(lab: Lab, talk: Talk) -> None:
    pipe = lab.workspace / "pipe"
    # Each half waits for the other: one after the other they would never end.
    lab.fake.add(
        call(**shell(f"mkfifo {pipe}.a {pipe}.b; echo 1 > {pipe}.a; cat {pipe}.b", "c1"))
        + call(
            **shell(f"until [ -p {pipe}.b ]; do :; done; cat {pipe}.a; echo 2 > {pipe}.b", "c2")
        ),
        say("both"),
    )
    turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    last = lab.fake.requests[1]["input"][-2:]
    assert [item["call_id"] for item in last] == ["c1", "c2"]
    assert [item["output"][-2:] for item in last] == ["2\n", "1\n"]


async def test_calls_that_share_an_id_are_told_apart(lab: Lab, talk: Talk) -> None:
    lab.fake.add(
        call(**shell("echo first", "same")) + call(**shell("echo second", "same")), say("ok")
    )
    await talk.turn(await talk.start_thread(lab.workspace))
    items = talk.items("commandExecution")
    assert len({item["id"] for item in items}) == 2
    sent = [item for item in lab.fake.requests[1]["input"] if item["type"] != "message"]
    assert [item["type"] for item in sent].count("function_call") == 2
    assert [o["output"].split()[-1] for o in sent if "output" in o] == ["first", "second"]


async def test_a_patch_changes_files_and_shows_the_diff(lab: Lab) -> None:
    lab.configure(
        'approval_policy = "never"', 'sandbox_mode = "danger-full-access"', freeform_tools=True
    )
    lab.fake.add(custom_call("apply_patch", PATCH, call_id="p1"), say("done"))
    async with lab.serving() as server, lab.connect(server) as talk:
        await talk.turn(await talk.start_thread(lab.workspace))
    assert (lab.workspace / "note.txt").read_text() == "one line\n"
    (item,) = talk.items("fileChange")
    assert item["status"] == "completed"
    assert item["changes"][0]["kind"] == {"type": "add"}
    assert "+one line" in talk.notices("turn/diff/updated")[-1]["diff"]
    assert lab.fake.requests[1]["input"][-1]["type"] == "custom_tool_call_output"
    assert lab.fake.requests[0]["tools"][1] == {
        "type": "custom",
        "name": "apply_patch",
        "description": lab.fake.requests[0]["tools"][1]["description"],
    }


async def test_a_patch_may_come_as_a_function_call(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call("apply_patch", {"input": PATCH}, call_id="p1"), say("done"))
    await talk.turn(await talk.start_thread(lab.workspace))
    assert (lab.workspace / "note.txt").read_text() == "one line\n"


async def test_a_patch_that_cannot_be_read_makes_no_item(lab: Lab, talk: Talk) -> None:
    lab.fake.add(custom_call("apply_patch", "no patch", call_id="p1"), say("sorry"))
    turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    assert talk.items("fileChange") == []
    assert outputs(lab)["p1"].startswith("apply_patch verification failed: ")


async def test_a_plan_is_told_whole_and_makes_no_item(lab: Lab, talk: Talk) -> None:
    steps = [{"step": "Look", "status": "in_progress"}, {"step": "Act", "status": "pending"}]
    lab.fake.add(
        call("update_plan", {"explanation": "Two steps", "plan": steps}, call_id="c1"), say("ok")
    )
    await talk.turn(await talk.start_thread(lab.workspace))
    (plan,) = talk.notices("turn/plan/updated")
    assert plan["explanation"] == "Two steps"
    assert plan["plan"] == [
        {"step": "Look", "status": "inProgress"},
        {"step": "Act", "status": "pending"},
    ]
    assert {item["type"] for item in talk.items()} == {"userMessage", "agentMessage"}
    assert outputs(lab) == {"c1": "Plan updated"}


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("no_such_tool", "{}", "unsupported call: no_such_tool"),
        ("shell_command", "{not json", "failed to parse function arguments: "),
        ("shell_command", "[1]", "failed to parse function arguments: expected an object"),
        ("shell_command", "{}", "`command` must be a non-empty string"),
        ("shell_command", '{"command": ["ls"]}', "`command` must be one string, not a list"),
        ("shell_command", '{"command": "echo hi", "timeout_ms": "soon"}', "Exit code: 0"),
        ("shell_command", '{"command": "echo a\\u0000b"}', "Exit code: 126"),
        ("update_plan", '{"plan": "all"}', "`plan` must be a list of steps"),
        ("apply_patch", '{"patch": "x"}', "`input` must be the patch as one string"),
        ("request_user_input", "{}", "`questions` must be a non-empty list"),
    ],
)
async def test_a_call_that_does_not_fit_is_told_to_the_model_only(
    lab: Lab, talk: Talk, name: str, arguments: str, complaint: str
) -> None:
    lab.fake.add(call(name, arguments, call_id="c1"), say("I see."))
    turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    assert outputs(lab)["c1"].startswith(complaint)
    assert not talk.notices("error")


async def test_an_unknown_free_text_tool_is_told_to_the_model(lab: Lab, talk: Talk) -> None:
    lab.fake.add(custom_call("paint", "a cat", call_id="c1"), say("I cannot."))
    assert (await talk.turn(await talk.start_thread(lab.workspace)))["status"] == "completed"
    assert outputs(lab) == {"c1": "unsupported custom tool call: paint"}


async def test_a_call_without_a_call_id_does_not_spoil_the_thread(lab: Lab, talk: Talk) -> None:
    item = {"type": "function_call", "id": "f", "name": "shell_command", "arguments": "{}"}
    lab.fake.add(
        raw({"type": "response.output_item.done", "output_index": 0, "item": item}),
        say("first"),
        say("second"),
    )
    thread_id = await talk.start_thread(lab.workspace)
    assert (await talk.turn(thread_id))["status"] == "completed"
    assert (await talk.turn(thread_id))["status"] == "completed"
    sent = lab.fake.requests[2]["input"]
    (asked,) = [i for i in sent if i["type"] == "function_call"]
    (given,) = [i for i in sent if i["type"] == "function_call_output"]
    assert asked["call_id"] == given["call_id"] != ""


async def test_a_command_runs_in_the_folder_the_model_names(lab: Lab, talk: Talk) -> None:
    (lab.workspace / "inner").mkdir()
    lab.fake.add(call(**shell("pwd", "c1", workdir="inner")), say("ok"))
    await talk.turn(await talk.start_thread(lab.workspace))
    assert talk.items("commandExecution")[0]["aggregatedOutput"] == f"{lab.workspace}/inner\n"


async def test_a_command_past_its_time_is_ended(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call(**shell("sleep 60", "c1", timeout_ms=20)), say("too slow"))
    await talk.turn(await talk.start_thread(lab.workspace))
    assert talk.items("commandExecution")[0]["status"] == "failed"
    assert "command timed out" in outputs(lab)["c1"]


async def test_several_rounds_of_calls_are_one_turn(lab: Lab, talk: Talk) -> None:
    lab.fake.add(*(call(**shell(f"echo {n}", f"c{n}")) for n in range(4)), say("enough"))
    await talk.turn(await talk.start_thread(lab.workspace))
    assert len(talk.notices("turn/started")) == len(talk.notices("turn/completed")) == 1
    assert list(outputs(lab, 4)) == ["c0", "c1", "c2", "c3"]
    assert len(json.dumps(lab.fake.requests[4])) > 0


async def test_secrets_of_providers_do_not_reach_commands(lab: Lab) -> None:
    lab.configure(
        'approval_policy = "never"', 'sandbox_mode = "danger-full-access"', env_key='"THE_KEY"'
    )
    config = (lab.home / "config.toml").read_text().replace("'\"", '"')
    (lab.home / "config.toml").write_text(config.replace('"the_key"', '"THE_KEY"'))
    lab.fake.add(call(**shell("env", "c1")), say("ok"))
    async with lab.stdio(env={"THE_KEY": "s3cret-value"}) as server:
        await server.talk.turn(await server.talk.start_thread(lab.workspace))
        printed = server.talk.items("commandExecution")[0]["aggregatedOutput"]
    assert "PATH=" in printed
    assert "s3cret" not in printed
    assert lab.fake.headers[0]["authorization"] == "Bearer s3cret-value"
