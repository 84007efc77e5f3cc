{% extends "layout.t" %}
{% block title %}Confirm your address{% endblock %}
{% block preview %}Somebody, most likely you, signed up at DayGen with the address <strong>{{ email | escape_html }}</strong> and chose a password. Confirm it, and the account is ready.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">Confirm your address</h1>
<p style="margin:0 0 16px 0;">Somebody, most likely you, signed up at DayGen with the address <strong>{{ email | escape_html }}</strong> and chose a password. Confirm it, and the account is ready.</p>
<p style="margin:24px 0;"><a href="{{ link | escape_html }}" style="display:inline-block;padding:12px 22px;background:#1f4bd8;border-radius:8px;color:#ffffff;font-weight:600;text-decoration:none;">Confirm and sign in</a></p>
<p style="margin:0 0 8px 0;">Or type this code:</p>
<p style="margin:0 0 16px 0;font:600 28px/1.2 ui-monospace,Menlo,Consolas,monospace;letter-spacing:6px;">{{ code | escape_html }}</p>
{% endblock %}
{% block note %}
Link and code work for {{ good_for | escape_html }} and once. If you did not sign up, do not follow the link: without it there is no account.<br><br>If the button does nothing, open this address in your browser:<br><a href="{{ link | escape_html }}" style="color:#1f4bd8;word-break:break-all;">{{ link | escape_html }}</a>
{% endblock %}
