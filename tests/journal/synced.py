"""What of a SQLite file is certainly on the disk: its bytes at the moment of the last sync.

SQLite reaches the disk through a table of functions, of which the one that syncs is exchanged here:
it says that it was called, and then does its work.  What was written after it is what a power cut
may take.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POINTER = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, _POINTER, ctypes.c_char_p, _POINTER, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, ctypes.c_int)


class _Vfs(ctypes.Structure):
    """The beginning of `sqlite3_vfs`."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("size", ctypes.c_int),
        ("longest", ctypes.c_int),
        ("next", _POINTER),
        ("name", ctypes.c_char_p),
        ("data", _POINTER),
        ("open", _POINTER),
    ]


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, in its third version."""

    _fields_ = [
        ("version", ctypes.c_int),
        *((name, _POINTER) for name in ("close", "read", "write", "truncate", "sync")),
        *((f"more_{number}", _POINTER) for number in range(13)),
    ]


class _File(ctypes.Structure):
    """The beginning of `sqlite3_file`."""

    _fields_ = [("methods", ctypes.POINTER(_Methods))]


@contextmanager
def disk() -> Iterator[dict[Path, bytes]]:
    """What every SQLite file that is opened in the block has on the disk, as it goes on.

    Nothing, where Python's SQLite cannot be reached.
    """
    name = ctypes.util.find_library("sqlite3")
    if name is None:
        yield {}
        return
    library = ctypes.CDLL(name)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    plain, there = vfs.open, dict[Path, bytes]()
    tables: list[_Methods] = []
    names: dict[int, Path] = {}
    opens = _OPEN(plain)

    def opened(
        own: int, name: bytes | None, at: int, flags: int, given: ctypes._Pointer[ctypes.c_int]
    ) -> int:
        code: int = opens(own, name, at, flags, given)
        file = ctypes.cast(at, ctypes.POINTER(_File)).contents
        if code == 0 and name is not None:
            table = _Methods.from_buffer_copy(file.methods.contents)
            syncs = _SYNC(table.sync)

            def sync(at: int, flags: int) -> int:
                code: int = syncs(at, flags)
                path = names[at]
                there[path] = path.read_bytes()
                return code

            kept.append(called := _SYNC(sync))
            table.sync = ctypes.cast(called, _POINTER)
            tables.append(table)
            names[at] = Path(name.decode())
            file.methods = ctypes.pointer(table)
        return code

    kept: list[object] = []
    exchanged = _OPEN(opened)
    vfs.open = ctypes.cast(exchanged, _POINTER)
    try:
        yield there
    finally:
        vfs.open = plain
        _KEPT.extend((exchanged, kept, tables))


_KEPT: list[object] = []
"""Files that are open yet call what was put into their tables."""
