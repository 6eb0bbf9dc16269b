"""What business servers may ask, over HTTP.

* ``routes``     every route, on one screen
* ``access``     who is asking, and what they may do
* ``problems``   errors as RFC 9457 documents: one table
* ``forward``    calls of WeChat's API passed on, with the current token
* ``target``     where such a call goes, and where none does
* ``headers``    which headers go with it, and which come back
* ``errcodes``   errors as WeChat says them
* ``wire``       what goes over the wire: reading requests, writing answers
* ``listeners``  the sockets it is served on
"""
