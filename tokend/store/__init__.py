"""Where tokens are kept between restarts and shared between nodes.

All stores keep one contract (``contracts.Store``), and ``opening`` says which one a URL means.
``record`` says, without I/O, what a record is and how each step changes it; ``seals`` what is
written of a value, so that nobody else can read or forge it, by a ``seal_key``. ``local`` applies
it to a table, of ``memory`` or ``sqlite`` (``sqlite_transactions``); the Lua of ``redis`` says the
same inside the server, to which ``connection`` brings it: ``redis_url`` says where that is,
``login`` who we are, ``trouble`` what went wrong, and ``examination`` whether it can be trusted;
``wakeup`` hears of other nodes. ``mirror`` says where else in Redis a token is written, for
programs that look there. What is kept besides tokens are notes on a ``shelf``, sealed alike;
``redis_board`` and ``sqlite_board`` are where they stand.
"""
