"""Read what a box has to say of itself, and write it down for Prometheus' node exporter."""
