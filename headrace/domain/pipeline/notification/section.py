"""Reads the `notify` section."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from headrace.domain.control.groups import EVENT_GROUPS
from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.notification.spec import MINUTE, SEVERITIES, NotificationChannel, Notify

NOTIFY_KEYS = ("channels", "fold")
NOTIFY_EXAMPLE = "{channels: {oncall: {env: ONCALL_URL, events: [harm, rollbacks]}}}"
CHANNEL_KEYS = ("env", "file", "events", "severity")
CHANNEL_EXAMPLE = "{env: ONCALL_URL, events: [harm, rollbacks], severity: warning}"
SECRET = "an address holds secrets, and this file is no place for them"
REMEDY = "put it into an environment variable and name that: env: ONCALL_URL (or file: /run/secrets/oncall)"
KINDS = tuple(kind for kinds in EVENT_GROUPS.values() for kind in kinds)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
LEAST_FOLD, MOST_FOLD = MINUTE, 24 * 60 * MINUTE


def read_notify(form: Form, problems: Problems) -> Notify:
    """The `notify` section. No mistake quotes what may be an address."""
    default = Notify()
    form.require("channels", f"say who is told, such as channels: {{oncall: {CHANNEL_EXAMPLE}}}")
    channels = {}
    for name, node in Form(form.entries.get("channels"), problems, None, f"{{oncall: {CHANNEL_EXAMPLE}}}").named():
        if (channel := _channel(name, node, problems)) is not None:
            channels[name] = channel
    if "channels" in form and form.node_of("channels").entries == {}:
        problems.add(form.node_of("channels"), "nobody is told", f"name a channel: {{oncall: {CHANNEL_EXAMPLE}}}")
    fold = form.duration("fold", least=LEAST_FOLD)
    if fold is not None and fold > MOST_FOLD:
        problems.add(form.node_of("fold"), "that is longer than a day", "write at most 1d")
    return Notify(channels, default.fold if fold is None else fold)


def _channel(name: str, node: Node, problems: Problems) -> NotificationChannel | None:
    if node.text is not None and "://" in node.text:
        problems.add(node, SECRET, REMEDY)
        return None
    for key, place in node.keys.items():
        if key.lower() in ("url", "address") or "://" in key:
            problems.add(place, SECRET, REMEDY)
            return None
    form = Form(node, problems, CHANNEL_KEYS, CHANNEL_EXAMPLE)
    if node.entries is not None and ("env" in form) == ("file" in form):
        problems.add(node, "a channel's address is in one place", "write env: ONCALL_URL or file: /run/secrets/oncall")
    source: Literal["env", "file"] = "file" if "file" in form else "env"
    place_text = _place(form, source, problems)
    kinds = _kinds(form, problems)
    severity = form.choice("severity", SEVERITIES) or SEVERITIES[0]
    return NotificationChannel(name, source, place_text or "", kinds, severity)


def _place(form: Form, source: str, problems: Problems) -> str | None:
    found = form.text(source)
    if found is None:
        return None
    node = form.node_of(source)
    if "://" in found:
        problems.add(node, SECRET, REMEDY)
    elif source == "env" and not _VARIABLE.fullmatch(found):
        problems.add(node, "no environment variable is called so", "write its name, such as env: ONCALL_URL")
    elif source == "file" and not PurePath(found).is_absolute():
        problems.add(
            node, "it is not said from where this path goes on", "write all of it, such as file: /run/secrets/oncall"
        )
    return found


def _kinds(form: Form, problems: Problems) -> frozenset[str]:
    """All, where the file does not say."""
    if "events" not in form:
        return frozenset(KINDS)
    found: dict[str, None] = {}
    for node in form.items("events", "[harm, rollbacks]"):
        text = forms.text(node, problems)
        if text is None:
            continue
        if text not in EVENT_GROUPS and text not in KINDS:
            problems.add(node, f"nobody can be told of {text}", closest(text, [*EVENT_GROUPS, *KINDS]))
            continue
        found |= dict.fromkeys(EVENT_GROUPS.get(text, (text,)))
    if form.node_of("events").items == ():
        problems.add(form.node_of("events"), "it is told nothing", "name groups or kinds, or leave events out for all")
    return frozenset(found)
