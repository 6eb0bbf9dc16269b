"""The configuration: a TOML file and those it includes, checked as a whole.

* ``values``    what single values must be like
* ``settings``  what can be set, with the defaults; ``named``: of each account and client
* ``known``     files are read again if they have changed
* ``documents`` the TOML files, and ``entries`` the named ``tables`` in them
* ``secrets``   secrets are read from files of their own, never from the TOML
* ``accounts``  what each account is, and which of its credentials are kept
* ``clients``   what each client may do
* ``notify``    who is told by webhook, and of what
* ``login``     how to log in to the store: passwords, certificates, keys
* ``listeners`` the certificate that tokend shows, and those that it takes from clients
* ``certificates``  files of certificates and keys, tried
* ``seals``     what tokens are sealed with in the store
* ``mirror``    what else tokens are called in Redis, for other programs
* ``mistakes``  what is wrong, in words, with its place
* ``loading``   from the files to a ``Config``, or to every mistake in it
"""

from tokend.config.accounts import AppConfig, KeyConfig
from tokend.config.loading import Config, Reader, load

__all__ = ["AppConfig", "Config", "KeyConfig", "Reader", "load"]
