"""The names that the mirror gives to all keys: none is taken twice, nor one of tokend's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.store.mirror import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tokend.config.settings import StoreSettings
    from tokend.model import TokenKey

_OURS = "tokend:"


def wrong_names(store: StoreSettings, keys: Callable[[], Iterable[TokenKey]]) -> Iterator[str]:
    """A mistake for each pattern that gives a key a name which is taken."""
    names = _Names()
    for setting, patterns in (("mirror", store.mirror), ("mirror_json", store.mirror_json)):
        for n, each in enumerate(patterns):
            place = f"store.{setting}[{n}]"
            wrong = [names.take(name_of(each, key), place, key) for key in keys()]
            yield from [f"{place}: {each}: {mistake}" for mistake in wrong if mistake][:1]


class _Names:
    """Who has each name: the place of the pattern, and the app."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, str]] = {}

    def take(self, name: str, place: str, key: TokenKey) -> str:
        """What is wrong with that; empty if it is fine."""
        if name.startswith(_OURS):
            return f"names that begin with '{_OURS}' are tokend's own; choose another"
        other_place, other_app = self._taken.setdefault(name, (place, key.app))
        if other_place != place:
            return (
                f"apps.{key.app} would have a name that {other_place} gives to apps.{other_app}; "
                "change one of the two"
            )
        if other_app != key.app:
            return (
                f"apps.{other_app} and apps.{key.app} would have the same name; "
                "put {appid} or {app} into it"
            )
        return ""
