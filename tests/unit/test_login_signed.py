"""What phones sign and encrypt: WeChat's own examples, and everything that is not quite like them.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
"""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st

from tokend.errors import DataRefused, SignatureRefused
from tokend.login.signed import check_watermark, decrypt, verify
from tokend.model import Secret
from tokend.wechat.identity import checksession

RAW_DATA = (
    '{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong",'
    '"country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7'
    'bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}'
)
SIGNED_WITH = Secret("HyVFkGl5F5OQWJZZaNzBBg==")
SIGNATURE = "75e81ceda165f4ffa64f4068af58c64b8f54b88c"

APPID, OPENID = "wx4f4bc4dec97d474b", "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
SESSION_KEY = Secret("tiihtNczf5v6AKRyjwEUhQ==")
IV = b64decode("r7BXXKkLb8qrSNn05n0qiA==")
ENCRYPTED = b64decode(
    "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNP"
    "dbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyx"
    "VLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid"
    "1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEB"
    "vB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVu"
    "nYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew=="
)
MADE_AT = datetime.fromtimestamp(1477314187, UTC)
MINUTES = timedelta(minutes=5)


def test_wechats_example_is_signed_with_its_session_key() -> None:
    verify(RAW_DATA, SIGNATURE, SIGNED_WITH)


@pytest.mark.parametrize(
    ("raw_data", "signature", "session_key"),
    [
        pytest.param(RAW_DATA.replace("Band", "Bond"), SIGNATURE, SIGNED_WITH, id="altered"),
        pytest.param(RAW_DATA, SIGNATURE, SESSION_KEY, id="another session_key"),
        pytest.param(RAW_DATA, SIGNATURE[:-1] + "d", SIGNED_WITH, id="another signature"),
        pytest.param(RAW_DATA, SIGNATURE[:-1], SIGNED_WITH, id="a part of it"),
        pytest.param(RAW_DATA, "", SIGNED_WITH, id="none"),
        pytest.param(RAW_DATA, "é\ud800", SIGNED_WITH, id="no hex, and half of a character"),
        pytest.param("\ud800", SIGNATURE, SIGNED_WITH, id="half of a character"),
    ],
)
def test_nothing_else_is(raw_data: str, signature: str, session_key: Secret) -> None:
    with pytest.raises(SignatureRefused):
        verify(raw_data, signature, session_key)


def test_wechats_example_is_decrypted() -> None:
    content = decrypt(ENCRYPTED, IV, SESSION_KEY)

    assert content["openId"] == OPENID
    assert content["unionId"] == "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"
    assert content["watermark"] == {"timestamp": 1477314187, "appid": APPID}


def refusal(encrypted: bytes, iv: bytes, session_key: str) -> str:
    with pytest.raises(DataRefused) as refused:
        decrypt(encrypted, iv, Secret(session_key))
    return str(refused.value)


def test_whatever_is_wrong_with_it_the_words_are_the_same() -> None:
    """Bad padding, padding that happens to be good, no JSON, no object: who could tell them apart
    could find out the content, byte by byte.
    """
    key = SESSION_KEY.reveal()
    said = {
        refusal(ENCRYPTED, IV, SIGNED_WITH.reveal()),
        refusal(ENCRYPTED[:-16], IV, key),
        refusal(ENCRYPTED[16:], IV, key),
        refusal(ENCRYPTED, bytes(16), key),
        refusal(ENCRYPTED, IV, "not base64!"),
        refusal(ENCRYPTED, IV, "c2hvcnQ="),
        *(
            refusal(ENCRYPTED[:-1] + bytes([last]), IV, key)
            for last in range(256)
            if last != ENCRYPTED[-1]
        ),
    }

    assert len(said) == 1
    assert key not in said.pop()


@given(st.binary(min_size=16, max_size=64).map(lambda some: some[: len(some) // 16 * 16]))
def test_what_nobody_has_encrypted_is_refused(some: bytes) -> None:
    refusal(some, IV, SESSION_KEY.reveal())


def test_what_is_nested_beyond_all_measure_is_refused(encrypted) -> None:
    refusal(encrypted("[" * 100_000), IV, SESSION_KEY.reveal())


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"', "{", ""])
def test_what_is_no_json_object_is_refused(encrypted, text: str) -> None:
    refusal(encrypted(text), IV, SESSION_KEY.reveal())


@pytest.fixture
def encrypted():
    def encrypt(text: str) -> bytes:
        padder = PKCS7(128).padder()
        padded = padder.update(text.encode()) + padder.finalize()
        key = b64decode(SESSION_KEY.reveal())
        encryptor = Cipher(algorithms.AES128(key), modes.CBC(IV)).encryptor()
        return encryptor.update(padded) + encryptor.finalize()

    return encrypt


# The watermark

GOOD = {"openId": OPENID, "watermark": {"appid": APPID, "timestamp": int(MADE_AT.timestamp())}}


def check(content: dict, *, after: float = 0, oldest: timedelta = MINUTES) -> None:
    now = MADE_AT + timedelta(seconds=after)
    check_watermark(content, appid=APPID, openid=OPENID, now=now, oldest=oldest)


@pytest.mark.parametrize("after", [-300, 0, 300])
def test_what_is_of_this_app_and_user_and_time_is_taken(after: float) -> None:
    check(GOOD, after=after)


@pytest.mark.parametrize("after", [-301, 301])
def test_what_is_too_old_or_of_the_future_is_refused(after: float) -> None:
    with pytest.raises(DataRefused, match="300 s"):
        check(GOOD, after=after)


def test_with_no_age_it_may_be_of_any_time() -> None:
    check(GOOD, after=300_000_000, oldest=timedelta(0))


@pytest.mark.parametrize(
    "watermark",
    [
        {"appid": "wxfedcba9876543210", "timestamp": 1477314187},
        {"timestamp": 1477314187},
        {"appid": APPID},
        {"appid": APPID, "timestamp": "1477314187"},
        {"appid": APPID, "timestamp": True},
        {"appid": APPID, "timestamp": 10**400},
        "wx4f4bc4dec97d474b",
        None,
    ],
    ids=json.dumps,
)
def test_what_has_another_watermark_is_refused(watermark: object) -> None:
    with pytest.raises(DataRefused):
        check({"watermark": watermark})


def test_what_is_of_another_user_is_refused() -> None:
    with pytest.raises(DataRefused, match="another user"):
        check(GOOD | {"openId": "oSomebodyElse"})


def test_data_that_names_no_user_is_taken() -> None:
    """Of steps, of groups: only profiles name one."""
    check({"watermark": GOOD["watermark"], "stepInfoList": []})


def test_a_session_is_checked_with_the_session_key_as_it_is_written() -> None:
    request = checksession(Secret("92_token"), OPENID, Secret("o0q0otL8aEzpcZL/FT9WsQ=="))

    assert request.query["signature"] == (
        "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"
    )
