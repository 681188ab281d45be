"""Providers as a user meets them: Chat Completions, keys, certificates, what a server offers."""

import ssl
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import call, failed, incomplete, reason, say, status

pytestmark = pytest.mark.anyio

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


@pytest.fixture
async def chat(lab: Lab) -> AsyncGenerator[Talk]:
    lab.configure(wire_api='"chat"')
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        yield talk


async def test_a_turn_with_tools_over_chat_completions(lab: Lab, chat: Talk) -> None:
    lab.fake.add(
        reason(raw_text="let me see")
        + say("I look.")
        + call("shell_command", {"command": "echo one"}, call_id="a")
        + call("shell_command", {"command": "echo two"}, call_id="b"),
        say("Both ran.", deltas=3).with_usage(100, 10, cached=60, reasoning=4),
    )
    thread_id = await chat.start_thread(lab.workspace, **FREE)
    assert (await chat.turn(thread_id))["status"] == "completed"
    kinds = [item["type"] for item in chat.items()]
    assert kinds == [
        "userMessage",
        "reasoning",
        "agentMessage",
        "commandExecution",
        "commandExecution",
        "agentMessage",
    ]
    first, second = lab.fake.requests
    assert {m["role"] for m in first["messages"]} == {"system", "user"}
    assert "apply_patch" in [tool["function"]["name"] for tool in first["tools"]]
    *_, assistant, one, two = second["messages"]
    assert assistant["content"] == "I look."
    assert [c["id"] for c in assistant["tool_calls"]] == ["a", "b"]
    assert [one["tool_call_id"], two["tool_call_id"]] == ["a", "b"]
    assert "one" in one["content"]
    usage = chat.notices("thread/tokenUsage/updated")[-1]["tokenUsage"]["last"]
    assert (usage["cachedInputTokens"], usage["reasoningOutputTokens"]) == (60, 4)


async def test_failures_over_chat_completions_are_told_as_always(lab: Lab, chat: Talk) -> None:
    lab.fake.add(
        say("half").end_without_completed(),
        incomplete("max_output_tokens"),
        failed("insufficient_quota", "pay"),
        say("cut").cut_after(1),
    )
    thread_id = await chat.start_thread(lab.workspace)
    errors = [(await chat.turn(thread_id))["error"] for _ in range(4)]
    assert "stream closed before" in errors[0]["message"]
    assert "max_output_tokens" in errors[1]["message"]
    assert errors[2]["codexErrorInfo"] == "usageLimitExceeded"
    assert "disconnected" in errors[3]["message"]


async def test_a_tool_that_ran_does_not_run_again_when_a_stream_breaks(lab: Lab) -> None:
    """W-50, and number 22 of the acceptance tests."""
    lab.configure(stream_max_retries=3)
    step = call("shell_command", {"command": "echo ran >> log"}, call_id="a")
    lab.fake.add(
        (step + say("x", deltas=4)).cut_after(6),
        step,
        say("y", deltas=4).cut_after(4),
        say("done"),
    )
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace, **FREE)
        assert (await talk.turn(thread_id))["status"] == "completed"
    assert (lab.workspace / "log").read_text() == "ran\n"
    last = lab.fake.requests[-1]["input"]
    assert [i["type"] for i in last[-2:]] == ["function_call", "function_call_output"]


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_an_unknown_model_is_told_with_what_there_is(lab: Lab, wire: str) -> None:
    lab.configure(wire_api=f'"{wire}"')
    refused = {"error": {"message": "The model `fake-mode` does not exist", "code": "x"}}
    lab.fake.add(status(404, refused), status(400, refused))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace, model="fake-mode")
        for _ in range(2):
            error = (await talk.turn(thread_id))["error"]
            assert "does not offer the model `fake-mode`" in error["additionalDetails"]
            assert "It offers: fake-model." in error["additionalDetails"]


async def test_a_server_with_chat_completions_only_is_found_out(lab: Lab, talk: Talk) -> None:
    lab.fake.add(status(404, "no such page"))
    error = (await talk.turn(await talk.start_thread(lab.workspace)))["error"]
    assert 'set wire_api = "chat"' in error["additionalDetails"]


async def test_a_refused_key_names_its_variable(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", "sk-wrong-key")
    lab.configure(env_key='"FAKE_KEY"')
    lab.fake.add(status(401, "bad key sk-wrong-key"))
    async with lab.serving() as server, connect(server) as talk:
        error = (await talk.turn(await talk.start_thread(lab.workspace)))["error"]
    assert "FAKE_KEY" in error["additionalDetails"]
    assert "sk-wrong-key" not in str(talk.heard)


BACKEND = """
import keyring.backend, keyring.errors, pathlib
class Backend(keyring.backend.KeyringBackend):
    priority = 9
    def get_password(self, service, username):
        return "from-the-keyring" if (service, username) == ("codex-jupyter", "fake") else None
    def set_password(self, service, username, password): raise NotImplementedError
    def delete_password(self, service, username): raise NotImplementedError
"""


async def test_a_key_comes_from_the_keyring(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("keyring", reason="the extra `keyring` is not installed")
    (tmp_path / "our_keyring.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "our_keyring.Backend")
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    import keyring.core

    keyring.core.init_backend()
    lab.configure(env_key='"ABSENT_KEY"')
    lab.fake.add(say("ok"))
    async with lab.serving() as server, connect(server) as talk:
        turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    assert lab.fake.headers[0]["authorization"] == "Bearer from-the-keyring"


async def test_without_key_and_keyring_the_variable_is_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("keyring", reason="the extra `keyring` is not installed")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    import keyring.core

    keyring.core.init_backend()
    lab.configure(env_key='"ABSENT_KEY"')
    async with lab.serving() as server, connect(server) as talk:
        error = (await talk.turn(await talk.start_thread(lab.workspace)))["error"]
    assert "ABSENT_KEY" in error["message"]
    assert lab.fake.requests == []


async def test_models_are_listed_in_pages(lab: Lab, talk: Talk) -> None:
    listed = await talk.ask("model/list", {"limit": 1})
    assert [m["model"] for m in listed["data"]] == ["fake-model"]
    assert listed["data"][0]["isDefault"]
    assert listed["nextCursor"] is None
    for cursor, text in (("x", "invalid cursor: x"), ("99", "cursor 99 exceeds total models 1")):
        assert (await talk.refused("model/list", {"cursor": cursor})).message == text


async def test_models_of_another_provider_are_listed_if_it_is_named(lab: Lab, talk: Talk) -> None:
    listed = await talk.ask("model/list", {"modelProvider": "offline"})
    assert listed["data"]
    assert not any(model["isDefault"] for model in listed["data"])
    named = await talk.ask("model/list", {"modelProvider": "fake"})
    assert named == await talk.ask("model/list", {})
    refused = await talk.refused("model/list", {"modelProvider": "absent"})
    assert refused.message == "Model provider `absent` not found"


async def test_many_who_ask_for_the_models_at_once_are_one_question(lab: Lab, talk: Talk) -> None:
    sent = [talk.make("model/list", {}) for _ in range(200)]
    await talk.send(*sent)
    for message in sent:
        assert len((await talk.response(message["id"]))["data"]) == 1
    assert lab.fake.connections == 1


async def test_limits_and_another_model_are_told(lab: Lab, talk: Talk) -> None:
    headers = {"x-codex-primary-used-percent": "41.6", "x-codex-primary-window-minutes": "300"}
    lab.fake.add(say("ok").with_headers(headers).by_model("other-model"))
    await talk.turn(await talk.start_thread(lab.workspace))
    told = await talk.told("account/rateLimits/updated")
    assert told["rateLimits"]["primary"]["usedPercent"] == 42
    assert told["rateLimits"]["primary"]["windowDurationMins"] == 300
    moved = await talk.told("model/rerouted")
    assert (moved["fromModel"], moved["toModel"]) == ("fake-model", "other-model")


async def test_a_private_authority_is_believed_when_it_is_named(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
         str(key), "-out", str(certificate), "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    host, port = lab.fake.base_url.split("//")[1].split("/")[0].split(":")

    async def forward(stream: Any) -> None:
        async with stream, await anyio.connect_tcp(host, int(port)) as inner:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pump, stream, inner)
                await pump(inner, stream)
                tasks.cancel_scope.cancel()

    async def pump(source: Any, target: Any) -> None:
        try:
            while True:
                await target.send(await source.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    from anyio.streams.tls import TLSListener

    plain = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    address = plain.extra(anyio.abc.SocketAttribute.local_port)
    listener = TLSListener(plain, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, forward)
        lab.fake.base_url = f"https://127.0.0.1:{address}/v1"
        lab.configure()
        lab.fake.add(say("ok"))
        for named, expected in ((False, "failed"), (True, "completed")):
            if named:
                monkeypatch.setenv("CODEX_CA_CERTIFICATE", str(certificate))
            async with lab.serving() as server, connect(server) as talk:
                turn = await talk.turn(await talk.start_thread(lab.workspace))
                assert turn["status"] == expected, turn["error"]
        tasks.cancel_scope.cancel()
