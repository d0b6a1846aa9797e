"""Where models come from and what plans name them, for catalogues of data: OpenLineage."""
