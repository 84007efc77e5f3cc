Choose a new password

Somebody asked for a new password for the DayGen account of {{ email }}. If that was you, choose it now.

Choose a new password:
{{ link }}

Or type this code: {{ code }}

Link and code work for {{ good_for }} and once. Nobody at DayGen will ever ask you for the code. If this was not you, you need not do anything. Your password stays as it is.

--
DayGen. This mail went to {{ email }}.
