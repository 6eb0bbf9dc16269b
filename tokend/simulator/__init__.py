"""A strict stand-in for WeChat: what WeChat refuses, it refuses.

1. ``credential``  the lives of the tokens of one account
2. ``account``     one account: its secret, its whitelist, its quotas
3. ``world``       WeChat's rules for all accounts: what is asked, what is answered. No I/O
4. ``weather``     faults on the way there and back, as data
5. ``face``        the world and its weather over HTTP

The rules are those of WeChat's manual, and the strictest reading where it is silent:
https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
"""
