"""How a command ends badly: a sentence for people, an exit code for programs.

Law of this room: what a user can mend is a `Failure`, told in one line and never as a traceback. Code 2 is for what was
typed wrongly, and would be wrong again; code 1 for what the world refused, and may grant another time.
"""

from __future__ import annotations

__all__ = ["Failure", "WrongUsage"]


class Failure(Exception):
    """The command cannot do what it was asked to. Its text is the line that the user sees."""

    exit_code = 1


class WrongUsage(Failure):
    """The arguments make no sense: trying again does not help."""

    exit_code = 2
