"""How fast tokend is, beside programs that anyone can start.

``PYTHONPATH=tests python -m benchmark`` measures, and prints a table.

What counts is how often one number fits into the other, in the same run, in turns, at the median:
machines differ and are never quiet. Read it in this order:

1. ``rows``        what is claimed: tokend's side, the reference's, the goal
2. ``rounds``      sides in turns; ``spread``: of what they came to
3. ``table``       what is printed
4. ``sides``       what is measured: ``hot`` reads, ``tail`` latencies, ``many`` keys, ``waiters``,
   ``commands`` that end, ``logins`` of mini-programs and their ``sessions``
5. ``stage``       where it happens: ``cores``, ``scale``, ``tools``; ``program``: each process;
   ``node``: tokend, ``wechat``, ``accounts`` and ``prompt``: its WeChat, ``filling`` and
   ``logged_in``: what its store keeps
6. ``load``        programs that ask: ``wrk`` as fast as it goes, ``openloop`` at a ``steady`` pace,
   ``polls`` that wait, ``timed`` commands; ``requests``: what they send
7. ``references``  programs that answer in tokend's place
"""
