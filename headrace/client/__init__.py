"""A pipeline for programs of others: publish events, await their predictions, read topics, tell labels."""

from headrace.client.asynchronous import AsyncPipeline
from headrace.client.errors import NotAnswered, Refused
from headrace.client.pipeline import Pipeline
from headrace.client.prediction import Prediction

__all__ = ["AsyncPipeline", "NotAnswered", "Pipeline", "Prediction", "Refused"]
