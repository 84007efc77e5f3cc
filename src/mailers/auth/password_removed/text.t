Set a new password

You have just shown that {{ email }} is your address. Nobody had shown that before, so the account was handed to you alone: the password that had been chosen earlier was removed, and every earlier log-in was ended.

To sign in with a password, ask for a new one at {{ frontend }}. Signing in by mail or with Google works without.

--
DayGen. This mail went to {{ email }}.
