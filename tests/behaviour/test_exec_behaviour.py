"""Commands of a client's own: real processes, fed, streamed, bounded, ended."""

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from codex_jupyter.server import exec_handlers
from codex_jupyter.server.rights import kernel_rights
from codex_jupyter.tools import exec_run
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect

pytestmark = pytest.mark.anyio

STREAMED = {"processId": "p", "streamStdin": True, "streamStdoutStderr": True}


def sh(script: str, **params: Any) -> Json:
    return {"command": ["sh", "-c", script], **params}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def output(talk: Talk, stream: str = "stdout", process_id: str = "p") -> bytes:
    deltas = [d for d in talk.notices("command/exec/outputDelta") if d["processId"] == process_id]
    return b"".join(base64.b64decode(d["deltaBase64"]) for d in deltas if d["stream"] == stream)


async def until_output(talk: Talk, text: str, process_id: str = "p") -> None:
    await talk.until(lambda _: text.encode() in output(talk, process_id=process_id))


async def is_gone(pid: int) -> None:
    with anyio.fail_after(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await anyio.sleep(0.01)


@pytest.fixture
async def plain(lab: Lab) -> AsyncGenerator[Talk]:
    async with lab.serving() as server, connect(server) as talk:
        yield talk


async def test_a_command_is_answered_with_what_it_printed(lab: Lab, plain: Talk) -> None:
    params = sh("echo out; echo err >&2; pwd; cat; exit 3", cwd=str(lab.workspace))
    result = await plain.ask("command/exec", params)
    assert result == {"exitCode": 3, "stdout": f"out\n{lab.workspace}\n", "stderr": "err\n"}
    assert plain.notices("command/exec/outputDelta") == []


async def test_failures_have_the_recorded_texts(plain: Talk) -> None:
    empty = await plain.refused("command/exec", {"command": []})
    assert (empty.code, empty.message) == (-32600, "command must not be empty")
    missing = await plain.refused("command/exec", {"command": ["no-such-program"]})
    assert missing.code == -32603
    assert missing.message.startswith("exec failed: No such file or directory")


async def test_what_is_not_done_in_time_is_ended_and_what_it_printed_is_kept(plain: Talk) -> None:
    late = await plain.ask("command/exec", sh("echo begun; exec sleep 300", timeoutMs=2000))
    assert late == {"exitCode": 124, "stdout": "begun\n", "stderr": ""}


async def test_the_environment_is_the_servers_without_secrets_and_with_what_is_said(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-hidden")
    monkeypatch.setenv("PLAIN", "kept")
    monkeypatch.setenv("GONE", "x")
    async with lab.serving() as server, connect(server) as talk:
        params = sh("env", env={"MORE": "added", "GONE": None})
        printed = (await talk.ask("command/exec", params))["stdout"].splitlines()
    assert {"PLAIN=kept", "MORE=added"} <= set(printed)
    assert not any("sk-hidden" in line or line.startswith("GONE=") for line in printed)


async def test_output_is_streamed_and_input_is_fed_in_order(plain: Talk) -> None:
    request = await plain.request(
        "command/exec", sh("echo ready; cat; echo end >&2; exit 4", **STREAMED)
    )
    await until_output(plain, "ready")
    for word in ("one ", "two ", "three"):
        write = {"processId": "p", "deltaBase64": b64(word)}
        assert await plain.ask("command/exec/write", write) == {}
    await until_output(plain, "one two three")
    await plain.ask("command/exec/write", {"processId": "p", "closeStdin": True})
    result = await plain.response(request)
    assert result == {"exitCode": 4, "stdout": "", "stderr": ""}
    assert output(plain) == b"ready\none two three"
    assert output(plain, "stderr") == b"end\n"
    order = plain.methods()
    last_delta = max(n for n, m in enumerate(order) if m == "command/exec/outputDelta")
    assert last_delta < order.index("=command/exec")


async def test_only_the_connection_that_started_it_hears_and_reaches_it(lab: Lab) -> None:
    async with (
        lab.serving() as server,
        connect(server) as talk,
        connect(server) as other,
    ):
        request = await talk.request("command/exec", sh("echo $$; cat", **STREAMED))
        await until_output(talk, "\n")
        for method in ("write", "terminate"):
            params = {"processId": "p", "deltaBase64": b64("x")}
            refused = await other.refused(f"command/exec/{method}", params)
            assert 'process id "p"' in refused.message
        same = await other.request("command/exec", sh("cat", **STREAMED))
        await other.ask("command/exec/write", {"processId": "p", "closeStdin": True})
        assert (await other.response(same))["exitCode"] == 0
        assert other.notices("command/exec/outputDelta") == []
        await talk.ask("command/exec/terminate", {"processId": "p"})
        assert (await talk.response(request))["exitCode"] == 128 + 15


@pytest.mark.parametrize("by", ["terminate", "connection", "server"])
async def test_its_processes_end_with_it(lab: Lab, by: str) -> None:
    script = "trap '' TERM; sleep 300 & echo $!; echo $$; wait"
    async with lab.serving() as server, connect(server) as talk:
        request = await talk.request("command/exec", sh(script, **STREAMED))
        await talk.until(lambda _: output(talk).count(b"\n") == 2)
        pids = [int(line) for line in output(talk).split()]
        if by == "terminate":
            await talk.ask("command/exec/terminate", {"processId": "p"})
            assert (await talk.response(request))["exitCode"] == 128 + 9
            again = await talk.refused("command/exec/terminate", {"processId": "p"})
            assert again.message.startswith("no active command/exec for process id ")
        elif by == "connection":
            await talk.close()
            for pid in pids:
                await is_gone(pid)
    for pid in pids:
        await is_gone(pid)


async def test_what_it_left_behind_ends_too(plain: Talk) -> None:
    result = await plain.ask("command/exec", sh("sleep 300 & echo $!"))
    await is_gone(int(result["stdout"]))


async def test_a_write_that_is_not_read_ends_with_the_command(plain: Talk) -> None:
    request = await plain.request("command/exec", sh("echo up; sleep 300", **STREAMED))
    await until_output(plain, "up")
    writes = [
        await plain.request(
            "command/exec/write", {"processId": "p", "deltaBase64": b64("x" * 300_000)}
        )
        for _ in range(2)
    ]
    await plain.ask("command/exec/terminate", {"processId": "p"})
    await plain.response(request)
    for write in writes:
        answer = await plain.until(lambda m, w=write: m.get("id") == w and "method" not in m)
        assert answer["error"]["code"] == -32600


async def test_a_command_that_reads_no_more_refuses_input(plain: Talk) -> None:
    request = await plain.request("command/exec", sh("exec <&-; echo up; sleep 300", **STREAMED))
    await until_output(plain, "up")
    write = {"processId": "p", "deltaBase64": b64("x")}
    refused = await plain.refused("command/exec/write", write)
    assert "takes no input" in refused.message
    await plain.ask("command/exec/terminate", {"processId": "p"})
    await plain.response(request)


async def test_a_terminal_has_a_size_that_can_be_changed(plain: Talk) -> None:
    params = {
        "command": ["sh", "-c", "stty size; read _; stty size; test -t 0 && echo tty"],
        "processId": "p",
        "tty": True,
        "size": {"rows": 10, "cols": 33},
    }
    request = await plain.request("command/exec", params)
    await until_output(plain, "10 33")
    await plain.ask("command/exec/resize", {"processId": "p", "size": {"rows": 50, "cols": 120}})
    await plain.ask("command/exec/write", {"processId": "p", "deltaBase64": b64("\n")})
    assert (await plain.response(request))["exitCode"] == 0
    assert b"50 120" in output(plain)
    assert b"tty" in output(plain)
    assert output(plain, "stderr") == b""


async def test_control_characters_are_signals_in_a_terminal(plain: Talk) -> None:
    params = {"command": ["sh", "-c", "echo up; exec cat"], "processId": "p", "tty": True}
    request = await plain.request("command/exec", params)
    await until_output(plain, "up")
    await plain.ask("command/exec/write", {"processId": "p", "deltaBase64": b64("\x03")})
    assert (await plain.response(request))["exitCode"] == 128 + 2
    missing = {"command": ["no-such-program"], "processId": "p", "tty": True}
    assert (await plain.refused("command/exec", missing)).code == -32603


@pytest.mark.parametrize("streamed", [True, False])
async def test_output_past_the_cap_is_dropped_and_said(plain: Talk, streamed: bool) -> None:
    how: Json = {"processId": "p", "streamStdoutStderr": streamed, "outputBytesCap": 100_000}
    script = "head -c 300000 /dev/zero | tr '\\0' a; head -c 10 /dev/zero | tr '\\0' b >&2"
    result = await plain.ask("command/exec", sh(script, **how))
    assert result["exitCode"] == 0
    if not streamed:
        assert result["stdout"] == "a" * 100_000
        assert result["stderr"] == "b" * 10
        assert (result["stdoutCapReached"], "stderrCapReached" in result) == (True, False)
        return
    assert output(plain) == b"a" * 100_000
    assert output(plain, "stderr") == b"b" * 10
    deltas = plain.notices("command/exec/outputDelta")
    assert [d["stream"] for d in deltas if d["capReached"]] == ["stdout"]
    assert max(len(d["deltaBase64"]) for d in deltas) < 64 * 1024


async def test_without_a_cap_all_is_streamed(plain: Talk) -> None:
    script = "head -c 20000000 /dev/zero | tr '\\0' a; echo END"
    for how in ({"disableOutputCap": True}, {"outputBytesCap": 30_000_000}):
        begin = len(plain.heard)
        named: Json = {"processId": "p", "streamStdoutStderr": True, **how}
        result = await plain.ask("command/exec", sh(script, **named))
        assert (result["exitCode"], "stdoutCapReached" in result) == (0, False)
        deltas = [
            message["params"]
            for message in plain.heard[begin:]
            if message.get("method") == "command/exec/outputDelta"
        ]
        told = b"".join(base64.b64decode(delta["deltaBase64"]) for delta in deltas)
        assert len(told) == 20_000_004
        assert told.endswith(b"aEND\n")
        assert not any(delta["capReached"] for delta in deltas)


async def test_more_than_an_answer_carries_is_an_error_and_not_cut(plain: Talk) -> None:
    most = exec_run.MAX_OUTPUT_BYTES
    for how in ({"disableOutputCap": True}, {"outputBytesCap": most + 1}):
        script = f"head -c {most + 1} /dev/zero | tr '\\0' a"
        refusal = await plain.refused("command/exec", sh(script, **how))
        assert refusal.code == -32603
        assert f"stdout had more than {most} bytes" in refusal.message
        assert "streamStdoutStderr" in refusal.message
        fits = script.replace(str(most + 1), str(most))
        result = await plain.ask("command/exec", sh(fits, **how))
        assert (len(result["stdout"]), "stdoutCapReached" in result) == (most, False)
    capped = await plain.ask("command/exec", sh(script, outputBytesCap=most))
    assert (len(capped["stdout"]), capped["stdoutCapReached"]) == (most, True)
    assert "stderrCapReached" not in capped
    assert most * 2 * 4 / 3 < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        (
            {"tty": True},
            -32600,
            "command/exec tty or streaming requires a client-supplied processId",
        ),
        (
            {"streamStdoutStderr": True},
            -32600,
            "command/exec tty or streaming requires a client-supplied processId",
        ),
        ({"processId": ""}, -32600, "processId must not be empty"),
        ({"size": {"rows": 1, "cols": 1}}, -32602, "command/exec size requires tty: true"),
        (
            {"tty": True, "processId": "p", "size": {"rows": 0, "cols": 1}},
            -32602,
            "command/exec size rows and cols must be greater than 0, at most 65535",
        ),
        (
            {"timeoutMs": 1, "disableTimeout": True},
            -32602,
            "command/exec cannot set both timeoutMs and disableTimeout",
        ),
        (
            {"outputBytesCap": 1, "disableOutputCap": True},
            -32602,
            "command/exec cannot set both outputBytesCap and disableOutputCap",
        ),
        ({"timeoutMs": -1}, -32602, "command/exec timeoutMs must be non-negative, got -1"),
        ({"outputBytesCap": -1}, -32602, "outputBytesCap must not be negative"),
        (
            {"sandboxPolicy": {"type": "readOnly"}},
            -32600,
            "nothing is sandboxed here; leave `sandboxPolicy` out, or say dangerFullAccess",
        ),
    ],
)
async def test_what_contradicts_itself_is_refused(
    plain: Talk, params: Json, code: int, text: str
) -> None:
    refused = await plain.refused("command/exec", sh("true", **params))
    assert (refused.code, refused.message) == (code, text)


async def test_one_id_is_used_once_at_a_time(plain: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    request = await plain.request("command/exec", sh("echo up; cat", **STREAMED))
    await until_output(plain, "up")
    refused = await plain.refused("command/exec", sh("true", processId="p"))
    assert refused.message == 'duplicate active command/exec process id: "p"'
    monkeypatch.setattr(exec_handlers, "MAX_COMMANDS", 1)
    assert "wait for one" in (await plain.refused("command/exec", sh("true"))).message
    await plain.ask("command/exec/write", {"processId": "p", "closeStdin": True})
    await plain.response(request)
    assert (await plain.ask("command/exec", sh("true", processId="p")))["exitCode"] == 0


async def test_what_a_command_was_not_started_for_is_refused(plain: Talk) -> None:
    request = await plain.request("command/exec", sh("sleep 300", processId="p"))
    write = {"processId": "p", "deltaBase64": b64("x")}
    assert "streamStdin" in (await plain.refused("command/exec/write", write)).message
    size = {"processId": "p", "size": {"rows": 1, "cols": 1}}
    assert "no terminal" in (await plain.refused("command/exec/resize", size)).message
    await plain.ask("command/exec/terminate", {"processId": "p"})
    await plain.response(request)
    request = await plain.request("command/exec", sh("cat", **STREAMED))
    for bad, words in (
        ({"deltaBase64": "§"}, "invalid deltaBase64: "),
        ({}, "requires deltaBase64"),
    ):
        refused = await plain.refused("command/exec/write", {"processId": "p", **bad})
        assert (refused.code, words in refused.message) == (-32602, True)
    await plain.ask("command/exec/write", {"processId": "p", "closeStdin": True})
    await plain.response(request)


async def test_a_kernel_may_run_none(lab: Lab, tmp_path: Path) -> None:
    made = tmp_path / "made"
    async with lab.serving() as server, connect(server, rights=kernel_rights("k")) as talk:
        refused = await talk.refused("command/exec", sh(f"touch {made}"))
        assert "may not" in refused.message
    assert not made.exists()


async def test_descriptors_are_given_back(plain: Talk) -> None:
    await plain.ask("command/exec", sh("true"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(5):
        ended = await plain.request("command/exec", sh("cat", **{**STREAMED, "processId": f"{n}"}))
        await plain.ask("command/exec/write", {"processId": f"{n}", "closeStdin": True})
        await plain.response(ended)
        await plain.ask("command/exec", {"command": ["true"], "processId": "t", "tty": True})
        await plain.refused("command/exec", {"command": ["no-such-program"]})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_there_is_no_permission_profile_to_run_under(talk: Talk) -> None:
    refused = await talk.refused("command/exec", sh("true", permissionProfile="x"))
    assert (refused.code, "profiles" in refused.message) == (-32600, True)
