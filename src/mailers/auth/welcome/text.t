Welcome to DayGen

An account was made with your address {{ email }}, and it is ready to use.

If you did not make it, somebody else did. You can take it over: choose a password of your own, and whoever made it is signed out.

This was not me:
{{ link }}

The link works for {{ good_for }} and once. If you made the account yourself, there is nothing to do.

--
DayGen. This mail went to {{ email }}.
