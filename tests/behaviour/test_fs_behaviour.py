"""Files over the protocol: real ones, beneath the workspaces and nowhere else."""

import base64
import os
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.errors import CodexError
from codex_jupyter.server import file_watches
from codex_jupyter.server.rights import kernel_rights
from codex_jupyter.tools import workspace_files, workspace_watch
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text

pytestmark = pytest.mark.anyio


@pytest.fixture
async def files(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Talk]:
    """A connection with one loaded thread, in a server that was started elsewhere."""
    elsewhere = lab.workspace.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    async with lab.serving() as server, connect(server) as talk:
        await talk.start_thread(lab.workspace)
        yield talk


async def test_a_thread_whose_folder_cannot_be_is_refused_and_shuts_no_files(
    lab: Lab, files: Talk
) -> None:
    """Files are looked for below the folders of all loaded threads, so one would spoil all."""
    nowhere = f"{lab.workspace}/\0"
    refused = await files.refused("thread/start", {"cwd": nowhere})
    assert (refused.code, "NUL" in refused.message) == (-32600, True)
    thread_id = await files.start_thread(lab.workspace)
    turn = {"threadId": thread_id, "cwd": nowhere, "input": [text("Hi")]}
    assert (await files.refused("turn/start", turn)).message == refused.message
    listed = await files.ask("fs/readDirectory", {"path": str(lab.workspace)})
    assert listed == {"entries": []}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def at(path: Path, **params: Any) -> Json:
    return {"path": str(path), **params}


async def test_what_is_written_is_read(lab: Lab, files: Talk) -> None:
    path = lab.workspace / "data.bin"
    data = bytes(range(256)) * 100
    assert await files.ask("fs/writeFile", at(path, dataBase64=b64(data))) == {}
    assert path.read_bytes() == data
    assert await files.ask("fs/readFile", at(path)) == {"dataBase64": b64(data)}
    path.chmod(0o751)
    await files.ask("fs/writeFile", at(path, dataBase64=""))
    assert path.read_bytes() == b""
    assert path.stat().st_mode & 0o777 == 0o751
    assert [entry.name for entry in lab.workspace.iterdir()] == ["data.bin"]


async def test_folders_are_made_listed_looked_at_and_removed(lab: Lab, files: Talk) -> None:
    inner = lab.workspace / "a/b"
    await files.ask("fs/createDirectory", at(inner))
    await files.ask("fs/createDirectory", at(inner))
    (lab.workspace / "a/file").write_text("x")
    (lab.workspace / "a/link").symlink_to("file")
    listed = await files.ask("fs/readDirectory", at(lab.workspace / "a"))
    assert listed["entries"] == [
        {"fileName": "b", "isDirectory": True, "isFile": False},
        {"fileName": "file", "isDirectory": False, "isFile": True},
        {"fileName": "link", "isDirectory": False, "isFile": True},
    ]
    seen = await files.ask("fs/getMetadata", at(lab.workspace / "a/link"))
    modified = (lab.workspace / "a/file").stat().st_mtime_ns // 1_000_000
    assert seen == {
        "isDirectory": False,
        "isFile": True,
        "isSymlink": True,
        "createdAtMs": 0,
        "modifiedAtMs": modified,
    }
    full = await files.refused("fs/remove", at(lab.workspace / "a", recursive=False))
    assert full.code == -32603
    await files.ask("fs/remove", at(lab.workspace / "a/link"))
    assert (lab.workspace / "a/file").exists()
    await files.ask("fs/remove", at(lab.workspace / "a"))
    assert list(lab.workspace.iterdir()) == []
    await files.ask("fs/remove", at(lab.workspace / "a"))
    gone = await files.refused("fs/remove", at(lab.workspace / "a", force=False))
    assert (gone.code, "No such file" in gone.message) == (-32603, True)


async def test_without_recursive_a_folder_needs_its_parent_and_must_be_new(
    lab: Lab, files: Talk
) -> None:
    deep = at(lab.workspace / "x/y", recursive=False)
    assert "No such file" in (await files.refused("fs/createDirectory", deep)).message
    await files.ask("fs/createDirectory", at(lab.workspace / "x", recursive=False))
    again = await files.refused("fs/createDirectory", at(lab.workspace / "x", recursive=False))
    assert "File exists" in again.message


async def test_a_file_is_copied_over_a_file_and_a_folder_into_a_folder(
    lab: Lab, files: Talk
) -> None:
    source = lab.workspace / "from"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_text("new")
    (source / "deep/file").chmod(0o700)
    (source / "link").symlink_to("/nowhere")
    os.mkfifo(source / "pipe")
    target = lab.workspace / "to"
    (target / "deep").mkdir(parents=True)
    (target / "deep/file").write_text("old")
    (target / "kept").write_text("kept")
    params = {"sourcePath": str(source), "destinationPath": str(target)}
    assert "`recursive`" in (await files.refused("fs/copy", params)).message
    assert await files.ask("fs/copy", {**params, "recursive": True}) == {}
    assert (target / "deep/file").read_text() == "new"
    assert (target / "deep/file").stat().st_mode & 0o777 == 0o700
    assert (target / "kept").read_text() == "kept"
    assert (target / "link").readlink() == Path("/nowhere")
    assert not (target / "pipe").exists()
    for inside in (source, source / "inner"):
        params = {"sourcePath": str(source), "destinationPath": str(inside)}
        refused = await files.refused("fs/copy", {**params, "recursive": True})
        assert "lies in it" in refused.message
    one = {"sourcePath": str(target / "kept"), "destinationPath": str(lab.workspace / "new")}
    await files.ask("fs/copy", one)
    assert (lab.workspace / "new").read_text() == "kept"


OPERATIONS: list[tuple[str, Json]] = [
    ("fs/readFile", {}),
    ("fs/writeFile", {"dataBase64": b64(b"x")}),
    ("fs/createDirectory", {}),
    ("fs/getMetadata", {}),
    ("fs/readDirectory", {}),
    ("fs/remove", {}),
    ("fs/watch", {"watchId": "w"}),
]


@pytest.mark.parametrize(("method", "params"), OPERATIONS)
async def test_what_is_not_beneath_a_workspace_is_refused(
    lab: Lab, files: Talk, outside: Path, method: str, params: Json
) -> None:
    (lab.workspace / "out").symlink_to(outside)
    (lab.workspace / "round").symlink_to("round")
    before = sorted(outside.rglob("*"))
    for path in (
        outside / "secret",
        lab.workspace / "out/secret",
        lab.workspace / "../outside/secret",
        lab.workspace / "out/../outside/secret",
    ):
        refused = await files.refused(method, at(path, **params))
        assert refused.code == -32600, path
        assert "not beneath" in refused.message
    for path in ("relative", "", "~/x", f"{lab.workspace}/a\0b"):
        refused = await files.refused(method, {"path": path, **params})
        assert refused.code == -32600
    assert (await files.refused(method, at(lab.workspace / "round/x", **params))).code < 0
    assert sorted(outside.rglob("*")) == before
    assert (outside / "secret").read_text() == "secret"


async def test_a_link_at_the_end_that_leads_out_is_seen_and_removed_as_a_link(
    lab: Lab, files: Talk, outside: Path
) -> None:
    link = lab.workspace / "out"
    link.symlink_to(outside)
    seen = await files.ask("fs/getMetadata", at(link))
    assert (seen["isSymlink"], seen["isDirectory"], seen["isFile"]) == (True, False, False)
    (entry,) = (await files.ask("fs/readDirectory", at(lab.workspace)))["entries"]
    assert entry == {"fileName": "out", "isDirectory": False, "isFile": False}
    for params in (
        {"sourcePath": f"{link}/secret", "destinationPath": f"{lab.workspace}/copy"},
        {"sourcePath": f"{lab.workspace}", "destinationPath": f"{link}/copy"},
    ):
        assert "not beneath" in (await files.refused("fs/copy", params)).message
    await files.ask("fs/remove", at(link))
    assert not link.is_symlink()
    assert (outside / "secret").exists()


async def test_a_link_within_the_workspace_leads_where_it_leads(lab: Lab, files: Talk) -> None:
    (lab.workspace / "real").mkdir()
    (lab.workspace / "real/file").write_text("old")
    (lab.workspace / "link").symlink_to("real")
    path = lab.workspace / "link/file"
    await files.ask("fs/writeFile", at(path, dataBase64=b64(b"new")))
    assert (lab.workspace / "real/file").read_text() == "new"
    assert (await files.ask("fs/readFile", at(path)))["dataBase64"] == b64(b"new")


def test_a_link_that_is_swapped_in_after_the_check_leads_nowhere(
    tmp_path: Path, outside: Path
) -> None:
    roots = [tmp_path / "workspace"]
    folder = roots[0] / "folder"
    folder.mkdir(parents=True)
    (folder / "secret").write_text("ours")
    place = workspace_files.locate(roots, f"{folder}/secret")
    folder.rename(roots[0] / "moved")
    folder.symlink_to(outside)
    for work in (
        lambda: workspace_files.read_file(place),
        lambda: workspace_files.write_file(place, b"x"),
        lambda: workspace_files.remove_path(place, roots, recursive=True, force=True),
    ):
        with pytest.raises(CodexError, match="try again"):
            work()
    assert (outside / "secret").read_text() == "secret"


async def test_a_workspace_itself_and_what_holds_it_stay(
    lab: Lab, files: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = lab.workspace / "holds/nested"
    nested.mkdir(parents=True)
    await files.start_thread(nested)
    for path in (lab.workspace, nested, nested.parent):
        refused = await files.refused("fs/remove", at(path))
        assert "workspace" in refused.message
    assert nested.exists()
    entries = (await files.ask("fs/readDirectory", at(lab.workspace)))["entries"]
    assert [entry["fileName"] for entry in entries] == ["holds"]


async def test_bounds_are_kept_and_said(
    lab: Lab, files: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_files, "MAX_READ_BYTES", 10)
    monkeypatch.setattr(workspace_files, "MAX_ENTRIES", 2)
    monkeypatch.setattr(workspace_files, "MAX_COPY_BYTES", 25)
    for name in ("a", "b", "c"):
        (lab.workspace / name).write_text("x" * 11)
    assert "larger" in (await files.refused("fs/readFile", at(lab.workspace / "a"))).message
    assert "more than 2" in (await files.refused("fs/readDirectory", at(lab.workspace))).message
    (lab.workspace / "folder").mkdir()
    for name in ("a", "b", "c"):
        (lab.workspace / "folder" / name).write_text("x" * 11)
    params = {
        "sourcePath": f"{lab.workspace}/folder",
        "destinationPath": f"{lab.workspace}/copy",
        "recursive": True,
    }
    assert "stays" in (await files.refused("fs/copy", params)).message
    assert len(list((lab.workspace / "copy").iterdir())) == 2
    os.mkfifo(lab.workspace / "pipe")
    for method, more in (("fs/readFile", {}), ("fs/writeFile", {"dataBase64": ""})):
        refused = await files.refused(method, at(lab.workspace / "pipe", **more))
        assert "regular file" in refused.message
    assert (
        "base64"
        in (await files.refused("fs/writeFile", at(lab.workspace / "a", dataBase64="§"))).message
    )


def test_a_copy_that_nobody_wants_any_more_stops(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/file").write_text("x")
    stop = threading.Event()
    stop.set()
    source, target = (workspace_files.locate([tmp_path], f"{tmp_path}/{n}") for n in ("from", "to"))
    with pytest.raises(CodexError, match="given up"):
        workspace_files.copy_path(source, target, recursive=True, stop=stop)
    assert list((tmp_path / "to").iterdir()) == []


async def test_a_kernel_reads_and_changes_nothing(lab: Lab) -> None:
    (lab.workspace / "file").write_text("x")
    async with lab.serving() as server, connect(server, rights=kernel_rights("k")) as talk:
        await talk.start_thread(lab.workspace)
        await talk.ask("fs/readFile", at(lab.workspace / "file"))
        for method, params in (
            ("fs/writeFile", at(lab.workspace / "file", dataBase64="")),
            ("fs/createDirectory", at(lab.workspace / "new")),
            ("fs/remove", at(lab.workspace / "file")),
            (
                "fs/copy",
                {"sourcePath": f"{lab.workspace}/file", "destinationPath": f"{lab.workspace}/b"},
            ),
        ):
            assert "may not" in (await talk.refused(method, params)).message
    assert [entry.name for entry in lab.workspace.iterdir()] == ["file"]
    assert (lab.workspace / "file").read_text() == "x"


async def test_changes_of_a_file_and_of_a_folder_are_told(lab: Lab, files: Talk) -> None:
    file = lab.workspace / "file"
    assert await files.ask("fs/watch", at(file, watchId="f")) == {"path": str(file)}
    await files.ask("fs/watch", at(lab.workspace, watchId="d"))
    file.write_text("one")
    for watch in ("f", "d"):
        told = await files.told("fs/changed", watchId=watch)
        assert told["changedPaths"] == [str(file)]
    place = len(files.heard)
    other = lab.workspace / "other"
    other.write_text("two")
    await files.told("fs/changed", after=place, watchId="d", changedPaths=[str(other)])
    place = len(files.heard)
    file.unlink()
    for watch in ("f", "d"):
        told = await files.told("fs/changed", after=place, watchId=watch)
        assert told["changedPaths"] == [str(file)]


async def test_what_is_unwatched_or_of_another_connection_is_not_told(lab: Lab) -> None:
    async with (
        lab.serving() as server,
        connect(server) as one,
        connect(server) as two,
    ):
        await one.start_thread(lab.workspace)
        await one.ask("fs/watch", at(lab.workspace, watchId="w"))
        await two.ask("fs/watch", at(lab.workspace, watchId="w"))
        await one.ask("fs/unwatch", {"watchId": "w"})
        await one.ask("fs/unwatch", {"watchId": "unknown"})
        (lab.workspace / "file").write_text("x")
        await two.told("fs/changed")
        await one.ask("fs/watch", at(lab.workspace, watchId="again"))
        (lab.workspace / "file").write_text("longer")
        await one.told("fs/changed", watchId="again")
        assert {told["watchId"] for told in one.notices("fs/changed")} == {"again"}
        await two.close()
        await one.told("fs/changed")


async def test_watches_are_bounded_and_end_with_their_connection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watches, "MAX_WATCHES", 2)
    async with lab.serving() as server:
        async with connect(server) as talk:
            await talk.start_thread(lab.workspace)
            for watch in ("a", "b"):
                await talk.ask("fs/watch", at(lab.workspace, watchId=watch))
            refused = await talk.refused("fs/watch", at(lab.workspace, watchId="a"))
            assert refused.message == "watchId already exists: a"
            refused = await talk.refused("fs/watch", at(lab.workspace, watchId="c"))
            assert "2 paths" in refused.message
            assert (await talk.refused("fs/watch", at(lab.workspace, watchId=""))).code == -32600
        async with connect(server) as other:
            await other.ask("thread/loaded/list", {})
            engine = await server.engine()
            assert engine._file_watches._watches == {}


def test_a_large_folder_is_looked_at_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_watch, "MAX_WATCHED", 3)
    for n in range(5):
        (tmp_path / f"{n}").touch()
    assert len(workspace_watch.look_at(tmp_path)) == 3
    assert workspace_watch.look_at(tmp_path / "absent") == {}
