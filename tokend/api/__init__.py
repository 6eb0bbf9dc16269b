"""What business servers may ask, over HTTP.

* ``routes``     every route, on one screen
* ``access``     who is asking, and what they may do
* ``problems``   errors as RFC 9457 documents: one table
* ``wire``       what goes over the wire: reading requests, writing answers
* ``signature``  what a web page needs for WeChat's JS-SDK
* ``listeners``  the sockets it is served on
"""
