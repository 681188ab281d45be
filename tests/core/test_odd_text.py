"""Text that has no UTF-8 form: half a surrogate pair, Python's stand-in for an undecodable byte."""

import os
from pathlib import Path

import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.history import History
from codex_jupyter.core.turn_parts import EndedTurn
from tests.core.agency import at_work, busy, notices
from tests.core.tree import Tree, words_of

pytestmark = pytest.mark.anyio


async def test_a_thread_works_in_a_folder_whose_name_is_no_text(tree: Tree, tmp_path: Path) -> None:
    tree.workspace = tmp_path / os.fsdecode(b"caf\xe9")
    tree.workspace.mkdir()
    root = await tree.root()
    assert (await tree.turn(root, "#one"))["status"] == "completed"
    await tree.manager.close(root.thread_id)
    again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
    assert again.config.cwd == tree.workspace
    assert (await tree.turn(again, "and more"))["status"] == "completed"
    assert words_of(tree.requests["#one"][-1])[-1] == "and more"


def test_what_cannot_be_encoded_is_estimated_too() -> None:
    text = {"role": "user", "content": [{"type": "input_text", "text": "half \ud83d" * 100}]}
    assert 100 < History([text]).uncounted_tokens < 600


async def test_the_end_of_an_agent_is_told_whatever_its_error_says(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, question = await at_work(tree, turn, root, "#a")
    assert agent.last is not None
    error = {"message": "cannot write /caf\udce9"}
    agent.session.note_end(EndedTurn(agent.last, "failed", None, error))
    tree.fake.resume()
    assert (await tree.end_of(turn.turn_id))["status"] == "completed"
    (notice,) = notices(tree.requests["#root"][-1])
    assert notice["status"]["errored"].startswith("cannot write /caf")
    assert tree.answer(root, question, "decline")
    await tree.until(lambda: tree.ends(agent.thread_id))
