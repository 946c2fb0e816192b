#!/usr/bin/env python3
"""Reads parlor.json and prints its queries as rules that promtool can parse.

Fails where the dashboard or the alerts ask for a metric that is not in
prometheus/metrics.txt, or where an alert has no test. Python's own library only.
"""

import json
import re
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent
SUFFIXES = ("_bucket", "_sum", "_count")
# What stands in a query beside metrics: nothing here looks like one of ours.
METRIC = re.compile(r"\b(?:parlor|process|node|kubelet)_[a-z0-9_]+|\bup\b")
STAND_INS = {"$__rate_interval": "5m", "$instance": ".*"}


def listed():
    lines = (DEPLOY / "prometheus/metrics.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def counted():
    """What the server counts, as its source names it; none without the source."""
    if not (DEPLOY.parent / "src").is_dir():
        return set()
    source = DEPLOY.parent / "src/http/metrics.rs"
    text = source.read_text() if source.is_file() else ""
    found = set(re.findall(r'"((?:parlor|process)_[a-z_]+)"', text))
    return found or sys.exit("src/http/metrics.rs names no metric: where does the server count now?")


def unknown(text, known):
    text = re.sub(r'"[^"]*"', '""', text)
    for name in METRIC.findall(text):
        bare = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
        if name not in known and bare not in known:
            yield name


def panel_queries(dashboard):
    for panel in dashboard["panels"]:
        if not panel["targets"]:
            sys.exit(f"the panel {panel['title']} asks for nothing")
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def variable_queries(dashboard):
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


def overlapping(panels):
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if x >= 24 or taken.setdefault((x, y), panel["title"]) != panel["title"]:
                    return panel["title"]
    return None


def main():
    dashboard = json.loads((DEPLOY / "grafana/parlor.json").read_text())
    known = listed()
    own = {name for name in known if name.startswith(("parlor_", "process_"))}
    if counted() and own != counted():
        sys.exit(f"metrics.txt and the server differ in {sorted(own ^ counted())}")
    queries = list(panel_queries(dashboard))
    for title, query in [*queries, *variable_queries(dashboard)]:
        for name in unknown(query, known):
            sys.exit(f"the panel {title} asks for {name}, which metrics.txt does not have")
    if title := overlapping(dashboard["panels"]):
        sys.exit(f"the panel {title} lies on another one")
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        sys.exit("two panels have one id")

    alerts = (DEPLOY / "prometheus/alerts.yml").read_text()
    tests = (DEPLOY / "prometheus/alerts_test.yml").read_text()
    exprs = re.findall(r"^ +expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", alerts, re.MULTILINE)
    names = re.findall(r"- alert: (\w+)", alerts)
    if not names or len(exprs) != len(names):
        sys.exit(f"{len(exprs)} expressions of {len(names)} alerts were found")
    for name in unknown("\n".join("".join(pair) for pair in exprs), known):
        sys.exit(f"an alert asks for {name}, which metrics.txt does not have")
    for name in names:
        if f'alertname="{name}"' not in tests:
            sys.exit(f"no test shows that {name} fires")

    rules = []
    for number, (_, query) in enumerate(queries):
        for variable, value in STAND_INS.items():
            query = query.replace(variable, value)
        rules.append({"record": f"panel:query:{number}", "expr": query})
    # JSON is YAML, too.
    print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))


if __name__ == "__main__":
    main()
