{% extends "layout.t" %}
{% block title %}Set a new password{% endblock %}
{% block preview %}You have just shown that <strong>{{ email | escape_html }}</strong> is your address. Nobody had shown that before, so the account was handed to you alone: the password that had been chosen earlier was removed, and every earlier log-in was ended.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">Set a new password</h1>
<p style="margin:0 0 16px 0;">You have just shown that <strong>{{ email | escape_html }}</strong> is your address. Nobody had shown that before, so the account was handed to you alone: the password that had been chosen earlier was removed, and every earlier log-in was ended.</p>
<p style="margin:0 0 16px 0;">To sign in with a password, ask for a new one at {{ frontend | escape_html }}. Signing in by mail or with Google works without.</p>
{% endblock %}
{% block note %}

{% endblock %}
