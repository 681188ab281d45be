"""What a command printed: bounded capture, safe text, a live view, and the cut for the model."""

import codecs
import math
import re
from collections import deque

__all__ = [
    "KEEP_BYTES",
    "NO_AUDIO",
    "Capture",
    "LiveText",
    "clean",
    "truncate_for_model",
    "truncate_middle",
]

KEEP_BYTES = 1024 * 1024
"""Kept of one command's output, and most that is shown live: 1 MiB, as the original keeps."""

LIVE_PIECE_BYTES = 8 * 1024
LIVE_EAGER_BYTES = 4 * 1024
LIVE_INTERVAL = 1 / 30
"""Seconds. Faster than this a page repaints text nobody can read."""

NO_AUDIO = "audio content omitted because you do not support audio input"
"""What a model reads in the place of audio; the original's words."""

LIVE_NOTE = "\n[output goes on; no more of it is shown live]\n"

_BYTES_PER_TOKEN = 4

_CSI = r"\x1b\[[0-?]{0,64}[ -/]{0,8}"
_STRING = r"\x1b[\]PX^_][^\x07\x1b\n]{0,4096}"
_CONTROL = re.compile(
    rf"(?P<colour>\x1b\[[0-9;:]{{0,64}}m)|{_CSI}[@-~]|{_STRING}(?:\x07|\x1b\\)"
    # A sequence that may still be completed by the next piece.
    rf"|(?P<open>(?:{_CSI}|{_STRING}\x1b?|\x1b[ -/]{{0,8}})\Z)"
    # One that cannot: only its introducer goes, what follows was meant to be read.
    r"|\x1b[ -/]{0,8}[0-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


def clean(text: str) -> tuple[str, str]:
    r"""Remove what could act on a terminal or a page, and return it with an unfinished rest.

    Kept: ``\n``, ``\t``, ``\r`` and colour sequences (``ESC [ … m``). Removed: every other
    control character and escape sequence, whole when it is well formed (titles, clipboard
    writes, cursor moves), else only its introducer.

    The rest, at most about 4 KiB, is a sequence cut off by the end of ``text``: put it before the
    next piece. So where a stream is cut makes no difference; at its end the rest is dropped.
    """
    rest = ""

    def replace(match: re.Match[str]) -> str:
        nonlocal rest
        if match["open"] is not None:
            rest = match["open"]
        return match["colour"] or ""

    return _CONTROL.sub(replace, text), rest


class Capture:
    """Keeps the first and the last half of a stream's bytes; the middle is counted and dropped.

    Holds at most ``limit`` bytes plus one piece, whatever is fed.
    """

    def __init__(self, limit: int = KEEP_BYTES) -> None:
        self._limit = limit
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._total = 0
        self._newlines = 0
        self._ends_line = True

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the stream."""
        if not piece:
            return
        self._total += len(piece)
        self._newlines += piece.count(b"\n")
        self._ends_line = piece.endswith(b"\n")
        room = self._limit // 2 - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail.append(piece)
            self._tail_bytes += len(piece)
        spare = self._tail_bytes - (self._limit - self._limit // 2)
        while spare > 0:
            first = self._tail.popleft()
            if len(first) > spare:
                self._tail.appendleft(first[spare:])
            gone = min(spare, len(first))
            spare -= gone
            self._tail_bytes -= gone

    @property
    def total_lines(self) -> int:
        """Lines of the whole stream, an unfinished last one included."""
        return self._newlines + (not self._ends_line)

    def result(self) -> tuple[str, int]:
        """Return the clean text and the number of bytes left out of it.

        When some were left out, a line in their place says how many. The text is at most
        ``limit`` bytes of UTF-8 plus that line: replacement characters can be longer than the
        bytes they stand for, and the middle is cut again if they are.
        """
        tail = b"".join(self._tail)
        omitted = self._total - len(self._head) - len(tail)
        if omitted:
            # The cut may fall inside a character; its halves are not worth two replacement marks.
            head = _whole_start(bytes(self._head))
            end = _whole_end(tail)
            omitted += len(self._head) - len(head) + len(tail) - len(end)
        else:
            head, end = bytes(self._head) + tail, b""
        first, last = _cleaned(head), _cleaned(end)
        if len(first.encode()) + len(last.encode()) > self._limit:
            joined = (first + last).encode()
            first_bytes = _whole_start(joined[: self._limit // 2])
            last_bytes = _whole_end(joined[len(joined) - self._limit // 2 :])
            omitted += len(joined) - len(first_bytes) - len(last_bytes)
            first, last = first_bytes.decode(), last_bytes.decode()
        return (f"{first}\n[{omitted} bytes omitted]\n{last}" if omitted else first), omitted


class LiveText:
    """Turns the bytes of a stream into few, bounded, clean pieces of text while it runs.

    The first text is due at once, then at most 30 pieces a second or one per 4 KiB. After 1 MiB
    of text one note is sent and nothing more. Times are seconds on any monotonic clock.
    """

    def __init__(self, limit: int = KEEP_BYTES) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._pending = ""
        self._room = limit
        self._closed = False
        self._next_due = 0.0

    def feed(self, piece: bytes, now: float) -> list[str]:
        """Take the next bytes and return the pieces to send now."""
        if self._closed:
            return []
        text, self._rest = clean(self._rest + self._decoder.decode(piece))
        self._pending += text
        if len(self._pending) < LIVE_EAGER_BYTES and now < self._next_due:
            return []
        return self._take(now)

    def wait(self, now: float) -> float | None:
        """Return the seconds until `flush` is due, or ``None`` while nothing waits."""
        return max(0.0, self._next_due - now) if self._pending else None

    def flush(self, now: float) -> list[str]:
        """Return what waits, due or not."""
        return self._take(now) if self._pending else []

    def finish(self) -> list[str]:
        """Return the last pieces; the stream has ended."""
        if not self._closed:
            text, _ = clean(self._rest + self._decoder.decode(b"", final=True))
            self._pending += text
        return self.flush(0.0)

    def _take(self, now: float) -> list[str]:
        text, self._pending = self._pending, ""
        if not text:
            return []
        self._next_due = now + LIVE_INTERVAL
        size = len(text) if text.isascii() else len(text.encode())
        if size > self._room:
            text = _whole_start(text.encode()[: self._room]).decode() + LIVE_NOTE
            self._closed = True
        self._room -= size
        # A character is at most 4 bytes.
        step = LIVE_PIECE_BYTES if text.isascii() else LIVE_PIECE_BYTES // 4
        return [text[start : start + step] for start in range(0, len(text), step)]


def truncate_middle(text: str, max_tokens: int) -> str:
    """Return ``text`` with its middle replaced by ``…N tokens truncated…`` if it is too long.

    A token is taken as 4 bytes of UTF-8. The first and last half of the budget are kept, on
    character boundaries; the mark comes on top.
    """
    budget = max(0, max_tokens) * _BYTES_PER_TOKEN
    if len(text) * 4 <= budget:
        return text
    # Text from JSON may hold lone surrogates, which strict UTF-8 refuses.
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= budget:
        return text
    first = _whole_start(data[: budget // 2])
    last = _whole_end(data[len(data) - budget // 2 :])
    cut = math.ceil((len(data) - len(first) - len(last)) / _BYTES_PER_TOKEN)
    start, end = (part.decode("utf-8", "surrogatepass") for part in (first, last))
    return f"{start}…{cut} tokens truncated…{end}"


def truncate_for_model(text: str, max_tokens: int) -> str:
    """Cut ``text`` to about ``max_tokens``; a cut text starts with its ``Total output lines``."""
    cut = truncate_middle(text, max_tokens)
    if cut == text:
        return text
    return f"Total output lines: {len(text.splitlines())}\n\n{cut}"


def _cleaned(data: bytes) -> str:
    return clean(data.decode("utf-8", "replace"))[0]


def _whole_start(data: bytes) -> bytes:
    """Drop a character cut off at the end of ``data``."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation byte
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4  # noqa: PLR2004
            return data if length <= back else data[:-back]
    return data


def _whole_end(data: bytes) -> bytes:
    """Drop the bytes of a character cut off at the start of ``data``, at most 3."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:  # noqa: PLR2004
        start += 1
    return data[start:]
