"""Pixels and headers out of files that nobody vouches for, read in a child process."""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from pipeline.dicom_file import FileLimits
from pipeline.document import Document
from pipeline.errors import DecodeError, DecodeReason, DecoderUnavailableError
from pipeline.vetting import PARSE_ERRORS

__all__ = ["DecodedPixels", "Decoder", "DecoderLimits", "FileLimits"]


@dataclass(frozen=True)
class DecoderLimits:
    """What reading one file may cost.

    Parameters
    ----------
    file
        Sizes that are checked before anything is read.
    memory_bytes
        Address space of the child process.
    seconds
        Time for one call; the child is killed when it has passed.
    calls_per_child
        After so many calls a fresh child takes over, so that nothing leaks for ever.
    """

    file: FileLimits = field(default_factory=FileLimits)
    memory_bytes: int = 4 << 30
    seconds: float = 30.0
    calls_per_child: int = 2000


@dataclass(frozen=True, eq=False)
class DecodedPixels:
    """One frame as it was stored.

    Parameters
    ----------
    array
        uint8, uint16, int8 or int16, (rows, columns) or (rows, columns, 3); before modality and
        VOI LUT; bits above BitsStored are gone.
    photometric
        Photometric Interpretation that holds for `array`.
    """

    array: NDArray[np.integer[Any]]
    photometric: str


class Decoder:
    """Reads DICOM files in one long-lived child process under limits.

    The child is started by the first call and anew after a crash, a passed deadline or exhausted
    memory. It is started by exec, so the calling process may have threads, and ends with its
    parent. Calls from several threads take turns.

    Parameters
    ----------
    limits
        What one file may cost.

    Examples
    --------
    >>> with Decoder(DecoderLimits()) as decoder:           # doctest: +SKIP
    ...     header = decoder.header(path)
    ...     pixels = decoder.pixels(path)
    """

    def __init__(self, limits: DecoderLimits | None = None) -> None:
        self._limits = limits or DecoderLimits()
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def header(self, path: Path) -> Dataset:
        """Return everything of a file but its pixels, vetted.

        Returns
        -------
        Dataset
            Text in Unicode, values that PS3.5 allows; without pixel data, private elements,
            overlays and icons. See `pipeline.vetting`.

        Raises
        ------
        DecodeError
            With a reason and no value of the file.
        DecoderUnavailableError
            Where the child cannot be started; no fault of the file.
        """
        _, body = self._call("header", path)
        try:
            return read_dataset(BytesIO(body), is_implicit_VR=False, is_little_endian=True)
        except (*PARSE_ERRORS, RecursionError):
            raise DecodeError(DecodeReason.CRASHED) from None

    def pixels(self, path: Path) -> DecodedPixels:
        """Return the only frame of a file as it was stored.

        Raises
        ------
        DecodeError
            With a reason and no value of the file; ``multi_frame`` where there are several.
        DecoderUnavailableError
            Where the child cannot be started; no fault of the file.
        """
        reply, body = self._call("pixels", path)
        return _checked_pixels(reply, body)

    def document(self, path: Path) -> Document:
        """Return what the PDF or CDA document says that a file encapsulates.

        Raises
        ------
        DecodeError
            ``document`` where it encapsulates none that can be read.
        DecoderUnavailableError
            Where the child cannot be started; no fault of the file.
        """
        reply, body = self._call("document", path)
        return Document(
            text=body.decode("utf-8", "replace"),
            addendum=reply.get("addendum") is True,
            authenticated=reply.get("authenticated") is True,
        )

    def close(self) -> None:
        """End the child process."""
        with self._lock:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, do: str, path: Path) -> tuple[dict[str, Any], bytearray]:
        with self._lock:
            fresh = self._child is None
            reply, body = self._ask(do, path)
            if reply.get("worn") and not fresh:
                # an earlier file may have damaged the child: this one gets a clean one
                reply, body = self._ask(do, path)
        if "reason" in reply:
            raise DecodeError(_known_reason(reply["reason"]))
        return reply, body

    def _ask(self, do: str, path: Path) -> tuple[dict[str, Any], bytearray]:
        if self._child is not None and self._child.calls >= self._limits.calls_per_child:
            self._stop()
        if self._child is None:
            try:
                self._child = _Child(self._limits)
            except (_ChildDiedError, _DeadlineError, OSError):
                raise DecoderUnavailableError from None
        try:
            reply, body = self._child.ask(do, path)
        except _DeadlineError:
            reply, body = {"reason": DecodeReason.TIMEOUT, "retired": True}, bytearray()
        except _ChildDiedError:
            reply = {"reason": DecodeReason.CRASHED, "retired": True, "worn": True}
            body = bytearray()
        if reply.get("retired"):
            self._stop()
        return reply, body

    def _stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None


class _ChildDiedError(Exception):
    """The child ended, or spoke out of turn."""


class _DeadlineError(Exception):
    """The child did not answer in time."""


_STARTUP_SECONDS = 60.0
_MAX_HEAD_BYTES = 4096
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
# nothing of the parent's environment (keys, passwords) belongs into this process
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from pipeline.sandbox import serve; serve(sys.argv[2])"
)


class _Child:
    """The child process and the two pipes to it."""

    def __init__(self, limits: DecoderLimits) -> None:
        self.calls = 0
        self._seconds = limits.seconds
        most = limits.file.max_pixels * 6 + limits.file.max_header_bytes
        self._most_bytes = most
        options = {
            "file": asdict(limits.file),
            "memory_bytes": limits.memory_bytes,
            "seconds": limits.seconds,
        }
        folder = str(Path(__file__).resolve().parent.parent)
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, folder, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt at the terminal is the parent's to handle
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        self._replies = cast(IO[bytes], self._process.stdout)
        with suppress(OSError):
            fcntl.fcntl(self._replies.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._receive(time.monotonic() + _STARTUP_SECONDS)
        except BaseException:
            self.stop()
            raise

    def ask(self, do: str, path: Path) -> tuple[dict[str, Any], bytearray]:
        """Send one request and wait for its reply until the deadline."""
        self.calls += 1
        request = json.dumps({"do": do, "path": os.fspath(path)})
        try:
            self._requests.write(request.encode() + b"\n")
        except OSError:
            raise _ChildDiedError from None
        return self._receive(time.monotonic() + self._seconds)

    def stop(self) -> None:
        """End the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._replies):
            with suppress(OSError):
                pipe.close()

    def _receive(self, deadline: float) -> tuple[dict[str, Any], bytearray]:
        length = int.from_bytes(self._read(4, deadline), "big")
        if length > _MAX_HEAD_BYTES:
            raise _ChildDiedError
        try:
            reply = json.loads(self._read(length, deadline))
            size = reply["bytes"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise _ChildDiedError from None
        if not isinstance(size, int) or not 0 <= size <= self._most_bytes:
            raise _ChildDiedError
        return reply, self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytearray:
        buffer = bytearray(size)
        view, got = memoryview(buffer), 0
        descriptor = self._replies.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while got < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise _DeadlineError
            count = os.readv(descriptor, [view[got:]])
            if count == 0:
                raise _ChildDiedError
            got += count
        return buffer


def _known_reason(name: object) -> DecodeReason:
    try:
        return DecodeReason(str(name))
    except ValueError:
        return DecodeReason.CRASHED


_DTYPES = frozenset({"|u1", "<u2", "|i1", "<i2"})


def _checked_pixels(reply: dict[str, Any], body: bytearray) -> DecodedPixels:
    """Take the child's word for nothing: type, shape and length must fit together."""
    dtype, shape = reply.get("dtype"), reply.get("shape")
    photometric = str(reply.get("photometric"))[:16]
    if dtype not in _DTYPES or not isinstance(shape, list) or len(shape) not in (2, 3):
        raise DecodeError(DecodeReason.CRASHED)
    if not all(isinstance(side, int) and 0 < side <= 65535 for side in shape):
        raise DecodeError(DecodeReason.CRASHED)
    if math.prod(shape) * np.dtype(dtype).itemsize != len(body):
        raise DecodeError(DecodeReason.CRASHED)
    array = np.frombuffer(body, np.dtype(dtype)).reshape(shape)
    return DecodedPixels(array=array, photometric=photometric)
