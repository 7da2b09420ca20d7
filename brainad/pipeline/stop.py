"""A request to stop: heard at once, and heard again between cases if something swallowed it."""

from __future__ import annotations

from brainad.errors import ResourceError


class StopRequest:
    """Whether this process was asked to stop.

    The request is raised as an error wherever the process happens to be. A library that calls
    back may swallow that error, so the request stays until the work heeds it.
    """

    def __init__(self) -> None:
        self._made = False

    def make(self) -> None:
        """Remember the request and raise it; a further one must not interrupt the clean-up.

        Raises:
            ResourceError: this is the first request.
        """
        if not self._made:
            self._made = True
            self.heed()

    def heed(self) -> None:
        """Stop here if that was asked for.

        Raises:
            ResourceError: it was.
        """
        if self._made:
            raise ResourceError(
                "asked to stop (SIGTERM)", fix="the same command continues where this one stopped"
            )

    def forget(self) -> None:
        """Start anew: a command begins."""
        self._made = False


STOP = StopRequest()
