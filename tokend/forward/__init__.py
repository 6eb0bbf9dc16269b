"""Other calls to WeChat, passed on with the current token.

* ``forward``   one call, sent on, and once more if its token is rejected
* ``passages``  which client may have which calls passed on, with whose token
* ``target``    where such a call goes, and where none does
* ``call``      what is read of the caller
* ``headers``   which headers go on, and which come back
* ``answer``    what WeChat says, and how it gets to the caller
"""
