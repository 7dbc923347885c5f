"""The decoder's child process: limits on itself, then one request after the other.

A request is a line of JSON on standard input. A reply is four bytes of length (big-endian), that
much JSON, and raw bytes whose number the JSON states. Nothing else leaves: no pickle, no
exception text, no log line, no core dump.
"""

from __future__ import annotations

import ctypes
import json
import logging
import math
import os
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import config

from pipeline.clinical_document import read_clinical_document
from pipeline.dicom_file import FileLimits, read_document, read_header, read_pixels
from pipeline.document import Document
from pipeline.errors import DecodeError, DecodeReason
from pipeline.pdf_document import pdf_text

__all__ = ["serve"]

_LEAST_ROOM = 64 << 20
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def serve(options: str) -> None:
    """Answer requests until standard input ends.

    Parameters
    ----------
    options
        JSON: ``file`` (fields of `FileLimits`), ``memory_bytes``, ``seconds``.
    """
    settings = json.loads(options)
    limits = FileLimits(**settings["file"])
    replies = _keep_quiet()
    _confine(settings["memory_bytes"])
    bytearray(_LEAST_ROOM)  # a limit that leaves no room to work must fail here, not at a file
    _send(replies, {"ready": True}, b"")
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        _allow_processor_time(settings["seconds"])
        reply, body = _answer(_ACTIONS[request["do"]], Path(request["path"]), limits)
        _send(replies, reply, body)
        if reply.get("retired"):
            return


def _keep_quiet() -> BinaryIO:
    """Take the reply pipe away from everything that prints; return it."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    config.settings.reading_validation_mode = config.IGNORE
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return replies


def _confine(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # a core pattern that pipes to a program ignores RLIMIT_CORE; this does not
    system = ctypes.CDLL(None)
    system.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _allow_processor_time(seconds: float) -> None:
    """Grant one call its time: a child whose parent died in the middle ends by itself."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


_Body = bytes | memoryview
_Action = Callable[[Path, FileLimits], tuple[dict[str, Any], _Body]]


def _answer(action: _Action, path: Path, limits: FileLimits) -> tuple[dict[str, Any], _Body]:
    try:
        return action(path, limits)
    except DecodeError as error:
        return {"reason": error.reason.value}, b""
    except RecursionError:
        return {"reason": DecodeReason.TOO_DEEP.value, "retired": True}, b""
    except MemoryError:
        return {"reason": DecodeReason.LIMITS.value, "retired": True, "worn": True}, b""
    except Exception:  # noqa: BLE001 - one job ends here, and its words must not get out
        return {"reason": DecodeReason.MALFORMED.value, "retired": True}, b""


def _header(path: Path, limits: FileLimits) -> tuple[dict[str, Any], _Body]:
    return {}, read_header(path, limits)


def _pixels(path: Path, limits: FileLimits) -> tuple[dict[str, Any], _Body]:
    array, photometric = read_pixels(path, limits)
    described = {"dtype": array.dtype.str, "shape": array.shape, "photometric": photometric}
    return described, np.ascontiguousarray(array).data.cast("B")


def _document(path: Path, limits: FileLimits) -> tuple[dict[str, Any], _Body]:
    content, most = read_document(path, limits), limits.max_document_characters
    # by what it is: class and MIME type are the sender's word
    if content.lstrip().startswith(b"%PDF"):
        document = Document(pdf_text(content, most))
    else:
        document = read_clinical_document(content, most)
    said = {"addendum": document.addendum, "authenticated": document.authenticated}
    return said, document.text.encode("utf-8", "replace")


_ACTIONS: dict[str, _Action] = {"header": _header, "pixels": _pixels, "document": _document}


def _send(replies: BinaryIO, reply: dict[str, Any], body: _Body) -> None:
    head = json.dumps({**reply, "bytes": len(body)}).encode()
    replies.write(len(head).to_bytes(4, "big") + head)
    replies.write(body)
    replies.flush()
