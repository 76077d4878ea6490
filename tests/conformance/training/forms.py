"""The same workflow in four forms."""

from __future__ import annotations

from pathlib import Path

from nbflow import Pipeline, from_dict, from_yaml
from tests.conformance.training import steps

YAML = Path(__file__).with_name("training.yaml")

_HEAD = {
    "description": "Fit a line and publish it, if it is good.",
    "parameters": {"source": "many", "wanted": {"type": "float", "default": 2.0}},
    "output": {"published": "${{ publish }}", "told": "${{ notify }}"},
    "schedule": {"cron": "0 6 * * MON", "tz": "Europe/Paris"},
    "triggers": [{"event": "new-points"}],
}

OF_YAML = from_yaml(YAML)

OF_DICT = from_dict(
    {
        "name": "training",
        **_HEAD,
        "steps": {
            "fetch": {"function": steps.fetch},
            "check": {"function": steps.check, "depends_on": ["fetch"], "outcomes": ["good", "bad"]},
            "prepare": {
                "function": steps.prepare,
                "inputs": {"data": "${{ fetch }}"},
                "depends_on": {"check": "good"},
            },
            "fall_back": {"function": steps.fall_back, "depends_on": {"check": ["bad"]}},
            "train": {
                "function": steps.train,
                "inputs": {"fresh": "${{ prepare }}", "earlier": "${{ fall_back }}"},
                "depends_on": ["prepare", "fall_back"],
                "join": "any",
            },
            "evaluate": {
                "function": steps.evaluate,
                "inputs": {"model": "${{ train }}"},
                "outcomes": ["good", "bad"],
            },
            "publish": {
                "function": steps.publish,
                "inputs": {"model": "${{ train }}"},
                "depends_on": {"train": None, "evaluate": "good"},
            },
            "notify": {
                "function": steps.notify,
                "inputs": {"quality": "${{ check }}", "score": "${{ evaluate }}"},
                "depends_on": {"check": "bad", "evaluate": "bad"},
                "join": "any",
            },
        },
    }
)

with Pipeline("training", **_HEAD) as OF_CONTEXT:
    fetch = OF_CONTEXT.step(steps.fetch)
    check = OF_CONTEXT.step(steps.check, inputs={"data": fetch}, outcomes=["good", "bad"])
    prepare = OF_CONTEXT.step(steps.prepare, inputs={"data": fetch}, depends_on={check: "good"})
    fall_back = OF_CONTEXT.step(steps.fall_back, depends_on={check: "bad"})
    train = OF_CONTEXT.step(steps.train, inputs={"fresh": prepare, "earlier": fall_back}, join="any")
    evaluate = OF_CONTEXT.step(steps.evaluate, inputs={"model": train}, outcomes=["good", "bad"])
    OF_CONTEXT.step(steps.publish, inputs={"model": train}, depends_on={evaluate: "good"})
    OF_CONTEXT.step(
        steps.notify,
        inputs={"quality": check, "score": evaluate},
        depends_on={check: "bad", evaluate: "bad"},
        join="any",
    )

with Pipeline("training", **_HEAD) as OF_ARROWS:
    fetch = OF_ARROWS.step(steps.fetch)
    check = OF_ARROWS.step(steps.check, outcomes=["good", "bad"])
    prepare = OF_ARROWS.step(steps.prepare, inputs={"data": fetch})
    fall_back = OF_ARROWS.step(steps.fall_back)
    train = OF_ARROWS.step(steps.train, inputs={"fresh": prepare, "earlier": fall_back}, join="any")
    evaluate = OF_ARROWS.step(steps.evaluate, inputs={"model": train}, outcomes=["good", "bad"])
    publish = OF_ARROWS.step(steps.publish, inputs={"model": train})
    notify = OF_ARROWS.step(steps.notify, inputs={"quality": check, "score": evaluate}, join="any")
    fetch >> check
    check["good"] >> prepare
    fall_back << check["bad"]
    [prepare, fall_back] >> train >> evaluate
    evaluate["good"] >> publish
    [check["bad"], evaluate["bad"]] >> notify

FORMS = {"yaml": OF_YAML, "dict": OF_DICT, "context": OF_CONTEXT, "arrows": OF_ARROWS}
