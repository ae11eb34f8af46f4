"""Reading a response's body as it arrives, with a limit on what it holds once decompressed."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

ACCEPTED_ENCODINGS: Final = "gzip"
"""What requests say in `Accept-Encoding`: the one compression that is read here."""

_GZIP: Final = 16 + zlib.MAX_WBITS
"""The argument by which zlib expects a gzip header."""

_PIECE: Final = 2**18
"""Bytes that are decompressed at a time: a bomb is noticed this far beyond the limit at most."""


class BodyTooLarge(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A body has more bytes than allowed, once decompressed."""


class BodyUnreadable(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A body cannot be decompressed; the text says why."""


class ResponseBody:
    """The body of one response, decompressed piece by piece.

    httpx would decompress each chunk whole before anybody could look at its size: 13 kB that were
    compressed twice take gigabytes.

    Args:
        response: The response, whose body has not been read yet.
        limit: The bytes that the body may have once decompressed.

    Raises:
        BodyUnreadable: It has an encoding that was not asked for.
    """

    def __init__(self, response: httpx.Response, limit: int) -> None:
        self._limit = limit
        # Its value is handed out without a copy, unlike a bytearray's.
        self._content = BytesIO()
        self._size = 0
        self._decompressor = None
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding == "gzip":
            self._decompressor = zlib.decompressobj(_GZIP)
        elif encoding not in ("", "identity"):
            raise BodyUnreadable(
                f"Content-Encoding must be {ACCEPTED_ENCODINGS} or absent, not {encoding[:40]!r}"
            )

    def add(self, chunk: bytes) -> None:
        """Take in what was received next.

        Raises:
            BodyTooLarge: The body exceeds the limit.
            BodyUnreadable: It is not valid gzip.
        """
        if self._decompressor is None:
            self._append(chunk)
            return
        try:
            while chunk:
                if self._decompressor.eof:
                    # gzip allows several members in a row, each with a header of its own.
                    self._decompressor = zlib.decompressobj(_GZIP)
                self._append(self._decompressor.decompress(chunk, _PIECE))
                chunk = self._decompressor.unconsumed_tail
                # Behind a member, zeros are padding.
                chunk = chunk or self._decompressor.unused_data.lstrip(b"\0")
        except zlib.error:
            raise BodyUnreadable("invalid gzip") from None

    def _append(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise BodyTooLarge
        self._content.write(piece)

    def content(self) -> bytes:
        """Return the whole body.

        Raises:
            BodyUnreadable: The compressed body is incomplete.
        """
        if self._decompressor is not None and not self._decompressor.eof and self._size:
            raise BodyUnreadable("incomplete gzip")
        return self._content.getvalue()
