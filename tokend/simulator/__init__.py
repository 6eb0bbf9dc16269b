"""A strict stand-in for WeChat: what WeChat refuses, it refuses.

1. ``credential``  the lives of the tokens that one account got from one endpoint
2. ``refusal``     how WeChat says no
3. ``account``     one account: its secret, its whitelist, its quotas
4. ``world``       WeChat's rules for all accounts: what is asked, what is answered. No I/O
5. ``weather``     faults on the way there and back, as data
6. ``face``        the world and its weather over HTTP

The rules are those of WeChat's manual, and the strictest reading where it is silent:
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
"""
