Your address is about to change

For your DayGen account, the new address {{ about }} was asked for. It counts as soon as the link that was mailed to it is followed.

If this was not you, choose a new password now at {{ frontend }}: somebody else is signed in to your account.

--
DayGen. This mail went to {{ email }}.
