"""A strict stand-in for WeChat: what WeChat refuses, it refuses.

1. ``credential``  the lives of the tokens, or tickets, that one account got from one endpoint
2. ``refusal``     how WeChat says no
3. ``tally``       how often a thing was used in a day, an hour or a minute
4. ``address``     where a caller is, and who is listed
5. ``account``     one account: its secret, its whitelist, its quotas
6. ``corp``        one enterprise of WeCom and its agents
7. ``bar``         whom WeCom shuts out for bad secrets
8. ``body``        what a POST carries
9. ``media``       files that come in and go out
10. ``business``   what is answered to who has a good token
11. ``ledger``     what was asked, for whom
12. ``official``   the rules for official accounts and mini-programs
13. ``wecom``      the rules for WeCom
14. ``world``      all that is asked, and what is answered. No I/O
15. ``weather``    faults on the way there and back, as data
16. ``face``       the world and its weather over HTTP
17. ``controls``   what tests ask and tell the simulator over HTTP
18. ``customer``   who is known, and what tokend needs to be one of them

The rules are those of WeChat's manual, and the strictest reading where it is silent:
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
"""
