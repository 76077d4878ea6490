"""Reports of a period by mail, and alerts: what was, what is wrong, told once.

`sending.send_report` and `alerts.check` are what schedules enqueue. What is told is gathered in `figures` and `code`,
written in `html` and `text`, and goes out by `outbox`. How runs come about does not belong here.
"""
