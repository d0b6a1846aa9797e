"""What can go wrong, named by what becomes of the record.

HeadraceError
├── InvalidRecord      this record can never be processed: it goes to the dead-letter topic, its neighbours go on
├── Transient          the world is not ready (a store, the network): the same call again, a bounded number of times
├── ConfigurationError what a person wrote is wrong: said before anything opens, with the remedy
├── ContractError      a topic, schema or model package is not what was agreed
│   └── OutOfMemory    a model asked for more memory than there is
└── Fenced             another member took over: this process must end; its supervisor starts a fresh one

Anything else is a defect: it ends the process, which restarts and reads again.
"""


class HeadraceError(Exception):
    """Root of all errors that headrace raises on purpose."""


class InvalidRecord(HeadraceError):
    """One record can never be processed. `reason` is a short stable slug (`out_of_range`), the message the detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Transient(HeadraceError):
    """The call may succeed later, unchanged; nothing was changed by the failed one."""


class ConfigurationError(HeadraceError):
    """A setting, pipeline file or command line is wrong; the message says what to write instead."""


class ContractError(HeadraceError):
    """A topic, schema or model package is not what was agreed; the message names both sides."""


class OutOfMemory(ContractError):
    """A model asked for more memory than there is; with less to do at a time it may run."""


class Fenced(HeadraceError):
    """Another member holds our name or our partitions: end the process at once, commit nothing."""
