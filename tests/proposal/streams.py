"""Six files as their owners left them: three of real data, three of other shapes, made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

ROWS = 2_400


@dataclass(frozen=True)
class Stream:
    """A file, and what a person has to say to what is proposed for it.

    Attributes:
        name: of the file.
        write: makes it in a folder; from the folder of real data where `real`.
        edits: what is edited by hand: (line as proposed, line instead), two at the most.
        id, time, key, label: the roles that its columns have.
        inputs: some of the model's inputs.
        train: options of `headrace train` that its message asks for.
    """

    name: str
    write: Callable[[Path, Path], None]
    id: str
    time: str
    key: str
    label: str
    inputs: Sequence[str]
    real: bool = False
    edits: Sequence[tuple[str, str]] = ()
    train: Sequence[object] = ()


def handbook(path: Path, data: Path) -> None:
    """The Handbook's transactions of a few customers, as CSV."""
    table = pq.read_table(data / "fraud" / "transactions.parquet", filters=[("customer_id", "<", 10)])
    pyarrow.csv.write_csv(table.slice(0, ROWS), path)


def elec2(path: Path, data: Path) -> None:
    """The electricity market's half hours: no id, no time, no entity."""
    lines = (data / "elec2" / "elec.csv").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: ROWS + 1]))


def employment(path: Path, data: Path) -> None:
    """The census's persons, as Parquet with dictionaries; the only time is a year."""
    pq.write_table(pq.read_table(data / "employment" / "employment_MA_reference.pq").slice(0, ROWS), path)


def sales(path: Path, data: Path) -> None:
    """Semicolons, decimal commas with points between thousands, German names and dates, yes and no as words."""
    draw, at = np.random.default_rng(1), datetime(2024, 1, 5, 6)
    lines = ["Beleg-Nr.;Zeitpunkt;Filiale;Kunden-Nr.;Betrag (EUR);Rabatt %;Zahlart;Storno"]
    for number in range(ROWS):
        at += timedelta(seconds=int(draw.exponential(900)) + 1)
        price = draw.lognormal(5, 1.2)
        written = f"{price:,.2f}".translate(str.maketrans(",.", ".,"))
        undone = "ja" if price > 300 and draw.random() < 0.8 else "nein"
        lines.append(
            f"B{number:06d};{at:%d.%m.%Y %H:%M};F{draw.integers(0, 30):03d};{draw.integers(1000, 1100)};{written};"
            f"{draw.choice(['', '5,0', '7,5'])};{draw.choice(['bar', 'Karte', 'Rechnung'])};{undone}"
        )
    path.write_text("\n".join(lines) + "\n", "utf-8")


def sensors(path: Path, data: Path) -> None:
    """Tabs, and times as seconds since 1970."""
    draw, at = np.random.default_rng(2), 1_717_200_000
    lines = ["reading\tts\tdevice\ttemperature\tvibration\tfailed"]
    for number in range(ROWS):
        at += int(draw.integers(1, 30))
        shaken = draw.gamma(2, 1)
        device = f"dev-{draw.integers(0, 40):02d}"
        lines.append(f"{number}\t{at}\t{device}\t{20 + 3 * draw.normal():.2f}\t{shaken:.3f}\t{int(shaken > 3.5)}")
    path.write_text("\n".join(lines) + "\n")


def clicks(path: Path, data: Path) -> None:
    """JSON lines with fields in fields, some of which are not there in every line, and a list."""
    draw, at = np.random.default_rng(3), datetime(2024, 6, 1, tzinfo=UTC)
    lines = []
    for number in range(ROWS):
        at += timedelta(milliseconds=int(draw.integers(100, 60_000)))
        seconds = float(draw.exponential(30))
        event = {
            "event": {"id": f"{number:08x}-{draw.integers(0, 2**32):08x}", "at": at.isoformat(timespec="milliseconds")},
            "user": {"id": int(draw.integers(0, 150)), "plan": str(draw.choice(["free", "pro", "team"]))},
            "page": {"path": f"/p/{draw.integers(0, 60)}", "seconds": round(seconds, 2)},
            "mobile": bool(draw.random() < 0.4),
            "tags": ["a", "b"],
            "converted": bool(seconds > 40 and draw.random() < 0.8),
        }
        lines.append(json.dumps(event | ({"referrer": {"host": "example.org"}} if number % 9 == 0 else {})))
    path.write_text("\n".join(lines) + "\n")


STREAMS = (
    Stream(
        "transactions.csv", handbook, "transaction_id", "tx_datetime", "customer_id", "tx_fraud",
        ["tx_amount", "customer.mean_tx_amount_7d", "terminal.events_30d"], real=True,
    ),
    Stream(
        "elec.csv", elec2, "row", "happened_at", "series", "class", ["nswdemand", "nswprice"], real=True,
        edits=[
            ("  # first_time: 2024-05-31T00:00:00Z", "  first_time: 1996-05-07T00:00:00+10:00"),
            ("  # time_step: 30m", "  time_step: 30m"),
        ],
    ),
    Stream(
        "employment.parquet", employment, "id", "year", "id", "employed", ["AGEP", "SCHL"], real=True,
        train=["--holdout", 0],  # all rows have one time
    ),
    Stream(
        "verkauf.csv", sales, "Beleg_Nr", "Zeitpunkt", "Kunden_Nr", "Storno",
        ["Betrag_EUR", "Rabatt", "Zahlart", "filiale.mean_betrag_eur_1d"],
    ),
    Stream("sensors.tsv", sensors, "reading", "ts", "device", "failed", ["vibration", "device.mean_vibration_1h"]),
    Stream("clicks.jsonl", clicks, "event_id", "event_at", "user_id", "converted", ["mobile", "user.events_1h"]),
)  # fmt: skip  # a table
