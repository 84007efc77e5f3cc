Your password was changed

The password of the DayGen account of {{ email }} was changed just now, and every other log-in was ended.

If this was not you, ask for a new password at {{ frontend }} at once.

--
DayGen. This mail went to {{ email }}.
