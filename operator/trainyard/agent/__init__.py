"""The agent: what runs beside training inside a job's pods. It fills /opt/ml/input, watches, stops, uploads and reports."""
