"""The error family: three kinds, sorted by what the pipeline does about them."""

from __future__ import annotations


class BrainadError(Exception):
    """An expected failure, told in three parts.

    Args:
        what: what happened, with the value found and the value expected.
        where: the case, file or option it happened in.
        fix: what the user can do next.
    """

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where  {self.where}")
        if self.fix:
            lines.append(f"  fix    {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[BrainadError], tuple[str, str, str]]:
        """Keep the three parts when an error crosses a process boundary."""
        return type(self), (self.what, self.where, self.fix)


class UsageError(BrainadError):
    """Command, path, plan, model or dataset index is wrong: nothing starts (exit 2)."""


class DataError(BrainadError):
    """One case cannot be processed: it is reported and the others go on (exit 3)."""


class ResourceError(BrainadError):
    """Disk, memory or device gave out: stop; the same command continues later (exit 4)."""
