"""What a scrape says, read by prometheus-client's own parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric


class Scraped:
    """Each sample by its name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))
        self._samples = [sample for family in self.families for sample in family.samples]

    @property
    def declared(self) -> dict[str, str]:
        """Metrics, those without a sample too, and of which type they are."""
        return dict(re.findall(r"^# TYPE (\S+) (\S+)$", self.text, re.MULTILINE))

    @property
    def names(self) -> set[str]:
        """What there may be samples of."""
        return {
            name + suffix
            for name, kind in self.declared.items()
            for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
        }

    def labels(self, name: str) -> Iterable[str]:
        """All values that labels of samples of this name, or of all that begin with it, have."""
        return {
            value
            for sample in self._samples
            if sample.name.startswith(name)
            for value in sample.labels.values()
        }

    def all(self, name: str, **labels: str) -> list[float]:
        """The numbers of those that have at least these labels."""
        return [
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def one(self, name: str, **labels: str) -> float | None:
        """The number of the only one of these; None if there is none."""
        found = self.all(name, **labels)
        assert len(found) <= 1, (name, labels, found)
        return found[0] if found else None
