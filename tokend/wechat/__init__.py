"""What WeChat is asked, and what its answers mean.

* ``recipes``    per kind of credential: which requests, and where the value is in the reply
* ``replies``    what a reply says: a token, or an errcode and who has to act on it
* ``transport``  the only outbound HTTP of tokend
"""
