"""What is said for people, as a frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """Who answers for a view or a feature, and what it means; empty where the file does not say."""

    owner: str = ""
    description: str = ""

    def within(self, view: Note) -> Note:
        """The note of a feature whose view has one too: the view's owner answers where the feature names none.

        >>> Note(description="how often").within(Note("risk", "of a card"))
        Note(owner='risk', description='how often')
        """
        return Note(self.owner or view.owner, self.description)


NOTHING = Note()
