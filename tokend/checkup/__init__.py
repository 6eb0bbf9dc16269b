"""What ``tokend doctor`` looks at, before there is a tokend or beside a running one.

Each subject is a file and gives findings. None does harm: no classic token is fetched, no refresh
forced, and what is stored stays as it is.

* ``files``     who may read the secrets, and if the socket can be made
* ``listeners`` if others can listen in, and until when certificates are good
* ``store``     if what is stored there lasts
* ``seals``     if it is sealed there, and with which keys
* ``reach``     if WeChat's hosts answer
* ``accounts``  if WeChat accepts this address, the appid and the secret
* ``clock``     if the host's clocks can be relied on
* ``round``     all of them
"""
