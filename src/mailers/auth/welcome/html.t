{% extends "layout.t" %}
{% block title %}Welcome to DayGen{% endblock %}
{% block preview %}An account was made with your address <strong>{{ email | escape_html }}</strong>, and it is ready to use.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">Welcome to DayGen</h1>
<p style="margin:0 0 16px 0;">An account was made with your address <strong>{{ email | escape_html }}</strong>, and it is ready to use.</p>
<p style="margin:0 0 16px 0;">If you did not make it, somebody else did. You can take it over: choose a password of your own, and whoever made it is signed out.</p>
<p style="margin:24px 0;"><a href="{{ link | escape_html }}" style="display:inline-block;padding:12px 22px;background:#1f4bd8;border-radius:8px;color:#ffffff;font-weight:600;text-decoration:none;">This was not me</a></p>
{% endblock %}
{% block note %}
The link works for {{ good_for | escape_html }} and once. If you made the account yourself, there is nothing to do.<br><br>If the button does nothing, open this address in your browser:<br><a href="{{ link | escape_html }}" style="color:#1f4bd8;word-break:break-all;">{{ link | escape_html }}</a>
{% endblock %}
