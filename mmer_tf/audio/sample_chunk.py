"""Where WAV and AIFF files keep their samples, and how many bytes of them they promise.

libsndfile reads a file that ends too early as a shorter one, and reads nothing from a WAV whose
writer, on a pipe, could not go back to fill in the sizes. The chunk headers tell both.
"""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BYTE_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">", b"FORM": ">"}
_SAMPLE_CHUNKS = {b"WAVE": b"data", b"AIFF": b"SSND", b"AIFC": b"SSND"}

_PLACEHOLDERS_FROM = 0x7FFF_F000
"""Sizes from here on are what programs write when they do not know the size."""


@dataclass(frozen=True, slots=True)
class SampleChunk:
    """The samples of a chunked file, in bytes from its beginning.

    Args:
        start: of the first sample; the length of the file where no sample chunk is left.
        promised: size that the header gives.
        streamed: the size is a placeholder, written before the samples were known.
        byte_order: of the header, as `struct` writes it.
    """

    start: int
    promised: int
    streamed: bool
    byte_order: str


def find_sample_chunk(file: BinaryIO) -> SampleChunk | None:
    """Walk over the chunks of a WAV or AIFF file from its beginning.

    Returns:
        None where the file is of another format, or complete but without samples.
    """
    header = file.read(12)
    byte_order = _BYTE_ORDERS.get(header[:4])
    wanted = _SAMPLE_CHUNKS.get(header[8:])
    if byte_order is None or wanted is None:
        return None
    is_wave = header[8:] == b"WAVE"
    form_end = 8 + _size(header[4:8], byte_order)
    wide_size = None
    while len(chunk := file.read(8)) == 8 and chunk[:4].isascii():
        name, promised, start = chunk[:4], _size(chunk[4:], byte_order), file.tell()
        if name == wanted:
            if wide_size is not None and promised == 0xFFFF_FFFF:
                return SampleChunk(start, wide_size, False, byte_order)
            unfinished = promised == 0 and (form_end <= start or form_end > _PLACEHOLDERS_FROM)
            streamed = is_wave and (unfinished or promised >= _PLACEHOLDERS_FROM)
            return SampleChunk(start, promised, streamed, byte_order)
        if name == b"ds64" and promised >= 16:  # the 64-bit sizes of RF64
            wide_size = struct.unpack_from("<Q", file.read(16).ljust(16, b"\0"), 8)[0]
        file.seek(start + promised + promised % 2)
    length = file.seek(0, io.SEEK_END)
    if form_end > length:
        return SampleChunk(length, form_end - length, False, byte_order)
    return None


def with_size(file: io.RawIOBase | io.BytesIO, chunk: SampleChunk) -> io.BufferedReader:
    """A streamed WAV, read with the size of what is there in its header.

    Args:
        file: stays open for as long as this is read.
        chunk: its samples.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    header = bytearray(file.read(chunk.start) or b"")
    struct.pack_into(f"{chunk.byte_order}I", header, 4, length - 8)
    struct.pack_into(f"{chunk.byte_order}I", header, chunk.start - 4, length - chunk.start)
    file.seek(0)
    return io.BufferedReader(_WithHeader(file, bytes(header)))


class _WithHeader(io.RawIOBase):
    """A file whose first bytes are others."""

    def __init__(self, file: io.RawIOBase | io.BytesIO, header: bytes):
        self._file, self._header = file, header

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: "WriteableBuffer") -> int:
        position, room = self._file.tell(), memoryview(buffer).cast("B")
        # What is read is never one part header and one part file: whoever reads, asks again.
        part = self._header[position : position + len(room)] or self._file.read(len(room)) or b""
        room[: len(part)] = part
        self._file.seek(position + len(part))
        return len(part)


def _size(field: bytes, byte_order: str) -> int:
    return struct.unpack(f"{byte_order}I", field)[0]
