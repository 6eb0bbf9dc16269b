"""A running tokend, and a simulated WeChat behind it, for the tests of programs that use tokend.

With pytest, in ``conftest.py``: ``pytest_plugins = ["tokend.testing.plugin"]``. Then::

    def test_a_greeting_outlives_its_token(tokend):
        shop = Shop(tokend.client, wechat=tokend.wechat.url)
        tokend.wechat.rotate()
        assert shop.greet("o1")["errcode"] == 0

Anywhere else, ``with running() as tokend``. Nothing is faked: both are processes of their own,
which end with the test, and with its process however that ends. Nothing is to be awaited: what is
asked of them takes milliseconds, in tests with an event loop, too; the start takes half a second.

Time is the real one. A client trusts a token for as many seconds as it was told, so under a clock
that ran faster it would go on with dead ones. What comes with time is brought about instead:
``wechat.rotate()`` ends tokens, ``wechat.weather()`` brings trouble.

1. ``pair``      tokend and WeChat, started together
2. ``wechat``    what tests ask the simulated WeChat, and tell it
3. ``phone``     a user's, on which the mini-program is open
4. ``faults``    kinds of trouble
5. ``controls``  how the simulator is asked
6. ``process``   one process, and what it said last
7. ``ward``      the program of these processes, which ends with its parent
8. ``port``      a port that is given to nobody else
9. ``plugin``    for pytest, which nothing else here imports
"""

from tokend.simulator.weather import Fault
from tokend.testing.faults import AWAY, BUSY, refusal
from tokend.testing.pair import Tokend, running
from tokend.testing.phone import Phone
from tokend.testing.process import Ended
from tokend.testing.wechat import WeChat

__all__ = ["AWAY", "BUSY", "Ended", "Fault", "Phone", "Tokend", "WeChat", "refusal", "running"]
