"""Why a command failed, in the words and the exit code the user gets."""

from __future__ import annotations

import os


class Failure(Exception):
    """One error a line; *hint* says what to do; *code* as in sysexits.h."""

    def __init__(self, message: str, *, hint: str = "", code: int = os.EX_SOFTWARE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
