"""tokend owns the access_token of each WeChat account and serves it to business servers.

WeChat's manual asks every company to run one such central-control server (中控服务器):
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html

Read it in this order:

1. ``model``      the values: key, secret, token, lease
2. ``policy``     when a token is due, and how long to wait after a failure
3. ``keeper``     one key: what is served, and how it is refreshed by one node at a time
4. ``schedule``   all keys: which is due next
5. ``wechat``     what WeChat is asked, and what its answers mean
6. ``store``      where tokens are kept: memory, SQLite, Redis
7. ``api``        what business servers may ask
8. ``daemon``     how these become one process, read from top to bottom
9. ``checkup``    what is looked at before all that, and what to do about it
10. ``cli``       what operators type

``simulator`` is a strict stand-in for WeChat, for the demo and the tests.
"""
