"""A strict stand-in for WeChat: what WeChat refuses, it refuses.

1. ``credential``  the lives of the tokens, or tickets, that one account got from one endpoint
2. ``refusal``     how WeChat says no
3. ``tally``       how often a thing was used in a day or a minute
4. ``address``     where a caller is, and who is listed
5. ``account``     one account: its secret, its whitelist, its quotas
6. ``corp``        one enterprise of WeCom and its agents
7. ``bar``         whom WeCom shuts out for bad secrets
8. ``ledger``      what was asked, for whom
9. ``official``    the rules for official accounts and mini-programs
10. ``wecom``      the rules for WeCom
11. ``world``      all that is asked, and what is answered. No I/O
12. ``weather``    faults on the way there and back, as data
13. ``face``       the world and its weather over HTTP
14. ``controls``   what tests ask and tell the simulator over HTTP

The rules are those of WeChat's manual, and the strictest reading where it is silent:
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
"""
