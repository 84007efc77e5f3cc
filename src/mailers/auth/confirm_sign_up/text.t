Confirm your address

Somebody, most likely you, signed up at DayGen with the address {{ email }} and chose a password. Confirm it, and the account is ready.

Confirm and sign in:
{{ link }}

Or type this code: {{ code }}

Link and code work for {{ good_for }} and once. If you did not sign up, do not follow the link: without it there is no account.

--
DayGen. This mail went to {{ email }}.
