"""What WeChat is asked, and what its answers mean.

* ``recipes``    per kind of credential: which requests, and where the value is in the reply
* ``replies``    what a reply says: a token, or an errcode and who has to act on it; ``advice``:
  what they are to do
* ``identity``   the same for the users of a mini-program
* ``transport``  how tokend asks for credentials
* ``relay``      how other people's calls are passed on; ``session``: what both keep to
* ``trouble``    what goes wrong on the way, told without the URL
"""
