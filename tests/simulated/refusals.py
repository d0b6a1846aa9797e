"""Errors as librdkafka raises them, with the flags that it gives them."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException


def refused(code: int, *, fatal: bool = False, again: bool = False, abort: bool = False) -> KafkaException:
    """`again`: the same call may succeed; `abort`: the transaction must be aborted first."""
    return KafkaException(KafkaError(code, None, fatal, again, abort))


def timed_out() -> KafkaException:
    """A call that waited in vain; whether it did anything is not known."""
    return refused(KafkaError._TIMED_OUT, again=True)


def fenced() -> KafkaException:
    """Another producer of the same name has taken over."""
    return refused(KafkaError._FENCED, fatal=True)
