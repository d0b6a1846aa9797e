"""The ledger of a pipeline: what was decided, whether it is whole, and what was live when."""
