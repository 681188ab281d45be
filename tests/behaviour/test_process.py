"""The server as a program: its options, its streams, its end."""

import json
import os
import signal
import subprocess
import sys

import anyio
import anyio.to_thread
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, connect, environment
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

FULL: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


async def stored_turns(lab: Lab, thread_id: str) -> list[Json]:
    """Resume the thread in a new server, run one more turn, and return the turns before it."""
    lab.fake.add(say("next"))
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
        assert (await talk.turn(thread_id))["status"] == "completed"
        return resumed["thread"]["turns"]


async def test_a_killed_server_leaves_an_interrupted_turn(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "ls"}, call_id="c1"), say("x").hang(after=3))
    async with lab.stdio() as server:
        thread_id = await server.talk.start_thread(lab.workspace)
        turn_id = await server.talk.start_turn(thread_id)
        await server.talk.told("item/agentMessage/delta")
        server.process.kill()
        await server.talk.finished()
    (turn,) = await stored_turns(lab, thread_id)
    assert (turn["id"], turn["status"]) == (turn_id, "interrupted")
    kinds = [item["type"] for item in turn["items"]]
    assert kinds == ["userMessage", "commandExecution"]
    said = [i["type"] for i in lab.fake.requests[2]["input"] if i["type"] != "message"]
    assert said == ["function_call", "function_call_output"]


async def test_a_server_killed_while_it_asks_forgets_no_call(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    async with lab.stdio() as server:
        thread_id = await server.talk.start_thread(lab.workspace)
        await server.talk.start_turn(thread_id)
        await server.talk.asked()
        server.process.kill()
        await server.talk.finished()
    (turn,) = await stored_turns(lab, thread_id)
    assert turn["status"] == "interrupted"
    asked, given = [i for i in lab.fake.requests[1]["input"] if i["type"] != "message"]
    assert (asked["call_id"], given["call_id"], given["output"]) == ("c1", "c1", "aborted")


@pytest.mark.parametrize("way", ["end of input", "SIGTERM", "SIGINT"])
async def test_an_orderly_end_records_the_turn_as_interrupted(lab: Lab, way: str) -> None:
    lab.fake.add(say("half a sentence", deltas=2).hang(after=3))
    async with lab.stdio() as server:
        thread_id = await server.talk.start_thread(lab.workspace)
        turn_id = await server.talk.start_turn(thread_id)
        await server.talk.told("item/agentMessage/delta")
        if way == "end of input":
            server.close_input()
        else:
            server.process.send_signal(getattr(signal, way))
        assert await server.wait() == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == b""
    (rollout,) = lab.home.rglob("rollout-*.jsonl")
    ends = [json.loads(line)["payload"] for line in rollout.read_text().splitlines()]
    ends = [payload for payload in ends if payload.get("type") in ("turn_aborted", "task_complete")]
    assert [(end["type"], end["turn_id"]) for end in ends] == [("turn_aborted", turn_id)]
    (turn,) = await stored_turns(lab, thread_id)
    assert turn["status"] == "interrupted"
    assert turn["items"][-1]["text"] == "half a "


async def test_the_end_of_the_server_ends_its_commands(lab: Lab) -> None:
    script = "sleep 600 & echo $$ > pid; wait"
    lab.fake.add(call("shell_command", {"command": script}, call_id="c1"))
    async with lab.stdio() as server:
        thread_id = await server.talk.start_thread(lab.workspace, **FULL)
        await server.talk.start_turn(thread_id)
        pid_file = lab.workspace / "pid"
        with anyio.fail_after(30):
            while not pid_file.exists() or not pid_file.read_text().endswith("\n"):
                await anyio.sleep(0.005)
        group = int(pid_file.read_text())
        server.close_input()
        assert await server.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(group, 0)


@pytest.mark.parametrize("n", range(3))
async def test_input_may_end_right_after_a_turn_was_asked_for(lab: Lab, n: int) -> None:
    lab.fake.add(say("never").hang(after=2))
    async with lab.stdio() as server:
        thread_id = await server.talk.start_thread(lab.workspace)
        params = {"threadId": thread_id, "input": [{"type": "text", "text": "hi"}]}
        await server.talk.request("turn/start", params)
        await anyio.sleep(n * 0.003)
        server.close_input()
        assert await server.wait() == 0
    stored = "".join(path.read_text() for path in lab.home.rglob("rollout-*.jsonl"))
    assert stored.count('"turn_aborted"') == stored.count('"task_started"')


async def test_lines_that_are_no_message_end_nothing(lab: Lab) -> None:
    lab.fake.add(say("Still here."))
    async with lab.stdio() as server:
        talk, before = server.talk, len(server.talk.heard)
        assert server.process.stdin is not None
        lines = [b"{", b"[" * 10_000, b'{"id": 1, "method": "\xff"}', b"x" * 50_000_000]
        for line in lines:
            await anyio.to_thread.run_sync(server.process.stdin.write, line + b"\n")
        await anyio.to_thread.run_sync(server.process.stdin.flush)
        assert (await talk.ask("thread/list", {}))["data"] == []
        errors = talk.heard[before:-1]
        assert [(m["id"], m["error"]["code"]) for m in errors] == [(None, -32700)] * len(lines)
        assert (await talk.turn(await talk.start_thread(lab.workspace)))["status"] == "completed"


async def test_nothing_but_the_protocol_reaches_standard_output(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "echo out; echo err >&2"}), say("ok"))
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-m", "codex_jupyter.cli", "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(lab.home),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        info = {"clientInfo": {"name": "x", "version": "1"}}
        own = {"threadId": "0190a0b0-0000-7000-8000-00000000000a", "cwd": str(lab.workspace)}
        start = {**own, "input": [{"type": "text", "text": "hi"}]}
        lines: list[Json] = []
        for n, (method, params) in enumerate(
            [("initialize", info), ("thread/start", {**own, **FULL}), ("turn/start", start)]
        ):
            message = {"id": n, "method": method, "params": params}
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            while not any(line.get("id") == n for line in lines):
                raw = await anyio.to_thread.run_sync(process.stdout.readline)
                lines.append(json.loads(raw))
        while lines[-1].get("method") != "turn/completed":
            lines.append(json.loads(await anyio.to_thread.run_sync(process.stdout.readline)))
        process.stdin.close()
        rest = process.stdout.read()
        assert rest == b""


_STRAY = """
import os, subprocess, sys
from codex_jupyter import cli
from codex_jupyter.server import handlers

answer = handlers.Handlers.handle

async def noisy(self, connection, method, params):
    print("stray", flush=True)
    os.write(1, b"stray\\n")
    os.system("echo stray")
    assert sys.stdin.read() == "" and os.read(0, 10) == b""
    assert subprocess.run(["cat"], capture_output=True).stdout == b""
    return await answer(self, connection, method, params)

handlers.Handlers.handle = noisy
sys.exit(cli.main(["app-server"]))
"""


async def test_what_a_library_prints_or_reads_touches_no_message(lab: Lab) -> None:
    messages = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "x", "version": "1"}}},
        {"id": 2, "method": "thread/list", "params": {}},
        {"id": 3, "method": "thread/loaded/list", "params": {}},
    ]
    with subprocess.Popen(
        [sys.executable, "-c", _STRAY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(lab.home),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"".join(json.dumps(m).encode() + b"\n" for m in messages))
        process.stdin.flush()
        lines = [
            json.loads(await anyio.to_thread.run_sync(process.stdout.readline)) for _ in messages
        ]
        assert {line["id"] for line in lines if "result" in line} == {1, 2, 3}
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.stderr.read().count(b"stray\n") == 6


@pytest.mark.parametrize("closed", [(2,), (0,), (1,)])
async def test_a_closed_descriptor_is_no_riddle(lab: Lab, closed: tuple[int, ...]) -> None:
    redirect = " ".join(f"{fd}>&-" for fd in closed)
    command = f"{sys.executable} -m codex_jupyter.cli app-server {redirect}"
    done = subprocess.run(
        command, shell=True, input=b"", capture_output=True, env=environment(lab.home), timeout=10
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == (0 if closed == (2,) else 1)


async def test_after_a_signal_the_client_is_told_how_its_turn_ended(lab: Lab) -> None:
    lab.fake.add(say("half a sentence", deltas=2).hang(after=3))
    async with lab.stdio() as server:
        turn_id = await server.talk.start_turn(await server.talk.start_thread(lab.workspace))
        await server.talk.told("item/agentMessage/delta")
        server.process.send_signal(signal.SIGINT)
        assert (await server.talk.turn_end(turn_id))["status"] == "interrupted"
        await server.talk.finished()
        assert await server.wait() == 0


def run_to_its_end(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "codex_jupyter.cli", *arguments],
        input=b"",
        capture_output=True,
        env=environment(lab.home),
        timeout=10,
    )


async def test_options_win_over_the_file(lab: Lab) -> None:
    lab.fake.add(say("ok"))
    options = ("-c", "model=from-option", "--config", 'approval_policy="untrusted"')
    async with lab.stdio(*options) as server:
        opened = await server.talk.ask("thread/start", {"cwd": str(lab.workspace)})
        assert (opened["model"], opened["approvalPolicy"]) == ("from-option", "untrusted")
        await server.talk.turn(opened["thread"]["id"])
    assert lab.fake.requests[0]["model"] == "from-option"


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ("model = [broken", (), ("config.toml", "line 1")),
        ("model = 7", (), ("config.toml", "`model`")),
        ('approval_policy = "perhaps"', (), ("config.toml", "`approval_policy`", "perhaps")),
        ('model_provider = "nobody"', (), ("config.toml", "nobody")),
        ("\xff", (), ("config.toml",)),
        ("", ("-c", "no-equals-sign"), ("no-equals-sign",)),
        ("", ("-c", "approval_policy=7"), ("approval_policy",)),
    ],
)
async def test_a_mistake_in_the_configuration_is_one_message(
    lab: Lab, config: str, options: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    (lab.home / "config.toml").write_bytes(config.encode("latin-1"))
    done = run_to_its_end(lab, *options, "app-server")
    told = done.stderr.decode()
    assert done.returncode == 2
    assert done.stdout == b""
    assert told.startswith("codex-jupyter: failed to load configuration: ")
    assert len(told.splitlines()) == 1
    assert all(word in told for word in expected), told
