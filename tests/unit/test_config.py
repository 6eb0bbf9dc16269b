"""The configuration: every mistake at once, each with its place, and no secret in any of them."""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.tls import make_certificates

from tokend.config import load
from tokend.config.named import NAMED
from tokend.config.settings import SECTIONS
from tokend.config.values import Address
from tokend.errors import ConfigError
from tokend.model import Permission, Secret
from tokend.reload import Reload
from tokend.store.login import Login
from tokend.store.mirror import Mirror
from tokend.store.redis_url import RedisUrl

SHIPPED = Path(__file__).parents[2] / "config"
APP_SECRET = "0123456789abcdef0123456789abcdef"
APP = '[apps.shop]\nappid = "wx0123456789abcdef"\nsecret_file = "shop.secret"\n'
BLOG = APP.replace("shop]", "blog]").replace("wx0123456789abcdef", "wxfedcba9876543210")
MIRROR = '[store]\nurl = "redis://h"\n'
DIGEST = "ab" * 32
CLIENT = f'[clients.order]\nkey_sha256 = "{DIGEST}"\napps = ["shop"]\ncan = ["read"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secret = tmp_path / "shop.secret"
    secret.write_text(APP_SECRET + "\n")
    secret.chmod(0o600)
    return tmp_path


def read(folder: Path, content: str, environ: dict[str, str] | None = None):
    path = folder / "tokend.toml"
    path.write_text(content)
    return load(path, environ=environ or {})


def mistakes(folder: Path, content: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, content, environ)
    return list(caught.value.mistakes)


def test_the_smallest_file_gets_defaults_for_production(folder: Path) -> None:
    config = read(folder, APP)

    assert config.server.listen == (Address("127.0.0.1", 8390),)
    assert config.store.url == "sqlite:///var/lib/tokend/tokend.db"
    assert config.wechat.url == "https://api.weixin.qq.com"
    assert config.apps["shop"].upkeep.method == "stable_token"
    assert config.apps["shop"].keys[0].pace.ahead == timedelta(seconds=300)
    assert config.apps["shop"].app.secret == Secret(APP_SECRET)
    assert config.clients == {}
    assert config.warnings == ()


def test_a_client_is_what_it_may_do(folder: Path) -> None:
    config = read(folder, APP + CLIENT.replace('["read"]', '["read", "refresh"]'))

    client = config.clients["order"]
    assert client.may(Permission.REFRESH, "shop")
    assert not client.may(Permission.FORCE, "shop")
    assert not client.may(Permission.READ, "blog")


def test_a_star_means_every_app(folder: Path) -> None:
    config = read(folder, APP + CLIENT.replace('["shop"]', '["*"]'))

    assert config.clients["order"].may(Permission.READ, "whatever comes")


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        pytest.param(
            APP + "[server]\nlisen = []\n",
            "server.lisen: no such setting, did you mean 'listen'?",
            id="unknown setting with a guess",
        ),
        pytest.param(
            APP + "[sever]\n",
            "sever: no such setting, did you mean 'server'?",
            id="unknown section",
        ),
        pytest.param(APP + "zzz = 1\n", "apps.shop.zzz: no such setting", id="no guess"),
        pytest.param(
            APP + 'secret = "canary"\n',
            "apps.shop.secret: a secret does not belong in this file; put it in a file of mode "
            "0600 and name that with secret_file",
            id="a secret in the file",
        ),
        pytest.param("", "apps: at least one is required, as in [apps.shop]", id="no apps"),
        pytest.param(
            "apps = 3", "apps: must hold tables, as in [apps.shop]", id="apps is no table"
        ),
        pytest.param(
            APP + '[apps."Große Namen"]\n',
            "apps: 'Gro\\xdfe Namen': a name is small letters, digits, '-' and '_', at most 64",
            id="name",
        ),
        pytest.param(
            '[apps.shop]\nsecret_file = "shop.secret"\n',
            "apps.shop.appid: is required",
            id="no appid",
        ),
        pytest.param(
            APP.replace("wx01", "WX01"),
            "apps.shop.appid: WX0123456789abcdef: must be 'wx' and 16 small letters or digits",
            id="appid",
        ),
        pytest.param(
            '[apps.shop]\nappid = "wx0123456789abcdef"\n',
            "apps.shop: needs either secret_file or secret_credential",
            id="no secret",
        ),
        pytest.param(
            APP + 'secret_credential = "shop"\n',
            "apps.shop: needs either secret_file or secret_credential",
            id="two secrets",
        ),
        pytest.param(
            APP.replace("shop.secret", "/nowhere"),
            "apps.shop.secret_file: /nowhere: No such file or directory",
            id="secret file missing",
        ),
        pytest.param(
            APP.replace("shop.secret", "/dev/zero"),
            "apps.shop.secret_file: /dev/zero: not a regular file",
            id="secret file is a device",
        ),
        pytest.param(
            APP.replace("secret_file", "secret_credential"),
            "apps.shop.secret_credential: CREDENTIALS_DIRECTORY is not set; this needs systemd "
            "and LoadCredential=",
            id="credential without systemd",
        ),
        pytest.param(
            APP + '[apps.blog]\nappid = "wx0123456789abcdef"\nsecret_file = "shop.secret"\n',
            "apps.blog.appid: is that of apps.shop too",
            id="one account twice",
        ),
        pytest.param(
            APP + "ahead_seconds = 301\n",
            "apps.shop: ahead_seconds: at most 300 with stable_token, which gives a new token "
            "only in the last 300 s of the old one",
            id="ahead of the window",
        ),
        pytest.param(
            APP + "ahead_seconds = 59\n", "apps.shop.ahead_seconds: must be at least 60", id="late"
        ),
        pytest.param(
            APP + 'ahead_seconds = "300"\n',
            "apps.shop.ahead_seconds: must be a whole number",
            id="a number as a string",
        ),
        pytest.param(
            APP + 'method = "stable"\n',
            "apps.shop.method: must be 'stable_token' or 'token'",
            id="method",
        ),
        pytest.param(
            APP + '[server]\nlisten = ["127.0.0.1"]\n',
            "server.listen[0]: 127.0.0.1: must end with a port, as in '127.0.0.1:8390'",
            id="no port",
        ),
        pytest.param(
            APP + '[server]\nlisten = ["::1:8390"]\n',
            "server.listen[0]: ::1:8390: an IPv6 address stands in brackets, as in '[::1]:8390'",
            id="IPv6 without brackets",
        ),
        pytest.param(
            APP + '[server]\nproxies = ["10.0.0.7", "10.0.0.1/24"]\n',
            "server.proxies[1]: '10.0.0.1/24': must be an address or a network, as '10.0.0.7' or "
            "'10.0.0.0/24'",
            id="a proxy's network with a host in it",
        ),
        pytest.param(
            APP + "[server]\nconnections = 0\n",
            "server.connections: must be at least 4",
            id="no connections",
        ),
        pytest.param(
            APP + '[server]\nlisten = ["example.com:80"]\n',
            "server.listen[0]: example.com:80: must begin with an IP address or localhost",
            id="a name",
        ),
        pytest.param(
            APP + '[server]\nlisten = ["0.0.0.0:8390"]\ninsecure_http = true\n',
            "server.listen: 0.0.0.0:8390 is not loopback, and without [clients] whoever reaches "
            "it could read every token; add a client with 'tokend key CLIENT', or listen on "
            "127.0.0.1",
            id="open to everyone",
        ),
        pytest.param(
            APP + '[server]\nlisten = []\nsocket = ""\n',
            "server: needs an address to listen on, or a socket",
            id="unreachable",
        ),
        pytest.param(
            APP + f'[server]\nsocket = "/{"x" * 107}"\n',
            f"server.socket: /{'x' * 107}: longer than 107 bytes, which no socket may be",
            id="long socket path",
        ),
        pytest.param(
            APP + '[server]\nsocket = "/run/tokend\\u0000.sock"\n',
            "server.socket: '/run/tokend\\x00.sock': must be an absolute path",
            id="a socket path that no system takes",
        ),
        pytest.param(
            APP + '[server]\nsocket_mode = "0999"\n',
            "server.socket_mode: 0999: must be octal digits, as in '0660'",
            id="mode",
        ),
        pytest.param(
            APP + '[server]\nsocket_group = "no-such-group"\n',
            "server.socket_group: no-such-group: no such group on this host",
            id="group",
        ),
        pytest.param(
            APP + '[store]\nurl = "redis://:canary@host:6379/0"\n',
            "store.url: must hold no user name or password; passwords have files of their own",
            id="password in the URL",
        ),
        pytest.param(
            APP + '[store]\nurl = "sqlite:tokend.db"\nusername = ""\n',
            "store.url: needs an absolute path, as in 'sqlite:///var/lib/tokend/…'",
            id="relative sqlite",
        ),
        pytest.param(
            APP + '[store]\npassword_file = "x"\n',
            "store: username and password_file are for Redis, which url is not",
            id="password for sqlite",
        ),
        pytest.param(
            APP + '[store]\nurl = "redis+cluster://h"\nsentinel_password_file = "x"\n',
            "store: sentinel_password_file is for redis+sentinel://, which url is not",
            id="sentinel password for a cluster",
        ),
        pytest.param(
            APP + '[store]\nurl = "redis://h"\nca_file = "x"\n',
            "store: ca_file, cert_file and key_file are for TLS, as in rediss://, which url is not",
            id="certificates without TLS",
        ),
        pytest.param(
            APP + '[store]\nurl = "rediss://h"\nkey_file = "x"\n',
            "store: key_file needs cert_file",
            id="key without certificate",
        ),
        pytest.param(
            APP + '[store]\nmirror = ["wx:{appid}"]\n',
            "store: mirror and mirror_json are for Redis, which url is not",
            id="mirror without Redis",
        ),
        pytest.param(
            APP + '[store]\nurl = "redis+cluster://h"\nmirror_json = ["wx:{appid}"]\n',
            "store: mirror and mirror_json are not for a cluster: a name of others is in another "
            "slot than the record, and cannot be written in one step with it; use redis:// or "
            "redis+sentinel://",
            id="mirror in a cluster",
        ),
        pytest.param(
            APP + MIRROR + 'mirror = "wx:{appid}"\n',
            "store.mirror: must be a list",
            id="mirror is no list",
        ),
        pytest.param(
            APP + MIRROR + 'mirror = ["a:{appid}", "wx:{apid}"]\n',
            "store.mirror[1]: wx:{apid}: braces are for {appid}, {app}, {kind} and nothing else",
            id="unknown placeholder",
        ),
        pytest.param(
            APP + MIRROR + 'mirror = ["wx:{{appid}}"]\n',
            "store.mirror[0]: wx:{{appid}}: braces are for {appid}, {app}, {kind} and nothing else",
            id="braces around a placeholder",
        ),
        pytest.param(
            APP + MIRROR + 'mirror_json = ["wx:\\n{appid}"]\n',
            "store.mirror_json[0]: 'wx:\\n{appid}': must hold no control characters",
            id="control character in a name",
        ),
        pytest.param(
            APP + MIRROR + 'mirror = [""]\n', "store.mirror[0]: must not be empty", id="no name"
        ),
        pytest.param(
            APP + BLOG + MIRROR + 'mirror = ["tokend:{appid}"]\n',
            "store.mirror[0]: tokend:{appid}: names that begin with 'tokend:' are "
            "tokend's own; choose another",
            id="a name of ours",
        ),
        pytest.param(
            APP.replace("shop]", "tokend]") + MIRROR + 'mirror = ["{app}:{kind}"]\n',
            "store.mirror[0]: {app}:{kind}: names that begin with 'tokend:' are "
            "tokend's own; choose another",
            id="a name of ours by an app",
        ),
        pytest.param(
            APP + BLOG + MIRROR + 'mirror = ["wx:{kind}"]\n',
            "store.mirror[0]: wx:{kind}: apps.shop and apps.blog would have the same name; put "
            "{appid} or {app} into it",
            id="a name for two apps",
        ),
        pytest.param(
            APP + MIRROR + 'mirror = ["wx:{app}"]\nmirror_json = ["wx:{app}"]\n',
            "store.mirror_json[0]: wx:{app}: apps.shop would have a name that store.mirror[0] "
            "gives to apps.shop; change one of the two",
            id="a name in two ways",
        ),
        pytest.param(
            APP + BLOG + MIRROR + 'mirror = ["wx:{app}", "wx:blog"]\n',
            "store.mirror[1]: wx:blog: apps.shop would have a name that store.mirror[0] gives to "
            "apps.blog; change one of the two",
            id="a name of another app",
        ),
        pytest.param(
            APP + '[wechat]\nurl = "http://api.weixin.qq.com"\n',
            "wechat.url: http://api.weixin.qq.com: must be https; the AppSecret goes there",
            id="WeChat without TLS",
        ),
        pytest.param(
            APP + '[wechat]\nfallback_urls = ["https://api2.weixin.qq.com/cgi-bin"]\n',
            "wechat.fallback_urls[0]: https://api2.weixin.qq.com/cgi-bin: must be scheme and host "
            "alone",
            id="WeChat with a path",
        ),
        pytest.param(
            APP + '[wechat]\nfallback_urls = ["https://api.weixin.qq.co"]\n',
            "wechat: https://api.weixin.qq.co: is not a host of WeChat's, and is given "
            "AppSecrets; mend it, or set gateway = true if api.weixin.qq.co is your own way there",
            id="another host than WeChat's",
        ),
        pytest.param(
            APP + "ahead_seconds = 70\n",
            "apps.shop.ahead_seconds (70) must be at least 71 for access_token: the 30 s of "
            "jitter, and refresh.lease_seconds + wechat.timeout_seconds + 3 (41) for another node "
            "to take over",
            id="too late for another node to take over",
        ),
        pytest.param(
            APP + "[refresh]\nlease_seconds = 18\n",
            "refresh.lease_seconds (18) must be at least wechat.timeout_seconds + "
            "6 * store.timeout_seconds + 5 (19), or a call could outlast its lease",
            id="a lease shorter than a call",
        ),
        pytest.param(
            APP + "[refresh]\nreconcile_seconds = 5\n",
            "refresh.reconcile_seconds: 0 (never), or at least 30",
            id="comparing too often",
        ),
        pytest.param(
            APP + "[wechat]\ntimeout_seconds = 30\n",
            "wechat.timeout_seconds: must be at most 8",
            id="timeout",
        ),
        pytest.param(
            APP + '[log]\nlevel = "verbose"\n',
            "log.level: must be 'debug', 'info', 'warning' or 'error'",
            id="level",
        ),
        pytest.param(
            APP + CLIENT.replace("shop", "shpo"),
            "clients.order.apps: 'shpo': no such app, did you mean 'shop'?",
            id="client of an unknown app",
        ),
        pytest.param(
            APP + CLIENT + 'tokens = "never"\n',
            "clients.order.tokens: never, so that it needs 'call' in can, and forward.enabled",
            id="neither tokens nor calls",
        ),
        pytest.param(
            APP + CLIENT + 'paths = ["/cgi-bin/media/*"]\n',
            "clients.order.paths: are those of calls, so that it needs 'call' in can",
            id="calls that it may not make",
        ),
        pytest.param(
            APP + CLIENT.replace('"read"', '"call"') + 'paths = ["media"]\n',
            "clients.order.paths[0]: media: must be like '/cgi-bin/message/custom/send' or "
            "'/cgi-bin/media/*'",
            id="no path",
        ),
        pytest.param(
            APP + 'kinds = ["jsapi_ticket"]\n',
            "apps.shop.kinds: must hold access_token, which tickets are asked for with",
            id="a ticket without a token",
        ),
        pytest.param(
            APP + 'kinds = ["access_token", "agent_config_ticket"]\n',
            "apps.shop.kinds[1]: must be 'access_token', 'jsapi_ticket' or 'wx_card_ticket'",
            id="WeCom's ticket of an official account",
        ),
        pytest.param(
            APP + 'kinds = ["access_token", "jsapi_ticket"]\nahead_seconds = 100\n',
            "apps.shop.ahead_seconds (100) must be at least 116 for jsapi_ticket: the 75 s of "
            "jitter, and refresh.lease_seconds + wechat.timeout_seconds + 3 (41) for another node "
            "to take over",
            id="too late for a ticket",
        ),
        pytest.param(
            APP + '[apps.robot]\ntype = "wecom"\nsecret_file = "shop.secret"\nagentid = 1\n',
            "apps.robot.corpid: is required",
            id="WeCom without a corp",
        ),
        pytest.param(
            APP
            + '[apps.robot]\ntype = "wecom"\nsecret_file = "shop.secret"\ncorpid = "corp"\n'
            + "agentid = 1\n",
            "apps.robot.corpid: corp: must be 'ww' and 16 small letters or digits",
            id="WeCom with a wrong corp",
        ),
        pytest.param(
            APP + CLIENT.replace('"read"', '"raed"'),
            "clients.order.can[0]: must be 'read', 'refresh', 'force', 'status', 'reload', "
            "'sign', 'call' or 'login'",
            id="unknown permission",
        ),
        pytest.param(
            APP + CLIENT.replace(DIGEST, "canary"),
            "clients.order.key_sha256: must be the 64 hex digits that 'tokend key CLIENT' prints",
            id="digest",
        ),
        pytest.param(
            APP + CLIENT + CLIENT.replace("order", "other").replace(DIGEST, DIGEST.upper()),
            "clients.other.key_sha256: is that of clients.order too",
            id="one key twice",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Path, content: str, mistake: str) -> None:
    assert mistakes(folder, content) == [mistake]


def test_one_app_needs_no_placeholder_in_the_mirror(folder: Path) -> None:
    config = read(folder, APP + MIRROR + 'mirror = ["wx:token"]\nmirror_json = ["{app}"]\n')

    assert config.store_mirror == Mirror(plain=("wx:token",), quoted=("{app}",))
    assert config.store_mirror.names(config.keys) == ["wx:token", "shop"]


@pytest.mark.parametrize("section", ["wechat", "wecom"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://weixin.qq.com.evil.example",
        "https://evilweixin.qq.com",
        "https://api.weixin.qq.com.",
        "https://api.weixin.qq.com@evil.example",
        "https://evil.example\\\\.weixin.qq.com",
        "https://evil.example#.weixin.qq.com",
        "https://evil.example?.weixin.qq.com",
        "https://evil.example/.weixin.qq.com",
        "https://evil.example%2f.weixin.qq.com",
        "https://api.weixin.qq.com。evil.example",
        "https://api..weixin.qq.com",
        "https://169.254.169.254",
        "https://[::ffff:169.254.169.254]",
        "https://2852039166",
        "https://0xa9fea9fe",
        "https://10.0.0.1",
        "https://0.0.0.0",
        "https://",
        "http://api.weixin.qq.com",
        "http://2130706433",
        "http://[::ffff:127.0.0.1]",
        "http://0.0.0.0",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example",
        "ftp://api.weixin.qq.com",
        "file:///etc/passwd",
        "//api.weixin.qq.com",
        "https://api.weixin.qq.com:99999",
        "https://api.weixin.qq.com/..",
    ],
)
def test_an_appsecret_goes_nowhere_but_to_wechat(folder: Path, section: str, url: str) -> None:
    (told,) = mistakes(folder, f'{APP}[{section}]\nurl = "{url}"\n')

    assert told.startswith(section)


@pytest.mark.parametrize(
    "url",
    [
        "https://hk.api.weixin.qq.com",
        "https://API.weixin.qq.com:443/",
        "https://127.0.0.1:8443",
        "http://localhost:8391",
        "http://[::1]:8391",
    ],
)
def test_wechat_has_several_hosts_and_a_simulated_one_is_on_loopback(
    folder: Path, url: str
) -> None:
    config = read(folder, f'{APP}[wechat]\nurl = "{url}"\n')

    assert config.wechat.url == url.rstrip("/")


def test_a_way_of_ones_own_to_wechat_is_said_to_be_one(folder: Path) -> None:
    config = read(folder, f'{APP}[wechat]\nurl = "https://way.internal"\ngateway = true\n')

    assert config.wechat.url == "https://way.internal"


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    content = """
        lisen = 1
        [server]
        listen = ["0.0.0.0:8390"]
        socket_mode = 600
        [store]
        url = "mysql://db"
        [wechat]
        timeout_seconds = 0.5
        [log]
        level = 3
        [apps.shop]
        appid = "nonsense"
        [apps.blog]
        appid = "wx0123456789abcdef"
        secret_file = "/nowhere"
        [apps.news]
        appid = "wx0123456789abcdef"
        secret_file = "shop.secret"
        password = "canary"
    """

    told = mistakes(folder, content)

    places = sorted(mistake.split(":")[0] for mistake in told)
    assert places == [
        "apps.blog.secret_file",
        "apps.news.password",
        "apps.shop.appid",
        "lisen",
        "log.level",
        "server.socket_mode",
        "store.url",
        "wechat.timeout_seconds",
    ]
    assert "canary" not in "".join(told)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b" \n", "empty", id="blank"),
        pytest.param(b"x" * 4097, "larger than 4096 bytes", id="huge"),
        pytest.param(b"one\ntwo", "must hold the secret alone, on one line, in ASCII", id="lines"),
        pytest.param(b"\xff\x00", "must hold the secret alone, on one line, in ASCII", id="binary"),
    ],
)
def test_a_secret_file_holds_one_secret(folder: Path, content: bytes, said: str) -> None:
    (folder / "shop.secret").write_bytes(content)

    assert mistakes(folder, APP) == [f"apps.shop.secret_file: {folder}/shop.secret: {said}"]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://h", RedisUrl(layout="server", hosts=(("h", 6379),))),
        ("valkey://h:1/", RedisUrl(layout="server", hosts=(("h", 1),))),
        ("rediss://[::1]:2/3", RedisUrl(layout="server", tls=True, hosts=(("::1", 2),), db=3)),
        ("valkeys://h", RedisUrl(layout="server", tls=True, hosts=(("h", 6379),))),
        ("unix:///r.sock", RedisUrl(layout="socket", path="/r.sock")),
        ("unix:///run/r.sock?db=4", RedisUrl(layout="socket", path="/run/r.sock", db=4)),
        (
            "redis+sentinel://a:1,[::1]:2,b/main.1/5",
            RedisUrl(
                layout="sentinel", hosts=(("a", 1), ("::1", 2), ("b", 26379)), master="main.1", db=5
            ),
        ),
        (
            "rediss+sentinel://a/main",
            RedisUrl(layout="sentinel", tls=True, hosts=(("a", 26379),), master="main"),
        ),
        (
            "redis+cluster://a,[::1]:2",
            RedisUrl(layout="cluster", hosts=(("a", 6379), ("::1", 2))),
        ),
        ("valkeys+cluster://a:1", RedisUrl(layout="cluster", tls=True, hosts=(("a", 1),))),
    ],
)
def test_a_redis_url_says_where_redis_is(folder: Path, url: str, where: RedisUrl) -> None:
    config = read(folder, APP + f'[store]\nurl = "{url}"\n')

    assert RedisUrl.parse(config.store.url) == where


STORES = (
    "must be one of memory:, sqlite:///path, redis://, redis+sentinel://, redis+cluster:// "
    "(rediss… with TLS), unix:///path"
)
LIKE_A_HOST = "a host must be like 'redis-1', 'redis-1:6379' or '[::1]:6379'"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://", "needs a host, as in 'redis://127.0.0.1:6379/0'"),
        ("redis://h:port", LIKE_A_HOST),
        ("redis://h:1:2", LIKE_A_HOST),
        ("redis://::1", LIKE_A_HOST),
        ("redis://[::x]", LIKE_A_HOST),
        ("redis://h?password=canary", LIKE_A_HOST),
        ("redis+cluster://a,,b", LIKE_A_HOST),
        ("redis://:can/ary@h", LIKE_A_HOST),
        ("redis://h:0", "a port must be 1 to 65535"),
        ("redis://h:65536", "a port must be 1 to 65535"),
        ("redis://a,b", "more than one host; for that there are +sentinel and +cluster"),
        ("redis://h/one", "the database must be a number, as in 'redis://127.0.0.1:6379/0'"),
        ("redis://h/0?a=b", "the database must be a number, as in 'redis://127.0.0.1:6379/0'"),
        ("unix://h/r.sock", "needs an absolute path, as in 'unix:///run/redis/redis.sock'"),
        ("unix:///", "needs an absolute path, as in 'unix:///run/redis/redis.sock'"),
        ("unix:///r?password=x", "nothing but a database may follow the path, as in '?db=1'"),
        (
            "redis+sentinel://h",
            "needs the name of a master, as in 'redis+sentinel://host:26379/main/0'",
        ),
        ("redis+cluster://h/1", "must end with the hosts: a cluster has one database"),
        (
            "redis+sentinel://x:canary@h/main",
            "must hold no user name or password; passwords have files of their own",
        ),
        ("redis+sentry://h", STORES),
    ],
)
def test_a_redis_url_that_cannot_be_used_is_refused(folder: Path, url: str, said: str) -> None:
    assert mistakes(folder, APP + f'[store]\nurl = "{url}"\n') == [f"store.url: {said}"]


def test_the_files_of_a_login_stand_beside_the_configuration(folder: Path) -> None:
    made = make_certificates(folder)
    for name in ("redis.password", "sentinel.password"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"{name}\n")

    config = read(
        folder,
        APP
        + """
        [store]
        url = "rediss+sentinel://h/main"
        username = "tokend"
        password_file = "redis.password"
        sentinel_password_file = "sentinel.password"
        ca_file = "ca.pem"
        cert_file = "client.pem"
        key_file = "key.pem"
        """,
    )

    assert config.warnings == ()
    assert config.store_login == Login(
        username="tokend",
        password=Secret("redis.password"),
        sentinel_password=Secret("sentinel.password"),
        ca_file=made.ca,
        cert_file=made.client,
        key_file=made.client_key,
    )


@pytest.mark.parametrize(
    ("files", "mistake"),
    [
        ({"ca_file": "no.pem"}, "ca_file: {}/no.pem: No such file or directory"),
        ({"ca_file": "shop.secret"}, "ca_file: {}/shop.secret: holds no certificate in PEM"),
        ({"ca_file": "."}, "ca_file: {}: not a regular file"),
        ({"cert_file": "no.pem"}, "cert_file: {}/no.pem: No such file or directory"),
        (
            {"cert_file": "client.pem", "key_file": "no.pem"},
            "key_file: {}/no.pem: No such file or directory",
        ),
        (
            {"cert_file": "ca.pem"},
            "cert_file: {}/ca.pem: holds no private key in PEM",
        ),
        (
            {"cert_file": "server.pem", "key_file": "key.pem"},
            "key_file: {0}/key.pem: not the key of the certificate in {0}/server.pem",
        ),
    ],
)
def test_certificates_that_cannot_be_used_are_mistakes(
    folder: Path, files: dict[str, str], mistake: str
) -> None:
    make_certificates(folder)
    settings = "".join(f'{name} = "{value}"\n' for name, value in files.items())

    told = mistakes(folder, APP + f'[store]\nurl = "rediss://h"\n{settings}')

    assert told == ["store." + mistake.format(folder)]


@pytest.mark.parametrize("setting", ["cert_file", "key_file"])
def test_a_key_that_everyone_can_read_is_a_warning(folder: Path, setting: str) -> None:
    made = make_certificates(folder)
    for path in (made.ca, made.client, made.client_key):
        path.chmod(0o644)
    settings = 'cert_file = "client.pem"\n'
    if setting == "key_file":
        settings += 'key_file = "key.pem"\n'

    config = read(folder, APP + f'[store]\nurl = "rediss://h"\nca_file = "ca.pem"\n{settings}')

    (warning,) = config.warnings
    assert warning.startswith(f"store.{setting}: {folder}/")
    assert "readable by everyone" in warning


def test_a_fifo_is_no_secret_file_and_blocks_nobody(folder: Path) -> None:
    os.mkfifo(folder / "fifo")

    told = mistakes(folder, APP.replace("shop.secret", "fifo"))

    assert told == [f"apps.shop.secret_file: {folder}/fifo: not a regular file"]


def test_a_secret_that_everyone_can_read_is_a_warning(folder: Path) -> None:
    (folder / "shop.secret").chmod(0o644)

    config = read(folder, APP)

    (warning,) = config.warnings
    assert warning == (
        f"apps.shop.secret_file: {folder}/shop.secret: readable by everyone (mode 0644); "
        "chmod 600 it"
    )


def test_a_secret_of_another_form_is_a_warning_that_does_not_show_it(folder: Path) -> None:
    (folder / "shop.secret").write_text("canary")

    config = read(folder, APP)

    assert config.warnings == (
        "apps.shop.secret_file: does not look like an AppSecret (32 hex digits)",
    )
    assert "canary" not in repr(config)


def test_a_gateway_may_have_secrets_of_another_form(folder: Path) -> None:
    (folder / "shop.secret").write_text("client-key-of-staging")

    config = read(folder, f'{APP}[wechat]\nurl = "https://tokend.internal"\ngateway = true\n')

    assert config.warnings == ()


def test_a_secret_may_come_from_systemd(folder: Path) -> None:
    content = APP.replace('secret_file = "shop.secret"', 'secret_credential = "shop.secret"')

    config = read(folder, content, {"CREDENTIALS_DIRECTORY": str(folder)})

    assert config.apps["shop"].app.secret == Secret(APP_SECRET)


def test_a_credential_cannot_name_a_file_elsewhere(folder: Path) -> None:
    content = APP.replace('secret_file = "shop.secret"', 'secret_credential = "../../etc/passwd"')

    told = mistakes(folder, content, {"CREDENTIALS_DIRECTORY": str(folder)})

    assert told == [f"apps.shop.secret_credential: {folder}/passwd: No such file or directory"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"[server\n", "(at line 1, column 8)", id="syntax"),
        pytest.param(b"\xff\xfe", "not UTF-8 (at byte 0)", id="encoding"),
        pytest.param(None, "No such file or directory", id="missing"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "tokend.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load(path, environ={})

    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize("name", ["tokend.toml", "minimal.toml"])
def test_the_shipped_files_load(folder: Path, name: str) -> None:
    config = read(folder, (SHIPPED / name).read_text())

    assert list(config.apps) == ["shop"]


def test_the_shipped_file_names_every_setting_with_its_default() -> None:
    text = (SHIPPED / "tokend.toml").read_text()
    shown = tomllib.loads(text)
    everything = tomllib.loads(
        re.sub(r"^# (\[clients|\[apps|\[notify|\w+ = )", r"\1", text, flags=re.MULTILINE)
    )

    assert shown["include"] == ""
    assert shown.keys() == {"include", *SECTIONS, "apps"}
    for name, model in SECTIONS.items():
        assert shown[name].keys() == model.model_fields.keys()
        assert model.model_validate(shown[name]) == model()
    for name, models in NAMED.items():
        for table, model in zip(everything[name].values(), models, strict=True):
            assert table.keys() == model.model_fields.keys()
            for setting, field in model.model_fields.items():
                if field.default and not field.is_required():
                    assert _same(table[setting], field.default)


def _same(shown: object, default: object) -> bool:
    return (tuple(shown) if isinstance(shown, list) else shown) == default


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    setting=st.sampled_from(
        ["secret", "app_secret", "password", "token", "sekret", "key", "secret_fil", "appid_secret"]
    ),
    value=st.text(alphabet="abcdefgh0123456789", min_size=8),
)
def test_what_stands_behind_a_wrong_setting_is_never_shown(
    folder: Path, setting: str, value: str
) -> None:
    told = mistakes(folder, APP + f'{setting} = "{value}canary"\n')

    assert "canary" not in "".join(told)


SEALED = APP + '[store]\nurl = "redis://h"\nseal_key_file = "seal.key"\n'


def seal_key(folder: Path, content: str) -> None:
    path = folder / "seal.key"
    path.touch(mode=0o600)
    path.write_text(content)


def test_the_lines_of_the_seal_key_file_are_keys_in_their_order(folder: Path) -> None:
    seal_key(folder, f"{'0' * 64}\nplain\r\n{'1' * 64}\n\n")

    config = read(folder, SEALED)

    assert len(config.store_seals.ids) == 3
    assert config.store_seals.ids[1] == "plain"
    assert config.secret_files["store.seal_key_file"] == str(folder / "seal.key")
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "empty"),
        (
            "canary",
            "line 1: must be a key as 'tokend seal-key' makes it: 32 bytes in hex or base64",
        ),
        ("plain", "needs a key; 'tokend seal-key' makes one"),
        (f"{'0' * 64}\n{'0' * 64}", "line 2: stands there twice"),
        ("0" * 5000, "larger than 4096 bytes"),
    ],
)
def test_a_seal_key_file_that_is_no_good_is_named(folder: Path, content: str, why: str) -> None:
    seal_key(folder, content)

    assert mistakes(folder, SEALED) == [f"store.seal_key_file: {folder}/seal.key: {why}"]


def test_a_missing_seal_key_file_is_named(folder: Path) -> None:
    assert mistakes(folder, SEALED) == [
        f"store.seal_key_file: {folder}/seal.key: No such file or directory"
    ]


async def test_other_keys_for_the_store_take_a_restart(folder: Path) -> None:
    seal_key(folder, "0" * 64)
    before = read(folder, SEALED)
    seal_key(folder, "1" * 64)
    reload = Reload(
        before,
        read=lambda: read(folder, SEALED),
        apply=lambda _: pytest.fail("taken over"),
        reloading=nullcontext,
        on_signal=lambda _: None,
    )

    with pytest.raises(ConfigError, match="store: a change here takes a restart"):
        await reload.reload()


def test_what_is_not_written_is_not_sealed(folder: Path) -> None:
    seal_key(folder, "0" * 64)

    assert mistakes(folder, SEALED.replace("redis://h", "memory:")) == [
        "store: seal_key_file is for SQLite and Redis, which url is not"
    ]


def test_a_seal_key_that_others_can_read_and_a_mirror_beside_it_are_warned_about(
    folder: Path,
) -> None:
    seal_key(folder, "0" * 64)
    (folder / "seal.key").chmod(0o644)

    warnings = read(folder, SEALED + 'mirror = ["wx:{appid}"]\n').warnings

    assert [warning.partition(":")[0] for warning in warnings] == [
        "store.seal_key_file",
        "store.mirror",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    st.text(max_size=80)
    | st.recursive(
        st.integers() | st.text(max_size=5) | st.booleans(),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ).map(lambda value: f"server = {value!r}\napps = {value!r}\nclients = {value!r}".lower())
)
def test_whatever_the_file_holds_only_a_config_error_comes_out(folder: Path, text: str) -> None:
    path = folder / "tokend.toml"
    path.write_text(text, encoding="utf-8", errors="replace")

    with pytest.raises(ConfigError):
        load(path, environ={})
