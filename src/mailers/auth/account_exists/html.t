{% extends "layout.t" %}
{% block title %}You have an account already{% endblock %}
{% block preview %}Somebody, most likely you, tried to sign up at DayGen with the address <strong>{{ email | escape_html }}</strong>. There is an account with it already, so nothing was changed.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">You have an account already</h1>
<p style="margin:0 0 16px 0;">Somebody, most likely you, tried to sign up at DayGen with the address <strong>{{ email | escape_html }}</strong>. There is an account with it already, so nothing was changed.</p>
<p style="margin:0 0 16px 0;">Sign in as you always do. If you forgot the password, choose a new one.</p>
<p style="margin:24px 0;"><a href="{{ link | escape_html }}" style="display:inline-block;padding:12px 22px;background:#1f4bd8;border-radius:8px;color:#ffffff;font-weight:600;text-decoration:none;">Choose a new password</a></p>
{% endblock %}
{% block note %}
The link works for {{ good_for | escape_html }} and once. If this was not you, you need not do anything.<br><br>If the button does nothing, open this address in your browser:<br><a href="{{ link | escape_html }}" style="color:#1f4bd8;word-break:break-all;">{{ link | escape_html }}</a>
{% endblock %}
