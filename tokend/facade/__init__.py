"""WeChat's own routes, for SDKs that know no others.

* ``routes``    the handlers, in WeChat's shapes
* ``callers``   who calls, by a client key, a token or a handle, and for which app
* ``owners``    whose token a token is
* ``handles``   what a client gets that may never see a token
* ``errcodes``  errors as WeChat says them
"""
