{% extends "layout.t" %}
{% block title %}Your password was changed{% endblock %}
{% block preview %}The password of the DayGen account of <strong>{{ email | escape_html }}</strong> was changed just now, and every other log-in was ended.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">Your password was changed</h1>
<p style="margin:0 0 16px 0;">The password of the DayGen account of <strong>{{ email | escape_html }}</strong> was changed just now, and every other log-in was ended.</p>
<p style="margin:0 0 16px 0;">If this was not you, ask for a new password at {{ frontend | escape_html }} at once.</p>
{% endblock %}
{% block note %}

{% endblock %}
