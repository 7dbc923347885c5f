"""Where the own thread of an association of ours passes, unless it is held up."""

from __future__ import annotations

import threading

__all__ = ["Turnstile"]

_LOOK_SECONDS = 0.05


class Turnstile:
    """Stands in for the event at which pynetdicom's loop for a requestor can be held up.

    Who sends holds that thread up, for it must not take the answer. With an event and a flag beside
    it the thread is taken to stand while it has been woken and has not said so yet: it then goes
    round once more, and takes the answer to what is sent meanwhile. Here it stands, and goes on
    standing, when `clear` returns.

    Parameters
    ----------
    thread
        The association's own; where it ends, nobody is waited for.
    """

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._condition = threading.Condition()
        self._is_open = True
        self._is_waited_at = False

    def is_set(self) -> bool:
        """Tell whether the thread may pass."""
        return self._is_open

    def set(self) -> None:
        """Let the thread pass."""
        with self._condition:
            self._is_open = True
            self._condition.notify_all()

    def clear(self) -> None:
        """Hold the thread up, and return when it stands; its own call holds up its next round."""
        with self._condition:
            self._is_open = False
            if threading.current_thread() is self._thread:
                return
            while not self._is_waited_at and self._thread.is_alive():
                self._condition.wait(_LOOK_SECONDS)

    def wait(self) -> bool:
        """Pass, or stand here as long as that is not allowed."""
        with self._condition:
            self._is_waited_at = True
            self._condition.notify_all()
            while not self._is_open:
                self._condition.wait()
            self._is_waited_at = False
        return True
