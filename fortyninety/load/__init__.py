"""Put a load on an engine and say how fast it is: what `fortyninety bench` measures."""
