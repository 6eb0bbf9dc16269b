"""tokend owns the access_token of each WeChat account and serves it to business servers.

WeChat's manual asks every company to run one such central-control server (中控服务器):
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html

Read it in this order:

1. ``model``      the values: key, secret, token, lease; ``errors``: what can go wrong, by who has
   to act; ``clock``: which time is meant
2. ``policy``     when a token is due, and how long to wait after a failure; ``terms``: the numbers
   of the refresh protocol and what must hold between them
3. ``refresher``  the steps of a refresh, by one node at a time; ``leases``: whose turn it is;
   ``asking``: the step to WeChat; ``alarm``: a record that somebody altered; ``contracts``: what
   they need of a source and a store
4. ``keeper``     one key: what others may ask for; ``kept``: what is served; ``standing``: until
   when; ``plan``: what comes next; ``budget``, ``allowance``, ``share``, ``breaker``: how often;
   ``flight``: a refresh at work
5. ``schedule``   all keys: which is due next; ``runway``: which of many goes first;
   ``follower``: what other nodes have done; ``ticket``: what is asked for with an access_token
6. ``wechat``     what WeChat is asked, and what its answers mean; ``remedy``: what to do about
   errors
7. ``store``      where tokens are kept: memory, SQLite, Redis
8. ``api``        what business servers may ask; ``facade``: the same in WeChat's words, for SDKs;
   ``forward``: other calls to WeChat, passed on; ``audit``: who did what
9. ``login``      users of mini-programs log in
10. ``chronicle`` what happened to keys, of what can (``happening``); ``page``: the status page, for
   people; ``notify``: operators are told by webhook; ``metrics``: what Prometheus is told
11. ``daemon``    how these become one process, read from top to bottom; ``config``: as it is
   configured, ``upstreams``: the ways to WeChat, ``fleet``: the keepers of all apps, ``flights``:
   their refreshes under way, ``surfaces``: what is served, ``reload``: a new configuration,
   ``signals``: what the operating system asks, ``systemd``: the service manager, ``summary``: the
   line it shows; ``process``: what it keeps from others on the host; ``logs``, ``outlet``,
   ``traces``, ``uncaught``: what is told, and what never is
12. ``checkup``   what is looked at before all that: ``findings``, and what to do about them
13. ``cli``       what operators type

``tasks`` and ``addresses`` are how asyncio's tasks end and how internet addresses are compared,
wherever that is.

``client`` is for the programs that use the tokens, and shares nothing with the rest; ``simulator``
is a strict stand-in for WeChat, for the demo and the tests; ``testing`` is both sides for the tests
of those programs.
"""
