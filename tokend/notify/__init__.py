"""Operators are told by webhook when the state of keys changes, and of nothing else.

* ``receiver``  who is told, of what, and how
* ``news``      a change, as it is told
* ``desk``      what one receiver is still to be told: one change of each key, the last
* ``message``   many changes as one text, and ``phrases``: its words in each language
* ``formats``   how robots want that, and what their answers mean: no I/O
* ``webhook``   the way there
* ``notifier``  one receiver is told again and again until it has heard; ``notifiers``: all of them
"""
