"""Topics of producers as they are: what the pipeline file says of their names, formats, fields and times."""
