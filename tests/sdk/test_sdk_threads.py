"""Threads of the official SDK at our server: kept, found, copied, summed up; and overload."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from pydantic import RootModel

from tests.fake_model import call, say
from tests.sdk.program import LIMIT, Program, openai_codex, texts

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(2 * LIMIT)]


def listed(codex: Any, **wanted: Any) -> list[str]:
    return [thread.id for thread in codex.thread_list(**wanted).data]


def heard(codex: Any, status: str, *, n: int) -> None:
    """Wait until a thread has been said to have this status ``n`` times."""
    while n:
        told = codex._client.next_notification()
        if told.method == "thread/status/changed":
            n -= told.payload.status.root.type == status


def test_a_thread_goes_on_in_a_new_program(program: Program) -> None:
    program.fake.add(say("Forty-two."), say("Because."))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        thread.run("What is the answer?")
    with program.codex() as codex:
        again = codex.thread_resume(thread.id, include_turns=False)
        assert again.id == thread.id
        assert again.run("Why?").final_response == "Because."
        stored = again.read(include_turns=True).thread
    assert [turn.status.value for turn in stored.turns] == ["completed", "completed"]
    told = texts(program.fake.requests[1])
    assert [words for words in told if words in ("What is the answer?", "Forty-two.", "Why?")] == [
        *("What is the answer?", "Forty-two.", "Why?")
    ]


def test_a_copy_goes_its_own_way(program: Program) -> None:
    program.fake.add(say("One."), say("Two."))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        thread.run("Begin.")
        copy = codex.thread_fork(thread.id)
        assert copy.id != thread.id
        copy.run("Go on.")
        assert "One." in texts(program.fake.requests[1])
        assert len(copy.read(include_turns=True).thread.turns) == 2
        assert len(thread.read(include_turns=True).thread.turns) == 1
        assert copy.read().thread.forked_from_id == thread.id


def test_threads_are_listed_named_and_put_away(program: Program) -> None:
    program.fake.add(say("One."), say("Two."))
    with program.codex() as codex:
        first, second = (codex.thread_start(cwd=str(program.workspace)) for _ in range(2))
        first.run("The first.")
        second.run("The second.")
        assert {*listed(codex)} == {first.id, second.id}
        page = codex.thread_list(limit=1)
        assert [thread.id for thread in page.data] == [second.id]
        assert listed(codex, limit=1, cursor=page.next_cursor) == [first.id]
        first.set_name("An answer")
        assert first.read().thread.name == "An answer"
        assert listed(codex, search_term="An ans") == [first.id]
        codex.thread_archive(first.id)
        assert (listed(codex), listed(codex, archived=True)) == ([second.id], [first.id])
        assert codex.thread_unarchive(first.id).id == first.id
        assert {*listed(codex)} == {first.id, second.id}


def test_a_thread_is_summed_up(program: Program) -> None:
    program.fake.add(say("A long answer."), say("In short: an answer."), say("Yes."))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        thread.run("Tell me.")
        thread.compact()
        heard(codex, "idle", n=2)
        assert thread.run("Really?").final_response == "Yes."
    told = "\n".join(texts(program.fake.requests[2]))
    assert "In short: an answer." in told
    assert "A long answer." not in told


def test_the_models_are_listed(program: Program) -> None:
    with program.codex() as codex:
        models = codex.models().data
    assert [model.id for model in models if model.is_default] == ["fake-model"]


def test_a_wrong_id_is_refused_as_a_wrong_request(program: Program) -> None:
    with program.codex() as codex:
        with pytest.raises(openai_codex.InvalidRequestError, match="thread"):
            codex.thread_resume("01a20351-a325-7481-8930-a91d3b1e9d59")


def test_what_ours_has_not_is_refused_and_harms_nothing(program: Program) -> None:
    program.fake.add(say("Here."))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        with pytest.raises(openai_codex.InvalidRequestError, match="goal/clear is not offered"):
            codex._client.thread_goal_clear(thread.id)
        assert thread.run("Hello?").final_response == "Here."
    assert len(program.fake.requests) == 1


def test_what_another_tool_says_is_read_as_its_output(program: Program) -> None:
    program.fake.add(say("On my way."))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        told = thread.run(openai_codex.ExternalMessage("mail", "Come home."))
    assert told.final_response == "On my way."
    (request,) = program.fake.requests
    asked, output = request["input"][-2:]
    assert (asked["type"], asked["name"]) == ("function_call", "mail")
    assert (output["type"], output["output"]) == ("function_call_output", "Come home.")


Anything = RootModel[dict[str, Any]]

SMALL = """
import sys
from codex_jupyter import rpc
from codex_jupyter.cli import main
rpc.MAX_IN_FLIGHT, rpc.MAX_WAITING = 1, 0
sys.exit(main())
"""
"""Our program, with room for one request at a time; with the usual room it takes 8,448."""


def test_an_overloaded_server_is_asked_again(program: Program) -> None:
    """The SDK's own rule knows our refusal as one that passes."""
    refused: list[Any] = []
    with program.codex(launch_args_override=(sys.executable, "-c", SMALL, "app-server")) as codex:

        def send(method: str, **params: Any) -> None:
            codex._client.request(method, {"processId": "p", **params}, response_model=Anything)

        def hold() -> None:
            shell = ["sh", "-c", "echo up; exec sleep 60"]
            cwd = str(program.workspace)
            send("command/exec", command=shell, cwd=cwd, streamStdoutStderr=True)

        def ask() -> Any:
            try:
                return codex.models()
            except openai_codex.ServerBusyError as error:
                refused.append(error)
                send("command/exec/terminate")
                holding.result(LIMIT)
                raise

        with ThreadPoolExecutor(1) as pool:
            holding = pool.submit(hold)
            while codex._client.next_notification().method != "command/exec/outputDelta":
                pass
            answer = openai_codex.retry_on_overload(ask, initial_delay_s=0.01)
    assert [model.id for model in answer.data if model.is_default] == ["fake-model"]
    (error,) = refused
    assert error.code == -32001
    assert openai_codex.is_retryable_error(error)


@pytest.mark.anyio
async def test_the_same_from_async_code(program: Program) -> None:
    program.fake.add(
        say("Forty-two.", deltas=3),
        say("half", deltas=2).hang(after=3),
        call("shell_command", {"command": "touch made"}, call_id="c1"),
        say("Made."),
    )
    async with program.async_codex() as codex:
        thread = await codex.thread_start(
            cwd=str(program.workspace), sandbox=openai_codex.Sandbox.workspace_write
        )
        turn = await thread.turn("What is the answer?")
        said = [
            event.payload.delta
            async for event in turn.stream()
            if event.method == "item/agentMessage/delta"
        ]
        assert "".join(said) == "Forty-two."
        turn = await thread.turn("Go.")
        await anyio.to_thread.run_sync(program.fake.wait_for_hang)
        await turn.interrupt()
        assert (await turn.run()).status.value == "interrupted"
        assert (await thread.run("Make it.")).final_response == "Made."
        assert [found.id for found in (await codex.thread_list()).data] == [thread.id]
        copy = await codex.thread_fork(thread.id)
        assert len((await copy.read(include_turns=True)).thread.turns) == 3
    assert (program.workspace / "made").exists()


@pytest.mark.anyio
async def test_async_turns_run_side_by_side(program: Program) -> None:
    names = [f"thread {n}" for n in range(3)]
    answers = {name: [say(f"to {name}", deltas=2).hang(after=3)] for name in names}
    program.fake.portal.call(program.fake.fake.by_prompt, answers)
    found: dict[str, str] = {}
    async with program.async_codex() as codex:

        async def run(name: str) -> None:
            thread = await codex.thread_start(cwd=str(program.workspace))
            found[name] = (await thread.run(name)).final_response

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(run, name)
            await anyio.to_thread.run_sync(program.fake.wait_for_hang, len(names), LIMIT)
            program.fake.resume()
    assert found == {name: f"to {name}" for name in names}
