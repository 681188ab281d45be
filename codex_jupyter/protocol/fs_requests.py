"""What a client may ask of files beneath the workspaces."""

from typing import ClassVar

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "FS_REQUESTS",
    "FsCopyParams",
    "FsCreateDirectoryParams",
    "FsGetMetadataParams",
    "FsReadDirectoryParams",
    "FsReadFileParams",
    "FsRemoveParams",
    "FsUnwatchParams",
    "FsWatchParams",
    "FsWriteFileParams",
]


class _OfPath(WireModel):
    path: str
    """Absolute, and beneath the folder of a loaded thread or the server's own; links may not lead
    out."""


class FsReadFileParams(_OfPath):
    """Read a file of at most 8 MiB."""

    METHOD: ClassVar[str] = "fs/readFile"


class FsReadFileResult(WireModel):
    """The result of fs/readFile."""

    data_base64: str


class FsWriteFileParams(_OfPath):
    """Write a file, whole: its readers see the old one or the new one.

    Refused, as is all that changes files, on connections that may not answer.
    """

    METHOD: ClassVar[str] = "fs/writeFile"
    data_base64: str


class FsWriteFileResult(WireModel):
    """The result of fs/writeFile."""


class FsCreateDirectoryParams(_OfPath):
    """Create a folder."""

    METHOD: ClassVar[str] = "fs/createDirectory"
    recursive: bool | None = None
    """Create those above it too, and be content if it exists; default: true."""


class FsCreateDirectoryResult(WireModel):
    """The result of fs/createDirectory."""


class FsGetMetadataParams(_OfPath):
    """Look at a path."""

    METHOD: ClassVar[str] = "fs/getMetadata"


class FsGetMetadataResult(WireModel):
    """The result of fs/getMetadata; of a link, what it leads to beneath a workspace."""

    is_directory: bool
    is_file: bool
    is_symlink: bool
    created_at_ms: int
    """0 where it is not known."""

    modified_at_ms: int


class FsReadDirectoryParams(_OfPath):
    """List a folder of at most 10000 entries."""

    METHOD: ClassVar[str] = "fs/readDirectory"


class FsDirectoryEntry(WireModel):
    """One entry; a link counts as what it leads to beneath a workspace."""

    file_name: str
    is_directory: bool
    is_file: bool


class FsReadDirectoryResult(WireModel):
    """The result of fs/readDirectory, by name."""

    entries: list[FsDirectoryEntry]


class FsRemoveParams(_OfPath):
    """Remove a file, a link or a folder, but no workspace."""

    METHOD: ClassVar[str] = "fs/remove"
    recursive: bool | None = None
    """Whether a folder may hold something; default: true."""

    force: bool | None = None
    """Whether it is fine if there is nothing; default: true."""


class FsRemoveResult(WireModel):
    """The result of fs/remove."""


class FsCopyParams(WireModel):
    """Copy a file, or a folder with at most 50000 entries, in place of what is there.

    If it fails half-way, or its connection ends, what was copied stays.
    """

    METHOD: ClassVar[str] = "fs/copy"
    source_path: str
    destination_path: str
    recursive: bool = False
    """Whether the source may be a folder."""


class FsCopyResult(WireModel):
    """The result of fs/copy."""


class FsWatchParams(_OfPath):
    """Hear of changes to a file, or to the direct entries of a folder, as `fs/changed`.

    It ends with the connection, which may have 64 of them.
    """

    METHOD: ClassVar[str] = "fs/watch"
    watch_id: str
    """A name of the client's."""


class FsWatchResult(WireModel):
    """The result of fs/watch: the path without links."""

    path: str


class FsUnwatchParams(WireModel):
    """Hear of it no more. An unknown name is fine."""

    METHOD: ClassVar[str] = "fs/unwatch"
    watch_id: str


class FsUnwatchResult(WireModel):
    """The result of fs/unwatch."""


FS_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "fs/readFile": (FsReadFileParams, FsReadFileResult),
    "fs/writeFile": (FsWriteFileParams, FsWriteFileResult),
    "fs/createDirectory": (FsCreateDirectoryParams, FsCreateDirectoryResult),
    "fs/getMetadata": (FsGetMetadataParams, FsGetMetadataResult),
    "fs/readDirectory": (FsReadDirectoryParams, FsReadDirectoryResult),
    "fs/remove": (FsRemoveParams, FsRemoveResult),
    "fs/copy": (FsCopyParams, FsCopyResult),
    "fs/watch": (FsWatchParams, FsWatchResult),
    "fs/unwatch": (FsUnwatchParams, FsUnwatchResult),
}
