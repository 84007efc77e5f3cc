Sign in to DayGen

Follow the link to sign in as {{ email }}.

Sign in:
{{ link }}

Or type this code: {{ code }}

Link and code work for {{ good_for }} and once. Nobody at DayGen will ever ask you for the code. If this was not you, you need not do anything.

--
DayGen. This mail went to {{ email }}.
