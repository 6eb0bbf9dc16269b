"""Many apps: in files of a folder, and read again in proportion to what has changed."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import tomli

from tokend.clock import SystemClock
from tokend.config import Config, Reader, load
from tokend.config.named import AppSettings, ClientSettings
from tokend.errors import ConfigError
from tokend.model import Secret
from tokend.reload import Reload

INCLUDE = 'include = "apps.d"\n[store]\nurl = "memory:"\n'
CLIENT = f'[clients.order]\nkey_sha256 = "{"ab" * 32}"\napps = ["shop"]\ncan = ["read"]\n'


def app(name: str, n: int = 0, more: str = "") -> str:
    return f'[apps.{name}]\nappid = "wx{n:016x}"\nsecret_file = "{name}.secret"\n{more}'


class Later(SystemClock):
    """Files that were written just now have stood for an hour."""

    def wall(self):
        return super().wall() + timedelta(hours=1)


LATER = Later()


class House:
    """A configuration, a folder that it includes, and who reads it again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "tokend.toml"
        self.reader = Reader(self.path, environ={"CREDENTIALS_DIRECTORY": str(folder)}, clock=LATER)
        (folder / "apps.d").mkdir()
        self.write("tokend.toml", INCLUDE)
        for name in ("shop", "blog", "news"):
            self.secret(name, "0" * 32)

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        return path

    def secret(self, name: str, value: str) -> None:
        """By a rename, as who rotates secrets does it."""
        fresh = self.write(f".{name}", value)
        fresh.chmod(0o600)
        fresh.rename(self.folder / f"{name}.secret")

    def read(self) -> Config:
        return self.reader.read()

    def mistakes(self) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.read()
        return [each.replace(f"{self.folder}/", "") for each in caught.value.mistakes]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# What counts as a file of apps


def test_apps_and_clients_of_the_folder_are_as_if_they_stood_in_the_file(house: House) -> None:
    house.write("tokend.toml", INCLUDE + app("news", 3))
    house.write("apps.d/20-blog.toml", app("blog", 2))
    house.write("apps.d/10-shop.toml", app("shop", 1) + CLIENT)

    config = house.read()

    assert list(config.apps) == ["news", "shop", "blog"]
    assert list(config.clients) == ["order"]
    assert config.warnings == ()


def test_a_table_can_be_moved_to_another_file_as_it_is(house: House) -> None:
    """Its secret is found from the folder of the configuration, wherever the table stands."""
    house.write("apps.d/shop.toml", app("shop"))

    assert house.read().secret_files == {
        f"{house.folder}/apps.d/shop.toml: apps.shop.secret_file": f"{house.folder}/shop.secret"
    }


@pytest.mark.parametrize(
    "name",
    [".shop.toml", ".shop.toml.swp", "shop.toml~", "#shop.toml#", "shop.toml.rpmnew", "README"],
)
def test_what_editors_and_packages_leave_there_does_not_count(house: House, name: str) -> None:
    house.write("apps.d/shop.toml", app("shop"))
    house.write(f"apps.d/{name}", "[nonsense")

    assert list(house.read().apps) == ["shop"]


def test_a_lock_of_emacs_does_not_count(house: House) -> None:
    house.write("apps.d/shop.toml", app("shop"))
    (house.folder / "apps.d/.#shop.toml").symlink_to("alice@host.4242:1700000000")

    assert list(house.read().apps) == ["shop"]


def test_a_folder_without_apps_is_one_without_apps_yet(house: House) -> None:
    house.write("tokend.toml", INCLUDE + app("shop"))

    assert list(house.read().apps) == ["shop"]


def test_some_file_has_an_app(house: House) -> None:
    assert house.mistakes() == ["apps: at least one is required, as in [apps.shop]"]


@pytest.mark.parametrize(
    ("include", "mistake"),
    [
        pytest.param('"nowhere"', "include: nowhere: No such file or directory", id="missing"),
        pytest.param('"shop.secret"', "include: shop.secret: Not a directory", id="a file"),
        pytest.param("3", "include: must be a string, the name of a folder", id="a number"),
        pytest.param(r'"a\u0000b"', "include: must be a string, the name of a folder", id="nul"),
    ],
)
def test_a_folder_that_is_included_has_to_be_there(
    house: House, include: str, mistake: str
) -> None:
    """Else a disk that is not mounted would take all its apps away."""
    house.write("tokend.toml", f"include = {include}\n{app('shop')}")

    assert house.mistakes() == [mistake]


def test_no_folder_is_included_unless_it_is_named(house: House) -> None:
    house.write("tokend.toml", 'include = ""\n' + app("shop"))
    house.write("apps.d/blog.toml", app("blog", 2))

    assert list(house.read().apps) == ["shop"]


def test_who_includes_from_within_a_table_is_told_where_to(house: House) -> None:
    house.write("tokend.toml", app("shop") + INCLUDE.splitlines()[0])

    assert house.mistakes() == [
        "apps.shop.include: stands at the top of the file, before the first [table]"
    ]


# Mistakes


def test_a_name_in_two_files_is_a_mistake_that_names_both(house: House) -> None:
    house.write("tokend.toml", INCLUDE + app("news", 3))
    house.write("apps.d/a.toml", app("shop", 1) + app("news", 4))
    house.write("apps.d/b.toml", app("shop", 2))

    assert house.mistakes() == [
        "apps.d/a.toml: apps.news: stands in tokend.toml too",
        "apps.d/b.toml: apps.shop: stands in apps.d/a.toml too",
    ]


def test_an_account_in_two_files_is_a_mistake_that_names_both(house: House) -> None:
    house.write("tokend.toml", INCLUDE + app("news", 3))
    house.write("apps.d/a.toml", app("shop", 1))
    house.write("apps.d/b.toml", app("blog", 1))

    assert house.mistakes() == [
        "apps.d/b.toml: apps.blog.appid: is that of apps.shop in apps.d/a.toml too"
    ]


def test_all_mistakes_of_all_files_are_told_at_once_each_with_its_file(house: House) -> None:
    house.write("tokend.toml", INCLUDE + "listen = []\n" + app("news", 3, "x = 1\n"))
    house.write("apps.d/a.toml", "[apps.shop")
    house.write("apps.d/b.toml", app("blog", 1, "methud = 3\n"))
    house.write("apps.d/c.toml", app("nosecret", 2))
    house.write("apps.d/d.toml", CLIENT.replace("shop", "blgo"))
    house.write("apps.d/e.toml", '[apps."N E"]\n')
    house.write("apps.d/f.toml", "apps = 3\n")
    house.write("apps.d/g.toml", "[server]\n[app.shop]\n")
    os.mkfifo(house.folder / "apps.d/h.toml")
    (house.folder / "apps.d/i.toml").mkdir()
    (house.folder / "apps.d/j.toml").symlink_to("gone")
    (house.folder / "apps.d/k.toml").symlink_to("k.toml")
    (house.folder / "apps.d/l\n.toml").touch()

    here = "here there are [apps.NAME], [clients.NAME], [notify.NAME]"
    assert sorted(house.mistakes()) == [
        "apps.d/a.toml: Expected ']' at the end of a table declaration (at end of document)",
        "apps.d/b.toml: apps.blog.methud: no such setting, did you mean 'method'?",
        "apps.d/c.toml: apps.nosecret.secret_file: nosecret.secret: No such file or directory",
        "apps.d/d.toml: clients.order.apps: 'blgo': no such app, did you mean 'blog'?",
        "apps.d/e.toml: apps: 'N E': a name is small letters, digits, '-' and '_', at most 64",
        "apps.d/f.toml: apps: must hold tables, as in [apps.shop]",
        "apps.d/g.toml: app: no such setting, did you mean 'apps'?",
        f"apps.d/g.toml: server: stands in tokend.toml alone; {here}",
        "apps.d/h.toml: not a regular file",
        "apps.d/i.toml: not a regular file",
        "apps.d/j.toml: No such file or directory",
        "apps.d/k.toml: Too many levels of symbolic links",
        "apps.d: 'l\\n.toml': a name that cannot be printed",
        "apps.news.x: no such setting",
        "store.listen: no such setting",
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("a = " + "[" * 100_000, id="deep"),
        pytest.param("a = " + "9" * 5000, id="long"),
    ],
)
def test_toml_that_would_break_its_parser_is_a_mistake(house: House, content: str) -> None:
    house.write("apps.d/a.toml", content)

    assert house.mistakes()[0] == "apps.d/a.toml: a number is too long, or tables too deep"


def test_a_huge_file_is_a_mistake(house: House) -> None:
    with house.write("apps.d/a.toml", "").open("wb") as file:
        file.truncate(2**36)

    assert house.mistakes()[0] == "apps.d/a.toml: larger than 67108864 bytes"


def test_among_very_many_names_none_is_guessed(house: House) -> None:
    apps = "".join(app(f"a{n}", n) for n in range(1001))
    house.write("apps.d/a.toml", apps + CLIENT.replace("shop", "a0x"))

    assert "apps.d/a.toml: clients.order.apps: 'a0x': no such app" in house.mistakes()


async def test_of_very_many_mistakes_a_reload_tells_the_first(house: House) -> None:
    house.write("tokend.toml", app("shop"))
    reload = Reload(
        house.read(),
        read=house.read,
        apply=lambda _: pytest.fail("taken over"),
        reloading=nullcontext,
        on_signal=lambda _: None,
    )
    house.write("tokend.toml", "".join(app(f"a{n}", n) for n in range(300)))

    with pytest.raises(ConfigError) as refused:
        await reload.reload()

    assert len(house.mistakes()) == 300
    assert len(refused.value.mistakes) == len(reload.mistakes) == 101
    assert reload.mistakes[-1] == "and 200 more, which 'tokend check' tells"


# Reading again


class Work:
    """What was done while it was watched: files opened, parsed, and tables validated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._done: Counter[str] = Counter()
        self._count(monkeypatch, tomli, "loads", "parsed")
        self._count(monkeypatch, AppSettings, "model_validate", "apps")
        self._count(monkeypatch, ClientSettings, "model_validate", "clients")
        self._folder = str(folder)
        WATCHING.append(self)

    def _count(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, what: str) -> None:
        real = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            self._done[what] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    def opened(self, path: object, mode: object) -> None:
        if mode == "r" and isinstance(path, str) and path.startswith(self._folder):
            self._done[Path(path).name] += 1

    def done(self) -> dict[str, int]:
        """Since it was last asked."""
        done, self._done = dict(self._done), Counter()
        return done


WATCHING: list[Work] = []


def _audit(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and WATCHING:
        WATCHING[-1].opened(args[0], args[1])


sys.addaudithook(_audit)  # for good; it does nothing while nobody watches


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    yield Work(monkeypatch, tmp_path)
    WATCHING.clear()


def test_what_has_not_changed_is_not_opened_and_stays_the_same_objects(
    house: House, work: Work
) -> None:
    house.write("tokend.toml", INCLUDE + app("news", 3) + CLIENT)
    house.write("apps.d/shop.toml", app("shop", 1))
    before = house.read()
    assert work.done() == {
        "parsed": 2,
        "apps": 2,
        "clients": 1,
        **dict.fromkeys(["tokend.toml", "shop.toml", "news.secret", "shop.secret"], 1),
    }

    again = house.read()

    assert work.done() == {}
    assert all(again.apps[name] is before.apps[name] for name in before.apps)
    assert again == before


def test_of_a_file_that_has_changed_the_tables_that_have_not_stay_the_same_objects(
    house: House, work: Work
) -> None:
    house.write("apps.d/a.toml", app("shop", 1) + app("blog", 2) + CLIENT)
    house.write("apps.d/b.toml", app("news", 3))
    before = house.read()
    work.done()

    house.write("apps.d/a.toml", CLIENT + app("shop", 1) + app("blog", 2, "ahead_seconds = 200\n"))
    again = house.read()

    assert work.done() == {"parsed": 1, "apps": 2, "a.toml": 1}
    assert again.apps["shop"] is before.apps["shop"]
    assert again.apps["news"] is before.apps["news"]
    assert again.apps["blog"].keys[0].pace.ahead == timedelta(seconds=200)


def test_files_behind_links_are_exchanged_as_kubernetes_does_it(house: House, work: Work) -> None:
    """All of a ConfigMap are new files then, whatever is in them."""
    (house.folder / "apps.d").rmdir()
    mount = house.folder / "apps.d"
    for version, name in (("..1", "shop"), ("..2", "blog")):
        (mount / version).mkdir(parents=True)
        (mount / version / "a.toml").write_text(app(name, 1))
        (mount / version / "b.toml").write_text(app("news", 3))
    for name in ("a.toml", "b.toml"):
        (mount / name).symlink_to(f"..data/{name}")
    (mount / "..data").symlink_to("..1")
    before = house.read()
    work.done()

    (mount / "..new").symlink_to("..2")
    (mount / "..new").rename(mount / "..data")
    again = house.read()

    assert (list(before.apps), list(again.apps)) == (["shop", "news"], ["blog", "news"])
    assert again.apps["news"] is before.apps["news"]
    assert work.done() == {"parsed": 2, "apps": 2, "a.toml": 1, "b.toml": 1, "blog.secret": 1}


def test_what_leaves_the_folder_is_gone_and_what_comes_back_is_read_anew(house: House) -> None:
    house.write("apps.d/a.toml", app("shop", 1))
    b = house.write("apps.d/b.toml", app("blog", 2))
    before = house.read()

    b.unlink()
    assert list(house.read().apps) == ["shop"]
    house.write("apps.d/b.toml", app("blog", 2))

    assert house.read().apps == before.apps


@pytest.mark.parametrize("by", ["secret_file", "secret_credential"])
def test_a_secret_that_is_rotated_by_a_rename_is_noticed(house: House, work: Work, by: str) -> None:
    """The table is as it was; also where the secret is systemd's credential."""
    content = app("shop", 1).replace("secret_file", by) + app("blog", 2)
    house.write("apps.d/a.toml", content)
    before = house.read()
    work.done()

    house.secret("shop", "1" * 32)
    again = house.read()

    assert work.done() == {"shop.secret": 1}
    assert again.apps["shop"].app.secret == Secret("1" * 32)
    assert [key.app for key in again.apps["shop"].keys] == [again.apps["shop"].app]
    assert again.apps["shop"].keys[0].pace is before.apps["shop"].keys[0].pace
    assert again.apps["blog"] is before.apps["blog"]


def test_a_secret_that_is_written_over_with_its_time_set_back_is_noticed(house: House) -> None:
    house.write("apps.d/a.toml", app("shop", 1))
    house.read()
    path = house.folder / "shop.secret"
    times = path.stat()

    path.write_text("1" * 32)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert house.read().apps["shop"].app.secret == Secret("1" * 32)


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path, work: Work) -> None:
    """It may change once more in the same tick of the clock, and leave no trace."""
    house = House(tmp_path)
    house.write("apps.d/a.toml", app("shop", 1))
    reader = Reader(house.path, environ={})
    before = reader.read()
    work.done()

    again = reader.read()

    done = work.done()
    assert (done["parsed"], done["apps"], done["shop.secret"]) == (2, 1, 1)
    assert again.apps["shop"] is before.apps["shop"]


def test_a_secret_of_many_apps_is_read_once(house: House, work: Work) -> None:
    shared = [f'[apps.a{n}]\nappid = "wx{n:016x}"\nsecret_file = "shop.secret"\n' for n in range(9)]
    house.write("apps.d/a.toml", "".join(shared))

    house.read()

    assert work.done()["shop.secret"] == 1


def test_what_is_unwise_is_told_at_each_reading(house: House) -> None:
    house.write("apps.d/a.toml", app("shop", 1))
    house.secret("shop", "short")
    (house.folder / "shop.secret").chmod(0o644)

    first, second = house.read().warnings, house.read().warnings

    assert len(first) == 2
    assert second == first


def test_a_mistake_is_told_at_each_reading_until_it_is_mended(house: House, work: Work) -> None:
    house.write("apps.d/a.toml", app("shop", 1))
    house.write("apps.d/b.toml", app("news", 3))
    house.read()
    house.write("apps.d/a.toml", app("shop", 1) + app("blog", 2, "ahead_seconds = 70\n"))
    work.done()
    before = house.mistakes()

    assert house.mistakes() == before
    assert work.done() == {"parsed": 2, "apps": 4, "a.toml": 2, "blog.secret": 2}
    house.write("apps.d/a.toml", app("shop", 1) + app("blog", 2))
    assert list(house.read().apps) == ["shop", "blog", "news"]
    assert work.done()["apps"] == 2


def test_a_secret_that_is_gone_is_told_and_counts_again_once_it_is_back(house: House) -> None:
    house.write("apps.d/a.toml", app("shop", 1))
    before = house.read()

    (house.folder / "shop.secret").unlink()
    assert house.mistakes() == [
        "apps.d/a.toml: apps.shop.secret_file: shop.secret: No such file or directory"
    ]
    house.secret("shop", "0" * 32)

    assert house.read().apps == before.apps


def test_other_terms_are_held_against_apps_that_have_not_changed(house: House) -> None:
    house.write("apps.d/a.toml", app("shop", 1, "ahead_seconds = 71\n"))
    house.read()

    house.write("tokend.toml", INCLUDE + "[refresh]\nlease_seconds = 31.0\n")

    assert house.mistakes()[0].startswith("apps.d/a.toml: apps.shop.ahead_seconds (71) must be at")


def test_an_account_that_moves_to_another_name_does_so(house: House) -> None:
    house.write("apps.d/a.toml", app("shop", 1) + app("blog", 2))
    house.read()

    house.write("apps.d/a.toml", app("shop", 2) + app("blog", 1))
    config = house.read()

    assert config.apps["shop"].app.appid == config.apps["shop"].keys[0].key.appid == f"wx{2:016x}"


def test_reading_again_comes_to_the_same_as_reading_for_the_first_time(house: House) -> None:
    """Whatever changed in between."""
    house.write("apps.d/a.toml", app("shop", 1) + app("blog", 2))
    house.read()
    for content in (app("shop", 2), app("shop", 2) + CLIENT, app("blog", 1) + app("shop", 2)):
        house.write("apps.d/a.toml", content)

        assert house.read() == load(house.path, environ={})


def test_of_a_thousand_tables_none_is_kept(house: House) -> None:
    """But what was made of them: the tables are the greater part."""
    for n in range(1000):
        house.write(
            f"apps.d/{n // 100}.toml",
            "".join(
                f'[apps.a{each}]\nappid = "wx{each:016x}"\nsecret_file = "shop.secret"\n'
                for each in range(n // 100 * 100, n + 1)
            ),
        )
    gc.collect()
    before = sum(type(each) is dict for each in gc.get_objects())

    config = house.read()

    gc.collect()
    assert len(config.apps) == 1000
    assert sum(type(each) is dict for each in gc.get_objects()) - before < 100


def test_a_thousand_files_are_a_thousand_apps(house: House, work: Work) -> None:
    for n in range(1000):
        table = f'[apps.a{n}]\nappid = "wx{n:016x}"\nsecret_file = "shop.secret"\n'
        house.write(f"apps.d/{n:04}.toml", table)

    before = house.read()
    assert work.done()["parsed"] == 1001
    house.write("apps.d/0500.toml", "")
    again = house.read()

    assert len(before.apps) == 1000
    assert before.apps.keys() - again.apps.keys() == {"a500"}
    assert work.done() == {"parsed": 1, "0500.toml": 1}
