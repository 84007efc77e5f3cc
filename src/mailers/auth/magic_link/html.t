{% extends "layout.t" %}
{% block title %}Sign in to DayGen{% endblock %}
{% block preview %}Follow the link to sign in as <strong>{{ email | escape_html }}</strong>.{% endblock %}
{% block body %}
<h1 style="margin:0 0 16px 0;font-size:22px;line-height:1.3;">Sign in to DayGen</h1>
<p style="margin:0 0 16px 0;">Follow the link to sign in as <strong>{{ email | escape_html }}</strong>.</p>
<p style="margin:24px 0;"><a href="{{ link | escape_html }}" style="display:inline-block;padding:12px 22px;background:#1f4bd8;border-radius:8px;color:#ffffff;font-weight:600;text-decoration:none;">Sign in</a></p>
<p style="margin:0 0 8px 0;">Or type this code:</p>
<p style="margin:0 0 16px 0;font:600 28px/1.2 ui-monospace,Menlo,Consolas,monospace;letter-spacing:6px;">{{ code | escape_html }}</p>
{% endblock %}
{% block note %}
Link and code work for {{ good_for | escape_html }} and once. Nobody at DayGen will ever ask you for the code. If this was not you, you need not do anything.<br><br>If the button does nothing, open this address in your browser:<br><a href="{{ link | escape_html }}" style="color:#1f4bd8;word-break:break-all;">{{ link | escape_html }}</a>
{% endblock %}
