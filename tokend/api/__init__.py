"""What business servers may ask, over HTTP.

* ``routes``     every route, on one screen; ``description``: the same as ``/openapi.json``
* ``screen``     what is looked at in every request; ``source``, ``peers``: where it comes from
* ``access``     who is asking, and what they may do; ``wrong_keys``: how often in vain;
  ``audited``: what is noted of it
* ``problem_table``  what each error is over HTTP; ``problems``: as RFC 9457 documents
* ``wire``       what goes over the wire: reading requests (``query``), writing answers
* ``listing``    the status of keys, a page at a time
* ``signature``  what a web page needs for WeChat's JS-SDK
* ``repeats``    the same question on the same connection: answered as before
* ``rendered``   a token as the JSON of an answer, written once for many
* ``polls``      those who wait for the next token; ``turns``: in which order they are woken
* ``streams``    each token as it comes, as server-sent events; ``stream``: one reader;
  ``happenings``: what else happens to keys
* ``listeners``  the sockets it is served on; ``door``: one connection, ``handshakes``: its TLS,
  ``speaker``: its HTTP, ``warden``: all connections, ``room``: how many there may be
"""
