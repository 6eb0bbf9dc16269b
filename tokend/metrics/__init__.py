"""What tokend tells Prometheus.

* ``causes``   errors as labels: one table
* ``counts``   what is counted while it happens
* ``process``  what the operating system knows of the process
* ``lag``      how late the event loop is
* ``keys``     how each key is, looked up when it is asked for
* ``scrape``   ``GET /metrics``: who may ask, and the whole answer

Labels are names of the configuration and words of tokend's own, never what a caller or WeChat says.
"""
