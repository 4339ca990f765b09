"""The door between our errors and a person at a terminal: one line and an exit code, never a traceback."""

import errno
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from typer.core import TyperGroup

from domain.errors import CarillonError

if TYPE_CHECKING:
    from plumbing.settings import Settings

EXIT_WRONG = 2
"""Something must be changed before a new try makes sense."""


class CarillonGroup(TyperGroup):
    """The group of all verbs; what a verb raises on purpose becomes its last line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except CarillonError as error:
            fail(str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                raise
            fail(f"{error.filename or 'a file'}: {error.strerror}")


def say(words: str) -> None:
    """A line of progress, on standard error: standard output belongs to answers."""
    sys.stderr.write(f"carillon: {words}\n")
    sys.stderr.flush()


def fail(words: str, code: int = EXIT_WRONG) -> NoReturn:
    """One line, and out."""
    say(" ".join(words.split()))
    raise SystemExit(code)


def settings() -> "Settings":
    """The settings, read at the door; Misconfigured names each wrong one."""
    from plumbing.settings import load  # lazy: pydantic

    return load()
