<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{% block title %}DayGen{% endblock %}</title>
</head>
<body style="margin:0;padding:0;background:#f4f5f7;">
<div style="display:none;max-height:0;overflow:hidden;">{% block preview %}{% endblock %}</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:#f4f5f7;">
<tr><td align="center" style="padding:32px 16px;">
<table role="presentation" width="560" cellpadding="0" cellspacing="0" style="width:100%;max-width:560px;background:#ffffff;border:1px solid #e2e5ea;border-radius:12px;">
<tr><td style="padding:28px 32px 0 32px;font:700 18px/1.3 -apple-system,'Segoe UI',Helvetica,Arial,sans-serif;color:#1c2330;">DayGen</td></tr>
<tr><td style="padding:20px 32px 8px 32px;font:16px/1.55 -apple-system,'Segoe UI',Helvetica,Arial,sans-serif;color:#1c2330;">
{% block body %}{% endblock %}
</td></tr>
<tr><td style="padding:16px 32px 28px 32px;font:13px/1.5 -apple-system,'Segoe UI',Helvetica,Arial,sans-serif;color:#5b6473;">
{% block note %}{% endblock %}
</td></tr>
</table>
<p style="margin:16px 0 0 0;font:12px/1.5 -apple-system,'Segoe UI',Helvetica,Arial,sans-serif;color:#7a8291;">This mail went to {{ email | escape_html }}.</p>
</td></tr>
</table>
</body>
</html>
