"""What to do about an errcode of WeChat, in English and in Chinese.

``{app}`` is the account, ``{address}`` where WeChat says the call came from.
"""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    """The same twice."""

    en: str
    zh: str

    def about(self, app: str, address: str) -> Advice:
        return Advice(*(text.format(app=app, address=address) for text in self))

    def said(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


# A file counts once it is read again; systemd reads credentials when it starts a service.
_READ_AGAIN = Advice(
    "then 'tokend reload' (a systemd credential: restart the service)",
    "然后执行 tokend reload（若是 systemd 凭据，则重启服务）",
)
# After many failures the next try is half an hour off.
_AT_ONCE = Advice(
    "then 'tokend refresh KEY', or wait for the next try",
    "然后执行 tokend refresh KEY，或等待下次重试",
)

WRONG = Advice(
    f"put the right AppSecret of {{app}} into its secret file, {_READ_AGAIN.en}; "
    "it may have been reset",
    f"把 {{app}} 正确的 AppSecret 写入其密钥文件（它可能已被重置），{_READ_AGAIN.zh}",
)
APPID = Advice(
    "check the appid of {app}: its spelling, and that it is an account of this kind",
    "检查 {app} 的 appid：拼写是否正确，账号类型是否相符",
)
WHITELIST = Advice(
    f"WeChat sees address {{address}}; add it to the IP whitelist of {{app}}, {_AT_ONCE.en}",
    f"微信看到的地址是 {{address}}；请把它加入 {{app}} 的 IP 白名单，{_AT_ONCE.zh}",
)
ACCOUNT = Advice(
    "the account {app} is frozen, cancelled or may not use this API; see its console",
    "账号 {app} 已被冻结、注销或无权使用此接口；请到其管理后台查看",
)
REQUEST = Advice(
    "WeChat calls the request malformed; this is a fault of tokend, please report it",
    "微信认为请求格式有误；这是 tokend 的缺陷，请报告",
)
HTTPS = Advice("WeChat wants https; check wechat.url", "微信要求使用 https；请检查 wechat.url")
FROZEN = Advice(
    f"the AppSecret of {{app}} is frozen; unfreeze it in WeChat's console, {_AT_ONCE.en}",
    f"{{app}} 的 AppSecret 已被冻结；请到微信管理后台解冻，{_AT_ONCE.zh}",
)
PLATFORM = Advice(
    "{app} is a third-party platform, which gets its token another way",
    "{app} 是第三方平台，须以另一种方式获取 token",
)
CONFIRM = Advice(
    "the administrator of {app} was asked to confirm this call; have it confirmed",
    "已请 {app} 的管理员确认此次调用；请让管理员确认",
)
REFUSED = Advice(
    "the administrator of {app} refused this call; talk to them before it is tried again",
    "{app} 的管理员拒绝了此次调用；再次尝试之前请先与管理员沟通",
)
WAIT = Advice(
    "this passes; what was due is tried again by itself", "此问题会自行消失；到期的刷新会自动重试"
)
QUOTA = Advice(
    "the quota of {app} is used up; find out what else fetches tokens, or clear the quota",
    "{app} 的调用额度已用完；请查明还有什么程序在获取 token，或清零额度",
)
UNKNOWN = Advice("look the errcode up in WeChat's manual", "请在微信文档中查找此 errcode")

# An errmsg that ends so is not WeChat's: a tokend is in its place, as for staging.
SIGNATURE = "(tokend)"
TOKEND = Advice(
    "the tokend in WeChat's place says so; see [clients] and 'tokend status' there",
    "这是代替微信的那个 tokend 所答；请查看那里的 [clients] 和 'tokend status'",
)

CORP_WRONG = Advice(
    f"put the right secret of the agent {{app}} into its secret file, {_READ_AGAIN.en}; "
    "it may have been reset",
    f"把应用 {{app}} 正确的 Secret 写入其密钥文件（它可能已被重置），{_READ_AGAIN.zh}",
)
CORPID = Advice("check the corpid of {app}", "检查 {app} 的 corpid")
AGENT = Advice(
    "the agent {app} is disabled or may not use this API; see WeCom's console",
    "应用 {app} 已停用或无权使用此接口；请到企业微信管理后台查看",
)
TRUSTED = Advice(
    f"add this host's address to the trusted addresses of the agent {{app}}, {_AT_ONCE.en}",
    f"请把本机地址加入应用 {{app}} 的企业可信 IP，{_AT_ONCE.zh}",
)
REJECTED = Advice(
    "the access_token is replaced, and this asked for again with the new one",
    "access_token 会被更换，然后用新的重新请求",
)
CODE = Advice(
    "let the mini-program call wx.login again and send the new code, once",
    "让小程序重新调用 wx.login，并发送新的 code，只发送一次",
)
BUTTON = Advice(
    "let the user press the phone number button again and send the new code, once; "
    "a code of wx.login is another",
    "请用户重新点击手机号按钮，并发送新的 code，只发送一次；wx.login 的 code 不能用在这里",
)
BLOCKED = Advice(
    "WeChat holds this user for a risk; refuse the login",
    "微信判定该用户为高风险用户；请拒绝其登录",
)
OFTEN = Advice(
    "this user logs in too often; keep the session, and log in again only once it is over",
    "该用户登录过于频繁；请保留会话，仅在会话失效后重新登录",
)
AGAIN = Advice(
    "ask again in a moment",
    "请稍后重试",
)
RENEW = Advice(
    "the session_key has ended; let the mini-program log in again",
    "session_key 已失效；请让小程序重新登录",
)
OPENID = Advice(
    "check the openid: it must be a user of {app}",
    "检查 openid：必须是 {app} 的用户",
)
ORDER = Advice(
    "check the order: it must be of this user, and paid within the last five minutes",
    "检查订单：必须属于该用户，且在最近五分钟内支付",
)
BIND = Advice(
    "bind {app} to an account of WeChat's Open Platform; there is no unionid before",
    "请将 {app} 绑定到微信开放平台账号；此前没有 unionid",
)
