"""Why a command failed, in the words and the exit code the user gets."""

from __future__ import annotations

import os

from tokend.cli.words import plain


class Failure(Exception):
    """One error a line; *hint* says what to do; *code* as in sysexits.h. Much of it is what others
    have said, who may be nobody that speaks as tokend does.
    """

    def __init__(self, message: str, *, hint: str = "", code: int = os.EX_SOFTWARE) -> None:
        super().__init__("\n".join(map(plain, message.splitlines())))
        self.hint = plain(hint)
        self.code = code
