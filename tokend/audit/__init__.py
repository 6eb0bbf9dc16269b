"""Who did what, and what came of it: the audit trail.

* ``deed``   what one request does
* ``source`` whom those are counted under who cannot be told apart
* ``tally``  of what is alike the first, and a number of the rest
* ``trail``  what is told when
* ``file``   a file for it, beside the log
"""
