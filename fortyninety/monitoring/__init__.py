"""Give a Prometheus what it watches a fleet by: targets, rules and dashboards."""
