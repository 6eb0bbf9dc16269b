"""Mini-program login: the server's half of ``wx.login``, with the session_key kept here.

1. ``signed``    what a phone signs and encrypts with the session_key
2. ``records``   a session and a user, and how they are written on a shelf
3. ``users``     who has logged in, and whom the business server takes them for
4. ``sessions``  what a business server has in the place of a session_key
5. ``exchange``  a code for an identity: one call to WeChat for each code
6. ``calls``     what is asked about users with the access_token that tokend keeps; ``way``: how,
   and ``complaints``: what is told of it
7. ``guard``     who may ask
8. ``requests``  what is asked of tokend, read; ``answers``: and what is answered
9. ``session_routes``, ``user_routes``  all of it over HTTP
10. ``desk``    how these are put together
11. ``resealing``  what an older key has sealed is sealed anew

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/login.html
"""
