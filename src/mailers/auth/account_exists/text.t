You have an account already

Somebody, most likely you, tried to sign up at DayGen with the address {{ email }}. There is an account with it already, so nothing was changed.

Sign in as you always do. If you forgot the password, choose a new one.

Choose a new password:
{{ link }}

The link works for {{ good_for }} and once. If this was not you, you need not do anything.

--
DayGen. This mail went to {{ email }}.
