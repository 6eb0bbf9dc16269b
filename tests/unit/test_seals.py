"""What is written of a value where others may read and write, and what is made of it again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend.errors import RecordUnreadable
from tokend.model import Secret
from tokend.store.seal_key import parse_keys
from tokend.store.seals import TOLERANCE, UNSEALED, Opened, Seals, Written, digest_of

RECORD, OTHER = "wx0123456789abcdef/access_token", "wxfedcba9876543210/access_token"
ENDS = datetime(2026, 11, 20, 10, tzinfo=UTC)
VALUE = Secret("92_canary-of-a-token")
OLD, NEW = "0" * 64, "1" * 64


def keys(*lines: str) -> Seals:
    return parse_keys([Secret(line) for line in lines])


def written(seals: Seals, *, value: Secret = VALUE, fence: int = 17) -> Written:
    return Written(
        record=RECORD,
        text=seals.close(value, record=RECORD, fence=fence, ends=ENDS),
        generation=fence,
        fence=fence,
        digest=digest_of(value),
    )


def refused(seals: Seals, found: Written) -> str:
    with pytest.raises(RecordUnreadable) as caught:
        seals.open(found)
    assert "canary" not in str(caught.value)
    return str(caught.value)


SEALS = keys(NEW)


@pytest.mark.parametrize("length", [1, 136, 512, 4096])
def test_a_sealed_value_comes_back_with_its_end(length: int) -> None:
    value = Secret("x" * length)

    assert SEALS.open(written(SEALS, value=value)) == Opened(value=value, latest=ENDS + TOLERANCE)


def test_what_is_written_shows_nothing_of_the_value() -> None:
    assert "canary" not in repr(written(SEALS))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_no_byte_of_it_can_be_altered(length: int) -> None:
    """Nor can bits that base64 has no use for; how many there are depends on the length."""
    sound = written(SEALS, value=Secret("x" * length))
    for place in range(len(sound.text)):
        for bit in range(8):
            char = chr(ord(sound.text[place]) ^ 1 << bit)
            text = sound.text[:place] + char + sound.text[place + 1 :]
            refused(SEALS, replace(sound, text=text))


def test_nothing_of_it_can_be_missing_or_added() -> None:
    sound = written(SEALS)
    for length in range(len(sound.text)):
        refused(SEALS, replace(sound, text=sound.text[:length]))
    for more in ("A", "=", "\n", ":", "A" * 10_000):
        refused(SEALS, replace(sound, text=sound.text + more))


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"record": OTHER}, id="another record"),
        pytest.param({"fence": 18}, id="a later save"),
        pytest.param({"generation": 18}, id="a newer generation than its save"),
        pytest.param({"digest": digest_of(Secret("another"))}, id="another digest"),
        pytest.param({"digest": ""}, id="no digest"),
    ],
)
def test_it_is_good_in_its_own_place_alone(elsewhere: dict[str, object]) -> None:
    refused(SEALS, replace(written(SEALS), **elsewhere))


def test_an_end_put_off_does_not_open() -> None:
    sound = written(SEALS)
    second = str(int(ENDS.timestamp()))
    later = sound.text.replace(second, str(int(second) + 1))

    assert "altered" in refused(SEALS, replace(sound, text=later))


def test_the_first_key_seals_and_all_open() -> None:
    before, both, after = keys(OLD), keys(NEW, OLD), keys(NEW)

    old, new = written(before), written(both)

    assert both.open(old).value == both.open(new).value == after.open(new).value == VALUE
    assert f"sealed with key {before.ids[0]}, which store.seal_key_file does not hold" in refused(
        after, old
    )


def test_a_store_without_a_key_tells_which_one_it_lacks() -> None:
    why = refused(UNSEALED, written(SEALS))

    assert f"sealed with key {SEALS.ids[0]}, which store.seal_key_file is not set" in why


def test_a_plain_value_is_refused_where_values_are_sealed() -> None:
    assert "it is not sealed" in refused(SEALS, written(UNSEALED))


def test_the_line_plain_stands_for_no_key_on_the_way_to_one_and_back() -> None:
    there, back = keys(NEW, "plain"), keys("plain", NEW)

    assert there.open(written(UNSEALED)).value == VALUE
    assert written(there).text != VALUE.reveal()
    assert back.open(written(there)).value == VALUE
    assert written(back).text == VALUE.reveal()


def test_a_digest_is_the_same_under_every_key() -> None:
    assert {written(seals).digest for seals in (UNSEALED, keys(OLD), keys(NEW))} == {
        digest_of(VALUE)
    }


texts = st.one_of(
    st.text(max_size=200),
    st.from_regex(r"sealed:[0-9]:[0-9a-f]{0,9}:[0-9]{0,12}:[A-Za-z0-9_=-]*", fullmatch=True),
    st.from_regex(rf"sealed:1:{SEALS.ids[0]}:[0-9]{{1,11}}:[A-Za-z0-9_-]+", fullmatch=True),
)
numbers = st.integers(0, 9 * 10**15)


@given(record=st.text(), text=texts, generation=numbers, fence=numbers, digest=st.text())
def test_whatever_is_found_only_an_unreadable_record_comes_out(
    record: str, text: str, generation: int, fence: int, digest: str
) -> None:
    found = Written(record=record, text=text, generation=generation, fence=fence, digest=digest)
    with pytest.raises(RecordUnreadable):
        SEALS.open(found)


def test_no_nonce_comes_twice() -> None:
    """With the same one under the same key two values could be read from each other."""
    sealed = {
        SEALS.close(VALUE, record=RECORD, fence=1, ends=ENDS).rpartition(":")[2][:16]
        for _ in range(100_000)
    }

    assert len(sealed) == 100_000


@pytest.mark.parametrize(
    "line",
    [
        "0123456789abcdef" * 4,
        "0123456789ABCDEF" * 4,
        "ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8",
        "ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8=",
    ],
)
def test_a_key_is_hex_or_base64(line: str) -> None:
    assert keys(line).ids == keys("0123456789abcdef" * 4).ids


def test_both_alphabets_of_base64_are_one_key() -> None:
    assert keys("/+" * 21 + "8").ids == keys("_-" * 21 + "8").ids


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([NEW, "canary"], "line 2: must be a key as 'tokend seal-key' makes it"),
        (["canary" * 11], "line 1: must be a key"),
        ([""], "line 1: must be a key"),
        ([NEW, OLD, NEW], "line 3: stands there twice"),
        ([NEW, "plain", "plain"], "line 3: stands there twice"),
    ],
)
def test_a_line_that_is_no_key_is_named_and_not_shown(lines: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        keys(*lines)

    assert "canary" not in str(caught.value)


def test_keys_are_not_shown() -> None:
    assert NEW not in repr(SEALS)
    assert SEALS.ids[0] in repr(SEALS)


def test_who_does_not_seal_does_not_import_what_does() -> None:
    loaded = "'tokend.store.seal_key' in sys.modules"
    look = f"import sys, tokend.daemon, tokend.cli.serve; print({loaded})"

    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
