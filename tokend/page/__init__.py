"""The status page: how every key is, for people.

The server writes all of it, in one place and in two languages. The script in the browser is told
when something has happened, gets the page again, and puts in what is different.
"""
