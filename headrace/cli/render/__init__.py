"""Tables, sheets, plots and dashboards: values in, text or pictures out."""
