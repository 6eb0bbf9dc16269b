"""Where tokens are kept between restarts and shared between nodes.

All stores keep one contract: ``load, acquire, save, release, changes`` (``keeper.Store``).
``record`` says, without I/O, what a record is and how each step changes it; ``seals`` what is
written of a value, so that nobody else can read or forge it, by a ``seal_key``. ``memory`` and
``sqlite`` apply it, and the Lua of ``redis`` says the same inside the server, to which
``connection`` brings it: ``redis_url`` says where that is, ``login`` who we are, and ``trouble``
what went wrong. ``mirror`` says where else in Redis a token is written, for programs that look
there. What is
kept besides tokens are notes on a ``shelf``, sealed alike; ``redis_board`` and ``sqlite_board`` are
where they stand.
"""
