{% extends "layout.t" %}
{% block title %}Your address is about to change{% endblock %}
{% block preview %}For your DayGen account, the new address <strong>{{ about | escape_html }}</strong> was asked for. It counts as soon as the link that was mailed to it is followed.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">Your address is about to change</h1>
<p style="margin:0 0 16px 0;">For your DayGen account, the new address <strong>{{ about | escape_html }}</strong> was asked for. It counts as soon as the link that was mailed to it is followed.</p>
<p style="margin:0 0 16px 0;">If this was not you, choose a new password now at {{ frontend | escape_html }}: somebody else is signed in to your account.</p>
{% endblock %}
{% block note %}

{% endblock %}
