"""A strict stand-in for WeChat: what WeChat refuses, it refuses.

1. ``credential``  the lives of the tokens, or tickets, that one account got from one endpoint
2. ``refusal``     how WeChat says no
3. ``tally``       how often a thing was used in a day, an hour or a minute
4. ``address``     where a caller is, and who is listed
5. ``code``        what a phone gives to a mini-program, good once
6. ``session``     the session_key of a login, and what is signed and encrypted with it
7. ``phone``       a user's phone: ``wx.login`` and its like
8. ``account``     one account: its secret, its whitelist, its quotas, its users' phones
9. ``corp``        one enterprise of WeCom and its agents
10. ``bar``        whom WeCom shuts out for bad secrets
11. ``body``       what a POST carries
12. ``media``      files that come in and go out
13. ``business``   what is answered to who has a good token
14. ``login``      what is answered about the users of a mini-program
15. ``ledger``     what was asked, for whom
16. ``official``   the rules for official accounts and mini-programs
17. ``wecom``      the rules for WeCom
18. ``world``      all that is asked, and what is answered. No I/O
19. ``weather``    faults on the way there and back, as data
20. ``face``       the world and its weather over HTTP
21. ``controls``   what tests ask and tell the simulator over HTTP
22. ``users``      what tests let the users of mini-programs do over HTTP
23. ``customer``   who is known, and what tokend needs to be one of them

The rules are those of WeChat's manual, and the strictest reading where it is silent:
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
"""
