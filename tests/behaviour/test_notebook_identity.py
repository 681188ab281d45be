"""Which notebook a kernel runs: pages say it, the kernel asks, and neither may come too late."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import pytest

from codex_jupyter.server.app import AppServer
from codex_jupyter.server.rights import PAGE, kernel_rights
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk

pytestmark = pytest.mark.anyio

NOBODY: Json = {"notebookId": None, "path": None}


@dataclass
class House:
    """A server with a kernel, and pages that come when the test says so."""

    lab: Lab
    server: AppServer
    kernel: Talk
    stack: AsyncExitStack

    async def page(self) -> Talk:
        return await self.stack.enter_async_context(self.lab.connect(self.server, rights=PAGE))

    async def asks(self, *, expects_page: bool = False) -> Json:
        return await self.kernel.ask("notebook/identity", {"expectsPage": expects_page})


@pytest.fixture
async def house(lab: Lab) -> AsyncGenerator[House]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.serving(watchable=True))
        kernel = await stack.enter_async_context(
            lab.connect(server, rights=kernel_rights("k1"), experimentalApi=True)
        )
        yield House(lab, server, kernel, stack)


async def identify(page: Talk, notebook_id: str, path: str = "a.ipynb", **more: object) -> str:
    asked: Json = {"kernelId": "k1", "notebookId": notebook_id, "path": path, **more}
    return str((await page.ask("notebook/identify", asked))["notebookId"])


async def test_a_kernel_learns_what_a_page_says_of_it(house: House) -> None:
    assert await house.asks() == NOBODY
    assert await identify(await house.page(), "one") == "one"
    assert await house.asks() == {"notebookId": "one", "path": "a.ipynb"}


async def test_a_cell_from_a_page_that_is_not_connected_yet_waits_for_it(house: House) -> None:
    """Run All right after loading must not go on under another name."""
    answers: list[Json] = []

    async def ask() -> None:
        answers.append(await house.asks(expects_page=True))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()  # the question has arrived, and waits
            assert answers == []
            async with house.lab.connect(house.server, rights=PAGE) as page:
                await identify(page, "one")
    assert answers == [{"notebookId": "one", "path": "a.ipynb"}]


async def test_of_two_pages_that_make_an_id_the_first_counts(house: House) -> None:
    first, second = await house.page(), await house.page()
    assert await identify(first, "one", isNew=True) == "one"
    assert await identify(second, "two", isNew=True) == "one"
    assert (await house.asks())["notebookId"] == "one"


async def test_an_id_from_a_file_counts_and_so_does_another_place(house: House) -> None:
    page = await house.page()
    await identify(page, "one", isNew=True)
    assert await identify(page, "kept in the file") == "kept in the file"
    assert await identify(page, "three", "b.ipynb", isNew=True) == "three"
    assert await house.asks() == {"notebookId": "three", "path": "b.ipynb"}


async def test_a_kernel_may_not_say_which_notebook_it_runs(house: House) -> None:
    asked = {"kernelId": "k1", "notebookId": "mine", "path": "a.ipynb"}
    refusal = await house.kernel.refused("notebook/identify", asked)
    assert refusal.message == "only a page may say which notebook a kernel runs"
    assert await house.asks() == NOBODY
