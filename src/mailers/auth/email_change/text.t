Confirm your new address

Somebody who is signed in to DayGen wants to use {{ email }} as the address of their account. If that is you, confirm it.

Confirm this address:
{{ link }}

Or type this code: {{ code }}

Link and code work for {{ good_for }} and once. If this was not you, do not follow the link: without it your address is not used.

--
DayGen. This mail went to {{ email }}.
