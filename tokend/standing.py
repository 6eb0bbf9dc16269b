"""How things are, until they are over: whoever made use of them has one word to look at."""

from __future__ import annotations


class Standing:
    """*is_over* once, and for good."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False

    def end(self) -> None:
        self.is_over = True

    def renewed(self) -> Standing:
        """This one is over; what begins now."""
        self.end()
        return Standing()
