"""What the eight steps do: a line is fitted to points, if there are enough of them."""

from __future__ import annotations

from nbflow import step
from nbflow.authoring.declarative.operators import Outcome

POINTS = {"many": [(x, 2 * x + 1) for x in range(20)], "few": [(0, 1)]}


def fetch(source):
    """Get the points."""
    return {"source": source, "points": POINTS[source]}


def check(data):
    """Say whether there are enough points."""
    return "good" if len(data["points"]) >= 10 else "bad"


def prepare(data):
    """Use the points that were fetched."""
    return [(float(x), float(y)) for x, y in data["points"]]


def fall_back():
    """Use points of earlier times."""
    return [(0.0, 1.0), (1.0, 3.0)]


@step(retries=1)
def train(fresh, earlier):
    """Fit a line, to fresh points if there are some."""
    points = fresh or earlier
    slope = (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
    return {"slope": slope, "points": len(points)}


def evaluate(model, wanted):
    """Compare the model with what is wanted."""
    off = abs(model["slope"] - wanted)
    return Outcome("good" if off < 0.5 else "bad", {"off": off})


def publish(model):
    """Hand the model out."""
    return f"slope {model['slope']:g}"


def notify(quality, score):
    """Tell somebody; the score is None if there was no model."""
    return f"data {quality}, off by {score['off']:g}"
