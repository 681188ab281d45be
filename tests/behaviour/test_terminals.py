"""Commands that outlive their call and their turn: typed into, listed, ended, never lost."""

import os
from typing import Any

import anyio
import psutil
import pytest

from codex_jupyter.ids import ThreadId
from codex_jupyter.tools import exec_tools, terminals
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import Answer, call, say

pytestmark = pytest.mark.anyio

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
QUICK = 250


def start(cmd: str, call_id: str = "e1", **more: Any) -> Answer:
    arguments = {"cmd": cmd, "yield_time_ms": QUICK, **more}
    return call("exec_command", arguments, call_id=call_id)


def outputs(lab: Lab) -> list[str]:
    items = lab.fake.requests[-1]["input"]
    return [i["output"] for i in items if i["type"] == "function_call_output"]


def session_of(output: str) -> int:
    return int(output.split("session ID ")[1].split(maxsplit=1)[0])


async def begun(lab: Lab, talk: Talk, cmd: str, **more: Any) -> tuple[str, str, int]:
    """Start a command that goes on; return thread, turn and session."""
    lab.fake.add(start(cmd, **more), say("it runs"))
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    turn = await talk.turn(thread_id)
    return thread_id, turn["id"], session_of(outputs(lab)[-1])


async def listed(talk: Talk, thread_id: str) -> list[Json]:
    return (await talk.ask("thread/backgroundTerminals/list", {"threadId": thread_id}))["data"]


async def is_gone(pid: int) -> None:
    with anyio.fail_after(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await anyio.sleep(0.01)


async def test_a_command_that_ends_in_time_is_complete(lab: Lab, talk: Talk) -> None:
    lab.fake.add(start("echo out; exit 3", yield_time_ms=5000), say("ok"))
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    await talk.turn(thread_id)
    (output,) = outputs(lab)
    assert "Process exited with code 3" in output
    assert output.endswith("Output:\nout\n")
    (item,) = talk.items("commandExecution")
    assert (item["exitCode"], item["status"], item["source"]) == (3, "failed", "unifiedExecStartup")
    assert await listed(talk, thread_id) == []


@pytest.mark.parametrize(
    ("tool", "command", "limit"),
    [("exec_command", "cmd", "yield_time_ms"), ("shell_command", "command", "timeout_ms")],
)
async def test_a_time_longer_than_any_is_the_longest(
    lab: Lab, talk: Talk, tool: str, command: str, limit: str
) -> None:
    lab.fake.add(call(tool, {command: "echo out", limit: 10**400}), say("ok"))
    turn = await talk.turn(await talk.start_thread(lab.workspace, **FREE))
    assert turn["status"] == "completed"
    assert outputs(lab)[-1].endswith("Output:\nout\n")


async def test_the_last_output_is_told_when_a_command_goes_on_without_any(
    lab: Lab, talk: Talk
) -> None:
    # Shown at once is the first line; the others come too soon after it, and wait.
    script = "echo 1; sleep 0.005; echo 2; sleep 0.005; echo 3; exec >&- 2>&-; "
    await begun(lab, talk, script + "while [ ! -e go ]; do sleep 0.01; done", call_id="e7")
    await talk.until(
        lambda m: (
            m.get("method") == "item/commandExecution/outputDelta" and "3" in m["params"]["delta"]
        )
    )
    assert talk.items("commandExecution") == []
    (lab.workspace / "go").touch()


async def test_a_command_outlives_its_turn_and_ends_under_its_id(lab: Lab) -> None:
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        cmd = "echo first; while [ ! -e go ]; do sleep 0.01; done; echo last"
        thread_id, turn_id, session = await begun(lab, talk, cmd)
        assert "first" in outputs(lab)[-1]
        assert talk.items("commandExecution") == []
        (shown,) = await listed(talk, thread_id)
        assert (shown["processId"], shown["turnId"]) == (str(session), turn_id)
        (lab.workspace / "go").touch()
        done = await talk.until(
            lambda m: (
                m.get("method") == "item/completed"
                and m["params"]["item"]["type"] == "commandExecution"
            )
        )
        assert done["params"]["turnId"] == turn_id
        assert done["params"]["item"]["aggregatedOutput"] == "first\nlast\n"
        read = {"threadId": thread_id, "includeTurns": True}
        loaded = (await talk.ask("thread/read", read))["thread"]["turns"][0]["items"]
        assert await listed(talk, thread_id) == []
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        stored = (await talk.ask("thread/read", read))["thread"]["turns"][0]["items"]
    assert sorted(str(i) for i in map(_plain, stored)) == sorted(
        str(i) for i in map(_plain, loaded)
    )


def _plain(item: Json) -> str:
    return str(sorted((k, v) for k, v in item.items() if v is not None))


async def test_the_model_types_into_a_terminal(lab: Lab, talk: Talk) -> None:
    script = "test -t 0 && echo terminal; read line; echo got $line; cat"
    thread_id, turn_id, session = await begun(lab, talk, script, tty=True)
    assert "terminal" in outputs(lab)[-1]
    typed = {"session_id": session, "chars": "hello\n", "yield_time_ms": QUICK}
    ended = {"session_id": session, "chars": "\u0003", "yield_time_ms": 5000}
    lab.fake.add(
        call("write_stdin", typed, call_id="w1"), call("write_stdin", ended, call_id="w2"), say("k")
    )
    await talk.turn(thread_id, "type")
    first, second = outputs(lab)[-2:]
    assert "got hello" in first
    assert "Process running" in first
    assert "Process exited with code" in second
    told = talk.notices("item/commandExecution/terminalInteraction")
    assert [(n["stdin"], n["processId"]) for n in told] == [
        ("hello\n", str(session)),
        ("\u0003", str(session)),
    ]
    (item,) = talk.items("commandExecution")
    assert "got hello" in item["aggregatedOutput"]
    assert turn_id != told[0]["turnId"]


async def test_what_cannot_be_typed_is_told_to_the_model(lab: Lab, talk: Talk) -> None:
    thread_id, _, session = await begun(lab, talk, "sleep 60")
    lab.fake.add(
        call("write_stdin", {"session_id": session, "chars": "x"}, call_id="w1"),
        call("write_stdin", {"session_id": 7}, call_id="w2"),
        say("k"),
    )
    await talk.turn(thread_id, "type")
    no_terminal, unknown = outputs(lab)[-2:]
    assert "start it again with `tty: true`" in no_terminal
    assert unknown == f"there is no session 7; running: {session}"


@pytest.mark.parametrize("by", ["interrupt", "close", "terminate", "clean", "archive"])
async def test_it_ends_with_its_process_group(lab: Lab, by: str) -> None:
    """W-63: the original kills only the direct child."""
    async with lab.serving() as server:
        async with connect(server, experimentalApi=True) as talk:
            script = "sleep 300 & echo $! > pid; sleep 300"
            thread_id, _, session = await begun(lab, talk, script)
            pid = int((lab.workspace / "pid").read_text())
            asked = {"threadId": thread_id}
            if by == "interrupt":
                lab.fake.add(say("busy").hang(after=1))
                running = await talk.start_turn(thread_id)
                await talk.ask("turn/interrupt", {**asked, "turnId": running})
                await talk.turn_end(running)
            elif by == "terminate":
                method = "thread/backgroundTerminals/terminate"
                ended = await talk.ask(method, {**asked, "processId": str(session)})
                assert ended == {"terminated": True}
                again = await talk.ask(method, {**asked, "processId": str(session)})
                assert again == {"terminated": False}
                never = await talk.ask(method, {**asked, "processId": "9" * 5000})
                assert never == {"terminated": False}
            elif by == "clean":
                await talk.ask("thread/backgroundTerminals/clean", asked)
            elif by == "archive":
                await talk.ask("thread/archive", asked)
            if by != "close":
                (item,) = talk.items("commandExecution")
                assert item["status"] == "failed"
                assert os.getpid() != pid
    await is_gone(pid)


async def test_a_stop_in_the_first_wait_leaves_no_item_open(lab: Lab, talk: Talk) -> None:
    """W-65: a begin event without an end."""
    lab.fake.add(start("sleep 300", yield_time_ms=30_000), say("never"))
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    turn_id = await talk.start_turn(thread_id)
    await talk.item_started("commandExecution")
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    order = [m for m in talk.methods() if m in ("item/completed", "turn/completed")]
    assert order[-2:] == ["item/completed", "turn/completed"]
    assert talk.items("commandExecution")[0]["status"] == "failed"


async def test_ids_come_back_when_nothing_is_started(lab: Lab) -> None:
    """W-65: ids leak when building the command fails."""
    lab.fake.add(
        start("true", workdir="absent"),
        start("touch made", call_id="e2"),
        say("ok"),
    )
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, approvalPolicy="untrusted")
        turn_id = await talk.start_turn(thread_id)
        await talk.answer(await talk.asked(), {"decision": "accept"})
        await talk.answer(await talk.asked(n=2), {"decision": "decline"})
        assert (await talk.turn_end(turn_id))["status"] == "completed"
        engine = await server.engine()
        known = engine.threads.get(ThreadId(thread_id)).terminals
        assert known.reserved == frozenset()
    statuses = [item["status"] for item in talk.items("commandExecution")]
    assert statuses == ["failed", "declined"]
    assert "could not be started" in outputs(lab)[0]
    assert not (lab.workspace / "made").exists()


async def test_a_thread_with_a_running_command_is_not_unloaded(lab: Lab) -> None:
    async with lab.serving("thread_idle_limit=0") as server:
        async with connect(server, experimentalApi=True) as talk:
            thread_id, _, _ = await begun(lab, talk, "sleep 300")
        async with connect(server, experimentalApi=True) as other:
            idle = await other.start_thread(lab.workspace)
            await other.ask("thread/unsubscribe", {"threadId": idle})
            await other.told("thread/closed", threadId=idle)
            assert (await other.ask("thread/loaded/list", {}))["data"] == [thread_id]
            await other.ask("thread/backgroundTerminals/clean", {"threadId": thread_id})
            await other.told("thread/closed", threadId=thread_id)


async def test_past_the_limit_the_least_used_goes(
    lab: Lab, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "MAX_TERMINALS", 3)
    monkeypatch.setattr(terminals, "PROTECTED", 1)
    for n in range(4):
        lab.fake.add(start(f"echo {n}; sleep 300", call_id=f"e{n}"))
    lab.fake.add(say("ok"))
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    await talk.turn(thread_id)
    shown = [terminal["itemId"] for terminal in await listed(talk, thread_id)]
    assert shown == ["e1", "e2", "e3"]
    (ended,) = talk.items("commandExecution")
    assert ended["id"] == "e0"


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_typing_into_what_reads_nothing_ends_with_its_time_or_the_turn(
    lab: Lab, talk: Talk, is_stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_tools, "_DEFAULT_YIELD", 60.0 if is_stopped else 0.25)
    thread_id, _, session = await begun(lab, talk, "stty raw -echo; exec sleep 100", tty=True)
    time = 30_000 if is_stopped else QUICK
    wish = {"session_id": session, "chars": "x" * 300_000, "yield_time_ms": time}
    lab.fake.add(call("write_stdin", wish, call_id="w1"), say("so be it"))
    turn_id = await talk.start_turn(thread_id)
    if is_stopped:
        await talk.told("item/commandExecution/terminalInteraction")
        await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    else:
        assert (await talk.turn_end(turn_id))["status"] == "completed"
        assert "has not read all of it" in outputs(lab)[-1]
        assert f"session ID {session}" in outputs(lab)[-1]
