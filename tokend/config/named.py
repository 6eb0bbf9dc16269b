"""What can be set of each account, client and webhook: tables that have names."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokend.config.settings import Section
from tokend.config.values import (
    NOT_EMPTY,
    WITH_ACCESS_TOKEN,
    ApiPath,
    Appid,
    Can,
    CertificateName,
    Corpid,
    FileName,
    KeySha256,
    Told,
)
from tokend.notify.formats import FORMATS
from tokend.notify.receiver import Topic

# WeChat gives a new stable_token only in the last 300 s of the old one.
# https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
_STABLE_WINDOW = 300


class _Account(Section):
    """What accounts of all kinds have."""

    secret_file: str = ""
    secret_credential: str = ""
    ahead_seconds: Annotated[int, Field(ge=60, le=900)] = 300

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if bool(self.secret_file) == bool(self.secret_credential):
            raise ValueError("needs either secret_file or secret_credential")
        return self


class AppSettings(_Account):
    """An official account or a mini-program."""

    type: Literal["official"] = "official"
    appid: Appid
    method: Literal["stable_token", "token"] = "stable_token"
    kinds: Annotated[
        tuple[Literal["access_token", "jsapi_ticket", "wx_card_ticket"], ...],
        Field(strict=False),
        WITH_ACCESS_TOKEN,
    ] = ("access_token",)

    @model_validator(mode="after")
    def _check_window(self) -> AppSettings:
        if self.method == "stable_token" and self.ahead_seconds > _STABLE_WINDOW:
            raise ValueError(
                f"ahead_seconds: at most {_STABLE_WINDOW} with stable_token, which gives a new "
                f"token only in the last {_STABLE_WINDOW} s of the old one"
            )
        return self


class WecomAppSettings(_Account):
    """An agent of a corp at WeCom."""

    type: Literal["wecom"]
    corpid: Corpid
    agentid: Annotated[int, Field(ge=1, le=2**31)]
    kinds: Annotated[
        tuple[Literal["access_token", "jsapi_ticket", "agent_config_ticket"], ...],
        Field(strict=False),
        WITH_ACCESS_TOKEN,
    ] = ("access_token",)

    @property
    def appid(self) -> str:
        return f"{self.corpid}/{self.agentid}"

    @property
    def method(self) -> str:
        return "gettoken"


class ClientSettings(Section):
    """One program that may ask."""

    key_sha256: KeySha256 = ""
    certificate: CertificateName = ""
    apps: Annotated[tuple[str, ...], Field(strict=False), NOT_EMPTY]
    can: Annotated[tuple[Can, ...], Field(strict=False), NOT_EMPTY]
    tokens: Literal["given", "never"] = "given"
    paths: Annotated[tuple[ApiPath, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check_identity(self) -> ClientSettings:
        if not (self.key_sha256 or self.certificate):
            raise ValueError("needs key_sha256 ('tokend key' makes one), certificate, or both")
        return self


class NotifySettings(Section):
    """A webhook by which operators are told."""

    url_file: FileName = ""
    url_credential: FileName = ""
    format: Literal["json", "wecom", "dingtalk", "feishu", "slack"]
    secret_file: FileName = ""
    secret_credential: FileName = ""
    apps: Annotated[tuple[str, ...], Field(strict=False), NOT_EMPTY] = ("*",)
    on: Annotated[tuple[Told, ...], Field(strict=False), NOT_EMPTY] = tuple(Topic)
    language: Literal["en", "zh"] = "en"

    @model_validator(mode="after")
    def _check_files(self) -> NotifySettings:
        if bool(self.url_file) == bool(self.url_credential):
            raise ValueError("needs either url_file or url_credential")
        if self.secret_file and self.secret_credential:
            raise ValueError("needs secret_file or secret_credential, not both")
        if (self.secret_file or self.secret_credential) and not FORMATS[self.format].sign:
            raise ValueError(
                "secret_file and secret_credential are for robots that want signatures: dingtalk "
                "and feishu"
            )
        return self


# Every such table.
NAMED: dict[str, tuple[type[Section], ...]] = {
    "apps": (AppSettings, WecomAppSettings),
    "clients": (ClientSettings,),
    "notify": (NotifySettings,),
}
