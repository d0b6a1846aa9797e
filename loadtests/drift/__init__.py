"""The study of drift: false alarms, delays, joint shifts, concepts, real drift and cost; it writes docs/drift.md."""
